//! What `recueild` asks of `recueil-hostd`.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, RwLock};

use recueil_bus::{Code, Error};
use recueil_wire::devices::{
    Answer, Call, CaptureParams, Device, DeviceState, Failure, FailureCode, FromHostd, Notice, Plugin,
    Request,
};
use tokio::sync::broadcast;

use crate::link::{CallError, Conversation, Link, Sorted};

pub(crate) struct WithHostd;

impl Conversation for WithHostd {
    type Request = Request;
    type Call = Call;
    type Message = FromHostd;
    type Answer = Answer;
    type Failure = Failure;
    type News = Notice;

    fn request(id: u64, call: Call) -> Request {
        Request { id, call }
    }

    fn sort(message: FromHostd) -> Sorted<Answer, Failure, Notice> {
        match message {
            FromHostd::Reply { id, answer } => Sorted::Reply(id, answer),
            FromHostd::Notice(notice) => Sorted::News(notice),
        }
    }
}

/// Notices that a capture may lag behind before it is told so.
const NOTICES: usize = 256;

/// The devices as hostd last told them, and the calls on them.
#[derive(Clone)]
pub(crate) struct Devices {
    link: Link<WithHostd>,
    known: Arc<RwLock<BTreeMap<String, Device>>>,
    notices: broadcast::Sender<Notice>,
}

impl Devices {
    pub(crate) fn new(link: Link<WithHostd>) -> Self {
        let (notices, _nobody_yet) = broadcast::channel(NOTICES);
        Self {
            link,
            known: Arc::default(),
            notices,
        }
    }

    /// The news of captures from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Asks for everything; what was known before is replaced.
    pub(crate) async fn refresh(&self) -> Result<(Vec<Device>, Vec<Plugin>), Error> {
        match self.call(Call::List).await? {
            (Answer::Devices { devices, plugins }, _) => {
                *self.write() = devices
                    .iter()
                    .map(|device| (device.id.clone(), device.clone()))
                    .collect();
                Ok((devices, plugins))
            }
            (Answer::Done, _) => Err(unexpected()),
        }
    }

    /// Takes news in and passes it on to the captures.
    pub(crate) fn learn(&self, notice: Notice) {
        match &notice {
            Notice::Device { device } => {
                self.write().insert(device.id.clone(), device.as_ref().clone());
            }
            // It stays known, so that clients see it come back as the same, with its holder.
            Notice::Gone { device } => {
                if let Some(device) = self.write().get_mut(device) {
                    device.state = DeviceState::Absent;
                }
            }
            _ => {}
        }
        // Nobody may be listening.
        drop(self.notices.send(notice));
    }

    /// hostd is gone: every session is over.
    pub(crate) fn lost(&self) {
        for device in std::mem::take(&mut *self.write()).into_keys() {
            let failure = Failure {
                code: FailureCode::NoDevice,
                text: "the device service ended".to_owned(),
                plugin: None,
            };
            drop(self.notices.send(Notice::HostEnded { device, failure }));
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Device> {
        self.known
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Device> {
        self.known
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// Opens a session; gives the analyser's end of the frame socket.
    pub(crate) async fn open(&self, device: &str) -> Result<OwnedFd, Error> {
        let (_done, fds) = self
            .call(Call::Open {
                device: device.to_owned(),
            })
            .await?;
        fds.into_iter().next().ok_or_else(unexpected)
    }

    pub(crate) async fn start(&self, device: &str, req: u64, params: CaptureParams) -> Result<(), Error> {
        self.call(Call::Start {
            device: device.to_owned(),
            req,
            params,
        })
        .await
        .map(drop)
    }

    pub(crate) async fn stop(&self, device: &str, req: u64) -> Result<(), Error> {
        self.call(Call::Stop {
            device: device.to_owned(),
            req,
        })
        .await
        .map(drop)
    }

    /// Ends a session. When this returns well, the host that captured is gone.
    pub(crate) async fn close(&self, device: &str) -> Result<(), Error> {
        self.call(Call::Close {
            device: device.to_owned(),
        })
        .await
        .map(drop)
    }

    async fn call(&self, call: Call) -> Result<(Answer, Vec<OwnedFd>), Error> {
        self.link.call(call).await.map_err(|error| match error {
            CallError::Refused(failure) => device_error(&failure),
            CallError::Down => Error::new(
                Code::DevicesUnavailable,
                "the device service does not answer; look at `systemctl status recueil-hostd`",
            ),
        })
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, Device>> {
        self.known
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn unexpected() -> Error {
    Error::new(
        Code::DevicesUnavailable,
        "the device service gave an answer of another release; restart it",
    )
}

/// A device's failure as clients see it: by name, with what to do, and the vendor's own code.
pub(crate) fn device_error(failure: &Failure) -> Error {
    let (code, advice) = match failure.code {
        FailureCode::NoDevice | FailureCode::NoSession => {
            (Code::UnknownDevice, "plug the device in and try again")
        }
        FailureCode::Busy => (Code::Busy, "wait for the other capture to end"),
        FailureCode::Cancelled => (Code::Cancelled, "start again when ready"),
        FailureCode::DeviceGone => (Code::DeviceGone, "plug the device in and present again"),
        FailureCode::Timeout => (Code::Timeout, "present in time, then try again"),
        FailureCode::PluginHung => (Code::PluginHung, "the driver was restarted; present again"),
        FailureCode::PluginCrashed => (Code::PluginCrashed, "the driver was restarted; present again"),
        FailureCode::PluginMisbehaved => (Code::PluginMisbehaved, "the driver was restarted; present again"),
        FailureCode::PluginRefused => (Code::PluginRefused, "ask the administrator to look at the plugin"),
        FailureCode::NoSandbox => (
            Code::NoSandbox,
            "ask the administrator: this kernel cannot confine drivers",
        ),
        FailureCode::Unsupported => (Code::Unsupported, "choose another device"),
        FailureCode::DeviceError => (Code::DeviceTrouble, "look at the device"),
    };
    let mut error = Error::new(code, format!("{}; {advice}", failure.text));
    if let Some(plugin) = &failure.plugin {
        error = error
            .with("vendor-code", plugin.vendor_code.to_string())
            .with("vendor-text", plugin.text.clone());
    }
    error
}
