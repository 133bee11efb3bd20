//! One JSON message a packet, descriptors beside it.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::unix::AsyncFd;

/// Largest message, bytes. Pixels and records travel by descriptor, so this is generous.
pub const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// Most descriptors beside one message.
pub const FDS_MAX: usize = 8;

/// Why a message could not be sent or understood.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side is gone.
    #[error("the other process closed the connection")]
    Closed,
    /// The packet is larger than [`MESSAGE_MAX_BYTES`] or has more descriptors than [`FDS_MAX`].
    #[error("a message or its descriptors are larger than the protocol allows")]
    TooLarge,
    /// The packet is not a message of this conversation.
    #[error("a message that is not understood")]
    Malformed(#[source] serde_json::Error),
    /// Standard input is not the socket of a conversation.
    #[error("this program is started by the service that it belongs to, with a socket as standard input")]
    NotInherited,
    /// The system refused.
    #[error("socket")]
    System(#[source] std::io::Error),
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::Closed,
            Errno::MSGSIZE => Self::TooLarge,
            other => Self::System(other.into()),
        }
    }
}

/// A message and the descriptors that came with it.
#[derive(Debug)]
pub struct Received<T> {
    /// The message.
    pub message: T,
    /// Its descriptors, in the order sent, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

/// Two connected ends, close-on-exec.
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd), Error> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// The uid of the process that connected or was connected to (`SO_PEERCRED`).
pub fn peer_uid(socket: impl AsFd) -> Result<u32, Error> {
    Ok(rustix::net::sockopt::socket_peercred(socket)?.uid.as_raw())
}

fn send_packet(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    wait: bool,
) -> Result<(), Error> {
    if bytes.len() > MESSAGE_MAX_BYTES || fds.len() > FDS_MAX {
        return Err(Error::TooLarge);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Error::TooLarge);
    }
    let flags = if wait {
        SendFlags::NOSIGNAL
    } else {
        SendFlags::NOSIGNAL | SendFlags::DONTWAIT
    };
    rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

fn recv_packet(socket: BorrowedFd<'_>, wait: bool) -> Result<(Vec<u8>, Vec<OwnedFd>), Error> {
    let mut bytes = vec![0; MESSAGE_MAX_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = if wait {
        RecvFlags::CMSG_CLOEXEC
    } else {
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT
    };
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
    })?;
    let fds: Vec<OwnedFd> = control
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
            _ => Vec::new(),
        })
        .collect();
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(Error::TooLarge);
    }
    if received.bytes == 0 {
        return Err(Error::Closed);
    }
    bytes.truncate(received.bytes);
    Ok((bytes, fds))
}

