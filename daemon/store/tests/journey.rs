//! What the store promises in quiet times.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::os::unix::fs::PermissionsExt;

use common::*;
use recueil_dossier::{Event, Field, FieldSource, Kind, ReceiptKind, RecepisseStatus, State};
use recueil_store::{Answered, Ending, Error, Filter, Recovery};

#[test]
fn an_accepted_item_is_there_after_reopening() {
    let folder = Folder::new();
    let mut draft = draft(1);
    let mut store = folder.open();
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(&mut store, &mut draft, item("photo", payload(1, 70_000))).unwrap();
    drop(store);
    let store = folder.open();
    assert_eq!(store.recovery(), &Recovery::default());
    assert_eq!(store.drafts().unwrap(), [draft.clone()]);
    assert_eq!(
        store
            .load_item(draft.id, &name("photo"))
            .unwrap()
            .payload
            .as_slice(),
        payload(1, 70_000)
    );
}

#[test]
fn nothing_plain_is_on_the_disk() {
    let folder = Folder::new();
    let mut draft = draft(1);
    let surname = "WINDOWSOFASURNAMETHATSTANDSNOWHERE";
    let field = Field {
        value: surname.into(),
        source: FieldSource::Typed,
        corrects: None,
    };
    draft.fields.insert("nom".into(), field);
    let image = payload(1, 70_000);
    let mut store = folder.open();
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(&mut store, &mut draft, item("photo", image.clone())).unwrap();
    let answered = Answered {
        token: "t".into(),
        method: "SetField".into(),
        answer: surname.into(),
    };
    store
        .remember_token(&recueil_store::Stamp {
            answered: Some(answered),
            ..stamp(1)
        })
        .unwrap();
    let digest = draft.items[&name("photo")].sha256.clone();
    for plain in [image.as_slice(), surname.as_bytes(), digest.as_bytes(), &[7; 32]] {
        assert!(plain_in(folder.root.path(), plain).is_empty());
    }
    std::fs::write(folder.config.state_dir.join("planted"), &image[300..400]).unwrap();
    assert_eq!(
        plain_in(folder.root.path(), &image).len(),
        1,
        "the search finds what is there"
    );
}

