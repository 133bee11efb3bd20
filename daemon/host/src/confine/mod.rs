//! What holds a host before the first instruction of the vendor's code, and what is added once it is loaded.
//!
//! Order: limits, landlock, then seccomp ([`Confined::enter`]); the library is loaded, the device opened; then
//! [`Confined::tighten`]. Landlock holds the calling thread and those that it starts, so `enter` is called
//! while there is only one.

mod calls;
mod filter;
mod landlock;
mod limits;
mod seccomp;

use std::os::fd::BorrowedFd;

use recueil_wire::host::{Confinement, Sandbox};

/// A process that is confined as far as was asked.
#[derive(Debug)]
pub(crate) struct Confined {
    landlock_abi: u32,
    seccomp: bool,
    must_hold: bool,
}

impl Confined {
    /// Confines this process. The library may be read in addition to `sandbox.read_dirs`.
    ///
    /// # Errors
    /// What cannot be had, in words, unless the administrator allows this plugin to run without.
    pub(crate) fn enter(sandbox: &Sandbox, library: BorrowedFd<'_>) -> Result<Self, String> {
        limits::apply(sandbox.memory_mib).map_err(|errno| format!("limits cannot be set: {errno}"))?;
        let must_hold = !sandbox.allow_unsandboxed;
        let landlock_abi = match landlock::restrict(&sandbox.read_dirs, library, sandbox.landlock_abi_max) {
            Ok(0) if must_hold => return Err("landlock is not enabled on this kernel".to_owned()),
            Ok(abi) => abi,
            Err(error) if must_hold => return Err(format!("landlock: {error}")),
            Err(_may_run_without) => 0,
        };
        let seccomp = match seccomp::before_loading() {
            Ok(()) => true,
            Err(error) if must_hold => return Err(format!("seccomp: {error}")),
            Err(_may_run_without) => false,
        };
        Ok(Self {
            landlock_abi,
            seccomp,
            must_hold,
        })
    }

    /// Takes away, from every thread, what only loading needed: opening files and new code.
    ///
    /// # Errors
    /// As [`Confined::enter`].
    pub(crate) fn tighten(mut self) -> Result<Confinement, String> {
        if self.seccomp {
            match seccomp::after_loading() {
                Ok(()) => {}
                Err(error) if self.must_hold => return Err(format!("seccomp: {error}")),
                Err(_may_run_without) => self.seccomp = false,
            }
        }
        Ok(Confinement {
            landlock_abi: self.landlock_abi,
            seccomp: self.seccomp,
        })
    }
}
