//! What hostd, the courier and CERT tell.

use jiff::Timestamp;
use recueil_dossier::{DemandeNumber, DossierId, Event, State};
use recueil_store::{Filter, Stamp, Store};
use recueil_wire::courier::{self, DemandeStatus, Stage};
use recueil_wire::devices::{Answer, Notice};

use super::Station;
use crate::courier::CourierNews;
use crate::dossier::News;
use crate::link::LinkEvent;
use crate::receipts::{self, Collected};
use crate::shop::Internal;
use crate::storage::all;

/// Demandes asked for in one call.
const STATUSES_MAX: usize = 100;
/// Parcels whose progress is remembered; the courier tells it of more only by mistake.
const PROGRESS_MAX: usize = 1000;
/// States in which CERT may have news.
const FOLLOWED: [State; 5] = [
    State::Ingested,
    State::InInstruction,
    State::Complement,
    State::Production,
    State::Available,
];

impl Station {
    pub(super) async fn hear_hostd(&mut self, event: LinkEvent<Notice, Answer>) {
        match event {
            LinkEvent::Up => {}
            LinkEvent::Greeted(Answer::Devices {
                devices,
                plugins,
                limits,
            }) => {
                self.hostd_up = true;
                self.driver_limits = Some(limits);
                self.sleep_anew();
                self.plugins = plugins;
                self.shop.capture.devices.learn_all(devices);
                self.show_all_devices().await;
            }
            LinkEvent::Greeted(Answer::Done) => {
                tracing::warn!("the device service does not list its devices; it is of another release");
            }
            LinkEvent::Down => {
                self.hostd_up = false;
                self.driver_limits = None;
                self.shop.capture.devices.lost();
                self.show_all_devices().await;
            }
            LinkEvent::News(notice) => {
                let changed = match &notice {
                    Notice::Device { device } => Some(device.id.clone()),
                    Notice::Gone { device } => Some(device.clone()),
                    _ => None,
                };
                self.shop.capture.devices.learn(notice);
                if let Some(id) = changed {
                    self.show_device(&id).await;
                    self.forget_absent().await;
                }
            }
        }
    }

    async fn show_all_devices(&self) {
        for device in self.shop.capture.devices.all() {
            self.show(&device).await;
        }
    }

    /// Readers that come with ever new serial numbers do not fill the memory.
    async fn forget_absent(&self) {
        let now = self.since_start();
        let held = |id: &str| self.leases.lease(id, now).is_some();
        while let Some(id) = self.shop.capture.devices.forget(held) {
            if let Err(error) = self.shop.service.withdraw_device(&id).await {
                tracing::warn!(%error, "a device could not be taken off the bus");
            }
        }
    }

    pub(super) async fn hear_courier(&mut self, event: LinkEvent<CourierNews, courier::Answer>) {
        match event {
            LinkEvent::Up => {
                self.courier_up = true;
                self.collect_receipts().await;
            }
            LinkEvent::Greeted(_) => {}
            LinkEvent::Down => self.courier_up = false,
            LinkEvent::News(CourierNews::Receipt) => self.collect_receipts().await,
            LinkEvent::News(CourierNews::Progress(progress)) => {
                let id = progress.dossier;
                if progress.stage == Stage::Sending {
                    self.apply(id, Event::UploadStarted).await;
                }
                self.tell(id, News::Sent(progress.sent, progress.total));
                if progress.stage == Stage::Ended {
                    self.progress.remove(&id);
                } else if self.progress.len() < PROGRESS_MAX || self.progress.contains_key(&id) {
                    self.progress.insert(id, progress);
                }
            }
        }
    }

    /// Moves a dossier where the table allows it; what it does not allow changes nothing.
    async fn apply(&self, id: DossierId, event: Event) {
        let stamp = Stamp::station(Timestamp::now());
        let moved = self.shop.storage.run(move |store| {
            let allowed = recueil_dossier::next(store.state(id)?, event).is_ok();
            if allowed {
                store.apply(id, event, &stamp).map(|_| true)
            } else {
                Ok(false)
            }
        });
        if moved.await.unwrap_or(false) {
            self.tell(id, News::Changed);
        }
    }

    /// Finishes what a full disk stopped half-way, once there is room: of a parcel that was sent meanwhile there may be
    /// a receipt.
    async fn settle(&self) {
        let stamp = Stamp::station(Timestamp::now());
        let settled = self.shop.storage.run(move |store| store.settle_all(&stamp));
        for id in settled.await.unwrap_or_default() {
            self.tell(id, News::Changed);
        }
    }

    pub(super) async fn collect_receipts(&mut self) {
        self.settle().await;
        let Some(keys) = self.shop.keys.clone() else {
            return;
        };
        let dir = &self.settings.receipts_dir;
        let Collected { changed, refused } =
            receipts::collect(dir, &keys, &self.shop.storage, &mut self.refused_receipts).await;
        if !refused.is_empty() {
            let courier = self.shop.courier.clone();
            // On its own: nobody waits for what the courier does about it.
            tokio::spawn(async move {
                for receipt in refused {
                    courier.refuse(receipt).await;
                }
            });
        }
        if changed.is_empty() {
            return;
        }
        for id in &changed {
            self.tell(*id, News::Changed);
        }
        self.ask_statuses().await;
    }

    /// Asks CERT where all demandes stand, and moves their dossiers. One round at a time.
    pub(super) async fn ask_statuses(&mut self) {
        if !self.courier_up || self.statuses.as_ref().is_some_and(|round| !round.is_finished()) {
            return;
        }
        let (courier, storage, station) = (
            self.shop.courier.clone(),
            self.shop.storage.clone(),
            self.shop.station.clone(),
        );
        let stop = self.stop.clone();
        let round = async move {
            let followed = storage.run(followed).await.unwrap_or_default();
            for demandes in followed.chunks(STATUSES_MAX) {
                let Ok(statuses) = courier.statuses(demandes.to_vec()).await else {
                    return;
                };
                let moved = storage.run(move |store| follow(store, &statuses)).await;
                for id in moved.unwrap_or_default() {
                    // By the station, which knows who took the dossier into use since the round began.
                    drop(station.send(Internal::Moved(id)).await);
                }
            }
        };
        // On its own: a slow CERT holds nobody up.
        self.statuses = Some(tokio::spawn(async move {
            stop.run_until_cancelled(round).await;
        }));
    }
}

/// All demandes of which CERT may have news.
fn followed(store: &mut Store) -> Result<Vec<DemandeNumber>, recueil_store::Error> {
    let filter = Filter {
        states: FOLLOWED.to_vec(),
        ..Filter::default()
    };
    let mut demandes: Vec<_> = all(store, &filter)?
        .into_iter()
        .filter_map(|entry| entry.demande)
        .collect();
    demandes.sort();
    demandes.dedup();
    Ok(demandes)
}

/// Every dossier of each demande goes where CERT says it stands, as far as that concerns it.
fn follow(store: &mut Store, statuses: &[DemandeStatus]) -> Result<Vec<DossierId>, recueil_store::Error> {
    let mut moved = Vec::new();
    for DemandeStatus { demande, status } in statuses {
        let filter = Filter {
            demande: Some(demande.clone()),
            states: FOLLOWED.to_vec(),
            ..Filter::default()
        };
        for entry in all(store, &filter)? {
            let event = State::event_of_cert_status(entry.kind, status);
            if let Some(event) = event
                && recueil_dossier::next(entry.state, event).is_ok()
            {
                store.apply(entry.id, event, &Stamp::station(Timestamp::now()))?;
                moved.push(entry.id);
            }
        }
    }
    Ok(moved)
}
