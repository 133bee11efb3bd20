//! One running capture.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use recueil_abi as abi;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::{Error, Finger, Format, Frame, Host, Result, Status};

/// One running capture: its frames, its events, its cancellation. May be shared with threads that end before
/// the capture returns.
#[derive(Debug)]
pub struct Capture<'a> {
    host: &'a Host,
    req: u64,
    cancel_fd: BorrowedFd<'a>,
}

impl<'a> Capture<'a> {
    pub(crate) fn new(host: &'a Host, req: u64, cancel_fd: BorrowedFd<'a>) -> Self {
        Self { host, req, cancel_fd }
    }

    /// The request's number, never used twice in a process.
    pub fn req(&self) -> u64 {
        self.req
    }

    /// The host, for its clock and configuration.
    pub fn host(&self) -> &Host {
        self.host
    }

    /// Memory for one uncompressed picture; the host chooses the stride.
    ///
    /// # Errors
    /// `AGAIN`: previews come faster than they are read, leave this one out. `NO_MEMORY`: larger than your caps
    /// say, or a second result at once. `UNSUPPORTED`: a format that is not taken.
    pub fn frame(&self, kind: Kind, format: Format, width: u32, height: u32) -> Result<Frame<'_>> {
        Frame::alloc(self.host, self.req, kind, format, (width, height), 0)
    }

    /// Memory for one compressed picture of at most `capacity` bytes.
    ///
    /// # Errors
    /// As for [`Capture::frame`].
    pub fn frame_compressed(
        &self,
        kind: Kind,
        format: Format,
        width: u32,
        height: u32,
        capacity: u64,
    ) -> Result<Frame<'_>> {
        Frame::alloc(self.host, self.req, kind, format, (width, height), capacity)
    }

    /// Tells the person at the device something. Lost if the host does not listen.
    pub fn event(&self, event: Event) {
        let (number, value) = event.to_abi();
        self.host.event(self.req, number, value);
    }

    /// Readable when the capture is cancelled. Poll it; reading or closing it breaks the contract.
    pub fn cancel_fd(&self) -> BorrowedFd<'a> {
        self.cancel_fd
    }

    /// Whether the capture is cancelled.
    pub fn cancelled(&self) -> bool {
        matches!(self.wait(None, Duration::ZERO), Err(error) if error.status == Status::CANCELLED)
    }

    /// Waits until `fd` is readable or hung up (true), or the time is over (false).
    ///
    /// # Errors
    /// `CANCELLED` as soon as the capture is; `IO` if a descriptor cannot be polled.
    pub fn wait(&self, fd: Option<BorrowedFd<'_>>, timeout: Duration) -> Result<bool> {
        let end = Instant::now() + timeout;
        loop {
            let rest = Timespec::try_from(end.saturating_duration_since(Instant::now()))
                .map_err(|_too_long| Error::new(Status::INVALID, "a wait of centuries"))?;
            let watched = fd.unwrap_or(self.cancel_fd);
            let mut fds = [
                PollFd::from_borrowed_fd(self.cancel_fd, PollFlags::IN),
                PollFd::from_borrowed_fd(watched, PollFlags::IN),
            ];
            match rustix::event::poll(&mut fds, Some(&rest)) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(errno) => return Err(std::io::Error::from(errno).into()),
                Ok(_ready) => {}
            }
            let [cancel, device] = fds;
            if !cancel.revents().is_empty() {
                return Err(Status::CANCELLED.into());
            }
            return Ok(!device.revents().is_empty());
        }
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Shown, never kept.
    Preview,
    /// What the capture is for.
    Result,
}

impl From<Kind> for u32 {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Preview => abi::RCL_FRAME_PREVIEW,
            Kind::Result => abi::RCL_FRAME_RESULT,
        }
    }
}

