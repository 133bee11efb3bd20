//! `recueild` and `recueil-courier`, on the courier's socket. The courier accepts the uid of `recueild` alone.
//!
//! Parcels and receipts do not pass here: they are files in `ready/` (written by `recueild`) and `receipts/`
//! (written by the courier), named `<dossier id>.p7m`, `<dossier id>.r1.p7s`, `.r2.p7s`, `.reject.p7s`.

use recueil_dossier::{DemandeNumber, DossierId, PreDemandeNumber, ReceiptKind};
use serde::{Deserialize, Serialize};

/// A call by `recueild`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What `recueild` asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// `ready/` changed: look now rather than at the next round.
    Look,
    /// Fetch a pré-demande. The answer brings a descriptor: CMS to the station's encryption key.
    PreDemande {
        /// Its number.
        number: PreDemandeNumber,
    },
    /// Ask where demandes stand.
    Statuses {
        /// At most 100.
        demandes: Vec<DemandeNumber>,
    },
    /// How the line and each parcel stand.
    Line,
    /// A receipt in `receipts/` is not believed: take it away and ask CERT again, after a while. If another lies
    /// there by now, it stays.
    ReceiptRefused {
        /// Whose.
        dossier: DossierId,
        /// Which, as the file name says.
        kind: ReceiptKind,
        /// SHA-256 of the file, lower-case hexadecimal.
        sha256: String,
        /// Why, for whoever looks at the outbox.
        why: String,
    },
}

/// What the courier says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromCourier {
    /// The answer to one call.
    Reply {
        /// The call's id.
        id: u64,
        /// Its result.
        answer: Result<Answer, Failure>,
    },
    /// Progress of one parcel.
    Progress(Progress),
    /// A receipt was written into `receipts/`. It is not verified: that is `recueild`'s work.
    Receipt {
        /// Whose.
        dossier: DossierId,
        /// Which, as the file name says.
        kind: ReceiptKind,
    },
}

/// What calls give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Call::Look`] and [`Call::ReceiptRefused`].
    Done,
    /// To [`Call::PreDemande`]. Descriptor: sealed memory of `len` bytes, CMS.
    PreDemande {
        /// Its length.
        len: u64,
    },
    /// To [`Call::Statuses`], those that CERT knows.
    Statuses {
        /// One a demande.
        statuses: Vec<DemandeStatus>,
    },
    /// To [`Call::Line`].
    Line {
        /// Whether the last contact with CERT succeeded; none before the first.
        reachable: Option<bool>,
        /// What was wrong at the last contact, and what to do.
        trouble: Option<String>,
        /// Parcels under way, the first hundred.
        parcels: Vec<Progress>,
    },
}

/// How far a parcel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Whose.
    pub dossier: DossierId,
    /// Bytes that CERT has acknowledged.
    pub sent: u64,
    /// Bytes in all.
    pub total: u64,
    /// Where it stands at CERT: `waiting`, `sending`, `stored`, `ended`.
    pub stage: Stage,
    /// Tries that failed since the last progress.
    pub failures: u32,
    /// What was wrong at the last try, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// Stages of a parcel on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Not begun, or waiting for its next try.
    Waiting,
    /// Bytes are going.
    Sending,
    /// R1 is here; R2 is awaited.
    Stored,
    /// R2 or a refusal is here.
    Ended,
}

/// Where a demande stands at CERT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandeStatus {
    /// Which.
    pub demande: DemandeNumber,
    /// `in-instruction`, `complement`, `production`, `available`, `handed-over`, `refused`, or a word that
    /// is not known yet.
    pub status: String,
}

/// A failure, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub code: FailureCode,
    /// What happened and what to do, without any personal datum.
    pub text: String,
}

/// Names of failures; each is an error on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// No CERT is configured.
    NotConfigured,
    /// CERT cannot be reached, or does not answer.
    Unreachable,
    /// CERT does not know the number.
    NotFound,
    /// CERT refuses this station.
    Refused,
    /// The answer is not one of the protocol.
    Protocol,
}
