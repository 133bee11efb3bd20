//! The content of a receipt.

use jiff::Timestamp;
use serde::Serialize;

use crate::cades;
use crate::error::Error;
use crate::keys::Keys;

/// Kinds of receipts, by the ending of their files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    R1,
    R2,
    #[serde(rename = "REJECT")]
    Reject,
}

impl Kind {
    /// `r1`, `r2`, `reject`.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::R1 => "r1",
            Self::R2 => "r2",
            Self::Reject => "reject",
        }
    }

    /// The kind of this ending.
    pub(crate) fn of_ending(ending: &str) -> Option<Self> {
        [Self::R1, Self::R2, Self::Reject]
            .into_iter()
            .find(|kind| kind.ending() == ending)
    }
}

/// What CERT says about a parcel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Receipt {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) dossier: String,
    pub(crate) parcel_sha256: String,
    pub(crate) size: u64,
    pub(crate) station: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) manifest_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) demande: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    pub(crate) time: Timestamp,
    pub(crate) serial: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_sha256: Option<String>,
}

impl Receipt {
    /// Signed, as the station gets it.
    pub(crate) fn sign(&self, keys: &Keys) -> Result<Vec<u8>, Error> {
        let json = serde_json::to_vec(self).map_err(|_value| Error::Crypto("write a receipt"))?;
        cades::sign(&json, &keys.receipt, &keys.receipt_key, self.time)
    }
}
