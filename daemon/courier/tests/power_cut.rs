//! The power goes at seeded points of the courier's work (FUSE, tests/faultfs), and comes back: CERT, which kept its own,
//! has one dossier, and the station both receipts, whole.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::disk::{Stop, Story};
use recueil_faultfs::{Action, Plan, Random, number_from, skipped};
use tokio::task::JoinSet;

/// Couriers at once.
const AT_ONCE: usize = 4;
/// Cuts in a run of CI.
const CUTS: usize = 120;

async fn cut(nth: usize, seed: u64) {
    let story = Story::new().await;
    story.fs.arm(Plan::new(nth, Action::Cut, |_every| true));
    let first = story.run(true).await;
    let at = story.fs.disarm();
    let context = format!("power cut at call {nth}, seed {seed}: {at:?}");
    if at.is_some() {
        assert!(!matches!(first, Stop::Ended) || story.fs.is_dark(), "{context}");
        story.fs.cut(seed);
        let second = story.run(false).await;
        assert!(matches!(second, Stop::Ended), "{context}: {second:?}");
    }
    story.check(&context).await;
}

#[tokio::test]
async fn a_power_cut_at_any_point_costs_the_courier_nothing() {
    if skipped() {
        return;
    }
    let story = Story::new().await;
    assert!(matches!(story.run(false).await, Stop::Ended));
    let calls = story.fs.log().calls().count();
    story.check("undisturbed").await;
    let (seed, cuts) = (
        number_from("RECUEIL_FAULTS_SEED", 1),
        number_from("RECUEIL_FAULTS_COURIER_CUTS", CUTS),
    );
    let begun = std::time::Instant::now();
    let mut runs = JoinSet::new();
    for index in 0..cuts {
        let seed = u64::try_from(seed + index).unwrap();
        let nth = 1 + Random::new(seed).below(calls);
        while runs.len() >= AT_ONCE {
            runs.join_next().await.unwrap().unwrap();
        }
        runs.spawn(cut(nth, seed));
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
    eprintln!(
        "courier: {cuts} power cuts over {calls} calls, seeds {seed} to {}: one dossier, both receipts ({:?})",
        seed + cuts - 1,
        begun.elapsed()
    );
}
