//! The store is killed at every single one of its system calls (strace, Debian package `strace`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::story::{check_and_finish, journey};
use common::*;
use recueil_dossier::State;

/// Set for the child: the folder it works in.
const FOLDER: &str = "RECUEIL_STORE_TEST_FOLDER";
/// Every call that changes what is on a disk.
const CALLS: &str =
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,fchmod";

#[test]
fn the_journey_ends() {
    let own = tempfile::tempdir().unwrap();
    let root = std::env::var_os(FOLDER).map_or(own.path().to_owned(), Into::into);
    journey(&config_in(&root), |promise| println!("promise: {promise}")).unwrap();
    assert_eq!(
        open_in(&config_in(&root), 7).unwrap().state(draft(1).id).unwrap(),
        State::Ingested
    );
}

/// Runs the journey under strace and gives what it promised before it ended.
fn child(root: &Path, strace: &[&str], log: &Path) -> String {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "0", "-o"])
        .arg(log)
        .args(strace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "the_journey_ends", "--nocapture", "--test-threads=1"])
        .env(FOLDER, root)
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::null())
        .output()
        .expect("Debian package strace");
    String::from_utf8(output.stdout).unwrap()
}

fn calls_of_a_journey(calls: &str) -> Vec<String> {
    let (root, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = logs.path().join("log");
    let promises = child(root.path(), &["-e", &format!("trace={calls}")], &log);
    assert!(promises.contains("promise: ingested"), "{promises}");
    std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Disturbs each call of the journey once, and looks at what is left.
fn disturb_every_call(which: &str, how: &str) {
    let calls = calls_of_a_journey(which);
    assert!(calls.len() > 30, "{}", calls.len());
    let (next, disturbed) = (AtomicUsize::new(1), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _worker in 0..4 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number > calls.len() {
                        return;
                    }
                    let (root, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
                    let inject = format!("inject={which}:{how}:when={number}");
                    let promises = child(
                        root.path(),
                        &["-e", &format!("trace={which}"), "-e", &inject],
                        &logs.path().join("log"),
                    );
                    if !promises.contains("promise: ingested") {
                        disturbed.fetch_add(1, Ordering::Relaxed);
                    }
                    check_and_finish(
                        root.path(),
                        &promises,
                        &format!("{how} at call {number}: {}", calls[number - 1]),
                    );
                }
            });
        }
    });
    // The loader's and the test's own calls are among them, and some failures are ridden out.
    let disturbed = disturbed.into_inner();
    assert!(disturbed > 15, "the journey was cut at {disturbed} points only");
}

#[test]
fn killed_at_any_call_nothing_is_lost_or_doubled() {
    disturb_every_call(CALLS, "signal=KILL");
}

#[test]
fn a_file_has_its_name_only_once_its_bytes_are_on_the_disk() {
    let calls = calls_of_a_journey(CALLS);
    let mut renames = 0;
    for (index, call) in calls
        .iter()
        .enumerate()
        .filter(|(_, call)| call.contains(" renameat("))
    {
        renames += 1;
        let unfinished = call.split(['"']).nth(1).unwrap();
        let synced = calls[..index]
            .iter()
            .rev()
            .find(|call| call.contains(unfinished))
            .unwrap();
        assert!(synced.contains(" fsync("), "before {call}: {synced}");
        let folder = call.split(['<', '>']).nth(1).unwrap();
        let after = &calls[index + 1];
        assert!(
            after.contains(" fsync(") && after.contains(&format!("<{folder}>")),
            "after {call}: {after}"
        );
    }
    assert_eq!(renames, 6, "four items, a replacement, a parcel");
}
