//! Drafts: encrypted with a key of their own, so that destroying 32 bytes destroys them.

use recueil_dossier::{DossierId, Draft, Event, Item, ItemName, ItemRecord, State, next};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use crate::crypt::{Key, Place};
use crate::row::nanos;
use crate::{Error, Stamp, Store, audit, index, row};

/// How a draft that is not sealed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// An agent gave it up.
    Cancelled,
    /// Its time was over.
    Expired,
}

impl Ending {
    fn event(self) -> Event {
        match self {
            Self::Cancelled => Event::Cancelled,
            Self::Expired => Event::TimePassed,
        }
    }

    fn state(self) -> State {
        match self {
            Self::Cancelled => State::Cancelled,
            Self::Expired => State::Expired,
        }
    }
}

/// Most drafts at once.
const DRAFTS_MAX: usize = 500;
/// Most bytes of a draft's data as JSON.
const CONTENT_MAX_BYTES: usize = 1 << 20;
/// Most bytes of all items of a dossier; a parcel of at most 256 MiB holds them.
const PAYLOADS_MAX_BYTES: u64 = 250 << 20;
/// First bytes of an item file: name and version of its form. Nonce, ciphertext and tag follow.
const MAGIC: &[u8; 8] = b"RCLITEM\x01";
const OVERHEAD: u64 = 8 + 12 + 16;

/// A draft's row.
pub(crate) struct Row {
    pub(crate) key: Key,
    revision: i64,
    content: Vec<u8>,
}

