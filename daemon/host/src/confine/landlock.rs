//! Which files may be opened: read and execute beneath a few folders, the library, nothing else.

use std::os::fd::BorrowedFd;

use landlock::{
    ABI, Access, AccessFs, AccessNet, LandlockStatus, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

/// In the order of their numbers, from 1.
const ABIS: [ABI; 10] = [
    ABI::V1,
    ABI::V2,
    ABI::V3,
    ABI::V4,
    ABI::V5,
    ABI::V6,
    ABI::V7,
    ABI::V8,
    ABI::V9,
    ABI::V10,
];

/// Restricts this thread and those that it starts, with what the kernel knows up to `abi_max`. Gives the ABI in
/// force, 0 if there is none. A folder that does not exist grants nothing.
pub(super) fn restrict(
    read_dirs: &[String],
    library: BorrowedFd<'_>,
    abi_max: u32,
) -> Result<u32, RulesetError> {
    let allowed = usize::try_from(abi_max).unwrap_or(ABIS.len());
    let Some(wanted) = ABIS.iter().copied().take(allowed).next_back() else {
        return Ok(0);
    };

    let mut ruleset = Ruleset::default().handle_access(AccessFs::from_all(wanted))?;
    if wanted >= ABI::V4 {
        ruleset = ruleset.handle_access(AccessNet::from_all(wanted))?;
    }
    if wanted >= ABI::V6 {
        ruleset = ruleset.scope(Scope::from_all(wanted))?;
    }
    let status = ruleset
        .create()?
        .add_rules(path_beneath_rules(read_dirs, AccessFs::from_read(wanted)))?
        .add_rule(PathBeneath::new(library, AccessFs::ReadFile))?
        .restrict_self()?;

    let known = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            effective_abi
        }
        _ => return Ok(0),
    };
    let in_force = ABIS.iter().take_while(|abi| **abi <= known.min(wanted)).count();
    Ok(u32::try_from(in_force).unwrap_or(0))
}
