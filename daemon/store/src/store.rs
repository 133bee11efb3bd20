use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use recueil_dossier::{AgentId, DossierId, State};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Deserialize;

use crate::crypt::Key;
use crate::files::Folder;
use crate::{Answered, Error, Recovery, StorageKey, dossier, index, recover, row, token};

/// Where the store keeps its files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `store.sqlite` and `drafts/`; made, for this user alone, where it is missing.
    pub state_dir: PathBuf,
    /// The outbox, readable by the courier; made where it is missing.
    pub ready_dir: PathBuf,
}

/// Who makes a change, and when: what the audit journal says of it.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Now.
    pub at: Timestamp,
    /// The agent who works; none for the station itself.
    pub agent: Option<AgentId>,
    /// The uid of the caller; the station's own for itself.
    pub uid: u32,
    /// The client's token and the answer that it gets, made durable in the same transaction as the change.
    pub answered: Option<Answered>,
}

impl Stamp {
    /// The station itself, without an agent or a token.
    pub fn station(at: Timestamp) -> Self {
        Self {
            at,
            agent: None,
            uid: rustix::process::geteuid().as_raw(),
            answered: None,
        }
    }
}

/// The durable state of one station. One process at a time has it open.
pub struct Store {
    pub(crate) db: Connection,
    pub(crate) key: Key,
    /// Holds the lock as well.
    pub(crate) state: Folder,
    pub(crate) drafts: Folder,
    pub(crate) ready: Folder,
    pub(crate) reserve_bytes: u64,
    /// Dossiers that a full disk stopped half-way in a step without a way back.
    pub(crate) half_done: BTreeSet<DossierId>,
    recovery: Recovery,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("recovery", &self.recovery)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, makes it where there is none, and brings what a crash left half done to its end.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::WrongKey`], [`Error::Newer`], and whatever recovery meets.
    pub fn open(config: &Config, key: StorageKey, now: Timestamp) -> Result<Self, Error> {
        let state = Folder::open(&config.state_dir, 0o700)?;
        state.lock()?;
        let ready = Folder::open(&config.ready_dir, 0o750)?;
        let drafts = state.child("drafts", 0o700)?;
        let db = index::open(&config.state_dir, &state, &key)?;
        let mut store = Self {
            db,
            key: key.0,
            state,
            drafts,
            ready,
            reserve_bytes: 0,
            half_done: BTreeSet::new(),
            recovery: Recovery::default(),
        };
        store.recovery = recover::run(&mut store, &Stamp::station(now))?;
        Ok(store)
    }

    /// What opening found and did.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// One durable step, with its client token. Where the disk is full, the reserve is given up for it.
    pub(crate) fn write<T>(
        &mut self,
        stamp: &Stamp,
        mut step: impl FnMut(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.write_once(Some(stamp), &mut step) {
            Err(Error::Full) if self.give_up_reserve()? => self.write_once(Some(stamp), &mut step),
            done => done,
        }
    }

    /// One durable step on the way to another that carries the client token.
    pub(crate) fn write_part<T>(
        &mut self,
        mut step: impl FnMut(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        match self.write_once(None, &mut step) {
            Err(Error::Full) if self.give_up_reserve()? => self.write_once(None, &mut step),
            done => done,
        }
    }

    /// One durable step that is not worth the reserve.
    pub(crate) fn write_once<T>(
        &mut self,
        stamp: Option<&Stamp>,
        step: &mut impl FnMut(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let tx = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = step(&tx)?;
        if let Some((stamp, answered)) = stamp.and_then(|stamp| Some((stamp, stamp.answered.as_ref()?))) {
            token::remember(&tx, &self.key, stamp, answered)?;
        }
        tx.commit()?;
        index::shorten_journal(&self.db, &self.state)?;
        Ok(done)
    }

    /// Writes a file that has no name yet. Where the disk is full, the reserve is given up for it.
    pub(crate) fn prepare(
        &self,
        folder: &Folder,
        name: &str,
        mode: u32,
        parts: &[&[u8]],
    ) -> Result<(), Error> {
        match folder.prepare(name, mode, parts) {
            Err(Error::Full) if self.give_up_reserve()? => folder.prepare(name, mode, parts),
            done => done,
        }
    }

    /// Where a dossier stands.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn state(&self, id: DossierId) -> Result<State, Error> {
        let state: Option<String> = self
            .db
            .query_row(
                "SELECT state FROM dossier WHERE id = ?1",
                [id.to_string()],
                |row| row.get(0),
            )
            .optional()?;
        row::state(&state.ok_or(Error::Unknown(id))?)
    }

    /// All that is kept of a dossier.
    ///
    /// # Errors
    /// [`Error::Unknown`].
    pub fn entry(&self, id: DossierId) -> Result<dossier::Entry, Error> {
        dossier::entry(&self.db, id)?.ok_or(Error::Unknown(id))
    }
}
