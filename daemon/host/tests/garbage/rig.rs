//! The real hostd in this process, the real host program, a faulty plugin and a witness that has no fault.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recueil_device::config::Config;
use recueil_device::{Deadlines, Hostd, Sha256, run};
use recueil_dossier::{FingerPosition, FrameKind};
use recueil_wire::devices::{
    Answer, Call, CaptureParams, Device, DeviceState, Failure, FromHostd, Modality, Notice, Request,
};
use recueil_wire::{AsyncSocket, Socket, frames, shared_memory};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The plugin with the fault.
pub(crate) const FAULTY: &str = "org.example.faulty";
const FAULTY_DEVICE: &str = "virtual-faulty-SN1";
const WITNESS_DEVICE: &str = "virtual-witness-SN1";
/// A frame of the test plugins.
const FRAME_BYTES: u64 = 128;
/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// How one capture ended.
pub(crate) struct Ended {
    pub(crate) failure: Option<Failure>,
    pub(crate) journal: Vec<String>,
}

impl Ended {
    /// Whether the log says so of the faulty plugin, by its name.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.journal
            .iter()
            .any(|line| line.contains(words) && line.contains(FAULTY))
    }
}

/// What hostd wrote to its log.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<u8>>>);

impl Journal {
    pub(crate) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn has(&self, words: &str) -> bool {
        self.lines().iter().any(|line| line.contains(words))
    }
}

impl Write for Journal {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(crate) struct Rig {
    root: TempDir,
    devices: Vec<UnixListener>,
    hostd: JoinHandle<Result<(), recueil_device::Error>>,
    stop: CancellationToken,
    recueild: AsyncSocket,
    calls: u64,
    reqs: u64,
    notices: VecDeque<Notice>,
    /// The analyser's end, of the session of the faulty device.
    frames: Option<Socket>,
    journal: Journal,
    _subscriber: tracing::subscriber::DefaultGuard,
}

impl Rig {
    /// Both devices are ready.
    pub(crate) async fn start(fault: &str) -> Self {
        let mut rig = Self::start_without_waiting(fault).await;
        rig.until_state(DeviceState::Ready).await;
        rig
    }

    /// The witness is ready.
    pub(crate) async fn start_without_waiting(fault: &str) -> Self {
        let journal = Journal::default();
        let writer = journal.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);

        let root = tempfile::tempdir().unwrap();
        for dir in ["plugins", "virtual", "state", "run"] {
            make_dir(&root.path().join(dir));
        }
        install(root.path(), FAULTY, "faulty", fault);
        install(root.path(), "org.example.witness", "witness", "none");
        let deadlines = Deadlines {
            create: Duration::from_millis(500),
            capture_slack: Duration::from_millis(200),
            ..Deadlines::default()
        };
        let hostd = Hostd::bind(config(root.path()))
            .unwrap()
            .with_deadlines(deadlines);
        let stop = CancellationToken::new();
        let hostd = tokio::spawn(run(hostd, stop.clone().cancelled_owned()));
        let recueild = AsyncSocket::connect(&root.path().join("run/hostd.sock")).unwrap();
        let mut rig = Self {
            root,
            devices: Vec::new(),
            hostd,
            stop,
            recueild,
            calls: 0,
            reqs: 0,
            notices: VecDeque::new(),
            frames: None,
            journal,
            _subscriber: guard,
        };
        rig.ask(Call::List).await.unwrap();
        rig.plug("witness");
        rig.until(WITNESS_DEVICE, DeviceState::Ready).await;
        rig.plug("faulty");
        rig
    }

    fn plug(&mut self, model: &str) {
        let dir = self.root.path().join("virtual");
        let hidden = dir.join(format!("{model}.new"));
        let listener = UnixListener::bind(&hidden).unwrap();
        std::fs::rename(&hidden, dir.join(format!("{model}.SN1.sock"))).unwrap();
        self.devices.push(listener);
    }

