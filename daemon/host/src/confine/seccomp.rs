//! Which system calls are answered, and how: one filter before loading, one more after.
//!
//! What is not known gets `ENOSYS`, never `EPERM`: a C library of tomorrow tries a new call first and falls
//! back to the old one on `ENOSYS` only.

use super::calls;
use super::filter::{self, Rule, Verdict, program};

/// Why a filter could not be installed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be made.
    #[error("{0}")]
    Make(#[from] filter::Error),
    /// The kernel refuses it.
    #[error("the kernel does not take a filter")]
    Install(#[from] seccompiler::Error),
}

/// The filter for loading. Holds every thread there is.
pub(super) fn before_loading() -> Result<(), Error> {
    let own_pid = rustix::process::getpid().as_raw_pid().unsigned_abs();
    let rules = with(Verdict::Kill, calls::deadly())
        .chain(with(Verdict::Refuse(libc::EPERM), calls::refused(own_pid)))
        .chain(with(Verdict::Allow, calls::allowed(own_pid)));
    install(rules, Verdict::Refuse(libc::ENOSYS))
}

/// The filter that comes on top when the plugin is loaded; the kernel takes the more severe answer of the two.
/// Holds every thread there is.
pub(super) fn after_loading() -> Result<(), Error> {
    install(
        with(Verdict::Refuse(libc::EPERM), calls::for_loading_only()),
        Verdict::Allow,
    )
}

fn with(verdict: Verdict, rules: Vec<Rule>) -> impl Iterator<Item = (Rule, Verdict)> {
    rules.into_iter().map(move |rule| (rule, verdict))
}

fn install(rules: impl Iterator<Item = (Rule, Verdict)>, otherwise: Verdict) -> Result<(), Error> {
    let program = program(rules.collect(), otherwise)?;
    seccompiler::apply_filter_all_threads(&program)?;
    Ok(())
}
