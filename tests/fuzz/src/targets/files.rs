//! What lies on the disk and may be damaged: the store, what plugins stored, drafts after decryption; and the
//! pré-demande that CERT sends.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use jiff::Timestamp;
use recueil_device::blobs::BlobStore;
use recueil_device::quarantine::QuarantineStore;
use recueil_dossier::{
    Content, DossierId, Draft, Item, ItemRecord, MediaType, Opening, Parcel, PreDemande, Procedure,
    Provenance, Source, sha256_hex,
};
use recueil_store::{Config, Filter, SealedFacts, Stamp, StorageKey, Store};
use recueil_wire::host::Blob;
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::same;
use crate::bytes::Bytes;
use crate::pki::now;

const PROCEDURES: [&str; 2] = [
    include_str!("../../../../config/procedures/cni-adulte.toml"),
    include_str!("../../../../config/procedures/remise-cni.toml"),
];

fn procedures() -> &'static [Procedure] {
    static ALL: OnceLock<Vec<Procedure>> = OnceLock::new();
    ALL.get_or_init(|| {
        let read = |text: &&str| Procedure::parse(text).expect("a procedure");
        PROCEDURES.iter().map(read).collect()
    })
}

/// A draft's data after decryption.
pub fn draft(bytes: &[u8]) {
    let Ok(draft) = serde_json::from_slice::<Draft>(bytes) else {
        return;
    };
    super::reach("draft-json");
    let written = serde_json::to_value(&draft).expect("a draft is written");
    let read: Draft = serde_json::from_value(written.clone()).expect("what is written is read");
    assert!(same(
        &written,
        &serde_json::to_value(&read).expect("a draft is written")
    ));
    for procedure in procedures() {
        let missing = draft.missing(procedure);
        for step in &procedure.steps {
            draft.decision(&step.id);
        }
        match draft.clone().finish(procedure, Vec::new()) {
            Ok(dossier) => assert!(missing.is_empty() && dossier.items().is_empty()),
            Err(unfinished) => assert_eq!(unfinished.missing, missing),
        }
    }
}

/// What CERT's envelope holds, taken over into a draft.
pub fn pre_demande(bytes: &[u8]) {
    let Ok(fetched) = serde_json::from_slice::<PreDemande>(bytes) else {
        return;
    };
    super::reach("pre-demande");
    let again = serde_json::to_vec(&fetched).expect("a pré-demande is written");
    assert_eq!(
        serde_json::from_slice::<PreDemande>(&again).ok().as_ref(),
        Some(&fetched)
    );
    for procedure in procedures() {
        let mut draft = Draft::open(procedure, opening(1));
        let said = fetched.fields.len();
        let refused = draft.take_pre_demande(procedure, fetched.clone());
        assert!(draft.fields.len() + refused.len() <= said);
        for (name, field) in &draft.fields {
            let rule = procedure.field(name).expect("only fields of the procedure");
            assert!(field.value.chars().count() <= rule.max_chars);
            assert!(!field.value.chars().any(char::is_control));
            assert!(rule.values.is_empty() || rule.values.contains(&field.value));
        }
    }
}

fn opening(number: u8) -> Opening {
    Opening {
        id: DossierId::new(now(), [number; 10]),
        owner_uid: 1000,
        agent: "agent.dupont".parse().expect("a name"),
        at: now(),
        expires_at: now(),
        demande: None,
    }
}

/// The file of what a plugin stored for its device: what is read of it can be given to a host.
pub fn blobs(bytes: &[u8]) {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(memory_dir).path();
    let folder = dir.join("blobs/fr.example");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("device.json"), bytes).expect("a file");
    let Ok(blobs) = BlobStore::new(dir).load("fr.example", "device") else {
        return;
    };
    super::reach("blobs-file");
    let total: usize = blobs.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(blobs.len() <= 64 && total <= recueil_device::blobs::DEVICE_MAX_BYTES);
    let table: Vec<Blob> = blobs
        .iter()
        .map(|(key, value)| Blob {
            key: key.clone(),
            len: u64::try_from(value.len()).expect("small"),
        })
        .collect();
    let bytes: Vec<u8> = blobs.values().flatten().copied().collect();
    let given = recueil_device_host::fuzzing::blobs(&table, &bytes).expect("a host takes them apart");
    assert!(given.iter().map(|(value, _parts)| value).eq(blobs.values()));
}

/// The file that says why a device is in quarantine.
pub fn quarantine(bytes: &[u8]) {
    static DIR: OnceLock<TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(memory_dir).path();
    let folder = dir.join("quarantine");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("virtual-fp4-SN0001.json"), bytes).expect("a file");
    if let Ok(Some(known)) = QuarantineStore::new(dir).load("virtual-fp4-SN0001") {
        super::reach("quarantine-file");
        assert_eq!(known.device, "virtual-fp4-SN0001");
        for (text, max) in [
            (&known.plugin, 128),
            (&known.plugin_version, 64),
            (&known.reason, 400),
        ] {
            assert!(text.chars().count() <= max && !text.chars().any(char::is_control));
        }
    }
}

