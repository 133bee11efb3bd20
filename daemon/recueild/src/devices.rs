//! What `recueild` asks of `recueil-hostd`.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use recueil_bus::{Code, Error};
use recueil_wire::devices::{
    Answer, Call, CaptureParams, Device, DeviceState, Failure, FailureCode, FromHostd, Notice, Request,
};
use tokio::sync::mpsc;

use crate::link::{CallError, Conversation, Link, Sorted};

pub(crate) struct WithHostd;

impl Conversation for WithHostd {
    type Request = Request;
    type Call = Call;
    type Message = FromHostd;
    type Answer = Answer;
    type Failure = Failure;
    type News = Notice;

    /// A driver that hangs is killed within seconds, and opening one takes five at most.
    const ANSWER_MAX: Duration = Duration::from_secs(20);

    fn greeting() -> Option<Call> {
        Some(Call::List)
    }

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

/// News of one session that may wait while its capture is busy.
const SESSION_NEWS: usize = 256;
/// Of these, places that guidance leaves free for what must not be lost: the end of a try, the end of the host.
const RESERVED: usize = 16;
/// Devices known at one time, those that went away included.
const KNOWN_MAX: usize = 64;

/// What a capture is told of its device.
#[derive(Debug)]
pub(crate) enum SessionNews {
    /// By hostd.
    Notice(Notice),
    /// hostd is gone, and every session with it.
    Lost,
}

/// The devices as hostd last told them, and the calls on them.
#[derive(Clone)]
pub(crate) struct Devices {
    link: Link<WithHostd>,
    known: Arc<RwLock<BTreeMap<String, Device>>>,
    /// Who captures on each device: one at a time.
    sessions: Arc<Mutex<HashMap<String, mpsc::Sender<SessionNews>>>>,
}

impl Devices {
    pub(crate) fn new(link: Link<WithHostd>) -> Self {
        Self {
            link,
            known: Arc::default(),
            sessions: Arc::default(),
        }
    }

    /// The news of captures on a device from now on, and of no other: a busy reader beside it loses nothing here.
    pub(crate) fn listen(&self, device: &str) -> mpsc::Receiver<SessionNews> {
        let (sender, receiver) = mpsc::channel(SESSION_NEWS);
        let mut sessions = self.sessions();
        sessions.retain(|_, session| !session.is_closed());
        sessions.insert(device.to_owned(), sender);
        receiver
    }

    /// Takes hostd's list in. What it does not list any more is absent.
    pub(crate) fn learn_all(&self, devices: Vec<Device>) {
        let mut known = self.write();
        for device in known.values_mut() {
            device.state = DeviceState::Absent;
        }
        known.extend(devices.into_iter().map(|device| (device.id.clone(), device)));
    }

    /// Forgets a device that is away, where too many are known.
    pub(crate) fn forget(&self, spared: impl Fn(&str) -> bool) -> Option<String> {
        let mut known = self.write();
        if known.len() <= KNOWN_MAX {
            return None;
        }
        let absent = known
            .values()
            .find(|device| device.state == DeviceState::Absent && !spared(&device.id));
        let id = absent?.id.clone();
        known.remove(&id);
        Some(id)
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
            Notice::Progress { device, .. } => self.tell(&device.clone(), SessionNews::Notice(notice)),
            Notice::Captured { device, .. } | Notice::HostEnded { device, .. } => {
                self.tell(&device.clone(), SessionNews::Notice(notice));
            }
        }
    }

    fn tell(&self, device: &str, news: SessionNews) {
        let sessions = self.sessions();
        let Some(session) = sessions.get(device) else {
            return;
        };
        let may_be_lost = matches!(news, SessionNews::Notice(Notice::Progress { .. }));
        if may_be_lost && session.capacity() <= RESERVED {
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(_)) = session.try_send(news) {
            tracing::error!(device, "the news of a capture was lost");
        }
    }

    /// hostd is gone: no device can be used, and every session is over.
    pub(crate) fn lost(&self) {
        for device in self.write().values_mut() {
            device.state = DeviceState::Absent;
        }
        for session in self.sessions().values() {
            // One that is full has an end in it already.
            drop(session.try_send(SessionNews::Lost));
        }
    }

    pub(crate) fn get(&self, id: &str) -> Option<Device> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    pub(crate) fn all(&self) -> Vec<Device> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
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

    /// Gives a device in quarantine another chance.
    pub(crate) async fn lift_quarantine(&self, device: &str) -> Result<(), Error> {
        self.call(Call::LiftQuarantine {
            device: device.to_owned(),
        })
        .await
        .map(drop)
    }

    /// Gives every device back, or takes them again. Where hostd is not there it has none.
    pub(crate) async fn sleep(&self, asleep: bool) {
        let call = if asleep { Call::Sleep } else { Call::Wake };
        if let Err(error) = self.call(call).await {
            tracing::info!(%error, asleep, "the device service was not told of the machine's sleep");
        }
    }

