//! The host functions as the plugin calls them: pointers in, statuses out.
//!
//! Nothing is read from the `rcl_host` that a plugin passes: there is one host in a process, found without it.

use std::ffi::{c_char, c_void};
use std::sync::OnceLock;

use recueil_abi as abi;
use recueil_dossier::{FrameInfo, FrameKind};

use super::{meta, sized};
use crate::capture;
use crate::layout::pixel_format;
use crate::refusal::{NULL, Refusal, TOO_SMALL, UNKNOWN_FRAME};
use crate::services::Services;

/// Longest key, and longest text, that is looked at.
const KEY_MAX_BYTES: usize = 256;
const TEXT_MAX_BYTES: usize = 4096;
/// Longest value that a plugin may store at once; what is larger is refused before it is looked at.
const VALUE_MAX_BYTES: u64 = 256 << 10;

static SERVICES: OnceLock<&'static Services> = OnceLock::new();

/// The table for `create`, valid for the life of the process. To be called once.
pub(crate) fn table(services: &'static Services) -> *const abi::rcl_host {
    SERVICES.get_or_init(|| services);
    let table = abi::rcl_host {
        size: abi::rcl_host::SIZE,
        abi_major: abi::RCL_ABI_MAJOR,
        abi_minor: abi::RCL_ABI_MINOR,
        ctx: std::ptr::null_mut(),
        get_extension: Some(get_extension),
        log: Some(log),
        now_ns: Some(now_ns),
        config_get: Some(config_get),
        blob_get: Some(blob_get),
        blob_put: Some(blob_put),
        frame_alloc: Some(frame_alloc),
        frame_submit: Some(frame_submit),
        frame_drop: Some(frame_drop),
        event: Some(event),
        fail: Some(fail),
        cancel_fd: Some(cancel_fd),
    };
    Box::leak(Box::new(table))
}

/// Runs one host function: the status of a refusal, else what it gives.
fn serve<T: From<i32>>(run: impl FnOnce(&'static Services) -> Result<T, Refusal>) -> T {
    let Some(services) = SERVICES.get() else {
        return T::from(abi::RCL_E_INVALID);
    };
    run(services).unwrap_or_else(|refusal| T::from(services.refuse(refusal)))
}

/// As [`serve`], for what gives nothing.
fn serve_silently(run: impl FnOnce(&'static Services) -> Result<(), Refusal>) {
    serve(|services| run(services).map(|()| abi::RCL_OK));
}

unsafe extern "C" fn get_extension(_host: *const abi::rcl_host, id: *const c_char) -> *const c_void {
    serve_silently(|_services| if id.is_null() { Err(NULL) } else { Ok(()) });
    std::ptr::null()
}

unsafe extern "C" fn log(_host: *const abi::rcl_host, level: i32, text: *const c_char) {
    serve_silently(|services| {
        // SAFETY: the contract: a string.
        let text = unsafe { sized::text(text, TEXT_MAX_BYTES) }.ok_or(NULL)?;
        services.log(level, &text);
        Ok(())
    });
}

unsafe extern "C" fn now_ns(_host: *const abi::rcl_host) -> u64 {
    capture::now_ns()
}

unsafe extern "C" fn config_get(
    _host: *const abi::rcl_host,
    key: *const c_char,
    buffer: *mut c_char,
    capacity: u32,
) -> abi::rcl_status {
    serve(|services| {
        // SAFETY: the contract: a string.
        let key = unsafe { sized::text(key, KEY_MAX_BYTES) }.ok_or(NULL)?;
        let value = services
            .config(&key)
            .ok_or(Refusal::Status(abi::RCL_E_UNSUPPORTED))?;
        let with_end = [value.as_bytes(), &[0]].concat();
        // SAFETY: the contract: `capacity` bytes at `buffer`.
        unsafe { give(&with_end, buffer.cast(), u64::from(capacity)) }?;
        i32::try_from(value.len()).map_err(|_too_long| Refusal::Status(abi::RCL_E_NO_MEMORY))
    })
}

unsafe extern "C" fn blob_get(
    _host: *const abi::rcl_host,
    key: *const c_char,
    buffer: *mut c_void,
    capacity: u64,
) -> i64 {
    serve(|services| {
        // SAFETY: the contract: a string.
        let key = unsafe { sized::text(key, KEY_MAX_BYTES) }.ok_or(NULL)?;
        let given = services.blob(&key, |value| {
            // SAFETY: the contract: `capacity` bytes at `buffer`.
            unsafe { give(value, buffer.cast(), capacity) }?;
            Ok(i64::try_from(value.len()).unwrap_or(i64::MAX))
        });
        given.unwrap_or(Err(Refusal::Status(abi::RCL_E_UNSUPPORTED)))
    })
}

unsafe extern "C" fn blob_put(
    _host: *const abi::rcl_host,
    key: *const c_char,
    bytes: *const c_void,
    len: u64,
) -> abi::rcl_status {
    serve(|services| {
        if !services.may_store() {
            return Err(Refusal::Stored);
        }
        // SAFETY: the contract: a string.
        let key = unsafe { sized::text(key, KEY_MAX_BYTES) }.ok_or(NULL)?;
        let len = usize::try_from(len.min(VALUE_MAX_BYTES + 1)).unwrap_or(0);
        if bytes.is_null() && len > 0 {
            return Err(NULL);
        }
        let value = if len == 0 {
            &[]
        } else {
            // SAFETY: the contract: that many bytes, which nobody changes during the call.
            unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), len) }
        };
        services.store(&key, value)?;
        Ok(abi::RCL_OK)
    })
}

