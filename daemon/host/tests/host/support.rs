//! A hostd and an analyser to play with.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use recueil_dossier::{FingerPosition, FrameInfo, FrameKind};
use recueil_wire::devices::{CaptureParams, Modality};
use recueil_wire::host::{Blob, Bus, FromHost, Load, PluginFailure, Sandbox, ToHost};
use recueil_wire::{Socket, frames, socket_pair};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::Timeout;
use tempfile::TempDir;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A frame of the test plugins: 16 x 8 grey pixels.
pub(crate) const FRAME_BYTES: u64 = 128;

const HOST_PROGRAM: &str = env!("CARGO_BIN_EXE_recueil-device-host");

fn host_program(socket: OwnedFd) -> Command {
    recueil_wire::command_with_socket(Path::new(HOST_PROGRAM), socket)
}

/// A compiled plugin, alone in its folder.
pub(crate) struct Plugin {
    dir: TempDir,
    library_path: PathBuf,
}

impl Plugin {
    /// From `tests/plugins/<name>.c`.
    pub(crate) fn compile(name: &str) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let dir = tempfile::tempdir()?;
        let library_path = dir.path().join(format!("{name}.so"));
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
            .arg("-I")
            .arg(root.join("../../sdk/include"))
            .arg(root.join(format!("tests/plugins/{name}.c")))
            .arg("-o")
            .arg(&library_path)
            .status()?;
        if !status.success() {
            return Err(format!("cc: {status}").into());
        }
        Ok(Self { dir, library_path })
    }

    /// `examples/rust_plugin.rs`, built by cargo before the tests run.
    pub(crate) fn in_rust() -> Result<Self> {
        let built = Path::new(HOST_PROGRAM).with_file_name("examples/librust_plugin.so");
        let dir = tempfile::tempdir()?;
        let library_path = dir.path().join("rust_plugin.so");
        std::fs::copy(&built, &library_path).map_err(|error| {
            format!(
                "{}: {error}; `cargo test` builds it, `--test host` alone does not",
                built.display()
            )
        })?;
        Ok(Self { dir, library_path })
    }

    fn load(&self) -> Load {
        let mut read_dirs = ["/usr/lib", "/lib", "/lib64"].map(str::to_owned).to_vec();
        read_dirs.push(self.dir.path().display().to_string());
        Load {
            plugin_id: "org.example.test".to_owned(),
            bus: Bus::Virtual,
            path: "/run/test.sock".to_owned(),
            serial: "SN0001".to_owned(),
            usb_vid: 0,
            usb_pid: 0,
            config: BTreeMap::from([("greeting".to_owned(), "bonjour".to_owned())]),
            blobs: vec![Blob {
                key: "dark".to_owned(),
                len: 3,
            }],
            sandbox: Sandbox {
                read_dirs,
                landlock_abi_max: 2,
                allow_unsandboxed: false,
                memory_mib: 64,
                threads: 4,
            },
        }
    }
}

/// hostd's side of one host.
pub(crate) struct Hostd {
    control: Option<Socket>,
    child: Child,
    pidfd: OwnedFd,
    /// The device, as its maker holds it.
    pub(crate) device: UnixStream,
}

impl Hostd {
    /// Starts a host with the program's output on pipes, and says nothing yet.
    fn spawn(command: impl FnOnce(OwnedFd) -> Command) -> Result<(Self, OwnedFd)> {
        let (ours, theirs) = socket_pair()?;
        rustix::net::sockopt::set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
        let (device, handed_over) = UnixStream::pair()?;
        let child = command(theirs)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pid = rustix::process::Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        let hostd = Self {
            control: Some(Socket::new(ours)),
            child,
            pidfd,
            device,
        };
        Ok((hostd, handed_over.into()))
    }

    /// Starts a host and has it load the plugin.
    pub(crate) fn start(plugin: &Plugin) -> Result<Self> {
        Self::start_with(plugin, |_load| ())
    }

    /// As [`Hostd::start`], with changes.
    pub(crate) fn start_with(plugin: &Plugin, change: impl FnOnce(&mut Load)) -> Result<Self> {
        Self::load(plugin, Self::spawn(host_program)?, change)
    }

