//! Memory passed by descriptor: read and written, never mapped, so that no peer can take it away under us.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, SeekFrom};
use zeroize::{Zeroize, Zeroizing};

/// Why a passed descriptor could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// It holds more than the caller allows.
    #[error("a passed memory of {len} bytes, {max} are allowed")]
    TooLarge {
        /// What it holds.
        len: u64,
        /// What is allowed.
        max: u64,
    },
    /// It became shorter while it was read, or is no memory at all.
    #[error("a passed descriptor that does not hold what was said")]
    Short,
    /// The system refused.
    #[error("passed memory")]
    System(#[from] std::io::Error),
}

impl From<rustix::io::Errno> for MemoryError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// Memory of a fixed size that another process may write: sealed against shrinking and growing, never
/// against writing, since what is sealed so cannot be wiped.
pub fn shared_memory(name: &str, len: u64) -> Result<OwnedFd, MemoryError> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&fd, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// A client's own copy of some bytes, sealed against every change.
pub fn sealed_memory(name: &str, bytes: &[u8]) -> Result<OwnedFd, MemoryError> {
    let fd = rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    write_all(&fd, bytes, 0)?;
    rustix::fs::fcntl_add_seals(
        &fd,
        SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL,
    )?;
    Ok(fd)
}

/// Copies `len` bytes from the start of a passed memory, at most `max`. The copy is wiped when dropped.
pub fn read_memory(fd: impl AsFd, len: u64, max: u64) -> Result<Zeroizing<Vec<u8>>, MemoryError> {
    let mut bytes = Zeroizing::new(Vec::new());
    read_memory_into(fd, &mut bytes, len, max)?;
    Ok(bytes)
}

/// As [`read_memory`], in the place of what `bytes` held, so that memory is paged in once for many frames. What
/// it held is overwritten or wiped.
pub fn read_memory_into(
    fd: impl AsFd,
    bytes: &mut Zeroizing<Vec<u8>>,
    len: u64,
    max: u64,
) -> Result<(), MemoryError> {
    if len > max {
        return Err(MemoryError::TooLarge { len, max });
    }
    let len = usize::try_from(len).map_err(|_too_large| MemoryError::Short)?;
    if bytes.capacity() < len {
        // Growing in place would leave an unwiped copy behind.
        *bytes = Zeroizing::new(vec![0; len]);
    }
    if let Some(left_over) = bytes.get_mut(len..) {
        left_over.zeroize();
    }
    bytes.resize(len, 0);
    let mut done = 0;
    while done < len {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        let offset = u64::try_from(done).map_err(|_too_large| MemoryError::Short)?;
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd.as_fd(), &mut *rest, offset))? {
            0 => return Err(MemoryError::Short),
            read => done += read,
        }
    }
    Ok(())
}

/// Overwrites the first `len` bytes of a passed memory with zeros. Pages that nobody ever wrote are passed over,
/// since they are zero, and writing them would only bring them into being.
pub fn wipe(fd: impl AsFd, len: u64) -> Result<(), MemoryError> {
    let mut end = 0;
    while end < len {
        let start = match rustix::fs::seek(&fd, SeekFrom::Data(end)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        end = rustix::fs::seek(&fd, SeekFrom::Hole(start))?.min(len);
        write_zeros(&fd, start, end)?;
    }
    Ok(())
}

fn write_zeros(fd: impl AsFd, start: u64, end: u64) -> Result<(), MemoryError> {
    static ZEROS: [u8; 4096] = [0; 4096];
    let pages = [IoSlice::new(&ZEROS); 64];
    let mut offset = start;
    while offset < end {
        let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
        let part = [IoSlice::new(ZEROS.get(..rest).unwrap_or(&ZEROS))];
        let many = pages.get(..rest / ZEROS.len()).unwrap_or(&pages);
        let slices = if many.is_empty() { &part } else { many };
        let written = rustix::io::retry_on_intr(|| rustix::io::pwritev(fd.as_fd(), slices, offset))?;
        offset += u64::try_from(written).map_err(|_too_large| MemoryError::Short)?;
    }
    Ok(())
}

fn write_all(fd: impl AsFd, mut bytes: &[u8], mut offset: u64) -> Result<(), MemoryError> {
    while !bytes.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::pwrite(fd.as_fd(), bytes, offset))?;
        bytes = bytes.get(written..).unwrap_or_default();
        offset += u64::try_from(written).map_err(|_too_large| MemoryError::Short)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_keeps_its_size_and_can_be_wiped() {
        let memory = shared_memory("test", 100_000).unwrap();
        assert!(
            rustix::fs::ftruncate(&memory, 10).is_err(),
            "a peer cannot shrink it under the reader"
        );
        write_all(&memory, &vec![7; 100_000], 0).unwrap();
        assert_eq!(read_memory(&memory, 100_000, 100_000).unwrap()[99_999], 7);
        wipe(&memory, 100_000).unwrap();
        assert!(
            read_memory(&memory, 100_000, 100_000)
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
        assert!(matches!(
            read_memory(&memory, 100_001, 200_000),
            Err(MemoryError::Short)
        ));
        assert!(matches!(
            read_memory(&memory, 100_001, 100_000),
            Err(MemoryError::TooLarge { .. })
        ));
    }

    #[test]
    fn wiping_reaches_every_written_page_and_makes_no_new_ones() {
        let len = 10 << 20;
        let memory = shared_memory("test", len).unwrap();
        let pages = |memory: &OwnedFd| rustix::fs::fstat(memory).unwrap().st_blocks / 8;
        for offset in [0, 5000, 1 << 20, (2 << 20) + 17, len - 1] {
            write_all(
                &memory,
                b"secret".get(..if offset == len - 1 { 1 } else { 6 }).unwrap(),
                offset,
            )
            .unwrap();
        }
        write_all(&memory, &vec![9; 1 << 20], 4 << 20).unwrap();
        let before = pages(&memory);
        wipe(&memory, len).unwrap();
        assert_eq!(pages(&memory), before);
        let bytes = read_memory(&memory, len, len).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_copy_takes_the_place_of_the_one_before() {
        let memory = shared_memory("test", 100).unwrap();
        write_all(&memory, &[1; 100], 0).unwrap();
        for (held, len) in [(300, 40), (0, 100), (60, 100)] {
            let mut bytes = Zeroizing::new(vec![7; held]);
            read_memory_into(&memory, &mut bytes, len, 100).unwrap();
            assert_eq!(bytes.as_slice(), vec![1; usize::try_from(len).unwrap()]);
        }
    }

    #[test]
    fn a_clients_copy_cannot_be_changed() {
        let memory = sealed_memory("test", b"result").unwrap();
        assert!(write_all(&memory, b"x", 0).is_err());
        assert_eq!(read_memory(&memory, 6, 6).unwrap().as_slice(), b"result");
    }
}
