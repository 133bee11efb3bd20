//! Dossier → Parcel, receipts verified, CERT's answers opened: profile CERT-CMS-1 and the receipts of
//! `tests/cert/PROTOCOL.md`.
//!
//! Invariant: pure, given keys, time and randomness. What is *not* here: files, sockets, clocks, and any way to
//! open a parcel: after [`seal()`] the station cannot read it again.
//!
//! ```text
//! ContentInfo AuthEnvelopedData           envelope   keys: agreement
//!   └ ZIP, ASiC-E                         container
//!      ├ dossier.json, items              manifest
//!      └ ASiCManifest, CAdES signature    cades      asn1, certificate
//! ```
//! A real CERT with another container replaces this crate and nothing else.
//!
//! DER is written and read by hand ([`asn1`](self) in 200 lines) because the profile is nearly all constants;
//! certificates, which are not, are parsed by `x509-cert`.

mod agreement;
mod asn1;
mod cades;
mod certificate;
mod container;
mod envelope;
mod error;
mod keys;
mod manifest;
mod open;
mod receipt;
mod seal;

pub use certificate::Roots;
pub use error::{Error, Party};
pub use keys::{OpeningKey, Recipient, SealingKey};
pub use manifest::Clock;
pub use open::open_envelope;
pub use receipt::{ExpectedReceipt, RECEIPT_MAX_BYTES, ReceiptTrust, verify_receipt};
pub use seal::{SealContext, seal};
