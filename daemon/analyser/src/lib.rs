//! One capture session: frames in, assessments and chosen records out.
//!
//! The process of [`recueil_wire::analyser`] and [`recueil_wire::frames`] around `recueil-capture`. It is the
//! only place where a device's pixels are looked at. One thread waits for three sockets: `recueild`'s, the
//! device host's, and a client's preview stream, which is only ever written to when it can take something.
//!
//! Invariant: it ends with its session, writes no file, and has no key, store, bus or network. Pixels lie in
//! memory that is wiped; shared memory is copied once, then overwritten, before anything is parsed. What is
//! *not* here: attempts, selection and rules (`recueild`), pictures (`recueil-capture`).

mod assess;
mod error;
mod guide;
mod harden;
mod lent;
mod preview;
mod session;
mod tries;

pub use error::Error;
pub use harden::harden;
pub use session::run;
