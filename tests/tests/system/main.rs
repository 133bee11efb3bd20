//! The package on a real system: systemd starts the services under their users and sandboxes, the real bus and the
//! real polkit decide who may what. Each test boots a Debian of its own.

mod journey;
mod machine;
mod package;
mod privacy;
mod probes;
mod separation;
mod station;
