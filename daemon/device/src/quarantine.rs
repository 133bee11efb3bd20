//! Devices whose plugin failed too often: not tried again until the plugin is another or somebody says so.
//!
//! One file a device below the state folder, written whole or not at all; one that is damaged is told of and
//! keeps nothing else from working.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use recueil_wire::devices::{DeviceId, Failure, FailureCode};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::failure::{failure, printable};
use crate::{Error, Sha256};

const FILE_MAX_BYTES: u64 = 16 << 10;
/// Longest reason that is kept, characters.
const REASON_MAX_CHARS: usize = 400;

/// Why a device is in quarantine. The plugin is known by the hash of its manifest, which names each of its
/// files by its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quarantine {
    /// The plugin's id.
    pub plugin: String,
    /// Its version, for a person.
    pub plugin_version: String,
    /// SHA-256 of its manifest, hexadecimal.
    pub plugin_sha256: String,
    /// Which device.
    pub device: DeviceId,
    /// What the last failure was.
    pub reason: String,
    /// When.
    pub since: Timestamp,
}

impl Quarantine {
    /// From now on.
    pub(crate) fn begin(
        plugin: (&str, &str, Sha256),
        device: &DeviceId,
        failures: u32,
        last: &Failure,
    ) -> Self {
        let (id, version, sha256) = plugin;
        let says = last.plugin.as_ref().map_or("", |plugin| plugin.text.as_str());
        let says = if says.is_empty() {
            String::new()
        } else {
            format!(" ({says})")
        };
        Self {
            plugin: id.to_owned(),
            plugin_version: version.to_owned(),
            plugin_sha256: sha256.to_string(),
            device: device.clone(),
            reason: printable(
                &format!("it failed {failures} times, the last time: {}{says}", last.text),
                REASON_MAX_CHARS,
            ),
            since: Timestamp::now(),
        }
    }

    /// Whether it is meant for this plugin as it is installed now.
    pub(crate) fn holds(&self, plugin: &str, sha256: Sha256) -> bool {
        self.plugin == plugin && self.plugin_sha256 == sha256.to_string()
    }

    /// For whoever asks for the device: what happened, and what to do.
    pub(crate) fn failure(&self) -> Failure {
        failure(
            FailureCode::Quarantined,
            format!(
                "the driver {} {} of {} is in quarantine since {}: {}; install another version of it and restart \
                 recueil-hostd, or release the device by `recueilctl devices release {}`, and send the log of \
                 recueil-hostd to its vendor",
                self.plugin,
                self.plugin_version,
                self.device,
                self.since.strftime("%Y-%m-%d %H:%M UTC"),
                self.reason,
                self.device,
            ),
        )
    }
}

/// `state_dir/quarantine/DEVICE.json`.
#[derive(Debug, Clone)]
pub struct QuarantineStore {
    dir: PathBuf,
}

impl QuarantineStore {
    /// Keeps its files below `state_dir`.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("quarantine"),
        }
    }

    /// Whether there may be something to [`Self::load`]; one look, so that a start without any costs no more.
    pub fn may_hold(&self, device: &str) -> bool {
        self.path(device).try_exists().unwrap_or(true)
    }

    /// What is known of a device. `device` is a name that hostd checked when it made it.
    ///
    /// # Errors
    /// [`Error::File`] if the file is there and cannot be read or understood.
    pub fn load(&self, device: &str) -> Result<Option<Quarantine>, Error> {
        let path = self.path(device);
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file(path, error)),
        };
        let mut text = String::new();
        file.take(FILE_MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|source| Error::file(&path, source))?;
        let known: Quarantine = serde_json::from_str(&text).map_err(|error| Error::file(&path, error))?;
        if known.device != device {
            return Err(Error::file(path, std::io::ErrorKind::InvalidData));
        }
        Ok(Some(Quarantine {
            // It is shown to people, whoever wrote it.
            plugin: printable(&known.plugin, 128),
            plugin_version: printable(&known.plugin_version, 64),
            reason: printable(&known.reason, REASON_MAX_CHARS),
            ..known
        }))
    }

    /// Makes it durable.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn put(&self, quarantine: &Quarantine) -> Result<(), Error> {
        let path = self.path(&quarantine.device);
        let text = serde_json::to_vec_pretty(quarantine).map_err(|error| Error::file(&path, error))?;
        durable::replace(&path, &text)
    }

    /// Ends it, durably.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn lift(&self, device: &str) -> Result<(), Error> {
        durable::remove(&self.path(device))
    }

    fn path(&self, device: &str) -> PathBuf {
        self.dir.join(format!("{device}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarantine(device: &str) -> Quarantine {
        let last = failure(
            FailureCode::PluginCrashed,
            "the process ended: signal 11\u{1b}[2J",
        );
        let plugin = ("com.acme.fp200", "1.0.0", Sha256::of(b"manifest"));
        Quarantine::begin(plugin, &device.to_owned(), 5, &last)
    }

    #[test]
    fn it_is_there_after_a_restart_for_its_device_and_its_plugins_hash_alone() {
        let dir = tempfile::tempdir().unwrap();
        let put = quarantine("virtual-fp4-SN1");
        QuarantineStore::new(dir.path()).put(&put).unwrap();
        let store = QuarantineStore::new(dir.path());
        let known = store.load("virtual-fp4-SN1").unwrap().unwrap();
        assert_eq!(known, put);
        assert_eq!(store.load("virtual-fp4-SN2").unwrap(), None);
        assert!(known.holds("com.acme.fp200", Sha256::of(b"manifest")));
        assert!(!known.holds("com.acme.fp200", Sha256::of(b"another")));
        assert!(!known.holds("com.acme.other", Sha256::of(b"manifest")));
        let text = known.failure().text;
        assert!(text.contains("signal 11") && !text.contains('\u{1b}'), "{text}");
        assert!(
            text.contains("recueilctl devices release virtual-fp4-SN1"),
            "{text}"
        );
        let day = put.since.strftime("since %Y-%m-%d ").to_string();
        assert!(text.contains(&day), "{text}");
        store.lift("virtual-fp4-SN1").unwrap();
        assert_eq!(store.load("virtual-fp4-SN1").unwrap(), None);
        store.lift("virtual-fp4-SN1").unwrap();
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let store = QuarantineStore::new(dir.path());
        store.put(&quarantine("a")).unwrap();
        let path = dir.path().join("quarantine/a.json");
        let whole = std::fs::read(&path).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"[]", &vec![0xff; 32 << 10]] {
            std::fs::write(&path, damaged).unwrap();
            let error = store.load("a").unwrap_err();
            assert!(error.chain().contains("quarantine/a.json"), "{}", error.chain());
        }
        std::fs::rename(&path, dir.path().join("quarantine/b.json")).unwrap();
        std::fs::write(dir.path().join("quarantine/b.json"), &whole).unwrap();
        assert!(store.load("b").is_err(), "it is another device's");
        store.put(&quarantine("a")).unwrap();
        assert!(store.load("a").unwrap().is_some(), "a new one replaces it");
    }
}
