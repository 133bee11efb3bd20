//! What the station is asked over the bus.

use std::time::Duration;

use jiff::Timestamp;
use recueil_bus::{
    Caller, Code, DossierSummary, Error, OutboxView, PluginView, Reply, StationCommand, StatusView,
};
use recueil_dossier::{AgentId, DossierId, State};
use recueil_store::{Entry, Filter};
use recueil_wire::devices::HostLimits;

use super::dossiers::Wanted;
use super::drafts::DRAFTS;
use super::{Station, Working};
use crate::courier;
use crate::quotas::too_many;
use crate::receipts::UNDER_WAY as OUTBOX;
use crate::storage::all;

/// After this CERT should have decided.
const UNDECIDED_HOURS: i64 = 24;

/// How long `Status` waits for the courier's word.
const LINE_MAX: Duration = Duration::from_secs(2);

impl Station {
    pub(super) async fn obey(&mut self, command: StationCommand) {
        match command {
            StationCommand::OpenAgentSession { caller, agent, reply } => {
                drop(reply.send(self.open_session(&caller, &agent)));
            }
            StationCommand::OpenDossier {
                caller,
                procedure,
                demande,
                token,
                reply,
            } => {
                let wanted = Wanted {
                    caller,
                    procedure,
                    demande,
                    token,
                };
                self.open_dossier(wanted, reply);
            }
            StationCommand::Adopt { caller, id, reply } => self.adopt(caller, id, reply),
            StationCommand::ListDrafts { caller, reply } => self.list_drafts(caller.uid, reply),
            StationCommand::ListDossiers {
                caller,
                state,
                cursor,
                limit,
                reply,
            } => {
                self.list_dossiers(caller.uid, state, &cursor, limit, reply);
            }
            StationCommand::Status { reply } => self.status(reply),
            StationCommand::Outbox { reply } => self.outbox(reply),
            StationCommand::ListPlugins { reply } => drop(reply.send(Ok(self.plugin_views()))),
            StationCommand::Lease {
                caller,
                device,
                steal,
                reply,
            } => {
                drop(reply.send(self.lease(caller, &device, steal).await));
            }
            StationCommand::Release {
                caller,
                device,
                reply,
            } => {
                drop(reply.send(self.release(&caller, &device).await));
            }
            StationCommand::LiftQuarantine {
                caller,
                device,
                reply,
            } => self.lift_quarantine(&caller, device, reply),
        }
    }

    /// Another agent at the same connection does not work in the name of the one before.
    fn open_session(&mut self, caller: &Caller, agent: &AgentId) -> Result<(), Error> {
        self.departed.refuse(caller)?;
        if !self.agents.contains_key(&caller.name) {
            let have = self
                .agents
                .values()
                .filter(|working| working.uid == caller.uid)
                .count();
            let max = self.shop.quotas.config.sessions;
            too_many(
                have,
                max,
                "agent sessions",
                "disconnect programs that are not used",
            )?;
        }
        let working = Working {
            agent: agent.clone(),
            uid: caller.uid,
        };
        let before = self.agents.insert(caller.name.clone(), working);
        if before.is_some_and(|before| before.agent != *agent) {
            self.close_desks(|published| published.holder.name == caller.name);
        }
        Ok(())
    }

    fn list_drafts(&self, uid: u32, reply: Reply<Vec<DossierSummary>>) {
        let filter = Filter {
            owner_uid: Some(uid),
            states: DRAFTS.to_vec(),
            ..Filter::default()
        };
        let storage = self.shop.storage.of_user(uid);
        tokio::spawn(async move {
            let page = storage.run(move |store| store.list(&filter, None, 200)).await;
            drop(reply.send(page.map(|page| page.entries.iter().map(summary).collect())));
        });
    }

    fn list_dossiers(
        &self,
        uid: u32,
        state: Option<State>,
        cursor: &str,
        limit: u32,
        reply: Reply<(Vec<DossierSummary>, String)>,
    ) {
        let after = match cursor {
            "" => None,
            text => match text.parse::<DossierId>() {
                Ok(id) => Some(id),
                Err(error) => {
                    drop(reply.send(Err(Error::new(Code::InvalidArgument, error.to_string()))));
                    return;
                }
            },
        };
        let sealed = State::ALL
            .into_iter()
            .filter(|state| !matches!(state, State::Draft | State::ToSign));
        let states = state.map_or_else(|| sealed.collect(), |state| vec![state]);
        let filter = Filter {
            owner_uid: Some(uid),
            states,
            ..Filter::default()
        };
        let storage = self.shop.storage.of_user(uid);
        let limit = usize::try_from(limit).unwrap_or(1);
        tokio::spawn(async move {
            let page = storage.run(move |store| store.list(&filter, after, limit)).await;
            let page = page.map(|page| {
                let next = page.next.map(|id| id.to_string()).unwrap_or_default();
                (page.entries.iter().map(summary).collect(), next)
            });
            drop(reply.send(page));
        });
    }

