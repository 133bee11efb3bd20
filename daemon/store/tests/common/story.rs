//! The story that is disturbed: one dossier goes from draft to R2 and another is given up, and whatever happened on
//! the way, what was promised is kept and the story can be finished.

use std::path::Path;

use recueil_dossier::{Draft, Event, ReceiptKind, State};
use recueil_store::{Config, Ending, Error, Store};

use super::*;

/// One dossier from draft to R2 and another that is given up, telling each promise once it is made.
pub(crate) fn journey(config: &Config, mut tell: impl FnMut(&str)) -> Result<(), Error> {
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

/// Nothing promised is lost, nothing has two fates, and the journey can be finished. Whether there was something to
/// repair.
pub(crate) fn check_and_finish(root: &Path, promises: &str, context: &str) -> bool {
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
            Vec::<PathBuf>::new(),
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
                    assert_eq!(sha256_hex(&bytes), sealed.sha256, "{context}");
                } else {
                    let receipts = store.receipts(id).unwrap();
                    assert!(
                        receipts.iter().any(|one| one.kind == ReceiptKind::Ingested),
                        "{context}: erased early"
                    );
                }
            }
            Err(_unknown) => assert!(!promised("opened"), "{context}: lost"),
        },
        Err(error) => panic!("{context}: {error:?}"),
    }
    let repaired = *store.recovery() != recueil_store::Recovery::default();
    end(&config, store, context);
    repaired
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
