//! `plugin.toml`: all that is known of a plugin without loading it.
//!
//! The parser is strict: what it does not know, it refuses, so that a manifest never means less than its
//! author thinks. Form: `reference/plugin-abi.md` section 4.

use std::collections::BTreeMap;

use recueil_wire::devices::Modality;
use serde::Deserialize;

use crate::{Error, Sha256};
use words::{is_file_name, is_id, is_line, is_setting, is_version};

pub(crate) use words::is_label;

/// The file's name in a plugin's folder.
pub const FILE_NAME: &str = "plugin.toml";
/// Largest manifest, bytes.
pub const MANIFEST_MAX_BYTES: u64 = 64 << 10;
/// Most files of one plugin, the library included.
pub const FILES_MAX: usize = 64;
/// Most matches, settings.
const LIST_MAX: usize = 64;
/// The plugin contract that hosts of this release keep: `RCL_ABI_MAJOR`, `RCL_ABI_MINOR`.
const ABI: (u32, u32) = (1, 0);

/// A checked manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Reverse domain name, the same as in the plugin's descriptor.
    pub id: String,
    /// For people.
    pub name: String,
    /// The plugin's own.
    pub version: String,
    /// File name of the shared library.
    pub library: String,
    /// SHA-256 of every file of the folder but the manifest, by name; the library among them.
    pub files: BTreeMap<String, Sha256>,
    /// What its devices capture; not empty.
    pub modalities: Vec<Modality>,
    /// What devices it drives; not empty.
    pub matches: Vec<Match>,
    /// What its hosts may use.
    pub limits: Limits,
    /// Settings that it knows, with their defaults.
    pub config: BTreeMap<String, String>,
}

/// What a plugin drives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "bus", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Match {
    /// A USB device by its numbers.
    Usb {
        /// Vendor.
        vid: UsbNumber,
        /// Product.
        pid: UsbNumber,
        /// Interface; none for the first.
        iface: Option<u8>,
    },
    /// A serial line behind a USB converter.
    Serial {
        /// Vendor of the converter.
        usb_vid: UsbNumber,
        /// Product of the converter.
        usb_pid: UsbNumber,
        /// Whether the administrator must name the line, since others use this converter too.
        #[serde(default)]
        ask: bool,
    },
    /// A socket of the virtual bus, by its model.
    Virtual {
        /// 1 to 32 letters, digits, '-'.
        model: String,
    },
}

/// A USB vendor or product number, written as four lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UsbNumber(pub u16);

/// What one host may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Address space, 16 to 4096 MiB.
    #[serde(default = "Limits::memory_mib_usual")]
    pub memory_mib: u64,
    /// 1 to 64.
    #[serde(default = "Limits::threads_usual")]
    pub threads: u32,
}

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// [`Error::Refused`]: what is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let written: Written =
            toml::from_str(text).map_err(|error| refused(format!("{FILE_NAME}: {}", error.message())))?;
        written.check()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    manifest: u32,
    id: String,
    name: String,
    version: String,
    abi: String,
    arch: String,
    /// For the conformance tool; the loader itself finds out.
    #[serde(rename = "glibc_min")]
    _glibc_min: Option<String>,
    library: String,
    sha256: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    modalities: Vec<Modality>,
    r#match: Vec<Match>,
    #[serde(default)]
    isolation: Isolation,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    network: bool,
    #[serde(default)]
    config: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Isolation {
    #[default]
    Device,
    Plugin,
}

