//! Client tokens: a mutating call that is repeated gets the first answer, across crashes too.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use crate::crypt::{Key, Place};
use crate::row::nanos;
use crate::{Error, Stamp, Store};

/// A client's token for one call, and what that call answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Chosen by the client, 1 to 64 printable ASCII characters; each uid has its own.
    pub token: String,
    /// The method's name, and what tells two calls of it apart.
    pub method: String,
    /// The answer as JSON, at most 64 KiB; encrypted on the disk.
    pub answer: String,
}

const TOKENS_MAX: usize = 10_000;
const TOKEN_MAX_BYTES: usize = 64;
const METHOD_MAX_BYTES: usize = 256;
const ANSWER_MAX_BYTES: usize = 64 << 10;
const KEPT: SignedDuration = SignedDuration::from_hours(24);

impl Store {
    /// Keeps an answer on its own, where the call changed nothing else that is durable.
    pub fn remember_token(&mut self, stamp: &Stamp) -> Result<(), Error> {
        self.write(stamp, |_tx| Ok(()))
    }

    /// The answer that this token got within the last 24 hours, if any.
    ///
    /// # Errors
    /// [`Error::TokenReused`] where it was used for another method.
    pub fn recall_token(
        &self,
        uid: u32,
        token: &str,
        method: &str,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let found: Option<(String, Vec<u8>)> = self
            .db
            .query_row(
                "SELECT method, answer FROM token WHERE uid = ?1 AND token = ?2 AND at > ?3",
                params![uid, token, oldest(now)?],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        match found {
            None => Ok(None),
            Some((used_for, _)) if used_for != method => Err(Error::TokenReused),
            Some((_, answer)) => {
                let plain = self
                    .key
                    .open(Place::Answer(uid, token), answer)
                    .map_err(|_unopened| Error::corrupt("an answer"))?;
                String::from_utf8(plain.to_vec())
                    .map(Some)
                    .map_err(|_not_text| Error::corrupt("an answer"))
            }
        }
    }
}

/// Adds a token in the transaction of the change that it stands for, and drops those that are too old or too
/// many.
pub(crate) fn remember(tx: &Connection, key: &Key, stamp: &Stamp, answered: &Answered) -> Result<(), Error> {
    let Answered {
        token,
        method,
        answer,
    } = answered;
    if !(1..=TOKEN_MAX_BYTES).contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Error::Limit {
            what: "printable ASCII characters of a client token",
            max: TOKEN_MAX_BYTES,
        });
    }
    if method.len() > METHOD_MAX_BYTES {
        return Err(Error::Limit {
            what: "bytes of a method's name",
            max: METHOD_MAX_BYTES,
        });
    }
    if answer.len() > ANSWER_MAX_BYTES {
        return Err(Error::Limit {
            what: "bytes of an answer",
            max: ANSWER_MAX_BYTES,
        });
    }
    tx.execute("DELETE FROM token WHERE at <= ?1", [oldest(stamp.at)?])?;
    let sealed = key.seal(
        Place::Answer(stamp.uid, token),
        &mut zeroize::Zeroizing::new(answer.clone().into_bytes()),
    )?;
    let added = tx.execute(
        "INSERT OR IGNORE INTO token (uid, token, method, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![stamp.uid, token, method, sealed, nanos(stamp.at)?],
    )?;
    if added == 0 {
        return Err(Error::TokenReused);
    }
    tx.execute(
        "DELETE FROM token WHERE rowid IN (SELECT rowid FROM token ORDER BY at DESC, rowid DESC LIMIT -1 OFFSET ?1)",
        [i64::try_from(TOKENS_MAX).unwrap_or(i64::MAX)],
    )?;
    Ok(())
}

fn oldest(now: Timestamp) -> Result<i64, Error> {
    nanos(now.checked_sub(KEPT).unwrap_or(Timestamp::MIN))
}
