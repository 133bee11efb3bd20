//! A store in a folder of its own, and dossiers to put into it.

#![allow(dead_code, reason = "each test program uses its part of this")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

pub(crate) mod disk;
pub(crate) mod story;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use recueil_dossier::{
    Content, DossierId, Draft, FingerPosition, Item, ItemName, Kind, MediaType, Parcel, ProcedureRef,
    Provenance, Receipt, ReceiptKind, Source, sha256_hex,
};
use recueil_store::{Config, Error, SealedFacts, Stamp, StorageKey, Store};
use zeroize::Zeroizing;

pub(crate) struct Folder {
    pub(crate) root: tempfile::TempDir,
    pub(crate) config: Config,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let config = config_in(root.path());
        Self { root, config }
    }

    pub(crate) fn open(&self) -> Store {
        self.try_open(7).unwrap()
    }

    pub(crate) fn try_open(&self, key: u8) -> Result<Store, Error> {
        open_in(&self.config, key)
    }

    pub(crate) fn item_file(&self, id: DossierId, name: &str) -> PathBuf {
        let folder = self.config.state_dir.join("drafts").join(id.to_string());
        let mut files: Vec<_> = files_under(&folder)
            .into_iter()
            .filter(|path| path.file_name().unwrap().to_str().unwrap().split('.').next() == Some(name))
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

pub(crate) fn config_in(root: &Path) -> Config {
    Config {
        state_dir: root.join("state"),
        ready_dir: root.join("ready"),
    }
}

pub(crate) fn open_in(config: &Config, key: u8) -> Result<Store, Error> {
    Store::open(config, StorageKey::new(&Zeroizing::new([key; 32])), at(0))
}

/// Seconds after an arbitrary moment.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn stamp(second: i64) -> Stamp {
    Stamp {
        at: at(second),
        agent: Some("agent.dupont".parse().unwrap()),
        uid: 1000,
        answered: None,
    }
}

pub(crate) fn draft(number: u8) -> Draft {
    Draft {
        id: DossierId::new(at(i64::from(number)), [number; 10]),
        kind: Kind::Deposit,
        procedure: ProcedureRef {
            id: "cni-adulte".into(),
            sha256: sha256_hex(b"procedure"),
        },
        owner_uid: 1000,
        agent: "agent.dupont".parse().unwrap(),
        opened_at: at(i64::from(number)),
        expires_at: at(i64::from(number) + 86_400),
        demande: None,
        pre_demande: None,
        fields: BTreeMap::new(),
        items: BTreeMap::new(),
        missing_fingers: BTreeMap::new(),
        selection: None,
        decisions: Vec::new(),
        destructions: Vec::new(),
        surplus: BTreeSet::new(),
    }
}

/// Bytes in which no window stands anywhere by chance.
pub(crate) fn payload(seed: u8, len: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    })
    .take(len)
    .collect()
}

pub(crate) fn item(name: &str, bytes: Vec<u8>) -> Item {
    let provenance = Provenance {
        source: Source {
            vendor: "Recueil".into(),
            model: "Reader".into(),
            serial: "1".into(),
            plugin: "fr.recueil.simulator".into(),
            plugin_version: "0.1.0".into(),
        },
        agent: "agent.dupont".parse().unwrap(),
        captured_at: at(0),
        profile_sha256: sha256_hex(b"profile"),
        analyser: "recueil-analyser 0.1.0".into(),
    };
    let content = match name.strip_prefix("fingerprint-") {
        Some(code) => Content::Fingerprint {
            position: FingerPosition::try_from(code.parse::<u8>().unwrap()).unwrap(),
            ppi: 500,
        },
        None => Content::Face,
    };
    Item::new(
        name.parse().unwrap(),
        "step",
        content,
        MediaType::Png,
        Vec::new(),
        provenance,
        Zeroizing::new(bytes),
    )
}

pub(crate) fn name(text: &str) -> ItemName {
    text.parse().unwrap()
}

/// Puts an item into the draft and the store.
pub(crate) fn put(store: &mut Store, draft: &mut Draft, item: Item) -> Result<(), Error> {
    draft.items.insert(item.record.name.clone(), item.record.clone());
    store.put_item(draft, item, &stamp(1))
}

pub(crate) fn parcel(id: DossierId, sequence: u64, bytes: Vec<u8>) -> Parcel {
    Parcel {
        dossier: id,
        sha256: sha256_hex(&bytes),
        manifest_sha256: sha256_hex(b"manifest"),
        sequence,
        bytes,
    }
}

pub(crate) fn facts() -> SealedFacts {
    SealedFacts {
        title: "Carte nationale d'identité".into(),
        sealed_at: at(100),
    }
}

/// A draft with one item, sealed.
pub(crate) fn sealed(store: &mut Store, number: u8) -> Parcel {
    let mut draft = draft(number);
    store.create_draft(&draft, &stamp(0)).unwrap();
    put(store, &mut draft, item("photo", payload(number, 5000))).unwrap();
    let sequence = store.reserve_sequence(draft.id, &stamp(2)).unwrap();
    let parcel = parcel(draft.id, sequence, payload(number + 100, 9000));
    store.seal(&parcel, &facts(), &stamp(3)).unwrap();
    parcel
}

/// What CERT would answer.
pub(crate) fn receipt(parcel: &Parcel, kind: ReceiptKind, serial: u64) -> (Vec<u8>, Receipt) {
    let final_one = kind == ReceiptKind::Ingested;
    let receipt = Receipt {
        kind,
        dossier: parcel.dossier,
        parcel_sha256: parcel.sha256.clone(),
        size: parcel.bytes.len().try_into().unwrap(),
        station: "ST-1".parse().unwrap(),
        manifest_sha256: final_one.then(|| parcel.manifest_sha256.clone()),
        demande: final_one.then(|| "2026000001".parse().unwrap()),
        reason: (kind == ReceiptKind::Refused).then(|| "not readable".into()),
        time: at(200),
        serial,
        previous_sha256: None,
    };
    (format!("CMS of {serial}").into_bytes(), receipt)
}

/// Every file below a folder.
pub(crate) fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_under(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// Files below a folder in which a window of 16 bytes of `plain` stands.
pub(crate) fn plain_in(folder: &Path, plain: &[u8]) -> Vec<PathBuf> {
    let windows: std::collections::HashSet<&[u8]> = plain.windows(16).collect();
    // Most places are ruled out by their first two bytes.
    let mut beginnings = vec![false; 1 << 16];
    let beginning = |window: &[u8]| usize::from(window[0]) << 8 | usize::from(window[1]);
    for window in &windows {
        beginnings[beginning(window)] = true;
    }
    files_under(folder)
        .into_iter()
        .filter(|path| {
            let bytes = std::fs::read(path).unwrap();
            bytes
                .windows(16)
                .any(|window| beginnings[beginning(window)] && windows.contains(window))
        })
        .collect()
}
