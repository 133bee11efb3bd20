//! The `SQLite` index: how it is opened, and its tables.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::crypt::{Key, Place};
use crate::files::Folder;
use crate::{Error, StorageKey};

/// Kept in `PRAGMA user_version`. A schema once released never changes; a later one is a step after it.
const SCHEMA: i64 = 1;

/// `parcel` says what is in `ready/`: `none`, `writing` (the file may be there), `kept`, `erasing`, `erased`.
/// `ending` marks a draft whose key is destroyed, with what it ends as. Times are nanoseconds since 1970, UTC.
const TABLES: &str = "
CREATE TABLE dossier (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    procedure TEXT NOT NULL,
    state TEXT NOT NULL,
    owner_uid INTEGER NOT NULL,
    agent TEXT,
    opened_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    sequence INTEGER UNIQUE,
    title TEXT,
    sealed_at INTEGER,
    parcel TEXT NOT NULL DEFAULT 'none',
    parcel_sha256 TEXT,
    parcel_len INTEGER,
    manifest_sha256 TEXT,
    demande TEXT,
    ingested_at INTEGER,
    reason TEXT,
    acknowledged_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX dossier_demande ON dossier (demande) WHERE demande IS NOT NULL;
CREATE TABLE draft (
    id TEXT PRIMARY KEY REFERENCES dossier (id),
    key BLOB NOT NULL,
    revision INTEGER NOT NULL,
    content BLOB NOT NULL,
    ending TEXT
) STRICT;
CREATE TABLE item (
    dossier TEXT NOT NULL REFERENCES draft (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (dossier, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE receipt (
    dossier TEXT NOT NULL REFERENCES dossier (id),
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL UNIQUE,
    serial INTEGER NOT NULL UNIQUE,
    bytes BLOB NOT NULL,
    content TEXT NOT NULL,
    archived_at INTEGER NOT NULL,
    PRIMARY KEY (dossier, kind)
) STRICT;
CREATE TABLE audit (
    line INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    agent TEXT,
    uid INTEGER NOT NULL,
    code TEXT NOT NULL,
    dossier TEXT,
    sha256 BLOB NOT NULL
) STRICT;
CREATE TABLE token (
    uid INTEGER NOT NULL,
    token TEXT NOT NULL,
    method TEXT NOT NULL,
    answer BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (uid, token)
) STRICT;
CREATE INDEX token_at ON token (at);
CREATE TABLE sequence (next INTEGER NOT NULL) STRICT;
INSERT INTO sequence VALUES (1);
CREATE TABLE freed_sequence (number INTEGER PRIMARY KEY) STRICT;
CREATE TABLE key_check (sealed BLOB NOT NULL) STRICT;
";

/// A journal of this length is written into the index.
const JOURNAL_LONG_BYTES: u64 = 4 << 20;
const CHECK_TEXT: &[u8] = b"recueil";

/// Opens or makes `store.sqlite`, takes it for this process alone, and checks the storage key against it.
pub(crate) fn open(state_dir: &Path, state: &Folder, key: &StorageKey) -> Result<Connection, Error> {
    let mut db = Connection::open(state_dir.join("store.sqlite"))?;
    db.busy_timeout(std::time::Duration::ZERO)?;
    // Before the first look at the journal, so that its index lives in our memory and not in a file.
    db.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    // Run to its end: SQLite writes the new mode into the file after it has told it, and an error of that writing is
    // lost where only the answer is read.
    let mut set = db.prepare("PRAGMA journal_mode = WAL")?;
    let mut answers = set.query([])?;
    while answers.next()?.is_some() {}
    drop(answers);
    drop(set);
    let mode: String = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        let mode = format!("its mode is {mode}");
        return Err(Error::uncertain("the index's journal", mode));
    }
    // NORMAL does not sync at commit; an item would be told accepted and lost.
    db.pragma_update(None, "synchronous", "FULL")?;
    // SQLite keeps to itself what fails when it does this at a commit, a failed fsync too.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "secure_delete", "ON")?;
    db.pragma_update(None, "foreign_keys", "ON")?;
    db.pragma_update(None, "trusted_schema", "OFF")?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    migrate(&mut db, &key.0)?;
    // SQLite syncs the folder for its journals, not for the database file itself.
    state.sync()?;
    check_key(&db, &key.0)?;
    Ok(db)
}

/// Moves the journal's pages into the index file once there are many. What was committed stays committed without
/// it, so a disk that refuses is only told; one that cannot sync ends the process.
pub(crate) fn shorten_journal(db: &Connection, state: &Folder) -> Result<(), Error> {
    if state.len("store.sqlite-wal")? < JOURNAL_LONG_BYTES {
        return Ok(());
    }
    match flush_deleted(db) {
        Err(error) if !error.is_fatal() => {
            tracing::warn!(%error, "the index's journal stays long");
            Ok(())
        }
        done => done,
    }
}

/// Moves old pages out of the journal, so that what was deleted is overwritten and not only unlisted.
pub(crate) fn flush_deleted(db: &Connection) -> Result<(), Error> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    match busy {
        0 => Ok(()),
        _ => Err(Error::InUse),
    }
}

fn migrate(db: &mut Connection, key: &Key) -> Result<(), Error> {
    let found: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match found {
        SCHEMA => Ok(()),
        0 => {
            let tx = db.transaction_with_behavior(TransactionBehavior::Exclusive)?;
            tx.execute_batch(TABLES)?;
            let sealed = key.seal(Place::Check, &mut CHECK_TEXT.to_vec())?;
            tx.execute("INSERT INTO key_check VALUES (?1)", [sealed])?;
            tx.pragma_update(None, "user_version", SCHEMA)?;
            Ok(tx.commit()?)
        }
        found if found > SCHEMA => Err(Error::Newer { found, known: SCHEMA }),
        _ => Err(Error::corrupt("a schema that never was")),
    }
}

fn check_key(db: &Connection, key: &Key) -> Result<(), Error> {
    let sealed: Option<Vec<u8>> = db
        .query_row("SELECT sealed FROM key_check", [], |row| row.get(0))
        .optional()?;
    let sealed = sealed.ok_or_else(|| Error::corrupt("no key check"))?;
    match key.open(Place::Check, sealed) {
        Ok(text) if text.as_slice() == CHECK_TEXT => Ok(()),
        _ => Err(Error::WrongKey),
    }
}