impl Store {
    /// Begins a draft that has no items yet.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Limit`]; [`Error::Full`] also where the reserve is given up: what is open comes first.
    pub fn create_draft(&mut self, draft: &Draft, stamp: &Stamp) -> Result<(), Error> {
        if !draft.items.is_empty() {
            return Err(Error::Inconsistent {
                dossier: draft.id,
                what: "a new draft has no items",
            });
        }
        self.spare_reserve()?;
        let key = Key::random()?;
        let wrapped = key.wrapped(&self.key, Place::WrappedKey(draft.id))?;
        let content = sealed_content(&key, draft, 1)?;
        let id = draft.id.to_string();
        self.write_once(Some(stamp), &mut |tx| {
            let drafts: usize = count(tx, "SELECT count(*) FROM draft")?;
            if drafts >= DRAFTS_MAX {
                return Err(Error::Limit {
                    what: "drafts",
                    max: DRAFTS_MAX,
                });
            }
            let added = tx.execute(
                "INSERT OR IGNORE INTO dossier
                 (id, kind, procedure, state, owner_uid, agent, opened_at, changed_at, expires_at, demande)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    id,
                    draft.kind.as_str(),
                    draft.procedure.id,
                    State::Draft.as_str(),
                    draft.owner_uid,
                    draft.agent.as_str(),
                    nanos(draft.opened_at)?,
                    nanos(stamp.at)?,
                    nanos(draft.expires_at)?,
                    draft.demande.as_ref().map(recueil_dossier::DemandeNumber::as_str),
                ],
            )?;
            if added == 0 {
                return Err(Error::Exists(draft.id));
            }
            tx.execute(
                "INSERT INTO draft (id, key, revision, content) VALUES (?1, ?2, 1, ?3)",
                params![id, wrapped, content],
            )?;
            audit::append(tx, stamp, "draft-opened", Some(draft.id))
        })
    }

    /// Stores one item and the draft that names it. See [`Self::put_items`].
    pub fn put_item(&mut self, draft: &Draft, item: Item, stamp: &Stamp) -> Result<(), Error> {
        self.put_items(draft, vec![item], stamp)
    }

    /// Stores items and the draft as it is with them: all or nothing. An item of the same name is replaced;
    /// items that the draft no longer names are destroyed. When this returns, the items may be called accepted.
    ///
    /// # Errors
    /// [`Error::NoDraft`]; [`Error::Inconsistent`] where `draft.items` are not those stored before and these;
    /// [`Error::Limit`]; [`Error::Full`].
    pub fn put_items(&mut self, draft: &Draft, items: Vec<Item>, stamp: &Stamp) -> Result<(), Error> {
        self.settle(draft.id, stamp)?;
        let row = self.draft_row(draft.id)?;
        let stored = content(&row, draft.id)?;
        check_items(draft, &stored, &items)?;
        let revision = row.revision + 1;
        let names: Vec<ItemName> = items.iter().map(|item| item.record.name.clone()).collect();
        let written = if items.is_empty() {
            Ok(())
        } else {
            self.write_items(&row.key, draft.id, revision, items)
        };
        let done = written.and_then(|()| {
            let sealed = sealed_content(&row.key, draft, revision)?;
            self.write(stamp, |tx| {
                for name in &names {
                    let code = if stored.items.contains_key(name) {
                        "item-replaced"
                    } else {
                        "item-accepted"
                    };
                    audit::append(tx, stamp, code, Some(draft.id))?;
                }
                if names.is_empty() {
                    audit::append(tx, stamp, "draft-changed", Some(draft.id))?;
                }
                update_rows(tx, draft, revision, &sealed, &names, stamp)
            })
        });
        match done {
            Ok(replaced) => self.remove_files(draft.id, &replaced),
            Err(error) => {
                if !error.is_fatal() && !names.is_empty() {
                    let files: Vec<String> = names
                        .iter()
                        .map(|name| file_name(name.as_str(), revision))
                        .collect();
                    self.remove_files(draft.id, &files)?;
                }
                Err(error)
            }
        }
    }

    /// Stores the draft's data. Items that it no longer names are destroyed.
    ///
    /// # Errors
    /// [`Error::NoDraft`]; [`Error::Inconsistent`] where it names an item that was not stored.
    pub fn save_draft(&mut self, draft: &Draft, stamp: &Stamp) -> Result<(), Error> {
        self.put_items(draft, Vec::new(), stamp)
    }

    /// A draft's data.
    ///
    /// # Errors
    /// [`Error::NoDraft`], [`Error::Damaged`].
    pub fn load_draft(&self, id: DossierId) -> Result<Draft, Error> {
        content(&self.draft_row(id)?, id)
    }

    /// The data of every draft that can be read, oldest first. One that cannot is named in the log.
    pub fn drafts(&self) -> Result<Vec<Draft>, Error> {
        let mut drafts = Vec::new();
        for id in ids(&self.db, "SELECT id FROM draft WHERE ending IS NULL ORDER BY id")? {
            match self.load_draft(id) {
                Ok(draft) => drafts.push(draft),
                Err(error @ Error::Damaged { .. }) => {
                    tracing::error!(dossier = %id, %error, "a draft cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(drafts)
    }

    /// Drafts whose time is over. One that is being sealed is none any more.
    pub fn expired_drafts(&self, now: jiff::Timestamp) -> Result<Vec<DossierId>, Error> {
        let mut query = self.db.prepare(
            "SELECT draft.id FROM draft JOIN dossier USING (id)
             WHERE ending IS NULL AND parcel = 'none' AND expires_at <= ?1 ORDER BY id",
        )?;
        let texts = query
            .query_map([nanos(now)?], |row| row.get::<_, String>(0))?
            .collect::<Result<Vec<_>, _>>()?;
        texts.iter().map(|text| row::id(text)).collect()
    }

    /// One item, whole and unchanged.
    ///
    /// # Errors
    /// [`Error::NoDraft`], [`Error::NoItem`], [`Error::Damaged`].
    pub fn load_item(&self, id: DossierId, name: &ItemName) -> Result<Item, Error> {
        let row = self.draft_row(id)?;
        let mut draft = content(&row, id)?;
        let record = draft.items.remove(name).ok_or_else(|| Error::NoItem {
            dossier: id,
            item: name.clone(),
        })?;
        self.read_item(&row.key, id, record)
    }

    /// All items of a draft in the order of their names, whole and unchanged.
    pub fn load_items(&self, id: DossierId) -> Result<Vec<Item>, Error> {
        let row = self.draft_row(id)?;
        let draft = content(&row, id)?;
        draft
            .items
            .into_values()
            .map(|record| self.read_item(&row.key, id, record))
            .collect()
    }

    /// Destroys a draft: its key first, then its items, then its state says so. A crash in between is finished
    /// at the next opening.
    ///
    /// # Errors
    /// [`Error::NoDraft`], [`Error::Refused`]; [`Error::Full`]: the draft is as it was, or, where its key is destroyed
    /// already, is gone once [`Self::settle`] finds room to say so.
    pub fn destroy_draft(&mut self, id: DossierId, ending: Ending, stamp: &Stamp) -> Result<State, Error> {
        if self.settle(id, stamp)? == Some(ending.state()) {
            return Ok(ending.state());
        }
        // The key may be damaged: what cannot be read can still be destroyed.
        self.is_living(id)?;
        let (end, _actor) = next(self.state(id)?, ending.event())?;
        self.write(stamp, |tx| {
            destroy_key(tx, id, end)?;
            audit::append(tx, stamp, "key-destroyed", Some(id))
        })?;
        // Without its key it is no draft any more, and its state does not say so yet.
        self.half_done.insert(id);
        self.finish_ending(id, end, stamp)
            .map_err(|error| error.full_or_fatal("a destruction"))?;
        self.half_done.remove(&id);
        Ok(end)
    }

    /// What follows a destroyed key: overwritten pages, no files, no rows, and the end state where it is not
    /// there yet.
    pub(crate) fn finish_ending(&mut self, id: DossierId, end: State, stamp: &Stamp) -> Result<(), Error> {
        index::flush_deleted(&self.db)?;
        self.drafts.remove_child(&id.to_string())?;
        self.write_part(|tx| {
            let text = id.to_string();
            tx.execute("DELETE FROM draft WHERE id = ?1", [&text])?;
            audit::append(tx, stamp, "items-destroyed", Some(id))?;
            if end == State::Sealed {
                return Ok(());
            }
            // A number that no parcel bears goes to the next one: CERT sees no hole.
            tx.execute(
                "INSERT INTO freed_sequence SELECT sequence FROM dossier WHERE id = ?1 AND sequence IS NOT NULL",
                [&text],
            )?;
            tx.execute(
                "UPDATE dossier SET state = ?2, changed_at = ?3, sequence = NULL, agent = NULL WHERE id = ?1",
                params![text, end.as_str(), nanos(stamp.at)?],
            )?;
            audit::append(tx, stamp, end.as_str(), Some(id))
        })
    }

    /// Refuses what is no draft, or none any more.
    fn is_living(&self, id: DossierId) -> Result<(), Error> {
        let found: Option<i64> = self
            .db
            .query_row(
                "SELECT 1 FROM draft WHERE id = ?1 AND ending IS NULL",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        found.map(drop).ok_or(Error::NoDraft(id))
    }

    /// A living draft's row, its key unwrapped.
    pub(crate) fn draft_row(&self, id: DossierId) -> Result<Row, Error> {
        let found: Option<(Vec<u8>, i64, Vec<u8>)> = self
            .db
            .query_row(
                "SELECT key, revision, content FROM draft WHERE id = ?1 AND ending IS NULL",
                [id.to_string()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )
            .optional()?;
        let (wrapped, revision, content) = found.ok_or(Error::NoDraft(id))?;
        let key = Key::unwrapped(wrapped, &self.key, Place::WrappedKey(id))
            .map_err(|_unopened| Error::damaged(id, "key"))?;
        Ok(Row {
            key,
            revision,
            content,
        })
    }

    fn write_items(&self, key: &Key, id: DossierId, version: i64, items: Vec<Item>) -> Result<(), Error> {
        let folder = self.drafts.child(&id.to_string(), 0o700)?;
        for Item { record, mut payload } in items {
            let place = Place::Item(id, record.name.as_str(), version);
            let (nonce, tag) = key.seal_in_place(place, &mut payload)?;
            let file = file_name(record.name.as_str(), version);
            self.prepare(&folder, &file, 0o600, &[MAGIC, &nonce, &payload, &tag])?;
            folder.publish(&file)?;
        }
        Ok(())
    }

    /// Removes files that no row names, as far as that goes: the next opening does the rest, and the change
    /// that made them useless stands.
    fn remove_files(&self, id: DossierId, files: &[String]) -> Result<(), Error> {
        if files.is_empty() {
            return Ok(());
        }
        let removed = self
            .drafts
            .child(&id.to_string(), 0o700)
            .and_then(|folder| folder.remove(files));
        match removed {
            Err(error) if !error.is_fatal() => {
                tracing::warn!(dossier = %id, %error, "encrypted files stay until the next start");
                Ok(())
            }
            done => done,
        }
    }

    fn read_item(&self, key: &Key, id: DossierId, record: ItemRecord) -> Result<Item, Error> {
        let damaged = || Error::damaged(id, record.name.as_str());
        let version: Option<i64> = self
            .db
            .query_row(
                "SELECT version FROM item WHERE dossier = ?1 AND name = ?2",
                params![id.to_string(), record.name.as_str()],
                |row| row.get(0),
            )
            .optional()?;
        let version = version.ok_or_else(damaged)?;
        let folder = self.drafts.child(&id.to_string(), 0o700)?;
        let max_bytes = record.len_bytes.saturating_add(OVERHEAD);
        let mut bytes = folder
            .read(&file_name(record.name.as_str(), version), max_bytes)?
            .ok_or_else(damaged)?;
        if !bytes.starts_with(MAGIC) {
            return Err(damaged());
        }
        bytes.drain(..MAGIC.len());
        let payload = key
            .open(Place::Item(id, record.name.as_str(), version), bytes)
            .map_err(|_unopened| damaged())?;
        let item = Item { record, payload };
        if item.is_intact() {
            Ok(item)
        } else {
            Err(Error::damaged(id, item.record.name.as_str()))
        }
    }
}

/// The name of an item's file in its draft's folder. An item's name holds no dot.
pub(crate) fn file_name(name: &str, version: i64) -> String {
    format!("{name}.{version}")
}

/// Overwrites the wrapped key in its row.
pub(crate) fn destroy_key(tx: &Connection, id: DossierId, end: State) -> Result<(), Error> {
    tx.execute(
        "UPDATE draft SET key = zeroblob(length(key)), content = zeroblob(length(content)), ending = ?2 WHERE id = ?1",
        params![id.to_string(), end.as_str()],
    )?;
    Ok(())
}

/// Ids that a query without parameters gives.
pub(crate) fn ids(db: &Connection, sql: &str) -> Result<Vec<DossierId>, Error> {
    let mut query = db.prepare(sql)?;
    let texts = query
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    texts.iter().map(|text| row::id(text)).collect()
}

fn count(db: &Connection, sql: &str) -> Result<usize, Error> {
    let count: i64 = db.query_row(sql, [], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Every item of `draft` is one of these or is stored as it stands.
fn check_items(draft: &Draft, stored: &Draft, items: &[Item]) -> Result<(), Error> {
    let wrong = |what| {
        Err(Error::Inconsistent {
            dossier: draft.id,
            what,
        })
    };
    if draft.items.len() > Draft::ITEMS_MAX {
        return Err(Error::Limit {
            what: "items of a dossier",
            max: Draft::ITEMS_MAX,
        });
    }
    for item in items {
        if draft.items.get(&item.record.name) != Some(&item.record) {
            return wrong("an item that the draft does not name");
        }
        if item.payload.is_empty() || item.payload.len() > Item::PAYLOAD_MAX_BYTES {
            return Err(Error::Limit {
                what: "bytes of an item, and not none",
                max: Item::PAYLOAD_MAX_BYTES,
            });
        }
        if !item.is_intact() {
            return wrong("an item that is not what its record says");
        }
    }
    let is_new = |name: &ItemName| items.iter().any(|item| item.record.name == *name);
    if draft.items.iter().any(|(name, record)| {
        record.name != *name || (!is_new(name) && stored.items.get(name) != Some(record))
    }) {
        return wrong("the draft names an item that is not stored");
    }
    let total = draft
        .items
        .values()
        .fold(0, |sum: u64, record| sum.saturating_add(record.len_bytes));
    if total > PAYLOADS_MAX_BYTES {
        return Err(Error::Limit {
            what: "bytes of all items of a dossier",
            max: usize::try_from(PAYLOADS_MAX_BYTES).unwrap_or(usize::MAX),
        });
    }
    Ok(())
}

/// Writes the draft's data and item rows; gives the files that no row names any more.
fn update_rows(
    tx: &Transaction<'_>,
    draft: &Draft,
    revision: i64,
    sealed: &[u8],
    new: &[ItemName],
    stamp: &Stamp,
) -> Result<Vec<String>, Error> {
    let id = draft.id.to_string();
    let mut replaced = Vec::new();
    let mut query = tx.prepare("SELECT name, version FROM item WHERE dossier = ?1")?;
    let rows = query
        .query_map([&id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
        .collect::<Result<Vec<_>, _>>()?;
    for (name, version) in rows {
        let kept = draft.items.keys().any(|kept| kept.as_str() == name);
        if !kept || new.iter().any(|new| new.as_str() == name) {
            tx.execute(
                "DELETE FROM item WHERE dossier = ?1 AND name = ?2",
                params![id, name],
            )?;
            replaced.push(file_name(&name, version));
        }
        if !kept {
            audit::append(tx, stamp, "item-destroyed", Some(draft.id))?;
        }
    }
    for name in new {
        tx.execute(
            "INSERT INTO item (dossier, name, version) VALUES (?1, ?2, ?3)",
            params![id, name.as_str(), revision],
        )?;
    }
    tx.execute(
        "UPDATE draft SET revision = ?2, content = ?3 WHERE id = ?1",
        params![id, revision, sealed],
    )?;
    tx.execute(
        "UPDATE dossier SET kind = ?2, procedure = ?3, owner_uid = ?4, agent = ?5, expires_at = ?6,
         demande = ?7, changed_at = ?8 WHERE id = ?1",
        params![
            id,
            draft.kind.as_str(),
            draft.procedure.id,
            draft.owner_uid,
            draft.agent.as_str(),
            nanos(draft.expires_at)?,
            draft.demande.as_ref().map(recueil_dossier::DemandeNumber::as_str),
            nanos(stamp.at)?
        ],
    )?;
    Ok(replaced)
}

fn content(row: &Row, id: DossierId) -> Result<Draft, Error> {
    let damaged = || Error::damaged(id, "draft");
    let plain = row
        .key
        .open(Place::Content(id, row.revision), row.content.clone())
        .map_err(|_unopened| damaged())?;
    serde_json::from_slice(&plain).map_err(|_not_one| damaged())
}

/// A draft's data, encrypted. The buffer is made large enough at once: one that grows leaves copies behind.
fn sealed_content(key: &Key, draft: &Draft, revision: i64) -> Result<Vec<u8>, Error> {
    let wrong = |_unserialisable| Error::Inconsistent {
        dossier: draft.id,
        what: "the draft's data cannot be written",
    };
    let mut len = Length(0);
    serde_json::to_writer(&mut len, draft).map_err(wrong)?;
    if len.0 > CONTENT_MAX_BYTES {
        return Err(Error::Limit {
            what: "bytes of a draft's data",
            max: CONTENT_MAX_BYTES,
        });
    }
    let mut plain = Zeroizing::new(Vec::with_capacity(len.0));
    serde_json::to_writer(&mut *plain, draft).map_err(wrong)?;
    key.seal(Place::Content(draft.id, revision), &mut plain)
}

/// Counts what is written to it.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
