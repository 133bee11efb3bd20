//! The CERT simulator: the other end of `tests/cert/PROTOCOL.md`, for tests and for the demo.
//!
//! Invariant: it shares no code with `daemon/seal` or `daemon/courier`; what it accepts, it judged by itself.
//! What is *not* here: a database, a second CERT on the same folder, keys anywhere but in files.
//! What its parcels contain beyond `dossier.json`'s shape and the digests is not judged: pictures are not decoded.
//!
//! ```no_run
//! # async fn example() -> Result<(), recueil_cert::Error> {
//! let dir = std::path::Path::new("/tmp/cert");
//! recueil_cert::init(dir, "MAIRIE-1", recueil_cert::VALIDITY_DAYS)?;
//! let server = recueil_cert::Server::start(dir).await?;
//! let station_keys = dir.join("station");
//! println!("a station with {} may call {}", station_keys.display(), server.addr());
//! assert_eq!(server.control(r#"{"do": "refuse-next"}"#).await, r#"{"ok":true}"#);
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod cades;
mod certificate;
mod container;
mod control;
mod der;
mod desk;
mod disk;
mod envelope;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod hex;
mod http;
mod judge;
mod keys;
mod manifest;
mod oid;
mod open;
mod pki;
mod predemande;
mod problem;
pub mod proxy;
mod receipt;
mod server;
mod wrong;
mod xml;
mod zip;

pub use error::Error;
pub use open::open;
pub use pki::{RECEIPT_USAGE, VALIDITY_DAYS, add_station, init, renew_tls};
pub use server::{Limits, Server};
