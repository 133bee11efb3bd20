//! What CERT remembers: dossiers, receipts, demandes, each a file, and what it does with them. Everything here
//! blocks; the owner calls it away from the tasks that talk.
//!
//! The receipts are the truth. A dossier is stored when its R1 lies in the folder and ended when its R2 or its
//! refusal does; serial numbers and the chain of each station are read from the same files. So no two files can
//! disagree after a crash, whatever was written last.

mod ingest;
mod load;
mod upload;
mod wrong;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use ring::digest;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::disk;
use crate::error::Error;
use crate::hex;
use crate::judge::Judged;
use crate::keys::Keys;
use crate::problem::Problem;
use crate::receipt::{Kind, Receipt};
use crate::wrong::Wrong;

pub(crate) use ingest::STATUSES;
pub(crate) use upload::Upload;

/// Most alarms that are kept.
const ALARMS_MAX: usize = 100;

/// CERT's memory. One owner of each folder at a time.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) dir: PathBuf,
    pub(crate) keys: Keys,
    state: Mutex<State>,
    /// Counts what long polls may wait for.
    pub(crate) changed: watch::Sender<u64>,
    /// There may be something to ingest.
    pub(crate) work: Notify,
    /// Locked while this desk lives.
    _lock: File,
}

/// Everything that the control socket sets and that ends with the process.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) refuse_next: bool,
    pub(crate) hold: bool,
    pub(crate) silent: bool,
    pub(crate) faults: Faults,
}

/// Failures to come, each used up when it happens.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The connection is dropped after this many bytes of uploads.
    pub(crate) cut_after: Option<u64>,
    /// Commits are done and their answers lost.
    pub(crate) lose_commit_answer: u32,
    /// Requests are answered 503.
    pub(crate) status_503: u32,
    /// Requests are answered wrongly.
    pub(crate) wrong: Vec<Wrong>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) orders: Orders,
    dossiers: BTreeMap<String, Dossier>,
    pub(crate) demandes: BTreeMap<String, Demande>,
    /// The digest of the last receipt of each station.
    chains: BTreeMap<String, String>,
    serial: u64,
    /// Requests heard since the start.
    pub(crate) requests: u64,
    pub(crate) alarms: Vec<String>,
    /// The disk failed: what was not synced may be gone, so that nothing may be promised before a restart.
    broken: bool,
}

/// A dossier by what was announced, `store/dossiers/ID.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    station: String,
    size: u64,
    sha256: String,
    upload: String,
}

#[derive(Debug)]
struct Dossier {
    record: Record,
    /// One PATCH or commit at a time.
    busy: Arc<tokio::sync::Mutex<()>>,
    r1: Option<Arc<[u8]>>,
    end: Option<(Kind, Arc<[u8]>)>,
    judged: Option<Ingested>,
    reason: Option<String>,
}

/// What was read in a dossier, `store/ingested/ID.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ingested {
    kind: crate::manifest::Kind,
    sequence: u64,
    demande: String,
    manifest_sha256: String,
}

/// A demande, `store/demandes/NUMBER.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Demande {
    pub(crate) dossier: String,
    pub(crate) station: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) handed_over_by: Option<String>,
}

/// How far a dossier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Progress {
    Receiving,
    Stored,
    Ingested,
    Refused,
}

impl Dossier {
    fn new(record: Record) -> Self {
        Self {
            record,
            busy: Arc::default(),
            r1: None,
            end: None,
            judged: None,
            reason: None,
        }
    }

    fn progress(&self) -> Progress {
        match (&self.end, &self.r1) {
            (Some((Kind::Reject, _)), _) => Progress::Refused,
            (Some(_), _) => Progress::Ingested,
            (None, Some(_)) => Progress::Stored,
            (None, None) => Progress::Receiving,
        }
    }
}

impl Desk {
    /// The state; a panic while it was held leaves what the disk has, which is what counts.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The final receipt of a station's dossier, if there is one yet.
    pub(crate) fn receipt(&self, station: &str, id: &str) -> Result<Option<Arc<[u8]>>, Problem> {
        let state = self.state();
        let dossier = state.own(station, id)?;
        Ok(dossier.end.as_ref().map(|(_kind, bytes)| bytes.clone()))
    }

    /// Statuses of those demandes that CERT knows. Any station may ask: titles are collected elsewhere too.
    pub(crate) fn statuses(&self, numbers: Vec<String>) -> Vec<(String, String)> {
        let state = self.state();
        let status = |number: &String| state.demandes.get(number).map(|demande| demande.status.clone());
        numbers
            .into_iter()
            .filter_map(|number| status(&number).map(|status| (number, status)))
            .collect()
    }

