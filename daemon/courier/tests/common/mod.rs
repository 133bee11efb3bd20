//! A CERT, a courier and a `recueild` in one process, in a folder of their own.

#![allow(dead_code, reason = "each test program uses its part of this")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

pub(crate) mod disk;

use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use recueil_cert::Server;
use recueil_courier::{Config, Courier, Error};
use recueil_dossier::{DossierId, Draft, Opening, Procedure, ReceiptKind};
use recueil_seal::{Clock, Recipient, Roots, SealContext, SealingKey, seal};
use recueil_wire::AsyncSocket;
use recueil_wire::courier::{Answer, Call, Failure, FromCourier, Progress, Request, Stage};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Place {
    pub(crate) root: tempfile::TempDir,
    pub(crate) cert_dir: PathBuf,
    pub(crate) ready_dir: PathBuf,
    pub(crate) state_dir: PathBuf,
    /// CERT's host in the url.
    pub(crate) host: String,
    /// More lines of the table `[courier]`.
    pub(crate) more: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    /// In memory where there is a folder that is: for tests of the line, to which the disk is nothing.
    pub(crate) fn in_memory() -> Self {
        let memory = tempfile::tempdir_in("/dev/shm");
        Self::in_folder(memory.unwrap_or_else(|_none| tempfile::tempdir().unwrap()))
    }

    fn in_folder(root: tempfile::TempDir) -> Self {
        let path = |name: &str| root.path().join(name);
        let (cert_dir, ready_dir, state_dir) = (path("cert"), path("ready"), path("state"));
        std::fs::create_dir(&ready_dir).unwrap();
        std::fs::create_dir(&state_dir).unwrap();
        recueil_cert::init(&cert_dir, "ST-1", 30).unwrap();
        Self {
            root,
            cert_dir,
            ready_dir,
            state_dir,
            host: "127.0.0.1".to_owned(),
            more: String::new(),
        }
    }

    pub(crate) fn station(&self, file: &str) -> PathBuf {
        self.cert_dir.join("station").join(file)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.path().join("courier.sock")
    }

    /// The configuration for a CERT at `port`.
    pub(crate) fn config_text(&self, port: Option<u16>, recueild: u32) -> String {
        let socket = self.socket();
        let [socket, ready, state] = [&socket, &self.ready_dir, &self.state_dir].map(|path| path.display());
        let own = format!(
            "[courier]\nsocket = '{socket}'\nrecueild = {recueild}\nready_dir = '{ready}'\nstate_dir = '{state}'\n\
             station = 'ST-1'\nchunk_bytes = 65536\nretry_base_s = 1\nretry_max_s = 1\n{}",
            self.more
        );
        let Some(port) = port else { return own };
        let station = self.cert_dir.join("station");
        let station = station.display();
        format!(
            "{own}url = 'https://{}:{port}'\ntls_key = '{station}/tls.key'\n\
             tls_certificate = '{station}/tls.crt'\ntls_roots = ['{station}/trust/tls-root.crt']\n",
            self.host
        )
    }

    pub(crate) fn config(&self, port: Option<u16>) -> Config {
        let uid = rustix::process::geteuid().as_raw();
        Config::parse(&self.config_text(port, uid), Path::new("test.toml")).unwrap()
    }

    pub(crate) fn parcel_path(&self, id: DossierId) -> PathBuf {
        self.ready_dir.join(format!("{id}.p7m"))
    }

    pub(crate) fn receipt(&self, id: DossierId, kind: &str) -> Option<Vec<u8>> {
        std::fs::read(self.state_dir.join(format!("receipts/{id}.{kind}.p7s"))).ok()
    }

    /// Puts a file into the outbox as `recueild` does.
    pub(crate) fn put(&self, id: DossierId, bytes: &[u8]) {
        let unfinished = self.ready_dir.join(format!(".tmp-{id}.p7m"));
        std::fs::write(&unfinished, bytes).unwrap();
        std::fs::rename(unfinished, self.parcel_path(id)).unwrap();
    }

    /// A parcel that CERT can open.
    pub(crate) fn sealed(&self, number: u8) -> (DossierId, Vec<u8>) {
        let procedure = "procedure = 1\nid = 'essai'\ntitle = 'Essai'\nkind = 'deposit'\nprofile = 'cni'\n[sources]\n\
                         essai = 'this test'\n\
                         [[step]]\nid = 'etat-civil'\ntype = 'fields'\nfields = [{ name = 'nom', max_chars = 10 }]\n";
        let procedure = Procedure::parse(procedure).unwrap();
        let id = id(number);
        let now = Timestamp::now();
        let opening = Opening {
            id,
            owner_uid: 1000,
            agent: "agent.dupont".parse().unwrap(),
            at: now,
            expires_at: now,
            demande: None,
        };
        let dossier = Draft::open(&procedure, opening)
            .finish(&procedure, Vec::new())
            .unwrap();
        let rng = ring::rand::SystemRandom::new();
        let key = key(&self.station("seal.key"));
        let key = SealingKey::from_pkcs8_der(&key, &certificate(&self.station("seal.crt")), &rng).unwrap();
        let roots = Roots::from_der(&[certificate(&self.station("trust/cert-root.crt"))]).unwrap();
        let recipients = ["cert-encryption.crt", "escrow.crt"].map(|name| {
            let der = certificate(&self.station("trust").join(name));
            Recipient::from_certificate_der(&der, &roots, now).unwrap()
        });
        let context = SealContext {
            station: &"ST-1".parse().unwrap(),
            sequence: u64::from(number),
            now,
            clock: Clock::Unsynchronised,
            application: "test 1",
            key: &key,
            recipients: &recipients,
        };
        (id, seal(dossier, &context, &rng).unwrap().bytes)
    }

    /// Starts a courier and connects to it.
    pub(crate) async fn courier(&self, port: Option<u16>) -> Running {
        self.courier_with(self.config(port)).await
    }

    pub(crate) async fn courier_with(&self, config: Config) -> Running {
        let courier = Courier::bind(config).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(recueil_courier::run(courier, async {
            let _whatever = stopped.await;
        }));
        let socket = AsyncSocket::connect(&self.socket()).unwrap();
        Running {
            socket,
            stop,
            task,
            calls: 0,
            news: Vec::new(),
        }
    }
}

