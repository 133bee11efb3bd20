//! What the store says of dossiers, drafts or not.

use jiff::Timestamp;
use recueil_dossier::{
    AgentId, DemandeNumber, DossierId, Kind, Receipt, ReceiptKind, Recepisse, RecepisseStatus, State,
};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::row::{kind, nanos, opt_time, parse, state, time};
use crate::{Error, Store, row};

/// All that is kept of a dossier outside its encrypted draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its identity.
    pub id: DossierId,
    /// Its kind.
    pub kind: Kind,
    /// The procedure's id.
    pub procedure: String,
    /// Where it stands.
    pub state: State,
    /// The uid it belongs to.
    pub owner_uid: u32,
    /// The agent it belongs to; none once it has ended.
    pub agent: Option<AgentId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When its state or draft last changed.
    pub changed_at: Timestamp,
    /// When it is destroyed if it is still a draft.
    pub expires_at: Timestamp,
    /// Facts of its parcel, once sealed.
    pub sealed: Option<Sealed>,
    /// CERT's number; of a hand-over from its opening.
    pub demande: Option<DemandeNumber>,
    /// CERT's time of R2.
    pub ingested_at: Option<Timestamp>,
    /// Why CERT refused the parcel.
    pub reason: Option<String>,
    /// When an agent acknowledged the refusal.
    pub acknowledged_at: Option<Timestamp>,
}

/// Facts of a parcel, written when it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The procedure's title.
    pub title: String,
    /// When.
    pub sealed_at: Timestamp,
    /// The station's sequence number.
    pub sequence: u64,
    /// SHA-256 of the parcel, hexadecimal.
    pub sha256: String,
    /// Length of the parcel.
    pub len_bytes: u64,
    /// SHA-256 of the signed `dossier.json`, hexadecimal.
    pub manifest_sha256: String,
    /// Whether the parcel still lies in the outbox.
    pub in_outbox: bool,
}

/// Which dossiers are wanted; what is none does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Of this kind.
    pub kind: Option<Kind>,
    /// In one of these states; empty: in any.
    pub states: Vec<State>,
    /// Changed at this time or later.
    pub since: Option<Timestamp>,
    /// Of this uid.
    pub owner_uid: Option<u32>,
    /// Of this demande.
    pub demande: Option<DemandeNumber>,
}

/// A part of a list, newest opening first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The dossiers.
    pub entries: Vec<Entry>,
    /// Given to the next call, where there is more.
    pub next: Option<DossierId>,
}

/// A receipt as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchivedReceipt {
    /// Which.
    pub kind: ReceiptKind,
    /// The CMS bytes as CERT gave them.
    pub bytes: Vec<u8>,
    /// SHA-256 of `bytes`, hexadecimal.
    pub sha256: String,
    /// What it says.
    pub content: Receipt,
    /// When it was archived, by the station's clock.
    pub archived_at: Timestamp,
}

/// Most entries in one page.
const PAGE_MAX: usize = 200;

const COLUMNS: &str =
    "id, kind, procedure, state, owner_uid, agent, opened_at, changed_at, expires_at, title,
    sealed_at, sequence, parcel, parcel_sha256, parcel_len, manifest_sha256, demande, ingested_at, reason,
    acknowledged_at";

