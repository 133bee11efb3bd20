//! One parcel's way to CERT, and one receipt's way back. Both can be cut anywhere and begun again.

use std::sync::Arc;
use std::time::Duration;

use recueil_dossier::{DossierId, ReceiptKind};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::Error;
use crate::cert::{Announced, Failure, Line, Standing};
use crate::config::CHUNK_MIN_BYTES;
use crate::files::{Folders, Outgoing};

/// What lanes and look-ups tell the desk.
#[derive(Debug)]
pub(crate) enum Event {
    /// CERT has this many bytes of a parcel.
    Sent(DossierId, u64),
    /// A sending ended; with R1 in `receipts/` if it is good.
    SendingEnded(DossierId, Result<(), Trouble>),
    /// A question for a receipt ended; with R2 or a refusal in `receipts/` if there is one.
    AskingEnded(DossierId, Result<Option<ReceiptKind>, Trouble>),
    /// A look-up ended.
    LookedUp(Result<(), Failure>),
}

/// Why a lane stopped.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// CERT or the line.
    Cert(Failure),
    /// The parcel is not there any more.
    Gone,
    /// The parcel cannot be read, or a receipt not written. Tried again.
    Disk(std::io::Error),
    /// A receipt, or a parcel's name, may not be on the disk.
    Fatal(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Cert(failure)
    }
}

impl Trouble {
    fn of_disk(error: Error) -> Self {
        match error {
            Error::File { source, .. } => Self::Disk(source),
            fatal => Self::Fatal(fatal),
        }
    }
}

/// How often one sending begins again at CERT's word before it counts as failed; each may cost a whole parcel.
const TURNS_MAX: u32 = 3;

/// Sends parcels, one after the other, on one line.
pub(crate) async fn send(
    mut line: Line,
    folders: Arc<Folders>,
    chunk_bytes: u64,
    mut jobs: mpsc::Receiver<DossierId>,
    events: mpsc::Sender<Event>,
) {
    let mut chunk = Chunk {
        bytes: chunk_bytes,
        max_bytes: chunk_bytes,
    };
    while let Some(id) = jobs.recv().await {
        let done = send_one(&mut line, &folders, &mut chunk, id, &events).await;
        // A desk that is gone needs no news.
        if events.send(Event::SendingEnded(id, done)).await.is_err() {
            return;
        }
    }
}

async fn send_one(
    line: &mut Line,
    folders: &Arc<Folders>,
    chunk: &mut Chunk,
    id: DossierId,
    events: &mpsc::Sender<Event>,
) -> Result<(), Trouble> {
    let outgoing = blocking(folders, move |folders| folders.outgoing(id)).await?;
    let outgoing = outgoing.map_err(Trouble::of_disk)?.ok_or(Trouble::Gone)?;
    let mut last = Failure::Digest;
    for _turn in 0..TURNS_MAX {
        let Announced {
            state,
            upload,
            offset,
        } = line.announce(id, outgoing.size, &outgoing.sha256).await?;
        if let (Standing::Receiving, Some(upload)) = (state, upload) {
            match send_bytes(line, &outgoing, chunk, id, &upload, offset, events).await {
                Err(Trouble::Cert(Failure::Expired)) => {
                    last = Failure::Expired;
                    continue;
                }
                done => done?,
            }
        }
        match line.commit(id, &outgoing.sha256).await {
            // Bytes were lost or changed on the way: CERT says from where to go on.
            Err(failure @ (Failure::Digest | Failure::Expired | Failure::NotFound)) => last = failure,
            Err(failure) => return Err(failure.into()),
            Ok(receipt) => return write(folders, id, ReceiptKind::Stored, receipt).await,
        }
    }
    Err(last.into())
}