unsafe extern "C" fn frame_alloc(
    _host: *const abi::rcl_host,
    req: u64,
    kind: u32,
    io: *mut abi::rcl_frame,
) -> abi::rcl_status {
    serve(|services| {
        // SAFETY: the contract: a frame, or NULL.
        let mut frame = unsafe { read_frame(io) }?;
        let (grant, stride) = services.alloc(req, kind, &frame)?;
        frame.stride = stride;
        frame.capacity = grant.capacity;
        frame.used = 0;
        frame.data = grant.data.as_ptr();
        frame.handle = grant.handle;
        // SAFETY: the contract: `io` is where it was read, and is written by the host.
        unsafe { sized::write_back(&frame, io) };
        Ok(abi::RCL_OK)
    })
}

unsafe extern "C" fn frame_submit(
    _host: *const abi::rcl_host,
    req: u64,
    frame: *mut abi::rcl_frame,
    meta: *const abi::rcl_meta,
) -> abi::rcl_status {
    serve(|services| {
        // SAFETY: the contract: a frame, or NULL.
        let frame = unsafe { read_frame(frame) }?;
        // SAFETY: the contract: a meta with its parts, or NULL. Read first, since a frame is consumed in
        // every case.
        let meta = unsafe { meta::read(meta) };
        services.submit(req, frame.handle, |kind| describe(kind, &frame, meta?))?;
        Ok(abi::RCL_OK)
    })
}

unsafe extern "C" fn frame_drop(_host: *const abi::rcl_host, frame: *mut abi::rcl_frame) {
    serve_silently(|services| {
        // SAFETY: the contract: a frame, or NULL.
        let frame = unsafe { read_frame(frame) }?;
        services.frames.drop_frame(frame.handle)
    });
}

unsafe extern "C" fn event(
    _host: *const abi::rcl_host,
    req: u64,
    event: u32,
    value: i64,
    _detail: *const c_char,
) -> abi::rcl_status {
    // The vendor's words are for nobody here: guidance has codes, and a text could carry anything.
    serve(|services| services.event(req, event, value).map(|()| abi::RCL_OK))
}

unsafe extern "C" fn fail(
    _host: *const abi::rcl_host,
    req: u64,
    _status: abi::rcl_status,
    vendor_code: i64,
    text: *const c_char,
) {
    serve_silently(|services| {
        // SAFETY: the contract: a string, or NULL.
        let text = unsafe { sized::text(text, TEXT_MAX_BYTES) }.unwrap_or_default();
        services.explain(req, vendor_code, &text)
    });
}

unsafe extern "C" fn cancel_fd(_host: *const abi::rcl_host, req: u64) -> i32 {
    let Some(services) = SERVICES.get() else {
        return -1;
    };
    match services.running(req) {
        Ok(capture) => capture.cancel_fd(),
        Err(refusal) => {
            services.refuse(refusal);
            -1
        }
    }
}

/// # Safety
/// `frame` is NULL or points to an `rcl_frame`.
unsafe fn read_frame(frame: *mut abi::rcl_frame) -> Result<abi::rcl_frame, Refusal> {
    if frame.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    unsafe { sized::read(frame.cast_const()) }.map_err(|_too_small| TOO_SMALL)
}

/// Copies all of `bytes`, or nothing if they are more than `capacity`.
///
/// # Safety
/// `to` points to `capacity` bytes for the host to write.
unsafe fn give(bytes: &[u8], to: *mut u8, capacity: u64) -> Result<(), Refusal> {
    if to.is_null() && capacity > 0 {
        return Err(NULL);
    }
    if u64::try_from(bytes.len()).is_ok_and(|len| len <= capacity) && !to.is_null() {
        // SAFETY: `to` has room for them, and the plugin's memory is not ours.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }
    Ok(())
}

fn describe(kind: FrameKind, frame: &abi::rcl_frame, meta: meta::Meta) -> Result<FrameInfo, Refusal> {
    // The format was taken at allocation; another now is no frame that was lent.
    let format = pixel_format(frame.pixfmt).ok_or(UNKNOWN_FRAME)?;
    let used = if frame.used == 0 {
        u64::from(frame.stride).saturating_mul(u64::from(frame.height))
    } else {
        frame.used
    };
    Ok(FrameInfo {
        kind,
        format,
        width: frame.width,
        height: frame.height,
        stride: frame.stride,
        used,
        ppi_x_milli: meta.plain.ppi_x_milli,
        ppi_y_milli: meta.plain.ppi_y_milli,
        sequence: meta.plain.sequence,
        page: meta.plain.page,
        time_ns: meta.plain.t_ns,
        fingerprint: meta.fingerprint,
    })
}
