//! What happens to a dossier after sealing: events, receipts, erasure of the parcel.

use jiff::Timestamp;
use recueil_dossier::{
    DemandeNumber, DossierId, Durable, Event, Receipt, ReceiptKind, State, TRANSITIONS, next, sha256_hex,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::row::nanos;
use crate::seal::parcel_name;
use crate::{Entry, Error, Stamp, Store, audit, row};

/// Largest receipt, CMS bytes.
const RECEIPT_MAX_BYTES: usize = 256 << 10;
/// Most dossiers forgotten at once.
const FORGOTTEN_MAX: u32 = 1000;

impl Store {
    /// Moves a dossier by an event that its state row alone makes durable: a card awaited, the courier's begin,
    /// CERT's statuses.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Refused`], [`Error::NotARow`].
    pub fn apply(&mut self, id: DossierId, event: Event, stamp: &Stamp) -> Result<State, Error> {
        self.settle(id, stamp)?;
        let from = self.state(id)?;
        let (to, _actor) = next(from, event)?;
        let alone = TRANSITIONS
            .iter()
            .any(|line| line.from == from && line.event == event && line.durable == Durable::Row);
        if !alone {
            return Err(Error::NotARow);
        }
        self.write(stamp, |tx| {
            set_state(tx, id, to, stamp)?;
            audit::append(tx, stamp, to.as_str(), Some(id))
        })?;
        Ok(to)
    }

    /// Archives a receipt whose signature was verified, moves the dossier, and after R2 erases the parcel. The
    /// same receipt again changes nothing. R1 after R2 is archived without moving the dossier back.
    ///
    /// `bytes` is the receipt as it came (CMS), `receipt` what it says.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Refused`]; [`Error::ReceiptMismatch`] where it does not agree with what was
    /// sent, or with a receipt of the same kind, or bears a serial number that CERT gave to another.
    pub fn archive_receipt(
        &mut self,
        bytes: &[u8],
        receipt: &Receipt,
        stamp: &Stamp,
    ) -> Result<State, Error> {
        let id = receipt.dossier;
        self.settle(id, stamp)?;
        let entry = self.entry(id)?;
        if bytes.is_empty() || bytes.len() > RECEIPT_MAX_BYTES {
            return Err(Error::Limit {
                what: "bytes of a receipt, and not none",
                max: RECEIPT_MAX_BYTES,
            });
        }
        check_receipt(&entry, receipt)?;
        let sha256 = sha256_hex(bytes);
        if self.is_archived(receipt, &sha256)? {
            self.erase_if_due(id, stamp)?;
            return Ok(entry.state);
        }
        let to = match next(entry.state, event(receipt.kind)) {
            Ok((to, _actor)) => Some(to),
            // Receipts may overtake each other; the first is evidence all the same.
            Err(_refused) if receipt.kind == ReceiptKind::Stored && entry.sealed.is_some() => None,
            Err(refused) => return Err(refused.into()),
        };
        let content = serde_json::to_string(receipt).map_err(|_unserialisable| Error::ReceiptMismatch {
            dossier: id,
            what: "its content",
        })?;
        self.write(stamp, |tx| {
            tx.execute(
                "INSERT INTO receipt (dossier, kind, sha256, serial, bytes, content, archived_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    id.to_string(),
                    kind_name(receipt.kind),
                    sha256,
                    receipt.serial,
                    bytes,
                    content,
                    nanos(stamp.at)?
                ],
            )?;
            audit::append(tx, stamp, audit_code(receipt.kind), Some(id))?;
            let Some(to) = to else { return Ok(()) };
            set_state(tx, id, to, stamp)?;
            match receipt.kind {
                ReceiptKind::Stored => Ok(()),
                ReceiptKind::Ingested => set_ingested(tx, receipt),
                ReceiptKind::Refused => {
                    tx.execute(
                        "UPDATE dossier SET reason = ?2 WHERE id = ?1",
                        params![id.to_string(), receipt.reason],
                    )?;
                    Ok(())
                }
            }
        })?;
        self.erase_if_due(id, stamp)?;
        Ok(to.unwrap_or(entry.state))
    }

    /// Records that an agent has seen CERT's refusal, which makes it final, and erases the parcel. Again: no change.
    ///
    /// # Errors
    /// [`Error::Unknown`]; [`Error::Inconsistent`] where the dossier is not refused.
    pub fn acknowledge_refusal(&mut self, id: DossierId, stamp: &Stamp) -> Result<(), Error> {
        let entry = self.entry(id)?;
        if entry.state != State::Refused {
            return Err(Error::Inconsistent {
                dossier: id,
                what: "the dossier is not refused",
            });
        }
        if entry.acknowledged_at.is_none() {
            self.write(stamp, |tx| {
                tx.execute(
                    "UPDATE dossier SET acknowledged_at = ?2, changed_at = ?2, agent = NULL,
                     parcel = CASE parcel WHEN 'kept' THEN 'erasing' ELSE parcel END WHERE id = ?1",
                    params![id.to_string(), nanos(stamp.at)?],
                )?;
                audit::append(tx, stamp, "refusal-acknowledged", Some(id))
            })?;
        }
        self.erase_if_due(id, stamp)
    }

    /// Forgets dossiers that have come to their end and did not change since `before`: handed over, cancelled,
    /// expired, refused and acknowledged. Receipts go with them; the journal stays. At most 1000 in one call.
    pub fn forget_ended(&mut self, before: Timestamp, stamp: &Stamp) -> Result<Vec<DossierId>, Error> {
        self.write(stamp, |tx| {
            let mut query = tx.prepare(
                "SELECT id FROM dossier WHERE changed_at < ?1 AND parcel IN ('none', 'erased')
                 AND (state IN (?2, ?3, ?4) OR (state = ?5 AND (acknowledged_at IS NOT NULL OR ingested_at IS NOT NULL)))
                 AND id NOT IN (SELECT id FROM draft) ORDER BY id LIMIT ?6",
            )?;
            let [handed_over, cancelled, expired, refused] =
                [State::HandedOver, State::Cancelled, State::Expired, State::Refused].map(State::as_str);
            let found = query
                .query_map(
                    params![nanos(before)?, handed_over, cancelled, expired, refused, FORGOTTEN_MAX],
                    |row| row.get::<_, String>(0),
                )?
                .collect::<Result<Vec<_>, _>>()?;
            let ids = found.iter().map(|text| row::id(text)).collect::<Result<Vec<_>, _>>()?;
            for id in &ids {
                tx.execute("DELETE FROM receipt WHERE dossier = ?1", [id.to_string()])?;
                tx.execute("DELETE FROM dossier WHERE id = ?1", [id.to_string()])?;
                audit::append(tx, stamp, "forgotten", Some(*id))?;
            }
            Ok(ids)
        })
    }

    /// Whether a receipt with this SHA-256 (hexadecimal, of its CMS bytes) is archived: what
    /// `previous_sha256` of another names should be.
    pub fn knows_receipt(&self, sha256: &str) -> Result<bool, Error> {
        let found: Option<i64> = self
            .db
            .query_row("SELECT 1 FROM receipt WHERE sha256 = ?1", [sha256], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(found.is_some())
    }

    /// Removes a parcel whose final receipt is archived.
    pub(crate) fn erase_if_due(&mut self, id: DossierId, stamp: &Stamp) -> Result<(), Error> {
        let parcel: String = self.db.query_row(
            "SELECT parcel FROM dossier WHERE id = ?1",
            [id.to_string()],
            |row| row.get(0),
        )?;
        if parcel != "erasing" {
            return Ok(());
        }
        self.ready.remove(&[parcel_name(id)])?;
        self.write_part(|tx| {
            tx.execute(
                "UPDATE dossier SET parcel = 'erased' WHERE id = ?1",
                [id.to_string()],
            )?;
            audit::append(tx, stamp, "parcel-erased", Some(id))
        })
    }

    /// Whether this very receipt is archived; an error if another stands in its place.
    fn is_archived(&self, receipt: &Receipt, sha256: &str) -> Result<bool, Error> {
        let mut query = self.db.prepare(
            "SELECT sha256 FROM receipt WHERE (dossier = ?1 AND kind = ?2) OR serial = ?3 OR sha256 = ?4",
        )?;
        let found = query
            .query_map(
                params![
                    receipt.dossier.to_string(),
                    kind_name(receipt.kind),
                    receipt.serial,
                    sha256
                ],
                |row| row.get::<_, String>(0),
            )?
            .collect::<Result<Vec<_>, _>>()?;
        if found.iter().any(|archived| archived != sha256) {
            return Err(Error::ReceiptMismatch {
                dossier: receipt.dossier,
                what: "another receipt of this kind or serial number is archived",
            });
        }
        Ok(!found.is_empty())
    }
}

/// The name of a kind of receipt, as receipts write it.
pub(crate) fn kind_name(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Stored => "R1",
        ReceiptKind::Ingested => "R2",
        ReceiptKind::Refused => "REJECT",
    }
}

