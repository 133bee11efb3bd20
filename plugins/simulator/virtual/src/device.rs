//! One device: its socket in the file system, its connections, its state.

use std::collections::VecDeque;
use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use recueil_plugin_simulator::protocol::{self, Feedback, FromDevice, Info, ToDevice};

use crate::images::Images;
use crate::line;
use crate::scenario::{DeviceStatus, Presentation, QUEUE_MAX, Until};
use crate::{Error, capture};

/// Most connections at once; a host and its successor are two.
const CONNECTIONS_MAX: usize = 8;
/// Messages that a plugin may send ahead; it has no reason for more than a capture, its cancel and a lamp.
const INBOX: usize = 16;

/// A device that others connect to.
#[derive(Debug)]
pub struct Device {
    info: Info,
    path: PathBuf,
    pub(crate) images: Arc<Images>,
    seed: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    listener: Option<UnixListener>,
    connections: Vec<(u64, UnixStream)>,
    connections_made: u64,
    queue: VecDeque<Presentation>,
    default: Presentation,
    capturing: bool,
    captures_begun: u64,
    captures_ended: u64,
    /// Positions of the hand that was seen last: 0 to 4 right, 5 to 9 left.
    last_hand_is_right: Option<bool>,
    led: u32,
    beeps: u64,
}

