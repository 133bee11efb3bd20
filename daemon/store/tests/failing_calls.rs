//! Every call that the store makes on its disk fails, each with each error, once and from then on (FUSE,
//! tests/faultfs): an error with its name, no lie, and with the disk in order again the story is finished.
//!
//! `RECUEIL_FAULTS_SEED` and `RECUEIL_FAULTS_SHARE` choose which calls fail from then on too (`cargo xtask faults`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::disk::{Disk, each};
use common::story::{check_and_finish, journey};
use common::*;
use recueil_faultfs::{Action, Call, Entry, Errno, Kind, Log, Plan, Random, number_from, skipped};
use recueil_store::Error;

const SHARE: u64 = 4;

/// Every call of an undisturbed story, the closing of the store included.
fn calls() -> Vec<Call> {
    let disk = Disk::new();
    journey(&config_in(disk.fs.path()), |_promise| ()).unwrap();
    disk.fs.log().calls().map(|(_, call)| call.clone()).collect()
}

/// The story with one call failing, and what is left of it.
fn disturbed(nth: u64, action: Action) {
    let disk = Disk::new();
    let root = disk.fs.path();
    disk.fs
        .arm(Plan::new(usize::try_from(nth).unwrap(), action, |_every| true));
    let mut promises = String::new();
    let told = journey(&config_in(root), |promise| {
        promises.extend(["promise: ", promise, "\n"]);
        disk.fs.mark(promise);
    });
    let ended = promises.contains("promise: ingested\n");
    let Some(met) = disk.fs.disarm() else {
        panic!("{action:?} at call {nth}: there are fewer calls");
    };
    let context = format!("{action:?} at call {nth}: {met}");
    assert_eq!(told.is_ok(), ended, "{context}");
    if let Err(error) = &told {
        assert_named(error, action, &context);
    }
    if is_sync(&met) && !is_harmless(&disk.fs.log(), &met, told.is_err()) {
        let fatal = told.as_ref().is_err_and(Error::is_fatal);
        assert!(fatal, "{context}: a failed fsync did not end it: {told:?}");
    }
    check_and_finish(root, &promises, &context);
}

fn is_sync(call: &Call) -> bool {
    matches!(call.kind, Kind::Sync | Kind::SyncFolder)
}

/// `SQLite` keeps to itself what fails when it closes, after all is told; and when it syncs the folder of a new journal,
/// which the store does once more itself before it is open: an opening that fails ends the process in any case.
fn is_harmless(log: &Log, met: &Call, failed: bool) -> bool {
    let disturbed =
        |entry: &&Entry| !matches!(entry, Entry::Call(call) if call.error.is_some() && is_sync(call));
    let told: Vec<&Entry> = log
        .entries()
        .take_while(disturbed)
        .filter(|entry| matches!(entry, Entry::Mark(_)))
        .collect();
    if told
        .iter()
        .any(|entry| matches!(entry, Entry::Mark(text) if text == "ingested"))
    {
        return true;
    }
    let next = log
        .entries()
        .skip_while(disturbed)
        .skip(1)
        .find_map(|entry| match entry {
            Entry::Mark(_) => Some(false),
            Entry::Call(call) if call.kind == met.kind && call.path == met.path => Some(call.error.is_none()),
            Entry::Call(_) => None,
        });
    met.kind == Kind::SyncFolder && told.is_empty() && (failed || next == Some(true))
}

/// A disk that fails is not called a damaged index, and a full one is called full wherever nothing changed.
fn assert_named(error: &Error, action: Action, context: &str) {
    let full = matches!(action, Action::Fail(Errno::NOSPC) | Action::FailOn(Errno::NOSPC));
    let named = match error {
        Error::Full => full,
        Error::Io { .. } | Error::Durability { .. } => true,
        // Its text names the disk as well; SQLite does not tell which it is.
        Error::Corrupt { .. } => matches!(action, Action::Fail(Errno::IO) | Action::FailOn(Errno::IO)),
        _ => false,
    };
    assert!(named, "{context}: {error:?}");
}

fn every_call_fails(errno: Errno) {
    if skipped() {
        return;
    }
    let count = u64::try_from(calls().len()).unwrap();
    let seed = number_from("RECUEIL_FAULTS_SEED", 1_u64);
    // In CI one of so many calls fails from then on; each fails once.
    let share = number_from("RECUEIL_FAULTS_SHARE", SHARE);
    let begun = std::time::Instant::now();
    let from_then_on = std::sync::atomic::AtomicU64::new(0);
    each(count, |nth| {
        disturbed(nth, Action::Fail(errno));
        if Random::new(seed.wrapping_mul(1000) + nth)
            .number()
            .is_multiple_of(share)
        {
            disturbed(nth, Action::FailOn(errno));
            from_then_on.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    eprintln!(
        "store: {errno} at each of {count} calls, and from then on at {} (seed {seed}): 0 lost, 0 doubled, 0 erased \
         early ({:?})",
        from_then_on.into_inner(),
        begun.elapsed()
    );
}

#[test]
fn a_full_disk_at_any_call_is_an_error_and_no_lie() {
    every_call_fails(Errno::NOSPC);
}

#[test]
fn a_failing_disk_at_any_call_is_an_error_and_no_lie() {
    every_call_fails(Errno::IO);
}

#[test]
fn a_disk_gone_read_only_at_any_call_is_an_error_and_no_lie() {
    every_call_fails(Errno::ROFS);
}

#[test]
fn no_descriptor_at_any_call_is_an_error_and_no_lie() {
    every_call_fails(Errno::MFILE);
}
