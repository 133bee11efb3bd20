//! A device's functions, as the host calls them.
#![expect(unsafe_code, reason = "functions that C calls, on pointers that C keeps")]

use std::ffi::{c_char, c_void};
use std::time::Duration;

use recueil_abi as abi;
use tracing::Dispatch;

use super::guard::guard;
use super::{Host, sized};
use crate::{
    Area, Canceller, Caps, Capture, Device, Feedback, FingerprintParams, Fingers, Format, Led, Modalities,
    Params, Result, ScanParams, Sides, Status,
};

/// One device; the host sees its first field. `device` is used by [dev] calls alone, which come one after the
/// other; the rest is shared with the [any] calls.
#[repr(C)]
struct State<D> {
    vtable: abi::rcl_device,
    host: Host,
    log: Dispatch,
    canceller: Option<Canceller>,
    device: D,
}

/// Gives a device to the host; [`close`] takes it back.
pub(super) fn into_raw<D: Device>(device: D, host: Host, log: Dispatch) -> *mut abi::rcl_device {
    let canceller = device.canceller();
    let vtable = abi::rcl_device {
        size: abi::rcl_device::SIZE,
        close: Some(close::<D>),
        get_extension: Some(get_extension),
        get_info: Some(get_info::<D>),
        get_caps: Some(get_caps::<D>),
        capture: Some(capture::<D>),
        cancel: canceller.is_some().then_some(cancel::<D>),
        feedback: Some(feedback::<D>),
        self_test: Some(self_test::<D>),
        ..abi::rcl_device::ZERO
    };
    Box::into_raw(Box::new(State {
        vtable,
        host,
        log,
        canceller,
        device,
    }))
    .cast()
}

unsafe extern "C" fn close<D: Device>(device: *mut abi::rcl_device) {
    // SAFETY: the pointer that open gave, for the last time.
    let state = unsafe { Box::from_raw(device.cast::<State<D>>()) };
    let State {
        host,
        log,
        canceller,
        device,
        ..
    } = *state;
    guard(&host, &log, 0, || {
        drop(canceller);
        drop(device);
        Ok(0)
    });
}