async fn send_bytes(
    line: &mut Line,
    outgoing: &Outgoing,
    chunk: &mut Chunk,
    id: DossierId,
    upload: &str,
    mut offset: u64,
    events: &mpsc::Sender<Event>,
) -> Result<(), Trouble> {
    let mut corrections = 0;
    while offset < outgoing.size {
        let part = outgoing.part(offset, chunk.bytes).map_err(Trouble::Disk)?;
        match line.send(upload, offset, part).await {
            Ok(now) => {
                chunk.went_well();
                offset = now;
            }
            Err(Failure::Offset) if corrections < TURNS_MAX => {
                corrections += 1;
                offset = line.offset(upload, outgoing.size).await?;
            }
            Err(Failure::TooLarge) if chunk.shrink() => {}
            Err(failure) => {
                chunk.shrink();
                return Err(failure.into());
            }
        }
        // A desk that is gone needs no news; the lane ends with its job.
        if events.send(Event::Sent(id, offset)).await.is_err() {
            return Err(Trouble::Gone);
        }
    }
    Ok(())
}

/// How much goes into one PATCH: less on a line that breaks.
struct Chunk {
    bytes: u64,
    max_bytes: u64,
}

impl Chunk {
    fn went_well(&mut self) {
        self.bytes = self.bytes.saturating_mul(2).min(self.max_bytes);
    }

    /// Whether there was something to take away.
    fn shrink(&mut self) -> bool {
        let smaller = (self.bytes / 2).max(CHUNK_MIN_BYTES);
        let shrunk = smaller < self.bytes;
        self.bytes = smaller.min(self.bytes);
        shrunk
    }
}

/// Asks for final receipts, one parcel after the other, on one line. A job is a parcel and how long CERT may
/// keep the answer back.
pub(crate) async fn ask(
    mut line: Line,
    folders: Arc<Folders>,
    mut jobs: mpsc::Receiver<(DossierId, Duration)>,
    events: mpsc::Sender<Event>,
) {
    while let Some((id, wait)) = jobs.recv().await {
        let done = ask_one(&mut line, &folders, id, wait).await;
        if events.send(Event::AskingEnded(id, done)).await.is_err() {
            return;
        }
    }
}

async fn ask_one(
    line: &mut Line,
    folders: &Arc<Folders>,
    id: DossierId,
    wait: Duration,
) -> Result<Option<ReceiptKind>, Trouble> {
    let Some(receipt) = line.receipt(id, wait.as_secs()).await? else {
        return Ok(None);
    };
    // The receipt is not opened here; CERT says beside it what it is.
    let outgoing = blocking(folders, move |folders| folders.outgoing(id)).await?;
    let outgoing = outgoing.map_err(Trouble::of_disk)?.ok_or(Trouble::Gone)?;
    let kind = match line.announce(id, outgoing.size, &outgoing.sha256).await?.state {
        Standing::Ingested => ReceiptKind::Ingested,
        Standing::Refused => ReceiptKind::Refused,
        Standing::Receiving | Standing::Stored => {
            return Err(Failure::protocol("a final receipt for a dossier that is not final").into());
        }
    };
    write(folders, id, kind, receipt).await?;
    Ok(Some(kind))
}

async fn write(
    folders: &Arc<Folders>,
    id: DossierId,
    kind: ReceiptKind,
    bytes: Vec<u8>,
) -> Result<(), Trouble> {
    blocking(folders, move |folders| folders.write_receipt(id, kind, &bytes))
        .await?
        .map_err(Trouble::of_disk)
}

/// Longest time that a disk may take.
const DISK: Duration = Duration::from_mins(2);

async fn blocking<T: Send + 'static>(
    folders: &Arc<Folders>,
    work: impl FnOnce(&Folders) -> T + Send + 'static,
) -> Result<T, Trouble> {
    let folders = folders.clone();
    let work = tokio::task::spawn_blocking(move || work(&folders));
    match timeout(DISK, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Trouble::Disk(std::io::Error::other(error))),
        Err(elapsed) => Err(Trouble::Disk(elapsed.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_shrink_on_a_bad_line_and_grow_again() {
        let mut chunk = Chunk {
            bytes: 256 << 10,
            max_bytes: 256 << 10,
        };
        assert!(chunk.shrink() && chunk.shrink());
        assert!(!chunk.shrink(), "64 KiB is the least");
        assert_eq!(chunk.bytes, 64 << 10);
        chunk.went_well();
        chunk.went_well();
        chunk.went_well();
        assert_eq!(chunk.bytes, 256 << 10);
    }
}
