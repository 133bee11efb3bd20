//! Each step of a journey after which something is on the disk for good, by its name: the list that the crash tests
//! go through. What the disk sees is the truth of it: a step that is not here, or never comes, fails them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use recueil_faultfs::{Action, Call, Kind, Log, Moment, Plan, Tree};

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Whose.
    pub service: &'static str,
    /// What the disk sees.
    pub durable: Durable,
}

/// What the disk sees of a step.
#[derive(Debug)]
pub enum Durable {
    /// This call on such a path; `*` is any part of one name.
    Call(Kind, &'static str),
    /// A row of `store.sqlite`, by the line that it adds to the audit journal; empty where it adds none.
    Row(&'static str),
}

const fn call(service: &'static str, name: &'static str, kind: Kind, path: &'static str) -> Step {
    Step {
        name,
        service,
        durable: Durable::Call(kind, path),
    }
}

const fn row(name: &'static str, codes: &'static str) -> Step {
    Step {
        name,
        service: "recueild",
        durable: Durable::Row(codes),
    }
}

const STATION: &str = "recueild";
const COURIER: &str = "recueil-courier";
const CERT: &str = "recueil-cert";

/// The steps of a hand-over, from the draft to the title handed over, in the order in which they first come.
pub const STEPS: &[Step] = &[
    row("draft opened", "draft-opened"),
    row("draft changed", "draft-changed"),
    call(STATION, "draft's folder made", Kind::MakeFolder, "state/drafts/*"),
    call(STATION, "drafts' names kept", Kind::SyncFolder, "state/drafts"),
    call(STATION, "item written", Kind::Sync, "state/drafts/*/.tmp-*"),
    call(STATION, "item named", Kind::Rename, "state/drafts/*/.tmp-*"),
    call(STATION, "items' names kept", Kind::SyncFolder, "state/drafts/*"),
    row("item accepted", "item-accepted"),
    row("number reserved", "sequence-reserved"),
    call(STATION, "parcel written", Kind::Sync, "ready/.tmp-*"),
    row("seal begun", "seal-begun"),
    call(STATION, "parcel named", Kind::Rename, "ready/.tmp-*"),
    call(STATION, "outbox's names kept", Kind::SyncFolder, "ready"),
    row("sealed, key destroyed", "sealed key-destroyed"),
    call(STATION, "index overwritten", Kind::Sync, "state/store.sqlite"),
    call(STATION, "item removed", Kind::Unlink, "state/drafts/*/*"),
    call(
        STATION,
        "draft's folder removed",
        Kind::RemoveFolder,
        "state/drafts/*",
    ),
    // The first row after the journal was emptied.
    row("journal begun anew", ""),
    row("draft removed", "items-destroyed"),
    call(COURIER, "parcel's name kept", Kind::SyncFolder, "ready"),
    row("sending", "sending"),
    call(CERT, "record or receipt written", Kind::Sync, "cert/*/*.tmp"),
    call(CERT, "record or receipt named", Kind::Rename, "cert/*/*.tmp"),
    call(CERT, "names kept", Kind::SyncFolder, "cert/*"),
    call(CERT, "parcel written", Kind::Sync, "cert/parcels/*"),
    call(CERT, "parcel named", Kind::Rename, "cert/parcels/*"),
    call(COURIER, "receipt written", Kind::Sync, "courier/receipts/.tmp-*"),
    call(COURIER, "receipt named", Kind::Rename, "courier/receipts/.tmp-*"),
    call(
        COURIER,
        "receipts' names kept",
        Kind::SyncFolder,
        "courier/receipts",
    ),
    call(COURIER, "progress noted", Kind::Rename, "courier/progress/.tmp-*"),
    row("R1 archived", "receipt-stored"),
    row("R2 archived", "receipt-ingested"),
    call(STATION, "parcel removed", Kind::Unlink, "ready/*.p7m"),
    row("parcel erased", "parcel-erased"),
    row("handed over", "handed-over"),
    call(COURIER, "receipts forgotten", Kind::Unlink, "courier/receipts/*"),
    call(COURIER, "progress forgotten", Kind::Unlink, "courier/progress/*"),
];

/// Calls after which something is there for good, also where a process is killed.
fn is_durable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Sync
            | Kind::SyncFolder
            | Kind::Rename
            | Kind::Unlink
            | Kind::MakeFolder
            | Kind::RemoveFolder
            | Kind::Link
    )
}

const JOURNAL: &str = "state/store.sqlite-wal";

