//! Its plugin failed too often. It stays so, over unplugging and restarts of hostd, until somebody lifts it or
//! another plugin is installed.

use recueil_wire::devices::{DeviceState, Failure, FailureCode};
use tracing::{error, info, warn};

use super::{Command, Context, State, Ticket, changed};
use crate::Error;
use crate::failure::failure;
use crate::quarantine::Quarantine;
use crate::virtual_bus::Offer;

#[derive(Debug)]
pub(super) struct Quarantined {
    offer: Offer,
    why: Failure,
}

impl Quarantined {
    pub(super) fn new(offer: Offer, quarantine: &Quarantine) -> Self {
        Self {
            offer,
            why: quarantine.failure(),
        }
    }

    pub(super) fn failure(&self) -> &Failure {
        &self.why
    }

    pub(super) async fn run(self, context: &mut Context) -> State {
        context.known.confinement = None;
        context
            .enter(DeviceState::Quarantined, Some(self.why.clone()))
            .await;
        loop {
            tokio::select! {
                () = changed(&mut context.presence, &self.offer) => return context.present(),
                command = context.commands.recv() => match command {
                    None => return State::Over,
                    Some(Command::Lift { ticket }) => {
                        if context.lift_quarantine(ticket).await {
                            return context.present();
                        }
                    }
                    Some(command) => context.refuse(command, &self.why).await,
                },
            }
        }
    }
}

impl Context {
    /// What an earlier hostd knew. It holds only for the plugin as it was then.
    pub(super) async fn recall_quarantine(&mut self) {
        if !self.settings.quarantine.may_hold(&self.known.id) {
            return;
        }
        let store = self.settings.quarantine.clone();
        let device = self.known.id.clone();
        let plugin = (self.plugin.manifest.id.clone(), self.plugin.sha256());
        let recall = move || -> Result<Option<Quarantine>, Error> {
            let Some(known) = store.load(&device)? else {
                return Ok(None);
            };
            if known.holds(&plugin.0, plugin.1) {
                return Ok(Some(known));
            }
            info!(
                device,
                plugin = plugin.0,
                sha256 = %plugin.1,
                "quarantine lifted: the plugin is another"
            );
            store.lift(&device)?;
            Ok(None)
        };
        let device = &self.known.id;
        match tokio::task::spawn_blocking(recall).await {
            Ok(Ok(quarantine)) => self.quarantine = quarantine,
            Ok(Err(error)) => error!(
                device,
                reason = error.chain(),
                "whether it was in quarantine is not known: it is tried"
            ),
            Err(_) => error!(
                device,
                "whether it was in quarantine could not be read: it is tried"
            ),
        }
    }

    /// Durable before it is told. Where the disk refuses, it holds for as long as hostd runs.
    pub(super) async fn put_into_quarantine(&mut self, last: &Failure) {
        let manifest = &self.plugin.manifest;
        let plugin = (
            manifest.id.as_str(),
            manifest.version.as_str(),
            self.plugin.sha256(),
        );
        let failures = self.restarts.policy().failures_max;
        let quarantine = Quarantine::begin(plugin, &self.known.id, failures, last);
        warn!(
            device = quarantine.device,
            plugin = quarantine.plugin,
            version = quarantine.plugin_version,
            sha256 = quarantine.plugin_sha256,
            reason = quarantine.reason,
            "put into quarantine"
        );
        let store = self.settings.quarantine.clone();
        let put = {
            let quarantine = quarantine.clone();
            move || store.put(&quarantine)
        };
        if let Err(reason) = finished(tokio::task::spawn_blocking(put).await) {
            error!(
                device = quarantine.device,
                reason, "the quarantine ends with this process: it cannot be stored"
            );
        }
        self.quarantine = Some(quarantine);
    }

    /// Answers `ticket`. True if the device is free.
    pub(super) async fn lift_quarantine(&mut self, ticket: Ticket) -> bool {
        let device = self.known.id.clone();
        if self.quarantine.is_none() {
            self.not_quarantined(ticket).await;
            return false;
        }
        let store = self.settings.quarantine.clone();
        let lift = {
            let device = device.clone();
            move || store.lift(&device)
        };
        if let Err(reason) = finished(tokio::task::spawn_blocking(lift).await) {
            let why = failure(
                FailureCode::Storage,
                format!("{device} stays in quarantine: {reason}"),
            );
            self.reply(ticket, Err(why)).await;
            return false;
        }
        self.quarantine = None;
        self.restarts.forgive();
        info!(device, plugin = self.known.plugin, "quarantine lifted by hand");
        self.reply(ticket, Ok(())).await;
        true
    }
}

fn finished(done: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), String> {
    match done {
        Ok(done) => done.map_err(|error| error.chain()),
        Err(_) => Err("the task failed".to_owned()),
    }
}
