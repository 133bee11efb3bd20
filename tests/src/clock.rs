//! Another time for one service, by libfaketime: what the service sees is what a station with a wrong clock sees.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The library of Debian's package `faketime`.
pub fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let found = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    found.into_iter().find(|path| path.is_file())
}

/// Says in a clock's file how far the clock is wrong, such as `+365d`, or `+0`.
///
/// # Errors
/// The disk.
pub fn turn(clock: &Path, by: &str) -> anyhow::Result<()> {
    // By rename: a service reads it at any time.
    let new = clock.with_extension("new");
    std::fs::write(&new, format!("{by}\n"))?;
    std::fs::rename(&new, clock).context("the clock cannot be turned")
}

/// The words that start a program with this clock. What is measured from its start stays true. They stand behind
/// whatever changes the user, since the library makes things of its own for the user it is loaded by.
pub(crate) fn words(clock: &Path) -> anyhow::Result<Vec<OsString>> {
    let library = library().context("libfaketime is missing (Debian package faketime)")?;
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(library);
    let mut file = OsString::from("FAKETIME_TIMESTAMP_FILE=");
    file.push(clock);
    let more = [
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    ];
    Ok([preload, file]
        .into_iter()
        .chain(more.map(OsString::from))
        .collect())
}