/// The steps that a log holds, by their place in the list: how often each was taken.
///
/// # Errors
/// A step that the list does not have.
pub fn steps_taken(log: &Log, users: &[(&'static str, u32)]) -> anyhow::Result<BTreeMap<usize, Taken>> {
    let mut taken: BTreeMap<usize, Taken> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    let (mut rows, mut told) = (Rows::default(), lines(&log.seen_before(0))?.len());
    let done = |(_, call): &(usize, &Call)| call.error.is_none();
    for (line, call) in log.calls().filter(done) {
        let Some((service, _)) = users.iter().find(|(_, uid)| *uid == call.uid) else {
            continue;
        };
        if rows.see(call) == Some(Moment::After) {
            let audit = lines(&log.seen_before(line + 1))?;
            let codes = audit.get(told..).unwrap_or_default().join(" ");
            told = audit.len();
            let is_it = |step: &Step| matches!(step.durable, Durable::Row(row) if row == codes);
            match STEPS.iter().position(is_it) {
                Some(step) => taken.entry(step).or_default().0.push(rows.done),
                None => drop(unknown.insert(format!("the row {codes:?}"))),
            }
        } else if call.path != JOURNAL && is_durable(call.kind) {
            match STEPS
                .iter()
                .position(|step| step.service == *service && step.is(call))
            {
                Some(step) => {
                    let taken = taken.entry(step).or_default();
                    taken.0.push(taken.0.len() + 1);
                }
                None => drop(unknown.insert(format!("{:?} {} of {service}", call.kind, call.path))),
            }
        }
    }
    anyhow::ensure!(
        unknown.is_empty(),
        "steps that the list does not name: {unknown:#?}"
    );
    Ok(taken)
}

/// The numbers by which [`Step::plan`] finds the times that a step was taken in one story.
#[derive(Debug, Default)]
pub struct Taken(pub Vec<usize>);

/// Finds where a row begins and ends in the journal of the index: `SQLite` writes its pages, then syncs. A sync after no
/// write, before the pages go into the index itself, makes nothing new durable.
#[derive(Debug, Default)]
struct Rows {
    writing: bool,
    done: usize,
}

impl Rows {
    /// Before: the row's first write; after: the sync that makes it durable.
    fn see(&mut self, call: &Call) -> Option<Moment> {
        if call.path != JOURNAL {
            return None;
        }
        match call.kind {
            Kind::Write if !self.writing => {
                self.writing = true;
                Some(Moment::Before)
            }
            Kind::Sync if self.writing => {
                (self.writing, self.done) = (false, self.done + 1);
                Some(Moment::After)
            }
            _ => None,
        }
    }
}

impl Step {
    /// Disturbs it the time with this number, see [`Taken`]. A row is disturbed at its first write, or at its sync where
    /// something happens after it.
    pub fn plan(&'static self, uid: u32, number: usize, action: Action) -> Plan {
        let Durable::Row(_) = self.durable else {
            return Plan::new(number, action, move |call| call.uid == uid && self.is(call));
        };
        let wanted = match action {
            Action::Kill(Moment::After) | Action::Hold(Moment::After) => (Moment::After, number),
            _ => (Moment::Before, number - 1),
        };
        let rows = Mutex::new(Rows::default());
        Plan::new(1, action, move |call| {
            let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
            rows.see(call).is_some_and(|moment| (moment, rows.done) == wanted)
        })
    }

    fn is(&self, call: &Call) -> bool {
        match self.durable {
            Durable::Call(kind, pattern) => kind == call.kind && fits(pattern, &call.path),
            Durable::Row(_) => false,
        }
    }
}

/// Whether a path is as a pattern says, name by name.
fn fits(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    let name_fits = |(pattern, name): (&&str, &&str)| match pattern.split_once('*') {
        Some((begin, end)) => {
            name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end)
        }
        None => pattern == name,
    };
    pattern.len() == path.len() && pattern.iter().zip(&path).all(name_fits)
}

/// The codes of the audit journal, as an index opened now would show it.
fn lines(tree: &Tree) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir()?;
    for name in ["store.sqlite", "store.sqlite-wal"] {
        if let Some(bytes) = tree.read(&format!("state/{name}")) {
            std::fs::write(folder.path().join(name), bytes)?;
        }
    }
    let index = rusqlite::Connection::open(folder.path().join("store.sqlite"))?;
    if !index.table_exists(None, "audit")? {
        return Ok(Vec::new());
    }
    let mut query = index.prepare("SELECT code FROM audit ORDER BY line")?;
    let codes = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(codes)
}
