//! Each target on its seeds and on mutations that a number decides: what CI runs in place of a fuzzer. A failure
//! names the input, which is kept.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of a test may fail and print as it does"
)]

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use recueil_fuzz::mutate::{Chance, mutated};
use recueil_fuzz::targets::was_reached;
use recueil_fuzz::{TARGETS, Target, corpus};

/// The number; `RECUEIL_FUZZ_SEED` chooses another.
const SEED: u64 = 20_261_124;

fn seed() -> u64 {
    std::env::var("RECUEIL_FUZZ_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(SEED)
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let dir = corpus().join(target.name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs one input; where it fails, keeps it.
fn run(target: &Target, input: &[u8], what: &str) {
    let run = target.run;
    if catch_unwind(|| run(input)).is_err() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}-failed", target.name));
        std::fs::write(&path, input).unwrap();
        panic!(
            "{}: {what} breaks a promise; the input is kept in {}",
            target.name,
            path.display()
        );
    }
}

/// Targets in as many groups as there are tests, so that they run side by side.
fn smoke(group: usize, groups: usize) {
    let (mut executions, seed) = (0_u64, seed());
    for (index, target) in TARGETS
        .iter()
        .enumerate()
        .filter(|(index, _)| index % groups == group)
    {
        let started = Instant::now();
        let known = seeds(target);
        for (number, input) in known.iter().enumerate() {
            run(target, input, &format!("seed {number}"));
        }
        assert!(
            was_reached(target.name),
            "no seed of {} comes to where it checks anything",
            target.name
        );
        let mut chance = Chance(seed ^ u64::try_from(index).unwrap());
        for number in 0..target.smoke {
            let input = mutated(&known, &mut chance);
            run(target, &input, &format!("mutation {number} of seed {seed}"));
        }
        let count = u64::try_from(known.len()).unwrap() + u64::from(target.smoke);
        println!(
            "{:18} {count:6} executions {:6.2} s",
            target.name,
            started.elapsed().as_secs_f64()
        );
        executions += count;
    }
    println!("{executions} executions, seed {seed}");
}

#[test]
fn every_promise_holds_on_seeds_and_their_mutations_1_of_4() {
    smoke(0, 4);
}

#[test]
fn every_promise_holds_on_seeds_and_their_mutations_2_of_4() {
    smoke(1, 4);
}

#[test]
fn every_promise_holds_on_seeds_and_their_mutations_3_of_4() {
    smoke(2, 4);
}

#[test]
fn every_promise_holds_on_seeds_and_their_mutations_4_of_4() {
    smoke(3, 4);
}
