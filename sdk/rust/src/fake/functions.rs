//! The host's functions, as the plugin calls them.
#![expect(unsafe_code, reason = "functions that C calls, on pointers that C keeps")]

use std::ffi::{c_char, c_void};
use std::os::fd::AsRawFd;

use recueil_abi as abi;

use super::Cancel;
use super::frames::{frame_alloc, frame_drop, frame_submit};
use super::host::{Running, Shared, State};
use crate::ffi::sized;
use crate::{Error, Event, Status};

/// A table of functions that work on `shared`, which must outlive it.
pub(super) fn table(shared: *const Shared) -> abi::rcl_host {
    abi::rcl_host {
        size: abi::rcl_host::SIZE,
        abi_major: abi::RCL_ABI_MAJOR,
        abi_minor: abi::RCL_ABI_MINOR,
        ctx: shared.cast_mut().cast(),
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
    }
}

/// # Safety
/// `host` is a table made by [`table`], whose state is alive.
pub(super) unsafe fn with<R>(host: *const abi::rcl_host, f: impl FnOnce(&mut State) -> R) -> R {
    // SAFETY: the caller's table.
    let shared = unsafe { (*host).ctx }.cast_const().cast::<Shared>();
    // SAFETY: what `table` put there.
    let shared: &Shared = unsafe { &*shared };
    f(&mut shared.lock())
}

unsafe extern "C" fn get_extension(_host: *const abi::rcl_host, _id: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn log(host: *const abi::rcl_host, level: i32, text: *const c_char) {
    // SAFETY: the plugin's text ends with a 0.
    let text = unsafe { sized::text(text) }.to_owned();
    // SAFETY: called through our table.
    unsafe { with(host, |state| state.log.push((level, text))) }
}

unsafe extern "C" fn now_ns(_host: *const abi::rcl_host) -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

unsafe extern "C" fn config_get(
    host: *const abi::rcl_host,
    key: *const c_char,
    buf: *mut c_char,
    cap: u32,
) -> abi::rcl_status {
    // SAFETY: the plugin's text ends with a 0.
    let key = unsafe { sized::text(key) };
    // SAFETY: called through our table.
    let value = unsafe { with(host, |state| state.config.get(key).cloned()) };
    let Some(value) = value else {
        return Status::UNSUPPORTED.0;
    };
    let with_end: Vec<u8> = value.bytes().chain([0]).collect();
    if with_end.len() <= usize::try_from(cap).unwrap_or(0) {
        // SAFETY: the plugin's buffer has `cap` bytes.
        unsafe { std::ptr::copy_nonoverlapping(with_end.as_ptr(), buf.cast(), with_end.len()) };
    }
    i32::try_from(value.len()).unwrap_or(i32::MAX)
}

unsafe extern "C" fn blob_get(
    host: *const abi::rcl_host,
    key: *const c_char,
    buf: *mut c_void,
    cap: u64,
) -> i64 {
    // SAFETY: the plugin's text ends with a 0.
    let key = unsafe { sized::text(key) };
    // SAFETY: called through our table.
    let bytes = unsafe { with(host, |state| state.blobs.get(key).cloned()) };
    let Some(bytes) = bytes else {
        return Status::UNSUPPORTED.0.into();
    };
    if bytes.len() <= usize::try_from(cap).unwrap_or(0) {
        // SAFETY: the plugin's buffer has `cap` bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.cast(), bytes.len()) };
    }
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

unsafe extern "C" fn blob_put(
    host: *const abi::rcl_host,
    key: *const c_char,
    bytes: *const c_void,
    len: u64,
) -> abi::rcl_status {
    // SAFETY: the plugin's text ends with a 0.
    let key = unsafe { sized::text(key) };
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if !(1..=64).contains(&key.len()) || !key.bytes().all(known) {
        return Status::INVALID.0;
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > crate::Host::BLOBS_MAX_BYTES {
        return Status::NO_MEMORY.0;
    }
    let mut copy = vec![0_u8; len];
    if len > 0 {
        // SAFETY: the plugin says that it has `len` bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.cast(), copy.as_mut_ptr(), len) };
    }
    let put = |state: &mut State| {
        let others: usize = state
            .blobs
            .iter()
            .filter(|(other, _)| *other != key)
            .map(|(_, blob)| blob.len())
            .sum();
        if state.has_captured {
            state.broken("R11: something was to be stored once a capture began");
            return Status::ACCESS;
        }
        if others + len > crate::Host::BLOBS_MAX_BYTES {
            return Status::NO_MEMORY;
        }
        state.blobs.insert(key.to_owned(), copy);
        Status::OK
    };
    // SAFETY: called through our table.
    unsafe { with(host, put) }.0
}

unsafe extern "C" fn event(
    host: *const abi::rcl_host,
    req: u64,
    ev: u32,
    value: i64,
    _detail: *const c_char,
) -> abi::rcl_status {
    let note = |state: &mut State| {
        let running = running(state, req)?;
        let event = Event::from_abi(ev, value);
        running.events.push(event);
        if running.cancel == Cancel::At(event) {
            running.cancel_now();
        }
        Ok::<(), Status>(())
    };
    // SAFETY: called through our table.
    unsafe { with(host, note) }.map_or_else(|status| status.0, |()| 0)
}

unsafe extern "C" fn fail(
    host: *const abi::rcl_host,
    _req: u64,
    status: abi::rcl_status,
    vendor_code: i64,
    text: *const c_char,
) {
    // SAFETY: the plugin's text ends with a 0, or is null.
    let text = unsafe { sized::text(text) }.to_owned();
    let error = Error {
        status: Status(status),
        vendor_code,
        text,
    };
    // SAFETY: called through our table.
    unsafe { with(host, |state| state.failure = Some(error)) }
}

unsafe extern "C" fn cancel_fd(host: *const abi::rcl_host, req: u64) -> i32 {
    let find = |state: &mut State| running(state, req).map_or(-1, |running| running.cancel_fd.as_raw_fd());
    // SAFETY: called through our table.
    unsafe { with(host, find) }
}

pub(super) fn running(state: &mut State, req: u64) -> Result<&mut Running, Status> {
    state
        .running
        .as_mut()
        .filter(|running| running.req == req)
        .ok_or(Status::INVALID)
}