    async fn call(&self, call: Call) -> Result<(Answer, Vec<OwnedFd>), Error> {
        self.link.call(call).await.map_err(|error| match error {
            CallError::Refused(failure) => device_error(&failure),
            CallError::Down => silent(),
        })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, mpsc::Sender<SessionNews>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Device>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// hostd is not there, or has nothing to say.
pub(crate) fn silent() -> Error {
    Error::new(
        Code::DevicesUnavailable,
        "the device service does not answer; look at `systemctl status recueil-hostd`",
    )
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
        // What to do is in its text.
        FailureCode::Quarantined => return Error::new(Code::Quarantined, failure.text.clone()),
        FailureCode::NotQuarantined => (Code::WrongState, "there is nothing to lift"),
        FailureCode::Storage => (
            Code::Storage,
            "ask the administrator to check the disk of recueil-hostd",
        ),
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

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// Devices of a hostd that is not there; to be used inside a runtime.
    fn devices() -> Devices {
        let (events, _nobody) = mpsc::channel(1);
        let stop = CancellationToken::new();
        stop.cancel();
        Devices::new(Link::keep("/nonexistent".into(), events, stop))
    }

    fn device(id: &str) -> Device {
        Device {
            id: id.to_owned(),
            state: DeviceState::Ready,
            plugin: "fr.recueil.simulator".to_owned(),
            plugin_version: "0.1.0".to_owned(),
            identity: None,
            capabilities: None,
            confinement: None,
            failure: None,
        }
    }

    fn guidance(device: &str) -> Notice {
        Notice::Progress {
            device: device.to_owned(),
            req: 1,
            event: 8,
            value: 0,
            position: None,
        }
    }

    fn captured(device: &str) -> Notice {
        Notice::Captured {
            device: device.to_owned(),
            req: 1,
            results: 1,
            failure: None,
        }
    }

    #[tokio::test]
    async fn a_busy_reader_takes_nothing_from_the_capture_beside_it() {
        let devices = devices();
        let (mut quiet, _busy) = (devices.listen("quiet"), devices.listen("busy"));
        for _ in 0..10 * SESSION_NEWS {
            devices.learn(guidance("busy"));
        }
        devices.learn(captured("quiet"));
        assert!(matches!(
            quiet.try_recv(),
            Ok(SessionNews::Notice(Notice::Captured { .. }))
        ));
        assert!(quiet.try_recv().is_err());
    }

    #[tokio::test]
    async fn guidance_leaves_room_for_the_end() {
        let devices = devices();
        let mut session = devices.listen("fp");
        for _ in 0..10 * SESSION_NEWS {
            devices.learn(guidance("fp"));
        }
        devices.learn(captured("fp"));
        devices.lost();
        let mut news = Vec::new();
        while let Ok(one) = session.try_recv() {
            news.push(one);
        }
        assert!(news.len() <= SESSION_NEWS);
        assert!(matches!(
            news[news.len() - 2..],
            [SessionNews::Notice(Notice::Captured { .. }), SessionNews::Lost]
        ));
    }

    #[tokio::test]
    async fn what_hostd_lists_no_more_is_absent_and_not_forgotten() {
        let devices = devices();
        devices.learn_all(vec![device("fp"), device("camera")]);
        devices.learn_all(vec![device("camera")]);
        assert_eq!(devices.get("fp").unwrap().state, DeviceState::Absent);
        assert_eq!(devices.get("camera").unwrap().state, DeviceState::Ready);
        devices.lost();
        assert_eq!(devices.get("camera").unwrap().state, DeviceState::Absent);
    }

    #[tokio::test]
    async fn ever_new_devices_do_not_fill_the_memory() {
        let devices = devices();
        for number in 0..=KNOWN_MAX {
            let id = format!("fp-{number:03}");
            devices.learn(Notice::Device {
                device: Box::new(device(&id)),
            });
            if number != 1 {
                devices.learn(Notice::Gone { device: id });
            }
        }
        assert_eq!(
            devices.forget(|id| id == "fp-000").as_deref(),
            Some("fp-002"),
            "neither one that is leased nor one that is here"
        );
        assert_eq!(devices.forget(|_| false), None, "no more than needed");
    }

    #[test]
    fn a_device_that_fails_says_what_to_do_and_what_its_vendor_said() {
        let failure = Failure {
            code: FailureCode::DeviceError,
            text: "the device's cover is open: close it".to_owned(),
            plugin: Some(recueil_wire::host::PluginFailure {
                status: -16,
                vendor_code: 42,
                text: "E42".to_owned(),
            }),
        };
        let error = device_error(&failure);
        assert_eq!(error.code, Code::DeviceTrouble);
        assert!(error.text.contains("close it"));
        assert_eq!(error.details["vendor-code"], "42");
    }
}