/// What a device tells the person before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// 0 to 1000 of the whole capture.
    Progress(u32),
    /// Put the finger, face or paper there.
    Place(Option<Finger>),
    /// Take it away.
    Remove(Option<Finger>),
    /// Move it.
    Move(Move),
    /// Press more.
    PressureTooLight,
    /// Press less.
    PressureTooStrong,
    /// The device's button was pressed.
    Button(u32),
    /// Whether paper or a card is seen.
    Media(bool),
    /// Seen, keep still.
    Hold,
    /// So many fingers are seen now.
    Fingers(u32),
    /// Taken away before the picture was taken.
    LiftedEarly,
    /// Unplugged; the capture then ends with [`Status::GONE`].
    DeviceGone,
    /// Info and caps have changed.
    DeviceState,
    /// Another number with its value.
    Other(u32, i64),
}

/// Where to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Up, away from the person.
    Up,
    /// Down.
    Down,
}

impl Event {
    fn to_abi(self) -> (u32, i64) {
        let code = |finger: Option<Finger>| finger.map_or(0, |finger| i64::from(finger.code()));
        match self {
            Self::Progress(value) => (abi::RCL_EV_PROGRESS, i64::from(value.min(1000))),
            Self::Place(finger) => (abi::RCL_EV_PLACE, code(finger)),
            Self::Remove(finger) => (abi::RCL_EV_REMOVE, code(finger)),
            Self::Move(Move::Left) => (abi::RCL_EV_MOVE, 1),
            Self::Move(Move::Right) => (abi::RCL_EV_MOVE, 2),
            Self::Move(Move::Up) => (abi::RCL_EV_MOVE, 3),
            Self::Move(Move::Down) => (abi::RCL_EV_MOVE, 4),
            Self::PressureTooLight => (abi::RCL_EV_PRESSURE, -1),
            Self::PressureTooStrong => (abi::RCL_EV_PRESSURE, 1),
            Self::Button(number) => (abi::RCL_EV_BUTTON, i64::from(number)),
            Self::Media(seen) => (abi::RCL_EV_MEDIA, i64::from(seen)),
            Self::Hold => (abi::RCL_EV_HOLD, 0),
            Self::Fingers(count) => (abi::RCL_EV_FINGERS, i64::from(count)),
            Self::LiftedEarly => (abi::RCL_EV_LIFTED_EARLY, 0),
            Self::DeviceGone => (abi::RCL_EV_DEVICE_GONE, 0),
            Self::DeviceState => (abi::RCL_EV_DEVICE_STATE, 0),
            Self::Other(number, value) => (number, value),
        }
    }

    pub(crate) fn from_abi(number: u32, value: i64) -> Self {
        let count = u32::try_from(value).unwrap_or(0);
        let finger = Finger::new(count);
        match (number, value) {
            (abi::RCL_EV_PROGRESS, _) => Self::Progress(count),
            (abi::RCL_EV_PLACE, _) => Self::Place(finger),
            (abi::RCL_EV_REMOVE, _) => Self::Remove(finger),
            (abi::RCL_EV_MOVE, 1) => Self::Move(Move::Left),
            (abi::RCL_EV_MOVE, 2) => Self::Move(Move::Right),
            (abi::RCL_EV_MOVE, 3) => Self::Move(Move::Up),
            (abi::RCL_EV_MOVE, 4) => Self::Move(Move::Down),
            (abi::RCL_EV_PRESSURE, -1) => Self::PressureTooLight,
            (abi::RCL_EV_PRESSURE, 1) => Self::PressureTooStrong,
            (abi::RCL_EV_BUTTON, _) => Self::Button(count),
            (abi::RCL_EV_MEDIA, 0 | 1) => Self::Media(value == 1),
            (abi::RCL_EV_HOLD, 0) => Self::Hold,
            (abi::RCL_EV_FINGERS, _) => Self::Fingers(count),
            (abi::RCL_EV_LIFTED_EARLY, 0) => Self::LiftedEarly,
            (abi::RCL_EV_DEVICE_GONE, 0) => Self::DeviceGone,
            (abi::RCL_EV_DEVICE_STATE, 0) => Self::DeviceState,
            _ => Self::Other(number, value),
        }
    }
}