/// Lets tokio wait for a descriptor: a socket here, a pidfd elsewhere. Must be called inside a runtime.
#[expect(
    deprecated,
    reason = "an OwnedFd keeps the I/O safety that `register` would make us promise by hand"
)]
pub fn watch(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

fn encode(message: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(message).map_err(Error::Malformed)
}

fn decode<T: DeserializeOwned>((bytes, fds): (Vec<u8>, Vec<OwnedFd>)) -> Result<Received<T>, Error> {
    let message = serde_json::from_slice(&bytes).map_err(Error::Malformed)?;
    Ok(Received { message, fds })
}

/// A socket that blocks its thread. Both directions may be used from different threads at once.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Takes a connected `SOCK_SEQPACKET` descriptor.
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends one message.
    pub fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        send_packet(self.0.as_fd(), &encode(message)?, fds, true)
    }

    /// Waits for one message.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<Received<T>, Error> {
        decode(recv_packet(self.0.as_fd(), true)?)
    }

    /// Takes one message if one is there.
    pub fn try_recv<T: DeserializeOwned>(&self) -> Result<Option<Received<T>>, Error> {
        match recv_packet(self.0.as_fd(), false) {
            Ok(packet) => decode(packet).map(Some),
            Err(Error::System(error)) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A socket for tokio. Both methods take `&self` and are cancel safe.
#[derive(Debug)]
pub struct AsyncSocket(AsyncFd<OwnedFd>);

impl AsyncSocket {
    /// Takes a connected `SOCK_SEQPACKET` descriptor. Must be called inside a tokio runtime.
    pub fn new(fd: OwnedFd) -> Result<Self, Error> {
        watch(fd).map(Self).map_err(Error::System)
    }

    /// Connects to a listening socket.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
        Self::new(socket)
    }

    /// Sends one message.
    pub async fn send(&self, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let bytes = encode(message)?;
        loop {
            let mut ready = self.0.writable().await.map_err(Error::System)?;
            match send_packet(self.0.as_fd(), &bytes, fds, false) {
                Err(Error::System(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                done => return done,
            }
        }
    }

    /// Waits for one message.
    pub async fn recv<T: DeserializeOwned>(&self) -> Result<Received<T>, Error> {
        loop {
            let mut ready = self.0.readable().await.map_err(Error::System)?;
            match recv_packet(self.0.as_fd(), false) {
                Err(Error::System(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                }
                done => return decode(done?),
            }
        }
    }

    /// The uid at the other end.
    pub fn peer_uid(&self) -> Result<u32, Error> {
        peer_uid(self.0.get_ref())
    }
}

impl AsFd for AsyncSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A listening socket in the file system.
#[derive(Debug)]
pub struct Listener(AsyncFd<OwnedFd>);

impl Listener {
    /// Makes the socket file anew, with the permissions given, and listens. A file left by a process that
    /// ended badly is replaced.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, Error> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::System(error)),
            _ => {}
        }
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
        rustix::fs::chmod(path, rustix::fs::Mode::from_raw_mode(mode))?;
        rustix::net::listen(&socket, 16)?;
        Self::from_fd(socket)
    }

    /// Takes a socket that listens already (`LISTEN_FDS`).
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        watch(fd).map(Self).map_err(Error::System)
    }

    /// Waits for one connection and refuses, by closing it, any peer that `allowed` does not name.
    pub async fn accept(&self, allowed: impl Fn(u32) -> bool) -> Result<AsyncSocket, Error> {
        loop {
            let mut ready = self.0.readable().await.map_err(Error::System)?;
            match rustix::net::accept_with(self.0.get_ref(), SocketFlags::CLOEXEC) {
                Ok(fd) => {
                    let socket = AsyncSocket::new(fd)?;
                    if allowed(socket.peer_uid()?) {
                        return Ok(socket);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_arrives_whole_with_its_descriptors() {
        let (left, right) = socket_pair().unwrap();
        let (left, right) = (Socket::new(left), Socket::new(right));
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        left.send(&vec!["a", "b"], &[pipe.as_fd()]).unwrap();
        let received = right.recv::<Vec<String>>().unwrap();
        assert_eq!(received.message, ["a", "b"]);
        assert_eq!(received.fds.len(), 1);
        assert!(right.try_recv::<Vec<String>>().unwrap().is_none());
    }

    #[test]
    fn too_much_is_refused_by_both_sides() {
        let (left, right) = socket_pair().unwrap();
        let big = "x".repeat(MESSAGE_MAX_BYTES);
        assert!(matches!(
            Socket::new(left.try_clone().unwrap()).send(&big, &[]),
            Err(Error::TooLarge)
        ));
        rustix::net::send(
            &left,
            vec![b'x'; MESSAGE_MAX_BYTES + 1].as_slice(),
            SendFlags::empty(),
        )
        .unwrap();
        assert!(matches!(
            Socket::new(right).recv::<String>(),
            Err(Error::TooLarge)
        ));
    }

    #[tokio::test]
    async fn a_vanished_peer_is_told_apart_from_garbage() {
        let (left, right) = socket_pair().unwrap();
        let right = AsyncSocket::new(right).unwrap();
        rustix::net::send(&left, b"{", SendFlags::empty()).unwrap();
        assert!(matches!(right.recv::<String>().await, Err(Error::Malformed(_))));
        drop(left);
        assert!(matches!(right.recv::<String>().await, Err(Error::Closed)));
    }
}
