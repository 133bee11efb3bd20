//! Receipts: files of the courier, verified here before anything follows from them.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use recueil_dossier::{DossierId, ReceiptKind, State, sha256_hex};
use recueil_seal::ExpectedReceipt;
use recueil_store::{Entry, Filter, Stamp};
use rustix::fs::{Mode, OFlags};

use crate::keys::Keys;
use crate::storage::{Storage, all};

/// Largest receipt.
const RECEIPT_MAX_BYTES: u64 = 256 << 10;
/// Receipts that were refused and are remembered.
const REFUSED_MAX: usize = 1000;
/// In the order of a parcel's life.
const KINDS: [(ReceiptKind, &str); 3] = [
    (ReceiptKind::Stored, "r1"),
    (ReceiptKind::Ingested, "r2"),
    (ReceiptKind::Refused, "reject"),
];
/// States of a parcel whose final receipt is awaited.
pub(crate) const UNDER_WAY: &[State] = &[State::Sealed, State::Sending, State::Stored];

/// Receipts that were refused, by SHA-256, and why: they are neither verified nor complained of again.
#[derive(Debug, Default)]
pub(crate) struct Refused(HashMap<String, String>);

impl Refused {
    fn add(&mut self, sha256: String, why: String) {
        if self.0.len() >= REFUSED_MAX {
            self.0.clear();
        }
        self.0.insert(sha256, why);
    }
}

/// A receipt that is refused and still lies there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RefusedReceipt {
    pub(crate) dossier: DossierId,
    pub(crate) kind: ReceiptKind,
    pub(crate) sha256: String,
    pub(crate) why: String,
}

/// What a look at the receipts gave.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Dossiers that changed.
    pub(crate) changed: Vec<DossierId>,
    /// What the courier must take away.
    pub(crate) refused: Vec<RefusedReceipt>,
}

/// What became of one receipt.
enum Taken {
    Archived,
    Refused { sha256: String, why: String },
    Nothing,
}

/// Reads every receipt of parcels under way, verifies and archives it.
pub(crate) async fn collect(
    dir: &Path,
    keys: &Arc<Keys>,
    storage: &Storage,
    refused: &mut Refused,
) -> Collected {
    let under_way = storage.run(|store| {
        let filter = Filter {
            states: UNDER_WAY.to_vec(),
            ..Filter::default()
        };
        all(store, &filter)
    });
    let mut collected = Collected::default();
    for entry in under_way.await.unwrap_or_default() {
        for (kind, suffix) in KINDS {
            let path = dir.join(format!("{}.{suffix}.p7s", entry.id));
            let Some(bytes) = read(path).await else { continue };
            match take(bytes, kind, &entry, keys, storage, refused).await {
                Taken::Archived => collected.changed.push(entry.id),
                Taken::Refused { sha256, why } => collected.refused.push(RefusedReceipt {
                    dossier: entry.id,
                    kind,
                    sha256,
                    why,
                }),
                Taken::Nothing => {}
            }
        }
    }
    collected
}

/// One receipt. What does not verify is left, said once, and changes nothing.
async fn take(
    bytes: Vec<u8>,
    kind: ReceiptKind,
    entry: &Entry,
    keys: &Arc<Keys>,
    storage: &Storage,
    refused: &mut Refused,
) -> Taken {
    let Some(sealed) = &entry.sealed else {
        return Taken::Nothing;
    };
    let sha256 = sha256_hex(&bytes);
    if let Some(why) = refused.0.get(&sha256) {
        let why = why.clone();
        return Taken::Refused { sha256, why };
    }
    if !is_new(storage, sha256.clone()).await {
        return Taken::Nothing;
    }
    let id = entry.id;
    let mut refuse = |why: String| {
        tracing::error!(dossier = %id, ?kind, why, "a receipt is not believed; the parcel is kept");
        refused.add(sha256.clone(), why.clone());
        Taken::Refused {
            sha256: sha256.clone(),
            why,
        }
    };
    let expected = ExpectedReceipt {
        dossier: entry.id,
        parcel_sha256: &sealed.sha256,
        size: sealed.len_bytes,
        station: keys.station(),
        manifest_sha256: &sealed.manifest_sha256,
    };
    let receipt = match keys.verify_receipt(&bytes, &expected) {
        Ok(receipt) if receipt.kind == kind => receipt,
        Ok(_) => return refuse("it is of another kind than CERT said".to_owned()),
        Err(error) => return refuse(error.to_string()),
    };
    let now = Timestamp::now();
    let archived =
        storage.run(
            move |store| match store.archive_receipt(&bytes, &receipt, &Stamp::station(now)) {
                Ok(_) => Ok(None),
                Err(
                    error @ (recueil_store::Error::ReceiptMismatch { .. } | recueil_store::Error::Refused(_)),
                ) => Ok(Some(error.to_string())),
                Err(error) => Err(error),
            },
        );
    match archived.await {
        Ok(None) => Taken::Archived,
        Ok(Some(why)) => refuse(format!("it contradicts what is known: {why}")),
        // The disk's trouble is the store's to tell; the receipt is looked at again.
        Err(_disk) => Taken::Nothing,
    }
}

