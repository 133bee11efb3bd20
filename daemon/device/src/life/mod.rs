//! The life of one device: an actor, six states, one file a state.
//!
//! ```text
//!          offered            host waits          Open
//! Absent ──────────► Opening ───────────► Ready ─────────► InSession
//!    ▲               │  ▲  ▲                │                 │
//!    │ no longer     │  │  └── host ended ──┘   Close, client gone, host ended
//!    └── offered ────┤  └──────────────────────────────────────┘
//!        (from all)  ▼         ▲ a pause is over
//!                  Faulted ────┘
//!                    ▼ too often
//!               Quarantined ──► Opening, when it is lifted
//! ```
//!
//! Each state takes itself apart into the next one. The host lives inside the state: when the state is
//! dropped, the process is killed, so that nothing can end an actor and leave a plugin running.

mod absent;
mod chatter;
mod faulted;
mod in_session;
mod opening;
mod quarantined;
mod ready;
mod restarts;
mod start;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::devices::{CaptureParams, Device, DeviceId, DeviceState, Failure, FailureCode, Notice};
use recueil_wire::host::Feedback;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::restarts::RestartPolicy;
use self::restarts::{Next, Restarts};
use crate::admission::{Admitted, Trust};
use crate::blobs::BlobStore;
use crate::cgroup::Cgroups;
use crate::failure::failure;
use crate::quarantine::{Quarantine, QuarantineStore};
use crate::virtual_bus::Offer;

pub(crate) use chatter::LINE_CHARS_MAX;
pub(crate) use start::{checked, tamed};

/// Calls that may wait at one device. `recueild` has one session on it, so more is a mistake.
const COMMANDS_MAX: usize = 16;

/// How long each call of a plugin may take before its process is killed.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the plugin's files to be read and checked, and the device to be connected.
    pub prepare: Duration,
    /// From the start of the process until the library is loaded.
    pub load: Duration,
    /// For the entry and `create`.
    pub create: Duration,
    /// For `open`.
    pub open: Duration,
    /// For `get_info` and for `get_caps`, each.
    pub ask: Duration,
    /// What a capture may take beyond its own `deadline_ms`.
    pub capture_slack: Duration,
    /// From the cancellation of a capture to its end.
    pub cancel: Duration,
    /// From `Close` to the end of the process.
    pub close: Duration,
    /// For the host to take a message.
    pub say: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            prepare: Duration::from_secs(15),
            load: Duration::from_secs(5),
            create: Duration::from_secs(1),
            open: Duration::from_secs(5),
            ask: Duration::from_secs(1),
            capture_slack: Duration::from_secs(1),
            cancel: Duration::from_secs(1),
            close: Duration::from_secs(2),
            say: Duration::from_secs(1),
        }
    }
}

/// What all devices share.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) host_program: PathBuf,
    /// None where nothing is delegated.
    pub(crate) cgroups: Option<Arc<Cgroups>>,
    pub(crate) landlock_abi_max: u32,
    pub(crate) allow_unsandboxed: Vec<String>,
    pub(crate) trust: Trust,
    pub(crate) blobs: BlobStore,
    pub(crate) quarantine: QuarantineStore,
    pub(crate) restart: RestartPolicy,
    pub(crate) config: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) deadlines: Deadlines,
}

/// Which call of which connection an answer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) client: u64,
    pub(crate) id: u64,
}

/// Calls to one device.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        ticket: Ticket,
        client: CancellationToken,
    },
    Start {
        ticket: Ticket,
        req: u64,
        params: CaptureParams,
    },
    Stop {
        ticket: Ticket,
        req: u64,
    },
    Feedback {
        ticket: Ticket,
        feedback: Feedback,
    },
    Close {
        ticket: Ticket,
    },
    Lift {
        ticket: Ticket,
    },
}

/// What a device says to the hub.
#[derive(Debug)]
pub(crate) enum Report {
    Reply {
        ticket: Ticket,
        answer: Result<(), Failure>,
        fd: Option<OwnedFd>,
    },
    Notice(Notice),
}

