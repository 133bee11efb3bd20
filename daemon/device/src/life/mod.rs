//! The life of one device: an actor, five states, one file a state.
//!
//! ```text
//!          offered            host waits          Open
//! Absent ──────────► Opening ───────────► Ready ─────────► InSession
//!    ▲                 │  ▲  ▲              │                 │
//!    │ no longer       │  │  └── host ended ┘   Close, client gone, host ended
//!    └── offered ──────┤  └────────────────────────────────────┘
//!        (from all)    ▼ too often, or never
//!                   Faulted
//! ```
//!
//! Each state takes itself apart into the next one. The host lives inside the state: when the state is
//! dropped, the process is killed, so that nothing can end an actor and leave a plugin running.

mod absent;
mod chatter;
mod faulted;
mod in_session;
mod opening;
mod ready;
mod start;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::devices::{CaptureParams, Device, DeviceId, DeviceState, Failure, FailureCode, Notice};
use recueil_wire::host::Feedback;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admission::{Admitted, Trust};
use crate::blobs::BlobStore;
use crate::failure::failure;
use crate::virtual_bus::Offer;

/// Calls that may wait at one device. `recueild` has one session on it, so more is a mistake.
const COMMANDS_MAX: usize = 16;
/// Failures in [`FAILURES_SPAN`] after which a device is not tried again by itself.
const FAILURES_MAX: usize = 5;
const FAILURES_SPAN: Duration = Duration::from_mins(1);

/// How long each call of a plugin may take before its process is killed.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From the start of the process to `Ready`: load, create and open.
    pub ready: Duration,
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
            ready: Duration::from_secs(5),
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
    pub(crate) landlock_abi_max: u32,
    pub(crate) allow_unsandboxed: Vec<String>,
    pub(crate) trust: Trust,
    pub(crate) blobs: BlobStore,
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
    failures: VecDeque<Instant>,
}

#[derive(Debug)]
enum State {
    Absent(absent::Absent),
    Opening(opening::Opening),
    Ready(ready::Ready),
    InSession(in_session::InSession),
    Faulted(faulted::Faulted),
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
        settings,
        plugin,
        commands: inbox,
        presence: offered,
        reports,
        known,
        told: false,
        failures: VecDeque::new(),
    };
    let life = async move {
        let mut state = context.present();
        loop {
            state = match state {
                State::Absent(state) => Box::pin(state.run(&mut context)).await,
                State::Opening(state) => Box::pin(state.run(&mut context)).await,
                State::Ready(state) => Box::pin(state.run(&mut context)).await,
                State::InSession(state) => Box::pin(state.run(&mut context)).await,
                State::Faulted(state) => Box::pin(state.run(&mut context)).await,
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
        }
    }
}

impl Context {
    /// Where a device's life goes on when nothing is running: by what is offered now.
    fn present(&mut self) -> State {
        match self.presence.borrow_and_update().clone() {
            Some(offer) => State::Opening(opening::Opening::new(offer)),
            None => State::Absent(absent::Absent),
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

    /// A host failed. It is started again at once, unless that cannot help or was tried too often.
    fn failed(&mut self, mut failure: Failure) -> State {
        warn!(
            device = self.known.id,
            plugin = self.known.plugin,
            reason = failure.text,
            plugin_says = failure.plugin.as_ref().map(|plugin| plugin.text.as_str()),
            "failed"
        );
        let now = Instant::now();
        self.failures.push_back(now);
        while self
            .failures
            .front()
            .is_some_and(|then| now.duration_since(*then) > FAILURES_SPAN)
        {
            self.failures.pop_front();
        }
        let hopeless = matches!(failure.code, FailureCode::PluginRefused | FailureCode::NoSandbox);
        if !hopeless && self.failures.len() < FAILURES_MAX {
            return self.present();
        }
        if !hopeless {
            failure.text.push_str(
                "; it failed 5 times in a minute: unplug the device and plug it in again, and if that does not \
                 help send the log of recueil-hostd to the plugin's vendor",
            );
        }
        match self.present() {
            State::Opening(opening) => State::Faulted(faulted::Faulted::new(opening.offer, failure)),
            absent => absent,
        }
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
            other => self.no_session(other.ticket()).await,
        }
    }

    async fn no_session(&self, ticket: Ticket) {
        let why = failure(
            FailureCode::NoSession,
            format!("{} has no open session", self.known.id),
        );
        self.reply(ticket, Err(why)).await;
    }
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
            | Self::Close { ticket } => *ticket,
        }
    }
}
