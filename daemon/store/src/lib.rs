//! Drafts, states, audit journal and outbox: the only code of `recueild` that makes data durable.
//!
//! Invariant: when a call returns, what it says is on the disk; when it fails, nothing is told that is not.
//! Nothing plain is ever written: items and drafts lie encrypted with their dossier's own key, that key lies
//! wrapped by the storage key, and a sealed parcel cannot be read here at all. What is *not* here: rules
//! (`dossier`), containers and signatures (`seal`), the network (`courier`), a clock: times are given.
//!
//! Calls block; `recueild` makes them on a thread of their own. A [`Store`] goes to one thread at a time.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use recueil_store::{Config, Filter, StorageKey, Store};
//! # let folder = tempfile::tempdir()?;
//! # let config = Config { state_dir: folder.path().join("state"), ready_dir: folder.path().join("ready") };
//! let key = StorageKey::new(&zeroize::Zeroizing::new([7; 32]));
//! let store = Store::open(&config, key, jiff::Timestamp::now())?;
//! assert!(store.list(&Filter::default(), None, 50)?.entries.is_empty());
//! # Ok(()) }
//! ```
//!
//! | step | order on the disk |
//! |---|---|
//! | item accepted | its file, then the draft's data and the item's row in one transaction, then the old file's removal |
//! | sealed | the parcel under no name, its facts, its name in `ready/`, then state and destroyed key in one transaction, then the items' removal |
//! | cancelled, expired | the key destroyed, the items removed, then the state |
//! | R2, acknowledged refusal | the receipt with the state, then the parcel's removal |
//!
//! The courier may send a parcel from the moment it has its name. So a seal that was cut after that moment is
//! finished at the next opening, never begun again: the dossier would have two fates. Where it was the full disk that
//! cut it, it is finished as soon as there is room ([`Store::settle`]).

mod audit;
mod crypt;
mod dossier;
mod draft;
mod error;
mod files;
mod index;
mod outcome;
mod recover;
mod reserve;
mod row;
mod seal;
mod store;
mod token;

pub use audit::AuditLine;
pub use crypt::StorageKey;
pub use dossier::{ArchivedReceipt, Entry, Filter, Page, Sealed};
pub use draft::Ending;
pub use error::Error;
pub use recover::Recovery;
pub use reserve::Reserve;
pub use seal::SealedFacts;
pub use store::{Config, Stamp, Store};
pub use token::Answered;
