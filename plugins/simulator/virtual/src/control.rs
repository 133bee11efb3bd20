//! The control socket: one JSON object a line, each answered by one line.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::Error;
use crate::device::Device;
use crate::scenario::{self, Command, LINE_MAX_BYTES, Reply};

/// All devices of this program, and what its main thread waits for.
#[derive(Debug, Clone)]
pub struct Bench {
    devices: Arc<[Arc<Device>]>,
    quit: mpsc::Sender<()>,
}

impl Bench {
    /// A bench of devices. The receiver is told once `quit` was commanded on a control socket.
    pub fn new(devices: Vec<Arc<Device>>) -> (Self, mpsc::Receiver<()>) {
        let (quit, quitting) = mpsc::channel();
        let devices = devices.into();
        (Self { devices, quit }, quitting)
    }

    /// Every device.
    pub fn devices(&self) -> &[Arc<Device>] {
        &self.devices
    }

    /// Obeys each line of a scenario file; empty lines and lines that begin with `#` are passed over.
    ///
    /// # Errors
    /// At the first line that cannot be obeyed.
    pub fn obey_file(&self, path: &Path) -> Result<(), Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                continue;
            }
            if let Some(problem) = self.answer(text).error {
                let path = path.to_owned();
                return Err(Error::Scenario { path, line, problem });
            }
        }
        Ok(())
    }

    /// Obeys one line.
    pub fn answer(&self, line: &str) -> Reply {
        let outcome = scenario::parse(line).and_then(|command| self.obey(command));
        match outcome {
            Ok(devices) => Reply {
                ok: true,
                error: None,
                devices,
            },
            Err(error) => Reply {
                ok: false,
                error: Some(error),
                devices: Vec::new(),
            },
        }
    }

    fn obey(&self, command: Command) -> Result<Vec<scenario::DeviceStatus>, String> {
        match command {
            Command::Next {
                device,
                presentations,
            } => {
                if !self.find(&device)?.enqueue(presentations) {
                    return Err("the queue is full".into());
                }
            }
            Command::Default { device, presentation } => self.find(&device)?.set_default(*presentation),
            Command::Clear { device } => self.find(&device)?.clear(),
            Command::Away { device, for_ms } => {
                let device = Arc::clone(self.find(&device)?);
                device.unplug().map_err(|error| error.to_string())?;
                if let Some(for_ms) = for_ms {
                    come_back(device, Duration::from_millis(u64::from(for_ms)));
                }
            }
            Command::Back { device } => self.find(&device)?.plug().map_err(|error| error.to_string())?,
            Command::Await {
                device,
                until,
                timeout_ms,
            } => {
                let timeout = Duration::from_millis(u64::from(timeout_ms));
                if !self.find(&device)?.wait_until(until, timeout) {
                    return Err("the time is over".into());
                }
            }
            Command::Status => return Ok(self.devices.iter().map(|device| device.status()).collect()),
            // Done once the answer is on its way.
            Command::Quit => {}
        }
        Ok(Vec::new())
    }

    fn find(&self, name: &str) -> Result<&Arc<Device>, String> {
        let mut found = self
            .devices
            .iter()
            .filter(|device| device.name() == name || device.info().model == name);
        match (found.next(), found.next()) {
            (Some(device), None) => Ok(device),
            (Some(_), Some(_)) => Err(format!("several devices {name:?}: say MODEL.SERIAL")),
            (None, _) => Err(format!("no device {name:?}")),
        }
    }

    /// Listens on a control socket, in a thread of its own.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn listen(&self, path: &Path) -> Result<(), Error> {
        let wrap = |source| Error::Socket {
            path: path.to_owned(),
            source,
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(wrap(error)),
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(wrap)?;
        // Who may connect is decided by the folder's permissions.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(wrap)?;
        let bench = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bench = bench.clone();
                std::thread::spawn(move || {
                    if let Err(error) = bench.converse(&stream) {
                        tracing::debug!(%error, "a control connection ended");
                    }
                });
            }
        });
        Ok(())
    }

    fn converse(&self, stream: &UnixStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(line) = read_line(&mut reader)? {
            let mut reply = serde_json::to_vec(&self.answer(&line))?;
            reply.push(b'\n');
            let mut stream = stream;
            stream.write_all(&reply)?;
            if scenario::parse(&line) == Ok(Command::Quit) {
                return self.quit.send(()).map_err(std::io::Error::other);
            }
        }
        Ok(())
    }
}

/// Sends one line to a control socket and gives the answer.
///
/// # Errors
/// If nobody answers there.
pub fn send(path: &Path, line: &str) -> Result<Reply, Error> {
    let wrap = |source| Error::Socket {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(wrap)?;
    let line = format!("{}\n", line.replace('\n', " "));
    stream.write_all(line.as_bytes()).map_err(wrap)?;
    let reply = read_line(&mut BufReader::new(&stream)).map_err(wrap)?;
    let reply = reply.unwrap_or_default();
    serde_json::from_str(&reply).map_err(|error| wrap(error.into()))
}

fn read_line(reader: &mut impl std::io::BufRead) -> std::io::Result<Option<String>> {
    let limit = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
    let mut line = String::new();
    let read = reader.take(limit).read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}

fn come_back(device: Arc<Device>, after: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(after);
        if let Err(error) = device.plug() {
            tracing::warn!(device = device.name(), %error, "a device could not come back");
        }
    });
}