/// Folders without a disk behind them, where the machine has any.
fn memory_dir() -> TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        tempfile::tempdir_in(shm).or_else(|_full| tempfile::tempdir())
    } else {
        tempfile::tempdir()
    }
    .expect("a folder")
}

/// A store as it should be: every file by its path, and what it says.
struct Whole {
    files: Vec<(PathBuf, Vec<u8>)>,
    drafts: BTreeMap<DossierId, Draft>,
    pixels: Vec<u8>,
}

fn config(root: &Path) -> Config {
    Config {
        state_dir: root.join("state"),
        ready_dir: root.join("ready"),
    }
}

fn open(root: &Path) -> Result<Store, recueil_store::Error> {
    Store::open(&config(root), StorageKey::new(&Zeroizing::new([7; 32])), now())
}

fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let root = memory_dir();
        let mut store = open(root.path()).expect("a store");
        let stamp = Stamp::station(now());
        let pixels: Vec<u8> = (0..=255).cycle().take(3000).collect();
        let mut drafts = BTreeMap::new();
        let procedure = procedures().first().expect("a procedure");
        for number in 1..=2 {
            let mut draft = Draft::open(procedure, opening(number));
            store.create_draft(&draft, &stamp).expect("a draft");
            let record = record(&pixels);
            draft.items.insert(record.name.clone(), record.clone());
            let item = Item {
                record,
                payload: Zeroizing::new(pixels.clone()),
            };
            store.put_item(&draft, item, &stamp).expect("an item");
            drafts.insert(draft.id, draft);
        }
        let sealed = Draft::open(procedure, opening(3));
        store.create_draft(&sealed, &stamp).expect("a draft");
        let parcel = Parcel {
            dossier: sealed.id,
            sha256: sha256_hex(b"parcel"),
            bytes: b"parcel".to_vec(),
            manifest_sha256: sha256_hex(b"manifest"),
            sequence: store.reserve_sequence(sealed.id, &stamp).expect("a number"),
        };
        let facts = SealedFacts {
            title: "Carte".to_owned(),
            sealed_at: now(),
        };
        store.seal(&parcel, &facts, &stamp).expect("a parcel");
        drop(store);
        let mut files = Vec::new();
        collect(root.path(), Path::new(""), &mut files);
        files.sort();
        Whole {
            files,
            drafts,
            pixels,
        }
    })
}

fn record(pixels: &[u8]) -> ItemRecord {
    ItemRecord {
        name: "photo".parse().expect("a name"),
        step: "photo".to_owned(),
        content: Content::Face,
        media_type: MediaType::Png,
        len_bytes: u64::try_from(pixels.len()).expect("small"),
        sha256: sha256_hex(pixels),
        criteria: Vec::new(),
        provenance: Provenance {
            source: Source {
                vendor: "v".to_owned(),
                model: "m".to_owned(),
                serial: "s".to_owned(),
                plugin: "fr.example".to_owned(),
                plugin_version: "1".to_owned(),
            },
            agent: "agent.dupont".parse().expect("a name"),
            captured_at: now(),
            profile_sha256: sha256_hex(b"profile"),
            analyser: "recueil-analyser 0".to_owned(),
        },
    }
}

fn collect(root: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(root.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = below.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            collect(root, &path, files);
        } else {
            files.push((path, fs::read(entry.path()).expect("a file")));
        }
    }
}

/// A store some bytes of which were changed, files of which were cut or taken away. It opens and says what was
/// written, or says what is wrong; it never gives other pixels or another draft.
pub fn store(bytes: &[u8]) {
    let whole = whole();
    let mut files = whole.files.clone();
    let mut input = Bytes(bytes);
    for _damage in 0..=input.byte() % 8 {
        let chosen = usize::from(input.byte()) % files.len();
        let Some((_path, content)) = files.get_mut(chosen) else {
            continue;
        };
        let place = usize::try_from(input.word()).expect("an index") % (content.len() + 1);
        match input.byte() % 8 {
            0 => content.truncate(place),
            1 => content.clear(),
            2 => drop(files.swap_remove(chosen)),
            _ => {
                let part = input.part();
                for (to, from) in content.iter_mut().skip(place).zip(part) {
                    *to = *from;
                }
            }
        }
        if files.is_empty() {
            return;
        }
    }
    let root = memory_dir();
    for (path, content) in &files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
    }
    let Ok(mut store) = open(root.path()) else { return };
    let Ok(page) = store.list(&Filter::default(), None, 50) else {
        return;
    };
    for entry in &page.entries {
        let _said = (
            store.receipts(entry.id),
            store.recepisse(entry.id),
            store.state(entry.id),
        );
    }
    for draft in store.drafts().unwrap_or_default() {
        assert_eq!(
            whole.drafts.get(&draft.id),
            Some(&draft),
            "a draft is what it was"
        );
        for item in store.load_items(draft.id).unwrap_or_default() {
            super::reach("store");
            assert_eq!(item.payload.as_slice(), whole.pixels, "pixels are what they were");
        }
    }
    let _said = (store.verify_audit(), store.audit(0, 100));
    let stamp = Stamp::station(now());
    let _said = store.forget_ended(Timestamp::MAX, &stamp);
}
