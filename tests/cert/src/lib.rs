//! The CERT simulator: the other end of `tests/cert/PROTOCOL.md`, for tests and for the demo.
//!
//! Invariant: it shares no code with `daemon/seal` or `daemon/courier`; what it accepts, it judged by itself.

mod cades;
mod certificate;
mod container;
mod control;
mod der;
mod desk;
mod disk;
mod envelope;
mod error;
mod hex;
mod http;
mod judge;
mod keys;
mod manifest;
mod oid;
mod pki;
mod predemande;
mod problem;
mod receipt;
mod server;
mod xml;
mod zip;

pub use error::Error;
pub use pki::{RECEIPT_USAGE, VALIDITY_DAYS, add_station, init};
pub use server::Server;
