//! What the process takes away from itself before it is given anything.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::Error;

/// No core dump, and no other process of the same user may read this one's memory. The rest is its unit's.
///
/// # Errors
/// [`Error::System`] if the system refuses.
pub fn harden() -> Result<(), Error> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Ok(setrlimit(Resource::Core, none)?)
}