    /// As [`Hostd::start`], with a shell between: what [`Hostd::ended`] and the rest see is the shell.
    pub(crate) fn start_below_a_shell(plugin: &Plugin) -> Result<Self> {
        let shell = |socket| {
            let mut command = recueil_wire::command_with_socket(Path::new("/bin/sh"), socket);
            command.args(["-c", "exec 3<&0; \"$0\" <&3 3<&- & wait", HOST_PROGRAM]);
            command
        };
        Self::load(plugin, Self::spawn(shell)?, |_load| ())
    }

    fn load(
        plugin: &Plugin,
        (hostd, device): (Self, OwnedFd),
        change: impl FnOnce(&mut Load),
    ) -> Result<Self> {
        let mut load = plugin.load();
        change(&mut load);
        let library = std::fs::File::open(&plugin.library_path)?;
        let stored = recueil_wire::sealed_memory("stored", &[10, 11, 12])?;
        let fds = [library.as_fd(), device.as_fd(), stored.as_fd()];
        hostd.control()?.send(&ToHost::Load(Box::new(load)), &fds)?;
        Ok(hostd)
    }

    /// Starts a host, waits until it is ready, and gives it frame memory.
    pub(crate) fn ready(plugin: &Plugin) -> Result<(Self, Analyser)> {
        let hostd = Self::start(plugin)?;
        match hostd.next()? {
            FromHost::Ready { .. } => {}
            other => return Err(format!("not ready: {other:?}").into()),
        }
        let analyser = hostd.attach_frames()?;
        analyser.lend(0, FrameKind::Preview, FRAME_BYTES)?;
        analyser.lend(1, FrameKind::Preview, FRAME_BYTES)?;
        analyser.lend(2, FrameKind::Result, FRAME_BYTES)?;
        Ok((hostd, analyser))
    }

    fn control(&self) -> Result<&Socket> {
        self.control.as_ref().ok_or_else(|| "hostd is gone".into())
    }

    pub(crate) fn say(&self, message: &ToHost) -> Result {
        Ok(self.control()?.send(message, &[])?)
    }

    /// A file of the host's in `/proc`.
    pub(crate) fn proc(&self, name: &str) -> Result<String> {
        Ok(std::fs::read_to_string(format!(
            "/proc/{}/{name}",
            self.child.id()
        ))?)
    }

    pub(crate) fn say_garbage(&self) -> Result {
        Ok(self.control()?.send(&"garbage", &[])?)
    }

    /// The next message that is not about the way to `Ready`.
    pub(crate) fn next(&self) -> Result<FromHost> {
        loop {
            match self.next_of_all()? {
                FromHost::Begins { .. } => {}
                other => return Ok(other),
            }
        }
    }

    /// The next message, whichever it is.
    pub(crate) fn next_of_all(&self) -> Result<FromHost> {
        Ok(self.control()?.recv::<FromHost>()?.message)
    }

    /// The next message that is no line of the log.
    pub(crate) fn next_but_log(&self) -> Result<FromHost> {
        loop {
            match self.next()? {
                FromHost::Log { .. } => {}
                other => return Ok(other),
            }
        }
    }

    /// Begins a capture session with an analyser that has lent nothing yet.
    pub(crate) fn attach_frames(&self) -> Result<Analyser> {
        let (ours, theirs) = socket_pair()?;
        rustix::net::sockopt::set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
        self.control()?.send(&ToHost::AttachFrames, &[theirs.as_fd()])?;
        Ok(Analyser {
            socket: Socket::new(ours),
        })
    }

    /// Asks for the left hand.
    pub(crate) fn capture(&self, req: u64) -> Result {
        self.capture_of(req, FingerPosition::LEFT_SLAP)
    }

    pub(crate) fn capture_of(&self, req: u64, position: FingerPosition) -> Result {
        self.say(&ToHost::Capture {
            req,
            params: CaptureParams {
                modality: Modality::Fingerprint,
                format: None,
                ppi_milli: 0,
                deadline_ms: 30_000,
                preview_fps: 5,
                position: Some(position),
                missing: Vec::new(),
                area_um: None,
            },
        })
    }

