//! The audit journal: who did what to which dossier, when. Each line carries the digest of all before it.

use jiff::Timestamp;
use recueil_dossier::{AgentId, DossierId};
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, params};

use crate::row::{nanos, parse, time};
use crate::{Error, Stamp, Store};

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// From 1, without holes.
    pub line: u64,
    /// When.
    pub at: Timestamp,
    /// The agent who worked; none for the station itself.
    pub agent: Option<AgentId>,
    /// The uid whose call it was.
    pub uid: u32,
    /// What, kebab-case: `item-accepted`, `sealed`.
    pub code: String,
    /// On which dossier.
    pub dossier: Option<DossierId>,
    /// SHA-256 of the line before and of this line's fields.
    pub sha256: [u8; 32],
}

/// Longest code, bytes.
const CODE_MAX: usize = 48;
/// Most lines in one answer.
const LINES_MAX: usize = 1000;

impl Store {
    /// Records what makes nothing else durable: `session-opened`, `item-shown`, `lease-stolen`.
    ///
    /// # Errors
    /// [`Error::Limit`] where `code` is not 1 to 48 characters `a-z`, `0-9`, `-`.
    pub fn record(&mut self, code: &str, dossier: Option<DossierId>, stamp: &Stamp) -> Result<(), Error> {
        self.write(stamp, |tx| append(tx, stamp, code, dossier))
    }

    /// Up to 1000 lines after the one with number `after` (0: from the first).
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditLine>, Error> {
        let mut query = self.db.prepare(
            "SELECT line, at, agent, uid, code, dossier, sha256 FROM audit WHERE line > ?1 ORDER BY line LIMIT ?2",
        )?;
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit.min(LINES_MAX)).unwrap_or(0);
        let mut rows = query.query(params![after, limit])?;
        let mut lines = Vec::new();
        while let Some(row) = rows.next()? {
            lines.push(AuditLine {
                line: row.get(0)?,
                at: time(row.get(1)?)?,
                agent: row.get::<_, Option<String>>(2)?.map(parse).transpose()?,
                uid: row.get(3)?,
                code: row.get(4)?,
                dossier: row
                    .get::<_, Option<String>>(5)?
                    .map(|id| id.parse())
                    .transpose()
                    .map_err(|_not_one| Error::corrupt("a dossier id"))?,
                sha256: row.get(6)?,
            });
        }
        Ok(lines)
    }

    /// Computes the journal's digests again.
    ///
    /// # Errors
    /// [`Error::AuditBroken`] names the first line that does not follow.
    pub fn verify_audit(&self) -> Result<(), Error> {
        let mut before = [0; 32];
        let mut line = 0;
        loop {
            let lines = self.audit(line, LINES_MAX)?;
            if lines.is_empty() {
                return Ok(());
            }
            for next in lines {
                line += 1;
                let expected = digest(&before, &next);
                if next.line != line || next.sha256 != expected {
                    return Err(Error::AuditBroken { line });
                }
                before = expected;
            }
        }
    }
}

/// Adds a line in the transaction of the step that it tells of.
pub(crate) fn append(
    tx: &Connection,
    stamp: &Stamp,
    code: &str,
    dossier: Option<DossierId>,
) -> Result<(), Error> {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=CODE_MAX).contains(&code.len()) || !code.bytes().all(valid) {
        return Err(Error::Limit {
            what: "characters a-z, 0-9, '-' of an audit code",
            max: CODE_MAX,
        });
    }
    let last: Option<(u64, [u8; 32])> = tx
        .query_row(
            "SELECT line, sha256 FROM audit ORDER BY line DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let (number, before) = last.unwrap_or((0, [0; 32]));
    let mut line = AuditLine {
        line: number + 1,
        at: stamp.at,
        agent: stamp.agent.clone(),
        uid: stamp.uid,
        code: code.to_owned(),
        dossier,
        sha256: [0; 32],
    };
    line.sha256 = digest(&before, &line);
    tx.execute(
        "INSERT INTO audit (line, at, agent, uid, code, dossier, sha256) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            line.line,
            nanos(line.at)?,
            line.agent.as_ref().map(AgentId::as_str),
            line.uid,
            line.code,
            line.dossier.map(|id| id.to_string()),
            line.sha256
        ],
    )?;
    Ok(())
}

/// Fields are separated by a line feed, which none of them can hold.
fn digest(before: &[u8; 32], line: &AuditLine) -> [u8; 32] {
    let text = format!(
        "{}\n{}\n{}\n{}\n{}\n{}\n",
        line.line,
        line.at.as_nanosecond(),
        line.agent.as_ref().map_or("", AgentId::as_str),
        line.uid,
        line.code,
        line.dossier.map(|id| id.to_string()).unwrap_or_default(),
    );
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(text.as_bytes());
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    sha256
}