#[test]
fn a_replaced_item_leaves_no_file_and_a_dropped_one_neither() {
    let folder = Folder::new();
    let mut draft = draft(1);
    let mut store = folder.open();
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(&mut store, &mut draft, item("photo", payload(1, 100))).unwrap();
    put(&mut store, &mut draft, item("photo", payload(2, 200))).unwrap();
    assert_eq!(
        store
            .load_item(draft.id, &name("photo"))
            .unwrap()
            .payload
            .as_slice(),
        payload(2, 200)
    );
    assert_eq!(
        folder
            .item_file(draft.id, "photo")
            .metadata()
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    draft.items.clear();
    store.save_draft(&draft, &stamp(2)).unwrap();
    assert!(matches!(
        store.load_item(draft.id, &name("photo")),
        Err(Error::NoItem { .. })
    ));
    assert!(files_under(&folder.config.state_dir.join("drafts")).is_empty());
}

#[test]
fn items_come_all_or_none() {
    let folder = Folder::new();
    let mut draft = draft(1);
    let mut store = folder.open();
    store.create_draft(&draft, &stamp(0)).unwrap();
    let before = draft.clone();
    let (right, left) = (
        item("fingerprint-02", payload(2, 900)),
        item("fingerprint-07", payload(7, 900)),
    );
    draft.items.insert(name("fingerprint-02"), right.record.clone());
    draft.items.insert(name("fingerprint-07"), left.record.clone());
    let refused = store.put_items(&draft, vec![item("fingerprint-02", payload(2, 900))], &stamp(1));
    assert!(
        matches!(refused, Err(Error::Inconsistent { .. })),
        "the other is not stored"
    );
    assert_eq!(store.load_draft(draft.id).unwrap(), before);
    store.put_items(&draft, vec![right, left], &stamp(1)).unwrap();
    assert_eq!(store.load_items(draft.id).unwrap().len(), 2);
}

#[test]
fn a_changed_item_file_is_noticed() {
    let folder = Folder::new();
    let mut draft = draft(1);
    let mut store = folder.open();
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(&mut store, &mut draft, item("fingerprint-02", payload(1, 300))).unwrap();
    put(&mut store, &mut draft, item("fingerprint-07", payload(2, 300))).unwrap();
    let (right, left) = (
        folder.item_file(draft.id, "fingerprint-02"),
        folder.item_file(draft.id, "fingerprint-07"),
    );
    let whole = std::fs::read(&right).unwrap();
    let damaged = |store: &recueil_store::Store| {
        matches!(
            store.load_item(draft.id, &name("fingerprint-02")),
            Err(Error::Damaged { .. })
        )
    };
    for index in [0, 7, 8, 20, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[index] ^= 1;
        std::fs::write(&right, bytes).unwrap();
        assert!(damaged(&store), "byte {index}");
    }
    std::fs::copy(&left, &right).unwrap();
    assert!(damaged(&store), "another item's file");
    std::fs::write(&right, &whole[..whole.len() - 1]).unwrap();
    assert!(damaged(&store), "cut");
    std::fs::remove_file(&right).unwrap();
    assert!(damaged(&store), "gone");
    std::fs::write(&right, whole).unwrap();
    assert!(!damaged(&store));
}

#[test]
fn a_wrong_storage_key_and_a_second_opening_are_refused_by_name() {
    let folder = Folder::new();
    let store = folder.open();
    assert!(matches!(folder.try_open(7), Err(Error::InUse)));
    drop(store);
    assert!(matches!(folder.try_open(8), Err(Error::WrongKey)));
    folder.open();
}

#[test]
fn a_store_of_a_newer_release_is_left_alone() {
    let folder = Folder::new();
    drop(folder.open());
    let path = folder.config.state_dir.join("store.sqlite");
    rusqlite::Connection::open(path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(
        folder.try_open(7),
        Err(Error::Newer { found: 99, known: 1 })
    ));
}

#[test]
fn there_is_no_shared_memory_file() {
    let folder = Folder::new();
    let mut store = folder.open();
    store.create_draft(&draft(1), &stamp(0)).unwrap();
    let names: Vec<_> = files_under(&folder.config.state_dir);
    assert!(
        names.iter().all(|path| !path.to_str().unwrap().ends_with("-shm")),
        "{names:?}"
    );
}

#[test]
fn a_sealed_dossier_leaves_only_its_parcel() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let path = folder.config.ready_dir.join(format!("{}.p7m", parcel.dossier));
    assert_eq!(std::fs::read(&path).unwrap(), parcel.bytes);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(matches!(store.load_draft(parcel.dossier), Err(Error::NoDraft(_))));
    assert!(matches!(store.load_items(parcel.dossier), Err(Error::NoDraft(_))));
    assert!(
        !folder
            .config
            .state_dir
            .join("drafts")
            .join(parcel.dossier.to_string())
            .exists()
    );
    let recepisse = store.recepisse(parcel.dossier).unwrap();
    assert_eq!(
        (recepisse.status, recepisse.sequence, recepisse.demande),
        (RecepisseStatus::Provisional, 1, None)
    );
    assert!(matches!(
        store.destroy_draft(parcel.dossier, Ending::Cancelled, &stamp(4)),
        Err(Error::NoDraft(_))
    ));
}

#[test]
fn a_parcel_that_is_not_what_it_says_is_not_sealed() {
    let folder = Folder::new();
    let mut store = folder.open();
    let draft = draft(1);
    store.create_draft(&draft, &stamp(0)).unwrap();
    assert!(
        store
            .seal(&parcel(draft.id, 1, vec![1; 50]), &facts(), &stamp(1))
            .is_err(),
        "no number yet"
    );
    let sequence = store.reserve_sequence(draft.id, &stamp(1)).unwrap();
    let mut wrong = parcel(draft.id, sequence, vec![1; 50]);
    wrong.bytes[0] = 2;
    assert!(matches!(
        store.seal(&wrong, &facts(), &stamp(1)),
        Err(Error::Inconsistent { .. })
    ));
    let wrong = parcel(draft.id, sequence + 1, vec![1; 50]);
    assert!(matches!(
        store.seal(&wrong, &facts(), &stamp(1)),
        Err(Error::Inconsistent { .. })
    ));
    assert_eq!(store.load_draft(draft.id).unwrap(), draft);
    assert!(files_under(&folder.config.ready_dir).is_empty());
}

#[test]
fn sequence_numbers_have_no_hole() {
    let folder = Folder::new();
    let mut store = folder.open();
    let ids = [1, 2, 3].map(|number| {
        let draft = draft(number);
        store.create_draft(&draft, &stamp(0)).unwrap();
        draft.id
    });
    let mut reserve = |id| store.reserve_sequence(id, &stamp(1)).unwrap();
    assert_eq!((reserve(ids[0]), reserve(ids[1]), reserve(ids[0])), (1, 2, 1));
    store.destroy_draft(ids[0], Ending::Expired, &stamp(2)).unwrap();
    drop(store);
    let mut store = folder.open();
    assert_eq!(store.reserve_sequence(ids[2], &stamp(3)).unwrap(), 1);
    let fourth = draft(4);
    store.create_draft(&fourth, &stamp(4)).unwrap();
    assert_eq!(store.reserve_sequence(fourth.id, &stamp(5)).unwrap(), 3);
}