    /// All dossiers, demandes and alarms, for the control socket.
    pub(crate) fn list(&self) -> serde_json::Value {
        let state = self.state();
        let dossiers = state.dossiers.iter().map(|(id, dossier)| {
            let judged = dossier.judged.as_ref();
            serde_json::json!({
                "dossier": id,
                "station": dossier.record.station,
                "state": dossier.progress(),
                "size": dossier.record.size,
                "kind": judged.map(|judged| judged.kind),
                "sequence": judged.map(|judged| judged.sequence),
                "demande": judged.map(|judged| &judged.demande),
                "reason": dossier.reason,
            })
        });
        let demandes = state.demandes.iter().map(|(number, demande)| {
            serde_json::json!({"demande": number, "dossier": demande.dossier, "status": demande.status})
        });
        serde_json::json!({
            "ok": true,
            "dossiers": dossiers.collect::<Vec<_>>(),
            "demandes": demandes.collect::<Vec<_>>(),
            "alarms": state.alarms,
            "requests": state.requests,
        })
    }

    /// Writes a demande, then remembers it.
    pub(crate) fn store_demande(
        &self,
        state: &mut State,
        number: &str,
        demande: Demande,
    ) -> Result<(), Error> {
        disk::write_json(&self.store("demandes").join(format!("{number}.json")), &demande)?;
        state.demandes.insert(number.to_owned(), demande);
        Ok(())
    }

    /// Signs the next receipt, makes it durable, then remembers it.
    fn issue(&self, state: &mut State, id: &str, said: Said) -> Result<Arc<[u8]>, Error> {
        let Some(dossier) = state.dossiers.get_mut(id) else {
            return Err(Error::Store(self.record_path(id)));
        };
        let record = &dossier.record;
        let receipt = Receipt {
            kind: said.kind,
            dossier: id.to_owned(),
            parcel_sha256: record.sha256.clone(),
            size: record.size,
            station: record.station.clone(),
            manifest_sha256: said.manifest_sha256,
            demande: said.demande,
            reason: said.reason.clone(),
            time: Timestamp::now(),
            serial: state.serial + 1,
            previous_sha256: state.chains.get(&record.station).cloned(),
        };
        let bytes: Arc<[u8]> = receipt.sign(&self.keys)?.into();
        let name = format!("{:010}-{id}.{}.p7s", receipt.serial, said.kind.ending());
        disk::write(&self.store("receipts").join(name), &bytes)?;
        state.serial = receipt.serial;
        state.chains.insert(receipt.station, hex::sha256(&bytes));
        match said.kind {
            Kind::R1 => dossier.r1 = Some(bytes.clone()),
            Kind::R2 | Kind::Reject => dossier.end = Some((said.kind, bytes.clone())),
        }
        dossier.reason = said.reason;
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        Ok(bytes)
    }

    fn store(&self, folder: &str) -> PathBuf {
        self.dir.join("store").join(folder)
    }

    fn record_path(&self, id: &str) -> PathBuf {
        self.store("dossiers").join(format!("{id}.json"))
    }

    fn part_path(&self, id: &str) -> PathBuf {
        self.store("parcels").join(format!("{id}.p7m.part"))
    }

    fn parcel_path(&self, id: &str) -> PathBuf {
        self.store("parcels").join(format!("{id}.p7m"))
    }

    /// After a failure of the disk nothing is promised any more.
    pub(crate) fn give_up(&self, error: &Error) {
        tracing::error!(error = %Chain(error), "CERT cannot trust its disk and answers no more");
        self.state().broken = true;
    }

    /// Whether requests are answered at all.
    pub(crate) fn is_broken(&self) -> bool {
        self.state().broken
    }
}

/// What a receipt says beyond what the dossier's record has.
#[derive(Debug)]
struct Said {
    kind: Kind,
    manifest_sha256: Option<String>,
    demande: Option<String>,
    reason: Option<String>,
}

impl Said {
    fn stored() -> Self {
        Self {
            kind: Kind::R1,
            manifest_sha256: None,
            demande: None,
            reason: None,
        }
    }

    fn ingested(judged: &Judged, demande: String) -> Self {
        let manifest_sha256 = Some(judged.manifest_sha256.clone());
        Self {
            kind: Kind::R2,
            manifest_sha256,
            demande: Some(demande),
            reason: None,
        }
    }

    fn refused(reason: String) -> Self {
        Self {
            kind: Kind::Reject,
            manifest_sha256: None,
            demande: None,
            reason: Some(reason),
        }
    }
}

impl State {
    fn own(&self, station: &str, id: &str) -> Result<&Dossier, Problem> {
        let dossier = self.dossiers.get(id).ok_or(Problem::Unknown("no such dossier"))?;
        if dossier.record.station == station {
            Ok(dossier)
        } else {
            Err(Problem::NotYours)
        }
    }

    fn alarm(&mut self, text: String) {
        tracing::warn!(alarm = text);
        if self.alarms.len() < ALARMS_MAX {
            self.alarms.push(text);
        }
    }
}

/// An error with its causes.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// CERT's number of the demande that a deposit opens: ten capital letters and digits, the same each time, so
/// that a dossier ingested again after a crash keeps its number.
fn demande_number(dossier: &str) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let digest = digest::digest(&digest::SHA256, format!("demande {dossier}").as_bytes());
    let letters = digest.as_ref().iter().take(10);
    letters
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)).copied().map(char::from))
        .collect()
}

/// Whether a path of the store is there.
fn is_file(path: &Path) -> bool {
    path.is_file()
}
