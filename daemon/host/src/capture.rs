//! Captures that hostd asked for: waiting on the device thread, or running.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use recueil_dossier::FrameKind;
use recueil_wire::Socket;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::refusal::Refusal;

/// One capture.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Its number.
    pub(crate) req: u64,
    cancel: OwnedFd,
    is_cancelled: AtomicBool,
    deadline: OnceLock<Instant>,
    /// `now_ns` when it began.
    begun_ns: OnceLock<u64>,
    results: AtomicU32,
    previews: AtomicU32,
}

/// A camera may hold a picture ready that it took just before it was asked.
const AHEAD_MAX_NS: u64 = 1_000_000_000;

/// `host->now_ns`: `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Why waiting for frame memory ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something to read.
    Readable,
    /// The capture was cancelled.
    Cancelled,
    /// Its time is over.
    TimedOut,
}

impl Capture {
    fn new(req: u64) -> Result<Self, Errno> {
        Ok(Self {
            req,
            cancel: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            is_cancelled: AtomicBool::new(false),
            deadline: OnceLock::new(),
            begun_ns: OnceLock::new(),
            results: AtomicU32::new(0),
            previews: AtomicU32::new(0),
        })
    }

    /// What the plugin polls. Open as long as the capture is.
    pub(crate) fn cancel_fd(&self) -> RawFd {
        self.cancel.as_raw_fd()
    }

    /// Makes the cancel descriptor readable, for good.
    pub(crate) fn cancel(&self) -> Result<(), Errno> {
        self.is_cancelled.store(true, Ordering::Release);
        rustix::io::retry_on_intr(|| rustix::io::write(&self.cancel, &1_u64.to_ne_bytes())).map(drop)
    }

    /// From then on no frame is taken.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }

    /// Whether a picture can have been exposed then; 0 is not known.
    pub(crate) fn check_time(&self, exposed_ns: u64) -> Result<(), Refusal> {
        let begun_ns = self.begun_ns.get().copied().unwrap_or_default();
        if exposed_ns == 0 {
            Ok(())
        } else if exposed_ns > now_ns() {
            Err(Refusal::Broken(4, "a picture of a time that has not come"))
        } else if exposed_ns < begun_ns.saturating_sub(AHEAD_MAX_NS) {
            Err(Refusal::Broken(4, "a picture from before its capture"))
        } else {
            Ok(())
        }
    }

    /// Counts a frame that was given away.
    pub(crate) fn count(&self, kind: FrameKind) {
        let counter = match kind {
            FrameKind::Preview => &self.previews,
            FrameKind::Result => &self.results,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Results that were given away.
    pub(crate) fn results(&self) -> u32 {
        self.results.load(Ordering::Relaxed)
    }

    /// Previews that were given away.
    pub(crate) fn previews(&self) -> u32 {
        self.previews.load(Ordering::Relaxed)
    }

    /// Waits until `socket` can be read, or the capture is to end.
    pub(crate) fn wait_for(&self, socket: &Socket) -> Result<Woken, Errno> {
        let mut watched = [
            PollFd::from_borrowed_fd(self.cancel.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
        ];
        let left = self.deadline.get().map_or(Duration::ZERO, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        let left = Timespec::try_from(left).map_err(|_too_long| Errno::INVAL)?;
        let ready = rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&left)))?;
        let [cancel, _socket] = &watched;
        Ok(if !cancel.revents().is_empty() {
            Woken::Cancelled
        } else if ready > 0 {
            Woken::Readable
        } else {
            Woken::TimedOut
        })
    }
}

/// All captures that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Captures(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Vec<Arc<Capture>>,
    running: Option<u64>,
}

impl Captures {
    /// Most captures that wait: hostd asks for one at a time.
    pub(crate) const WAITING_MAX: usize = 4;

    /// A new capture; it can be cancelled from now on. None if there are too many, or one of that number.
    pub(crate) fn announce(&self, req: u64) -> Result<Option<Arc<Capture>>, Errno> {
        let mut state = self.lock();
        if state.known.len() >= Self::WAITING_MAX || state.known.iter().any(|known| known.req == req) {
            return Ok(None);
        }
        let capture = Arc::new(Capture::new(req)?);
        state.known.push(Arc::clone(&capture));
        Ok(Some(capture))
    }

    /// The capture of that number, waiting or running.
    pub(crate) fn find(&self, req: u64) -> Option<Arc<Capture>> {
        let state = self.lock();
        state.known.iter().find(|known| known.req == req).cloned()
    }

    /// The capture of that number, if it runs.
    pub(crate) fn running(&self, req: u64) -> Option<Arc<Capture>> {
        let state = self.lock();
        let is_running = state.running == Some(req);
        state
            .known
            .iter()
            .find(|known| is_running && known.req == req)
            .cloned()
    }

    /// The plugin is about to be called.
    pub(crate) fn begin(&self, capture: &Capture, deadline: Duration) {
        capture.deadline.get_or_init(|| Instant::now() + deadline);
        capture.begun_ns.get_or_init(now_ns);
        self.lock().running = Some(capture.req);
    }

    /// The plugin has returned.
    pub(crate) fn end(&self, capture: &Capture) {
        let mut state = self.lock();
        state.running = None;
        state.known.retain(|known| known.req != capture.req);
    }

    /// Every capture that has not ended.
    pub(crate) fn all(&self) -> Vec<Arc<Capture>> {
        self.lock().known.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_can_be_cancelled_before_it_runs() {
        let captures = Captures::default();
        let capture = captures.announce(7).unwrap().unwrap();
        captures.find(7).unwrap().cancel().unwrap();
        captures.begin(&capture, Duration::from_mins(1));
        let (socket, _peer) = recueil_wire::socket_pair().unwrap();
        assert_eq!(capture.wait_for(&Socket::new(socket)), Ok(Woken::Cancelled));
    }

    #[test]
    fn a_picture_is_of_its_capture() {
        let captures = Captures::default();
        let capture = captures.announce(7).unwrap().unwrap();
        captures.begin(&capture, Duration::from_secs(1));
        let now = now_ns();
        assert_eq!(capture.check_time(0), Ok(()));
        assert_eq!(capture.check_time(now), Ok(()));
        assert_eq!(capture.check_time(now - AHEAD_MAX_NS / 2), Ok(()));
        assert!(capture.check_time(now - 2 * AHEAD_MAX_NS).is_err());
        assert!(capture.check_time(now + AHEAD_MAX_NS).is_err());
        assert!(capture.check_time(u64::MAX).is_err());
    }

    #[test]
    fn a_number_is_known_until_its_capture_ended() {
        let captures = Captures::default();
        let capture = captures.announce(7).unwrap().unwrap();
        assert!(captures.announce(7).unwrap().is_none());
        assert!(captures.running(7).is_none());
        captures.begin(&capture, Duration::from_secs(1));
        assert!(captures.running(7).is_some());
        captures.end(&capture);
        assert!(captures.running(7).is_none() && captures.find(7).is_none());
    }
}
