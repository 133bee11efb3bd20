//! What the courier gives up before it does anything.

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

use crate::Error;

/// Refuses to be root, and makes the process leave nothing behind: not dumpable, no core file, files of its
/// own for itself alone unless said otherwise.
///
/// # Errors
/// [`Error::Root`], [`Error::System`].
pub fn harden() -> Result<(), Error> {
    if rustix::process::geteuid().is_root() || rustix::process::getuid().is_root() {
        return Err(Error::Root);
    }
    rustix::process::umask(Mode::RWXO);
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|errno| Error::system("making the process not dumpable", errno))?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)
        .map_err(|errno| Error::system("forbidding core files", errno))
}