fn event(kind: ReceiptKind) -> Event {
    match kind {
        ReceiptKind::Stored => Event::StoredReceipt,
        ReceiptKind::Ingested => Event::IngestedReceipt,
        ReceiptKind::Refused => Event::RefusalReceipt,
    }
}

fn audit_code(kind: ReceiptKind) -> &'static str {
    match kind {
        ReceiptKind::Stored => "receipt-stored",
        ReceiptKind::Ingested => "receipt-ingested",
        ReceiptKind::Refused => "receipt-refused",
    }
}

fn set_state(tx: &Connection, id: DossierId, to: State, stamp: &Stamp) -> Result<(), Error> {
    tx.execute(
        "UPDATE dossier SET state = ?2, changed_at = ?3 WHERE id = ?1",
        params![id.to_string(), to.as_str(), nanos(stamp.at)?],
    )?;
    Ok(())
}

/// After R2 only what the hand-over needs stays; the journal keeps who worked.
fn set_ingested(tx: &Connection, receipt: &Receipt) -> Result<(), Error> {
    tx.execute(
        "UPDATE dossier SET demande = ?2, ingested_at = ?3, agent = NULL, parcel = 'erasing' WHERE id = ?1",
        params![
            receipt.dossier.to_string(),
            receipt.demande.as_ref().map(DemandeNumber::as_str),
            nanos(receipt.time)?
        ],
    )?;
    Ok(())
}

/// What was sent is what CERT has; verified here again, since erasure follows from it.
fn check_receipt(entry: &Entry, receipt: &Receipt) -> Result<(), Error> {
    let wrong = |what| {
        Err(Error::ReceiptMismatch {
            dossier: receipt.dossier,
            what,
        })
    };
    let Some(sealed) = &entry.sealed else {
        return wrong("it was never sealed");
    };
    if receipt.parcel_sha256 != sealed.sha256 {
        return wrong("the parcel's digest");
    }
    if receipt.size != sealed.len_bytes {
        return wrong("the parcel's length");
    }
    if receipt.kind == ReceiptKind::Ingested {
        if receipt.manifest_sha256.as_ref() != Some(&sealed.manifest_sha256) {
            return wrong("the manifest's digest");
        }
        if receipt.demande.is_none() {
            return wrong("no demande number");
        }
        if entry.demande.is_some() && entry.demande != receipt.demande {
            return wrong("the demande number");
        }
    }
    Ok(())
}
