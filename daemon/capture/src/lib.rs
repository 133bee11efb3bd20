//! Frame to Item: pure functions on pixels.
//!
//! Each folder takes a [`Frame`](recueil_dossier::Frame) and a part of the [`Profile`], and gives a picture
//! that can be encoded, or a [`Refusal`] that says why not:
//! [`fingerprint`], [`face`], [`document`], [`signature`]; [`barcode`] reads one number off a page, and
//! [`preview`] makes what a client is shown meanwhile.
//!
//! Invariant: the same pixels and profile give the same answer. Nothing here does input or output, reads a
//! clock, starts a thread, or keeps anything. Pixels lie in buffers that are wiped when dropped; where
//! another crate's encoder or decoder keeps copies of its own, the function says so. What is *not* here:
//! sessions, attempts and selection (`analyser`, `recueild`), and the trust in what a frame says of itself
//! ([`FrameInfo::check`](recueil_dossier::FrameInfo::check) is repeated here, since it is cheap).
//!
//! ```
//! let text = include_str!("../../../config/profiles/cni.toml");
//! let profile = recueil_capture::Profile::parse(text).unwrap();
//! assert_eq!((profile.photo.width_px, profile.photo.height_px), (622, 800));
//! ```

pub mod barcode;
pub mod document;
pub mod face;
pub mod fingerprint;
pub mod preview;
pub mod signature;

mod encoded;
mod error;
mod number;
mod picture;
mod profile;
mod refusal;

pub use encoded::Encoded;
pub use error::Error;
pub use picture::{Gray, Picture, Raster, Rgb, View};
pub use profile::{FingerprintProfile, PageProfile, PhotoProfile, Profile, SignatureProfile};
pub use refusal::Refusal;
