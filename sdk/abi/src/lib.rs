//! The `repr(C)` mirror of `sdk/include/recueil_plugin.h`, nothing else.
//!
//! Invariant: types and numbers only, equal to the compiled header; the tests compile it and compare every
//! size, offset and number. What is *not* here: any behaviour, and the meaning of the fields, which the header
//! gives; writing it twice would let the two drift. Plugins in Rust use `recueil-plugin`, which is safe.
//!
//! A function that the header calls optional, or that an older side may not have, is `None` when it is not
//! there. Every pointer's owner, lifetime and thread stands in the header (rules R4 and R6).
//!
//! ```
//! use recueil_abi::rcl_caps;
//! let caps = rcl_caps { size: rcl_caps::SIZE, ..rcl_caps::ZERO };
//! assert_eq!(caps.max_width, 0);
//! ```
#![cfg_attr(not(test), no_std)]
#![expect(non_camel_case_types, reason = "the names are the header's")]
#![expect(missing_docs, reason = "the header documents each field and number")]

#[macro_use]
mod declare;
#[cfg(test)]
mod tests;

use core::ffi::{c_char, c_void};

pub type rcl_status = i32;

constants! {
    RCL_ABI_MAJOR: u16 = 1;
    RCL_ABI_MINOR: u16 = 0;

    RCL_OK: rcl_status = 0;
    RCL_E_FAILED: rcl_status = -1;
    RCL_E_UNSUPPORTED: rcl_status = -2;
    RCL_E_INVALID: rcl_status = -3;
    RCL_E_NO_MEMORY: rcl_status = -4;
    RCL_E_TIMEOUT: rcl_status = -5;
    RCL_E_CANCELLED: rcl_status = -6;
    RCL_E_BUSY: rcl_status = -7;
    RCL_E_GONE: rcl_status = -8;
    RCL_E_IO: rcl_status = -9;
    RCL_E_ACCESS: rcl_status = -10;
    RCL_E_AGAIN: rcl_status = -11;
    RCL_E_FIRMWARE: rcl_status = -12;
    RCL_E_CALIBRATION: rcl_status = -13;
    RCL_E_JAM: rcl_status = -14;
    RCL_E_NO_MEDIA: rcl_status = -15;
    RCL_E_COVER_OPEN: rcl_status = -16;
    RCL_E_TAMPER: rcl_status = -17;
    RCL_E_LICENCE: rcl_status = -18;
    RCL_E_PANIC: rcl_status = -19;

    RCL_LOG_TRACE: i32 = 0;
    RCL_LOG_DEBUG: i32 = 1;
    RCL_LOG_INFO: i32 = 2;
    RCL_LOG_WARN: i32 = 3;
    RCL_LOG_ERROR: i32 = 4;
    RCL_LOG_MISBEHAVING: i32 = 5;

    RCL_BUS_USB: u32 = 1;
    RCL_BUS_SERIAL: u32 = 2;
    RCL_BUS_V4L2: u32 = 3;
    RCL_BUS_HIDRAW: u32 = 4;
    RCL_BUS_NETWORK: u32 = 5;
    RCL_BUS_VIRTUAL: u32 = 6;

    RCL_MOD_FINGERPRINT: u32 = 1;
    RCL_MOD_CAMERA: u32 = 2;
    RCL_MOD_SCANNER: u32 = 4;
    RCL_MOD_SIGNATURE: u32 = 8;
    RCL_MOD_CARD: u32 = 16;

    RCL_PIX_GRAY8: u32 = 1;
    RCL_PIX_RGB24: u32 = 2;
    RCL_PIX_GRAY16LE: u32 = 3;
    RCL_PIX_BGR24: u32 = 4;
    RCL_PIX_YUYV: u32 = 5;
    RCL_PIX_NV12: u32 = 6;
    RCL_PIX_BIT1: u32 = 7;
    RCL_PIX_JPEG: u32 = 20;
    RCL_PIX_PNG: u32 = 21;
    RCL_PIX_OPAQUE: u32 = 22;

    RCL_FRAME_PREVIEW: u32 = 1;
    RCL_FRAME_RESULT: u32 = 2;

    RCL_EV_PROGRESS: u32 = 1;
    RCL_EV_PLACE: u32 = 2;
    RCL_EV_REMOVE: u32 = 3;
    RCL_EV_MOVE: u32 = 4;
    RCL_EV_PRESSURE: u32 = 5;
    RCL_EV_BUTTON: u32 = 6;
    RCL_EV_MEDIA: u32 = 7;
    RCL_EV_HOLD: u32 = 8;
    RCL_EV_FINGERS: u32 = 9;
    RCL_EV_LIFTED_EARLY: u32 = 10;
    RCL_EV_DEVICE_GONE: u32 = 100;
    RCL_EV_DEVICE_STATE: u32 = 101;
    RCL_EV_DEVICES_CHANGED: u32 = 102;

    RCL_CAP_PREVIEW: u32 = 1;
    RCL_CAP_LED: u32 = 2;
    RCL_CAP_BEEP: u32 = 4;
    RCL_CAP_PAD: u32 = 8;
    RCL_CAP_AUTO_CAPTURE: u32 = 16;

    RCL_PLUGIN_ONE_AT_A_TIME: u32 = 1;

    RCL_TYPE_FP_PARAMS: u32 = 0x4650_0001;
    RCL_TYPE_FP_META: u32 = 0x4650_0002;
    RCL_TYPE_SCAN_PARAMS: u32 = 0x5343_0001;

    RCL_FP_QUALITY_NONE: u32 = 255;
    RCL_FP_SEGMENTS_MAX: u32 = 16;
    RCL_FP_PAD_SCORE_NONE: u32 = 0xFFFF_FFFF;
    RCL_FP_PAD_NONE: u32 = 0;
    RCL_FP_PAD_GENUINE: u32 = 1;
    RCL_FP_PAD_ATTACK: u32 = 2;

    RCL_CONTROL_INT: u32 = 1;
    RCL_CONTROL_MENU: u32 = 2;
    RCL_CONTROL_BOOL: u32 = 3;
    RCL_CONTROL_BUTTON: u32 = 4;

    RCL_SOURCE_FLATBED: u32 = 1;
    RCL_SOURCE_FEEDER: u32 = 2;
    RCL_SOURCE_CARD_SLOT: u32 = 3;
}