    pub(crate) fn journal(&self) -> Journal {
        self.journal.clone()
    }

    /// Waits for a state of the faulty device.
    pub(crate) async fn until_state(&mut self, state: DeviceState) -> Device {
        self.until(FAULTY_DEVICE, state).await
    }

    async fn until(&mut self, id: &str, state: DeviceState) -> Device {
        self.notice(|notice| match notice {
            Notice::Device { device } if device.id == id && device.state == state => {
                Some(device.as_ref().clone())
            }
            _ => None,
        })
        .await
    }

    /// A capture of the witness begins and ends well while one of the faulty device runs.
    pub(crate) async fn capture_beside_a_witness(&mut self) -> Ended {
        self.begin(20_000).await;
        self.capture_of_the_witness().await;
        let (_, failure) = self.captured().await;
        Ended {
            failure,
            journal: self.journal.lines(),
        }
    }

    pub(crate) async fn capture_of_the_witness(&mut self) {
        let _frames = self.open_and_start(WITNESS_DEVICE, 20_000).await;
        let (results, failure) = self.captured_of(WITNESS_DEVICE).await;
        assert_eq!((results, failure), (1, None), "the witness");
        let device = WITNESS_DEVICE.to_owned();
        self.ask(Call::Close { device }).await.unwrap();
    }

    /// A whole capture of the faulty device.
    pub(crate) async fn capture(&mut self, deadline_ms: u32) -> (u32, Option<Failure>) {
        self.begin(deadline_ms).await;
        self.captured().await
    }

    pub(crate) async fn begin(&mut self, deadline_ms: u32) {
        self.frames = Some(self.open_and_start(FAULTY_DEVICE, deadline_ms).await);
    }

    pub(crate) async fn cancel(&mut self) {
        let (device, req) = (FAULTY_DEVICE.to_owned(), self.reqs);
        self.ask(Call::Stop { device, req }).await.unwrap();
    }

    pub(crate) async fn captured(&mut self) -> (u32, Option<Failure>) {
        self.captured_of(FAULTY_DEVICE).await
    }

    async fn captured_of(&mut self, id: &str) -> (u32, Option<Failure>) {
        self.notice(|notice| match notice {
            Notice::Captured {
                device,
                results,
                failure,
                ..
            } if device == id => Some((*results, failure.clone())),
            _ => None,
        })
        .await
    }

    /// The connection ends, and another comes.
    pub(crate) async fn reconnect(&mut self) {
        self.recueild = AsyncSocket::connect(&self.root.path().join("run/hostd.sock")).unwrap();
        self.notices.clear();
        self.ask(Call::List).await.unwrap();
    }

    async fn open_and_start(&mut self, device: &str, deadline_ms: u32) -> Socket {
        let device = device.to_owned();
        let opened = self
            .ask(Call::Open {
                device: device.clone(),
            })
            .await
            .unwrap();
        let frames = Socket::new(opened.expect("the frame socket"));
        for (index, kind) in [FrameKind::Preview, FrameKind::Result].into_iter().enumerate() {
            let memory = shared_memory("test", FRAME_BYTES).unwrap();
            let lent = frames::ToHost::Buffer {
                index: u32::try_from(index).unwrap(),
                kind,
                capacity: FRAME_BYTES,
            };
            frames.send(&lent, &[memory.as_fd()]).unwrap();
        }
        self.reqs += 1;
        let params = CaptureParams {
            modality: Modality::Fingerprint,
            format: None,
            ppi_milli: 0,
            deadline_ms,
            preview_fps: 0,
            position: Some(FingerPosition::LEFT_SLAP),
            missing: Vec::new(),
            area_um: None,
        };
        let req = self.reqs;
        self.ask(Call::Start { device, req, params }).await.unwrap();
        frames
    }

