//! The power goes at thousands of points of the story (FUSE, tests/faultfs): what was not synced is dropped, torn and
//! reordered as the seed says, and nothing that was promised is lost, nothing has two fates, nothing is erased early.
//!
//! The story is run once and written down; each cut builds what survives it from there. `RECUEIL_FAULTS_SEED` and
//! `RECUEIL_FAULTS_CUTS` choose the first seed and how many (`cargo xtask faults`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use common::disk::{Disk, each, room};
use common::story::{check_and_finish, journey};
use common::*;
use recueil_faultfs::{Random, number_from, skipped, survivors};

/// Cuts in a run of CI.
const CUTS: u64 = 2000;

#[test]
fn a_power_cut_at_any_point_loses_doubles_and_erases_nothing() {
    if skipped() {
        return;
    }
    let (seed, cuts) = (
        number_from("RECUEIL_FAULTS_SEED", 1),
        number_from("RECUEIL_FAULTS_CUTS", CUTS),
    );
    let disk = Disk::new();
    journey(&config_in(disk.fs.path()), |promise| disk.fs.mark(promise)).unwrap();
    let log = disk.fs.log();
    drop(disk);
    let begun = std::time::Instant::now();
    let (repaired, points) = (AtomicU64::new(0), Mutex::new(BTreeSet::new()));
    each(cuts, |number| {
        let seed = seed + number - 1;
        let line = Random::new(seed).below(log.len() + 1);
        let root = room();
        survivors(&log, line, seed).write_to(root.path()).unwrap();
        let promises: String = log
            .marks_before(line)
            .flat_map(|mark| ["promise: ", mark, "\n"])
            .collect();
        let after = log.calls().find(|(at, _)| *at >= line);
        let after = after.map_or("the end".to_owned(), |(_, call)| call.to_string());
        let context = format!("power cut, seed {seed}, before line {line} ({after})");
        if check_and_finish(root.path(), &promises, &context) {
            repaired.fetch_add(1, Ordering::Relaxed);
        }
        points.lock().unwrap().insert(line);
    });
    let (repaired, points) = (repaired.into_inner(), points.into_inner().unwrap().len());
    eprintln!(
        "store: {cuts} power cuts, seeds {seed} to {}, at {points} of {} points: 0 lost, 0 doubled, 0 erased early; \
         {repaired} starts had something to repair ({:?})",
        seed + cuts - 1,
        log.len() + 1,
        begun.elapsed()
    );
    assert!(repaired > 0, "the cuts did no harm at all: they show nothing");
}

/// The counterproof: without the sync of a folder, a cut does take what was promised.
#[test]
fn a_store_whose_disk_forgets_one_kind_of_sync_is_caught() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    journey(&config_in(disk.fs.path()), |promise| disk.fs.mark(promise)).unwrap();
    let log = disk.fs.log().without_syncs_of(|path| path.ends_with("-wal"));
    let caught = (0..200).any(|seed| {
        let line = Random::new(seed).below(log.len() + 1);
        let root = room();
        survivors(&log, line, seed).write_to(root.path()).unwrap();
        let opened = log.marks_before(line).any(|mark| mark == "opened");
        let store = open_in(&config_in(root.path()), 7);
        opened && store.is_ok_and(|store| store.entry(draft(1).id).is_err())
    });
    assert!(caught, "a lost dossier was not seen");
}
