//! Durable files: the only place that renames, unlinks and calls fsync.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Access, AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

/// The names of files that are not finished begin with this.
const UNFINISHED: &str = ".tmp-";

/// An open folder. Names in it are single path components, chosen by us.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder, makes it first where it is missing.
    pub(crate) fn open(path: &Path, mode: u32) -> Result<Self, Error> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let parent = path.parent().unwrap_or(Path::new("/"));
                let parent = rustix::fs::open(parent, DIRECTORY, Mode::empty())
                    .map_err(|errno| Error::harmless("open the folder above a state folder", errno))?;
                sync(&parent, "a new state folder")?;
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::harmless("make a state folder", errno)),
        }
        rustix::fs::open(path, DIRECTORY, Mode::empty())
            .map(Self)
            .map_err(|errno| Error::harmless("open a state folder", errno))
    }

    /// Opens a folder inside, makes it first where it is missing.
    pub(crate) fn child(&self, name: &str, mode: u32) -> Result<Self, Error> {
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(mode)) {
            Ok(()) => sync(&self.0, "a new folder")?,
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::harmless("make a folder", errno)),
        }
        rustix::fs::openat(&self.0, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map(Self)
            .map_err(|errno| Error::harmless("open a folder", errno))
    }

    /// Takes the folder for this process alone, until it is dropped.
    pub(crate) fn lock(&self) -> Result<(), Error> {
        match rustix::fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(Error::InUse),
            Err(errno) => Err(Error::harmless("lock the state folder", errno)),
        }
    }

    /// Writes a whole file that nobody sees under its name yet; its bytes are on the disk when this returns.
    /// On an error nothing is left behind but perhaps an unfinished file, which the next opening removes.
    pub(crate) fn prepare(&self, name: &str, mode: u32, parts: &[&[u8]]) -> Result<(), Error> {
        let unfinished = unfinished(name);
        let what = "write a file";
        // One left by an earlier failure is ours alone: nobody has a name for it.
        self.unlink(&unfinished)
            .map_err(|errno| Error::harmless("remove an unfinished file", errno))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, &unfinished, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::harmless(what, errno))?;
        let written = rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))
            .map_err(|errno| Error::harmless(what, errno))
            .and_then(|()| {
                let mut file = std::fs::File::from(file);
                for part in parts {
                    file.write_all(part).map_err(|error| refused(what, error))?;
                }
                sync(&file, "a file")
            });
        if matches!(&written, Err(error) if !error.is_fatal()) {
            self.discard(name);
        }
        written
    }

    /// Gives a prepared file its name, over a file that has it, durably. Where the folder has no room for the name
    /// the file has none.
    pub(crate) fn publish(&self, name: &str) -> Result<(), Error> {
        rustix::fs::renameat(&self.0, unfinished(name), &self.0, name).map_err(|errno| match errno {
            Errno::NOSPC | Errno::DQUOT => Error::Full,
            other => Error::uncertain("a file's name", std::io::Error::from(other)),
        })?;
        sync(&self.0, "a file's name")
    }

    /// Takes back what [`Self::prepare`] wrote, as far as that goes: the next opening does the rest.
    pub(crate) fn discard(&self, name: &str) {
        if let Err(errno) = self.unlink(&unfinished(name)) {
            tracing::warn!(%errno, "an unfinished file stays until the next start");
        }
    }

    /// Removes files, durably. Those that are not there are no error.
    pub(crate) fn remove(&self, names: &[impl AsRef<str>]) -> Result<(), Error> {
        for name in names {
            self.unlink(name.as_ref())
                .map_err(|errno| Error::uncertain("a file's removal", std::io::Error::from(errno)))?;
        }
        // Also where nothing was there to remove: an earlier removal may not be on the disk yet.
        sync(&self.0, "a file's removal")
    }

    /// Removes a folder inside with all files in it, durably. One that is not there is no error.
    pub(crate) fn remove_child(&self, name: &str) -> Result<(), Error> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => {
                let child = Self(fd);
                let names = child.names()?;
                child.remove(&names)?;
            }
            Err(Errno::NOENT) => return sync(&self.0, "a folder's removal"),
            Err(errno) => return Err(Error::harmless("open a folder to remove it", errno)),
        }
        rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR)
            .map_err(|errno| Error::uncertain("a folder's removal", std::io::Error::from(errno)))?;
        sync(&self.0, "a folder's removal")
    }

    /// Every name in the folder that is UTF-8; other names are not ours.
    pub(crate) fn names(&self) -> Result<Vec<String>, Error> {
        let list = || -> rustix::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in rustix::fs::Dir::read_from(&self.0)? {
                if let Ok(name) = entry?.file_name().to_str()
                    && name != "."
                    && name != ".."
                {
                    names.push(name.to_owned());
                }
            }
            Ok(names)
        };
        list().map_err(|errno| Error::harmless("list a folder", errno))
    }

    /// Opens a regular file for reading; none if it is not there.
    pub(crate) fn file(&self, name: &str) -> Result<Option<std::fs::File>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::harmless("open a file", errno)),
        }
    }

    /// A file's bytes; none if it is not there or larger than `max_bytes`.
    pub(crate) fn read(&self, name: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.file(name)? else {
            return Ok(None);
        };
        let len = file
            .metadata()
            .map_err(|error| refused("read a file", error))?
            .len();
        let Some(capacity) = usize::try_from(len).ok().filter(|_| len <= max_bytes) else {
            return Ok(None);
        };
        let mut bytes = Vec::with_capacity(capacity);
        file.take(len)
            .read_to_end(&mut bytes)
            .map_err(|error| refused("read a file", error))?;
        Ok(Some(bytes))
    }

    /// Whether there is such a file.
    pub(crate) fn has(&self, name: &str) -> Result<bool, Error> {
        match rustix::fs::accessat(&self.0, name, Access::EXISTS, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::harmless("look for a file", errno)),
        }
    }

    /// Bytes of a file; 0 where there is none.
    pub(crate) fn len(&self, name: &str) -> Result<u64, Error> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(Errno::NOENT) => Ok(0),
            Err(errno) => Err(Error::harmless("look at a file", errno)),
        }
    }

    /// Makes a file that holds nothing but space, whole or not at all.
    pub(crate) fn allocate(&self, name: &str, bytes: u64) -> Result<(), Error> {
        let what = "set space aside";
        let unfinished = unfinished(name);
        self.unlink(&unfinished)
            .map_err(|errno| Error::harmless("remove an unfinished file", errno))?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, &unfinished, flags, Mode::from_raw_mode(0o600))
            .map_err(|errno| Error::harmless(what, errno))?;
        let allocated = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // What cannot set space aside takes it.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => fill(&mut std::fs::File::from(file), bytes),
            Err(errno) => Err(Error::harmless(what, errno)),
            Ok(()) => sync(&file, "space set aside"),
        };
        if let Err(error) = allocated {
            if !error.is_fatal() {
                self.discard(name);
            }
            return Err(error);
        }
        self.publish(name)
    }

    /// Makes the names in this folder durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        sync(&self.0, "a folder")
    }

    /// Whether there was something to unlink.
    fn unlink(&self, name: &str) -> rustix::io::Result<bool> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether a name is that of an unfinished file of ours.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED)
}

/// Writes zeros, so that no other may have the space.
fn fill(file: &mut std::fs::File, bytes: u64) -> Result<(), Error> {
    let written = std::io::copy(&mut std::io::repeat(0).take(bytes), file);
    written.map_err(|error| refused("set space aside", error))?;
    sync(&file, "space set aside")
}

fn unfinished(name: &str) -> String {
    format!("{UNFINISHED}{name}")
}

fn refused(what: &'static str, error: std::io::Error) -> Error {
    match Errno::from_io_error(&error) {
        Some(errno) => Error::harmless(what, errno),
        None => Error::Io { what, source: error },
    }
}

/// After a failed fsync the kernel may call lost pages clean, so it is never tried again.
fn sync(fd: impl std::os::fd::AsFd, what: &'static str) -> Result<(), Error> {
    rustix::fs::fsync(fd).map_err(|errno| Error::uncertain(what, std::io::Error::from(errno)))
}
