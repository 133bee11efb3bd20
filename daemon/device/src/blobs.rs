//! What plugins stored for their devices: calibration, tables. One file a device.
//!
//! Nothing here may come from a capture: a host's wish is refused once it has been asked for one, see `life`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

pub use recueil_wire::host::BLOBS_MAX_BYTES as DEVICE_MAX_BYTES;

use crate::{Error, durable};

/// Most blobs of one device.
const BLOBS_MAX: usize = 64;
/// The file's form: twice the bytes in hexadecimal, and JSON around them.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// Blobs of one device, by key.
pub type Blobs = BTreeMap<String, Vec<u8>>;

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
        let damaged = |error: std::io::Error| Error::file(&path, error);
        let written: BTreeMap<String, String> =
            serde_json::from_str(&text).map_err(|error| damaged(error.into()))?;
        let blobs = written.into_iter().map(|(key, hex)| Some((key, from_hex(&hex)?)));
        let blobs: Option<Blobs> = blobs.collect();
        blobs
            .filter(is_allowed)
            .ok_or_else(|| damaged(std::io::ErrorKind::InvalidData.into()))
    }

    /// Stores one value durably; the device's others stay.
    ///
    /// # Errors
    /// [`Error::Blob`] if the key, the value or their number is not allowed; [`Error::File`].
    pub fn put(&self, plugin: &str, device: &str, key: &str, value: &[u8]) -> Result<(), Error> {
        if !is_key(key) {
            return Err(Error::Blob("the key is not 1 to 64 of a-z, 0-9, '-', '.'"));
        }
        let mut blobs = self.load(plugin, device)?;
        blobs.insert(key.to_owned(), value.to_vec());
        if !is_allowed(&blobs) {
            return Err(Error::Blob("the device has as much stored as it may"));
        }
        let path = self.path(plugin, device);
        let written: BTreeMap<&str, String> = blobs
            .iter()
            .map(|(key, value)| (key.as_str(), to_hex(value)))
            .collect();
        let text = serde_json::to_vec(&written).map_err(|error| Error::file(&path, error))?;
        durable::replace(&path, &text)
    }

    fn path(&self, plugin: &str, device: &str) -> PathBuf {
        self.dir.join(plugin).join(format!("{device}.json"))
    }
}

/// Keys count too.
fn is_allowed(blobs: &Blobs) -> bool {
    let bytes: usize = blobs.iter().map(|(key, value)| key.len() + value.len()).sum();
    blobs.len() <= BLOBS_MAX && bytes <= DEVICE_MAX_BYTES
}

fn is_key(key: &str) -> bool {
    (1..=64).contains(&key.len())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a String cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

/// None if it is not lower-case hexadecimal.
pub(crate) fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_blob_is_there_again_after_a_restart_for_its_device_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::new(dir.path());
        store
            .put("com.acme.a", "virtual-a-1", "gain", &[0, 0xff])
            .unwrap();
        store.put("com.acme.a", "virtual-a-1", "offset", &[]).unwrap();
        let again = BlobStore::new(dir.path());
        let blobs = again.load("com.acme.a", "virtual-a-1").unwrap();
        assert_eq!(blobs["gain"], [0, 0xff]);
        assert_eq!(blobs.len(), 2);
        assert!(again.load("com.acme.a", "virtual-a-2").unwrap().is_empty());
        assert!(again.load("com.acme.b", "virtual-a-1").unwrap().is_empty());
        let path = dir.path().join("blobs/com.acme.a/virtual-a-1.json");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        for damaged in ["", "{\"gain\":\"0\"}", "{\"gain\":\"0G\"}", "{\"gain\":\"AA\"}"] {
            std::fs::write(&path, damaged).unwrap();
            let error = again.load("com.acme.a", "virtual-a-1").unwrap_err();
            assert!(matches!(error, Error::File { .. }), "{damaged}");
        }
    }

    #[test]
    fn what_is_too_much_or_misnamed_is_refused_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = BlobStore::new(dir.path());
        let put = |key: &str, value: &[u8]| store.put("p.q", "d", key, value);
        for key in ["", "../x", "A", &"a".repeat(65)] {
            assert!(matches!(put(key, &[0]), Err(Error::Blob(_))), "{key:?}");
        }
        put("a", &vec![7; DEVICE_MAX_BYTES - 1]).unwrap();
        assert_eq!(store.load("p.q", "d").unwrap()["a"].len(), DEVICE_MAX_BYTES - 1);
        assert!(matches!(put("b", &[]), Err(Error::Blob(_))), "keys count too");
        assert!(put("a", &[1]).is_ok(), "a smaller value makes room");
        assert_eq!(store.load("p.q", "d").unwrap()["a"], [1]);
    }
}
