//! Any sequence of calls, with reopenings in between, does what a few maps in memory would do.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use recueil_dossier::{Draft, ReceiptKind, State};
use recueil_store::{Ending, Error, Recovery, Store};

#[derive(Debug, Clone)]
enum Call {
    Open(u8),
    Put(u8, u8, u8),
    Drop(u8, u8),
    End(u8, bool),
    Seal(u8),
    Receive(u8, u8),
    Reopen,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let dossier = 1..4_u8;
    let call = prop_oneof![
        2 => dossier.clone().prop_map(Call::Open),
        4 => (dossier.clone(), 1..4_u8, any::<u8>()).prop_map(|(d, n, seed)| Call::Put(d, n, seed)),
        1 => (dossier.clone(), 1..4_u8).prop_map(|(d, n)| Call::Drop(d, n)),
        1 => (dossier.clone(), any::<bool>()).prop_map(|(d, expired)| Call::End(d, expired)),
        2 => dossier.clone().prop_map(Call::Seal),
        3 => (dossier, 0..3_u8).prop_map(|(d, kind)| Call::Receive(d, kind)),
        1 => Just(Call::Reopen),
    ];
    proptest::collection::vec(call, 1..40)
}

/// What should be known of one dossier.
#[derive(Debug, Default)]
struct Model {
    state: Option<State>,
    items: BTreeMap<String, Vec<u8>>,
    in_outbox: bool,
}

fn item_name(number: u8) -> String {
    format!("fingerprint-{number:02}")
}

fn apply(folder: &Folder, mut store: Store, models: &mut BTreeMap<u8, Model>, call: &Call) -> Store {
    match *call {
        Call::Reopen => {
            drop(store);
            store = folder.open();
            assert_eq!(store.recovery(), &Recovery::default(), "nothing was half done");
        }
        Call::Open(dossier) => {
            let model = models.entry(dossier).or_default();
            let done = store.create_draft(&draft(dossier), &stamp(0));
            assert_eq!(done.is_ok(), model.state.is_none(), "{done:?}");
            model.state.get_or_insert(State::Draft);
        }
        Call::Put(dossier, number, seed) => {
            let model = models.entry(dossier).or_default();
            let Some(mut draft) = loaded(&store, dossier, model) else {
                return store;
            };
            let bytes = payload(seed, usize::from(seed) + 1);
            put(&mut store, &mut draft, item(&item_name(number), bytes.clone())).unwrap();
            model.items.insert(item_name(number), bytes);
        }
        Call::Drop(dossier, number) => {
            let model = models.entry(dossier).or_default();
            let Some(mut draft) = loaded(&store, dossier, model) else {
                return store;
            };
            draft.items.remove(&name(&item_name(number)));
            store.save_draft(&draft, &stamp(2)).unwrap();
            model.items.remove(&item_name(number));
        }
        Call::End(dossier, expired) => {
            let model = models.entry(dossier).or_default();
            let (ending, end) = if expired {
                (Ending::Expired, State::Expired)
            } else {
                (Ending::Cancelled, State::Cancelled)
            };
            let done = store.destroy_draft(draft(dossier).id, ending, &stamp(3));
            if model.state == Some(State::Draft) {
                assert_eq!(done.unwrap(), end);
                *model = Model {
                    state: Some(end),
                    ..Model::default()
                };
            } else {
                assert!(matches!(done, Err(Error::NoDraft(_))));
            }
        }
        Call::Seal(dossier) => {
            let model = models.entry(dossier).or_default();
            let id = draft(dossier).id;
            match store.reserve_sequence(id, &stamp(4)) {
                Ok(sequence) => {
                    assert_eq!(model.state, Some(State::Draft));
                    store
                        .seal(&parcel(id, sequence, payload(dossier, 500)), &facts(), &stamp(4))
                        .unwrap();
                    *model = Model {
                        state: Some(State::Sealed),
                        in_outbox: true,
                        ..Model::default()
                    };
                }
                Err(_no_draft) => assert_ne!(model.state, Some(State::Draft)),
            }
        }
        Call::Receive(dossier, kind) => {
            receive(&mut store, models.entry(dossier).or_default(), dossier, kind);
        }
    }
    store
}

fn loaded(store: &Store, dossier: u8, model: &Model) -> Option<Draft> {
    let draft = store.load_draft(draft(dossier).id).ok();
    assert_eq!(draft.is_some(), model.state == Some(State::Draft));
    draft
}

fn receive(store: &mut Store, model: &mut Model, dossier: u8, number: u8) {
    let parcel = parcel(draft(dossier).id, 0, payload(dossier, 500));
    let (kind, to) = [
        (ReceiptKind::Stored, State::Stored),
        (ReceiptKind::Ingested, State::Ingested),
        (ReceiptKind::Refused, State::Refused),
    ][usize::from(number)];
    let serial = u64::from(dossier) * 10 + u64::from(number);
    let (bytes, receipt) = receipt(&parcel, kind, serial);
    let done = store.archive_receipt(&bytes, &receipt, &stamp(5));
    let open = matches!(model.state, Some(State::Sealed | State::Stored));
    match done {
        Ok(state) => {
            if open {
                model.state = Some(to);
            }
            assert_eq!(Some(state), model.state);
            model.in_outbox &= state != State::Ingested;
        }
        Err(_refused) => assert!(!open, "{model:?} {kind:?}"),
    }
}

fn check(folder: &Folder, store: &Store, models: &BTreeMap<u8, Model>) {
    let mut outbox = 0;
    for (dossier, model) in models {
        let id = draft(*dossier).id;
        assert_eq!(store.state(id).ok(), model.state);
        let items = store.load_items(id).unwrap_or_default();
        let items: BTreeMap<_, _> = items
            .iter()
            .map(|item| (item.record.name.to_string(), item.payload.to_vec()))
            .collect();
        assert_eq!(items, model.items);
        outbox += usize::from(model.in_outbox);
    }
    assert_eq!(files_under(&folder.config.ready_dir).len(), outbox);
    let items: usize = models.values().map(|model| model.items.len()).sum();
    assert_eq!(files_under(&folder.config.state_dir.join("drafts")).len(), items);
    store.verify_audit().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_a_few_maps_would(calls in calls()) {
        let folder = Folder::new();
        let mut models = BTreeMap::new();
        let mut store = folder.open();
        for call in &calls {
            store = apply(&folder, store, &mut models, call);
        }
        check(&folder, &store, &models);
        drop(store);
        check(&folder, &folder.open(), &models);
    }
}
