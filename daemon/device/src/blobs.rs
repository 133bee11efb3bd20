//! What plugins stored for their devices: calibration, tables. One file a device.
//!
//! Nothing here may come from a capture: a host's wish is refused once it has been asked for one, see `life`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// Most bytes of one device's blobs, keys and values together. The plugin contract allows at most 256 KiB;
/// this is what fits, in hexadecimal, in the one message that loads a host.
pub const DEVICE_MAX_BYTES: usize = 24 << 10;
/// Most blobs of one device.
const BLOBS_MAX: usize = 64;
/// The file's form: twice the bytes in hexadecimal, and JSON around them.
const FILE_MAX_BYTES: u64 = 128 << 10;

/// Blobs of one device: values in lower-case hexadecimal, by key.
pub type Blobs = BTreeMap<String, String>;

/// `state_dir/blobs/PLUGIN/DEVICE.json`.
#[derive(Debug, Clone)]
pub struct BlobStore {
    dir: PathBuf,
}

impl BlobStore {
    /// Keeps blobs below `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("blobs"),
        }
    }

    /// What is stored for this device; empty if nothing is. `plugin` and `device` are names that hostd
    /// checked when it made them.
    ///
    /// # Errors
    /// [`Error::File`] if the file is there and cannot be read or understood.
    pub fn load(&self, plugin: &str, device: &str) -> Result<Blobs, Error> {
        let path = self.path(plugin, device);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Blobs::new()),
            Err(error) => return Err(Error::file(path, error)),
        };
        let mut text = String::new();
        file.take(FILE_MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|source| Error::file(&path, source))?;
        serde_json::from_str(&text).map_err(|error| Error::file(&path, error))
    }

    /// Stores one value durably; the device's others stay.
    ///
    /// # Errors
    /// [`Error::Blob`] if the key, the value or their number is not allowed; [`Error::File`].
    pub fn put(&self, plugin: &str, device: &str, key: &str, value: &str) -> Result<(), Error> {
        if !is_key(key) {
            return Err(Error::Blob("the key is not 1 to 64 of a-z, 0-9, '-', '.'"));
        }
        if !is_hex(value) {
            return Err(Error::Blob("the value is not lower-case hexadecimal"));
        }
        let mut blobs = self.load(plugin, device)?;
        blobs.insert(key.to_owned(), value.to_owned());
        let bytes: usize = blobs.iter().map(|(key, value)| key.len() + value.len() / 2).sum();
        if blobs.len() > BLOBS_MAX || bytes > DEVICE_MAX_BYTES {
            return Err(Error::Blob("the device has as much stored as it may"));
        }
        self.replace(&self.path(plugin, device), &blobs)
    }

    fn path(&self, plugin: &str, device: &str) -> PathBuf {
        self.dir.join(plugin).join(format!("{device}.json"))
    }

    /// Either the old file or the new one is there after a power cut, whole.
    fn replace(&self, path: &Path, blobs: &Blobs) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(&self.dir);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::file(folder, source))?;
        let text = serde_json::to_vec(blobs).map_err(|error| Error::file(path, error))?;
        let new_path = path.with_extension("new");
        let write = || {
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new_path)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&new_path, path)?;
            std::fs::File::open(folder)?.sync_all()
        };
        write().map_err(|source| Error::file(path, source))
    }
}

fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

fn is_hex(value: &str) -> bool {
    value.len().is_multiple_of(2)
        && value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_blob_is_there_again_after_a_restart_for_its_device_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::new(dir.path());
        store.put("com.acme.a", "virtual-a-1", "gain", "00ff").unwrap();
        store.put("com.acme.a", "virtual-a-1", "offset", "").unwrap();
        let again = BlobStore::new(dir.path());
        let blobs = again.load("com.acme.a", "virtual-a-1").unwrap();
        assert_eq!(blobs["gain"], "00ff");
        assert_eq!(blobs.len(), 2);
        assert!(again.load("com.acme.a", "virtual-a-2").unwrap().is_empty());
        assert!(again.load("com.acme.b", "virtual-a-1").unwrap().is_empty());
        let path = dir.path().join("blobs/com.acme.a/virtual-a-1.json");
        assert_eq!(
            std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn what_is_too_much_or_misnamed_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::new(dir.path());
        let put = |key: &str, value: &str| store.put("p.q", "d", key, value);
        for (key, value) in [
            ("", "00"),
            ("../x", "00"),
            ("A", "00"),
            ("a", "0"),
            ("a", "0G"),
            ("a", "AA"),
        ] {
            assert!(
                matches!(put(key, value), Err(Error::Blob(_))),
                "{key:?} {value:?}"
            );
        }
        put("a", &"00".repeat(DEVICE_MAX_BYTES - 1)).unwrap();
        assert!(matches!(put("b", ""), Err(Error::Blob(_))), "keys count too");
        assert!(put("a", "01").is_ok(), "a smaller value makes room");
        assert_eq!(store.load("p.q", "d").unwrap()["a"], "01");
    }

    #[test]
    fn the_largest_blobs_fit_in_the_message_that_loads_a_host() {
        let hex = DEVICE_MAX_BYTES * 2;
        let around = BLOBS_MAX * (64 + 6);
        assert!(hex + around < recueil_wire::MESSAGE_MAX_BYTES - (8 << 10));
    }
}