/// Whether it is not archived yet.
async fn is_new(storage: &Storage, sha256: String) -> bool {
    let known = storage.run(move |store| store.knows_receipt(&sha256)).await;
    known.is_ok_and(|known| !known)
}

async fn read(path: PathBuf) -> Option<Vec<u8>> {
    let read = move || {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = std::fs::File::from(rustix::fs::open(&path, flags, Mode::empty()).ok()?);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() || metadata.len() > RECEIPT_MAX_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(RECEIPT_MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    tokio::task::spawn_blocking(read).await.ok()?
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use recueil_dossier::{Draft, Opening, Parcel, Procedure};
    use recueil_store::{Config, SealedFacts, StorageKey, Store};
    use tokio_util::sync::CancellationToken;
    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::tests::{STATION, enrolled};

    /// A station with sealed dossiers, and a CERT that signs with stock openssl.
    struct Desk {
        folder: tempfile::TempDir,
        keys: Arc<Keys>,
        storage: Storage,
        refused: Refused,
    }

    struct Sent {
        id: DossierId,
        sha256: String,
    }

    const MANIFEST: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = enrolled(&folder.path().join("cert"));
            let keys = Keys::load(&config, STATION.parse().unwrap()).unwrap();
            let config = Config {
                state_dir: folder.path().join("state"),
                ready_dir: folder.path().join("ready"),
            };
            let key = StorageKey::new(&Zeroizing::new([7; 32]));
            let store = Store::open(&config, key, Timestamp::now()).unwrap();
            std::fs::create_dir(folder.path().join("receipts")).unwrap();
            Self {
                folder,
                keys: Arc::new(keys),
                storage: Storage::start(store, CancellationToken::new()).unwrap(),
                refused: Refused::default(),
            }
        }

        /// A sealed dossier whose parcel is these bytes.
        async fn send(&self, number: u8) -> Sent {
            let rules = include_str!("../../../config/procedures/cni-adulte.toml");
            let opening = Opening {
                id: DossierId::new(Timestamp::UNIX_EPOCH, [number; 10]),
                owner_uid: 1000,
                agent: "agent.dupont".parse().unwrap(),
                at: Timestamp::UNIX_EPOCH,
                expires_at: Timestamp::UNIX_EPOCH,
                demande: None,
            };
            let draft = Draft::open(&Procedure::parse(rules).unwrap(), opening);
            let id = draft.id;
            let bytes = vec![number; 100];
            let sha256 = sha256_hex(&bytes);
            let parcel_sha256 = sha256.clone();
            let sealed = self.storage.run(move |store| {
                let stamp = Stamp::station(Timestamp::UNIX_EPOCH);
                store.create_draft(&draft, &stamp)?;
                let parcel = Parcel {
                    dossier: id,
                    sha256: parcel_sha256,
                    bytes,
                    manifest_sha256: MANIFEST.to_owned(),
                    sequence: store.reserve_sequence(id, &stamp)?,
                };
                let facts = SealedFacts {
                    title: "Carte".to_owned(),
                    sealed_at: Timestamp::UNIX_EPOCH,
                };
                store.seal(&parcel, &facts, &stamp)
            });
            sealed.await.unwrap();
            Sent { id, sha256 }
        }

        /// A receipt signed by this key of CERT's folder.
        fn sign(&self, sent: &Sent, kind: &str, serial: u32, more: &str, signer: &str) -> Vec<u8> {
            let (id, sha256, now) = (sent.id, &sent.sha256, Timestamp::now());
            let json = format!(
                r#"{{"type":"{kind}","dossier":"{id}","parcel_sha256":"{sha256}","size":100,"station":"{STATION}","time":"{now}","serial":{serial}{more}}}"#
            );
            let at = |name: String| self.folder.path().join(name);
            std::fs::write(at("receipt.json".into()), json).unwrap();
            let status = Command::new("openssl")
                .args("cms -sign -cades -nodetach -nosmimecap -binary -md sha256 -outform DER".split(' '))
                .arg("-in")
                .arg(at("receipt.json".into()))
                .arg("-signer")
                .arg(at(format!("cert/cert/{signer}.crt")))
                .arg("-inkey")
                .arg(at(format!("cert/cert/{signer}.key")))
                .arg("-out")
                .arg(at("receipt.p7s".into()))
                .status()
                .unwrap();
            assert!(status.success());
            std::fs::read(at("receipt.p7s".into())).unwrap()
        }

        fn r1(&self, sent: &Sent, serial: u32) -> Vec<u8> {
            self.sign(sent, "R1", serial, "", "receipt")
        }

        fn r2(&self, sent: &Sent, serial: u32) -> Vec<u8> {
            let more = format!(r#","manifest_sha256":"{MANIFEST}","demande":"2026AB000042""#);
            self.sign(sent, "R2", serial, &more, "receipt")
        }

        fn lay_down(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.folder.path().join("receipts").join(name), bytes).unwrap();
        }

        async fn look(&mut self) -> Collected {
            let dir = self.folder.path().join("receipts");
            collect(&dir, &self.keys, &self.storage, &mut self.refused).await
        }

        /// The dossiers that changed.
        async fn collect(&mut self) -> Vec<DossierId> {
            self.look().await.changed
        }

        async fn state(&self, sent: &Sent) -> State {
            let id = sent.id;
            self.storage.run(move |store| store.state(id)).await.unwrap()
        }

        fn has_parcel(&self, sent: &Sent) -> bool {
            let name = format!("ready/{}.p7m", sent.id);
            self.folder.path().join(name).exists()
        }
    }

    #[tokio::test]
    async fn the_parcel_is_kept_until_the_final_receipt_and_no_longer() {
        let mut desk = Desk::new();
        let sent = desk.send(1).await;
        assert_eq!(desk.collect().await, []);
        let r1 = desk.r1(&sent, 1);
        desk.lay_down(&format!("{}.r1.p7s", sent.id), &r1);
        assert_eq!(desk.collect().await, [sent.id]);
        assert_eq!(desk.state(&sent).await, State::Stored);
        assert!(desk.has_parcel(&sent));
        assert_eq!(desk.collect().await, [], "once is enough");
        let r2 = desk.r2(&sent, 2);
        desk.lay_down(&format!("{}.r2.p7s", sent.id), &r2);
        assert_eq!(desk.collect().await, [sent.id]);
        assert_eq!(desk.state(&sent).await, State::Ingested);
        assert!(!desk.has_parcel(&sent));
    }

    #[tokio::test]
    async fn a_receipt_under_a_wrong_name_erases_nothing() {
        let mut desk = Desk::new();
        let sent = desk.send(1).await;
        let r1 = desk.r1(&sent, 1);
        desk.lay_down(&format!("{}.r2.p7s", sent.id), &r1);
        assert_eq!(desk.collect().await, []);
        assert_eq!(desk.state(&sent).await, State::Sealed);
        assert!(desk.has_parcel(&sent));
    }

    #[tokio::test]
    async fn a_receipt_of_another_dossier_erases_nothing() {
        let mut desk = Desk::new();
        let (sent, other) = (desk.send(1).await, desk.send(2).await);
        let r2 = desk.r2(&other, 1);
        desk.lay_down(&format!("{}.r2.p7s", sent.id), &r2);
        assert_eq!(desk.collect().await, []);
        assert!(desk.has_parcel(&sent) && desk.has_parcel(&other));
    }

    #[tokio::test]
    async fn what_cert_did_not_sign_erases_nothing() {
        let mut desk = Desk::new();
        let sent = desk.send(1).await;
        let more = format!(r#","manifest_sha256":"{MANIFEST}","demande":"2026AB000042""#);
        let by_another_key = desk.sign(&sent, "R2", 1, &more, "tls");
        let mut changed = desk.r2(&sent, 1);
        let last = changed.len() - 1;
        changed[last] ^= 1;
        for bytes in [by_another_key, changed, b"R2".to_vec(), Vec::new()] {
            desk.lay_down(&format!("{}.r2.p7s", sent.id), &bytes);
            assert_eq!(desk.collect().await, []);
            assert!(desk.has_parcel(&sent));
        }
        assert_eq!(desk.refused.0.len(), 4, "each is complained of once");
        let refused = desk.look().await.refused;
        let [again] = refused.as_slice() else {
            panic!("{refused:?}")
        };
        assert_eq!(
            (again.dossier, again.kind, again.sha256.as_str()),
            (sent.id, ReceiptKind::Ingested, sha256_hex(b"").as_str()),
            "what lies there is told each time, so that the courier asks again"
        );
        // What is refused does not stand in the way of the real one.
        let r2 = desk.r2(&sent, 1);
        desk.lay_down(&format!("{}.r2.p7s", sent.id), &r2);
        assert_eq!(desk.collect().await, [sent.id]);
    }

    #[tokio::test]
    async fn a_second_receipt_of_one_kind_changes_nothing() {
        let mut desk = Desk::new();
        let sent = desk.send(1).await;
        for (serial, changed) in [(1, vec![sent.id]), (2, vec![])] {
            let r1 = desk.r1(&sent, serial);
            desk.lay_down(&format!("{}.r1.p7s", sent.id), &r1);
            assert_eq!(desk.collect().await, changed);
        }
        assert_eq!(desk.state(&sent).await, State::Stored);
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_receipt_is_not_followed() {
        let mut desk = Desk::new();
        let sent = desk.send(1).await;
        let elsewhere = desk.folder.path().join("elsewhere");
        std::fs::write(&elsewhere, desk.r2(&sent, 1)).unwrap();
        let name = format!("receipts/{}.r2.p7s", sent.id);
        std::os::unix::fs::symlink(elsewhere, desk.folder.path().join(name)).unwrap();
        assert_eq!(desk.collect().await, []);
        assert!(desk.has_parcel(&sent));
    }
}
