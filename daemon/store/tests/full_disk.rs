//! What happens when the disk is full, on one that really is (FUSE, tests/faultfs), and when it cannot sync.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::disk::Disk;
use common::*;
use recueil_dossier::{Parcel, State};
use recueil_faultfs::{Action, Call, Errno, Kind, Plan, skipped};
use recueil_store::{Ending, Error, Recovery, Reserve, Store};

const RESERVE: u64 = 1 << 20;

/// Leaves no page free.
fn fill(disk: &Disk) {
    disk.fs.set_capacity(Some(disk.fs.used()));
}

#[test]
fn an_open_draft_is_finished_with_the_reserve_and_no_new_one_begun() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    let config = config_in(disk.fs.path());
    let mut store = open_in(&config, 7).unwrap();
    assert_eq!(store.reserve().unwrap(), Reserve::None);
    store.keep_reserve(RESERVE).unwrap();
    assert_eq!(store.reserve().unwrap(), Reserve::Kept);
    let mut open = draft(1);
    store.create_draft(&open, &stamp(0)).unwrap();
    fill(&disk);

    let new = store.create_draft(&draft(2), &stamp(0));
    assert!(matches!(new, Err(Error::Full)), "{new:?}");
    assert_eq!(store.reserve().unwrap(), Reserve::Kept, "not for a new one");
    put(&mut store, &mut open, item("photo", payload(1, 20_000))).unwrap();
    assert_eq!(store.reserve().unwrap(), Reserve::GivenUp);
    // What the reserve left is enough for the rest, and not enough to be set aside again.
    disk.fs.set_capacity(Some(disk.fs.used() + RESERVE / 2));
    let new = store.create_draft(&draft(2), &stamp(0));
    assert!(matches!(new, Err(Error::Full)), "{new:?}");
    let sequence = store.reserve_sequence(open.id, &stamp(2)).unwrap();
    let parcel = parcel(open.id, sequence, payload(9, 30_000));
    store.seal(&parcel, &facts(), &stamp(3)).unwrap();
    assert_eq!(store.state(open.id).unwrap(), State::Sealed);

    disk.fs.set_capacity(None);
    store.renew_reserve().unwrap();
    assert_eq!(store.reserve().unwrap(), Reserve::Kept);
    store.create_draft(&draft(2), &stamp(4)).unwrap();
}

#[test]
fn without_a_reserve_a_full_disk_is_told_and_changes_nothing() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    let mut store = open_in(&config_in(disk.fs.path()), 7).unwrap();
    let mut open = draft(1);
    store.create_draft(&open, &stamp(0)).unwrap();
    fill(&disk);
    let full = put(&mut store, &mut open, item("photo", payload(1, 20_000)));
    assert!(matches!(full, Err(Error::Full)), "{full:?}");
    assert!(store.load_draft(open.id).unwrap().items.is_empty());
    disk.fs.set_capacity(None);
    put(&mut store, &mut open, item("photo", payload(1, 20_000))).unwrap();
    assert_eq!(store.load_items(open.id).unwrap().len(), 1);
}

/// A disk with a draft that is ready to be sealed, and its parcel.
fn ready_to_seal() -> (Disk, Store, Parcel) {
    let disk = Disk::new();
    let mut store = open_in(&config_in(disk.fs.path()), 7).unwrap();
    let mut open = draft(1);
    store.create_draft(&open, &stamp(0)).unwrap();
    put(&mut store, &mut open, item("photo", payload(1, 20_000))).unwrap();
    let sequence = store.reserve_sequence(open.id, &stamp(2)).unwrap();
    (disk, store, parcel(open.id, sequence, payload(9, 30_000)))
}

/// No room at the n-th call that takes some, nor from then on; false where there are fewer.
fn no_room_from(disk: &Disk, nth: usize) {
    let takes_room = |call: &Call| matches!(call.kind, Kind::Create | Kind::Write | Kind::Rename);
    disk.fs
        .arm(Plan::new(nth, Action::FailOn(Errno::NOSPC), takes_room));
}

