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
//! DER is written and read by hand, in 200 lines, because the profile is nearly all constants; certificates,
//! which are not, are parsed by `x509-cert`.
//!
//! ```no_run
//! use recueil_seal::{Clock, Recipient, Roots, SealContext, SealingKey, seal};
//! # fn sealed(
//! #     dossier: recueil_dossier::Dossier, station: &recueil_dossier::StationId, now: jiff::Timestamp,
//! #     pkcs8: &[u8], own: &[u8], root: &[u8], cert: &[u8], escrow: &[u8],
//! # ) -> Result<recueil_dossier::Parcel, recueil_seal::Error> {
//! let rng = ring::rand::SystemRandom::new();
//! let key = SealingKey::from_pkcs8_der(pkcs8, own, &rng)?;
//! let roots = Roots::from_der(&[root])?;
//! let recipients = [
//!     Recipient::from_certificate_der(cert, &roots, now)?,
//!     Recipient::from_certificate_der(escrow, &roots, now)?,
//! ];
//! let context = SealContext {
//!     station,
//!     sequence: 1,
//!     now,
//!     clock: Clock::Synchronised,
//!     application: concat!("recueil ", env!("CARGO_PKG_VERSION")),
//!     key: &key,
//!     recipients: &recipients,
//! };
//! seal(dossier, &context, &rng)
//! # }
//! ```

mod agreement;
mod asn1;
mod cades;
mod certificate;
mod container;
mod envelope;
mod error;
#[doc(hidden)]
pub mod fuzzing;
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
