//! Receipts: files of the courier, verified here before anything follows from them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use recueil_dossier::{DossierId, ReceiptKind, State};
use recueil_seal::ExpectedReceipt;
use recueil_store::{Entry, Stamp};
use rustix::fs::{Mode, OFlags};

use crate::keys::Keys;
use crate::storage::Storage;

/// Largest receipt.
const RECEIPT_MAX_BYTES: u64 = 256 << 10;
/// Receipts looked at in one round; the rest follows in the next.
const ROUND_MAX: usize = 1000;
/// In the order of a parcel's life.
const KINDS: [(ReceiptKind, &str); 3] = [
    (ReceiptKind::Stored, "r1"),
    (ReceiptKind::Ingested, "r2"),
    (ReceiptKind::Refused, "reject"),
];

/// Reads every receipt of parcels under way, verifies and archives it. Gives the dossiers that changed.
pub(crate) async fn collect(dir: &Path, keys: &Arc<Keys>, storage: &Storage) -> Vec<DossierId> {
    let under_way = storage
        .run(|store| {
            let filter = recueil_store::Filter {
                states: vec![State::Sealed, State::Sending, State::Stored],
                ..recueil_store::Filter::default()
            };
            store.list(&filter, None, 200).map(|page| page.entries)
        })
        .await;
    let Ok(under_way) = under_way else {
        return Vec::new();
    };
    let mut changed = Vec::new();
    for entry in under_way.into_iter().take(ROUND_MAX) {
        for (kind, suffix) in KINDS {
            let path = dir.join(format!("{}.{suffix}.p7s", entry.id));
            if take(&path, kind, &entry, keys, storage).await {
                changed.push(entry.id);
            }
        }
    }
    changed
}

/// One receipt, if it is there. What does not verify is left, said, and changes nothing.
async fn take(path: &Path, kind: ReceiptKind, entry: &Entry, keys: &Arc<Keys>, storage: &Storage) -> bool {
    let Some(sealed) = &entry.sealed else { return false };
    let Some(bytes) = read(path.to_owned()).await else {
        return false;
    };
    let expected = ExpectedReceipt {
        dossier: entry.id,
        parcel_sha256: &sealed.sha256,
        size: sealed.len_bytes,
        station: keys.station(),
        manifest_sha256: &sealed.manifest_sha256,
    };
    let now = Timestamp::now();
    let receipt = match keys.verify_receipt(&bytes, &expected) {
        Ok(receipt) if receipt.kind == kind => receipt,
        Ok(_) => {
            tracing::error!(dossier = %entry.id, "a receipt is not of the kind that its name says");
            return false;
        }
        Err(error) => {
            tracing::error!(dossier = %entry.id, %error, "a receipt does not verify; the parcel is kept");
            return false;
        }
    };
    let id = entry.id;
    let archived = storage
        .run(move |store| {
            let before = store.receipts(id)?.len();
            store.archive_receipt(&bytes, &receipt, &Stamp::station(now))?;
            Ok(store.receipts(id)?.len() != before)
        })
        .await;
    archived.unwrap_or(false)
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
