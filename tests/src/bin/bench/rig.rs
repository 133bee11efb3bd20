//! What the benches share: a station, processes that end with their value, the clock.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_tests::{Folders, Options, Station, User, Users, binary, fixtures};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

/// Only a bench that fails waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// What a program may still have to do after it said that it is ready.
pub(crate) const SETTLING: Duration = Duration::from_millis(700);

/// A station with a second set of virtual devices, which belongs to the benches.
pub(crate) struct Rig {
    _hardware: Running,
    /// Where the second set's sockets are.
    pub(crate) devices_dir: PathBuf,
    pub(crate) station: Station,
}

impl Rig {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let station = Station::start(Options::default())?;
        allow_rivals(&station)?;
        let users = *station.users();
        let folders = station.folders();
        let devices_dir = folders.folder("bench/devices", users.hardware, users.hardware, 0o755)?;
        let mut command = command(&binary("recueil-virtual")?, users.hardware, &users);
        command
            .arg("--images")
            .arg(fixtures("images"))
            .arg("--sockets")
            .arg(&devices_dir);
        let (hardware, _ready) = Running::first_line(command, &log(folders, "virtual")?)?;
        Ok(Self {
            _hardware: hardware,
            devices_dir,
            station,
        })
    }

    pub(crate) fn folders(&self) -> &Folders {
        self.station.folders()
    }

    pub(crate) fn users(&self) -> &Users {
        self.station.users()
    }

    /// `recueild` as the station starts it, to be run while the station's own is stopped.
    pub(crate) fn recueild(&self) -> anyhow::Result<Command> {
        let users = self.users();
        let mut command = command(&binary("recueild")?, users.recueil, users);
        command
            .arg("--config")
            .arg(self.folders().path("recueil.toml"))
            .args(["--private-bus", self.station.bus_address()])
            .args(["--allow-uid", &own_user().0.to_string()]);
        Ok(command)
    }
}

/// The station's bus lets nobody else own a name.
pub(crate) fn allow_rivals(station: &Station) -> anyhow::Result<()> {
    let path = station.folders().path("bus.conf");
    let config = std::fs::read_to_string(&path)?;
    let rivals = r#"  <policy context="default">
    <allow own="fr.recueil.Rival1"/>
    <allow send_destination="fr.recueil.Rival1"/>
    <allow own="net.reactivated.Fprint"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="net.reactivated.Fprint"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
</busconfig>"#;
    std::fs::write(&path, config.replace("</busconfig>", rivals))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let connection = station.connect().await?;
        let daemon = "org.freedesktop.DBus";
        connection
            .call_method(
                Some(daemon),
                "/org/freedesktop/DBus",
                Some(daemon),
                "ReloadConfig",
                &(),
            )
            .await?;
        anyhow::Ok(())
    })
}

/// Ourselves.
pub(crate) fn own_user() -> User {
    User(rustix::process::geteuid().as_raw())
}

/// A program under a user, where we may, with an empty environment. No other program runs between, so that its
/// start is timed alone.
pub(crate) fn command(program: &Path, user: User, users: &Users) -> Command {
    let mut command = Command::new(program);
    if users.separate {
        command.uid(user.0).gid(user.0);
    }
    command.env_clear().stdin(Stdio::null()).current_dir("/");
    command
}

