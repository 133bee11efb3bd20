//! What hostd, the courier and CERT tell.

use jiff::Timestamp;
use recueil_dossier::{DemandeNumber, Event, State};
use recueil_store::{Filter, Stamp, Store};
use recueil_wire::courier::{DemandeStatus, Stage};
use recueil_wire::devices::{DeviceState, Notice};

use super::Station;
use crate::courier::CourierNews;
use crate::dossier::News;
use crate::link::LinkEvent;
use crate::receipts;

/// Demandes asked for in one call.
const STATUSES_MAX: usize = 100;
/// States in which CERT may have news.
const FOLLOWED: [State; 5] = [
    State::Ingested,
    State::InInstruction,
    State::Complement,
    State::Production,
    State::Available,
];

impl Station {
    pub(super) async fn hear_hostd(&mut self, event: LinkEvent<Notice>) {
        match event {
            LinkEvent::Up => match self.shop.capture.devices.refresh().await {
                Ok((devices, plugins)) => {
                    self.hostd_up = true;
                    self.plugins = plugins;
                    for device in devices {
                        self.show_device(&device.id).await;
                    }
                }
                Err(error) => tracing::warn!(%error, "the device service does not list its devices"),
            },
            LinkEvent::Down => {
                self.hostd_up = false;
                let devices = self.shop.capture.devices.all();
                self.shop.capture.devices.lost();
                for mut device in devices {
                    device.state = DeviceState::Absent;
                    self.show(&device).await;
                }
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
                }
            }
        }
    }

    pub(super) async fn hear_courier(&mut self, event: LinkEvent<CourierNews>) {
        match event {
            LinkEvent::Up => {
                self.courier_up = true;
                self.collect_receipts().await;
            }
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
                } else {
                    self.progress.insert(id, progress);
                }
            }
        }
    }

    /// Moves a dossier where the table allows it; what it does not allow changes nothing.
    async fn apply(&self, id: recueil_dossier::DossierId, event: Event) {
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

    pub(super) async fn collect_receipts(&mut self) {
        let Some(keys) = self.shop.keys.clone() else {
            return;
        };
        let changed = receipts::collect(&self.settings.receipts_dir, &keys, &self.shop.storage).await;
        if changed.is_empty() {
            return;
        }
        for id in &changed {
            self.tell(*id, News::Changed);
        }
        self.ask_statuses().await;
    }

    /// Asks CERT where the demandes stand, and moves their dossiers.
    pub(super) async fn ask_statuses(&mut self) {
        let followed = self.shop.storage.run(followed).await.unwrap_or_default();
        if followed.is_empty() || !self.courier_up {
            return;
        }
        let (courier, storage, desks) = (
            self.shop.courier.clone(),
            self.shop.storage.clone(),
            self.news_of_desks(),
        );
        // On its own: a slow CERT holds nobody up.
        tokio::spawn(async move {
            let Ok(statuses) = courier.statuses(followed).await else {
                return;
            };
            let moved = storage
                .run(move |store| follow(store, &statuses))
                .await
                .unwrap_or_default();
            for id in moved {
                if let Some(news) = desks
                    .iter()
                    .find_map(|(desk, news)| (*desk == id).then_some(news))
                {
                    drop(news.try_send(News::Changed));
                }
            }
        });
    }

    fn news_of_desks(&self) -> Vec<(recueil_dossier::DossierId, tokio::sync::mpsc::Sender<News>)> {
        self.desks
            .iter()
            .map(|(id, desk)| (*id, desk.news.clone()))
            .collect()
    }
}

fn followed(store: &mut Store) -> Result<Vec<DemandeNumber>, recueil_store::Error> {
    let filter = Filter {
        states: FOLLOWED.to_vec(),
        ..Filter::default()
    };
    let mut demandes: Vec<_> = store
        .list(&filter, None, 200)?
        .entries
        .into_iter()
        .filter_map(|entry| entry.demande)
        .collect();
    demandes.sort();
    demandes.dedup();
    demandes.truncate(STATUSES_MAX);
    Ok(demandes)
}

/// Every dossier of each demande, deposit and hand-over alike, goes where CERT says it stands.
fn follow(
    store: &mut Store,
    statuses: &[DemandeStatus],
) -> Result<Vec<recueil_dossier::DossierId>, recueil_store::Error> {
    let mut moved = Vec::new();
    for DemandeStatus { demande, status } in statuses {
        let Some(event) = State::event_of_cert_status(status) else {
            continue;
        };
        let filter = Filter {
            demande: Some(demande.clone()),
            states: FOLLOWED.to_vec(),
            ..Filter::default()
        };
        for entry in store.list(&filter, None, 200)?.entries {
            if recueil_dossier::next(entry.state, event).is_ok() {
                store.apply(entry.id, event, &Stamp::station(Timestamp::now()))?;
                moved.push(entry.id);
            }
        }
    }
    Ok(moved)
}