    fn status(&self, reply: Reply<StatusView>) {
        let keys = self.shop.keys.as_ref();
        let connected = |up: bool| if up { "connected" } else { "not running" }.to_owned();
        let devices = self.shop.capture.devices.all().len();
        let mut view = StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            station: self
                .settings
                .station
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            hostd: connected(self.hostd_up),
            courier: connected(self.courier_up),
            analyser: self.shop.capture.config.analyser.separation().to_owned(),
            driver_limits: self
                .driver_limits
                .map_or("unknown", HostLimits::as_str)
                .to_owned(),
            authority: self.settings.authority.as_str().to_owned(),
            seal_key: if keys.is_some() { "file" } else { "none" }.to_owned(),
            seal_certificate_days: keys.map(|keys| keys.seal_certificate_days(Timestamp::now())),
            devices: u32::try_from(devices).unwrap_or(u32::MAX),
            ..StatusView::default()
        };
        let (storage, courier) = (self.shop.storage.clone(), self.shop.courier.clone());
        tokio::spawn(async move {
            let line = tokio::time::timeout(LINE_MAX, courier.line()).await;
            let cert = match line.unwrap_or_else(|_elapsed| Err(courier::silent())) {
                Ok((line, _)) => {
                    view.cert_trouble = line.trouble;
                    match line.reachable {
                        Some(true) => "reachable",
                        Some(false) => "unreachable",
                        None => "unknown",
                    }
                }
                Err(error) if error.code == Code::NotConfigured => "not-configured",
                Err(_down) => "unknown",
            };
            cert.clone_into(&mut view.cert);
            let counts = storage
                .run(|store| Ok((count(store, DRAFTS)?, count(store, OUTBOX)?, store.reserve()?)))
                .await;
            drop(reply.send(counts.map(|(drafts, outbox, reserve)| {
                (view.drafts, view.outbox) = (drafts, outbox);
                reserve.as_str().clone_into(&mut view.reserve);
                view
            })));
        });
    }

    fn outbox(&self, reply: Reply<Vec<OutboxView>>) {
        let progress = self.progress.clone();
        let storage = self.shop.storage.clone();
        let now = Timestamp::now();
        tokio::spawn(async move {
            let filter = Filter {
                states: OUTBOX.to_vec(),
                ..Filter::default()
            };
            let entries = storage.run(move |store| all(store, &filter)).await;
            let views = entries.map(|entries| {
                let parcels = entries.iter().rev().filter_map(|entry| {
                    let sealed = entry.sealed.as_ref()?;
                    let progress = progress.get(&entry.id);
                    Some(OutboxView {
                        dossier: entry.id.to_string(),
                        state: entry.state.as_str().to_owned(),
                        sealed_at: sealed.sealed_at.to_string(),
                        sequence: sealed.sequence,
                        sent_bytes: progress.map_or(0, |progress| progress.sent),
                        total_bytes: sealed.len_bytes,
                        failures: progress.map_or(0, |progress| progress.failures),
                        trouble: progress
                            .and_then(|progress| progress.trouble.clone())
                            .or_else(|| undecided(entry, now)),
                    })
                });
                parcels.collect()
            });
            drop(reply.send(views));
        });
    }

    fn plugin_views(&self) -> Vec<PluginView> {
        let views = self.plugins.iter().map(|plugin| PluginView {
            id: plugin.id.clone(),
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            refused: plugin.refused.clone(),
        });
        views.collect()
    }
}

/// CERT has a parcel for long and does not say whether it took it in: nothing that a station can mend.
fn undecided(entry: &Entry, now: Timestamp) -> Option<String> {
    let hours = now.duration_since(entry.changed_at).as_hours();
    (entry.state == State::Stored && hours >= UNDECIDED_HOURS).then(|| {
        format!("CERT stored it {hours} hours ago and has not said yet whether it took it in; call CERT")
    })
}

fn count(store: &recueil_store::Store, states: &[State]) -> Result<u32, recueil_store::Error> {
    let filter = Filter {
        states: states.to_vec(),
        ..Filter::default()
    };
    Ok(u32::try_from(all(store, &filter)?.len()).unwrap_or(u32::MAX))
}

fn summary(entry: &Entry) -> DossierSummary {
    DossierSummary {
        id: entry.id.to_string(),
        kind: entry.kind.as_str().to_owned(),
        state: entry.state.as_str().to_owned(),
        procedure: entry.procedure.clone(),
        agent: entry.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        since: entry.changed_at.to_string(),
        demande: entry.demande.as_ref().map(ToString::to_string),
        sequence: entry.sealed.as_ref().map(|sealed| sealed.sequence),
    }
}
