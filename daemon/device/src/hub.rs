//! One loop: what the buses offer, what devices report, what `recueild` asks.
//!
//! It never waits for a device: calls go into a device's queue or are refused, and what devices are offered
//! is a value that they read when they can. So no plugin can hold up another.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::Listener;
use recueil_wire::devices::{
    Answer, Call, Device, DeviceId, DeviceState, Failure, FailureCode, FromHostd, HostLimits, Notice, Request,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::Error;
use crate::admission::Trust;
use crate::blobs::BlobStore;
use crate::cgroup::Cgroups;
use crate::client::Client;
use crate::config::Config;
use crate::failure::failure;
use crate::life::{Command, Deadlines, Handle, Report, Settings, Ticket, device};
use crate::quarantine::QuarantineStore;
use crate::registry::Registry;
use crate::virtual_bus::{Name, Offers, VirtualBus};

/// Devices known at one time, absent ones included.
const DEVICES_MAX: usize = 16;
/// Reports that may wait for the loop; a device waits when it is full, and the loop never does.
const REPORTS_MAX: usize = 64;
/// What ends may take together when hostd is told to end.
const END_MAX: Duration = Duration::from_millis(1500);

/// hostd, listening, not yet running.
#[derive(Debug)]
pub struct Hostd {
    config: Config,
    deadlines: Deadlines,
    listener: Listener,
}

impl Hostd {
    /// Listens. To be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Socket`].
    pub fn bind(config: Config) -> Result<Self, Error> {
        // Everybody may connect; whoever is not `recueild` is refused by his uid.
        let listener = Listener::bind(&config.socket, 0o666).map_err(|source| Error::Socket {
            path: config.socket.clone(),
            source,
        })?;
        Ok(Self {
            config,
            deadlines: Deadlines::default(),
            listener,
        })
    }

    /// Other deadlines than the usual, for tests.
    #[must_use]
    pub fn with_deadlines(self, deadlines: Deadlines) -> Self {
        Self { deadlines, ..self }
    }
}

/// Serves until `shutdown`, then kills every host and returns within two seconds.
///
/// # Errors
/// [`Error::Socket`] if connections cannot be accepted any more.
pub async fn run(hostd: Hostd, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let (mut hub, mut reports) = Hub::new(&hostd);
    let mut bus = hostd.config.virtual_dir.as_deref().map(VirtualBus::new);
    let recueild = hostd.config.recueild.uid();
    let mut shutdown = std::pin::pin!(shutdown);
    let outcome = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            accepted = hostd.listener.accept(|uid| allowed(uid, recueild)), if hub.client.is_none() => {
                match accepted {
                    Ok(socket) => hub.connected(socket),
                    Err(source) => break Err(Error::Socket { path: hostd.config.socket.clone(), source }),
                }
            }
            request = heard(hub.client.as_ref()) => match request {
                Some(request) => hub.obey(request),
                None => hub.disconnected(),
            },
            Some(report) = reports.recv() => hub.report(report),
            offers = offered(bus.as_mut()) => match offers {
                Ok(offers) => {
                    hub.offers = offers;
                    hub.offer();
                }
                Err(error) => {
                    error!(reason = error.chain(), "the virtual bus is not watched any more");
                    bus = None;
                }
            },
        }
    };
    hub.end().await;
    outcome
}

fn allowed(uid: u32, recueild: u32) -> bool {
    if uid != recueild {
        warn!(uid, "refused a connection: only uid {recueild} is recueild");
    }
    uid == recueild
}

async fn heard(client: Option<&Client>) -> Option<Request> {
    match client {
        Some(client) => client.hear().await,
        None => std::future::pending().await,
    }
}

async fn offered(bus: Option<&mut VirtualBus>) -> Result<Offers, Error> {
    match bus {
        Some(bus) => bus.changed().await,
        None => std::future::pending().await,
    }
}

struct Hub {
    registry: Registry,
    settings: Arc<Settings>,
    devices: BTreeMap<DeviceId, Known>,
    client: Option<Client>,
    clients: u64,
    /// What the buses offer.
    offers: Offers,
    /// The machine is about to sleep, or sleeps: whatever is offered, devices have nothing.
    asleep: bool,
    reports: mpsc::Sender<Report>,
    ending: CancellationToken,
    lives: TaskTracker,
}

struct Known {
    name: Name,
    handle: Handle,
    /// As it last reported itself.
    device: Option<Device>,
}

impl Hub {
    fn new(hostd: &Hostd) -> (Self, mpsc::Receiver<Report>) {
        let config = &hostd.config;
        let trust = if config.trust_own_uid {
            Trust::root_and(rustix::process::geteuid().as_raw())
        } else {
            Trust::root()
        };
        let registry = Registry::scan(config, &trust);
        let settings = Settings {
            host_program: config.host_program.clone(),
            cgroups: Cgroups::take_over(),
            landlock_abi_max: config.landlock_abi_max,
            allow_unsandboxed: config.allow_unsandboxed.clone(),
            trust,
            blobs: BlobStore::new(&config.state_dir),
            quarantine: QuarantineStore::new(&config.state_dir),
            restart: config.restart,
            config: config.config.clone(),
            deadlines: hostd.deadlines,
        };
        let (reports, inbox) = mpsc::channel(REPORTS_MAX);
        let hub = Self {
            registry,
            settings: Arc::new(settings),
            devices: BTreeMap::new(),
            client: None,
            clients: 0,
            offers: Offers::new(),
            asleep: false,
            reports,
            ending: CancellationToken::new(),
            lives: TaskTracker::new(),
        };
        (hub, inbox)
    }

