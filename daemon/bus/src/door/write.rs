//! The half that writes.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixStream;
use zbus::Message;
use zbus::connection::socket::WriteHalf;
use zbus::export::async_trait::async_trait;
use zbus::message::{Header, Type};

use super::Door;

/// Most descriptors in one message of ours.
const FDS_MAX: usize = 1;

/// Sends, and sees which calls are answered.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: Arc<UnixStream>,
    door: Arc<Door>,
}

impl Writer {
    pub(super) fn new(stream: Arc<UnixStream>, door: Arc<Door>) -> Self {
        Self { stream, door }
    }

    /// Whose call a message answers, and its serial.
    fn answered<'m>(header: &'m Header<'_>) -> Option<(&'m str, u32)> {
        if !matches!(header.message_type(), Type::MethodReturn | Type::Error) {
            return None;
        }
        Some((header.destination()?.as_str(), header.reply_serial()?.get()))
    }

    async fn send_whole(&mut self, message: &Message) -> io::Result<()> {
        let data = message.data();
        let mut fds: Vec<_> = data.fds().iter().map(AsFd::as_fd).collect();
        let mut rest: &[u8] = data;
        while !rest.is_empty() {
            let sent = self.sendmsg(rest, &fds).await?;
            fds.clear();
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}

#[async_trait]
impl WriteHalf for Writer {
    async fn send_message(&mut self, message: &Message) -> zbus::Result<()> {
        let header = message.header();
        let Some((caller, serial)) = Self::answered(&header) else {
            return Ok(self.send_whole(message).await?);
        };
        let awaited = self.door.lines().is_awaited(caller, serial);
        let sent = if awaited {
            self.send_whole(message).await
        } else {
            Ok(())
        };
        self.door.lines().finish(caller, serial);
        self.door.changed.notify_one();
        Ok(sent?)
    }

    async fn sendmsg(&mut self, buffer: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                let parts = [IoSlice::new(buffer)];
                Ok(rustix::net::sendmsg(&self.stream, &parts, &mut control, flags)?)
            })
            .await
    }

    async fn close(&mut self) -> io::Result<()> {
        match rustix::net::shutdown(&self.stream, rustix::net::Shutdown::Both) {
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}
