//! What every dossier in use shares: store, courier, keys, rules, devices, the bus.

use std::sync::Arc;

use recueil_bus::{Caller, Code, Error, Service};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{mpsc, oneshot};

use crate::capture;
use crate::courier::Courier;
use crate::keys::Keys;
use crate::rules::Rules;
use crate::storage::Storage;

/// What dossiers ask of the station.
pub(crate) enum Internal {
    /// A lease for a capture, unless the caller has one.
    LeaseForCapture {
        caller: Caller,
        device: String,
        reply: oneshot::Sender<Result<CaptureLease, Error>>,
    },
    /// A capture is over.
    CaptureOver(CaptureLease),
}

/// A device taken for a capture.
#[derive(Debug)]
pub(crate) struct CaptureLease {
    pub(crate) device: String,
    pub(crate) caller: Caller,
    /// Taken for this capture alone, given back at its end.
    pub(crate) temporary: bool,
}

/// The shared things; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) storage: Storage,
    pub(crate) courier: Courier,
    pub(crate) capture: capture::Tools,
    pub(crate) rules: Arc<Rules>,
    pub(crate) service: Service,
    /// None where the station is not enrolled.
    pub(crate) keys: Option<Arc<Keys>>,
    pub(crate) station: mpsc::Sender<Internal>,
}

impl Shop {
    /// The station's keys, or what is missing.
    pub(crate) fn keys(&self) -> Result<&Arc<Keys>, Error> {
        self.keys.as_ref().ok_or_else(|| {
            let text = "no keys and certificates are configured; enrol the station ([keys] in recueil.toml)";
            Error::new(Code::NotConfigured, text)
        })
    }

    pub(crate) async fn lease(&self, caller: Caller, device: String) -> Result<CaptureLease, Error> {
        let stopping = || Error::new(Code::WrongState, "the station is stopping");
        let (reply, answer) = oneshot::channel();
        let ask = Internal::LeaseForCapture {
            caller,
            device,
            reply,
        };
        self.station.send(ask).await.map_err(|_stopped| stopping())?;
        answer.await.map_err(|_stopped| stopping())?
    }

    /// Tells the station something. A station that is stopping needs it no more.
    pub(crate) async fn tell(&self, news: Internal) {
        drop(self.station.send(news).await);
    }
}

/// An object path that nobody can guess.
pub(crate) fn new_path(kind: &str) -> Result<String, Error> {
    let mut random = [0; 16];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_none| Error::new(Code::Storage, "the system gives no random bytes"))?;
    Ok(format!("/fr/recueil/{kind}/{}", recueil_dossier::hex(&random)))
}
