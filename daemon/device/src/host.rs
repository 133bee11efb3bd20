//! One process of `recueil-device-host`, seen from outside: its socket, its end.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::devices::{Failure, FailureCode};
use recueil_wire::host::{FromHost, ToHost};
use recueil_wire::{AsyncSocket, command_with_socket, socket_pair};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::Error;
use crate::cgroup::{Cgroup, Cgroups};
use crate::failure::failure;
use crate::manifest::Limits;

/// How long the kernel may take to end a killed process before we stop looking at it.
const REAP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// A running host. Dropped, it is killed and reaped.
#[derive(Debug)]
pub(crate) struct Host {
    socket: AsyncSocket,
    pidfd: AsyncFd<OwnedFd>,
    child: Child,
    /// After the process: it is removed when the process is gone.
    cgroup: Option<Cgroup>,
}

impl Host {
    /// Starts the program with an empty environment, our socket, and nothing else that is open here, in a cgroup
    /// of its own where there is one to be had.
    pub(crate) fn start(
        program: &Path,
        cgroups: Option<&Arc<Cgroups>>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let failed = |source| Error::file(program, source);
        let (ours, theirs) = socket_pair().map_err(|error| failed(std::io::Error::other(error)))?;
        let mut command = command_with_socket(program, theirs);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/");
        let mut child = command.spawn().map_err(failed)?;
        drop(command);
        match watched(&child, ours) {
            Ok((socket, pidfd)) => {
                let pid = child.id();
                let mut host = Self {
                    socket,
                    pidfd,
                    child,
                    cgroup: None,
                };
                // It waits for its first message: nothing of a vendor's runs before it is in its place. One that
                // cannot be placed is ended by being dropped.
                host.cgroup = cgroups.map(|cgroups| cgroups.place(pid, limits)).transpose()?;
                Ok(host)
            }
            Err(error) => {
                // Without a pidfd its end could not be known: it may not live.
                let ended = child.kill().and_then(|()| child.wait());
                ended.and(Err(error)).map_err(failed)
            }
        }
    }

    /// Sends one message. A host that does not read is given `limit` to do so.
    pub(crate) async fn say(
        &self,
        message: &ToHost,
        fds: &[BorrowedFd<'_>],
        limit: Duration,
    ) -> Result<(), recueil_wire::Error> {
        let late = || recueil_wire::Error::System(std::io::ErrorKind::TimedOut.into());
        timeout(limit, self.socket.send(message, fds))
            .await
            .map_err(|_| late())?
    }

    /// Waits for one message. Descriptors are not expected from a host: any are closed. Cancel safe.
    pub(crate) async fn hear(&self) -> Result<FromHost, recueil_wire::Error> {
        self.socket.recv().await.map(|received| received.message)
    }

    /// Waits for the end of the process, all its threads, and reaps it. Cancel safe.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        loop {
            // A pidfd is readable for ever once the process is over.
            let fired = self.pidfd.readable().await.is_ok();
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                // Reaped already, or never ours: over in any case.
                Err(_) => return ExitStatus::from_raw(0),
                Ok(None) if fired => tokio::task::yield_now().await,
                Ok(None) => self.signal(),
            }
        }
    }

    /// Kills it and waits until it is gone.
    pub(crate) async fn kill(mut self) -> ExitStatus {
        self.signal_and_wait().await
    }

    /// Kills it if it is not gone yet, and waits until it is.
    pub(crate) async fn signal_and_wait(&mut self) -> ExitStatus {
        self.signal();
        self.ended().await
    }

    /// It is ending; one that does not is killed after `limit`.
    pub(crate) async fn finish(mut self, limit: Duration) -> ExitStatus {
        match timeout(limit, self.ended()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    /// The conversation with it broke: ends it, and says why. One that closed its socket is ending, and is
    /// given `limit` for it, so that its own end can be told.
    pub(crate) async fn lost(mut self, error: &recueil_wire::Error, limit: Duration) -> Failure {
        if matches!(error, recueil_wire::Error::Closed) {
            let status = match timeout(limit, self.ended()).await {
                Ok(status) => status,
                Err(_) => self.signal_and_wait().await,
            };
            return end_of(status, self.cgroup.as_ref());
        }
        self.kill().await;
        match error {
            recueil_wire::Error::System(error) if error.kind() == std::io::ErrorKind::TimedOut => failure(
                FailureCode::PluginHung,
                "the plugin's process does not read its messages",
            ),
            error => failure(
                FailureCode::PluginMisbehaved,
                format!("the plugin's process said something else than its protocol: {error}"),
            ),
        }
    }

    fn signal(&self) {
        // It fails only if the process is over, which is what is wanted.
        pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL).ok();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.signal();
        let mut fds = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
        poll(&mut fds, Some(&REAP)).ok();
        self.child.try_wait().ok();
    }
}

fn watched(child: &Child, socket: OwnedFd) -> Result<(AsyncSocket, AsyncFd<OwnedFd>), std::io::Error> {
    // The child is not reaped yet, so its number cannot be another process's.
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidData)?;
    let pidfd = recueil_wire::watch(pidfd_open(pid, PidfdFlags::NONBLOCK)?)?;
    let socket = AsyncSocket::new(socket).map_err(std::io::Error::other)?;
    Ok((socket, pidfd))
}

/// Why a host that nobody ended is gone.
fn end_of(status: ExitStatus, cgroup: Option<&Cgroup>) -> Failure {
    let over = |what: &str| {
        let text = format!("the plugin's process took more {what} than its manifest allows, and ended");
        failure(FailureCode::PluginMisbehaved, text)
    };
    if cgroup.is_some_and(Cgroup::ran_out_of_memory) {
        return over("memory");
    }
    if cgroup.is_some_and(Cgroup::wanted_more_threads) {
        return over("threads");
    }
    let how = match (status.signal(), status.code()) {
        (Some(6), _) => "signal 6 (rule R5)".into(),
        (Some(signal), _) => format!("signal {signal}"),
        // No crash: it called exit, abort or the like.
        (None, Some(code)) => format!("exit status {code} (rule R5)"),
        (None, None) => "an unknown end".into(),
    };
    failure(
        FailureCode::PluginCrashed,
        format!("the plugin's process ended by itself: {how}"),
    )
}
