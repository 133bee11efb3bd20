//! Opening after a crash, and going on after a full disk: what was half done is brought to the only end that fits what
//! the disk holds.

use recueil_dossier::{DossierId, Event, State, next};
use rusqlite::{OptionalExtension, params};

use crate::draft::{file_name, ids};
use crate::files::is_unfinished;
use crate::seal::{is_there, parcel_name};
use crate::{Error, Stamp, Store, audit, row};

/// What opening found and did. All empty after an orderly end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Seals that were cut after the parcel had its name, and are now finished.
    pub sealed: Vec<DossierId>,
    /// Seals that were cut before, and are drafts again.
    pub unsealed: Vec<DossierId>,
    /// Drafts whose destruction was cut, and is now finished.
    pub ended: Vec<DossierId>,
    /// Parcels whose erasure was cut, and is now finished.
    pub erased: Vec<DossierId>,
    /// Files without a row that were removed.
    pub files_removed: usize,
    /// Sealed dossiers whose parcel is not in the outbox: somebody took it away.
    pub lost_parcels: Vec<DossierId>,
    /// Parcels in the outbox that no row knows: the index is older than they are. They are left to be sent.
    pub unknown_parcels: Vec<DossierId>,
}

pub(crate) fn run(store: &mut Store, stamp: &Stamp) -> Result<Recovery, Error> {
    let mut found = Recovery::default();
    // Names that an earlier process made or removed may not be on the disk yet; what follows relies on them.
    store.drafts.sync()?;
    store.ready.sync()?;
    finish_seals(store, stamp, &mut found)?;
    finish_endings(store, stamp, &mut found)?;
    finish_erasures(store, stamp, &mut found)?;
    clean_drafts(store, &mut found)?;
    clean_ready(store, &mut found)?;
    if found != Recovery::default() {
        tracing::warn!(?found, "the store was left half done and is repaired");
    }
    Ok(found)
}

fn finish_seals(store: &mut Store, stamp: &Stamp, found: &mut Recovery) -> Result<(), Error> {
    for id in ids(
        &store.db,
        "SELECT id FROM dossier WHERE parcel = 'writing' ORDER BY id",
    )? {
        if settle_seal(store, id, stamp)? {
            found.sealed.push(id);
        } else {
            found.unsealed.push(id);
        }
    }
    Ok(())
}

