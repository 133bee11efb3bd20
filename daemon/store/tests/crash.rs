//! The store is killed, and its system calls fail, at every single one of them (strace, Debian package `strace`).

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

use common::*;
use recueil_dossier::{Draft, Event, ReceiptKind, State};
use recueil_store::{Config, Ending, Error, Store};

/// Set for the child: the folder it works in.
const FOLDER: &str = "RECUEIL_STORE_TEST_FOLDER";
/// Every call that changes what is on a disk.
const CALLS: &str =
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,ftruncate,fchmod";

/// One dossier from draft to R2 and another that is given up, telling each promise once it is made.
fn journey(config: &Config, mut tell: impl FnMut(&str)) -> Result<(), Error> {
    let mut store = open_in(config, 7)?;
    let mut given_up = draft(2);
    store.create_draft(&given_up, &stamp(0))?;
    put(&mut store, &mut given_up, item("photo", payload(22, 3000)))?;
    store.reserve_sequence(given_up.id, &stamp(0))?;
    store.destroy_draft(given_up.id, Ending::Cancelled, &stamp(0))?;
    tell("cancelled");
    let mut draft = draft(1);
    store.create_draft(&draft, &stamp(1))?;
    tell("opened");
    put(&mut store, &mut draft, item("photo", payload(1, 9000)))?;
    tell("photo");
    put(&mut store, &mut draft, item("photo", payload(2, 9000)))?;
    tell("photo again");
    let fingers = [
        item("fingerprint-02", payload(3, 4000)),
        item("fingerprint-07", payload(4, 4000)),
    ];
    for finger in &fingers {
        draft
            .items
            .insert(finger.record.name.clone(), finger.record.clone());
    }
    store.put_items(&draft, fingers.into(), &stamp(2))?;
    tell("fingers");
    finish(&mut store, 11, tell)
}

/// From a complete draft, or from wherever its seal stands, to R2.
fn finish(store: &mut Store, seed: u8, mut tell: impl FnMut(&str)) -> Result<(), Error> {
    let id = draft(1).id;
    if store.load_draft(id).is_ok() {
        let sequence = store.reserve_sequence(id, &stamp(3))?;
        store.seal(&parcel(id, sequence, payload(seed, 20_000)), &facts(), &stamp(4))?;
    }
    tell("sealed");
    if store.state(id)? == State::Sealed {
        store.apply(id, Event::UploadStarted, &stamp(5))?;
    }
    let sealed = store.entry(id)?.sealed.unwrap();
    let mut sent = parcel(id, sealed.sequence, Vec::new());
    (sent.sha256, sent.bytes) = (sealed.sha256, vec![0; 20_000]);
    for (kind, serial) in [(ReceiptKind::Stored, 1), (ReceiptKind::Ingested, 2)] {
        let (bytes, receipt) = receipt(&sent, kind, serial);
        store.archive_receipt(&bytes, &receipt, &stamp(6))?;
    }
    tell("ingested");
    Ok(())
}

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

/// Nothing promised is lost, nothing has two fates, and the journey can be finished.
fn check_and_finish(root: &Path, promises: &str, context: &str) {
    let config = config_in(root);
    let (id, given_up) = (draft(1).id, draft(2).id);
    let promised = |what: &str| promises.contains(&format!("promise: {what}\n"));
    let in_ready = std::fs::read(config.ready_dir.join(format!("{id}.p7m"))).ok();
    let store = open_in(&config, 7).unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert!(
        store.recovery().lost_parcels.is_empty() && store.recovery().unknown_parcels.is_empty(),
        "{context}"
    );
    store.verify_audit().unwrap();
    for seed in [22, 1, 2, 3, 4] {
        assert_eq!(
            plain_in(root, &payload(seed, 500)),
            Vec::<std::path::PathBuf>::new(),
            "{context}"
        );
    }
    if promised("cancelled") {
        assert_eq!(store.state(given_up).unwrap(), State::Cancelled, "{context}");
    }
    match store.load_draft(id) {
        Ok(draft) => {
            assert!(!promised("sealed"), "{context}: sealed, and a draft again");
            assert_eq!(in_ready, None, "{context}: the courier may have sent it");
            check_items(&store, &draft, promises, context);
        }
        Err(Error::NoDraft(_)) => match store.entry(id) {
            Ok(entry) => {
                let sealed = entry
                    .sealed
                    .unwrap_or_else(|| panic!("{context}: neither draft nor sealed"));
                if let Some(bytes) = in_ready {
                    assert_eq!(recueil_dossier::sha256_hex(&bytes), sealed.sha256, "{context}");
                } else {
                    assert!(!store.receipts(id).unwrap().is_empty(), "{context}: erased early");
                }
            }
            Err(_unknown) => assert!(!promised("opened"), "{context}: lost"),
        },
        Err(error) => panic!("{context}: {error:?}"),
    }
    end(&config, store, context);
}

fn check_items(store: &Store, draft: &Draft, promises: &str, context: &str) {
    let items = store
        .load_items(draft.id)
        .unwrap_or_else(|error| panic!("{context}: {error:?}"));
    let photo = items
        .iter()
        .find(|item| item.record.name == name("photo"))
        .map(|item| item.payload.to_vec());
    let (first, second) = (payload(1, 9000), payload(2, 9000));
    if promises.contains("promise: photo again\n") {
        assert_eq!(photo, Some(second), "{context}");
    } else if promises.contains("promise: photo\n") {
        assert!(photo == Some(first) || photo == Some(second), "{context}");
    }
    let fingers = items.len() - usize::from(items.iter().any(|item| item.record.name == name("photo")));
    assert!(
        fingers == 2 || (fingers == 0 && !promises.contains("promise: fingers\n")),
        "{context}"
    );
}

/// Finishes both dossiers; at the end the disk holds no more than after an undisturbed journey.
fn end(config: &Config, mut store: Store, context: &str) {
    for (number, draft) in [draft(1), draft(2)].into_iter().enumerate() {
        if matches!(store.entry(draft.id), Err(Error::Unknown(_))) {
            store
                .create_draft(&draft, &stamp(7))
                .unwrap_or_else(|error| panic!("{context}: {number} {error:?}"));
        }
    }
    if store.load_draft(draft(2).id).is_ok() {
        store
            .destroy_draft(draft(2).id, Ending::Expired, &stamp(8))
            .unwrap();
    }
    finish(&mut store, 12, |_promise| ()).unwrap_or_else(|error| panic!("{context}: {error:?}"));
    assert_eq!(
        store.entry(draft(1).id).unwrap().sealed.unwrap().sequence,
        1,
        "{context}: a hole in the sequence"
    );
    assert_eq!(store.state(draft(1).id).unwrap(), State::Ingested, "{context}");
    drop(store);
    let left: Vec<_> = files_under(&config.state_dir)
        .into_iter()
        .chain(files_under(&config.ready_dir))
        .collect();
    assert_eq!(left, [config.state_dir.join("store.sqlite")], "{context}");
}

#[test]
fn killed_at_any_call_nothing_is_lost_or_doubled() {
    disturb_every_call(CALLS, "signal=KILL");
}

#[test]
fn a_full_disk_at_any_call_is_an_error_and_no_lie() {
    disturb_every_call(CALLS, "error=ENOSPC");
}

#[test]
fn a_failing_disk_at_any_call_is_an_error_and_no_lie() {
    disturb_every_call(CALLS, "error=EIO");
}

#[test]
fn no_descriptor_at_any_opening_is_an_error_and_no_lie() {
    disturb_every_call("open,openat,flock", "error=EMFILE");
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
