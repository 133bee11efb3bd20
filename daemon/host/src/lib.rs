//! recueil-device-host: one plugin, one device, in a sandbox.
//!
//! hostd starts it with the control socket as standard input and sends the plugin's library and the device as
//! descriptors ([`recueil_wire::host`]). The host confines itself, loads the library through its descriptor,
//! opens the device, and runs captures one after the other; pictures go over the frame socket
//! ([`recueil_wire::frames`]) in memory of the analyser's.
//!
//! | module | is |
//! |---|---|
//! | `hardening`, `confine` | what holds the process, before any of the vendor's code runs |
//! | `control` | the main thread: hostd's messages, the contract's `[main]` calls |
//! | `device` | the device thread: the contract's `[dev]` calls |
//! | `services` | the host functions, all `[any]`; `frames`, `capture`, `blobs`, `log`, `threads` keep their state |
//! | `ffi` | all that is unsafe |
//!
//! Invariant: the only `dlopen`, and confined before the first vendor instruction. What is *not* here:
//! deadlines, which hostd keeps by killing; admission of plugins; any look at a pixel.

mod blobs;
mod capture;
mod confine;
mod control;
mod device;
mod ffi;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod hardening;
mod identity;
mod layout;
mod log;
mod refusal;
mod services;
mod threads;

use recueil_wire::Socket;

/// Why a host ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// hostd is gone, or this was not started by it.
    #[error("control socket")]
    Socket(#[from] recueil_wire::Error),
    /// hostd said something that does not belong there.
    #[error("hostd broke the protocol: {0}")]
    Protocol(&'static str),
    /// The plugin cannot be used; hostd was told why.
    #[error("the plugin is refused at stage {0:?}")]
    Refused(&'static str),
    /// The system refused.
    #[error("system call")]
    System(#[from] rustix::io::Errno),
}

/// Serves one device. To be called once, first thing in `main`: it closes every descriptor but the standard
/// ones.
///
/// # Errors
/// Whatever ended it but hostd's `Close`.
pub fn run() -> Result<(), Error> {
    ffi::process::close_inherited()?;
    let control = Socket::new(recueil_wire::inherited_socket()?);
    hardening::apply()?;
    control::serve(control)
}

/// Ends the process, without destructors: the vendor's code is still loaded, and may still run.
pub fn end(code: i32) -> ! {
    ffi::process::end(code)
}
