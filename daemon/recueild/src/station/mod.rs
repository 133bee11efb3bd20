//! The station: an actor that knows who works, which dossiers are in use, who holds which device, and what
//! the other services say.

mod commands;
mod dossiers;
mod drafts;
mod lasting;
mod leases;
mod news;
mod sleep;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use recueil_bus::{Authority, Caller, Error, Published, Sleep, StationCommand, Vanished};
use recueil_device::lease::{Holder, Leases};
use recueil_dossier::{AgentId, DossierId, StationId};
use recueil_wire::courier::{self, Progress};
use recueil_wire::devices::{self, HostLimits, Notice, Plugin};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::courier::CourierNews;
use crate::dossier::{Desk, News};
use crate::link::LinkEvent;
use crate::receipts::Refused;
use crate::shop::{Internal, Shop};
use lasting::Lasting;

use self::sleep::Sleeping;

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
    /// What has come to its end is forgotten after this.
    pub(crate) forget_after: Duration,
}

/// What comes in.
pub(crate) struct Inputs {
    pub(crate) commands: mpsc::Receiver<StationCommand>,
    pub(crate) internal: mpsc::Receiver<Internal>,
    pub(crate) hostd: mpsc::Receiver<LinkEvent<Notice, devices::Answer>>,
    pub(crate) courier: mpsc::Receiver<LinkEvent<CourierNews, courier::Answer>>,
    pub(crate) vanished: Vanished,
    pub(crate) sleep: mpsc::Receiver<Sleep>,
}

