//! One `recueil-analyser`: started, told, listened to, and seen to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use recueil_bus::{Code, Error};
use recueil_wire::analyser::{FromAnalyser, ToAnalyser};
use recueil_wire::{AsyncSocket, Received};
use serde::Deserialize;
use tokio::io::unix::AsyncFd;

/// How analysers are started.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum AnalyserStart {
    /// By the service manager: a connection to this socket starts one under its own user.
    Socket(PathBuf),
    /// By this process, under its own user: not separated.
    Program(PathBuf),
}

impl AnalyserStart {
    pub(crate) fn separation(&self) -> &'static str {
        match self {
            Self::Socket(_) => "separated",
            Self::Program(_) => "not separated",
        }
    }
}

/// An analyser at work.
pub(crate) struct Analyser {
    socket: AsyncSocket,
    pidfd: AsyncFd<OwnedFd>,
    pub(crate) version: String,
}

/// An analyser is started in milliseconds; a loaded machine may need longer.
const START_MAX: Duration = Duration::from_secs(10);
/// To take a message it needs no longer than this.
const TELL_MAX: Duration = Duration::from_secs(5);
/// After `End` it has only to wipe.
const END_MAX: Duration = Duration::from_secs(5);
/// Killed, or found alone at the end of a long computation.
const KILLED_MAX: Duration = Duration::from_secs(30);

impl Analyser {
    /// Starts one, or has one started, and waits for its first word.
    pub(crate) async fn start(how: &AnalyserStart) -> Result<Self, Error> {
        let socket = match how {
            AnalyserStart::Socket(path) => AsyncSocket::connect(path).map_err(|error| ended(&error))?,
            AnalyserStart::Program(program) => spawn(program)?,
        };
        let hello = tokio::time::timeout(START_MAX, socket.recv::<FromAnalyser>()).await;
        let Received { message, mut fds } = hello
            .map_err(|error| ended(&error))?
            .map_err(|error| ended(&error))?;
        let (FromAnalyser::Hello { version }, Some(pidfd)) = (message, fds.pop()) else {
            return Err(ended(&"an analyser of another release"));
        };
        let pidfd = recueil_wire::watch(pidfd).map_err(|error| ended(&error))?;
        Ok(Self {
            socket,
            pidfd,
            version,
        })
    }

    pub(crate) async fn tell(&self, message: &ToAnalyser, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        // It is told little, so a full socket means that it does not read.
        tokio::time::timeout(TELL_MAX, self.socket.send(message, fds))
            .await
            .map_err(|error| ended(&error))?
            .map_err(|error| ended(&error))
    }

    /// Its next word. Cancel safe.
    pub(crate) async fn listen(&self) -> Result<Received<FromAnalyser>, Error> {
        let received = self.socket.recv().await.map_err(|error| ended(&error))?;
        if let FromAnalyser::Failed { text } = &received.message {
            return Err(ended(text));
        }
        Ok(received)
    }

    /// Ends it and waits until its pidfd has fired; by force after a while.
    ///
    /// # Errors
    /// If it could not be seen to end.
    pub(crate) async fn end(self) -> Result<(), Error> {
        // One that is gone already cannot be told; one that hears nothing finds the socket closed.
        drop(self.tell(&ToAnalyser::End, &[]).await);
        let Self { socket, pidfd, .. } = self;
        drop(socket);
        if has_ended(&pidfd, END_MAX).await {
            return Ok(());
        }
        // One of another user cannot be killed from here; its service manager limits it.
        if let Err(error) = rustix::process::pidfd_send_signal(pidfd.as_fd(), rustix::process::Signal::KILL) {
            tracing::warn!(%error, "an analyser could not be killed");
        }
        if has_ended(&pidfd, KILLED_MAX).await {
            return Ok(());
        }
        Err(ended(&"it does not end"))
    }
}

async fn has_ended(pidfd: &AsyncFd<OwnedFd>, limit: Duration) -> bool {
    let ended = tokio::time::timeout(limit, pidfd.readable()).await;
    ended.is_ok_and(|ready| ready.is_ok())
}

fn spawn(program: &std::path::Path) -> Result<AsyncSocket, Error> {
    let (ours, theirs) = recueil_wire::socket_pair().map_err(|error| ended(&error))?;
    let mut command = tokio::process::Command::from(recueil_wire::command_with_socket(program, theirs));
    let mut child = command.spawn().map_err(|error| ended(&error))?;
    drop(command);
    // Its end is seen by its pidfd; this only buries it.
    tokio::spawn(async move { child.wait().await });
    AsyncSocket::new(ours).map_err(|error| ended(&error))
}

fn ended(reason: &dyn std::fmt::Display) -> Error {
    tracing::warn!(%reason, "an analyser ended");
    let text = "the process that reads pictures ended, and what it held with it; present again";
    Error::new(Code::AnalyserEnded, text)
}