names! {
    RCL_EXT_FINGERPRINT = c"recueil.fingerprint/1";
    RCL_EXT_CAMERA = c"recueil.camera/1";
    RCL_EXT_SCANNER = c"recueil.scanner/1";
}

/// Name of the one exported symbol, for `dlsym`.
pub const ENTRY_SYMBOL: &core::ffi::CStr = c"recueil_plugin_v1";
/// Type of the one exported symbol.
pub type recueil_plugin_v1 = unsafe extern "C" fn(host_abi_minor: u32) -> *const rcl_descriptor;

structs! {
    struct rcl_struct {
        size: u32,
        type_ as "type": u32,
        next: *const rcl_struct,
    }

    struct rcl_frame {
        size: u32,
        pixfmt: u32,
        width: u32,
        height: u32,
        stride: u32,
        flags: u32,
        capacity: u64,
        used: u64,
        data: *mut u8,
        handle: u64,
    }

    struct rcl_meta {
        size: u32,
        ppi_x_milli: u32,
        ppi_y_milli: u32,
        sequence: u32,
        page: u32,
        flags: u32,
        t_ns: u64,
        next: *const rcl_struct,
    }

    struct rcl_devref {
        size: u32,
        bus: u32,
        fd: i32,
        usb_vid: u32,
        usb_pid: u32,
        usb_iface: u32,
        path: *const c_char,
        serial: *const c_char,
    }

    struct rcl_devinfo {
        size: u32,
        modalities: u32,
        vendor: [c_char; 64],
        model: [c_char; 64],
        serial: [c_char; 64],
        firmware: [c_char; 32],
        hw_rev: [c_char; 32],
        unique_id: [c_char; 96],
    }

    struct rcl_caps {
        size: u32,
        modalities: u32,
        max_width: u32,
        max_height: u32,
        ppi_milli: u32,
        pixfmts: u32,
        flags: u32,
        capture_timeout_ms: u32,
    }

    struct rcl_params {
        size: u32,
        modality: u32,
        pixfmt: u32,
        ppi_milli: u32,
        deadline_ms: u32,
        preview_fps: u32,
        flags: u32,
        reserved: u32,
        next: *const rcl_struct,
    }

    struct rcl_feedback {
        size: u32,
        led: u32,
        beep_ms: u32,
        beep_hz: u32,
        slot: u32,
    }

    struct rcl_host {
        size: u32,
        abi_major: u16,
        abi_minor: u16,
        ctx: *mut c_void,
        get_extension: Option<unsafe extern "C" fn(*const rcl_host, *const c_char) -> *const c_void>,
        log: Option<unsafe extern "C" fn(*const rcl_host, i32, *const c_char)>,
        now_ns: Option<unsafe extern "C" fn(*const rcl_host) -> u64>,
        config_get: Option<unsafe extern "C" fn(*const rcl_host, *const c_char, *mut c_char, u32) -> rcl_status>,
        blob_get: Option<unsafe extern "C" fn(*const rcl_host, *const c_char, *mut c_void, u64) -> i64>,
        blob_put: Option<unsafe extern "C" fn(*const rcl_host, *const c_char, *const c_void, u64) -> rcl_status>,
        frame_alloc: Option<unsafe extern "C" fn(*const rcl_host, u64, u32, *mut rcl_frame) -> rcl_status>,
        frame_submit:
            Option<unsafe extern "C" fn(*const rcl_host, u64, *mut rcl_frame, *const rcl_meta) -> rcl_status>,
        frame_drop: Option<unsafe extern "C" fn(*const rcl_host, *mut rcl_frame)>,
        event: Option<unsafe extern "C" fn(*const rcl_host, u64, u32, i64, *const c_char) -> rcl_status>,
        fail: Option<unsafe extern "C" fn(*const rcl_host, u64, rcl_status, i64, *const c_char)>,
        cancel_fd: Option<unsafe extern "C" fn(*const rcl_host, u64) -> i32>,
    }

    struct rcl_device {
        size: u32,
        reserved: u32,
        ctx: *mut c_void,
        close: Option<unsafe extern "C" fn(*mut rcl_device)>,
        get_extension: Option<unsafe extern "C" fn(*mut rcl_device, *const c_char) -> *const c_void>,
        get_info: Option<unsafe extern "C" fn(*mut rcl_device, *mut rcl_devinfo) -> rcl_status>,
        get_caps: Option<unsafe extern "C" fn(*mut rcl_device, *mut rcl_caps) -> rcl_status>,
        capture: Option<unsafe extern "C" fn(*mut rcl_device, u64, *const rcl_params) -> rcl_status>,
        cancel: Option<unsafe extern "C" fn(*mut rcl_device, u64)>,
        feedback: Option<unsafe extern "C" fn(*mut rcl_device, *const rcl_feedback) -> rcl_status>,
        self_test: Option<unsafe extern "C" fn(*mut rcl_device, u32) -> rcl_status>,
    }

    struct rcl_plugin {
        size: u32,
        reserved: u32,
        ctx: *mut c_void,
        destroy: Option<unsafe extern "C" fn(*mut rcl_plugin)>,
        get_extension: Option<unsafe extern "C" fn(*mut rcl_plugin, *const c_char) -> *const c_void>,
        probe:
            Option<unsafe extern "C" fn(*mut rcl_plugin, *const rcl_devref, *mut rcl_devinfo) -> rcl_status>,
        open: Option<unsafe extern "C" fn(*mut rcl_plugin, *const rcl_devref, *mut *mut rcl_device) -> rcl_status>,
        enumerate: Option<unsafe extern "C" fn(*mut rcl_plugin, u32, *mut rcl_devref) -> rcl_status>,
    }

    struct rcl_descriptor {
        size: u32,
        abi_major: u16,
        abi_minor: u16,
        host_minor_min: u32,
        modalities: u32,
        flags: u32,
        reserved: u32,
        id: *const c_char,
        name: *const c_char,
        vendor: *const c_char,
        version: *const c_char,
        licence: *const c_char,
        create: Option<unsafe extern "C" fn(*const rcl_host, *mut *mut rcl_plugin) -> rcl_status>,
    }

    struct rcl_fp_params {
        h: rcl_struct,
        positions: u32,
        missing: u32,
        min_quality: u32,
        reserved: u32,
    }

    struct rcl_fp_segment {
        position: u32,
        x: i32,
        y: i32,
        w: u32,
        h: u32,
        angle_milli_deg: i32,
        quality: u32,
        quality_alg: u32,
    }

    struct rcl_fp_meta {
        h: rcl_struct,
        position: u32,
        impression: u32,
        nsegments: u32,
        pad_score: u32,
        pad_verdict: u32,
        reserved: u32,
        segments: *const rcl_fp_segment,
    }

    struct rcl_fingerprint_v1 {
        size: u32,
        reserved: u32,
        finger_present: Option<unsafe extern "C" fn(*mut rcl_device) -> rcl_status>,
        calibrate: Option<unsafe extern "C" fn(*mut rcl_device, u64) -> rcl_status>,
    }

    struct rcl_control {
        size: u32,
        id: u32,
        kind: u32,
        flags: u32,
        min: i64,
        max: i64,
        step: i64,
        dflt: i64,
        name: [c_char; 48],
        unit: [c_char; 16],
    }

    struct rcl_camera_v1 {
        size: u32,
        reserved: u32,
        control: Option<unsafe extern "C" fn(*mut rcl_device, u32, *mut rcl_control) -> rcl_status>,
        get: Option<unsafe extern "C" fn(*mut rcl_device, u32, *mut i64) -> rcl_status>,
        set: Option<unsafe extern "C" fn(*mut rcl_device, u32, i64) -> rcl_status>,
    }

    struct rcl_scan_params {
        h: rcl_struct,
        source: u32,
        sides: u32,
        max_pages: u32,
        reserved: u32,
        x_um: i32,
        y_um: i32,
        w_um: i32,
        h_um: i32,
    }

    struct rcl_source {
        size: u32,
        id: u32,
        kind: u32,
        sides: u32,
        max_w_um: u32,
        max_h_um: u32,
    }

    struct rcl_scanner_v1 {
        size: u32,
        reserved: u32,
        source: Option<unsafe extern "C" fn(*mut rcl_device, u32, *mut rcl_source) -> rcl_status>,
        media_present: Option<unsafe extern "C" fn(*mut rcl_device, u32) -> rcl_status>,
    }
}
