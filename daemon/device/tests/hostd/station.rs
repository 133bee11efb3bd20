//! A private bus with one plugin folder, hostd on it in this process, and its `recueild`.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use recueil_device::Sha256;
use recueil_device::config::Config;
use recueil_device::{Deadlines, Hostd, run};
use recueil_wire::AsyncSocket;
use recueil_wire::devices::{
    Answer, Call, CaptureParams, Device, DeviceState, Failure, FromHostd, Modality, Notice, Plugin, Request,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::virtual_device::{Line, VirtualDevice};

pub(crate) const FP4: &str = "virtual-fp4-SN1";
/// The longest that any step may take; only a broken test comes near it.
const LIMIT: Duration = Duration::from_mins(1);

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future)
        .await
        .expect("it did not happen in a minute")
}

/// Deadlines that nothing passes; a test shortens the one that it is about.
pub(crate) fn patient() -> Deadlines {
    Deadlines {
        prepare: LIMIT,
        load: LIMIT,
        create: LIMIT,
        open: LIMIT,
        ask: LIMIT,
        capture_slack: LIMIT,
        cancel: LIMIT,
        close: LIMIT,
        say: LIMIT,
    }
}

/// Folders of a private bus.
pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folders = Self { root };
        chmod(folders.root.path(), 0o755);
        for dir in ["plugins", "virtual", "state", "run"] {
            std::fs::create_dir(folders.path(dir)).unwrap();
            chmod(&folders.path(dir), 0o755);
        }
        folders.install("fr.recueil.fake", "", "fp4");
        folders
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    /// A plugin for one model, whose host behaves so.
    pub(crate) fn install(&self, id: &str, behaviour: &str, model: &str) {
        let dir = self.path("plugins").join(id);
        std::fs::create_dir_all(&dir).unwrap();
        chmod(&dir, 0o755);
        let library = "no machine code: the fake host reads it as text";
        let sha256 = Sha256::of(library.as_bytes());
        let manifest = format!(
            "manifest = 1\nid = \"{id}\"\nname = \"Fake\"\nversion = \"1.0.0\"\nabi = \"1.0\"\n\
             arch = \"{}-linux-gnu\"\nlibrary = \"fake.so\"\nsha256 = \"{sha256}\"\n\
             modalities = [\"fingerprint\"]\nmatch = [{{ bus = \"virtual\", model = \"{model}\" }}]\n\
             limits = {{ memory_mib = 64 }}\nconfig = {{ behaviour = \"{behaviour}\", gain = \"1\" }}\n",
            std::env::consts::ARCH,
        );
        for (name, text) in [("fake.so", library), ("plugin.toml", &manifest)] {
            std::fs::write(dir.join(name), text).unwrap();
            chmod(&dir.join(name), 0o644);
        }
    }

    /// The table `[hostd]` for this bus.
    pub(crate) fn config_text(&self, recueild: u32) -> String {
        let path = |name| self.path(name).display().to_string();
        format!(
            "[hostd]\nsocket = {:?}\nrecueild = {recueild}\nplugin_dirs = [{:?}]\nstate_dir = {:?}\n\
             host_program = {:?}\nvirtual_dir = {:?}\nlandlock_abi_max = 2\ntrust_own_uid = true\n",
            path("run/hostd.sock"),
            path("plugins"),
            path("state"),
            fake_host().display().to_string(),
            path("virtual"),
        )
    }
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Cargo builds it beside the tests.
pub(crate) fn fake_host() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples/fake-host");
    assert!(
        path.exists(),
        "build it: cargo build -p recueil-device --examples"
    );
    path
}

/// hostd in this process.
pub(crate) struct Station {
    pub(crate) folders: Folders,
    stop: CancellationToken,
    hostd: JoinHandle<Result<(), recueil_device::Error>>,
}

impl Station {
    /// With one plugin for model `fp4`, whose host behaves so.
    pub(crate) fn start(behaviour: &str, deadlines: Deadlines) -> Self {
        let folders = Folders::new();
        folders.install("fr.recueil.fake", behaviour, "fp4");
        Self::start_in(folders, "", deadlines)
    }

    pub(crate) fn start_in(folders: Folders, more_config: &str, deadlines: Deadlines) -> Self {
        let text = format!("{}{more_config}", folders.config_text(own_uid()));
        let config = Config::parse(&text, Path::new("recueil.toml")).unwrap();
        let hostd = Hostd::bind(config).unwrap().with_deadlines(deadlines);
        let stop = CancellationToken::new();
        let hostd = tokio::spawn(run(hostd, stop.clone().cancelled_owned()));
        Self { folders, stop, hostd }
    }

    pub(crate) fn virtual_dir(&self) -> PathBuf {
        self.folders.path("virtual")
    }

    /// Connected and heard: from now on no notice is missed.
    pub(crate) async fn connect(&self) -> Recueild {
        let mut recueild = Recueild::connect(&self.folders.path("run/hostd.sock"));
        recueild.list().await;
        recueild
    }

    /// A connection, a device that is plugged in and whose host waits, and that host.
    pub(crate) async fn ready(&self) -> (Recueild, VirtualDevice, Line) {
        let mut recueild = self.connect().await;
        let device = VirtualDevice::plug(&self.virtual_dir(), "fp4.SN1");
        let (line, _) = device.host().await;
        recueild.state(DeviceState::Ready).await;
        (recueild, device, line)
    }