/// A parcel that had its name may be on its way already, so its seal stands. One that had not is no parcel. Whether
/// the dossier is sealed.
fn settle_seal(store: &mut Store, id: DossierId, stamp: &Stamp) -> Result<bool, Error> {
    let text = id.to_string();
    let (len, sha256): (u64, String) = store.db.query_row(
        "SELECT parcel_len, parcel_sha256 FROM dossier WHERE id = ?1",
        [&text],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if is_there(&store.ready, id, len, &sha256)? {
        let (sealed, _actor) = next(store.state(id)?, Event::SealWritten)?;
        store.finish_seal(id, sealed, stamp)?;
        return Ok(true);
    }
    store.write_part(|tx| {
        tx.execute(
            "UPDATE dossier SET parcel = 'none', title = NULL, sealed_at = NULL, parcel_sha256 = NULL,
             parcel_len = NULL, manifest_sha256 = NULL WHERE id = ?1",
            params![text],
        )?;
        audit::append(tx, stamp, "seal-not-done", Some(id))
    })?;
    Ok(false)
}

fn finish_endings(store: &mut Store, stamp: &Stamp, found: &mut Recovery) -> Result<(), Error> {
    for id in ids(
        &store.db,
        "SELECT id FROM draft WHERE ending IS NOT NULL ORDER BY id",
    )? {
        settle_ending(store, id, stamp)?;
        found.ended.push(id);
    }
    Ok(())
}

/// A draft whose key is destroyed is none, whatever else is still there of it.
fn settle_ending(store: &mut Store, id: DossierId, stamp: &Stamp) -> Result<(), Error> {
    let end: Option<String> = store
        .db
        .query_row(
            "SELECT ending FROM draft WHERE id = ?1 AND ending IS NOT NULL",
            [id.to_string()],
            |row| row.get(0),
        )
        .optional()?;
    match end {
        Some(end) => store.finish_ending(id, row::state(&end)?, stamp),
        None => Ok(()),
    }
}

impl Store {
    /// Brings a seal or a destruction that a full disk stopped half-way to the only end that fits what the disk
    /// holds, as an opening does after a crash; and gives the state then, where there was something to settle.
    ///
    /// # Errors
    /// [`Error::Full`]: there is still no room, and it waits.
    pub fn settle(&mut self, id: DossierId, stamp: &Stamp) -> Result<Option<State>, Error> {
        if !self.half_done.contains(&id) {
            return Ok(None);
        }
        let parcel: String = self.db.query_row(
            "SELECT parcel FROM dossier WHERE id = ?1",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if parcel == "writing" && !settle_seal(self, id, stamp)? {
            self.ready.discard(&parcel_name(id));
        }
        settle_ending(self, id, stamp)?;
        self.half_done.remove(&id);
        tracing::info!(dossier = %id, "what a full disk had stopped half-way came to its end");
        self.state(id).map(Some)
    }

    /// Settles every dossier that waits for room, as far as there is some, and gives those that wait no longer.
    pub fn settle_all(&mut self, stamp: &Stamp) -> Result<Vec<DossierId>, Error> {
        let mut settled = Vec::new();
        for id in self.half_done.clone() {
            match self.settle(id, stamp) {
                Ok(_) => settled.push(id),
                Err(Error::Full) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(settled)
    }
}

fn finish_erasures(store: &mut Store, stamp: &Stamp, found: &mut Recovery) -> Result<(), Error> {
    for id in ids(
        &store.db,
        "SELECT id FROM dossier WHERE parcel = 'erasing' ORDER BY id",
    )? {
        store.erase_if_due(id, stamp)?;
        found.erased.push(id);
    }
    Ok(())
}

/// Removes folders of no draft, and files of no item.
fn clean_drafts(store: &Store, found: &mut Recovery) -> Result<(), Error> {
    let living = ids(&store.db, "SELECT id FROM draft")?;
    for name in store.drafts.names()? {
        let Some(id) = name.parse().ok().filter(|id| living.contains(id)) else {
            // Whatever lies here is encrypted with a key that no longer exists.
            if name.parse::<DossierId>().is_ok() {
                store.drafts.remove_child(&name)?;
                found.files_removed += 1;
            }
            continue;
        };
        let folder = store.drafts.child(&name, 0o700)?;
        let known = item_files(store, id)?;
        let orphans: Vec<String> = folder
            .names()?
            .into_iter()
            .filter(|file| !known.contains(file))
            .collect();
        if !orphans.is_empty() {
            folder.remove(&orphans)?;
            found.files_removed += orphans.len();
        }
    }
    Ok(())
}

fn item_files(store: &Store, id: DossierId) -> Result<Vec<String>, Error> {
    let mut query = store
        .db
        .prepare("SELECT name, version FROM item WHERE dossier = ?1")?;
    let files = query
        .query_map([id.to_string()], |row| {
            Ok(file_name(&row.get::<_, String>(0)?, row.get(1)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(files)
}

/// Removes unfinished parcels and those whose dossier is a draft or has ended, and looks for the others.
fn clean_ready(store: &Store, found: &mut Recovery) -> Result<(), Error> {
    let names = store.ready.names()?;
    let mut orphans = Vec::new();
    for name in &names {
        if is_unfinished(name) {
            orphans.push(name.as_str());
            continue;
        }
        let Some(id) = name.strip_suffix(".p7m").and_then(|stem| stem.parse().ok()) else {
            continue;
        };
        let parcel: Option<String> = store
            .db
            .query_row(
                "SELECT parcel FROM dossier WHERE id = ?1",
                [DossierId::to_string(&id)],
                |row| row.get(0),
            )
            .optional()?;
        match parcel.as_deref() {
            Some("kept") => {}
            Some(_) => orphans.push(name.as_str()),
            // No draft is left to be sealed again: this file is all there is of the dossier.
            None => found.unknown_parcels.push(id),
        }
    }
    if !orphans.is_empty() {
        found.files_removed += orphans.len();
        store.ready.remove(&orphans)?;
    }
    for id in ids(
        &store.db,
        "SELECT id FROM dossier WHERE parcel = 'kept' ORDER BY id",
    )? {
        if !names.contains(&parcel_name(id)) {
            found.lost_parcels.push(id);
        }
    }
    Ok(())
}
