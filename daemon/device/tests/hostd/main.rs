//! hostd as `recueild` and the machine see it, with a fake host in the place of `recueil-device-host`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is the failure of the test"
)]

mod connection;
mod faults;
mod life;
mod plugins;
mod process;
mod quarantine;
mod station;
mod virtual_device;
