//! The service manager's part for analysers: a socket, and one analyser a connection under its own user
//! (`Accept=yes`, `StandardInput=socket`).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::JoinHandle;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::users::Users;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Activator {
    thread: Option<JoinHandle<()>>,
    stop: Option<OwnedFd>,
}

impl Activator {
    pub(crate) fn start(path: &Path, users: Users, program: PathBuf) -> anyhow::Result<Self> {
        let listener = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::bind(&listener, &SocketAddrUnix::new(path)?)?;
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(0o666))?;
        rustix::net::listen(&listener, 16)?;
        let (stopped, stop) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let thread = std::thread::spawn(move || serve(&listener, &stopped, users, &program));
        Ok(Self {
            thread: Some(thread),
            stop: Some(stop),
        })
    }
}

impl Drop for Activator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn serve(listener: &OwnedFd, stopped: &OwnedFd, users: Users, program: &Path) {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut children = Vec::new();
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(stopped.as_fd(), PollFlags::empty()),
        ];
        if rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_err() || !fds[1].revents().is_empty() {
            break;
        }
        let Ok(connection) = rustix::net::accept_with(listener, SocketFlags::CLOEXEC) else {
            continue;
        };
        let mut command = users.command(users.analyser, program);
        command.stdin(Stdio::from(connection)).stdout(Stdio::null());
        children.retain_mut(|child: &mut std::process::Child| matches!(child.try_wait(), Ok(None)));
        children.extend(command.spawn());
    }
    for mut child in children {
        drop(child.kill());
        drop(child.wait());
    }
}
