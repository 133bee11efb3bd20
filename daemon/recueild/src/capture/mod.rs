//! One capture: a task that opens an analyser and a device, makes tries, keeps what was chosen, hands the
//! items to the dossier, and sees both processes end.

mod control;
mod fingerprints;
mod pages;
mod picture;
mod scans;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use recueil_bus::{CaptureState, CaptureView, Code, Error, Published, Service};
use recueil_dossier::{
    AgentId, Content, Destruction, FingerPosition, FingerprintRule, Item, ItemName, MissingReason,
    Provenance, Selection, Source,
};
use recueil_wire::devices::{Device, Modality};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::control::Control;
use self::session::Session;
use crate::analyser::AnalyserStart;
use crate::devices::Devices;
use crate::shop::{Hold, suspended};

/// How captures are run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// How analysers are started.
    pub(crate) analyser: AnalyserStart,
    /// Longest try of a hand, seconds.
    #[serde(default = "hand_s")]
    pub(crate) hand_s: u32,
    /// Longest scan, seconds.
    #[serde(default = "scan_s")]
    pub(crate) scan_s: u32,
    /// Previews a second, 0 for none.
    #[serde(default = "preview_fps")]
    pub(crate) preview_fps: u32,
}

impl Config {
    /// What hostd would refuse at each capture is refused at start.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let limits = [
            ("hand_s", self.hand_s, 1, TRY_MAX_S),
            ("scan_s", self.scan_s, 1, TRY_MAX_S),
            ("preview_fps", self.preview_fps, 0, FPS_MAX),
        ];
        for (name, value, least, most) in limits {
            if !(least..=most).contains(&value) {
                return Err(format!(
                    "recueild.capture.{name} is {value}; {least} to {most} are allowed"
                ));
            }
        }
        Ok(())
    }
}

/// Longest try that hostd takes, seconds.
const TRY_MAX_S: u32 = 600;
/// Most previews a second.
const FPS_MAX: u32 = 60;

fn hand_s() -> u32 {
    60
}

fn scan_s() -> u32 {
    120
}

fn preview_fps() -> u32 {
    15
}

/// What is captured.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    Hands {
        rule: FingerprintRule,
        missing: BTreeMap<FingerPosition, MissingReason>,
    },
    Photo {
        scan: Scan,
    },
    Page {
        scan: Scan,
        document: String,
        number: u32,
    },
    Signature {
        scan: Scan,
    },
}

impl Subject {
    pub(crate) fn modality(&self) -> Modality {
        match self {
            Self::Hands { .. } => Modality::Fingerprint,
            Self::Photo { .. } | Self::Page { .. } | Self::Signature { .. } => Modality::Scanner,
        }
    }
}

/// How a scan is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    pub(crate) ppi: u32,
    /// None for all of the glass.
    pub(crate) area_mm: Option<(u32, u32)>,
}

/// All that a capture is started with.
pub(crate) struct Order {
    pub(crate) step: String,
    pub(crate) subject: Subject,
    pub(crate) device: Device,
    pub(crate) agent: AgentId,
    pub(crate) auto_retry: bool,
    pub(crate) profile: Profile,
    pub(crate) published: Published,
}

/// An analyser profile, as its file is.
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) text: Arc<str>,
    pub(crate) sha256: String,
}

/// What a capture uses of the station.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) config: Arc<Config>,
    pub(crate) devices: Devices,
    pub(crate) service: Service,
    pub(crate) tasks: TaskTracker,
    /// The service is to end: what went away is not waited for any more.
    pub(crate) stopping: CancellationToken,
}

/// What a capture gives to its dossier, which answers when it is durable.
#[derive(Debug)]
pub(crate) enum Gift {
    /// Records, and for hands which fingers were chosen and why.
    Items {
        items: Vec<Item>,
        selection: Option<Selection>,
        /// Prints that were taken and not chosen; their destruction follows.
        surplus: Vec<FingerPosition>,
    },
    /// Both processes have ended; these prints are destroyed.
    Destroyed(Destruction),
}

/// The dossier's end of a capture.
pub(crate) type Gifts = mpsc::Sender<(Gift, oneshot::Sender<Result<(), Error>>)>;

/// Commands that may wait.
const COMMANDS: usize = 16;
/// How long a capture that is over can still be asked about.
const LINGER: Duration = Duration::from_mins(5);

