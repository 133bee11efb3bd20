//! Memory that we made and lend to a process that may be hostile: mapped here, written there at any time.
//!
//! The one module of the daemons, besides the device host, that maps memory (design.md section 5). Reading by the
//! page with `pread` and wiping with `pwrite` cost two to three times as much for a frame (tests/BENCHES.md).
#![expect(
    unsafe_code,
    reason = "memory that another process writes is only read through pointers; design.md section 5 allows it here"
)]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::SeekFrom;
use rustix::mm::{MapFlags, ProtFlags};
use zeroize::{Zeroize, Zeroizing};

use crate::memory::{MemoryError, shared_memory};

/// What fits into a processor's nearer caches: copied, then wiped while it is there.
const CHUNK_BYTES: usize = 128 << 10;

/// Memory of a fixed size, sealed so that nobody can shrink it: touching the mapping never fails. Wiped when dropped.
#[derive(Debug)]
pub struct LentMemory {
    fd: OwnedFd,
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone and is no thread's own.
unsafe impl Send for LentMemory {}

impl LentMemory {
    /// Makes and maps it; all of it is zero.
    pub fn new(name: &str, len: u64) -> Result<Self, MemoryError> {
        let fd = shared_memory(name, len)?;
        let len = usize::try_from(len).map_err(|_too_large| MemoryError::Short)?;
        // SAFETY: a new mapping at an address that the kernel chooses disturbs nothing.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &fd,
                0,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(MemoryError::Short)?;
        Ok(Self { fd, base, len })
    }

    /// Takes the first `len` bytes out, in the place of what `bytes` held (which is overwritten or wiped), and leaves
    /// zeros in all of the memory: whoever has it may have written more than he says.
    ///
    /// What another process writes meanwhile is in the copy or not, a byte at a time; the copy is then ours alone.
    ///
    /// # Errors
    /// [`MemoryError::Short`] if `len` is more than the memory.
    pub fn take_into(&mut self, bytes: &mut Zeroizing<Vec<u8>>, len: u64) -> Result<(), MemoryError> {
        let len = usize::try_from(len).map_err(|_too_large| MemoryError::Short)?;
        if len > self.len {
            return Err(MemoryError::Short);
        }
        if bytes.capacity() < len {
            // Growing in place would leave an unwiped copy behind.
            *bytes = Zeroizing::new(vec![0; len]);
        }
        if let Some(left_over) = bytes.get_mut(len..) {
            left_over.zeroize();
        }
        bytes.resize(len, 0);
        let mut offset = 0;
        for chunk in bytes.chunks_mut(CHUNK_BYTES) {
            // SAFETY: `offset` is below `len`, which is at most the mapping's length.
            let from = unsafe { self.base.add(offset) };
            // SAFETY: the chunk's bytes are readable from here in the mapping, and the chunk is our own memory.
            unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut *chunk).cast(), chunk.len()) };
            // SAFETY: the same bytes, which no reference of ours covers.
            unsafe { from.write_bytes(0, chunk.len()) };
            offset += chunk.len();
        }
        self.wipe_from(offset)
    }

    /// Leaves zeros in all of it.
    pub fn wipe(&mut self) -> Result<(), MemoryError> {
        self.wipe_from(0)
    }

    /// Pages that nobody ever wrote are passed over, since they are zero, and writing them would only bring them into
    /// being.
    fn wipe_from(&mut self, start: usize) -> Result<(), MemoryError> {
        let mut end = start;
        while end < self.len {
            let start = match rustix::fs::seek(&self.fd, SeekFrom::Data(in_file(end)?)) {
                Ok(start) => start,
                Err(rustix::io::Errno::NXIO) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            };
            let hole = rustix::fs::seek(&self.fd, SeekFrom::Hole(start))?;
            let start = usize::try_from(start).map_err(|_too_large| MemoryError::Short)?;
            end = usize::try_from(hole)
                .map_err(|_too_large| MemoryError::Short)?
                .min(self.len);
            // SAFETY: `start` is in the file, whose size is the mapping's.
            let from = unsafe { self.base.add(start) };
            // SAFETY: from `start` to `end` lies in the mapping, and no reference of ours covers it.
            unsafe { from.write_bytes(0, end.saturating_sub(start)) };
        }
        Ok(())
    }
}

fn in_file(offset: usize) -> Result<u64, MemoryError> {
    u64::try_from(offset).map_err(|_too_large| MemoryError::Short)
}

impl AsFd for LentMemory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for LentMemory {
    fn drop(&mut self) {
        if self.wipe().is_err() {
            // The kernel that cannot say where the written pages are can still be asked to give all of them up.
            // SAFETY: the whole mapping, which no reference of ours covers.
            unsafe { self.base.write_bytes(0, self.len) };
        }
        // SAFETY: our own mapping, and this is its last use. A failure leaves address space of an ending process.
        let _unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_memory;

    fn write(memory: &LentMemory, bytes: &[u8], offset: u64) {
        let written = rustix::io::pwrite(memory, bytes, offset).unwrap();
        assert_eq!(written, bytes.len());
    }

    fn pages(memory: &LentMemory) -> i64 {
        rustix::fs::fstat(memory).unwrap().st_blocks / 8
    }

    #[test]
    fn what_another_process_wrote_is_taken_out_and_nothing_stays() {
        let len = 3 * u64::try_from(CHUNK_BYTES).unwrap() + 1000;
        let mut memory = LentMemory::new("test", len).unwrap();
        let picture: Vec<u8> = (0..=250).cycle().take(usize::try_from(len).unwrap()).collect();
        for (held, taken) in [(0, len), (10, len - 700), (400_000, 1), (0, 0)] {
            write(&memory, &picture, 0);
            let mut bytes = Zeroizing::new(vec![7; held]);
            memory.take_into(&mut bytes, taken).unwrap();
            assert_eq!(bytes[..], picture[..usize::try_from(taken).unwrap()]);
            let left = read_memory(&memory, len, len).unwrap();
            assert!(left.iter().all(|byte| *byte == 0), "after taking {taken}");
        }
        let more = memory.take_into(&mut Zeroizing::default(), len + 1);
        assert!(matches!(more, Err(MemoryError::Short)));
    }

    #[test]
    fn wiping_reaches_every_written_page_and_makes_no_new_ones() {
        let len = 10 << 20;
        let mut memory = LentMemory::new("test", len).unwrap();
        for offset in [0, 5000, 1 << 20, (2 << 20) + 17] {
            write(&memory, b"secret", offset);
        }
        write(&memory, b"s", len - 1);
        write(&memory, &vec![9; 1 << 20], 4 << 20);
        let before = pages(&memory);
        memory.wipe().unwrap();
        assert_eq!(pages(&memory), before);
        let bytes = read_memory(&memory, len, len).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn memory_that_is_given_up_is_wiped_for_whoever_still_has_it() {
        let memory = LentMemory::new("test", 10_000).unwrap();
        let theirs = memory.as_fd().try_clone_to_owned().unwrap();
        write(&memory, &[7; 10_000], 0);
        drop(memory);
        let bytes = read_memory(&theirs, 10_000, 10_000).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn nobody_shrinks_it_under_us() {
        let memory = LentMemory::new("test", 10_000).unwrap();
        assert!(rustix::fs::ftruncate(&memory, 10).is_err());
    }
}