pub(crate) fn id(number: u8) -> DossierId {
    DossierId::new(
        Timestamp::from_second(1_800_000_000 + i64::from(number)).unwrap(),
        [number; 10],
    )
}

/// Bytes that are no CMS: CERT stores them, then refuses.
pub(crate) fn junk(len: usize) -> Vec<u8> {
    (0..len)
        .map(|index| u8::try_from(index * 7 % 251).unwrap())
        .collect()
}

pub(crate) fn certificate(path: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(path).unwrap().to_vec()
}

fn key(path: &Path) -> Vec<u8> {
    match PrivateKeyDer::from_pem_file(path).unwrap() {
        PrivateKeyDer::Pkcs8(key) => key.secret_pkcs8_der().to_vec(),
        other => panic!("{other:?}"),
    }
}

/// A courier and `recueild`'s end of its socket.
pub(crate) struct Running {
    socket: AsyncSocket,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
    calls: u64,
    /// Everything that was told unasked.
    pub(crate) news: Vec<FromCourier>,
}

impl Running {
    pub(crate) async fn call(&mut self, call: Call) -> (Result<Answer, Failure>, Vec<OwnedFd>) {
        self.calls += 1;
        let request = Request { id: self.calls, call };
        self.socket.send(&request, &[]).await.unwrap();
        loop {
            let received = timeout(PATIENCE, self.socket.recv()).await.unwrap().unwrap();
            match received.message {
                FromCourier::Reply { id, answer } if id == self.calls => return (answer, received.fds),
                news => self.news.push(news),
            }
        }
    }

    pub(crate) async fn line(&mut self) -> (Option<bool>, Option<String>, Vec<Progress>) {
        match self.call(Call::Line).await.0.unwrap() {
            Answer::Line {
                reachable,
                trouble,
                parcels,
            } => (reachable, trouble, parcels),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for news, of what was told before too.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&FromCourier) -> bool) {
        if self.news.iter().any(&mut wanted) {
            return;
        }
        loop {
            let received = timeout(PATIENCE, self.socket.recv::<FromCourier>()).await;
            let message = received
                .unwrap_or_else(|_late| panic!("only {:?}", self.news))
                .unwrap()
                .message;
            self.news.push(message.clone());
            if wanted(&message) {
                return;
            }
        }
    }

