//! What clients are shown, as dictionaries `a{sv}` whose keys are these fields in kebab-case. New fields may
//! be added; none is removed within `Station1`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zbus::{DeserializeDict, SerializeDict, Type};

macro_rules! views {
    ($($(#[$doc:meta])* $name:ident { $($fields:tt)* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, SerializeDict, DeserializeDict, Type)]
            #[zbus(signature = "dict", rename_all = "kebab-case")]
            pub struct $name { $($fields)* }
        )*
    };
}

views! {
    /// A dossier as its owner sees it.
    DossierView {
        /// UUID.
        pub id: String,
        /// `deposit`, `complement`, `hand-over`.
        pub kind: String,
        /// A state of the table.
        pub state: String,
        /// The procedure's id.
        pub procedure: String,
        /// The agent it belongs to.
        pub agent: String,
        /// RFC 3339.
        pub opened_at: String,
        /// RFC 3339; drafts only.
        pub expires_at: Option<String>,
        /// The pré-demande's number, once fetched.
        pub pre_demande: Option<String>,
        /// CERT's number, once known.
        pub demande: Option<String>,
        /// How many things are missing; drafts only.
        pub missing: Option<u32>,
        /// Bytes that CERT acknowledged; once sealed.
        pub sent_bytes: Option<u64>,
        /// Bytes of the parcel; once sealed.
        pub total_bytes: Option<u64>,
        /// Why CERT refused it.
        pub refusal: Option<String>,
    }
    /// A dossier in a list.
    DossierSummary {
        /// UUID.
        pub id: String,
        /// `deposit`, `complement`, `hand-over`.
        pub kind: String,
        /// A state of the table.
        pub state: String,
        /// The procedure's id or title.
        pub procedure: String,
        /// The agent it belongs to.
        pub agent: String,
        /// RFC 3339.
        pub since: String,
        /// CERT's number, once known.
        pub demande: Option<String>,
        /// Sequence number, once sealed.
        pub sequence: Option<u64>,
    }
    /// An item of a draft, without its bytes.
    ItemView {
        /// Its name.
        pub name: String,
        /// The step it answers.
        pub step: String,
        /// `fingerprint`, `face`, `page`, `signature`.
        pub content: String,
        /// Media type.
        pub media_type: String,
        /// Bytes.
        pub len_bytes: u64,
        /// SHA-256, hexadecimal.
        pub sha256: String,
        /// Finger position code, fingerprints only.
        pub position: Option<u8>,
        /// Document id, pages only.
        pub document: Option<String>,
        /// Page number, pages only.
        pub page: Option<u32>,
        /// Device model and serial.
        pub device: String,
        /// RFC 3339.
        pub captured_at: String,
        /// One line a criterion: code, value, threshold or NaN, pass.
        pub criteria: Vec<(String, f64, f64, bool)>,
    }
    /// Prints that were taken, not chosen, and destroyed.
    DestructionView {
        /// Finger position codes.
        pub positions: Vec<u8>,
        /// RFC 3339: when both processes that held them had ended.
        pub at: String,
        /// `processes-ended`: never on a disk, given back to the system by both processes.
        /// `processes-ended-before-restart`: the same, but the service itself ended before it saw that; `at` is
        /// when it was recorded.
        pub method: String,
    }
    /// A device.
    DeviceView {
        /// Stable name.
        pub id: String,
        /// `absent`, `opening`, `ready`, `in-session`, `faulted`, `quarantined`.
        pub state: String,
        /// What the device says, may be empty.
        pub vendor: String,
        /// What the device says, may be empty.
        pub model: String,
        /// What the device says, may be empty.
        pub serial: String,
        /// `fingerprint`, `camera`, `scanner`.
        pub modalities: Vec<String>,
        /// Plugin id.
        pub plugin: String,
        /// Plugin version.
        pub plugin_version: String,
        /// Why it is faulted or in quarantine, and what to do.
        pub trouble: Option<String>,
        /// uid of who holds the lease; absent when free.
        pub holder_uid: Option<u32>,
        /// Seconds since the lease was taken.
        pub held_s: Option<u64>,
        /// uid of who announced to take the device from its holder.
        pub claimant_uid: Option<u32>,
    }
    /// A capture.
    CaptureView {
        /// See [`CaptureState`].
        pub state: String,
        /// The step.
        pub step: String,
        /// The device.
        pub device: String,
        /// Which try of the present position, from 1.
        pub attempt: u32,
        /// How many tries are allowed.
        pub attempts_max: u32,
        /// Finger position asked, fingerprints only.
        pub position: Option<u8>,
        /// Commands allowed now.
        pub allowed: Vec<String>,
        /// Error code, when failed.
        pub error: Option<String>,
        /// Error text, when failed.
        pub error_text: Option<String>,
    }
    /// A parcel that has no final receipt yet.
    OutboxView {
        /// UUID.
        pub dossier: String,
        /// A state of the table.
        pub state: String,
        /// RFC 3339.
        pub sealed_at: String,
        /// The station's count.
        pub sequence: u64,
        /// Bytes that CERT acknowledged.
        pub sent_bytes: u64,
        /// Bytes in all.
        pub total_bytes: u64,
        /// Failed tries since the last progress.
        pub failures: u32,
        /// What was wrong at the last try and what to do; absent when nothing is.
        pub trouble: Option<String>,
    }
    /// A plugin folder.
    PluginView {
        /// Plugin id.
        pub id: String,
        /// Its name.
        pub name: String,
        /// Its version.
        pub version: String,
        /// Why it is not admitted and what to do; absent when it is.
        pub refused: Option<String>,
    }
    /// A receipt.
    ReceiptView {
        /// `R1`, `R2`, `REJECT`.
        pub kind: String,
        /// The CMS file.
        pub bytes: Vec<u8>,
        /// CERT's time, RFC 3339.
        pub time: String,
    }
    /// The data of a récépissé.
    RecepisseView {
        /// UUID.
        pub dossier: String,
        /// The procedure's title.
        pub title: String,
        /// RFC 3339.
        pub sealed_at: String,
        /// The station's count.
        pub sequence: u64,
        /// CERT's number; final only.
        pub demande: Option<String>,
        /// CERT's time; final only.
        pub ingested_at: Option<String>,
        /// A line to print, in the locale asked.
        pub text: String,
    }
    /// The state of the station.
    StatusView {
        /// Version of recueild.
        pub version: String,
        /// Station id, empty when not enrolled.
        pub station: String,
        /// `connected` or what is wrong.
        pub hostd: String,
        /// `connected` or what is wrong.
        pub courier: String,
        /// `reachable`, `unreachable`, `unknown`, `not-configured`.
        pub cert: String,
        /// What is wrong on the line, if anything.
        pub cert_trouble: Option<String>,
        /// `separated` or `not separated`.
        pub analyser: String,
        /// What holds drivers to their memory and threads: `cgroups`, or `rlimits only` where none are delegated
        /// to the device service; `unknown` without it.
        pub driver_limits: String,
        /// `polkit`, `allowed users`, `none`.
        pub authority: String,
        /// `file` or the token's name.
        pub seal_key: String,
        /// Days until the seal certificate ends.
        pub seal_certificate_days: Option<i64>,
        /// Disk space for open drafts: `kept`, `given-up` while the disk is full, `none`.
        pub reserve: String,
        /// Devices known.
        pub devices: u32,
        /// Open drafts.
        pub drafts: u32,
        /// Parcels without a final receipt.
        pub outbox: u32,
    }
}

/// One step of the procedure: id, type, and the names it knows (fields, papers, verdicts, reasons of absence).
pub type StepView = (String, String, Vec<String>);

/// One lack: step, what, name.
pub type MissingView = (String, String, String);

/// Dictionaries of signals.
pub type Detail = BTreeMap<String, String>;

/// A field: value, source (`typed`, `pre-demande`), what the pré-demande said where it was corrected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Type)]
pub struct Field {
    /// The value.
    pub value: String,
    /// Its source.
    pub source: String,
    /// What it corrects, or empty.
    pub corrects: String,
}

/// States of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureState {
    /// Analyser and device are being opened.
    Starting,
    /// The device captures.
    Capturing,
    /// The picture is taken and is being measured.
    Analysing,
    /// A try was not good enough; a command is awaited.
    Waiting,
    /// Records are being encoded and stored.
    Storing,
    /// Over; the items are in the dossier.
    Completed,
    /// Over, by the caller.
    Cancelled,
    /// Over, by a failure.
    Failed,
}

impl CaptureState {
    /// All of them, in the order of a capture.
    pub const ALL: [Self; 8] = [
        Self::Starting,
        Self::Capturing,
        Self::Analysing,
        Self::Waiting,
        Self::Storing,
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Capturing => "capturing",
            Self::Analysing => "analysing",
            Self::Waiting => "waiting",
            Self::Storing => "storing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}