unsafe extern "C" fn get_extension(_device: *mut abi::rcl_device, _id: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn get_info<D: Device>(
    device: *mut abi::rcl_device,
    out: *mut abi::rcl_devinfo,
) -> abi::rcl_status {
    let fill = |device: &mut D, _host: &Host| {
        let info = abi::rcl_devinfo::from(&device.info()?);
        // SAFETY: the host's place says its size.
        let filled = unsafe { sized::write(out, &info) };
        if filled {
            Ok(0)
        } else {
            Err(Status::INVALID.into())
        }
    };
    // SAFETY: a [dev] call.
    unsafe { on_device(device, 0, fill) }
}

unsafe extern "C" fn get_caps<D: Device>(
    device: *mut abi::rcl_device,
    out: *mut abi::rcl_caps,
) -> abi::rcl_status {
    let fill = |device: &mut D, _host: &Host| {
        let caps = abi::rcl_caps::from(&device.caps()?);
        // SAFETY: the host's place says its size.
        let filled = unsafe { sized::write(out, &caps) };
        if filled {
            Ok(0)
        } else {
            Err(Status::INVALID.into())
        }
    };
    // SAFETY: a [dev] call.
    unsafe { on_device(device, 0, fill) }
}

unsafe extern "C" fn capture<D: Device>(
    device: *mut abi::rcl_device,
    req: u64,
    params: *const abi::rcl_params,
) -> abi::rcl_status {
    let run = |device: &mut D, host: &Host| {
        // SAFETY: the host's params and their parts are valid for the call.
        let params = unsafe { read_params(params) }.ok_or(Status::INVALID)?;
        // SAFETY: this is the call in which `req` runs.
        let cancel_fd = unsafe { host.cancel_fd(req) }?;
        device.capture(&Capture::new(host, req, cancel_fd), &params)?;
        Ok(0)
    };
    // SAFETY: a [dev] call.
    unsafe { on_device(device, req, run) }
}

unsafe extern "C" fn cancel<D: Device>(device: *mut abi::rcl_device, req: u64) {
    let state = device.cast::<State<D>>();
    // SAFETY: the device is open; only this field is borrowed, which no [dev] call touches.
    let canceller = unsafe { &(*state).canceller };
    // SAFETY: as above.
    let host = unsafe { &(*state).host };
    // SAFETY: as above.
    let log = unsafe { &(*state).log };
    guard(host, log, req, || {
        if let Some(cancel) = canceller {
            cancel(req);
        }
        Ok(0)
    });
}

unsafe extern "C" fn feedback<D: Device>(
    device: *mut abi::rcl_device,
    feedback: *const abi::rcl_feedback,
) -> abi::rcl_status {
    let show = |device: &mut D, _host: &Host| {
        // SAFETY: the host's struct is valid for the call.
        let raw = unsafe { sized::read(feedback) }.ok_or(Status::INVALID)?;
        let led = Led::from(raw.led);
        device.feedback(&Feedback {
            led,
            beep_ms: raw.beep_ms,
            beep_hz: raw.beep_hz,
            slot: raw.slot,
        })?;
        Ok(0)
    };
    // SAFETY: a [dev] call.
    unsafe { on_device(device, 0, show) }
}

unsafe extern "C" fn self_test<D: Device>(device: *mut abi::rcl_device, level: u32) -> abi::rcl_status {
    let test = |device: &mut D, _host: &Host| device.self_test(level).map(|()| 0);
    // SAFETY: a [dev] call.
    unsafe { on_device(device, 0, test) }
}

/// # Safety
/// `device` is the pointer that open gave and is not closed; this is a [dev] call, so no other borrows the
/// device now.
unsafe fn on_device<D: Device>(
    device: *mut abi::rcl_device,
    req: u64,
    f: impl FnOnce(&mut D, &Host) -> Result<i32>,
) -> abi::rcl_status {
    let state = device.cast::<State<D>>();
    // SAFETY: shared with [any] calls, never changed.
    let host = unsafe { &(*state).host };
    // SAFETY: as above.
    let log = unsafe { &(*state).log };
    // SAFETY: [dev] calls come one after the other, and no other call touches this field.
    let device = unsafe { &mut (*state).device };
    guard(host, log, req, || f(device, host))
}

/// # Safety
/// `raw` is null, or the host's params with their parts.
unsafe fn read_params(raw: *const abi::rcl_params) -> Option<Params> {
    // SAFETY: the caller's params.
    let raw = unsafe { sized::read(raw) }?;
    // SAFETY: a part of this type is of this struct.
    let fingerprint = unsafe { sized::find::<abi::rcl_fp_params>(raw.next, abi::RCL_TYPE_FP_PARAMS) };
    // SAFETY: as above.
    let scan = unsafe { sized::find::<abi::rcl_scan_params>(raw.next, abi::RCL_TYPE_SCAN_PARAMS) };
    Some(Params {
        modality: Modalities(raw.modality),
        format: (raw.pixfmt != 0).then_some(Format(raw.pixfmt)),
        ppi_milli: raw.ppi_milli,
        deadline: Duration::from_millis(u64::from(raw.deadline_ms)),
        preview_fps: raw.preview_fps,
        fingerprint: fingerprint.map(|part| FingerprintParams {
            positions: Fingers::from_bits(part.positions),
            missing: Fingers::from_bits(part.missing),
            quality_min: part.min_quality,
        }),
        scan: scan.map(ScanParams::from),
    })
}

impl From<abi::rcl_scan_params> for ScanParams {
    fn from(part: abi::rcl_scan_params) -> Self {
        let area = Area {
            x_um: part.x_um,
            y_um: part.y_um,
            width_um: part.w_um,
            height_um: part.h_um,
        };
        Self {
            source: part.source,
            sides: match part.sides {
                2 => Sides::Back,
                3 => Sides::Both,
                _ => Sides::Front,
            },
            pages_max: part.max_pages,
            area: (area.width_um > 0 && area.height_um > 0).then_some(area),
        }
    }
}

impl From<&Caps> for abi::rcl_caps {
    fn from(caps: &Caps) -> Self {
        let flag = |set: bool, bit: u32| if set { bit } else { 0 };
        Self {
            size: Self::SIZE,
            modalities: caps.modalities.0,
            max_width: caps.width_max,
            max_height: caps.height_max,
            ppi_milli: caps.ppi_milli,
            pixfmts: caps
                .formats
                .iter()
                .filter(|format| format.0 < 32)
                .fold(0, |bits, format| bits | 1 << format.0),
            flags: flag(caps.preview, abi::RCL_CAP_PREVIEW)
                | flag(caps.led, abi::RCL_CAP_LED)
                | flag(caps.beep, abi::RCL_CAP_BEEP)
                | flag(caps.pad, abi::RCL_CAP_PAD)
                | flag(caps.auto_capture, abi::RCL_CAP_AUTO_CAPTURE),
            capture_timeout_ms: caps.capture_timeout_ms,
        }
    }
}
