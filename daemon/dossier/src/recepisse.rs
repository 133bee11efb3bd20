//! The data of the récépissé that the applicant leaves with. Its layout is the station software's.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DemandeNumber, DossierId};

/// Whether CERT has answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecepisseStatus {
    /// Sealed; given off line too.
    Provisional,
    /// With CERT's demande number.
    Final,
}

impl RecepisseStatus {
    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisional => "provisional",
            Self::Final => "final",
        }
    }
}

/// What the récépissé says.
///
/// It holds no name: after sealing the station cannot read the dossier, so the station software prints the
/// applicant's name from what it shows at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recepisse {
    /// Provisional or final.
    pub status: RecepisseStatus,
    /// The dossier's identity.
    pub dossier: DossierId,
    /// The procedure's title.
    pub title: String,
    /// When it was sealed.
    pub sealed_at: Timestamp,
    /// The station's sequence number.
    pub sequence: u64,
    /// CERT's number; in a final one only.
    pub demande: Option<DemandeNumber>,
    /// CERT's time of R2, which is the legal one; in a final one only.
    pub ingested_at: Option<Timestamp>,
}
