//! Hashes of files that were read before, for as long as the files are surely the same.
//!
//! Only root (on a private bus: our own user) can write to these files, and whoever else had one open for
//! writing from before is told by the kernel's own times: every write moves `ctime`, which no call sets back,
//! whatever was done to size and `mtime`. Two things are not in `ctime`, and the rules here are for them:
//!
//! - It moves by ticks of some milliseconds, on some file systems of a second or two. A change in the tick of
//!   the reading would not be seen; so what changed less than [`SETTLED`] before it was read is not remembered.
//! - A page that is mapped for writing and dirty already can be written to without a new `ctime`. Whoever can
//!   do that could also write between a full reading and the loader's, so reading again would not help:
//!   owners that install by renaming a finished file, as dpkg does, leave nobody with such a mapping.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use super::{FILE_MAX_BYTES, read_through, stat};
use crate::{Error, Sha256};

/// How old the last change of a file must be when it is read, if its hash is to be remembered.
const SETTLED: Duration = Duration::from_secs(2);

/// Hashes of the files of one plugin, by name.
#[derive(Debug, Default)]
pub(super) struct Digests(Mutex<BTreeMap<String, (Identity, Sha256)>>);

/// What changes when a file is exchanged or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    dev: u64,
    ino: u64,
    bytes: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

impl Digests {
    /// The hash of `file`, an open file of this name: remembered, or read.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Refused`] if it grows over the limit, or changes while it is read.
    pub(super) fn of(&self, name: &str, file: &OwnedFd, path: &Path) -> Result<Sha256, Error> {
        let identity = Identity::of(&stat(file, path)?);
        if let Some((known, sha256)) = self.lock().get(name)
            && *known == identity
        {
            return Ok(*sha256);
        }
        let begun = SystemTime::now();
        let sha256 = read_through(file, path, FILE_MAX_BYTES, |_| ())?;
        if Identity::of(&stat(file, path)?) != identity {
            return Err(Error::refused(
                format!("{} changes while it is read", path.display()),
                "wait until the plugin's package is installed",
            ));
        }
        if identity.is_settled(begun) {
            self.lock().insert(name.to_owned(), (identity, sha256));
        }
        Ok(sha256)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Identity, Sha256)>> {
        // Entries are written whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            dev: stat.st_dev,
            ino: stat.st_ino,
            bytes: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// A clock that was set back makes files of the future: those are never settled.
    fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .map(|seconds| Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds));
        let now = now.duration_since(UNIX_EPOCH).ok();
        now.zip(changed)
            .and_then(|(now, changed)| now.checked_sub(changed))
            .is_some_and(|age| age >= SETTLED)
    }
}

#[cfg(test)]
mod tests;
