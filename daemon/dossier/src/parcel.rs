//! What travels, and what comes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DemandeNumber, DossierId, StationId};

/// A sealed dossier: the signed and encrypted file, as it lies on the disk and as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Whose.
    pub dossier: DossierId,
    /// The CMS file (`crypto` profile CERT-CMS-1).
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, hexadecimal.
    pub sha256: String,
    /// SHA-256 of the signed `dossier.json`, hexadecimal; CERT repeats it in R2.
    pub manifest_sha256: String,
    /// The station's sequence number of this parcel.
    pub sequence: u64,
}

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReceiptKind {
    /// The parcel is stored durably.
    #[serde(rename = "R1")]
    Stored,
    /// The parcel was opened, verified and ingested. Final.
    #[serde(rename = "R2")]
    Ingested,
    /// The parcel is refused for the reason given. Final once an agent has acknowledged it.
    #[serde(rename = "REJECT")]
    Refused,
}

/// The content of a receipt, after its signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// R1, R2 or a refusal.
    #[serde(rename = "type")]
    pub kind: ReceiptKind,
    /// Whose.
    pub dossier: DossierId,
    /// SHA-256 of the parcel that CERT has, hexadecimal.
    pub parcel_sha256: String,
    /// Length of the parcel that CERT has.
    pub size: u64,
    /// The station that sent it.
    pub station: StationId,
    /// SHA-256 of the `dossier.json` that CERT read; in R2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// CERT's number of the demande; in R2 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demande: Option<DemandeNumber>,
    /// Why it is refused; in a refusal only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// CERT's time, which is the legal one.
    pub time: Timestamp,
    /// CERT's serial number of this receipt.
    pub serial: u64,
    /// SHA-256 of the receipt that CERT gave this station before, hexadecimal; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha256: Option<String>,
}