/// The actor.
pub(crate) struct Station {
    shop: Shop,
    settings: Settings,
    agents: HashMap<String, Working>,
    desks: HashMap<DossierId, Desk>,
    leases: Leases,
    /// Devices that a capture holds.
    captures: HashMap<String, Running>,
    departed: Departed,
    started: Instant,
    plugins: Vec<Plugin>,
    hostd_up: bool,
    driver_limits: Option<HostLimits>,
    courier_up: bool,
    progress: BTreeMap<DossierId, Progress>,
    refused_receipts: Refused,
    lasting: Lasting,
    /// The round of questions to CERT that runs.
    statuses: Option<JoinHandle<()>>,
    /// While the machine is about to sleep, or sleeps.
    sleeping: Option<Sleeping>,
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
            captures: HashMap::new(),
            departed: Departed::default(),
            started: Instant::now(),
            plugins: Vec::new(),
            hostd_up: false,
            driver_limits: None,
            courier_up: false,
            progress: BTreeMap::new(),
            refused_receipts: Refused::default(),
            lasting: Lasting::default(),
            statuses: None,
            sleeping: None,
            stop,
        }
    }

    /// Runs until `stop`, or until the bus is lost.
    pub(crate) async fn run(mut self, mut inputs: Inputs) {
        let mut expiry = tokio::time::interval(EXPIRY);
        let mut receipts = tokio::time::interval(RECEIPTS);
        let mut statuses = tokio::time::interval(self.settings.status_poll);
        for interval in [&mut expiry, &mut receipts, &mut statuses] {
            // What was late is not made up for in a burst.
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        self.find_drafts().await;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(command) = inputs.commands.recv() => self.obey(command).await,
                Some(internal) = inputs.internal.recv() => self.serve(internal).await,
                Some(event) = inputs.hostd.recv() => self.hear_hostd(event).await,
                Some(event) = inputs.courier.recv() => self.hear_courier(event).await,
                name = inputs.vanished.recv() => {
                    let Some(name) = name else {
                        tracing::error!("the bus closed the connection");
                        break;
                    };
                    self.forget(&name).await;
                }
                Some(news) = inputs.sleep.recv() => self.hear_sleep(news).await,
                _ = expiry.tick() => self.tidy().await,
                _ = receipts.tick() => self.collect_receipts().await,
                _ = statuses.tick() => self.ask_statuses().await,
            }
            self.let_sleep();
        }
        self.close_desks(|_all| true);
        self.see_out(inputs).await;
    }

    /// What captures wait for at their end still comes: the news of their devices.
    async fn see_out(&mut self, mut inputs: Inputs) {
        let tasks = self.shop.tasks.clone();
        tasks.close();
        loop {
            tokio::select! {
                () = tasks.wait() => break,
                Some(internal) = inputs.internal.recv() => self.serve(internal).await,
                Some(event) = inputs.hostd.recv() => self.hear_hostd(event).await,
                Some(_) = inputs.courier.recv() => {}
            }
        }
    }

    /// What time brings.
    async fn tidy(&mut self) {
        self.desks.retain(|_, desk| !desk.is_gone());
        self.sweep_captures().await;
        self.expire().await;
        self.forget_ended().await;
        // What fails is logged there, and tried again.
        let _failed = self.shop.storage.run(recueil_store::Store::renew_reserve).await;
    }

    async fn serve(&mut self, internal: Internal) {
        match internal {
            Internal::LeaseForCapture {
                caller,
                device,
                stop,
                reply,
            } => {
                let hold = self.lease_for_capture(caller, device, stop).await;
                // The dossier may have been closed meanwhile.
                drop(reply.send(hold));
            }
            Internal::CaptureOver => self.sweep_captures().await,
            Internal::Moved(id) => self.tell(id, News::Changed),
            Internal::Found {
                caller,
                agent,
                id,
                reply,
            } => self.put_on_desk(caller, &agent, id, reply),
        }
    }

    /// A client left the bus: its session, leases and objects end; its drafts stay.
    async fn forget(&mut self, name: &str) {
        self.departed.add(name);
        self.agents.remove(name);
        self.close_desks(|published| published.holder.name == name);
        self.end_leases(name).await;
    }

    /// Closes dossiers in use; each stays here until its actor has ended.
    fn close_desks(&mut self, which: impl Fn(&Published) -> bool) {
        for desk in self.desks.values().filter(|desk| which(&desk.published)) {
            desk.close();
        }
    }

    fn since_start(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A capture on a device.
struct Running {
    holder: Holder,
    /// The lease was taken for this capture alone, and ends with it.
    temporary: bool,
    /// Ends it.
    stop: CancellationToken,
    /// Cancelled first, where the machine's sleep ends it.
    suspended: CancellationToken,
    /// Cancelled when it is over.
    over: CancellationToken,
}

/// Names that left the bus of late. A call may be looked at after the news that its caller left; what it was
/// given would never be taken back. Names are never used again.
#[derive(Debug, Default)]
struct Departed {
    names: HashSet<String>,
    order: VecDeque<String>,
}

/// Names remembered; a call is looked at long before so many others leave.
const DEPARTED_MAX: usize = 4096;

impl Departed {
    fn add(&mut self, name: &str) {
        if self.names.insert(name.to_owned()) {
            self.order.push_back(name.to_owned());
        }
        if self.order.len() > DEPARTED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }

    /// Refuses a caller that is gone.
    fn refuse(&self, caller: &Caller) -> Result<(), Error> {
        if self.names.contains(&caller.name) {
            let text = "the caller left the bus; connect again";
            return Err(Error::new(recueil_bus::Code::NotAuthorized, text));
        }
        Ok(())
    }
}

/// An agent session.
struct Working {
    agent: AgentId,
    uid: u32,
}

/// The agent who works at a caller, or what to do.
fn agent_of(agents: &HashMap<String, Working>, name: &str) -> Result<AgentId, Error> {
    agents
        .get(name)
        .map(|working| working.agent.clone())
        .ok_or_else(|| {
            Error::new(
                recueil_bus::Code::NoAgentSession,
                "call OpenAgentSession first: every dossier records who works",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(number: usize) -> Caller {
        Caller {
            name: format!(":1.{number}"),
            uid: 1000,
        }
    }

    #[test]
    fn who_left_the_bus_is_given_nothing() {
        let mut departed = Departed::default();
        assert!(departed.refuse(&caller(1)).is_ok());
        departed.add(":1.1");
        departed.add(":1.1");
        assert!(departed.refuse(&caller(1)).is_err());
        assert!(departed.refuse(&caller(2)).is_ok());
    }

    #[test]
    fn departed_names_are_remembered_for_a_while() {
        let mut departed = Departed::default();
        for number in 0..=DEPARTED_MAX {
            departed.add(&caller(number).name);
        }
        assert!(departed.refuse(&caller(0)).is_ok(), "the oldest is forgotten");
        assert!(departed.refuse(&caller(1)).is_err());
        assert_eq!(departed.names.len(), DEPARTED_MAX);
    }
}
