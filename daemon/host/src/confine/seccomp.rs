//! Which system calls are answered, and how.
//!
//! Filters are stacked: the kernel runs all and takes the most severe answer; of two error numbers that of the
//! filter installed last. So the first says `ENOSYS` to all that is not on the list of what is allowed, the
//! second says `EPERM` to what is refused on purpose, and the third kills for calls that no driver makes.
//!
//! What is not known gets `ENOSYS`, never `EPERM`: a C library of tomorrow tries a new call first and falls
//! back to the old one on `ENOSYS` only.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

use super::calls;

/// Why a filter could not be installed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No filters are known for this processor, or one of ours is wrong.
    #[error("a filter cannot be made for this processor")]
    Make(#[from] seccompiler::BackendError),
    /// The kernel refuses it.
    #[error("the kernel does not take a filter")]
    Install(#[from] seccompiler::Error),
}

/// What an argument must be for a rule to hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Argument {
    pub(super) index: u8,
    pub(super) length: Length,
    pub(super) is: Is,
}

/// How much of an argument the kernel looks at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Length {
    /// An `int`: the upper half is noise.
    Int,
    /// A pointer or a `long`.
    Long,
}

/// A comparison.
#[derive(Debug, Clone, Copy)]
pub(super) enum Is {
    /// Exactly this.
    Equal(u64),
    /// Anything but this.
    Not(u64),
    /// The bits of the first are those of the second.
    Bits(u64, u64),
}

/// A call by its number, with all that must hold of its arguments. Several rules for one number: any of them.
pub(super) type Rule = (i64, Vec<Argument>);

/// The filters for loading. Holds every thread there is.
pub(super) fn before_loading() -> Result<(), Error> {
    let own_pid = u64::try_from(rustix::process::getpid().as_raw_pid()).unwrap_or(0);
    install(calls::allowed(own_pid), SeccompAction::Allow, errno(libc::ENOSYS))?;
    install(calls::refused(own_pid), errno(libc::EPERM), SeccompAction::Allow)?;
    install(calls::deadly(), SeccompAction::KillProcess, SeccompAction::Allow)
}

/// The filter that comes on top when the plugin is loaded. Holds every thread there is.
pub(super) fn after_loading() -> Result<(), Error> {
    install(
        calls::for_loading_only(),
        errno(libc::EPERM),
        SeccompAction::Allow,
    )
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn install(rules: Vec<Rule>, on_match: SeccompAction, otherwise: SeccompAction) -> Result<(), Error> {
    let mut chains: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for (call, arguments) in rules {
        let chain = chains.entry(call).or_default();
        if !arguments.is_empty() {
            let conditions: Result<Vec<_>, _> = arguments.into_iter().map(condition).collect();
            chain.push(SeccompRule::new(conditions?)?);
        }
    }
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program: BpfProgram = SeccompFilter::new(chains, otherwise, on_match, arch)?.try_into()?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(())
}

fn condition(argument: Argument) -> Result<SeccompCondition, seccompiler::BackendError> {
    let length = match argument.length {
        Length::Int => SeccompCmpArgLen::Dword,
        Length::Long => SeccompCmpArgLen::Qword,
    };
    let (operator, value) = match argument.is {
        Is::Equal(value) => (SeccompCmpOp::Eq, value),
        Is::Not(value) => (SeccompCmpOp::Ne, value),
        Is::Bits(mask, value) => (SeccompCmpOp::MaskedEq(mask), value),
    };
    SeccompCondition::new(argument.index, length, operator, value)
}
