//! The types that travel, `Frame → Item → Dossier → Parcel → Receipt`, the state table, and the rules on them.
//!
//! Invariant: nothing here does input or output, reads a clock, draws randomness or waits; what a rule needs
//! is given to it. What is *not* here: pixels' meaning (`capture`), keys (`seal`), durability (`store`).
//!
//! ```
//! use recueil_dossier::{Actor, Event, State, next};
//! assert_eq!(next(State::Sealed, Event::UploadStarted), Ok((State::Sending, Actor::Courier)));
//! ```

mod calendar;
mod draft;
mod finger;
mod frame;
mod guidance;
mod id;
mod item;
mod parcel;
mod predemande;
mod procedure;
mod recepisse;
mod selection;
mod state;

pub use calendar::close_of_next_working_day;
pub use draft::{
    Decision, Destruction, Dossier, Draft, Field, FieldError, FieldSource, Kind, Missing, MissingWhat,
    Opening, Unfinished,
};
pub use finger::{FingerPosition, Hand, MissingReason};
pub use frame::{Bounds, FingerSegment, FingerprintMeta, Frame, FrameInfo, FrameKind, PixelFormat};
pub use guidance::Guidance;
pub use id::{AgentId, DemandeNumber, DossierId, IdError, ItemName, PreDemandeNumber, StationId};
pub use item::{Content, Criterion, Item, ItemRecord, MediaType, Provenance, Source};
pub use parcel::{Parcel, Receipt, ReceiptKind};
pub use predemande::PreDemande;
pub use procedure::{
    DocumentRule, FieldRule, FingerprintRule, Procedure, ProcedureError, ProcedureRef, SelectionOrder, Step,
    StepKind,
};
pub use recepisse::{Recepisse, RecepisseStatus};
pub use selection::{Choice, ChoiceReason, PassedOver, Selection, select};
pub use state::{Actor, Durable, Event, Refused, State, TRANSITIONS, Transition, next};

/// SHA-256 of some bytes in lower-case hexadecimal, as manifests and audit lines write it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        })
}