impl Device {
    /// Makes a device, unplugged. Its socket will be `MODEL.SERIAL.sock` in `dir`.
    pub fn new(info: Info, dir: &Path, images: Arc<Images>, seed: u64) -> Arc<Self> {
        let path = dir.join(format!("{}.{}.sock", info.model, info.serial));
        Arc::new(Self {
            info,
            path,
            images,
            seed,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// `MODEL.SERIAL`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.info.model, self.info.serial)
    }

    /// What it says it is.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Its socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Plugs in: the socket appears, ready to be connected to. Nothing happens if it is plugged in.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn plug(self: &Arc<Self>) -> Result<(), Error> {
        let wrap = |source| Error::Socket {
            path: self.path.clone(),
            source,
        };
        let mut state = self.lock();
        if state.listener.is_some() {
            return Ok(());
        }
        // Made under another name first: whoever sees it under its own can connect.
        let new = self.path.with_extension("new");
        remove(&new).map_err(wrap)?;
        let listener = UnixListener::bind(&new).map_err(wrap)?;
        // Who may connect is decided by the folder's permissions.
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o666)).map_err(wrap)?;
        std::fs::rename(&new, &self.path).map_err(wrap)?;
        state.listener = Some(listener.try_clone().map_err(wrap)?);
        let device = Arc::clone(self);
        std::thread::spawn(move || device.accept(&listener));
        self.changed.notify_all();
        Ok(())
    }

    /// Unplugs: the socket vanishes, connections break.
    ///
    /// # Errors
    /// If the socket cannot be removed.
    pub fn unplug(&self) -> Result<(), Error> {
        let wrap = |source| Error::Socket {
            path: self.path.clone(),
            source,
        };
        let mut state = self.lock();
        let Some(listener) = state.listener.take() else {
            return Ok(());
        };
        remove(&self.path).map_err(wrap)?;
        // Wakes the thread that accepts.
        rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).map_err(|errno| wrap(errno.into()))?;
        for (_, stream) in state.connections.drain(..) {
            hang_up(&stream);
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Appends to the queue; false if it is full.
    pub fn enqueue(&self, presentations: Vec<Presentation>) -> bool {
        let mut state = self.lock();
        let fits = state.queue.len() + presentations.len() <= QUEUE_MAX;
        if fits {
            state.queue.extend(presentations);
        }
        fits
    }

    /// What is shown when the queue is empty.
    pub fn set_default(&self, presentation: Presentation) {
        self.lock().default = presentation;
    }

    /// Empties the queue and forgets the default.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.queue.clear();
        state.default = Presentation::default();
    }

    /// How it stands.
    pub fn status(&self) -> DeviceStatus {
        let state = self.lock();
        DeviceStatus {
            device: self.name(),
            away: state.listener.is_none(),
            connections: state.connections.len(),
            queued: state.queue.len(),
            capturing: state.capturing,
            captures: state.captures_ended,
            led: state.led,
            beeps: state.beeps,
        }
    }

    /// Waits for a state; false if the time is over before.
    pub fn wait_until(&self, until: Until, timeout: Duration) -> bool {
        let waiting = |state: &mut State| match until {
            Until::Connected => state.connections.is_empty(),
            Until::Disconnected => !state.connections.is_empty(),
            Until::Capturing => !state.capturing,
            Until::Idle => state.capturing,
        };
        let (_state, outcome) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, waiting)
            .unwrap_or_else(PoisonError::into_inner);
        !outcome.timed_out()
    }

    /// Begins a capture: what is presented, and a seed that no other capture of this device had.
    pub(crate) fn begin(&self) -> (Presentation, u64) {
        let mut state = self.lock();
        let presentation = match state.queue.pop_front() {
            Some(next) => next,
            None => state.default.clone(),
        };
        let seed = presentation
            .seed
            .unwrap_or(self.seed.wrapping_add(state.captures_begun));
        state.captures_begun += 1;
        state.capturing = true;
        self.changed.notify_all();
        (presentation, seed)
    }

    /// Ends a capture.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.capturing = false;
        state.captures_ended += 1;
        self.changed.notify_all();
    }

    /// The hand that was seen last; true is the right one.
    pub(crate) fn last_hand_is_right(&self) -> Option<bool> {
        self.lock().last_hand_is_right
    }

    /// Remembers the hand that was seen.
    pub(crate) fn saw_hand(&self, is_right: bool) {
        self.lock().last_hand_is_right = Some(is_right);
    }

    /// Lamp and sound.
    pub(crate) fn feel(&self, feedback: &Feedback) {
        let mut state = self.lock();
        state.led = feedback.led;
        state.beeps += u64::from(feedback.beep_ms > 0);
        self.changed.notify_all();
    }

    fn accept(self: Arc<Self>, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            let Some(number) = self.admit(&stream) else {
                hang_up(&stream);
                continue;
            };
            let device = Arc::clone(&self);
            std::thread::spawn(move || {
                if let Err(error) = device.serve(&stream) {
                    tracing::debug!(device = device.name(), %error, "a connection ended");
                }
                hang_up(&stream);
                device.lock().connections.retain(|(known, _)| *known != number);
                device.changed.notify_all();
            });
        }
    }

    fn admit(&self, stream: &UnixStream) -> Option<u64> {
        let mut state = self.lock();
        if state.listener.is_none() || state.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        state.connections_made += 1;
        let number = state.connections_made;
        state.connections.push((number, stream.try_clone().ok()?));
        self.changed.notify_all();
        Some(number)
    }

    fn serve(&self, stream: &UnixStream) -> Result<(), line::Broken> {
        let (sender, inbox) = mpsc::sync_channel(INBOX);
        let mut reading = stream.try_clone()?;
        std::thread::spawn(move || {
            while let Ok(message) = line::read::<ToDevice>(&mut reading) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let mut writing = stream;
        writing.write_all(&protocol::encode(&FromDevice::Info(self.info.clone()))?)?;
        while let Ok(message) = inbox.recv() {
            match message {
                ToDevice::Capture(request) => capture::run(self, stream, &inbox, &request)?,
                ToDevice::Feedback(feedback) => self.feel(&feedback),
                ToDevice::Cancel { .. } => {}
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time that is left until `end`.
pub(crate) fn left(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now())
}

fn hang_up(stream: &UnixStream) {
    if let Err(error) = stream.shutdown(Shutdown::Both) {
        tracing::trace!(%error, "the other side hung up first");
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
