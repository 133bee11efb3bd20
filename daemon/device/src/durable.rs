//! Files that are there whole or not at all after a power cut.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::Error;

/// Puts `content` in the place of what `path` held: a new file, synced, renamed, and the folder synced. Folders
/// on the way are made, for their owner alone.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Error> {
    let folder = folder(path);
    make(folder).map_err(|source| Error::file(folder, source))?;
    let new_path = path.with_extension("new");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new_path)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&new_path, path)?;
        sync(folder)
    };
    write().map_err(|source| Error::file(path, source))
}

/// Removes the file, which need not be there, and syncs the folder.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    let remove = || match std::fs::remove_file(path) {
        Ok(()) => sync(folder(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    remove().map_err(|source| Error::file(path, source))
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// A new folder's own name is as durable as what it holds.
fn make(folder: &Path) -> Result<(), std::io::Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        make(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => folder.parent().map_or(Ok(()), sync),
    }
}

fn sync(folder: &Path) -> Result<(), std::io::Error> {
    std::fs::File::open(folder)?.sync_all()
}