#[test]
fn a_seal_that_a_full_disk_stops_anywhere_has_one_fate_once_there_is_room() {
    if skipped() {
        return;
    }
    let (mut stopped, mut kept, mut sent) = (0, 0, 0);
    for nth in 1.. {
        let (disk, mut store, parcel) = ready_to_seal();
        let id = parcel.dossier;
        let name = disk.fs.path().join(format!("ready/{id}.p7m"));
        no_room_from(&disk, nth);
        let told = store.seal(&parcel, &facts(), &stamp(3));
        if told.is_ok() {
            assert!(
                disk.fs.disarm().is_none(),
                "at {nth} no room was needed and it was told"
            );
            break;
        }
        assert!(matches!(told, Err(Error::Full)), "at {nth}: {told:?}");
        stopped += 1;
        // The courier may take it from now on, so nothing may be changed or given up any more.
        let on_its_way = name.exists();
        for again in [
            store.save_draft(&store.load_draft(id).unwrap_or(draft(1)), &stamp(4)),
            store.destroy_draft(id, Ending::Cancelled, &stamp(4)).map(drop),
            store.seal(&parcel, &facts(), &stamp(4)).map(drop),
        ] {
            let refused = matches!(again, Err(Error::Full));
            assert!(refused, "at {nth}: {again:?}");
        }
        let expired = store.expired_drafts(at(1 << 30)).unwrap();
        assert!(!(on_its_way && expired.contains(&id)), "at {nth}");
        disk.fs.disarm();
        let settled = store.settle_all(&stamp(5)).unwrap();
        if on_its_way {
            sent += 1;
            assert_eq!(settled, [id], "at {nth}");
            assert_eq!(store.state(id).unwrap(), State::Sealed, "at {nth}");
            assert_eq!(std::fs::read(&name).unwrap(), parcel.bytes, "at {nth}");
        } else {
            kept += 1;
            assert_eq!(store.load_items(id).unwrap().len(), 1, "at {nth}");
            store.seal(&parcel, &facts(), &stamp(6)).unwrap();
        }
        drop(store);
        let store = open_in(&config_in(disk.fs.path()), 7).unwrap();
        assert_eq!(*store.recovery(), Recovery::default(), "at {nth}");
        store.verify_audit().unwrap();
    }
    eprintln!("sealing stopped at each of {stopped} calls: {kept} drafts kept, {sent} parcels on their way");
    assert!(kept > 0 && sent > 0);
}

#[test]
fn a_destruction_that_a_full_disk_stops_anywhere_is_finished_once_there_is_room() {
    if skipped() {
        return;
    }
    let mut stopped = 0;
    for nth in 1.. {
        let (disk, mut store, parcel) = ready_to_seal();
        let id = parcel.dossier;
        no_room_from(&disk, nth);
        let told = store.destroy_draft(id, Ending::Cancelled, &stamp(3));
        if told.is_ok() {
            break;
        }
        assert!(matches!(told, Err(Error::Full)), "at {nth}: {told:?}");
        stopped += 1;
        let again = store.destroy_draft(id, Ending::Cancelled, &stamp(4));
        assert!(matches!(again, Err(Error::Full)), "at {nth}: {again:?}");
        disk.fs.disarm();
        let ended = store.destroy_draft(id, Ending::Cancelled, &stamp(5)).unwrap();
        assert_eq!(ended, State::Cancelled, "at {nth}");
        assert_eq!(store.state(id).unwrap(), State::Cancelled, "at {nth}");
        drop(store);
        let store = open_in(&config_in(disk.fs.path()), 7).unwrap();
        assert_eq!(*store.recovery(), Recovery::default(), "at {nth}");
        store.verify_audit().unwrap();
    }
    eprintln!("a destruction stopped at each of {stopped} calls");
    assert!(stopped > 0);
}

#[test]
fn a_reserve_is_taken_back_when_none_is_wanted() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    let mut store = open_in(&config_in(disk.fs.path()), 7).unwrap();
    store.keep_reserve(RESERVE).unwrap();
    let with = disk.fs.used();
    store.keep_reserve(0).unwrap();
    assert_eq!(with - disk.fs.used(), RESERVE);
    assert_eq!(store.reserve().unwrap(), Reserve::None);
}

/// Writes lines to the journal until the index's own journal is long enough to be written into the index.
fn until_long(store: &mut Store) -> Result<(), Error> {
    (0..3000).try_for_each(|second| store.record("item-shown", Some(draft(1).id), &stamp(second)))
}

#[test]
fn the_journal_of_the_index_stays_short() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    let mut store = open_in(&config_in(disk.fs.path()), 7).unwrap();
    until_long(&mut store).unwrap();
    let journal = disk
        .fs
        .log()
        .calls()
        .filter(|(_, call)| call.kind == Kind::Resize && call.path.ends_with("-wal"))
        .count();
    assert!(journal > 0, "it was never cut");
    let len = disk
        .fs
        .path()
        .join("state/store.sqlite-wal")
        .metadata()
        .unwrap()
        .len();
    assert!(len < 8 << 20, "{len}");
    assert!(
        !disk.fs.log().calls().any(|(_, call)| call.path.ends_with("-shm")),
        "no shared memory"
    );
}

#[test]
fn a_failed_sync_of_the_index_itself_is_not_kept_silent() {
    if skipped() {
        return;
    }
    let disk = Disk::new();
    let mut store = open_in(&config_in(disk.fs.path()), 7).unwrap();
    disk.fs.arm(Plan::new(1, Action::Fail(Errno::IO), |call| {
        call.kind == Kind::Sync && call.path == "state/store.sqlite"
    }));
    let told = until_long(&mut store);
    assert!(disk.fs.disarm().is_some());
    assert!(told.as_ref().is_err_and(Error::is_fatal), "{told:?}");
}
