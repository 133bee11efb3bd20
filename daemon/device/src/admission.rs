//! Which plugin folders are trusted: by their place, their owner and their hashes.
//!
//! The way from `/` to the folder is walked one descriptor at a time without following links, so nothing can
//! be exchanged between the check and the use; each file is hashed through the descriptor that is then
//! handed to the host. All of it is done again before each load, but that a file which has not changed is not
//! read again: [`digests`] says how that is known.

mod digests;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use ring::digest;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use self::digests::Digests;
use crate::manifest::{FILE_NAME, FILES_MAX, MANIFEST_MAX_BYTES, Manifest};
use crate::{Error, Sha256};

/// Largest file of a plugin, bytes.
const FILE_MAX_BYTES: u64 = 256 << 20;
const CHUNK_BYTES: usize = 64 << 10;

/// Whose files are trusted.
#[derive(Debug, Clone)]
pub struct Trust {
    owners: Vec<u32>,
    sticky_parents: bool,
}

impl Trust {
    /// Root's, in folders that nobody else can change.
    pub fn root() -> Self {
        Self {
            owners: vec![0],
            sticky_parents: false,
        }
    }

    /// On a private bus: root's and this user's. A folder of everybody with the sticky bit (`/tmp`) may lie on
    /// the way, since others can neither rename nor remove there what they do not own.
    pub fn root_and(uid: u32) -> Self {
        Self {
            owners: vec![0, uid],
            sticky_parents: true,
        }
    }