/// The hub's end of an actor. The actor ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) presence: watch::Sender<Option<Offer>>,
}

/// What the states of one device hand on to each other.
#[derive(Debug)]
pub(crate) struct Context {
    settings: Arc<Settings>,
    plugin: Arc<Admitted>,
    commands: mpsc::Receiver<Command>,
    presence: watch::Receiver<Option<Offer>>,
    reports: mpsc::Sender<Report>,
    known: Device,
    /// Whether `known` was told at all.
    told: bool,
    restarts: Restarts,
    /// Since when its hosts, which each session replaces, have served without a failure.
    ready_since: Option<Instant>,
    quarantine: Option<Quarantine>,
}

#[derive(Debug)]
enum State {
    Absent(absent::Absent),
    Opening(opening::Opening),
    Ready(ready::Ready),
    InSession(in_session::InSession),
    Faulted(faulted::Faulted),
    Quarantined(quarantined::Quarantined),
    /// The hub is gone.
    Over,
}

/// A device that is offered, driven by `plugin`. The future is its life, to be run as a task; dropping it
/// kills its host.
pub(crate) fn device(
    id: DeviceId,
    plugin: Arc<Admitted>,
    offer: Offer,
    settings: Arc<Settings>,
    reports: mpsc::Sender<Report>,
) -> (Handle, impl Future<Output = ()> + use<>) {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    let (presence, offered) = watch::channel(Some(offer));
    let known = Device {
        id,
        state: DeviceState::Absent,
        plugin: plugin.manifest.id.clone(),
        plugin_version: plugin.manifest.version.clone(),
        identity: None,
        capabilities: None,
        confinement: None,
        failure: None,
    };
    let mut context = Context {
        restarts: Restarts::new(settings.restart),
        ready_since: None,
        quarantine: None,
        settings,
        plugin,
        commands: inbox,
        presence: offered,
        reports,
        known,
        told: false,
    };
    let life = async move {
        context.recall_quarantine().await;
        let mut state = context.present();
        loop {
            state = match state {
                State::Absent(state) => Box::pin(state.run(&mut context)).await,
                State::Opening(state) => Box::pin(state.run(&mut context)).await,
                State::Ready(state) => Box::pin(state.run(&mut context)).await,
                State::InSession(state) => Box::pin(state.run(&mut context)).await,
                State::Faulted(state) => Box::pin(state.run(&mut context)).await,
                State::Quarantined(state) => Box::pin(state.run(&mut context)).await,
                State::Over => break,
            };
        }
    };
    (Handle { commands, presence }, life)
}

impl State {
    /// The state as others know it.
    fn on_the_bus(&self) -> DeviceState {
        match self {
            Self::Absent(_) | Self::Over => DeviceState::Absent,
            Self::Opening(_) => DeviceState::Opening,
            Self::Ready(_) => DeviceState::Ready,
            Self::InSession(_) => DeviceState::InSession,
            Self::Faulted(_) => DeviceState::Faulted,
            Self::Quarantined(_) => DeviceState::Quarantined,
        }
    }

    /// Why it cannot be used.
    fn failure(&self) -> Option<Failure> {
        match self {
            Self::Faulted(state) => Some(state.failure().clone()),
            Self::Quarantined(state) => Some(state.failure().clone()),
            _ => None,
        }
    }
}

impl Context {
    /// Where a device's life goes on when nothing is running: by what is offered now.
    fn present(&mut self) -> State {
        match (self.presence.borrow_and_update().clone(), &self.quarantine) {
            (Some(offer), None) => State::Opening(opening::Opening::new(offer)),
            (Some(offer), Some(quarantine)) => {
                State::Quarantined(quarantined::Quarantined::new(offer, quarantine))
            }
            (None, _) => State::Absent(absent::Absent),
        }
    }