    /// Everything up to the end of a capture.
    pub(crate) fn captured(&self) -> Result<Captured> {
        let mut captured = Captured::default();
        loop {
            match self.next()? {
                FromHost::Log { text, .. } => captured.log.push(text),
                FromHost::Misbehaved { rule } => captured.broken_rules.push(rule),
                FromHost::BlobPut { key, part, .. } => captured.stored.push((key, part)),
                FromHost::Event { event, value, .. } => captured.events.push((event, value)),
                FromHost::Captured {
                    req,
                    results,
                    previews,
                    failure,
                    broken_rule,
                } => {
                    captured.first_broken = broken_rule;
                    (captured.req, captured.results) = (req, results);
                    (captured.previews, captured.failure) = (previews, failure);
                    return Ok(captured);
                }
                other => return Err(format!("in a capture: {other:?}").into()),
            }
        }
    }

    /// Kills the process that was started.
    pub(crate) fn kill(&mut self) -> Result {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Closes hostd's end, as if hostd had died.
    pub(crate) fn vanish(&mut self) {
        self.control = None;
    }

    /// How the host ended, and what it wrote to its output.
    pub(crate) fn ended(mut self) -> Result<(ExitStatus, String)> {
        let mut watched = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        if rustix::event::poll(&mut watched, Some(&Timespec::try_from(PATIENCE)?))? == 0 {
            return Err("the host did not end".into());
        }
        let status = self.child.wait()?;
        let out = self
            .child
            .stdout
            .take()
            .map_or(Ok(String::new()), read_out::<ChildStdout>)?;
        let err = self
            .child
            .stderr
            .take()
            .map_or(Ok(String::new()), read_out::<ChildStderr>)?;
        Ok((status, out + &err))
    }
}

impl Drop for Hostd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read_out<T: std::io::Read>(mut from: T) -> std::io::Result<String> {
    let mut text = String::new();
    from.read_to_string(&mut text)?;
    Ok(text)
}

/// What happened in one capture.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) req: u64,
    pub(crate) results: u32,
    pub(crate) previews: u32,
    pub(crate) failure: Option<PluginFailure>,
    pub(crate) log: Vec<String>,
    pub(crate) events: Vec<(u32, i64)>,
    pub(crate) broken_rules: Vec<String>,
    pub(crate) first_broken: Option<String>,
    pub(crate) stored: Vec<(String, String)>,
}

impl Captured {
    /// The status that it failed with, 0 if it did not.
    pub(crate) fn status(&self) -> i32 {
        self.failure.as_ref().map_or(0, |failure| failure.status)
    }

    /// What the plugin reported as `what: outcome`.
    pub(crate) fn reported(&self, what: &str) -> Option<&str> {
        let prefix = format!("{what}: ");
        self.log.iter().find_map(|line| line.strip_prefix(&prefix))
    }
}

/// The analyser's side of the frame socket.
pub(crate) struct Analyser {
    pub(crate) socket: Socket,
}

impl Analyser {
    /// Lends memory made as the analyser makes it.
    pub(crate) fn lend(&self, index: u32, kind: FrameKind, capacity: u64) -> Result<OwnedFd> {
        let memory = recueil_wire::shared_memory("test", capacity)?;
        self.lend_this(index, kind, capacity, &memory)?;
        Ok(memory)
    }

    pub(crate) fn lend_this(&self, index: u32, kind: FrameKind, capacity: u64, memory: &OwnedFd) -> Result {
        let message = frames::ToHost::Buffer {
            index,
            kind,
            capacity,
        };
        Ok(self.socket.send(&message, &[memory.as_fd()])?)
    }

    pub(crate) fn release(&self, index: u32) -> Result {
        Ok(self.socket.send(&frames::ToHost::Release { index }, &[])?)
    }

    /// The next picture: which buffer, and what is said of it.
    pub(crate) fn frame(&self) -> Result<(u32, FrameInfo)> {
        match self.socket.recv::<frames::FromHost>()?.message {
            frames::FromHost::Frame { index, info, .. } => Ok((index, info)),
            frames::FromHost::Unused { index } => Err(format!("buffer {index} came back unused").into()),
        }
    }

    /// The next buffer that comes back without a picture.
    pub(crate) fn unused(&self) -> Result<u32> {
        match self.socket.recv::<frames::FromHost>()?.message {
            frames::FromHost::Unused { index } => Ok(index),
            frames::FromHost::Frame { index, .. } => {
                Err(format!("buffer {index} came with a picture").into())
            }
        }
    }
}
