//! Memory passed by descriptor: what another made is read, never mapped, so that no peer can take it away under us.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use zeroize::Zeroizing;

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
    if len > max {
        return Err(MemoryError::TooLarge { len, max });
    }
    let len = usize::try_from(len).map_err(|_too_large| MemoryError::Short)?;
    let mut bytes = Zeroizing::new(vec![0; len]);
    let mut done = 0;
    while done < len {
        let rest = bytes.get_mut(done..).unwrap_or_default();
        let offset = u64::try_from(done).map_err(|_too_large| MemoryError::Short)?;
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd.as_fd(), &mut *rest, offset))? {
            0 => return Err(MemoryError::Short),
            read => done += read,
        }
    }
    Ok(bytes)
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
    fn shared_memory_keeps_its_size() {
        let memory = shared_memory("test", 100_000).unwrap();
        assert!(
            rustix::fs::ftruncate(&memory, 10).is_err(),
            "a peer cannot shrink it under the reader"
        );
        write_all(&memory, &vec![7; 100_000], 0).unwrap();
        assert_eq!(read_memory(&memory, 100_000, 100_000).unwrap()[99_999], 7);
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
    fn a_clients_copy_cannot_be_changed() {
        let memory = sealed_memory("test", b"result").unwrap();
        assert!(write_all(&memory, b"x", 0).is_err());
        assert_eq!(read_memory(&memory, 6, 6).unwrap().as_slice(), b"result");
    }
}