    fn check(&self, path: &Path, stat: &Stat, place: Place) -> Result<(), Error> {
        if !self.owners.contains(&stat.st_uid) {
            return Err(Error::refused(
                format!("{} belongs to uid {}, not to root", path.display(), stat.st_uid),
                format!("run: chown root:root {}", path.display()),
            ));
        }
        let mode = Mode::from_raw_mode(stat.st_mode);
        let sticky = matches!(place, Place::OnTheWay) && self.sticky_parents && mode.contains(Mode::SVTX);
        if mode.intersects(Mode::WGRP | Mode::WOTH) && !sticky {
            return Err(Error::refused(
                format!("{} can be written by others than its owner", path.display()),
                format!("run: chmod go-w {}", path.display()),
            ));
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Place {
    OnTheWay,
    Plugin,
}

/// A plugin that was found worthy.
#[derive(Debug)]
pub struct Admitted {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its folder.
    pub dir: PathBuf,
    manifest_sha256: Sha256,
    digests: Digests,
}

impl Admitted {
    /// Checks the folder: owners, permissions, manifest, and every file against its hash.
    ///
    /// # Errors
    /// [`Error::Refused`] with what to do, [`Error::File`].
    pub fn admit(dir: &Path, trust: &Trust) -> Result<Self, Error> {
        let folder = open_folder(dir, trust)?;
        let (text, manifest_sha256) = read_manifest(&folder, dir, trust)?;
        let text = String::from_utf8(text)
            .map_err(|_| Error::refused(format!("{FILE_NAME} is not UTF-8"), "ask the plugin's vendor"))?;
        let admitted = Self {
            manifest: Manifest::parse(&text)?,
            dir: dir.to_owned(),
            manifest_sha256,
            digests: Digests::default(),
        };
        admitted.check_files(&folder, trust)?;
        Ok(admitted)
    }

    /// Which plugin this is, to the last byte: the hash of its manifest, which names its files by theirs.
    pub fn sha256(&self) -> Sha256 {
        self.manifest_sha256
    }

    /// Checks all of it again and opens the library; what was hashed is what the descriptor reads.
    ///
    /// # Errors
    /// [`Error::Refused`], also if the manifest is not the one that was admitted; [`Error::File`].
    pub fn open_library(&self, trust: &Trust) -> Result<OwnedFd, Error> {
        let folder = open_folder(&self.dir, trust)?;
        let (_text, manifest_sha256) = read_manifest(&folder, &self.dir, trust)?;
        if manifest_sha256 != self.manifest_sha256 {
            return Err(Error::refused(
                format!(
                    "{} changed since it was admitted",
                    self.dir.join(FILE_NAME).display()
                ),
                "if the plugin was upgraded, restart recueil-hostd",
            ));
        }
        self.check_files(&folder, trust)
    }

    /// What the manifest names is there, as it names it, and nothing else. Gives the library.
    fn check_files(&self, folder: &OwnedFd, trust: &Trust) -> Result<OwnedFd, Error> {
        for name in names(folder, &self.dir)? {
            if name != FILE_NAME && !self.manifest.files.contains_key(&name) {
                return Err(Error::refused(
                    format!("{} is not named in {FILE_NAME}", self.dir.join(&name).display()),
                    "remove it, or install the plugin's package anew",
                ));
            }
        }
        let mut library = None;
        for (name, expected) in &self.manifest.files {
            let file = open_file(folder, &self.dir, name, FILE_MAX_BYTES, trust)?;
            if self.digests.of(name, &file, &self.dir.join(name))? != *expected {
                return Err(Error::refused(
                    format!(
                        "{} is not the file that {FILE_NAME} names: its SHA-256 differs",
                        self.dir.join(name).display()
                    ),
                    "install the plugin's package anew",
                ));
            }
            if *name == self.manifest.library {
                library = Some(file);
            }
        }
        library.ok_or_else(|| Error::refused("it has no library", "ask the plugin's vendor"))
    }
}

/// Its bytes and their hash.
fn read_manifest(folder: &OwnedFd, dir: &Path, trust: &Trust) -> Result<(Vec<u8>, Sha256), Error> {
    let file = open_file(folder, dir, FILE_NAME, MANIFEST_MAX_BYTES, trust)?;
    let mut bytes = Vec::new();
    let sha256 = read_through(&file, &dir.join(FILE_NAME), MANIFEST_MAX_BYTES, |part| {
        bytes.extend_from_slice(part);
    })?;
    Ok((bytes, sha256))
}

/// Walks from `/`, checking each folder on the way.
fn open_folder(dir: &Path, trust: &Trust) -> Result<OwnedFd, Error> {
    let open = |path: &Path, errno| match errno {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => Error::refused(
            format!("{} is a link or not a folder", path.display()),
            "name the folder itself in plugin_dirs, without links on the way",
        ),
        errno => Error::file(path, errno),
    };
    let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut path = PathBuf::from("/");
    let mut folder =
        rustix::fs::open(&path, on_the_way, Mode::empty()).map_err(|errno| open(&path, errno))?;
    for component in dir.components() {
        let name = match component {
            Component::RootDir => continue,
            Component::Normal(name) => name,
            _ => {
                return Err(Error::refused(
                    format!("{} is not an absolute path without '..'", dir.display()),
                    "write the path out in plugin_dirs",
                ));
            }
        };
        trust.check(&path, &stat(&folder, &path)?, Place::OnTheWay)?;
        path.push(name);
        folder = rustix::fs::openat(&folder, name, on_the_way, Mode::empty())
            .map_err(|errno| open(&path, errno))?;
    }
    trust.check(&path, &stat(&folder, &path)?, Place::Plugin)?;
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&folder, ".", readable, Mode::empty()).map_err(|errno| Error::file(path, errno))
}

fn open_file(
    folder: &OwnedFd,
    dir: &Path,
    name: &str,
    bytes_max: u64,
    trust: &Trust,
) -> Result<OwnedFd, Error> {
    let path = dir.join(name);
    // Asked before opening, since opening a pipe or a device can do something.
    let before =
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|errno| match errno {
            rustix::io::Errno::NOENT => Error::refused(
                format!("{} is missing", path.display()),
                "install the plugin's package anew",
            ),
            errno => Error::file(&path, errno),
        })?;
    let not_plain = || {
        Error::refused(
            format!("{} is a link or not a plain file", path.display()),
            "install the plugin's package anew",
        )
    };
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(not_plain());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::fs::openat(folder, name, flags, Mode::empty()).map_err(|errno| match errno {
        rustix::io::Errno::LOOP => not_plain(),
        errno => Error::file(&path, errno),
    })?;
    let opened = stat(&file, &path)?;
    if FileType::from_raw_mode(opened.st_mode) != FileType::RegularFile {
        return Err(not_plain());
    }
    trust.check(&path, &opened, Place::Plugin)?;
    if u64::try_from(opened.st_size).is_ok_and(|size| size > bytes_max) {
        return Err(too_large(&path, bytes_max));
    }
    Ok(file)
}

/// Reads the whole file without moving its offset, and gives its hash.
fn read_through(
    file: &OwnedFd,
    path: &Path,
    bytes_max: u64,
    mut each: impl FnMut(&[u8]),
) -> Result<Sha256, Error> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0_u64;
    loop {
        let length = rustix::io::retry_on_intr(|| rustix::io::pread(file, &mut chunk, offset))
            .map_err(|errno| Error::file(path, errno))?;
        let part = chunk.get(..length).unwrap_or_default();
        if part.is_empty() {
            break;
        }
        offset = offset.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if offset > bytes_max {
            return Err(too_large(path, bytes_max));
        }
        hash.update(part);
        each(part);
    }
    Ok(Sha256::from(hash.finish()))
}

fn too_large(path: &Path, bytes_max: u64) -> Error {
    Error::refused(
        format!("{} is larger than {bytes_max} bytes", path.display()),
        "ask the plugin's vendor",
    )
}

fn names(folder: &OwnedFd, dir: &Path) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder).map_err(|errno| Error::file(dir, errno))? {
        let entry = entry.map_err(|errno| Error::file(dir, errno))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.insert(name);
        }
        if names.len() > FILES_MAX + 1 {
            return Err(Error::refused(
                format!("{} holds over {FILES_MAX} files", dir.display()),
                "ask the plugin's vendor",
            ));
        }
    }
    Ok(names)
}

fn stat(fd: impl AsFd, path: &Path) -> Result<Stat, Error> {
    rustix::fs::fstat(fd).map_err(|errno| Error::file(path, errno))
}

#[cfg(test)]
mod tests;
