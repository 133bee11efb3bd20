//! Every call that the courier makes on its disk fails, each with each error, once and from then on (FUSE,
//! tests/faultfs): it tells of it or ends, and with the disk in order again there is one dossier and both receipts.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::disk::{Stop, Story};
use common::{listed, order};
use recueil_courier::Error;
use recueil_dossier::ReceiptKind;
use recueil_faultfs::{Action, Errno, Kind, Plan, Random, number_from, skipped};
use tokio::task::JoinSet;

/// Couriers at once: most of the time each waits to try again.
const AT_ONCE: usize = 8;
const ERRORS: [Errno; 4] = [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::MFILE];

async fn disturbed(nth: usize, action: Action) {
    let story = Story::new().await;
    story.fs.arm(Plan::new(nth, action, |_every| true));
    let lasts = matches!(action, Action::FailOn(_));
    let first = story.run(lasts).await;
    // The order of its two lanes' calls is not always the same, so the last ones may be missed.
    let met = story.fs.disarm();
    let context = format!(
        "{action:?} at call {nth}: {}",
        met.as_ref().map_or("none".to_owned(), ToString::to_string)
    );
    if met.is_some_and(|met| matches!(met.kind, Kind::Sync | Kind::SyncFolder)) {
        let fatal = matches!(&first, Stop::Itself(Error::Durability(_) | Error::File { .. }));
        assert!(fatal, "{context}: a failed fsync did not end it: {first:?}");
    }
    if let Stop::Itself(error) = &first {
        let text = error.chain();
        let named = matches!(error, Error::Durability(_) | Error::File { .. });
        assert!(named && text.contains("os error"), "{context}: {text}");
    }
    if !matches!(first, Stop::Ended) {
        let second = story.run(false).await;
        assert!(matches!(second, Stop::Ended), "{context}: {second:?}");
    }
    story.check(&context).await;
}

#[tokio::test]
async fn a_disk_that_fails_at_any_call_is_told_and_costs_nothing() {
    if skipped() {
        return;
    }
    let story = Story::new().await;
    assert!(matches!(story.run(false).await, Stop::Ended));
    let calls = story.fs.log().calls().count();
    story.check("undisturbed").await;
    let (seed, share) = (
        number_from("RECUEIL_FAULTS_SEED", 1),
        number_from("RECUEIL_FAULTS_SHARE", 4),
    );
    let begun = std::time::Instant::now();
    let mut runs = JoinSet::new();
    let (mut once, mut on) = (0, 0);
    for nth in 1..=calls {
        for (index, errno) in ERRORS.into_iter().enumerate() {
            let chosen = Random::new(u64::try_from(seed * 1000 + nth * 4 + index).unwrap()).below(share) == 0;
            let mut actions = vec![Action::Fail(errno)];
            if chosen {
                actions.push(Action::FailOn(errno));
            }
            (once, on) = (once + 1, on + usize::from(chosen));
            for action in actions {
                while runs.len() >= AT_ONCE {
                    runs.join_next().await.unwrap().unwrap();
                }
                runs.spawn(disturbed(nth, action));
            }
        }
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
    eprintln!(
        "courier: {calls} calls with 4 errors each, {once} times once and {on} times from then on (seed {seed}): one \
         dossier, both receipts ({:?})",
        begun.elapsed()
    );
}

/// Why the courier sets no space aside: a receipt that it cannot keep it asks for again, and CERT has it for ever.
#[tokio::test]
async fn a_receipt_that_finds_the_disk_full_is_told_and_asked_for_again() {
    if skipped() {
        return;
    }
    let story = Story::new().await;
    order(&story.server, r#"{"do":"ingest","mode":"hold"}"#).await;
    story.fs.set_capacity(Some(0));
    let mut courier = story.place.courier(Some(story.server.addr().port())).await;
    for (at_cert, kind, name) in [
        ("stored", ReceiptKind::Stored, "r1"),
        ("ingested", ReceiptKind::Ingested, "r2"),
    ] {
        courier.until_failed(story.id).await;
        let (_, _, parcels) = courier.line().await;
        let told = parcels[0].trouble.clone().unwrap();
        assert!(told.contains("look at free space"), "{name}: {told}");
        assert_eq!(listed(&story.server).await["dossiers"][0]["state"], at_cert);
        assert_eq!(story.place.receipt(story.id, name), None);
        assert!(story.place.parcel_path(story.id).exists(), "{name}");
        story.fs.set_capacity(None);
        courier.until_receipt(story.id, kind).await;
        if name == "r1" {
            story.fs.set_capacity(Some(0));
            courier.news.clear();
            order(&story.server, r#"{"do":"lift"}"#).await;
        }
    }
    courier.stop().await;
    story.check("a full disk, twice").await;
}