impl Store {
    /// Dossiers that pass the filter, after `cursor`, 1 to 200 of them.
    pub fn list(&self, filter: &Filter, cursor: Option<DossierId>, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut wheres, mut values) = (vec!["1".to_owned()], Vec::<Value>::new());
        let mut narrow = |column: &str, value: Value| {
            values.push(value);
            wheres.push(format!("{column} ?{}", values.len()));
        };
        if let Some(kind) = filter.kind {
            narrow("kind =", Value::from(kind.as_str().to_owned()));
        }
        if let Some(since) = filter.since {
            narrow("changed_at >=", nanos(since)?.into());
        }
        if let Some(uid) = filter.owner_uid {
            narrow("owner_uid =", i64::from(uid).into());
        }
        if let Some(demande) = &filter.demande {
            narrow("demande =", Value::from(demande.as_str().to_owned()));
        }
        if let Some(cursor) = cursor {
            narrow("id <", Value::from(cursor.to_string()));
        }
        if !filter.states.is_empty() {
            // Names of states come from our table, not from a caller.
            let names: Vec<_> = filter
                .states
                .iter()
                .map(|state| format!("'{}'", state.as_str()))
                .collect();
            wheres.push(format!("state IN ({})", names.join(", ")));
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM dossier WHERE {} ORDER BY id DESC LIMIT {}",
            wheres.join(" AND "),
            limit + 1
        );
        let mut query = self.db.prepare(&sql)?;
        let mut rows = query.query(params_from_iter(values))?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(read(row)?);
        }
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|entry| entry.id);
        Ok(Page { entries, next })
    }

    /// The receipts of a dossier in the order of their archiving.
    pub fn receipts(&self, id: DossierId) -> Result<Vec<ArchivedReceipt>, Error> {
        let mut query = self.db.prepare(
            "SELECT bytes, sha256, content, archived_at FROM receipt WHERE dossier = ?1 ORDER BY rowid",
        )?;
        let mut rows = query.query([id.to_string()])?;
        let mut receipts = Vec::new();
        while let Some(row) = rows.next()? {
            let content: String = row.get(2)?;
            let content: Receipt =
                serde_json::from_str(&content).map_err(|_not_one| Error::corrupt("a receipt's content"))?;
            receipts.push(ArchivedReceipt {
                kind: content.kind,
                bytes: row.get(0)?,
                sha256: row.get(1)?,
                content,
                archived_at: time(row.get(3)?)?,
            });
        }
        Ok(receipts)
    }

    /// The récépissé's data: provisional from sealing on, final once R2 is archived.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Inconsistent`] where the dossier is not sealed.
    pub fn recepisse(&self, id: DossierId) -> Result<Recepisse, Error> {
        let entry = self.entry(id)?;
        let sealed = entry.sealed.ok_or(Error::Inconsistent {
            dossier: id,
            what: "the dossier is not sealed",
        })?;
        let status = match entry.ingested_at {
            Some(_) => RecepisseStatus::Final,
            None => RecepisseStatus::Provisional,
        };
        Ok(Recepisse {
            status,
            dossier: id,
            title: sealed.title,
            sealed_at: sealed.sealed_at,
            sequence: sealed.sequence,
            demande: entry.demande.filter(|_| status == RecepisseStatus::Final),
            ingested_at: entry.ingested_at,
        })
    }
}

pub(crate) fn entry(db: &Connection, id: DossierId) -> Result<Option<Entry>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM dossier WHERE id = ?1");
    db.query_row(&sql, [id.to_string()], |row| Ok(read(row)))
        .optional()?
        .transpose()
}

/// A row of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<Entry, Error> {
    let text = |column| row.get::<_, String>(column);
    let opt_text = |column| row.get::<_, Option<String>>(column);
    Ok(Entry {
        id: row::id(&text(0)?)?,
        kind: kind(&text(1)?)?,
        procedure: text(2)?,
        state: state(&text(3)?)?,
        owner_uid: row.get(4)?,
        agent: opt_text(5)?.map(parse).transpose()?,
        opened_at: time(row.get(6)?)?,
        changed_at: time(row.get(7)?)?,
        expires_at: time(row.get(8)?)?,
        sealed: sealed(row)?,
        demande: opt_text(16)?.map(parse).transpose()?,
        ingested_at: opt_time(row.get(17)?)?,
        reason: opt_text(18)?,
        acknowledged_at: opt_time(row.get(19)?)?,
    })
}

/// A parcel's facts, unless the parcel is still being written.
fn sealed(row: &Row<'_>) -> Result<Option<Sealed>, Error> {
    let parcel: String = row.get(12)?;
    if matches!(parcel.as_str(), "none" | "writing") {
        return Ok(None);
    }
    Ok(Some(Sealed {
        title: row.get(9)?,
        sealed_at: time(row.get(10)?)?,
        sequence: row.get(11)?,
        sha256: row.get(13)?,
        len_bytes: row.get(14)?,
        manifest_sha256: row.get(15)?,
        in_outbox: parcel != "erased",
    }))
}