/// Publishes the capture and runs it to its end, when `hold` is given back. It ends early when `stop` is cancelled.
pub(crate) async fn start(
    tools: Tools,
    order: Order,
    gifts: Gifts,
    hold: Hold,
    stop: CancellationToken,
) -> Result<(), Error> {
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let view = CaptureView {
        state: CaptureState::Starting.as_str().to_owned(),
        step: order.step.clone(),
        device: order.device.id.clone(),
        ..CaptureView::default()
    };
    let (view, seen) = watch::channel(view);
    let published = order.published.clone();
    tools
        .service
        .publish_capture(&published, seen, commands)
        .await
        .map_err(|error| {
            tracing::error!(%error, "a capture could not be published");
            Error::new(Code::TooMany, "the capture could not be published; try again")
        })?;
    let mut control = Control::new(
        tools.service.clone(),
        published.clone(),
        view,
        receiver,
        stop.clone(),
    );
    let tasks = tools.tasks.clone();
    let asleep = hold.suspended();
    tasks.spawn(async move {
        let outcome = run(&tools, order, gifts, &mut control).await;
        // Before the client is told: what it does next finds device and dossier free.
        hold.give_back().await;
        match outcome {
            Ok(()) => control.enter(CaptureState::Completed, &[]).await,
            Err(error)
                if error.code == Code::Cancelled && asleep.is_cancelled() && !control.client_cancelled() =>
            {
                control.fail(suspended()).await;
            }
            Err(error) => control.fail(error).await,
        }
        control.linger(LINGER, stop).await;
        if let Err(error) = tools.service.withdraw_capture(&published).await {
            tracing::debug!(%error, "a capture was withdrawn before");
        }
    });
    Ok(())
}

async fn run(tools: &Tools, order: Order, gifts: Gifts, control: &mut Control) -> Result<(), Error> {
    let mut session = Session::open(tools, &order, control).await?;
    let worked = work(&mut session, &order, &gifts, control).await;
    let destroyed = session.taken_and_not_kept();
    let closed = session.close().await;
    finish(worked, closed, destroyed, &gifts).await
}

async fn work(
    session: &mut Session<'_>,
    order: &Order,
    gifts: &Gifts,
    control: &mut Control,
) -> Result<(), Error> {
    match &order.subject {
        Subject::Hands { rule, missing } => {
            fingerprints::capture(session, order, rule, missing.clone(), gifts, control).await
        }
        Subject::Photo { scan } => {
            picture::capture(session, order, *scan, ("photo", Content::Face), gifts, control).await
        }
        Subject::Page {
            scan,
            document,
            number,
        } => pages::capture(session, order, *scan, document, *number, gifts, control).await,
        Subject::Signature { scan } => {
            picture::capture(
                session,
                order,
                *scan,
                ("signature", Content::Signature),
                gifts,
                control,
            )
            .await
        }
    }
}

/// The destruction of surplus prints is recorded when both processes have ended, however the work went.
async fn finish(
    worked: Result<(), Error>,
    closed: Result<Timestamp, Error>,
    destroyed: Vec<FingerPosition>,
    gifts: &Gifts,
) -> Result<(), Error> {
    let at = match (&worked, closed) {
        (_, Ok(at)) => at,
        (Err(_), Err(_)) => return worked,
        (Ok(()), Err(error)) => return Err(error),
    };
    if !destroyed.is_empty() {
        let destruction = Destruction {
            positions: destroyed,
            at,
            method: Destruction::PROCESSES_ENDED.to_owned(),
        };
        give(gifts, Gift::Destroyed(destruction)).await?;
    }
    worked
}

/// Hands something to the dossier and waits until it is durable.
async fn give(gifts: &Gifts, gift: Gift) -> Result<(), Error> {
    let gone = || {
        Error::new(
            Code::WrongState,
            "the dossier was closed meanwhile; adopt it and capture again",
        )
    };
    let (reply, answer) = oneshot::channel();
    gifts.send((gift, reply)).await.map_err(|_closed| gone())?;
    answer.await.map_err(|_closed| gone())?
}

fn provenance(session: &Session<'_>, order: &Order) -> Provenance {
    let identity = order.device.identity.as_ref();
    let text = |pick: fn(&recueil_wire::devices::Identity) -> &String| {
        identity.map(pick).cloned().unwrap_or_default()
    };
    Provenance {
        source: Source {
            vendor: text(|identity| &identity.vendor),
            model: text(|identity| &identity.model),
            serial: text(|identity| &identity.serial),
            plugin: order.device.plugin.clone(),
            plugin_version: order.device.plugin_version.clone(),
        },
        agent: order.agent.clone(),
        captured_at: Timestamp::now(),
        profile_sha256: order.profile.sha256.clone(),
        analyser: session.analyser_version().to_owned(),
    }
}

fn item_name(text: &str) -> Result<ItemName, Error> {
    text.parse()
        .map_err(|error: recueil_dossier::IdError| Error::new(Code::InvalidArgument, error.to_string()))
}
