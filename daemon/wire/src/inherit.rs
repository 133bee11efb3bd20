//! How a process that was started for one conversation gets its socket: on its standard input.
//!
//! Standard input is the one inherited descriptor that Rust can take over without `unsafe`; systemd gives it
//! the same way (`Accept=yes` with `StandardInput=socket`), so a program cannot tell who started it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::net::SocketType;

use crate::Error;

/// Takes the socket that this process was started with, close-on-exec, and puts `/dev/null` in its place, so
/// that no other code can read from it. To be called once, first thing in `main`.
///
/// # Errors
/// [`Error::NotInherited`] if standard input is no `SOCK_SEQPACKET` socket: the program was started by hand,
/// or this was called before.
pub fn inherited_socket() -> Result<OwnedFd, Error> {
    let stdin = std::io::stdin();
    if !matches!(
        rustix::net::sockopt::socket_type(&stdin),
        Ok(SocketType::SEQPACKET)
    ) {
        return Err(Error::NotInherited);
    }
    let socket = stdin.as_fd().try_clone_to_owned().map_err(Error::System)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null)?;
    Ok(socket)
}

/// A command that starts `program` with an empty environment and `socket` for [`inherited_socket`].
///
/// The command owns this process's copy of the socket: drop it after spawning, or the other end will not see
/// the child's end. For tokio, convert it: `tokio::process::Command::from(command)`.
pub fn command_with_socket(program: &Path, socket: OwnedFd) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::from(socket));
    command
}
