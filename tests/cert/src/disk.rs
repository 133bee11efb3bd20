//! Durable files: written beside, synced, renamed, and the folder synced. There is no other way a file of CERT
//! comes to be or changes, but for the bytes of an upload, which are promised by nobody before the commit.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{At, Error};

/// Ending of a file that is not yet one.
pub(crate) const TEMPORARY: &str = "tmp";

/// Writes a whole file; after a crash there is the old one or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_added_extension(TEMPORARY);
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .at(&temporary)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .at(&temporary)?;
    rename(&temporary, path)
}

/// Renames a synced file within its folder, durably.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).at(from)?;
    let dir = to.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).at(dir)
}

/// Writes a value as JSON.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let json = serde_json::to_vec_pretty(value).map_err(|_value| Error::Store(path.to_path_buf()))?;
    write(path, &json)
}

/// Reads a value from JSON; none when there is no such file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match fs::read(path) {
        Ok(json) => serde_json::from_slice(&json)
            .map(Some)
            .map_err(|_json| Error::Store(path.to_path_buf())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

/// Makes a folder and those above it, for the owner alone.
pub(crate) fn make_dir(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .at(path)
}

/// The names in a folder with this ending, without it, sorted. Unfinished files are removed on the way.
pub(crate) fn names(dir: &Path, ending: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).at(dir)? {
        let path = entry.at(dir)?.path();
        if path.extension().is_some_and(|extension| extension == TEMPORARY) {
            fs::remove_file(&path).at(&path)?;
        } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some(stem) = name.strip_suffix(ending)
        {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}
