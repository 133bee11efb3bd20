//! An open device, from the host's side.
#![expect(unsafe_code, reason = "calls the plugin's C functions")]

use recueil_abi as abi;

use super::host::{LoadedPlugin, Running};
use super::{CaptureRequest, DeviceRef, Host, Outcome, part};
use crate::ffi::sized;
use crate::{Caps, DeviceInfo, Feedback, Format, Modalities, Result, Status};

/// An open device. Dropping it closes it and destroys the plugin.
pub struct Device<'h> {
    host: &'h Host,
    raw: *mut abi::rcl_device,
    functions: abi::rcl_device,
    _plugin: LoadedPlugin,
    /// Open for as long as the device.
    _reference: DeviceRef,
}

impl std::fmt::Debug for Device<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("fake::Device").finish_non_exhaustive()
    }
}

impl<'h> Device<'h> {
    pub(super) fn new(
        host: &'h Host,
        plugin: LoadedPlugin,
        raw: *mut abi::rcl_device,
        reference: DeviceRef,
    ) -> Self {
        // SAFETY: a live device says its size.
        let functions = unsafe { sized::read(raw) }.unwrap_or(abi::rcl_device::ZERO);
        Self {
            host,
            raw,
            functions,
            _plugin: plugin,
            _reference: reference,
        }
    }

    /// Who it is.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn info(&mut self) -> Result<DeviceInfo> {
        let get_info = self.functions.get_info.ok_or(Status::UNSUPPORTED)?;
        let mut info = abi::rcl_devinfo {
            size: abi::rcl_devinfo::SIZE,
            ..abi::rcl_devinfo::ZERO
        };
        // SAFETY: a live device; the place says its size.
        let status = unsafe { get_info(self.raw, &raw mut info) };
        self.host.outcome(status).map(|_done| DeviceInfo::from(&info))
    }

    /// What it can.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn caps(&mut self) -> Result<Caps> {
        let get_caps = self.functions.get_caps.ok_or(Status::UNSUPPORTED)?;
        let mut caps = abi::rcl_caps {
            size: abi::rcl_caps::SIZE,
            ..abi::rcl_caps::ZERO
        };
        // SAFETY: a live device; the place says its size.
        let status = unsafe { get_caps(self.raw, &raw mut caps) };
        self.host.outcome(status).map(|_done| Caps::from(&caps))
    }

    /// Runs one capture on this thread.
    pub fn capture(&mut self, request: &CaptureRequest) -> Outcome {
        match self.begin(request) {
            Ok(req) => self.run(req, request),
            Err(error) => Outcome {
                status: error.status,
                failure: Some(error),
                frames: Vec::new(),
                events: Vec::new(),
                broken_rules: Vec::new(),
            },
        }
    }

    fn begin(&self, request: &CaptureRequest) -> Result<u64> {
        let mut state = self.host.state();
        let req = state.last_req + 1;
        state.running = Some(Running::new(req, request)?);
        state.has_captured = true;
        state.last_req = req;
        state.failure = None;
        Ok(req)
    }

    fn run(&self, req: u64, request: &CaptureRequest) -> Outcome {
        let broken_before = self.host.broken_rules().len();
        let parts = part::Parts::of(&request.params);
        let params = parts.params();
        let status = match self.functions.capture {
            // SAFETY: a live device; params and parts are valid for the call.
            Some(capture) => unsafe { capture(self.raw, req, &raw const params) },
            None => Status::UNSUPPORTED.0,
        };
        let mut state = self.host.state();
        let Some(running) = state.running.take() else {
            return Outcome {
                status: Status::FAILED,
                failure: None,
                frames: Vec::new(),
                events: Vec::new(),
                broken_rules: Vec::new(),
            };
        };
        if !running.lent.is_empty() {
            state.broken("R4: a frame was neither submitted nor dropped");
        }
        let results = running
            .frames
            .iter()
            .any(|frame| frame.kind == crate::Kind::Result);
        if status >= 0 && !results {
            state.broken("capture() succeeded without a result");
        }
        Outcome {
            status: Status(status.min(0)),
            failure: state.failure.take(),
            frames: running.frames,
            events: running.events,
            broken_rules: state
                .broken_rules
                .get(broken_before..)
                .unwrap_or_default()
                .to_vec(),
        }
    }

    /// Calls the plugin's own cancel function, if it has one, for a capture that ended or never was.
    pub fn cancel(&self, req: u64) {
        if let Some(cancel) = self.functions.cancel {
            // SAFETY: a live device.
            unsafe { cancel(self.raw, req) };
        }
    }

    /// Sets the lamp.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn feedback(&mut self, feedback: &Feedback) -> Result<()> {
        let function = self.functions.feedback.ok_or(Status::UNSUPPORTED)?;
        let raw = abi::rcl_feedback {
            size: abi::rcl_feedback::SIZE,
            led: feedback.led.into(),
            beep_ms: feedback.beep_ms,
            beep_hz: feedback.beep_hz,
            slot: feedback.slot,
        };
        // SAFETY: a live device; the struct is valid for the call.
        let status = unsafe { function(self.raw, &raw const raw) };
        self.host.outcome(status).map(|_done| ())
    }

    /// Runs the self-test.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn self_test(&mut self, level: u32) -> Result<()> {
        let function = self.functions.self_test.ok_or(Status::UNSUPPORTED)?;
        // SAFETY: a live device.
        let status = unsafe { function(self.raw, level) };
        self.host.outcome(status).map(|_done| ())
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if let Some(close) = self.functions.close {
            // SAFETY: a live device, for the last time; the plugin is destroyed after it.
            unsafe { close(self.raw) };
        }
    }
}

impl From<&abi::rcl_caps> for Caps {
    fn from(raw: &abi::rcl_caps) -> Self {
        let flag = |bit: u32| raw.flags & bit != 0;
        Self {
            modalities: Modalities(raw.modalities),
            width_max: raw.max_width,
            height_max: raw.max_height,
            ppi_milli: raw.ppi_milli,
            formats: (0..32)
                .filter(|bit| raw.pixfmts >> bit & 1 == 1)
                .map(Format)
                .collect(),
            preview: flag(abi::RCL_CAP_PREVIEW),
            led: flag(abi::RCL_CAP_LED),
            beep: flag(abi::RCL_CAP_BEEP),
            pad: flag(abi::RCL_CAP_PAD),
            auto_capture: flag(abi::RCL_CAP_AUTO_CAPTURE),
            capture_timeout_ms: raw.capture_timeout_ms,
        }
    }
}