    pub(crate) async fn until_receipt(&mut self, id: DossierId, wanted: ReceiptKind) {
        self.until(|news| matches!(news, FromCourier::Receipt { dossier, kind } if (*dossier, *kind) == (id, wanted)))
            .await;
    }

    /// Waits until a final receipt has come, asking again at once after each failure. How many there were.
    pub(crate) async fn carry(&mut self, id: DossierId) -> u32 {
        let (mut seen, mut failures) = (0, 0);
        loop {
            while let Some(news) = self.news.get(seen) {
                seen += 1;
                match news {
                    FromCourier::Receipt { dossier, kind }
                        if *dossier == id && *kind != ReceiptKind::Stored =>
                    {
                        self.news.clear();
                        return failures;
                    }
                    FromCourier::Progress(progress)
                        if progress.dossier == id
                            && progress.failures > 0
                            && progress.stage != Stage::Sending =>
                    {
                        failures += 1;
                        self.call(Call::Look).await.0.unwrap();
                    }
                    _ => {}
                }
            }
            let received = timeout(PATIENCE, self.socket.recv::<FromCourier>()).await;
            let received = received.unwrap_or_else(|_late| panic!("only {:?}", self.news));
            self.news.push(received.unwrap().message);
        }
    }

    pub(crate) async fn until_failed(&mut self, id: DossierId) {
        self.until(|news| matches!(news, FromCourier::Progress(p) if p.dossier == id && p.failures > 0))
            .await;
    }

    pub(crate) async fn stop(self) {
        let _gone = self.stop.send(());
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
    }
}

/// What CERT has: the answer to `list`.
pub(crate) async fn listed(server: &Server) -> serde_json::Value {
    serde_json::from_str(&server.control(r#"{"do":"list"}"#).await).unwrap()
}

pub(crate) async fn order(server: &Server, line: &str) {
    let answer = server.control(line).await;
    assert!(answer.contains("\"ok\":true"), "{answer}");
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_recueil-courier");
/// Numbers of no user; root starts the program under the first, and speaks to it as itself.
const COURIER_UID: u32 = 64_321;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts the program as a user who is not root, with `recueild` as the only one it listens to; behind another
/// program where `before` names one and its arguments.
pub(crate) fn start(place: &Place, port: Option<u16>, recueild: u32, before: &[&str]) -> Child {
    let config = place.root.path().join("recueil.toml");
    std::fs::write(&config, place.config_text(port, recueild)).unwrap();
    let mut words: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
    // The build folder may be closed to others, so the program is taken out of it.
    let program = place.root.path().join("recueil-courier");
    std::fs::copy(PROGRAM, &program).unwrap();
    if is_root() {
        std::fs::set_permissions(place.root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        give(place.root.path());
        let ids = [format!("--reuid={COURIER_UID}"), format!("--regid={COURIER_UID}")];
        words.extend(["setpriv".to_owned()].into_iter().chain(ids));
        words.extend(["--clear-groups", "--no-new-privs"].map(str::to_owned));
    }
    words.extend([
        program.display().to_string(),
        "--config".to_owned(),
        config.display().to_string(),
    ]);
    Command::new(&words[0])
        .args(&words[1..])
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian packages util-linux and strace")
}

/// Makes the program's user the owner of a folder and of all in it.
fn give(folder: &Path) {
    chown(folder, Some(COURIER_UID), Some(COURIER_UID)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            give(&path);
        }
        chown(&path, Some(COURIER_UID), Some(COURIER_UID)).unwrap();
    }
}

/// Connects once the program listens; none if it ends before. Nothing tells when that is but the socket itself.
pub(crate) async fn connect(place: &Place, program: &mut Child) -> Option<AsyncSocket> {
    let begun = Instant::now();
    loop {
        match AsyncSocket::connect(&place.socket()) {
            Ok(socket) => return Some(socket),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        if program.try_wait().unwrap().is_some() {
            return None;
        }
        tokio::task::yield_now().await;
    }
}

/// Tells the program to end, and waits for it. How long that took.
pub(crate) fn end(mut program: Child) -> Duration {
    let told = Instant::now();
    let pid = rustix::process::Pid::from_child(&program);
    // It may have ended by itself.
    let _told = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    program.wait().unwrap();
    told.elapsed()
}