/// Where a program's complaints go.
pub(crate) fn log(folders: &Folders, name: &str) -> anyhow::Result<File> {
    let path = folders.path("log").join(format!("bench-{name}"));
    Ok(File::options().create(true).append(true).open(path)?)
}

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn spawn(mut command: Command, log: &File) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let child = command.stderr(log.try_clone()?).spawn();
        Ok(Self(child.with_context(|| program.display().to_string())?))
    }

    /// Starts a program and waits for the first line of its output.
    pub(crate) fn first_line(command: Command, log: &File) -> anyhow::Result<(Self, BufReader<ChildStdout>)> {
        let (running, mut lines) = Self::with_lines(command, log)?;
        next_line(&mut lines).with_context(|| format!("{running:?}"))?;
        Ok((running, lines))
    }

    /// Starts a program whose output is read by lines.
    pub(crate) fn with_lines(
        mut command: Command,
        log: &File,
    ) -> anyhow::Result<(Self, BufReader<ChildStdout>)> {
        command.stdout(Stdio::piped());
        let mut running = Self::spawn(command, log)?;
        let stdout = running.0.stdout.take().context("a pipe was asked for")?;
        Ok((running, BufReader::new(stdout)))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its standard input, where it was asked for.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.0.stdin.take()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }

    /// Ends it as a failed assertion does.
    pub(crate) fn crash(&mut self) -> anyhow::Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.0), Signal::ABORT)?;
        self.0.wait()?;
        Ok(())
    }

    /// SIGTERM to its end; none if it takes longer.
    pub(crate) fn end_within(&mut self, limit: Duration) -> anyhow::Result<Option<Duration>> {
        let pid = Pid::from_child(&self.0);
        let end = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let begun = Instant::now();
        rustix::process::kill_process(pid, Signal::TERM)?;
        let ended = ended_within(&end, limit)?;
        Ok(ended.then(|| begun.elapsed()))
    }

    /// Ends it as a service manager would.
    pub(crate) fn stop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let pid = Pid::from_child(&self.0);
        let ended = rustix::process::kill_process(pid, Signal::TERM)
            .and_then(|()| rustix::process::pidfd_open(pid, PidfdFlags::empty()))
            .and_then(|pidfd| {
                let grace = Timespec {
                    tv_sec: 5,
                    tv_nsec: 0,
                };
                rustix::event::poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&grace))
            });
        if !matches!(ended, Ok(1)) {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether a process ends in time.
pub(crate) fn ended_within(pidfd: &OwnedFd, limit: Duration) -> anyhow::Result<bool> {
    let limit = Timespec::try_from(limit)?;
    Ok(rustix::event::poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit))? == 1)
}

/// The next line of a program that prints one at a time.
pub(crate) fn next_line(lines: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    let line = next_line_within(lines, PATIENCE)?;
    line.context("a program says nothing")
}

/// The same; none if it says nothing in time.
pub(crate) fn next_line_within(
    lines: &mut BufReader<ChildStdout>,
    limit: Duration,
) -> anyhow::Result<Option<String>> {
    let limit = Timespec::try_from(limit)?;
    let mut polled = [PollFd::new(lines.get_ref(), PollFlags::IN)];
    let readable = !lines.buffer().is_empty() || rustix::event::poll(&mut polled, Some(&limit))? == 1;
    if !readable {
        return Ok(None);
    }
    let mut line = String::new();
    lines.read_line(&mut line)?;
    anyhow::ensure!(!line.is_empty(), "a program ended without a word");
    Ok(Some(line.trim().to_owned()))
}

/// A socket for `READY=1`.
pub(crate) struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Notify {
    pub(crate) fn new(folders: &Folders, whose: &str) -> anyhow::Result<Self> {
        let path = folders.path(&format!("run/bench-{whose}.notify"));
        drop(std::fs::remove_file(&path));
        let socket = UnixDatagram::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket, path })
    }

    /// Starts a service; gives it and the time from before its start to its word that it is ready.
    pub(crate) fn time(&self, mut command: Command, log: &File) -> anyhow::Result<(Running, Duration)> {
        command.env("NOTIFY_SOCKET", &self.path);
        let begun = Instant::now();
        let running = Running::spawn(command, log)?;
        let mut message = [0; 4096];
        loop {
            let Ok(len) = self.socket.recv(&mut message) else {
                bail!("{running:?} does not become ready");
            };
            let ready = begun.elapsed();
            let lines = message.get(..len).unwrap_or_default();
            if lines.split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return Ok((running, ready));
            }
        }
    }
}

/// The monotonic clock in nanoseconds, as `rcl_host.now_ns` and `recueil-rival-watch` tell it.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}
