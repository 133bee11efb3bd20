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
    /// Why it is not tried again by itself.
    stopped: Option<String>,
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
                    stopped: None,
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
                parcel.stage = Stage::Sending;
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
        }
    }

    /// The oldest dossier first.
    fn next_to_send(&self, now: Instant) -> Option<DossierId> {
        let turn =
            |parcel: &Parcel| parcel.stage == Stage::Waiting && parcel.stopped.is_none() && parcel.due <= now;
        self.parcels
            .iter()
            .find(|(_, parcel)| turn(parcel))
            .map(|(id, _)| *id)
    }

    /// The one that was not asked for longest.
    fn next_to_ask(&self, now: Instant) -> Option<DossierId> {
        let waiting = self.parcels.iter().filter(|(_, parcel)| {
            parcel.stage == Stage::Stored && parcel.stopped.is_none() && parcel.due <= now
        });
        waiting.min_by_key(|(_, parcel)| parcel.due).map(|(id, _)| *id)
    }

    /// When an idle lane may get work without anything happening first.
    pub(crate) fn next_turn(&self) -> Option<Instant> {
        self.endpoint.as_ref()?;
        let idle = |parcel: &&Parcel| match parcel.stage {
            Stage::Waiting => !self.sending.busy,
            Stage::Stored => !self.asking.busy,
            Stage::Sending | Stage::Ended => false,
        };
        let due = self
            .parcels
            .values()
            .filter(|parcel| parcel.stopped.is_none())
            .filter(idle);
        due.map(|parcel| parcel.due.max(self.line_due)).min()
    }
}
