//! A whole station on a private bus: the real services, the virtual devices, the CERT simulator, each its own
//! process, under its own uid where the tests run as root.
//!
//! Invariant: nothing here reaches into a service; what a test sees it sees as a client, from files that the
//! test made, or from CERT.

mod acting;
mod activator;
mod bus;
mod client;
pub mod clock;
mod disk;
mod faults;
mod folders;
mod handover;
pub mod hostile;
mod plugins;
mod polkit;
mod processes;
mod program;
mod services;
mod station;
mod steps;
mod users;

pub use acting::acting_as;
pub use client::{Captured, Client, Followed, device_path, text};
pub use folders::{Folders, binary, fixtures, project_path};
pub use handover::{At, HandOver, Outcome, Trouble, everybody, say, skipped};
pub use program::Program;
pub use services::{ON_DISK, SERVICES, STARTED};
pub use station::{Options, OwnDisk, STATION, Station};
pub use steps::{Durable, STEPS, Step, Taken, steps_taken};
pub use users::{User, Users};