    /// Calls hostd; gives the descriptor that came with the answer.
    async fn ask(&mut self, call: Call) -> Result<Option<OwnedFd>, Failure> {
        self.calls += 1;
        let request = Request { id: self.calls, call };
        self.recueild.send(&request, &[]).await.unwrap();
        loop {
            let mut received = soon(self.recueild.recv::<FromHostd>()).await.unwrap();
            match received.message {
                FromHostd::Reply { id, answer } => {
                    assert_eq!(id, self.calls);
                    return answer.map(|answer: Answer| {
                        drop(answer);
                        received.fds.pop()
                    });
                }
                FromHostd::Notice(notice) => self.notices.push_back(notice),
            }
        }
    }

    /// The first notice that is wanted; others stay for whoever wants them.
    async fn notice<T>(&mut self, wanted: impl Fn(&Notice) -> Option<T>) -> T {
        loop {
            for index in 0..self.notices.len() {
                if let Some(found) = wanted(&self.notices[index]) {
                    self.notices.remove(index);
                    return found;
                }
            }
            match soon(self.recueild.recv::<FromHostd>()).await.unwrap().message {
                FromHostd::Notice(notice) => self.notices.push_back(notice),
                other @ FromHostd::Reply { .. } => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        let begun = std::time::Instant::now();
        soon(self.hostd).await.unwrap().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it did not happen")
}

/// Lets the runtime go on until it is so.
pub(crate) async fn until(holds: impl Fn() -> bool) {
    soon(async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Processes that this one started and that are not gone.
pub(crate) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
            pids.collect::<Vec<_>>()
        })
        .collect()
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn make_dir(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The plugin under one id, compiled once a process.
fn library(id: &str) -> Vec<u8> {
    static LIBRARIES: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut libraries = LIBRARIES.lock().unwrap();
    libraries
        .entry(id.to_owned())
        .or_insert_with(|| compile(id))
        .clone()
}

fn compile(id: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("garbage.so");
    let status = Command::new("cc")
        .args([
            "-std=gnu11",
            "-O1",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-pthread",
        ])
        .arg(format!("-DPLUGIN_ID=\"{id}\""))
        .arg("-I")
        .arg(root.join("../../sdk/include"))
        .arg(root.join("tests/plugins/garbage.c"))
        .arg("-o")
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success(), "cc: {status}");
    std::fs::read(path).unwrap()
}

fn install(root: &Path, id: &str, model: &str, fault: &str) {
    let dir = root.join("plugins").join(id);
    make_dir(&dir);
    let code = library(id);
    let manifest = format!(
        "manifest = 1\nid = \"{id}\"\nname = \"Test\"\nversion = \"1.2.3\"\nabi = \"1.0\"\n\
         arch = \"{}-linux-gnu\"\nlibrary = \"garbage.so\"\nsha256 = \"{}\"\nmodalities = [\"fingerprint\"]\n\
         match = [{{ bus = \"virtual\", model = \"{model}\" }}]\nlimits = {{ memory_mib = 64, threads = 4 }}\n\
         config = {{ fault = \"{fault}\" }}\n",
        std::env::consts::ARCH,
        Sha256::of(&code),
    );
    for (name, content) in [
        ("garbage.so", code.as_slice()),
        ("plugin.toml", manifest.as_bytes()),
    ] {
        let path: PathBuf = dir.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
}

fn config(root: &Path) -> Config {
    let path = |name: &str| root.join(name).display().to_string();
    let text = format!(
        "[hostd]\nsocket = {:?}\nrecueild = {}\nplugin_dirs = [{:?}]\nstate_dir = {:?}\nhost_program = {:?}\n\
         virtual_dir = {:?}\nlandlock_abi_max = 2\ntrust_own_uid = true\n\
         [hostd.restart]\nfirst_pause_ms = 100\n",
        path("run/hostd.sock"),
        rustix::process::geteuid().as_raw(),
        path("plugins"),
        path("state"),
        env!("CARGO_BIN_EXE_recueil-device-host"),
        path("virtual"),
    );
    Config::parse(&text, Path::new("recueil.toml")).unwrap()
}
