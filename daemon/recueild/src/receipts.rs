//! Receipts: files of the courier, verified here before anything follows from them.

use std::collections::HashSet;
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

/// SHA-256 of receipts that were refused: they are neither verified nor complained of again.
#[derive(Debug, Default)]
pub(crate) struct Refused(HashSet<String>);

impl Refused {
    fn add(&mut self, sha256: String) {
        if self.0.len() >= REFUSED_MAX {
            self.0.clear();
        }
        self.0.insert(sha256);
    }
}

/// Reads every receipt of parcels under way, verifies and archives it. Gives the dossiers that changed.
pub(crate) async fn collect(
    dir: &Path,
    keys: &Arc<Keys>,
    storage: &Storage,
    refused: &mut Refused,
) -> Vec<DossierId> {
    let under_way = storage.run(|store| {
        let filter = Filter {
            states: UNDER_WAY.to_vec(),
            ..Filter::default()
        };
        all(store, &filter)
    });
    let mut changed = Vec::new();
    for entry in under_way.await.unwrap_or_default() {
        for (kind, suffix) in KINDS {
            let path = dir.join(format!("{}.{suffix}.p7s", entry.id));
            if let Some(bytes) = read(path).await
                && take(bytes, kind, &entry, keys, storage, refused).await
            {
                changed.push(entry.id);
            }
        }
    }
    changed
}

/// One receipt. What does not verify is left, said once, and changes nothing.
async fn take(
    bytes: Vec<u8>,
    kind: ReceiptKind,
    entry: &Entry,
    keys: &Arc<Keys>,
    storage: &Storage,
    refused: &mut Refused,
) -> bool {
    let Some(sealed) = &entry.sealed else { return false };
    let sha256 = sha256_hex(&bytes);
    if refused.0.contains(&sha256) || !is_new(storage, sha256.clone()).await {
        return false;
    }
    let expected = ExpectedReceipt {
        dossier: entry.id,
        parcel_sha256: &sealed.sha256,
        size: sealed.len_bytes,
        station: keys.station(),
        manifest_sha256: &sealed.manifest_sha256,
    };
    let receipt = match keys.verify_receipt(&bytes, &expected) {
        Ok(receipt) if receipt.kind == kind => receipt,
        Ok(_) => {
            tracing::error!(dossier = %entry.id, "a receipt is not of the kind that its name says; the parcel is kept");
            refused.add(sha256);
            return false;
        }
        Err(error) => {
            tracing::error!(dossier = %entry.id, %error, "a receipt does not verify; the parcel is kept");
            refused.add(sha256);
            return false;
        }
    };
    let id = entry.id;
    let now = Timestamp::now();
    let archived = storage.run(move |store| {
        match store.archive_receipt(&bytes, &receipt, &Stamp::station(now)) {
            Ok(_) => Ok(true),
            Err(error @ (recueil_store::Error::ReceiptMismatch { .. } | recueil_store::Error::Refused(_))) => {
                tracing::error!(dossier = %id, %error, "a receipt contradicts what is known; the parcel is kept");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    });
    let archived = archived.await;
    if archived.as_ref().is_ok_and(|archived| !archived) {
        refused.add(sha256);
    }
    archived.unwrap_or(false)
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