    fn connected(&mut self, socket: recueil_wire::AsyncSocket) {
        self.clients += 1;
        info!("recueild is connected");
        self.client = Some(Client::new(socket, self.clients));
    }

    /// Its sessions end with it, since they hold the connection's token.
    fn disconnected(&mut self) {
        info!("recueild is gone: its sessions end");
        self.client = None;
        // Who comes next says so again if the machine still goes to sleep.
        self.sleep(false);
    }

    fn obey(&mut self, request: Request) {
        let Some(client) = &self.client else { return };
        let ticket = Ticket {
            client: client.number,
            id: request.id,
        };
        let (id, command) = match request.call {
            Call::List => {
                let answer = Answer::Devices {
                    devices: self
                        .devices
                        .values()
                        .filter_map(|known| known.device.clone())
                        .collect(),
                    plugins: self.registry.listed(),
                    limits: match &self.settings.cgroups {
                        Some(cgroups) if cgroups.holds() => HostLimits::Cgroups,
                        _ => HostLimits::Rlimits,
                    },
                };
                self.answer(ticket, Ok(answer), None);
                return;
            }
            Call::Sleep | Call::Wake => {
                self.sleep(matches!(request.call, Call::Sleep));
                self.answer(ticket, Ok(Answer::Done), None);
                return;
            }
            Call::Open { device } => {
                let client = client.gone();
                (device, Command::Open { ticket, client })
            }
            Call::Start { device, req, params } => (device, Command::Start { ticket, req, params }),
            Call::Stop { device, req } => (device, Command::Stop { ticket, req }),
            Call::Feedback { device, feedback } => (device, Command::Feedback { ticket, feedback }),
            Call::Close { device } => (device, Command::Close { ticket }),
            Call::LiftQuarantine { device } => (device, Command::Lift { ticket }),
        };
        let refused = match self.devices.get(&id) {
            None => Some(failure(FailureCode::NoDevice, "there is no such device")),
            Some(known) => known
                .handle
                .commands
                .try_send(command)
                .err()
                .map(|_| failure(FailureCode::Busy, format!("{id} has too many calls waiting"))),
        };
        if let Some(refused) = refused {
            self.answer(ticket, Err(refused), None);
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Reply { ticket, answer, fd } => self.answer(ticket, answer.map(|()| Answer::Done), fd),
            Report::Notice(notice) => {
                if let Notice::Device { device } = &notice
                    && let Some(known) = self.devices.get_mut(&device.id)
                {
                    known.device = Some((**device).clone());
                }
                self.tell(notice);
            }
        }
    }

    fn answer(&self, ticket: Ticket, answer: Result<Answer, Failure>, fd: Option<OwnedFd>) {
        match &self.client {
            Some(client) if client.number == ticket.client => {
                client.say(
                    FromHostd::Reply {
                        id: ticket.id,
                        answer,
                    },
                    fd,
                );
            }
            // Whoever asked is gone; so is what it asked for.
            _ => {}
        }
    }

    fn tell(&self, notice: Notice) {
        if let Some(client) = &self.client {
            client.say(FromHostd::Notice(notice), None);
        }
    }

    fn sleep(&mut self, asleep: bool) {
        if self.asleep == asleep {
            return;
        }
        info!(asleep, "the machine's sleep");
        self.asleep = asleep;
        self.offer();
    }

    /// Lets every device know what is there for it now.
    fn offer(&mut self) {
        let offers = if self.asleep {
            Offers::new()
        } else {
            self.offers.clone()
        };
        for known in self.devices.values() {
            let offer = offers.get(&known.name).cloned();
            known.handle.presence.send_if_modified(|now| {
                let differs = *now != offer;
                *now = offer;
                differs
            });
        }
        for (name, offer) in offers {
            let id = name.device_id();
            match self.devices.get(&id) {
                Some(known) if known.name == name => continue,
                Some(_) => {
                    warn!(
                        device = id,
                        "ignored: another model and serial give the same name"
                    );
                    continue;
                }
                None => {}
            }
            let Some(plugin) = self.registry.for_virtual(&name.model) else {
                info!(device = id, "ignored: no admitted plugin claims this model");
                continue;
            };
            if self.devices.len() >= DEVICES_MAX && !self.forget_an_absent_one() {
                warn!(
                    device = id,
                    "ignored: {DEVICES_MAX} devices are connected already"
                );
                continue;
            }
            let (handle, life) = device(
                id.clone(),
                plugin,
                offer,
                self.settings.clone(),
                self.reports.clone(),
            );
            let ending = self.ending.clone();
            self.lives.spawn(async move {
                // Dropped on the way, the life takes its host with it.
                ending.run_until_cancelled(life).await;
            });
            if let Entry::Vacant(place) = self.devices.entry(id) {
                place.insert(Known {
                    name,
                    handle,
                    device: None,
                });
            }
        }
    }

    fn forget_an_absent_one(&mut self) -> bool {
        let absent = |known: &Known| {
            known
                .device
                .as_ref()
                .is_some_and(|device| device.state == DeviceState::Absent)
                && known.handle.presence.borrow().is_none()
        };
        let Some(id) = self
            .devices
            .iter()
            .find(|(_, known)| absent(known))
            .map(|(id, _)| id.clone())
        else {
            return false;
        };
        self.devices.remove(&id);
        self.tell(Notice::Gone { device: id });
        true
    }

    async fn end(self) {
        self.ending.cancel();
        self.lives.close();
        if tokio::time::timeout(END_MAX, self.lives.wait()).await.is_err() {
            error!("a host's process did not end after SIGKILL");
        }
    }
}