#[test]
fn a_parcel_is_erased_by_r2_and_not_before() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let path = folder.config.ready_dir.join(format!("{}.p7m", parcel.dossier));
    assert_eq!(
        store
            .apply(parcel.dossier, Event::UploadStarted, &stamp(4))
            .unwrap(),
        State::Sending
    );
    let (bytes, r1) = receipt(&parcel, ReceiptKind::Stored, 1);
    assert_eq!(
        store.archive_receipt(&bytes, &r1, &stamp(5)).unwrap(),
        State::Stored
    );
    assert!(path.exists());
    let (bytes, r2) = receipt(&parcel, ReceiptKind::Ingested, 2);
    assert_eq!(
        store.archive_receipt(&bytes, &r2, &stamp(6)).unwrap(),
        State::Ingested
    );
    assert!(!path.exists());
    assert_eq!(
        store.archive_receipt(&bytes, &r2, &stamp(7)).unwrap(),
        State::Ingested,
        "again is no change"
    );
    let recepisse = store.recepisse(parcel.dossier).unwrap();
    assert_eq!(recepisse.status, RecepisseStatus::Final);
    assert_eq!(
        (recepisse.demande, recepisse.ingested_at),
        (r2.demande.clone(), Some(r2.time))
    );
    let kept: Vec<_> = store
        .receipts(parcel.dossier)
        .unwrap()
        .into_iter()
        .map(|r| (r.bytes, r.content))
        .collect();
    assert_eq!(kept, [(b"CMS of 1".to_vec(), r1), (bytes, r2)]);
    let entry = store.entry(parcel.dossier).unwrap();
    assert_eq!((entry.agent, entry.sealed.unwrap().in_outbox), (None, false));
}

#[test]
fn a_receipt_for_other_bytes_erases_nothing() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let (bytes, good) = receipt(&parcel, ReceiptKind::Ingested, 1);
    let mut refused = |change: fn(&mut recueil_dossier::Receipt)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        matches!(
            store.archive_receipt(&bytes, &wrong, &stamp(4)),
            Err(Error::ReceiptMismatch { .. })
        )
    };
    assert!(refused(
        |receipt| receipt.parcel_sha256 = recueil_dossier::sha256_hex(b"other")
    ));
    assert!(refused(|receipt| receipt.size += 1));
    assert!(refused(|receipt| receipt.manifest_sha256 = None));
    assert!(refused(|receipt| receipt.demande = None));
    let other = sealed(&mut store, 2);
    let (bytes, r1) = receipt(&other, ReceiptKind::Stored, 1);
    store.archive_receipt(&bytes, &r1, &stamp(5)).unwrap();
    let replay = store.archive_receipt(b"another CMS", &good, &stamp(6));
    assert!(
        matches!(replay, Err(Error::ReceiptMismatch { .. })),
        "serial 1 was another receipt's"
    );
    assert_eq!(files_under(&folder.config.ready_dir).len(), 2);
}

#[test]
fn r1_after_r2_is_archived_and_moves_nothing() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let (bytes, r2) = receipt(&parcel, ReceiptKind::Ingested, 2);
    store.archive_receipt(&bytes, &r2, &stamp(4)).unwrap();
    let (bytes, r1) = receipt(&parcel, ReceiptKind::Stored, 1);
    assert_eq!(
        store.archive_receipt(&bytes, &r1, &stamp(5)).unwrap(),
        State::Ingested
    );
    assert_eq!(store.receipts(parcel.dossier).unwrap().len(), 2);
}

#[test]
fn a_refused_parcel_stays_until_an_agent_acknowledges() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    assert!(matches!(
        store.acknowledge_refusal(parcel.dossier, &stamp(4)),
        Err(Error::Inconsistent { .. })
    ));
    let (bytes, reject) = receipt(&parcel, ReceiptKind::Refused, 1);
    assert_eq!(
        store.archive_receipt(&bytes, &reject, &stamp(5)).unwrap(),
        State::Refused
    );
    assert_eq!(files_under(&folder.config.ready_dir).len(), 1);
    store.acknowledge_refusal(parcel.dossier, &stamp(6)).unwrap();
    store.acknowledge_refusal(parcel.dossier, &stamp(7)).unwrap();
    assert!(files_under(&folder.config.ready_dir).is_empty());
    let entry = store.entry(parcel.dossier).unwrap();
    assert_eq!(
        (entry.reason.as_deref(), entry.acknowledged_at),
        (Some("not readable"), Some(at(6)))
    );
}

