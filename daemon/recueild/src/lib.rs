//! `recueild`: the bus name, the open dossiers, the rules, the keys, the store. It wires the stages together.
//!
//! Actors: one `station` knows who works and who holds what; one `dossier` a dossier in use owns its
//! draft; one `capture` a capture runs analyser and device. Each owns its state and takes messages; none waits
//! for one above it. The store has a thread of its own.
//!
//! Invariant: no pixel comes here, and nothing is reported as accepted before it is durable. What is *not*
//! here: any rule (`dossier`), format (`seal`, `capture`) or interface (`bus`).

mod analyser;
mod capture;
mod config;
mod courier;
mod devices;
mod dossier;
#[doc(hidden)]
pub mod fuzzing;
mod keys;
mod link;
mod quotas;
mod receipts;
mod rules;
mod serve;
mod shop;
mod station;
mod storage;

pub use serve::{Arguments, Ended, run};
