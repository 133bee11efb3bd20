//! The folders shared with `recueild`: `ready/` is read here, `progress/` and `receipts/` are written.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use recueil_dossier::{DossierId, ReceiptKind, hex};
use recueil_wire::courier::{Progress, Stage};
use ring::digest::{Context, SHA256};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::Error;

/// Largest parcel (PROTOCOL.md, `too-large`).
const PARCEL_MAX_BYTES: u64 = 256 << 20;
/// Largest receipt that is taken from CERT.
const RECEIPT_MAX_BYTES: u64 = 256 << 10;
/// Parcels looked at in one round; the rest follows when some are gone.
const PARCELS_MAX: usize = 1000;
const UNFINISHED: &str = ".tmp-";
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The three folders, open.
#[derive(Debug)]
pub(crate) struct Folders {
    ready: OwnedFd,
    progress: OwnedFd,
    receipts: OwnedFd,
}

/// A parcel as it lies in the outbox.
#[derive(Debug)]
pub(crate) struct Outgoing {
    file: std::fs::File,
    pub(crate) size: u64,
    /// SHA-256, hexadecimal.
    pub(crate) sha256: String,
}

impl Folders {
    /// Opens the folders, makes the courier's own where they are missing, and removes unfinished receipts.
    pub(crate) fn open(ready_dir: &Path, state_dir: &Path) -> Result<Self, Error> {
        let open = |path: &Path| {
            rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|errno| Error::file(path, errno))
        };
        let made = |name: &str, mode: u32| {
            let path = state_dir.join(name);
            match rustix::fs::mkdir(&path, Mode::from_raw_mode(mode)) {
                Ok(()) | Err(Errno::EXIST) => open(&path),
                Err(errno) => Err(Error::file(&path, errno)),
            }
        };
        let folders = Self {
            progress: made("progress", 0o750)?,
            receipts: made("receipts", 0o750)?,
            ready: open(ready_dir)?,
        };
        rustix::fs::fsync(open(state_dir)?).map_err(|errno| Error::file(state_dir, errno))?;
        for folder in [&folders.progress, &folders.receipts] {
            for name in names(folder).map_err(|errno| Error::file(state_dir, errno))? {
                if name.starts_with(UNFINISHED) {
                    unlink(folder, &name).map_err(|errno| Error::file(state_dir, errno))?;
                }
            }
        }
        Ok(folders)
    }

    /// The parcels in the outbox, oldest dossier first, with their lengths. Anything that is not a regular
    /// file named by a dossier id is not ours.
    pub(crate) fn parcels(&self) -> std::io::Result<Vec<(DossierId, u64)>> {
        let mut parcels = Vec::new();
        for name in names(&self.ready)? {
            let Some(id) = name.strip_suffix(".p7m").and_then(|stem| stem.parse().ok()) else {
                continue;
            };
            match rustix::fs::statat(&self.ready, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() => {
                    parcels.push((id, u64::try_from(stat.st_size).unwrap_or(0)));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        parcels.sort_unstable();
        parcels.truncate(PARCELS_MAX);
        Ok(parcels)
    }

    /// Opens a parcel and computes its digest; none if it is gone. Reads the whole file. Its name is on the disk when
    /// this returns: what a power cut took back must not have been sent.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Durability`]: the process must end.
    pub(crate) fn outgoing(&self, id: DossierId) -> Result<Option<Outgoing>, Error> {
        let unread = |error: std::io::Error| Error::file(Path::new("ready"), error);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.ready, format!("{id}.p7m"), flags, Mode::empty()) {
            Ok(fd) => std::fs::File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(unread(errno.into())),
        };
        rustix::fs::fsync(&self.ready).map_err(|errno| Error::Durability(errno.into()))?;
        measured(file).map(Some).map_err(unread)
    }

    /// What a restarted courier knows of a parcel: how far its receipts came.
    pub(crate) fn stage(&self, id: DossierId) -> std::io::Result<Stage> {
        let there = |kind| match rustix::fs::accessat(
            &self.receipts,
            receipt_name(id, kind),
            rustix::fs::Access::EXISTS,
            AtFlags::empty(),
        ) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(std::io::Error::from(errno)),
        };
        Ok(if there(ReceiptKind::Ingested)? || there(ReceiptKind::Refused)? {
            Stage::Ended
        } else if there(ReceiptKind::Stored)? {
            Stage::Stored
        } else {
            Stage::Waiting
        })
    }

    /// Writes a receipt; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::File`]: nothing changed. [`Error::Durability`]: the process must end.
    pub(crate) fn write_receipt(&self, id: DossierId, kind: ReceiptKind, bytes: &[u8]) -> Result<(), Error> {
        let name = receipt_name(id, kind);
        let file = prepare(&self.receipts, &name, bytes)
            .map_err(|error| Error::file(Path::new("receipts"), error))?;
        file.sync_all()
            .and_then(|()| publish(&self.receipts, &name))
            .and_then(|()| Ok(rustix::fs::fsync(&self.receipts)?))
            .map_err(Error::Durability)
    }

    /// Takes a receipt away that is not believed; whether it was this one that lay there. Should a crash bring it
    /// back, it is refused again.
    pub(crate) fn drop_receipt(
        &self,
        id: DossierId,
        kind: ReceiptKind,
        sha256: &str,
    ) -> std::io::Result<bool> {
        let name = receipt_name(id, kind);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.receipts, &name, flags, Mode::empty()) {
            Ok(fd) => std::fs::File::from(fd),
            Err(Errno::NOENT) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        };
        let mut bytes = Vec::new();
        file.take(RECEIPT_MAX_BYTES).read_to_end(&mut bytes)?;
        if recueil_dossier::sha256_hex(&bytes) != sha256 {
            return Ok(false);
        }
        unlink(&self.receipts, &name)?;
        Ok(true)
    }

    /// Writes how far a parcel is, for whoever looks. Nothing depends on it: CERT tells where to go on.
    pub(crate) fn note(&self, progress: &Progress) {
        let written = serde_json::to_vec(progress)
            .map_err(std::io::Error::from)
            .and_then(|bytes| {
                let name = format!("{}.json", progress.dossier);
                prepare(&self.progress, &name, &bytes)?;
                publish(&self.progress, &name)
            });
        if let Err(error) = written {
            tracing::warn!(dossier = %progress.dossier, %error, "progress is not written");
        }
    }

    /// Dossiers of which files of ours are left.
    pub(crate) fn known(&self) -> std::io::Result<Vec<DossierId>> {
        let mut known: Vec<DossierId> = names(&self.receipts)?
            .into_iter()
            .chain(names(&self.progress)?)
            .filter_map(|name| name.split('.').next()?.parse().ok())
            .collect();
        known.sort_unstable();
        known.dedup();
        Ok(known)
    }

    /// Removes our files of a dossier whose parcel is gone: `recueild` has what it needs.
    pub(crate) fn forget(&self, id: DossierId) {
        let kinds = [ReceiptKind::Stored, ReceiptKind::Ingested, ReceiptKind::Refused];
        let removed = kinds
            .into_iter()
            .try_for_each(|kind| unlink(&self.receipts, &receipt_name(id, kind)))
            .and_then(|()| unlink(&self.progress, &format!("{id}.json")));
        if let Err(error) = removed {
            tracing::warn!(dossier = %id, %error, "old files stay until the next round");
        }
    }

    /// A path of the outbox, to be watched.
    pub(crate) fn ready_path(&self) -> std::path::PathBuf {
        use std::os::fd::AsRawFd;
        format!("/proc/self/fd/{}", self.ready.as_raw_fd()).into()
    }
}

