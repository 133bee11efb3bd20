//! `recueil-courier`: parcels out, receipts in, the only network.
//!
//! Invariant: it cannot read what it carries, and it deletes nothing but its own files. A parcel is sent as it
//! lies in `ready/`, any number of times, until CERT's receipt for it lies in `receipts/`; whether a receipt is
//! true is `recueild`'s to judge, and only `recueild` takes the parcel away. What is *not* here: keys of
//! dossiers, the system bus, the store.
//!
//! | module | knows |
//! |---|---|
//! | `cert` | CERT's protocol (`tests/cert/PROTOCOL.md`); another CERT replaces this one module |
//! | `files` | the folders shared with `recueild` |
//! | `socket` | the conversation with `recueild` |
//! | `lanes` | one parcel's way, and one receipt's |
//! | `courier` | its life: what it opens and waits for |
//! | `desk` | every parcel, who is next and when |
//!
//! Data go one way: `ready/` → lane → CERT → lane → `receipts/`. The desk owns all state; lanes and look-ups
//! are tasks of one thread that tell it what happened.

mod cert;
mod config;
mod courier;
mod desk;
mod error;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod harden;
mod lanes;
mod lookups;
mod patience;
mod socket;

pub use config::Config;
pub use courier::{Courier, run};
pub use error::Error;
pub use harden::harden;
