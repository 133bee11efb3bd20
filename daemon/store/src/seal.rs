//! The step from draft to parcel.

use std::io::Read;

use jiff::Timestamp;
use recueil_dossier::{DossierId, Event, Parcel, State, hex, next, sha256_hex};
use ring::digest::{Context, SHA256};
use rusqlite::{OptionalExtension, params};

use crate::draft::destroy_key;
use crate::files::Folder;
use crate::row::nanos;
use crate::{Error, Stamp, Store, audit};

/// What stays known of a dossier whose content can no longer be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFacts {
    /// The procedure's title, for the récépissé.
    pub title: String,
    /// When it was sealed, as the manifest says.
    pub sealed_at: Timestamp,
}

/// Largest parcel (PROTOCOL.md, `too-large`).
pub(crate) const PARCEL_MAX_BYTES: usize = 256 << 20;
/// The courier reads it through the folder's group.
const PARCEL_MODE: u32 = 0o640;

impl Store {
    /// The number that this draft's parcel must bear; the same each time it is asked. Numbers begin at 1. One
    /// whose draft was destroyed goes to the next dossier, so that CERT sees no hole.
    ///
    /// # Errors
    /// [`Error::NoDraft`].
    pub fn reserve_sequence(&mut self, id: DossierId, stamp: &Stamp) -> Result<u64, Error> {
        self.settle(id, stamp)?;
        self.draft_row(id)?;
        self.write_part(|tx| {
            let text = id.to_string();
            let reserved: Option<u64> =
                tx.query_row("SELECT sequence FROM dossier WHERE id = ?1", [&text], |row| {
                    row.get(0)
                })?;
            if let Some(number) = reserved {
                return Ok(number);
            }
            let freed: Option<u64> =
                tx.query_row("SELECT min(number) FROM freed_sequence", [], |row| row.get(0))?;
            let number = match freed {
                Some(number) => {
                    tx.execute("DELETE FROM freed_sequence WHERE number = ?1", [number])?;
                    number
                }
                None => tx.query_row(
                    "UPDATE sequence SET next = next + 1 RETURNING next - 1",
                    [],
                    |row| row.get(0),
                )?,
            };
            tx.execute(
                "UPDATE dossier SET sequence = ?2 WHERE id = ?1",
                params![text, number],
            )?;
            audit::append(tx, stamp, "sequence-reserved", Some(id))?;
            Ok(number)
        })
    }

    /// Puts the parcel into the outbox as `ID.p7m`, then destroys the draft. From the moment the file has its
    /// name there is no way back.
    ///
    /// # Errors
    /// [`Error::NoDraft`]; [`Error::Refused`]; [`Error::Inconsistent`] where the parcel is not what it says or
    /// bears another number than [`Self::reserve_sequence`] gave; [`Error::Full`]: the draft is as it was, or, where
    /// the parcel has its name already, can only be read any more until [`Self::settle`] finds room to finish.
    pub fn seal(&mut self, parcel: &Parcel, facts: &SealedFacts, stamp: &Stamp) -> Result<State, Error> {
        let id = parcel.dossier;
        self.settle(id, stamp)?;
        let sequence = self.checked_parcel(parcel)?;
        let (sealed, _actor) = next(self.state(id)?, Event::SealWritten)?;
        let file = parcel_name(id);
        self.prepare(&self.ready, &file, PARCEL_MODE, &[&parcel.bytes])?;
        let begun = self.write_part(|tx| {
            tx.execute(
                "UPDATE dossier SET parcel = 'writing', title = ?2, sealed_at = ?3, parcel_sha256 = ?4,
                 parcel_len = ?5, manifest_sha256 = ?6 WHERE id = ?1 AND sequence = ?7",
                params![
                    id.to_string(),
                    facts.title,
                    nanos(facts.sealed_at)?,
                    parcel.sha256,
                    u64::try_from(parcel.bytes.len()).unwrap_or(u64::MAX),
                    parcel.manifest_sha256,
                    sequence
                ],
            )?;
            audit::append(tx, stamp, "seal-begun", Some(id))
        });
        if let Err(error) = begun {
            if !error.is_fatal() {
                self.ready.discard(&file);
            }
            return Err(error);
        }
        // From here on only the disk can tell which fate the dossier has: where it is full that is looked up once
        // there is room, and every other failure ends the process.
        self.half_done.insert(id);
        self.ready
            .publish(&file)
            .map_err(|error| error.full_or_fatal("a parcel"))?;
        self.finish_seal(id, sealed, stamp)
            .map_err(|error| error.full_or_fatal("a seal"))?;
        self.half_done.remove(&id);
        Ok(sealed)
    }

    /// The second half of sealing, once the parcel has its name.
    pub(crate) fn finish_seal(&mut self, id: DossierId, sealed: State, stamp: &Stamp) -> Result<(), Error> {
        self.write(stamp, |tx| {
            tx.execute(
                "UPDATE dossier SET parcel = 'kept', state = ?2, changed_at = ?3 WHERE id = ?1",
                params![id.to_string(), sealed.as_str(), nanos(stamp.at)?],
            )?;
            destroy_key(tx, id, sealed)?;
            audit::append(tx, stamp, "sealed", Some(id))?;
            audit::append(tx, stamp, "key-destroyed", Some(id))
        })?;
        self.finish_ending(id, sealed, stamp)
    }

    fn checked_parcel(&self, parcel: &Parcel) -> Result<u64, Error> {
        let wrong = |what| Error::Inconsistent {
            dossier: parcel.dossier,
            what,
        };
        self.draft_row(parcel.dossier)?;
        if parcel.bytes.is_empty() || parcel.bytes.len() > PARCEL_MAX_BYTES {
            return Err(Error::Limit {
                what: "bytes of a parcel, and not none",
                max: PARCEL_MAX_BYTES,
            });
        }
        if sha256_hex(&parcel.bytes) != parcel.sha256 {
            return Err(wrong("the parcel is not what its digest says"));
        }
        let reserved: Option<u64> = self
            .db
            .query_row(
                "SELECT sequence FROM dossier WHERE id = ?1",
                [parcel.dossier.to_string()],
                |row| row.get(0),
            )
            .optional()?
            .flatten();
        reserved
            .filter(|number| *number == parcel.sequence)
            .ok_or_else(|| wrong("the parcel bears another sequence number than was reserved"))
    }
}

/// The file name of a parcel.
pub(crate) fn parcel_name(id: DossierId) -> String {
    format!("{id}.p7m")
}

/// Whether the outbox holds this very parcel.
pub(crate) fn is_there(ready: &Folder, id: DossierId, len: u64, sha256: &str) -> Result<bool, Error> {
    let Some(mut file) = ready.file(&parcel_name(id))? else {
        return Ok(false);
    };
    let unread = |source| Error::Io {
        what: "read a parcel",
        source,
    };
    if file.metadata().map_err(unread)?.len() != len {
        return Ok(false);
    }
    let mut context = Context::new(&SHA256);
    let mut part = vec![0; 64 << 10];
    loop {
        match file.read(&mut part).map_err(unread)? {
            0 => return Ok(hex(context.finish().as_ref()) == sha256),
            read => context.update(part.get(..read).unwrap_or_default()),
        }
    }
}
