//! Stands for `recueil-device-host` in tests of hostd: speaks its protocol, loads nothing, and does what it
//! is told, by the plugin's configuration (`behaviour`) and by lines on the device's socket.
//!
//! To the device it says what comes from hostd, a line each: `loaded {…}`, `attach`, `capture 7`,
//! `cancel 7`, `feedback`, `close`. From the device it takes:
//!
//! | line | does |
//! |---|---|
//! | `say TEXT` | sends TEXT to hostd as one message |
//! | `flood N TEXT` | sends it N times |
//! | `abort` | ends by SIGABRT |
//! | `exit N` | ends with that status |
//!
//! Words in `behaviour`: `hang-load`, `hang-STEP`, `abort-load`, `fail-STAGE`, `ignore-cancel`, `ignore-close`,
//! `stop-reading`, `store` (before it is ready).
//!
//! Called with a path it is a stranger: it connects there and tells by its exit status whether it is heard.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use recueil_dossier::PixelFormat;
use recueil_wire::devices::{Call, Capabilities, Identity, Modality, Request};
use recueil_wire::host::{Confinement, FromHost, Load, PluginFailure, Step, ToHost};
use recueil_wire::{AsyncSocket, Error, MemoryError, Socket};

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let done = match std::env::args_os().nth(1) {
        Some(path) => return ask_as_a_stranger(Path::new(&path)),
        None => play(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(99),
    }
}

/// 0 if the connection is closed without an answer, 1 if there is one.
fn ask_as_a_stranger(path: &Path) -> ExitCode {
    let ask = async {
        let socket = AsyncSocket::connect(path)?;
        socket
            .send(
                &Request {
                    id: 1,
                    call: Call::List,
                },
                &[],
            )
            .await?;
        socket.recv::<serde_json::Value>().await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(ask)) {
        Ok(Err(Error::Closed)) => ExitCode::SUCCESS,
        Ok(Ok(_)) => ExitCode::from(1),
        _ => ExitCode::from(2),
    }
}