    pub(crate) async fn stop(self) {
        self.stop_and_keep().await;
    }

    /// Stops hostd; what it stored stays.
    pub(crate) async fn stop_and_keep(self) -> Folders {
        self.stop.cancel();
        soon(self.hostd).await.unwrap().unwrap();
        self.folders
    }
}

/// The other end of hostd's socket.
pub(crate) struct Recueild {
    socket: AsyncSocket,
    calls: u64,
    notices: VecDeque<Notice>,
}

impl Recueild {
    pub(crate) fn connect(path: &Path) -> Self {
        Self {
            socket: AsyncSocket::connect(path).unwrap(),
            calls: 0,
            notices: VecDeque::new(),
        }
    }

    /// Sends a call; its answer is waited for with [`Self::answer`].
    pub(crate) async fn ask(&mut self, call: Call) -> u64 {
        self.calls += 1;
        let request = Request { id: self.calls, call };
        soon(self.socket.send(&request, &[])).await.unwrap();
        self.calls
    }

    /// Sends what may not be a call at all.
    pub(crate) async fn say(&mut self, message: &serde_json::Value) {
        soon(self.socket.send(message, &[])).await.unwrap();
    }

    /// The answer to that call, which must be the next answer.
    pub(crate) async fn answer(&mut self, asked: u64) -> (Result<Answer, Failure>, Vec<OwnedFd>) {
        loop {
            let received = soon(self.socket.recv::<FromHostd>()).await.unwrap();
            match received.message {
                FromHostd::Reply { id, answer } => {
                    assert_eq!(id, asked, "answers come in another order: {answer:?}");
                    return (answer, received.fds);
                }
                FromHostd::Notice(notice) => self.notices.push_back(notice),
            }
        }
    }

    pub(crate) async fn call(&mut self, call: Call) -> Result<Answer, Failure> {
        let asked = self.ask(call).await;
        self.answer(asked).await.0
    }

    pub(crate) async fn list(&mut self) -> (Vec<Device>, Vec<Plugin>) {
        match self.call(Call::List).await {
            Ok(Answer::Devices { devices, plugins, .. }) => (devices, plugins),
            other => panic!("{other:?}"),
        }
    }

    /// Opens a session and gives the analyser's end of its frame socket.
    pub(crate) async fn open(&mut self) -> OwnedFd {
        let asked = self.ask(Call::Open { device: FP4.into() }).await;
        let (answer, mut fds) = self.answer(asked).await;
        assert_eq!(answer, Ok(Answer::Done));
        assert_eq!(fds.len(), 1);
        fds.remove(0)
    }

    pub(crate) async fn start(&mut self, req: u64, deadline_ms: u32) -> Result<Answer, Failure> {
        let params = CaptureParams {
            modality: Modality::Fingerprint,
            format: None,
            ppi_milli: 0,
            deadline_ms,
            preview_fps: 0,
            position: None,
            missing: Vec::new(),
            area_um: None,
        };
        let device = FP4.into();
        self.call(Call::Start { device, req, params }).await
    }

    pub(crate) async fn close(&mut self) -> Result<Answer, Failure> {
        self.call(Call::Close { device: FP4.into() }).await
    }

    /// The next notice of the kind that `wanted` takes; those before it are passed over.
    pub(crate) async fn notice<T>(&mut self, wanted: impl Fn(Notice) -> Option<T>) -> T {
        loop {
            let notice = match self.notices.pop_front() {
                Some(notice) => notice,
                None => match soon(self.socket.recv::<FromHostd>()).await.unwrap().message {
                    FromHostd::Notice(notice) => notice,
                    FromHostd::Reply { id, answer } => {
                        panic!("an answer to {id} that nobody awaits: {answer:?}")
                    }
                },
            };
            if let Some(found) = wanted(notice) {
                return found;
            }
        }
    }

    /// Waits until the device says that it is in this state.
    pub(crate) async fn state(&mut self, state: DeviceState) -> Device {
        self.notice(|notice| match notice {
            Notice::Device { device } if device.id == FP4 && device.state == state => Some(*device),
            _ => None,
        })
        .await
    }

    /// The next word of the device's state, whichever it is.
    pub(crate) async fn next_state(&mut self) -> Device {
        self.notice(|notice| match notice {
            Notice::Device { device } if device.id == FP4 => Some(*device),
            _ => None,
        })
        .await
    }

    /// Waits for the end of a capture.
    pub(crate) async fn captured(&mut self) -> (u64, u32, Option<Failure>) {
        self.notice(|notice| match notice {
            Notice::Captured {
                req,
                results,
                failure,
                ..
            } => Some((req, results, failure)),
            _ => None,
        })
        .await
    }

    /// Waits for the end of a session that was not asked for.
    pub(crate) async fn host_ended(&mut self) -> Failure {
        self.notice(|notice| match notice {
            Notice::HostEnded { failure, .. } => Some(failure),
            _ => None,
        })
        .await
    }

    /// Waits until hostd closes the connection.
    pub(crate) async fn is_closed(&self) {
        loop {
            match soon(self.socket.recv::<FromHostd>()).await {
                Ok(_) => {}
                Err(recueil_wire::Error::Closed) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
