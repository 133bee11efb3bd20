//! Checked, encoded records.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{AgentId, FingerPosition, ItemName, sha256_hex};

/// Encodings that an item may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaType {
    /// ISO/IEC 15948.
    #[serde(rename = "image/png")]
    Png,
    /// ISO/IEC 10918-1.
    #[serde(rename = "image/jpeg")]
    Jpeg,
}

impl MediaType {
    /// The file name's ending in the container, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }

    /// The media type's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Content {
    /// A flat live-scan fingerprint.
    Fingerprint {
        /// Which finger.
        position: FingerPosition,
        /// Pixels per inch of the encoded picture.
        ppi: u32,
    },
    /// The photo of the applicant.
    Face,
    /// One side of a document.
    Page {
        /// The document's id in the procedure.
        document: String,
        /// From 1.
        number: u32,
    },
    /// A handwritten signature.
    Signature,
}

/// One measured quality: value beside threshold, so that a client can show both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    /// Code, kebab-case: `device-quality`, `print-width-mm`.
    pub code: String,
    /// The measured value.
    pub value: f64,
    /// The lowest or highest value allowed; none if it is only recorded.
    pub threshold: Option<f64>,
    /// Whether it passes.
    pub pass: bool,
}

/// The device and plugin that an item came through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The device's vendor.
    pub vendor: String,
    /// The device's model.
    pub model: String,
    /// The device's serial number.
    pub serial: String,
    /// The plugin's id, reverse DNS.
    pub plugin: String,
    /// The plugin's version.
    pub plugin_version: String,
}

/// Where an item comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The device.
    pub source: Source,
    /// Who worked.
    pub agent: AgentId,
    /// When the item was accepted.
    pub captured_at: Timestamp,
    /// SHA-256 of the analyser's profile, hexadecimal.
    pub profile_sha256: String,
    /// The analyser's name and version.
    pub analyser: String,
}

/// All of an item but its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Its name in the dossier.
    pub name: ItemName,
    /// The step it answers.
    pub step: String,
    /// What it is.
    pub content: Content,
    /// How it is encoded.
    pub media_type: MediaType,
    /// Length of the payload.
    pub len_bytes: u64,
    /// SHA-256 of the payload, hexadecimal.
    pub sha256: String,
    /// Measured qualities.
    pub criteria: Vec<Criterion>,
    /// Where it comes from.
    pub provenance: Provenance,
}

impl ItemRecord {
    /// The item's file name in the container.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.media_type.extension())
    }
}

/// A checked, encoded record. Its bytes are wiped when it is dropped.
pub struct Item {
    /// What is known of it.
    pub record: ItemRecord,
    /// The encoded bytes.
    pub payload: Zeroizing<Vec<u8>>,
}

impl Item {
    /// Largest payload: a colour page at 600 dpi as JPEG stays below.
    pub const PAYLOAD_MAX_BYTES: usize = 64 << 20;

    /// An item whose length and digest are those of `payload`.
    pub fn new(
        name: ItemName,
        step: &str,
        content: Content,
        media_type: MediaType,
        criteria: Vec<Criterion>,
        provenance: Provenance,
        payload: Zeroizing<Vec<u8>>,
    ) -> Self {
        let len_bytes = u64::try_from(payload.len()).unwrap_or(u64::MAX);
        let sha256 = sha256_hex(&payload);
        let step = step.to_owned();
        let record = ItemRecord {
            name,
            step,
            content,
            media_type,
            len_bytes,
            sha256,
            criteria,
            provenance,
        };
        Self { record, payload }
    }

    /// Whether the bytes are still those that the record describes.
    pub fn is_intact(&self) -> bool {
        u64::try_from(self.payload.len()) == Ok(self.record.len_bytes)
            && sha256_hex(&self.payload) == self.record.sha256
    }
}

impl fmt::Debug for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Item")
            .field("record", &self.record)
            .finish_non_exhaustive()
    }
}