#[test]
fn events_that_need_more_than_a_row_are_not_applied_alone() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let mut apply = |event| store.apply(parcel.dossier, event, &stamp(4));
    assert!(matches!(apply(Event::IngestedReceipt), Err(Error::NotARow)));
    assert!(matches!(apply(Event::Cancelled), Err(Error::Refused(_))));
    let (bytes, r2) = receipt(&parcel, ReceiptKind::Ingested, 1);
    store.archive_receipt(&bytes, &r2, &stamp(5)).unwrap();
    assert_eq!(
        store
            .apply(parcel.dossier, Event::TitleArrived, &stamp(6))
            .unwrap(),
        State::Available
    );
}

#[test]
fn lists_are_filtered_and_paged_newest_first() {
    let folder = Folder::new();
    let mut store = folder.open();
    for number in 1..=5 {
        store
            .create_draft(&draft(number), &stamp(i64::from(number)))
            .unwrap();
    }
    let parcel = sealed(&mut store, 6);
    let first = store.list(&Filter::default(), None, 4).unwrap();
    assert_eq!(first.entries[0].id, parcel.dossier);
    let second = store.list(&Filter::default(), first.next, 4).unwrap();
    assert_eq!(
        (first.entries.len(), second.entries.len(), second.next),
        (4, 2, None)
    );
    let count = |filter| store.list(&filter, None, 200).unwrap().entries.len();
    assert_eq!(
        count(Filter {
            states: vec![State::Sealed, State::Stored],
            ..Filter::default()
        }),
        1
    );
    assert_eq!(
        count(Filter {
            kind: Some(Kind::HandOver),
            ..Filter::default()
        }),
        0
    );
    assert_eq!(
        count(Filter {
            since: Some(at(4)),
            ..Filter::default()
        }),
        2
    );
    assert_eq!(
        count(Filter {
            owner_uid: Some(1001),
            ..Filter::default()
        }),
        0
    );
}

#[test]
fn a_title_is_found_by_its_demande() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    let (bytes, r2) = receipt(&parcel, ReceiptKind::Ingested, 1);
    store.archive_receipt(&bytes, &r2, &stamp(5)).unwrap();
    let filter = Filter {
        demande: r2.demande,
        kind: Some(Kind::Deposit),
        ..Filter::default()
    };
    assert_eq!(
        store.list(&filter, None, 1).unwrap().entries[0].id,
        parcel.dossier
    );
}

#[test]
fn expired_drafts_are_named_and_destroyed() {
    let folder = Folder::new();
    let mut store = folder.open();
    store.create_draft(&draft(1), &stamp(0)).unwrap();
    store.create_draft(&draft(2), &stamp(0)).unwrap();
    assert_eq!(store.expired_drafts(at(86_401)).unwrap(), [draft(1).id]);
    store
        .destroy_draft(draft(1).id, Ending::Expired, &stamp(86_401))
        .unwrap();
    assert_eq!(store.state(draft(1).id).unwrap(), State::Expired);
    assert!(store.expired_drafts(at(86_401)).unwrap().is_empty());
    assert!(matches!(
        store.create_draft(&draft(1), &stamp(0)),
        Err(Error::Exists(_))
    ));
}

#[test]
fn a_repeated_call_gets_the_first_answer_for_a_day() {
    let folder = Folder::new();
    let mut store = folder.open();
    let answered = Answered {
        token: "abc".into(),
        method: "OpenDossier".into(),
        answer: "[\"/path\"]".into(),
    };
    let with_token = recueil_store::Stamp {
        answered: Some(answered),
        ..stamp(0)
    };
    store.create_draft(&draft(1), &with_token).unwrap();
    drop(store);
    let mut store = folder.open();
    let recall = |store: &recueil_store::Store, uid, method, second| {
        store.recall_token(uid, "abc", method, at(second))
    };
    assert_eq!(
        recall(&store, 1000, "OpenDossier", 5).unwrap().as_deref(),
        Some("[\"/path\"]")
    );
    assert_eq!(recall(&store, 1001, "OpenDossier", 5).unwrap(), None);
    assert!(matches!(recall(&store, 1000, "Seal", 5), Err(Error::TokenReused)));
    assert_eq!(recall(&store, 1000, "OpenDossier", 86_400).unwrap(), None);
    let twice = store.create_draft(&draft(2), &with_token);
    assert!(matches!(twice, Err(Error::TokenReused)));
    assert!(
        matches!(store.entry(draft(2).id), Err(Error::Unknown(_))),
        "the change went with its token"
    );
}