impl Written {
    fn check(self) -> Result<Manifest, Error> {
        require(self.manifest == 1, || {
            format!("manifest = {}, not 1", self.manifest)
        })?;
        require(is_id(&self.id), || {
            format!("id {:?} is not a reverse domain name", self.id)
        })?;
        require(is_line(&self.name, 64), || {
            "name is not one line of 1 to 64 characters".into()
        })?;
        require(is_version(&self.version), || {
            format!("version {:?} is not a version", self.version)
        })?;
        check_abi(&self.abi)?;
        let here = format!("{}-linux-gnu", std::env::consts::ARCH);
        if self.arch != here {
            return Err(Error::refused(
                format!("it is built for {:?}, this machine is {here}", self.arch),
                "install the plugin's package for this architecture",
            ));
        }
        if self.network {
            return Err(Error::refused(
                "it asks for the network, which no plugin gets in this release",
                "use the device over USB, or a later release",
            ));
        }
        if matches!(self.isolation, Isolation::Plugin) {
            return Err(Error::refused(
                "it asks for one process for all its devices, which this release does not offer",
                "ask the vendor for a plugin with isolation = \"device\"",
            ));
        }
        require((16..=4096).contains(&self.limits.memory_mib), || {
            "limits.memory_mib is not between 16 and 4096".into()
        })?;
        require((1..=64).contains(&self.limits.threads), || {
            "limits.threads is not between 1 and 64".into()
        })?;
        require(!self.modalities.is_empty(), || "modalities is empty".into())?;
        require((1..=LIST_MAX).contains(&self.r#match.len()), || {
            format!("match does not have 1 to {LIST_MAX} entries")
        })?;
        for entry in &self.r#match {
            if let Match::Virtual { model } = entry {
                require(is_label(model), || {
                    format!("model {model:?} is not 1 to 32 letters, digits or '-'")
                })?;
            }
        }
        require(self.config.len() <= LIST_MAX, || {
            format!("config has over {LIST_MAX} keys")
        })?;
        for (key, value) in &self.config {
            require(is_setting(key) && value.len() <= 1024, || {
                format!("config key {key:?} or its value is not one that the contract allows")
            })?;
        }
        let files = check_files(&self.library, &self.sha256, &self.files)?;
        Ok(Manifest {
            id: self.id,
            name: self.name,
            version: self.version,
            library: self.library,
            files,
            modalities: self.modalities,
            matches: self.r#match,
            limits: self.limits,
            config: self.config,
        })
    }
}

fn check_abi(abi: &str) -> Result<(), Error> {
    let numbers = abi
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)))
        .filter(|(major, minor)| format!("{major}.{minor}") == abi);
    let Some((major, minor)) = numbers else {
        return Err(refused(format!("abi {abi:?} is not MAJOR.MINOR")));
    };
    if (major, minor) > ABI || major != ABI.0 {
        return Err(Error::refused(
            format!(
                "it needs plugin contract {abi}, this release keeps {}.{}",
                ABI.0, ABI.1
            ),
            "install a release of Recueil that keeps that contract",
        ));
    }
    Ok(())
}

fn check_files(
    library: &str,
    library_sha256: &str,
    others: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, Sha256>, Error> {
    require(others.len() < FILES_MAX, || {
        format!("files names over {FILES_MAX} files")
    })?;
    require(!others.contains_key(library), || {
        "files names the library once more".into()
    })?;
    let library = (library, library_sha256);
    let others = others
        .iter()
        .map(|(name, sha256)| (name.as_str(), sha256.as_str()));
    std::iter::once(library)
        .chain(others)
        .map(|(name, sha256)| {
            require(is_file_name(name), || {
                format!("{name:?} is not a plain file name")
            })?;
            let sha256 = Sha256::parse(sha256).ok_or_else(|| {
                refused(format!(
                    "the sha256 of {name} is not 64 lower-case hexadecimal digits"
                ))
            })?;
            Ok((name.to_owned(), sha256))
        })
        .collect()
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(refused(format!("{FILE_NAME}: {}", what())))
    }
}

fn refused(what: String) -> Error {
    Error::refused(what, "the plugin's package is at fault: ask its vendor")
}

impl Limits {
    fn memory_mib_usual() -> u64 {
        512
    }

    fn threads_usual() -> u32 {
        8
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: Self::memory_mib_usual(),
            threads: Self::threads_usual(),
        }
    }
}

impl TryFrom<String> for UsbNumber {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, &'static str> {
        let digits = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() != 4 || !digits {
            return Err("a USB number is not four lower-case hexadecimal digits");
        }
        u16::from_str_radix(&text, 16)
            .map(Self)
            .map_err(|_| "a USB number is not four lower-case hexadecimal digits")
    }
}

#[cfg(test)]
mod tests;
mod words;
