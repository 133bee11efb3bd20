//! What citizens, faults and rests share: the station, the places at its devices, the ledger of what was sealed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_bus::Address;
use recueil_tests::{Client, Options, Station};
use serde_json::{Value, json};

use crate::tally::Tally;

/// Longest that something that must come about is waited for, on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A station in a town hall.
#[derive(Debug)]
pub(crate) struct Town {
    station: Mutex<Station>,
    pub(crate) address: Address,
    pub(crate) bus: String,
    /// What is laid on the glass is for who laid it there.
    pub(crate) scanner: tokio::sync::Mutex<()>,
    /// And so is the hand.
    pub(crate) reader: tokio::sync::Mutex<()>,
    tally: Mutex<Tally>,
    /// What citizens were told of each sealed dossier in the end.
    fates: Mutex<BTreeMap<String, &'static str>>,
}

impl Town {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let station = Station::start(Options {
            // A driver that is killed from outside is not to be taken out of service for it.
            driver_failures_max: 1000,
            // At rest nothing is kept for the next question.
            courier: json!({"idle_s": 1}),
            ..Options::default()
        })?;
        Ok(Self {
            address: station.address(),
            bus: station.bus_address().to_owned(),
            station: Mutex::new(station),
            scanner: tokio::sync::Mutex::default(),
            reader: tokio::sync::Mutex::default(),
            tally: Mutex::default(),
            fates: Mutex::default(),
        })
    }

    pub(crate) fn station(&self) -> MutexGuard<'_, Station> {
        self.station.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn count(&self, what: &str) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(what);
    }

    pub(crate) fn tally(&self) -> Tally {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone()
    }

    pub(crate) fn logs(&self) -> String {
        self.station().logs()
    }

    /// Says what a device shows at its next capture, and at no other.
    pub(crate) fn show(&self, device: &str, presentation: &Value) -> anyhow::Result<()> {
        let station = self.station();
        station.hardware(&json!({"command": "clear", "device": device}))?;
        station.show(device, std::slice::from_ref(presentation))
    }

    /// An order to CERT that it must take.
    pub(crate) fn tell_cert(&self, order: &Value) -> anyhow::Result<Value> {
        let told = self.station().cert(order)?;
        anyhow::ensure!(
            told.get("ok") == Some(&json!(true)),
            "CERT refuses {order}: {told}"
        );
        Ok(told)
    }

    /// A client, as soon as the service is there.
    pub(crate) async fn client(&self, agent: &str) -> anyhow::Result<Client> {
        let begun = Instant::now();
        loop {
            match Client::connect(&self.address, agent).await {
                Ok(client) => return Ok(client),
                Err(error) if begun.elapsed() > PATIENCE => {
                    return Err(error.context("the service stays away"));
                }
                Err(_not_yet) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    pub(crate) fn sealed(&self, id: &str, fate: &'static str) -> anyhow::Result<()> {
        let mut fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        match fates.insert(id.to_owned(), fate) {
            Some(before) if before != fate => bail!("{id} was {before} and is {fate}"),
            _ => Ok(()),
        }
    }

    /// CERT has each sealed dossier once, with the fate that the citizen was told, and no other dossier.
    pub(crate) async fn judge(&self) -> anyhow::Result<()> {
        let list = self.tell_cert(&json!({"do": "list"}))?;
        let alarms = list.get("alarms").and_then(Value::as_array).context("alarms")?;
        anyhow::ensure!(alarms.is_empty(), "CERT sounds an alarm: {alarms:?}");
        let dossiers = list
            .get("dossiers")
            .and_then(Value::as_array)
            .context("dossiers")?;
        let mut at_cert = BTreeMap::new();
        for dossier in dossiers {
            let text = |key| {
                dossier
                    .get(key)
                    .and_then(Value::as_str)
                    .context("a dossier of CERT")
            };
            let before = at_cert.insert(text("dossier")?.to_owned(), text("state")?.to_owned());
            anyhow::ensure!(before.is_none(), "CERT has a dossier twice: {dossier}");
        }
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (id, fate) in &fates {
            let at_cert = at_cert.remove(id);
            anyhow::ensure!(
                at_cert.as_deref() == Some(*fate),
                "{id} is {fate} for its citizen, and {at_cert:?} at CERT"
            );
        }
        anyhow::ensure!(at_cert.is_empty(), "CERT has what nobody sealed: {at_cert:?}");
        Ok(())
    }

    /// What clients that were killed left behind is put away, and everything is plugged in.
    pub(crate) async fn clean_up(&self) -> anyhow::Result<()> {
        for device in ["fp4", "cam", "flatbed"] {
            for command in ["clear", "back"] {
                self.station()
                    .hardware(&json!({"command": command, "device": device}))?;
            }
        }
        let client = self.client("agent.capture").await?;
        for draft in client.station.list_drafts().await? {
            let own = self.client(&draft.agent).await?;
            own.adopt(&draft.id).await?.dossier.cancel().await?;
            own.leave().await?;
            self.count("draft of a killed client cancelled");
        }
        let outbox = client.station.outbox().await?;
        anyhow::ensure!(outbox.is_empty(), "parcels wait without a citizen: {outbox:?}");
        for modality in ["fingerprint", "camera", "scanner"] {
            client.device(modality).await?;
        }
        client.leave().await
    }

    /// The state of a dossier as the lists have it, drafts first: it leaves theirs for the other.
    pub(crate) async fn state_of(&self, client: &Client, id: &str) -> anyhow::Result<String> {
        let drafts = client.station.list_drafts().await?;
        if let Some(found) = drafts.into_iter().find(|draft| draft.id == id) {
            return Ok(found.state);
        }
        let mut cursor = String::new();
        loop {
            let (page, next) = client.station.list_dossiers(HashMap::new(), &cursor, 200).await?;
            if let Some(found) = page.into_iter().find(|dossier| dossier.id == id) {
                return Ok(found.state);
            }
            anyhow::ensure!(!next.is_empty(), "the dossier {id} is in no list");
            cursor = next;
        }
    }
}
