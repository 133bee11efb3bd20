//! A file system in memory, mounted by FUSE under the state folders of a test, so that the product needs no seam.
//!
//! It writes down every call with who made it ([`Entry`]), disturbs one of them as a [`Plan`] says (fails it,
//! holds it, kills its caller just before or just after it, cuts the power), and knows what of all that was written
//! is sure to be on the disk: what was synced. A [power cut](survivors) drops, tears and reorders the rest, from a
//! seed, so that a recorded run can be cut at thousands of points without being run again.
//!
//! Invariant: what a program sees while the power is on is what any file system shows; only a plan or a cut makes
//! a difference. Names are UTF-8, links of the symbolic kind are not made. What is *not* here: anything of the
//! product.
//!
//! Needs `/dev/fuse`, and root or `fusermount3` (Debian package fuse3); [`missing`] says what is not there.

mod asked;
mod cut;
mod disk;
mod log;
mod mount;
mod plan;
mod serve;
mod tree;

pub use asked::{number_from, skipped};
pub use cut::{Random, survivors};
pub use log::{Call, Entry, Kind, Log};
pub use mount::{Error, FaultFs, missing};
pub use plan::{Action, Moment, Plan};
pub use rustix::io::Errno;
pub use tree::Tree;