#[test]
fn what_has_ended_is_forgotten_after_a_while_and_nothing_else() {
    let folder = Folder::new();
    let mut store = folder.open();
    let done = sealed(&mut store, 1);
    let (bytes, r2) = receipt(&done, ReceiptKind::Ingested, 1);
    store.archive_receipt(&bytes, &r2, &stamp(5)).unwrap();
    let under_way = sealed(&mut store, 2);
    store.create_draft(&draft(3), &stamp(0)).unwrap();
    store.create_draft(&draft(4), &stamp(0)).unwrap();
    store
        .destroy_draft(draft(4).id, Ending::Cancelled, &stamp(6))
        .unwrap();
    assert_eq!(store.forget_ended(at(100), &stamp(100)).unwrap(), [draft(4).id]);
    store
        .apply(done.dossier, Event::TitleHandedOver, &stamp(200))
        .unwrap();
    assert!(
        store.forget_ended(at(200), &stamp(300)).unwrap().is_empty(),
        "it changed since"
    );
    assert_eq!(store.forget_ended(at(201), &stamp(300)).unwrap(), [done.dossier]);
    assert!(matches!(store.entry(done.dossier), Err(Error::Unknown(_))));
    assert!(store.receipts(done.dossier).unwrap().is_empty());
    assert!(store.entry(under_way.dossier).is_ok() && store.load_draft(draft(3).id).is_ok());
    store.verify_audit().unwrap();
}

#[test]
fn the_journal_holds_together_and_a_change_shows() {
    let folder = Folder::new();
    let mut store = folder.open();
    let parcel = sealed(&mut store, 1);
    store.record("session-opened", None, &stamp(9)).unwrap();
    assert!(store.record("a name with blanks", None, &stamp(9)).is_err());
    store.verify_audit().unwrap();
    let lines = store.audit(0, 1000).unwrap();
    let codes: Vec<_> = lines.iter().map(|line| line.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "draft-opened",
            "item-accepted",
            "sequence-reserved",
            "seal-begun",
            "sealed",
            "key-destroyed",
            "items-destroyed",
            "session-opened"
        ]
    );
    assert!(
        lines[..7]
            .iter()
            .all(|line| line.dossier == Some(parcel.dossier) && line.uid == 1000)
    );
    drop(store);
    let db = rusqlite::Connection::open(folder.config.state_dir.join("store.sqlite")).unwrap();
    db.execute("UPDATE audit SET agent = 'someone.else' WHERE line = 5", [])
        .unwrap();
    drop(db);
    assert!(matches!(
        folder.open().verify_audit(),
        Err(Error::AuditBroken { line: 5 })
    ));
}

#[test]
fn a_destroyed_key_is_gone_from_the_index_file_too() {
    let folder = Folder::new();
    let mut store = folder.open();
    store.create_draft(&draft(1), &stamp(0)).unwrap();
    drop(store);
    let path = folder.config.state_dir.join("store.sqlite");
    let wrapped: Vec<u8> = rusqlite::Connection::open(path)
        .unwrap()
        .query_row("SELECT key FROM draft", [], |row| row.get(0))
        .unwrap();
    assert!(!plain_in(&folder.config.state_dir, &wrapped).is_empty());
    let mut store = folder.open();
    store
        .destroy_draft(draft(1).id, Ending::Cancelled, &stamp(1))
        .unwrap();
    assert!(plain_in(&folder.config.state_dir, &wrapped).is_empty());
}

#[test]
fn a_draft_whose_key_is_damaged_is_destroyed_all_the_same() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut draft = draft(1);
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(&mut store, &mut draft, item("photo", payload(1, 5000))).unwrap();
    drop(store);
    let db = rusqlite::Connection::open(folder.config.state_dir.join("store.sqlite")).unwrap();
    db.execute("UPDATE draft SET key = zeroblob(length(key))", [])
        .unwrap();
    drop(db);

    let mut store = folder.open();
    assert!(matches!(store.load_draft(draft.id), Err(Error::Damaged { .. })));
    assert!(store.drafts().unwrap().is_empty(), "it is named in the log");
    store
        .destroy_draft(draft.id, Ending::Cancelled, &stamp(1))
        .unwrap();
    assert_eq!(store.state(draft.id).unwrap(), State::Cancelled);
    assert!(
        !folder
            .config
            .state_dir
            .join("drafts")
            .join(draft.id.to_string())
            .exists()
    );
}
