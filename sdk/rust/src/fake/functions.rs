//! The host's functions, as the plugin calls them.
#![expect(unsafe_code, reason = "functions that C calls, on pointers that C keeps")]

use std::ffi::{c_char, c_void};
use std::os::fd::AsRawFd;

use recueil_abi as abi;

use super::host::{Lent, Page, Running, Shared, State};
use super::{Cancel, CapturedFrame, part};
use crate::ffi::sized;
use crate::{Error, Event, Format, Kind, Status};

/// What lies behind lent memory, to see that nobody writes there.
const CANARY: Page = Page([0xA5; 4096]);

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
unsafe fn with<R>(host: *const abi::rcl_host, f: impl FnOnce(&mut State) -> R) -> R {
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
        if state.saw_a_frame {
            state.broken("R11: something was to be stored after a frame was seen");
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

unsafe extern "C" fn frame_alloc(
    host: *const abi::rcl_host,
    req: u64,
    kind: u32,
    io: *mut abi::rcl_frame,
) -> abi::rcl_status {
    // SAFETY: the plugin's frame says its size.
    let Some(asked) = (unsafe { sized::read(io) }) else {
        return Status::INVALID.0;
    };
    // SAFETY: called through our table.
    match unsafe { with(host, |state| lend(state, req, kind, asked)) } {
        // SAFETY: as above.
        Ok(lent) => i32::from(!unsafe { sized::write(io, &lent) }) * Status::INVALID.0,
        Err(status) => status.0,
    }
}

fn lend(state: &mut State, req: u64, kind: u32, mut frame: abi::rcl_frame) -> Result<abi::rcl_frame, Status> {
    let handle = state.last_handle + 1;
    let running = running(state, req)?;
    let kind = match kind {
        abi::RCL_FRAME_PREVIEW => Kind::Preview,
        abi::RCL_FRAME_RESULT => Kind::Result,
        _ => return Err(Status::INVALID),
    };
    let side = 1..=32_768;
    if !side.contains(&frame.width) || !side.contains(&frame.height) {
        return Err(Status::INVALID);
    }
    if kind == Kind::Result && running.lent.values().any(|lent| lent.kind == kind) {
        return Err(Status::NO_MEMORY);
    }
    if kind == Kind::Preview {
        running.previews_left = running.previews_left.checked_sub(1).ok_or(Status::AGAIN)?;
    }
    match Format(frame.pixfmt) {
        Format::JPEG => frame.stride = 0,
        format => {
            let row = frame.width * format.bytes_per_pixel().ok_or(Status::UNSUPPORTED)?;
            // Rows are padded, so that a plugin which forgets the stride is seen.
            frame.stride = if frame.stride == 0 {
                (row + 1).next_multiple_of(64)
            } else {
                frame.stride
            };
            if frame.stride < row {
                return Err(Status::INVALID);
            }
            frame.capacity = u64::from(frame.stride) * u64::from(frame.height);
        }
    }
    let len = usize::try_from(frame.capacity)
        .ok()
        .filter(|len| (1..=256 << 20).contains(len));
    let pages = len.ok_or(Status::NO_MEMORY)?.div_ceil(4096);
    let mut memory = vec![Page([0; 4096]); pages + 1];
    if let Some(last) = memory.last_mut() {
        *last = CANARY;
    }
    frame.capacity = u64::try_from(pages * 4096).unwrap_or(0);
    frame.used = 0;
    frame.data = memory.as_mut_ptr().cast();
    frame.handle = handle;
    let (width, height, stride, capacity) = (frame.width, frame.height, frame.stride, frame.capacity);
    let lent = Lent {
        kind,
        format: Format(frame.pixfmt),
        width,
        height,
        stride,
        capacity,
        memory,
    };
    running.lent.insert(handle, lent);
    state.last_handle = handle;
    state.saw_a_frame = true;
    Ok(frame)
}

unsafe extern "C" fn frame_submit(
    host: *const abi::rcl_host,
    req: u64,
    frame: *mut abi::rcl_frame,
    meta: *const abi::rcl_meta,
) -> abi::rcl_status {
    // SAFETY: the plugin's frame says its size.
    let frame = unsafe { sized::read(frame.cast_const()) };
    // SAFETY: the plugin's meta and its parts are valid for the call.
    let meta = unsafe { part::meta(meta) };
    let accept = |state: &mut State| {
        let running = running(state, req)?;
        let lent = frame.and_then(|frame| Some((frame, running.lent.remove(&frame.handle)?)));
        let Some((frame, lent)) = lent else {
            state.broken("R4: a frame was submitted that is not the plugin's");
            return Err(Status::INVALID);
        };
        if lent.memory.last().is_some_and(|last| last.0 != CANARY.0) {
            state.broken("R4: bytes were written behind a frame");
            return Err(Status::INVALID);
        }
        let Some((pixels, meta)) = pixels(&frame, &lent).zip(meta) else {
            state.broken("frame_submit: numbers that do not agree");
            return Err(Status::INVALID);
        };
        let (width, height, format) = (lent.width, lent.height, lent.format);
        let running = self::running(state, req)?;
        running.frames.push(CapturedFrame {
            kind: lent.kind,
            format,
            width,
            height,
            pixels,
            meta,
        });
        if running.cancel == Cancel::AtFrame(lent.kind) {
            running.cancel_now();
        }
        Ok(())
    };
    // SAFETY: called through our table.
    unsafe { with(host, accept) }.map_or_else(|status| status.0, |()| 0)
}

/// The valid bytes without padding; none if the plugin's numbers do not agree with what was lent.
fn pixels(frame: &abi::rcl_frame, lent: &Lent) -> Option<Vec<u8>> {
    let memory: Vec<u8> = lent.memory.iter().flat_map(|page| page.0).collect();
    let used = if frame.used == 0 {
        u64::from(frame.stride) * u64::from(frame.height)
    } else {
        frame.used
    };
    let used = memory.get(..usize::try_from(used).ok()?)?;
    let same = (Format(frame.pixfmt), frame.width, frame.height, frame.stride)
        == (lent.format, lent.width, lent.height, lent.stride);
    if !same || used.is_empty() || u64::try_from(used.len()).ok()? > lent.capacity {
        return None;
    }
    let Some(bytes_per_pixel) = Format(frame.pixfmt).bytes_per_pixel() else {
        return Some(used.to_vec());
    };
    let row = usize::try_from(frame.width.checked_mul(bytes_per_pixel)?).ok()?;
    let stride = usize::try_from(frame.stride).ok()?;
    if used.len() != stride * usize::try_from(frame.height).ok()? {
        return None;
    }
    Some(
        used.chunks(stride)
            .filter_map(|line| line.get(..row))
            .flatten()
            .copied()
            .collect(),
    )
}

unsafe extern "C" fn frame_drop(host: *const abi::rcl_host, frame: *mut abi::rcl_frame) {
    // SAFETY: the plugin's frame says its size.
    let frame = unsafe { sized::read(frame.cast_const()) };
    let give_back = |state: &mut State| {
        let running = state.running.as_mut();
        let lent = running.and_then(|running| running.lent.remove(&frame?.handle));
        match lent {
            None => state.broken("R4: a frame was dropped that is not the plugin's"),
            Some(lent) if lent.memory.last().is_some_and(|last| last.0 != CANARY.0) => {
                state.broken("R4: bytes were written behind a frame");
            }
            Some(_whole) => {}
        }
    };
    // SAFETY: called through our table.
    unsafe { with(host, give_back) }
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

fn running(state: &mut State, req: u64) -> Result<&mut Running, Status> {
    state
        .running
        .as_mut()
        .filter(|running| running.req == req)
        .ok_or(Status::INVALID)
}
