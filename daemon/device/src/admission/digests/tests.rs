//! Whether a hash was remembered or read is seen by giving the memory a wrong one.

use std::fs::{File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;

const WRONG: Sha256 = Sha256([0; 32]);

/// A file whose hash the memory has, wrongly, as of now.
struct Library {
    _dir: tempfile::TempDir,
    path: PathBuf,
    digests: Digests,
}

impl Library {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        std::fs::write(&path, b"library").unwrap();
        let library = Self {
            _dir: dir,
            path,
            digests: Digests::default(),
        };
        let identity = Identity::of(&stat(library.open(), &library.path).unwrap());
        let known = (identity, WRONG);
        library.digests.lock().insert("lib.so".into(), known);
        assert_eq!(library.digest(), WRONG, "what has not changed is not read");
        library
    }

    fn open(&self) -> OwnedFd {
        File::open(&self.path).unwrap().into()
    }

    fn digest(&self) -> Sha256 {
        self.digests.of("lib.so", &self.open(), &self.path).unwrap()
    }

    /// Times of the file system move by ticks: until one of a new file has passed what the library has.
    fn wait_for_a_tick(&self) {
        let of = |path: &Path| Identity::of(&rustix::fs::stat(path).unwrap()).changed;
        let clock = self.path.with_extension("clock");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while {
            std::fs::write(&clock, b"").unwrap();
            of(&clock) <= of(&self.path)
        } {
            assert!(std::time::Instant::now() < deadline, "time stands still");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_file_of_the_same_size_with_its_time_set_back_is_read_again() {
    let library = Library::new();
    library.wait_for_a_tick();
    let modified = std::fs::metadata(&library.path).unwrap().modified().unwrap();
    let file = File::options().write(true).open(&library.path).unwrap();
    file.write_all_at(b"another", 0).unwrap();
    file.set_times(FileTimes::new().set_modified(modified)).unwrap();
    drop(file);
    assert_eq!(
        std::fs::metadata(&library.path).unwrap().modified().unwrap(),
        modified
    );
    assert_eq!(library.digest(), Sha256::of(b"another"));
}

#[test]
fn a_file_put_in_the_place_of_another_with_its_times_is_read() {
    let library = Library::new();
    let modified = std::fs::metadata(&library.path).unwrap().modified().unwrap();
    let other = library.path.with_extension("new");
    std::fs::write(&other, b"another").unwrap();
    File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_times(FileTimes::new().set_modified(modified))
        .unwrap();
    std::fs::rename(&other, &library.path).unwrap();
    assert_eq!(library.digest(), Sha256::of(b"another"));
}

#[test]
fn what_changed_just_before_it_was_read_is_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lib.so");
    std::fs::write(&path, b"library").unwrap();
    let digests = Digests::default();
    let file = OwnedFd::from(File::open(&path).unwrap());
    let identity = Identity::of(&stat(&file, &path).unwrap());
    let changed = UNIX_EPOCH
        + Duration::from_secs(identity.changed.0.try_into().unwrap())
        + Duration::from_nanos(identity.changed.1);
    let tick = Duration::from_nanos(1);
    assert!(!identity.is_settled(changed));
    assert!(!identity.is_settled(changed + SETTLED - tick));
    assert!(identity.is_settled(changed + SETTLED));
    assert!(
        !identity.is_settled(changed - Duration::from_hours(1)),
        "the clock was set back"
    );

    // Within the two seconds, unless the machine stands still for as long.
    let begun = SystemTime::now();
    assert_eq!(
        digests.of("lib.so", &file, &path).unwrap(),
        Sha256::of(b"library")
    );
    assert_eq!(digests.lock().is_empty(), !identity.is_settled(begun));
}

#[test]
fn a_settled_file_is_read_once() {
    // A file of the system: old enough.
    let path = Path::new("/etc/passwd");
    let file = OwnedFd::from(File::open(path).unwrap());
    let digests = Digests::default();
    let sha256 = digests.of("passwd", &file, path).unwrap();
    assert_eq!(sha256, Sha256::of(&std::fs::read(path).unwrap()));
    assert_eq!(digests.lock().len(), 1);
}
