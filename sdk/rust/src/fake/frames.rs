//! Frames, lent and taken back.
#![expect(unsafe_code, reason = "functions that C calls, on pointers that C keeps")]

use recueil_abi as abi;

use super::functions::{running, with};
use super::host::{Lent, Page, State};
use super::{Cancel, CapturedFrame, part};
use crate::ffi::sized;
use crate::{Format, Kind, Status};

/// What lies behind lent memory, to see that nobody writes there.
const CANARY: Page = Page([0xA5; 4096]);

pub(super) unsafe extern "C" fn frame_alloc(
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
    Ok(frame)
}

pub(super) unsafe extern "C" fn frame_submit(
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
        let lender = running(state, req)?;
        let lent = frame.and_then(|frame| Some((frame, lender.lent.remove(&frame.handle)?)));
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
        let running = running(state, req)?;
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
    let mut memory = Vec::with_capacity(lent.memory.len() * 4096);
    lent.memory
        .iter()
        .for_each(|page| memory.extend_from_slice(&page.0));
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
    let mut pixels = Vec::with_capacity(used.len());
    for line in used.chunks(stride) {
        pixels.extend_from_slice(line.get(..row)?);
    }
    Some(pixels)
}

pub(super) unsafe extern "C" fn frame_drop(host: *const abi::rcl_host, frame: *mut abi::rcl_frame) {
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