impl Outgoing {
    /// Up to `len` bytes from `offset`.
    pub(crate) fn part(&self, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
        let len = usize::try_from(len.min(self.size.saturating_sub(offset))).unwrap_or(0);
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// Reads a parcel whole, for its length and digest.
fn measured(file: std::fs::File) -> std::io::Result<Outgoing> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 || metadata.len() > PARCEL_MAX_BYTES {
        return Err(std::io::Error::other(
            "not a parcel: no file, or too small or large for one",
        ));
    }
    let mut context = Context::new(&SHA256);
    let (mut part, mut size) = (vec![0; 64 << 10], 0);
    loop {
        match (&file).read(&mut part)? {
            0 => break,
            read => {
                context.update(part.get(..read).unwrap_or_default());
                size += u64::try_from(read).unwrap_or(0);
            }
        }
    }
    let sha256 = hex(context.finish().as_ref());
    Ok(Outgoing { file, size, sha256 })
}

/// Writes a whole file that has no name of ours yet.
fn prepare(folder: &OwnedFd, name: &str, bytes: &[u8]) -> std::io::Result<std::fs::File> {
    let unfinished = format!("{UNFINISHED}{name}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    unlink(folder, &unfinished)?;
    let mut file = std::fs::File::from(rustix::fs::openat(
        folder,
        &unfinished,
        flags,
        Mode::from_raw_mode(0o600),
    )?);
    // The folder's group is `recueild`'s.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o640))?;
    file.write_all(bytes)?;
    Ok(file)
}

fn publish(folder: &OwnedFd, name: &str) -> std::io::Result<()> {
    Ok(rustix::fs::renameat(
        folder,
        format!("{UNFINISHED}{name}"),
        folder,
        name,
    )?)
}

fn receipt_name(id: DossierId, kind: ReceiptKind) -> String {
    let kind = match kind {
        ReceiptKind::Stored => "r1",
        ReceiptKind::Ingested => "r2",
        ReceiptKind::Refused => "reject",
    };
    format!("{id}.{kind}.p7s")
}

fn names(folder: &OwnedFd) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        if let Ok(name) = entry?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn unlink(folder: &OwnedFd, name: &str) -> std::io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_named_by_a_dossier_are_parcels() {
        let root = tempfile::tempdir().unwrap();
        let ready = root.path().join("ready");
        std::fs::create_dir(&ready).unwrap();
        let folders = Folders::open(&ready, root.path()).unwrap();
        let id = |n: u8| DossierId::new(jiff::Timestamp::from_second(i64::from(n)).unwrap(), [n; 10]);
        for name in [
            format!("{}.p7m", id(2)),
            format!(".tmp-{}.p7m", id(3)),
            "x.p7m".into(),
            format!("{}", id(4)),
        ] {
            std::fs::write(ready.join(name), b"x").unwrap();
        }
        std::fs::write(ready.join(format!("{}.p7m", id(1))), b"older").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", ready.join(format!("{}.p7m", id(5)))).unwrap();
        std::fs::create_dir(ready.join(format!("{}.p7m", id(6)))).unwrap();
        assert_eq!(folders.parcels().unwrap(), [(id(1), 5), (id(2), 1)]);
        assert!(folders.outgoing(id(5)).is_err(), "a link is not followed");
        assert!(folders.outgoing(id(7)).unwrap().is_none());
        let outgoing = folders.outgoing(id(1)).unwrap().unwrap();
        assert_eq!(outgoing.sha256, recueil_dossier::sha256_hex(b"older"));
        assert_eq!(outgoing.part(2, 100).unwrap(), b"der");
    }

    #[test]
    fn a_receipt_is_whole_readable_for_the_group_and_forgotten_on_request() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let ready = root.path().join("ready");
        std::fs::create_dir(&ready).unwrap();
        let folders = Folders::open(&ready, root.path()).unwrap();
        let id = DossierId::new(jiff::Timestamp::UNIX_EPOCH, [1; 10]);
        assert_eq!(folders.stage(id).unwrap(), Stage::Waiting);
        folders.write_receipt(id, ReceiptKind::Stored, b"CMS").unwrap();
        let path = root.path().join(format!("receipts/{id}.r1.p7s"));
        assert_eq!(std::fs::read(&path).unwrap(), b"CMS");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(folders.stage(id).unwrap(), Stage::Stored);
        let digest = recueil_dossier::sha256_hex;
        assert!(
            !folders
                .drop_receipt(id, ReceiptKind::Stored, &digest(b"other"))
                .unwrap()
        );
        assert!(
            folders
                .drop_receipt(id, ReceiptKind::Stored, &digest(b"CMS"))
                .unwrap()
        );
        assert!(
            !folders
                .drop_receipt(id, ReceiptKind::Stored, &digest(b"CMS"))
                .unwrap(),
            "once"
        );
        assert_eq!(folders.stage(id).unwrap(), Stage::Waiting);
        folders.write_receipt(id, ReceiptKind::Refused, b"CMS").unwrap();
        assert_eq!(folders.stage(id).unwrap(), Stage::Ended);
        assert_eq!(folders.known().unwrap(), [id]);
        folders.forget(id);
        assert!(folders.known().unwrap().is_empty());
    }
}
