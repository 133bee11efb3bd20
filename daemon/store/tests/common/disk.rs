//! A disk that fails, for the tests that need one.

use std::sync::atomic::{AtomicU64, Ordering};

use recueil_faultfs::FaultFs;

/// One mount, gone with this value.
pub(crate) struct Disk {
    pub(crate) fs: FaultFs,
    _folder: tempfile::TempDir,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            fs: FaultFs::mount(folder.path()).unwrap(),
            _folder: folder,
        }
    }
}

/// A folder in memory, where there is one: thousands of starts wait for no disk.
pub(crate) fn room() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_none| tempfile::tempdir().unwrap())
}

/// Does `work` with each number from 1 to `count`, on all processors.
pub(crate) fn each(count: u64, work: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _worker in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}
