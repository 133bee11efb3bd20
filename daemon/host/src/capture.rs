//! Captures that hostd asked for: waiting on the device thread, or running.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use recueil_dossier::FrameKind;
use recueil_wire::Socket;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

/// One capture.
#[derive(Debug)]
pub(crate) struct Capture {
    /// Its number.
    pub(crate) req: u64,
    cancel: OwnedFd,
    deadline: OnceLock<Instant>,
    results: AtomicU32,
    previews: AtomicU32,
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
            deadline: OnceLock::new(),
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
        rustix::io::retry_on_intr(|| rustix::io::write(&self.cancel, &1_u64.to_ne_bytes())).map(drop)
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
