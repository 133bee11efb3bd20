//! Frame memory in this process: one slot of address space for each buffer, reserved before the limits are set.
//!
//! So the memory of a page at 600 dpi is not taken from what the manifest grants the plugin, and whoever writes
//! past the end of a buffer hits pages that may not be touched.

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use recueil_dossier::FrameInfo;
use recueil_wire::frames::BUFFERS_MAX;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

/// Address space for [`BUFFERS_MAX`] buffers of [`FrameInfo::FRAME_MAX_BYTES`]. Lives as long as the process.
#[derive(Debug)]
pub(crate) struct Slots {
    base: NonNull<u8>,
    slot_bytes: usize,
}

// SAFETY: `base` is an address in a mapping that is never given back; nothing here reads or writes through it.
unsafe impl Send for Slots {}

impl Slots {
    /// Reserves the address space; no memory is used.
    pub(crate) fn reserve() -> Result<Self, Errno> {
        let slot_bytes = usize::try_from(FrameInfo::FRAME_MAX_BYTES).map_err(|_too_large| Errno::NOMEM)?;
        let all = slot_bytes.checked_mul(BUFFERS_MAX).ok_or(Errno::NOMEM)?;
        // SAFETY: a new mapping at an address that the kernel chooses disturbs nothing.
        let base = unsafe {
            rustix::mm::mmap_anonymous(
                null_mut(),
                all,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Self { base, slot_bytes })
    }

    /// Maps the first `len` bytes of `memory` into slot `index`, and has its pages ready before the device is.
    pub(crate) fn map(&mut self, index: usize, memory: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
        let address = self.address(index).ok_or(Errno::INVAL)?;
        let len = usize::try_from(len).map_err(|_too_large| Errno::NOMEM)?;
        if len == 0 || len > self.slot_bytes {
            return Err(Errno::INVAL);
        }
        // SAFETY: FIXED replaces pages of our own reservation only, since `address..address + len` lies in slot
        // `index`; nothing in Rust refers to them.
        unsafe {
            rustix::mm::mmap(
                address.as_ptr().cast(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED | MapFlags::FIXED | MapFlags::POPULATE,
                memory,
                0,
            )
        }?;
        Ok(())
    }

    /// Takes the memory out of slot `index`; who touches it then is ended by the kernel.
    pub(crate) fn unmap(&mut self, index: usize) -> Result<(), Errno> {
        let address = self.address(index).ok_or(Errno::INVAL)?;
        // SAFETY: FIXED replaces slot `index` of our own reservation; nothing in Rust refers to its pages.
        unsafe {
            rustix::mm::mmap_anonymous(
                address.as_ptr().cast(),
                self.slot_bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
            )
        }?;
        Ok(())
    }

    /// Where slot `index` begins; none if there is no such slot.
    pub(crate) fn address(&self, index: usize) -> Option<NonNull<u8>> {
        if index >= BUFFERS_MAX {
            return None;
        }
        let offset = index.checked_mul(self.slot_bytes)?;
        // SAFETY: `offset` is below the reservation's length, as `index` is below the number of slots.
        Some(unsafe { self.base.add(offset) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_written_into_a_slot_is_in_the_memory_behind_it() {
        let mut slots = Slots::reserve().unwrap();
        let memory = recueil_wire::shared_memory("test", 10_000).unwrap();
        slots.map(3, memory.as_fd(), 10_000).unwrap();
        let start = slots.address(3).unwrap();
        // SAFETY: byte 9999 of slot 3 was just mapped for writing.
        let last = unsafe { start.add(9_999) };
        // SAFETY: as above; nothing else refers to it.
        unsafe { last.write_volatile(7) };
        let bytes = recueil_wire::read_memory(&memory, 10_000, 10_000).unwrap();
        assert_eq!(bytes.last(), Some(&7));
        slots.unmap(3).unwrap();
        assert!(slots.map(BUFFERS_MAX, memory.as_fd(), 10).is_err());
        assert!(slots.map(0, memory.as_fd(), u64::MAX).is_err());
    }
}
