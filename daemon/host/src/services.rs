//! What the host does for the plugin: the host functions of the contract, in safe Rust.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recueil_abi as abi;
use recueil_dossier::{FingerPosition, FrameInfo, FrameKind};
use recueil_wire::Socket;
use recueil_wire::host::{FromHost, PluginFailure};

use crate::blobs::Blobs;
use crate::capture::{Capture, Captures};
use crate::ffi::memory::Slots;
use crate::frames::{Frames, Grant};
use crate::layout::Layout;
use crate::log::{LogBudget, Rate, SHORT_LINE_MAX_CHARS, printable};
use crate::refusal::{NOT_RUNNING, Refusal};
use crate::threads::Threads;

/// Broken rules told in the life of a process, the plugin's and the analyser's; who breaks more is known well
/// enough.
const COMPLAINTS_MAX: u32 = 64;
/// Events a second; a person cannot follow more.
const EVENTS_A_SECOND_MAX: u32 = 100;

/// The one host of this process.
#[derive(Debug)]
pub(crate) struct Services {
    control: Socket,
    config: BTreeMap<String, String>,
    blobs: Mutex<Blobs>,
    /// Captures under way.
    pub(crate) captures: Captures,
    /// Frame memory.
    pub(crate) frames: Frames,
    /// How many threads there are.
    pub(crate) threads: Threads,
    log: Mutex<LogBudget>,
    events: Mutex<Rate>,
    explanation: Mutex<Explanation>,
    has_captured: AtomicBool,
    complaints: AtomicU32,
    /// The first rule that the capture broke which runs.
    broken: Mutex<Option<String>>,
}

/// What the plugin said of the error that it is about to return.
#[derive(Debug, Default)]
struct Explanation {
    vendor_code: i64,
    text: String,
}

impl Services {
    pub(crate) fn new(
        control: Socket,
        config: BTreeMap<String, String>,
        blobs: Blobs,
        slots: Slots,
        threads: Threads,
    ) -> Self {
        Self {
            threads,
            control,
            config,
            blobs: Mutex::new(blobs),
            captures: Captures::default(),
            frames: Frames::new(slots),
            log: Mutex::new(LogBudget::new()),
            events: Mutex::new(Rate::new(EVENTS_A_SECOND_MAX)),
            explanation: Mutex::new(Explanation::default()),
            has_captured: AtomicBool::new(false),
            complaints: AtomicU32::new(0),
            broken: Mutex::new(None),
        }
    }

    /// The socket to hostd, to be read by the main thread.
    pub(crate) fn control(&self) -> &Socket {
        &self.control
    }

    /// Says something to hostd. Without hostd, or where the plugin has closed our socket, the process ends.
    pub(crate) fn tell(&self, message: &FromHost) {
        if self.control.send(message, &[]).is_err() {
            crate::end(1);
        }
    }

    /// A line of the host's own.
    pub(crate) fn note(&self, level: i32, text: &str) {
        self.tell(&FromHost::Log {
            level: level.clamp(abi::RCL_LOG_TRACE, abi::RCL_LOG_ERROR).unsigned_abs(),
            text: text.to_owned(),
        });
    }

    /// Says which rule of the header was broken.
    pub(crate) fn misbehaved(&self, number: u8, words: &str) {
        let rule = format!("R{number}: {words}");
        lock(&self.broken).get_or_insert_with(|| rule.clone());
        if self.may_complain() {
            self.tell(&FromHost::Misbehaved { rule });
        }
    }

    /// The first rule that was broken since the capture began.
    pub(crate) fn broken_rule(&self) -> Option<String> {
        lock(&self.broken).clone()
    }

    fn may_complain(&self) -> bool {
        self.complaints.fetch_add(1, Ordering::Relaxed) < COMPLAINTS_MAX
    }

    /// `host->log`.
    pub(crate) fn log(&self, level: i32, text: &str) {
        let line = lock(&self.log).take(text, Instant::now());
        if let Some(text) = line {
            let level = level
                .clamp(abi::RCL_LOG_TRACE, abi::RCL_LOG_MISBEHAVING)
                .unsigned_abs();
            self.tell(&FromHost::Log { level, text });
        }
    }

    /// `host->config_get`.
    pub(crate) fn config(&self, key: &str) -> Option<&str> {
        self.config.get(key).map(String::as_str)
    }

    /// `host->blob_get`: `read` is given the value.
    pub(crate) fn blob<T>(&self, key: &str, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        lock(&self.blobs).get(key).map(read)
    }

    /// Whether something may still be stored: not once the plugin was asked for a capture. It may look at the
    /// device's picture before it asks for memory to put it in.
    pub(crate) fn may_store(&self) -> bool {
        !self.has_captured.load(Ordering::Acquire)
    }

