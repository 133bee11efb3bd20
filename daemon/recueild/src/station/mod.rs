//! The station: an actor that knows who works, which dossiers are in use, who holds which device, and what
//! the other services say.

mod commands;
mod dossiers;
mod leases;
mod news;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use recueil_bus::{Authority, Error, StationCommand, Vanished};
use recueil_device::lease::Leases;
use recueil_dossier::{AgentId, DossierId, StationId};
use recueil_wire::courier::Progress;
use recueil_wire::devices::{Notice, Plugin};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::courier::CourierNews;
use crate::dossier::Desk;
use crate::link::LinkEvent;
use crate::shop::{Internal, Shop};

/// What the actor is started with.
pub(crate) struct Settings {
    pub(crate) station: Option<StationId>,
    pub(crate) authority: Authority,
    pub(crate) receipts_dir: PathBuf,
    pub(crate) drafts_expire_at: jiff::civil::Time,
    pub(crate) zone: jiff::tz::TimeZone,
    pub(crate) status_poll: Duration,
    /// After this an announced take-over of a device succeeds.
    pub(crate) steal_after: Duration,
}

/// What comes in.
pub(crate) struct Inputs {
    pub(crate) commands: mpsc::Receiver<StationCommand>,
    pub(crate) internal: mpsc::Receiver<Internal>,
    pub(crate) hostd: mpsc::Receiver<LinkEvent<Notice>>,
    pub(crate) courier: mpsc::Receiver<LinkEvent<CourierNews>>,
    pub(crate) vanished: Vanished,
}

/// The actor.
pub(crate) struct Station {
    shop: Shop,
    settings: Settings,
    agents: HashMap<String, AgentId>,
    desks: HashMap<DossierId, Desk>,
    leases: Leases,
    started: Instant,
    plugins: Vec<Plugin>,
    hostd_up: bool,
    courier_up: bool,
    progress: BTreeMap<DossierId, Progress>,
    stop: CancellationToken,
}

/// Drafts are looked at this often for their end.
const EXPIRY: Duration = Duration::from_secs(30);
/// Receipts are looked for this often besides the courier's word.
const RECEIPTS: Duration = Duration::from_secs(10);

impl Station {
    pub(crate) fn new(shop: Shop, settings: Settings, stop: CancellationToken) -> Self {
        Self {
            shop,
            settings,
            agents: HashMap::new(),
            desks: HashMap::new(),
            leases: Leases::new(),
            started: Instant::now(),
            plugins: Vec::new(),
            hostd_up: false,
            courier_up: false,
            progress: BTreeMap::new(),
            stop,
        }
    }

    /// Runs until `stop`.
    pub(crate) async fn run(mut self, mut inputs: Inputs) {
        let mut expiry = tokio::time::interval(EXPIRY);
        let mut receipts = tokio::time::interval(RECEIPTS);
        let mut statuses = tokio::time::interval(self.settings.status_poll);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(command) = inputs.commands.recv() => self.obey(command).await,
                Some(internal) = inputs.internal.recv() => self.serve(internal).await,
                Some(event) = inputs.hostd.recv() => self.hear_hostd(event).await,
                Some(event) = inputs.courier.recv() => self.hear_courier(event).await,
                Some(name) = inputs.vanished.recv() => self.forget(&name).await,
                _ = expiry.tick() => self.expire().await,
                _ = receipts.tick() => self.collect_receipts().await,
                _ = statuses.tick() => self.ask_statuses().await,
            }
        }
        for desk in self.desks.values() {
            desk.close();
        }
    }

    async fn serve(&mut self, internal: Internal) {
        match internal {
            Internal::LeaseForCapture {
                caller,
                device,
                reply,
            } => {
                let lease = self.lease_for_capture(caller, device).await;
                // The dossier may have been closed meanwhile.
                drop(reply.send(lease));
            }
            Internal::CaptureOver(lease) => self.capture_over(lease).await,
        }
    }

    /// A client left the bus: its session, leases and objects end; its drafts stay.
    async fn forget(&mut self, name: &str) {
        self.agents.remove(name);
        self.desks.retain(|_, desk| {
            let stays = desk.published.holder.name != name;
            if !stays {
                desk.close();
            }
            stays
        });
        self.end_leases(name).await;
    }

    fn since_start(&self) -> Duration {
        self.started.elapsed()
    }
}

/// The agent who works at a caller, or what to do.
fn agent_of(agents: &HashMap<String, AgentId>, name: &str) -> Result<AgentId, Error> {
    agents.get(name).cloned().ok_or_else(|| {
        Error::new(
            recueil_bus::Code::NoAgentSession,
            "call OpenAgentSession first: every dossier records who works",
        )
    })
}
