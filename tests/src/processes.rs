//! Starting services and knowing when they are ready.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

/// A loaded machine starts a service within this time.
const START_MAX: Duration = Duration::from_secs(30);

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) child: Child,
}

impl Process {
    /// Starts a service and waits for its `READY=1`.
    pub(crate) fn notify(
        name: &str,
        mut command: Command,
        run_dir: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let path = run_dir.join(format!("{name}.notify"));
        // One of an earlier start may be there.
        drop(std::fs::remove_file(&path));
        let notify = UnixDatagram::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
        notify.set_read_timeout(Some(START_MAX))?;
        command.env("NOTIFY_SOCKET", &path).stdin(Stdio::null());
        let mut process = Self::spawn(name, command, log)?;
        let mut message = [0; 4096];
        loop {
            // A service that died says nothing; ask the system from time to time.
            notify.set_read_timeout(Some(Duration::from_millis(200)))?;
            match notify.recv(&mut message) {
                Ok(len) if message.get(..len).is_some_and(has_ready) => return Ok(process),
                Ok(_) => {}
                Err(_timeout) => {
                    if let Some(status) = process.child.try_wait()? {
                        bail!("{name} ended ({status}): {}", tail(log));
                    }
                }
            }
        }
    }

    /// Starts a program that says it is ready by its first line, which is given back.
    pub(crate) fn first_line(name: &str, mut command: Command, log: &Path) -> anyhow::Result<(Self, String)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self::spawn(name, command, log)?;
        let stdout = process.child.stdout.take().context("a pipe was asked for")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("{name} ended: {}", tail(log));
        }
        Ok((process, line.trim().to_owned()))
    }

    pub(crate) fn spawn(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        command.stderr(Stdio::from(file)).env("RUST_LOG", "info");
        // As recueild.service has it.
        for threshold in ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"] {
            command.env(threshold, "131072");
        }
        let child = command
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Tells of its end, until it is waited for.
    pub(crate) fn pidfd(&self) -> anyhow::Result<OwnedFd> {
        let pid = i32::try_from(self.child.id())?;
        let pid = rustix::process::Pid::from_raw(pid).context("a pid")?;
        // Ours until it is waited for, so the number is still its own.
        let none = rustix::process::PidfdFlags::empty();
        Ok(rustix::process::pidfd_open(pid, none)?)
    }

    /// Waits until it has ended by itself; none where it does not.
    pub(crate) fn ended(&mut self, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
        let pidfd = self.pidfd()?;
        let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        let limit = rustix::event::Timespec::try_from(limit)?;
        // The end of another child of this process interrupts it.
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&limit)))?;
        Ok(self.child.try_wait()?)
    }

    /// Ends it as a service manager would, by force after a while.
    pub(crate) fn stop(&mut self) {
        let Ok(None) = self.child.try_wait() else { return };
        if let Some(pid) = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            let _ended_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            if let Ok(pidfd) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
                let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
                let grace = rustix::event::Timespec {
                    tv_sec: 5,
                    tv_nsec: 0,
                };
                let _by_force_otherwise =
                    rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, Some(&grace)));
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Of a process that lives: who started it, and its name as the kernel has it.
pub(crate) fn parent_and_name(pid: u32) -> Option<(u32, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.rsplit_once(')')?;
    let name = name.split_once('(')?.1.to_owned();
    let mut words = rest.split_whitespace();
    let is_dead = words.next()? == "Z";
    let parent = words.next()?.parse().ok()?;
    (!is_dead).then_some((parent, name))
}

fn has_ready(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"READY=1")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
}