    /// `host->blob_put`.
    pub(crate) fn store(&self, key: &str, value: &[u8]) -> Result<(), Refusal> {
        if !self.may_store() {
            return Err(Refusal::Stored);
        }
        // Held until all is said: parts of two values must not mix.
        let mut blobs = lock(&self.blobs);
        for part in blobs.put(key, value)? {
            self.tell(&part);
        }
        Ok(())
    }

    /// `host->frame_alloc`.
    pub(crate) fn alloc(&self, req: u64, kind: u32, asked: &abi::rcl_frame) -> Result<(Grant, u32), Refusal> {
        let capture = self.captures.running(req).ok_or(NOT_RUNNING)?;
        let kind = match kind {
            abi::RCL_FRAME_PREVIEW => FrameKind::Preview,
            abi::RCL_FRAME_RESULT => FrameKind::Result,
            _ => return Err(Refusal::Broken(4, "a frame for neither preview nor result")),
        };
        let layout = Layout::of(asked)?;
        let grant = self.frames.alloc(&capture, kind, &layout)?;
        Ok((grant, layout.stride))
    }

    /// `host->frame_submit`.
    pub(crate) fn submit(
        &self,
        req: u64,
        handle: u64,
        describe: impl FnOnce(FrameKind) -> Result<FrameInfo, Refusal>,
    ) -> Result<(), Refusal> {
        let Some(capture) = self.captures.running(req) else {
            self.frames.drop_frame(handle)?;
            return Err(NOT_RUNNING);
        };
        if capture.is_cancelled() {
            self.frames.drop_frame(handle)?;
            return Err(Refusal::Status(abi::RCL_E_CANCELLED));
        }
        let in_time = |kind| {
            let info = describe(kind)?;
            capture.check_time(info.time_ns)?;
            Ok(info)
        };
        let kind = self.frames.submit(&capture, handle, in_time)?;
        capture.count(kind);
        Ok(())
    }

    /// `host->event`.
    pub(crate) fn event(&self, req: u64, event: u32, value: i64) -> Result<(), Refusal> {
        let capture = self.captures.running(req).ok_or(NOT_RUNNING)?;
        if !lock(&self.events).take(Instant::now()) {
            return Err(Refusal::Status(abi::RCL_E_BUSY));
        }
        let names_a_finger = matches!(event, abi::RCL_EV_PLACE | abi::RCL_EV_REMOVE);
        let position = u8::try_from(value)
            .ok()
            .and_then(|code| FingerPosition::try_from(code).ok())
            .filter(|_position| names_a_finger);
        self.tell(&FromHost::Event {
            req: capture.req,
            event,
            value,
            position,
        });
        Ok(())
    }

    /// `host->fail`.
    pub(crate) fn explain(&self, req: u64, vendor_code: i64, text: &str) -> Result<(), Refusal> {
        if req != 0 && self.captures.running(req).is_none() {
            return Err(NOT_RUNNING);
        }
        *lock(&self.explanation) = Explanation {
            vendor_code,
            text: printable(text, SHORT_LINE_MAX_CHARS),
        };
        Ok(())
    }

    /// `host->cancel_fd`.
    pub(crate) fn running(&self, req: u64) -> Result<Arc<Capture>, Refusal> {
        self.captures.running(req).ok_or(NOT_RUNNING)
    }

    /// What a call of the plugin's failed with, and what it said of it. To be called after each call.
    pub(crate) fn failure(&self, status: i32) -> Option<PluginFailure> {
        let said = std::mem::take(&mut *lock(&self.explanation));
        (status < 0).then_some(PluginFailure {
            status,
            vendor_code: said.vendor_code,
            text: said.text,
        })
    }

    /// The plugin's `capture` is about to be called.
    pub(crate) fn begin(&self, capture: &Capture, deadline: Duration) {
        // Before, not after: from here on nothing may be stored, whatever comes of it.
        self.has_captured.store(true, Ordering::Release);
        *lock(&self.broken) = None;
        lock(&self.log).begin_capture();
        self.captures.begin(capture, deadline);
    }

    /// It has returned: nothing of the capture is the plugin's any more.
    pub(crate) fn end(&self, capture: &Capture) {
        self.captures.end(capture);
        self.frames.take_back();
        let left_out = lock(&self.log).end_capture();
        if left_out > 0 {
            let text = format!("{left_out} lines of the plugin's log were left out");
            self.note(abi::RCL_LOG_WARN, &text);
        }
    }

    /// What the plugin gets for a refusal, and what hostd is told of it.
    pub(crate) fn refuse(&self, refusal: Refusal) -> abi::rcl_status {
        match refusal {
            Refusal::Status(status) => status,
            Refusal::Broken(number, words) => {
                self.misbehaved(number, words);
                abi::RCL_E_INVALID
            }
            Refusal::Stored => {
                self.misbehaved(11, "something stored once a capture began");
                abi::RCL_E_ACCESS
            }
            Refusal::NoReader(why) => {
                if self.may_complain() {
                    self.note(abi::RCL_LOG_ERROR, why);
                }
                abi::RCL_E_CANCELLED
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
