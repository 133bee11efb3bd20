//! What every dossier in use shares: store, courier, keys, rules, devices, the bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use recueil_bus::{Caller, Code, Error, Opened, Reply, Service};
use recueil_dossier::{AgentId, DossierId};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::capture;
use crate::courier::Courier;
use crate::keys::Keys;
use crate::quotas::Quotas;
use crate::rules::Rules;
use crate::storage::Storage;

/// What dossiers ask of the station.
pub(crate) enum Internal {
    /// The device for one capture, which `stop` ends when the device is taken over.
    LeaseForCapture {
        caller: Caller,
        device: String,
        stop: CancellationToken,
        reply: oneshot::Sender<Result<Hold, Error>>,
    },
    /// A capture is over: its hold was dropped.
    CaptureOver,
    /// CERT moved this dossier on.
    Moved(DossierId),
    /// The dossier that a client opens or adopts is in the store.
    Found {
        caller: Caller,
        /// Who worked at the caller when it asked.
        agent: AgentId,
        id: DossierId,
        reply: Reply<Opened>,
    },
}

/// A device held for one capture. Dropped, it is over, however that came.
#[derive(Debug)]
pub(crate) struct Hold {
    over: CancellationToken,
    suspended: CancellationToken,
    _ends: DropGuard,
    station: mpsc::Sender<Internal>,
}

impl Hold {
    /// `over` is cancelled with the hold; `suspended` when the machine's sleep is what ends the capture.
    pub(crate) fn new(
        over: CancellationToken,
        suspended: CancellationToken,
        station: mpsc::Sender<Internal>,
    ) -> Self {
        Self {
            over: over.clone(),
            suspended,
            _ends: over.drop_guard(),
            station,
        }
    }

    /// What is cancelled when the capture is over.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    /// What is cancelled before the capture is, where it must end for the machine's sleep.
    pub(crate) fn suspended(&self) -> CancellationToken {
        self.suspended.clone()
    }

    /// Gives the device back and tells the station, so that whatever it is asked after this finds it free.
    pub(crate) async fn give_back(self) {
        let station = self.station.clone();
        drop(self);
        // A station that is stopping needs it no more.
        drop(station.send(Internal::CaptureOver).await);
    }
}

/// Whether the machine is about to sleep, or sleeps: no capture begins then. The station sets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asleep(Arc<AtomicBool>);

impl Asleep {
    pub(crate) fn set(&self, asleep: bool) {
        self.0.store(asleep, Ordering::Release);
    }

    /// # Errors
    /// What a caller is told meanwhile.
    pub(crate) fn refuse(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Acquire) {
            return Err(suspended());
        }
        Ok(())
    }
}

/// The machine's sleep comes first.
pub(crate) fn suspended() -> Error {
    Error::new(
        Code::Suspended,
        "the machine goes to sleep; begin again when it is awake, what was accepted is kept",
    )
}

/// The shared things; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) storage: Storage,
    pub(crate) courier: Courier,
    pub(crate) capture: capture::Tools,
    pub(crate) rules: Arc<Rules>,
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) service: Service,
    /// None where the station is not enrolled.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) station: mpsc::Sender<Internal>,
    pub(crate) asleep: Asleep,
    /// Dossiers and captures, which are waited for at the end.
    pub(crate) tasks: TaskTracker,
    /// When this process began.
    pub(crate) started: Timestamp,
    /// The same, for waiting.
    pub(crate) started_at: Instant,
}

impl Shop {
    /// The station's keys, or what is missing.
    pub(crate) fn keys(&self) -> Result<&Arc<Keys>, Error> {
        self.keys.as_ref().ok_or_else(|| {
            let text = "no keys and certificates are configured; enrol the station ([keys] in recueil.toml)";
            Error::new(Code::NotConfigured, text)
        })
    }

    pub(crate) async fn lease(
        &self,
        caller: Caller,
        device: String,
        stop: CancellationToken,
    ) -> Result<Hold, Error> {
        let stopping = || {
            Error::new(
                Code::WrongState,
                "the station is stopping; start again when it is back",
            )
        };
        let (reply, answer) = oneshot::channel();
        let ask = Internal::LeaseForCapture {
            caller,
            device,
            stop,
            reply,
        };
        self.station.send(ask).await.map_err(|_stopped| stopping())?;
        answer.await.map_err(|_stopped| stopping())?
    }
}

/// An object path that nobody can guess.
pub(crate) fn new_path(kind: &str) -> Result<String, Error> {
    let mut random = [0; 16];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_none| Error::new(Code::Storage, "the system gives no random bytes; try again"))?;
    Ok(format!("/fr/recueil/{kind}/{}", recueil_dossier::hex(&random)))
}