fn play() -> Outcome {
    let socket = Arc::new(Socket::new(recueil_wire::inherited_socket()?));
    let received = socket.recv::<ToHost>()?;
    let ToHost::Load(load) = received.message else {
        return Err("the first message is not Load".into());
    };
    let mut fds = received.fds.into_iter();
    let (library, device) = fds.next().zip(fds.next()).ok_or("not two descriptors")?;
    let stored = fds.next();
    let device = UnixStream::from(device);
    let behaviour = load.config.get("behaviour").cloned().unwrap_or_default();
    let does = |word: &str| behaviour.split(' ').any(|each| each == word);

    let mut code = String::new();
    std::fs::File::from(library).read_to_string(&mut code)?;
    writeln!(&device, "loaded {}", told(&load, &code, stored.as_ref())?)?;
    if does("hang-load") {
        hang();
    }
    if does("abort-load") {
        std::process::abort();
    }
    for (step, word) in [
        (Step::Create, "hang-create"),
        (Step::Open, "hang-open"),
        (Step::Info, "hang-info"),
        (Step::Caps, "hang-caps"),
    ] {
        socket.send(&FromHost::Begins { step }, &[])?;
        if does(word) {
            hang();
        }
    }
    for stage in ["sandbox", "entry", "open"] {
        if does(&format!("fail-{stage}")) {
            let failure = failure(-9);
            let stage = stage.to_owned();
            socket.send(&FromHost::Failed { stage, failure }, &[])?;
            return Ok(());
        }
    }
    let script = (socket.clone(), device.try_clone()?);
    std::thread::spawn(move || follow(&script.0, &script.1));
    if does("store") {
        for key in ["gain", "../gain"] {
            let (key, part) = (key.to_owned(), "c0ffee".to_owned());
            let last = true;
            socket.send(&FromHost::BlobPut { key, part, last }, &[])?;
        }
    }
    socket.send(&ready(), &[])?;
    if does("stop-reading") {
        hang();
    }
    let mut _frames = Vec::new();
    loop {
        let (message, fds) = match socket.recv::<ToHost>() {
            Ok(received) => (received.message, received.fds),
            Err(Error::Closed) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match message {
            ToHost::Load(_) => return Err("a second Load".into()),
            ToHost::AttachFrames => {
                _frames = fds;
                writeln!(&device, "attach")?;
            }
            ToHost::Capture { req, .. } => writeln!(&device, "capture {req}")?,
            ToHost::Feedback(_) => writeln!(&device, "feedback")?,
            ToHost::Cancel { req } => {
                writeln!(&device, "cancel {req}")?;
                if !does("ignore-cancel") {
                    let failure = Some(failure(-6));
                    let captured = FromHost::Captured {
                        req,
                        results: 0,
                        previews: 3,
                        failure,
                        broken_rule: None,
                    };
                    socket.send(&captured, &[])?;
                }
            }
            ToHost::Close => {
                writeln!(&device, "close")?;
                if !does("ignore-close") {
                    return Ok(());
                }
            }
        }
    }
}

/// What hostd gave, for the test to look at.
fn told(load: &Load, code: &str, stored: Option<&OwnedFd>) -> Result<serde_json::Value, MemoryError> {
    let len = load.blobs.iter().map(|blob| blob.len).sum();
    let bytes = match stored {
        Some(memory) => recueil_wire::read_memory(memory, len, 1 << 20)?.to_vec(),
        None => Vec::new(),
    };
    let keys: Vec<_> = load.blobs.iter().map(|blob| &blob.key).collect();
    Ok(serde_json::json!({
        "pid": std::process::id(),
        "environment": std::env::vars_os().count(),
        "descriptors": descriptors(),
        "library": code,
        "serial": load.serial,
        "config": load.config,
        "blobs": [keys, bytes],
        "memory_mib": load.sandbox.memory_mib,
        "landlock_abi_max": load.sandbox.landlock_abi_max,
        "allow_unsandboxed": load.sandbox.allow_unsandboxed,
    }))
}

/// What is open here: `socket:[1234]`, `/dev/null`, `anon_inode:inotify`.
fn descriptors() -> Vec<String> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}

fn ready() -> FromHost {
    let text = |text: &str| text.to_owned();
    FromHost::Ready {
        plugin_version: text("1.0.0"),
        identity: Identity {
            vendor: text("Acme\n"),
            model: text("FP4"),
            serial: text("SN"),
            firmware: text("1"),
        },
        capabilities: Capabilities {
            modalities: vec![Modality::Fingerprint],
            width_max: 1600,
            height_max: 1500,
            ppi_milli: 500_000,
            formats: vec![PixelFormat::Gray8],
            preview: true,
            capture_timeout_ms: 10_000,
        },
        confinement: Confinement {
            landlock_abi: 2,
            seccomp: true,
        },
    }
}

fn failure(status: i32) -> PluginFailure {
    PluginFailure {
        status,
        vendor_code: 0,
        text: "in the vendor's words".into(),
    }
}

fn follow(socket: &Socket, device: &UnixStream) -> Outcome {
    for line in BufReader::new(device).lines() {
        let line = line?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "say" => socket.send(&serde_json::from_str::<serde_json::Value>(rest)?, &[])?,
            "flood" => {
                let (times, text) = rest.split_once(' ').ok_or("flood N TEXT")?;
                let message: serde_json::Value = serde_json::from_str(text)?;
                for _ in 0..times.parse::<u32>()? {
                    socket.send(&message, &[])?;
                }
            }
            "abort" => std::process::abort(),
            #[expect(
                clippy::disallowed_methods,
                clippy::exit,
                reason = "ends all threads, as a vendor's code may"
            )]
            "exit" => std::process::exit(rest.parse()?),
            _ => return Err("an unknown line".into()),
        }
    }
    Ok(())
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}
