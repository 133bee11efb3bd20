//! The line to the device: messages and pictures, never out of step.
//!
//! Reading may stop at any byte, by a cancel or the deadline. What was read is kept, and what is left of a
//! picture is counted, so the next capture goes on where this one stopped.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use recueil_plugin::{Error, Frame, Result, Status};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::protocol::{self, FromDevice, PRELUDE_BYTES, ToDevice};

/// How long the device may take to swallow one of our messages, which are small.
const SEND: Duration = Duration::from_millis(500);
/// Bytes of one read into memory of our own.
const PART: usize = 4096;

/// The plugin's end of a device's socket.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// The beginning of a message.
    head: Vec<u8>,
    /// What is left of the picture whose message was read last.
    payload_left: u64,
    /// The device broke the protocol, or we could not finish a message: nothing after that can be trusted.
    broken: bool,
}

/// Until when to wait, and for whom to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience<'a> {
    /// Readable when the capture is cancelled.
    pub(crate) cancel: Option<BorrowedFd<'a>>,
    /// The end of it all.
    pub(crate) until: Instant,
}

impl Patience<'_> {
    /// For a while, whoever cancels.
    pub(crate) fn of(time: Duration) -> Self {
        Self {
            cancel: None,
            until: Instant::now() + time,
        }
    }

    /// Waits until the socket is ready.
    ///
    /// # Errors
    /// `CANCELLED` or `TIMEOUT`, and `IO` if the system does not let us wait.
    fn wait(&self, socket: BorrowedFd<'_>, event: PollFlags) -> Result<()> {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_centuries| Error::from(Status::INVALID))?;
            let mut fds = [
                PollFd::from_borrowed_fd(socket, event),
                PollFd::from_borrowed_fd(self.cancel.unwrap_or(socket), PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, Some(&left)) {
                Ok(0) => return Err(Status::TIMEOUT.into()),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(std::io::Error::from(errno).into()),
            }
            let [device, cancel] = fds;
            if self.cancel.is_some() && !cancel.revents().is_empty() {
                return Err(Status::CANCELLED.into());
            }
            if !device.revents().is_empty() {
                return Ok(());
            }
        }
    }
}

impl Link {
    /// Takes a connected stream socket.
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            head: Vec::new(),
            payload_left: 0,
            broken: false,
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `GONE` if the device hung up; `IO` if it does not read.
    pub(crate) fn send(&mut self, message: &ToDevice) -> Result<()> {
        self.check()?;
        let bytes = protocol::encode(message)
            .map_err(|malformed| Error::new(Status::INVALID, malformed.to_string()))?;
        let patience = Patience::of(SEND);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let written = self
                .write(rest, &patience)
                .inspect_err(|_stopped| self.broken = true)?;
            rest = rest.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Waits for the next message. What is left of a picture before it is thrown away.
    ///
    /// # Errors
    /// `CANCELLED`, `TIMEOUT`, `GONE`, or `IO` if the device does not keep the protocol.
    pub(crate) fn next(&mut self, patience: &Patience<'_>) -> Result<FromDevice> {
        self.check()?;
        let mut thrown_away = [0; PART];
        while self.payload_left > 0 {
            let part = usize::try_from(self.payload_left).unwrap_or(PART).min(PART);
            self.read_part(thrown_away.get_mut(..part).unwrap_or_default(), patience)?;
        }
        self.read_head(PRELUDE_BYTES, patience)?;
        let prelude = self.head.get(..PRELUDE_BYTES).unwrap_or_default();
        let prelude = prelude.try_into().unwrap_or_default();
        let length = protocol::json_len(prelude).map_err(|malformed| self.give_up(&malformed))?;
        self.read_head(PRELUDE_BYTES + length, patience)?;
        let head = std::mem::take(&mut self.head);
        let json = head.get(PRELUDE_BYTES..).unwrap_or_default();
        let message = protocol::decode(json).map_err(|malformed| self.give_up(&malformed))?;
        if let FromDevice::Picture { picture, .. } = &message {
            self.payload_left = picture.payload_bytes();
        }
        Ok(message)
    }

    /// Reads the picture whose message came last straight into a frame of its size.
    ///
    /// # Errors
    /// As [`Link::next`].
    pub(crate) fn read_rows(&mut self, frame: &mut Frame<'_>, patience: &Patience<'_>) -> Result<()> {
        for row in frame.rows_mut() {
            let mut done = 0;
            while let Some(rest) = row.get_mut(done..).filter(|rest| !rest.is_empty()) {
                let wanted = u64::try_from(rest.len()).unwrap_or(u64::MAX);
                if wanted > self.payload_left {
                    return Err(Error::new(Status::FAILED, "a frame larger than its picture"));
                }
                done += self.read_part(rest, patience)?;
            }
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], patience: &Patience<'_>) -> Result<usize> {
        loop {
            patience.wait(self.socket.as_fd(), PollFlags::OUT)?;
            match rustix::io::write(&self.socket, bytes) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                written => return Ok(written.map_err(std::io::Error::from)?),
            }
        }
    }

    /// Reads on until `head` has so many bytes.
    fn read_head(&mut self, length: usize, patience: &Patience<'_>) -> Result<()> {
        let mut part = [0; PART];
        while let Some(missing) = length.checked_sub(self.head.len()).filter(|missing| *missing > 0) {
            let space = part.get_mut(..missing.min(PART)).unwrap_or_default();
            let read = self.read(space, patience)?;
            self.head.extend(part.iter().take(read));
        }
        Ok(())
    }

    /// Reads a part of the payload.
    fn read_part(&mut self, space: &mut [u8], patience: &Patience<'_>) -> Result<usize> {
        let read = self.read(space, patience)?;
        let counted = u64::try_from(read).unwrap_or(u64::MAX);
        self.payload_left = self.payload_left.saturating_sub(counted);
        Ok(read)
    }

    fn read(&mut self, space: &mut [u8], patience: &Patience<'_>) -> Result<usize> {
        loop {
            patience.wait(self.socket.as_fd(), PollFlags::IN)?;
            match rustix::io::read(&self.socket, &mut *space) {
                Ok(0) => {
                    self.broken = true;
                    return Err(Error::new(Status::GONE, "the device hung up"));
                }
                Ok(read) => return Ok(read),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => {
                    self.broken = true;
                    return Err(std::io::Error::from(errno).into());
                }
            }
        }
    }

    fn give_up(&mut self, malformed: &protocol::Malformed) -> Error {
        self.broken = true;
        Error::new(Status::IO, malformed.to_string())
    }

    fn check(&self) -> Result<()> {
        if self.broken {
            return Err(Error::new(Status::GONE, "the line to the device broke before"));
        }
        Ok(())
    }
}