    /// Tells everybody where the device's life stands, if that is news.
    async fn enter(&mut self, state: DeviceState, failure: Option<Failure>) {
        if self.told && self.known.state == state && self.known.failure == failure {
            return;
        }
        self.told = true;
        info!(
            device = self.known.id,
            plugin = self.known.plugin,
            state = state.as_str()
        );
        self.known.state = state;
        self.known.failure = failure;
        let device = Box::new(self.known.clone());
        self.notify(Notice::Device { device }).await;
    }

    /// A host failed: it is started again, at once or after a pause, or not any more.
    async fn failed(&mut self, mut failure: Failure) -> State {
        let now = Instant::now();
        let served = self.ready_since.take().map(|since| now.duration_since(since));
        let next = self.restarts.failed(failure.code, served, now, chance());
        warn!(
            device = self.known.id,
            plugin = self.known.plugin,
            reason = failure.text,
            plugin_says = failure.plugin.as_ref().map(|plugin| plugin.text.as_str()),
            "failed"
        );
        let pause = match next {
            Next::Again { after } if after.is_zero() => return self.present(),
            Next::Again { after } => after,
            Next::Quarantine => {
                self.put_into_quarantine(&failure).await;
                return self.present();
            }
        };
        let seconds = pause.as_millis().div_ceil(1000);
        failure.text = format!("{}; it is tried again by itself in {seconds} s", failure.text);
        match self.present() {
            State::Opening(opening) => {
                State::Faulted(faulted::Faulted::new(opening.offer, failure, now + pause))
            }
            other => other,
        }
    }

    fn gone(&self) -> Failure {
        failure(
            FailureCode::DeviceGone,
            format!("{} was unplugged", self.known.id),
        )
    }

    async fn notify(&self, notice: Notice) {
        // The hub is gone only when all is over.
        self.reports.send(Report::Notice(notice)).await.ok();
    }

    async fn reply(&self, ticket: Ticket, answer: Result<(), Failure>) {
        self.reply_with(ticket, answer, None).await;
    }

    async fn reply_with(&self, ticket: Ticket, answer: Result<(), Failure>, fd: Option<OwnedFd>) {
        self.reports.send(Report::Reply { ticket, answer, fd }).await.ok();
    }

    /// Answers a call that needs an open session where there is none; `Open` is refused with `why`.
    async fn refuse(&self, command: Command, why: &Failure) {
        match command {
            Command::Open { ticket, .. } => self.reply(ticket, Err(why.clone())).await,
            Command::Lift { ticket } => self.not_quarantined(ticket).await,
            other => self.no_session(other.ticket()).await,
        }
    }

    async fn not_quarantined(&self, ticket: Ticket) {
        let why = failure(
            FailureCode::NotQuarantined,
            format!("{} is not in quarantine", self.known.id),
        );
        self.reply(ticket, Err(why)).await;
    }

    async fn no_session(&self, ticket: Ticket) {
        let why = failure(
            FailureCode::NoSession,
            format!("{} has no open session", self.known.id),
        );
        self.reply(ticket, Err(why)).await;
    }
}

/// A number that nobody can foresee; without one the middle.
fn chance() -> u8 {
    let mut byte = [128];
    SystemRandom::new().fill(&mut byte).ok();
    let [byte] = byte;
    byte
}

/// Waits until something else is offered than what the state lives from. Cancel safe.
async fn changed(presence: &mut watch::Receiver<Option<Offer>>, from: &Offer) {
    if presence
        .wait_for(|offer| offer.as_ref() != Some(from))
        .await
        .is_err()
    {
        // The hub is gone; the command channel says so.
        std::future::pending::<()>().await;
    }
}

impl Command {
    fn ticket(&self) -> Ticket {
        match self {
            Self::Open { ticket, .. }
            | Self::Start { ticket, .. }
            | Self::Stop { ticket, .. }
            | Self::Feedback { ticket, .. }
            | Self::Close { ticket }
            | Self::Lift { ticket } => *ticket,
        }
    }
}
