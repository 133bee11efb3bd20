//! Every parcel and whose turn it is. The one owner of the courier's state.

mod calls;
mod events;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use recueil_dossier::DossierId;
use recueil_wire::courier::Stage;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cert::Endpoint;
use crate::files::Folders;
use crate::lanes::Event;
use crate::lookups::NOT_CONFIGURED;
use crate::socket::Voice;
use crate::{Config, Error};

/// Look-ups at once; more are refused.
const LOOKUPS_MAX: usize = 16;
/// How long CERT may keep an answer back, shared among the parcels that wait for one.
const RECEIPT_WAIT: Duration = Duration::from_secs(20);

/// A parcel as the desk sees it.
#[derive(Debug)]
struct Parcel {
    total: u64,
    sent: u64,
    stage: Stage,
    failures: u32,
    /// When its next turn may come.
    due: Instant,
    /// What was wrong at the last try.
    trouble: Option<String>,
    /// It is not tried again by itself.
    stopped: bool,
    /// Receipts that `recueild` did not believe,
    refusals: u32,
    /// and why the last one was not; until another one is there.
    disbelief: Option<String>,
    /// R1 was not believed, and is fetched again then.
    r1_due: Option<Instant>,
    /// Questions for the final receipt that CERT answered sooner than it was allowed to, with nothing.
    unanswered: u32,
}

impl Parcel {
    /// When the sending lane may have it: for its bytes, or for R1 alone.
    fn send_due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waiting => Some(self.due),
            Stage::Stored => self.r1_due,
            Stage::Sending | Stage::Ended => None,
        }
    }

    /// What is wrong with it, if anything.
    fn told(&self) -> Option<&String> {
        self.trouble.as_ref().or(self.disbelief.as_ref())
    }

    fn set_send_due(&mut self, due: Instant) {
        match self.stage {
            Stage::Stored => self.r1_due = Some(due),
            _ => self.due = due,
        }
    }

    fn set_ask_due(&mut self, due: Instant) {
        self.due = due;
    }

    /// When the asking lane may have it.
    fn ask_due(&self) -> Option<Instant> {
        (self.stage == Stage::Stored).then_some(self.due)
    }
}

/// A lane as the desk sees it.
#[derive(Debug)]
struct Lane<T> {
    jobs: mpsc::Sender<T>,
    busy: bool,
}

pub(crate) struct Desk {
    config: Config,
    endpoint: Option<Endpoint>,
    folders: Arc<Folders>,
    parcels: BTreeMap<DossierId, Parcel>,
    sending: Lane<DossierId>,
    asking: Lane<(DossierId, Duration)>,
    /// When the last question for a receipt began, and how long CERT might keep the answer back.
    asked: (Instant, Duration),
    /// Before this CERT is left alone by both lanes.
    line_due: Instant,
    line_failures: u32,
    reachable: Option<bool>,
    trouble: Option<String>,
    voices: Vec<Voice>,
    lookups: JoinSet<()>,
    places: Arc<Semaphore>,
    events: mpsc::Sender<Event>,
}

impl Desk {
    pub(crate) fn new(
        config: Config,
        endpoint: Option<Endpoint>,
        folders: Arc<Folders>,
        events: mpsc::Sender<Event>,
        sender: mpsc::Sender<DossierId>,
        asker: mpsc::Sender<(DossierId, Duration)>,
    ) -> Self {
        let trouble = endpoint.is_none().then(|| NOT_CONFIGURED.to_owned());
        Self {
            config,
            endpoint,
            folders,
            parcels: BTreeMap::new(),
            sending: Lane {
                jobs: sender,
                busy: false,
            },
            asking: Lane {
                jobs: asker,
                busy: false,
            },
            asked: (Instant::now(), RECEIPT_WAIT),
            line_due: Instant::now(),
            line_failures: 0,
            reachable: None,
            trouble,
            voices: Vec::new(),
            lookups: JoinSet::new(),
            places: Arc::new(Semaphore::new(LOOKUPS_MAX)),
            events,
        }
    }

    /// Compares the outbox with what is known.
    pub(crate) fn look(&mut self) -> Result<(), Error> {
        let ready_dir = self.config.ready_dir.clone();
        let read = |error| Error::file(&ready_dir, error);
        let there = self.folders.parcels().map_err(read)?;
        for id in self.folders.known().map_err(read)? {
            // What is gone was taken by `recueild`, which has the receipts.
            if !there.iter().any(|(present, _)| *present == id) {
                self.folders.forget(id);
            }
        }
        self.parcels
            .retain(|id, _| there.iter().any(|(present, _)| present == id));
        for (id, total) in there {
            if self.parcels.contains_key(&id) {
                continue;
            }
            let stage = self.folders.stage(id).map_err(read)?;
            let sent = if stage == Stage::Waiting { 0 } else { total };
            let due = Instant::now();
            self.parcels.insert(
                id,
                Parcel {
                    total,
                    sent,
                    stage,
                    failures: 0,
                    due,
                    trouble: None,
                    stopped: false,
                    refusals: 0,
                    disbelief: None,
                    r1_due: None,
                    unanswered: 0,
                },
            );
            self.tell_stage(id);
        }
        Ok(())
    }

    /// Gives each idle lane the parcel whose turn it is.
    pub(crate) fn give_work(&mut self) {
        let now = Instant::now();
        if self.endpoint.is_none() || now < self.line_due {
            return;
        }
        if !self.sending.busy
            && let Some(id) = self.next_to_send(now)
        {
            self.sending.busy = self.sending.jobs.try_send(id).is_ok();
            if let Some(parcel) = self.parcels.get_mut(&id).filter(|_| self.sending.busy) {
                match parcel.stage {
                    Stage::Stored => parcel.r1_due = None,
                    _ => parcel.stage = Stage::Sending,
                }
            }
            self.tell_stage(id);
        }
        if !self.asking.busy
            && let Some(id) = self.next_to_ask(now)
        {
            let waiting = self
                .parcels
                .values()
                .filter(|parcel| parcel.stage == Stage::Stored)
                .count();
            let share = RECEIPT_WAIT / u32::try_from(waiting.max(1)).unwrap_or(u32::MAX);
            self.asking.busy = self.asking.jobs.try_send((id, share)).is_ok();
            self.asked = (now, share);
        }
    }

    fn next_to_send(&self, now: Instant) -> Option<DossierId> {
        self.next(now, Parcel::send_due)
    }

    fn next_to_ask(&self, now: Instant) -> Option<DossierId> {
        self.next(now, Parcel::ask_due)
    }

    /// Of those whose time has come the one that failed least, so that one that always fails holds nobody up; then
    /// the one that waits longest.
    fn next(&self, now: Instant, due: impl Fn(&Parcel) -> Option<Instant>) -> Option<DossierId> {
        let waiting = self.parcels.iter().filter(|(_, parcel)| !parcel.stopped);
        waiting
            .filter_map(|(id, parcel)| Some((parcel.failures, due(parcel).filter(|due| *due <= now)?, *id)))
            .min()
            .map(|(_, _, id)| id)
    }

    /// When an idle lane may get work without anything happening first.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        self.endpoint.as_ref()?;
        let due = |parcel: &Parcel| {
            let send = parcel.send_due().filter(|_| !self.sending.busy);
            let ask = parcel.ask_due().filter(|_| !self.asking.busy);
            send.into_iter().chain(ask).min()
        };
        let waiting = self.parcels.values().filter(|parcel| !parcel.stopped);
        waiting.filter_map(due).map(|due| due.max(self.line_due)).min()
    }
}
