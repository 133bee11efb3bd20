//! The states: how a station is brought into each, and held there.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context;
use recueil_bus::{CaptureProxy, DeviceProxy};
use recueil_tests::{Followed, device_path};
use tokio::task::JoinHandle;

use crate::census::analysers;
use crate::hold::Hold;
use crate::reader::{
    CAPTURES, CLOSES, CRASH_IN_CLOSE, HANG_IN_CAPTURE, HANG_IN_CLOSE, OPENS, RETURNED, Reader, Words,
};
use crate::rig::Rig;
use crate::subject::{Pending, Subject};
use crate::table::{Fault, State};

/// Who works.
pub(crate) const AGENT: &str = "agent.dupont";
/// A step of the procedure.
pub(crate) const HANDS: &str = "empreintes";

/// A station in a state.
pub(crate) struct Scene {
    pub(crate) state: State,
    /// None once it was killed.
    pub(crate) subject: Option<Subject>,
    pub(crate) dossier: Followed,
    pub(crate) reader: Reader,
    /// The capture's path, where one runs.
    pub(crate) capture: Option<String>,
    pub(crate) analyser: Option<u32>,
    /// The answer to `Seal`.
    pub(crate) sealing: Option<Pending<()>>,
    /// The answer to a second `Seal`.
    pub(crate) second_seal: Option<JoinHandle<Result<(), recueil_bus::Error>>>,
    /// Another program, and the answer to its `Adopt`.
    pub(crate) second: Option<(Subject, Option<Pending<()>>)>,
    pub(crate) hold: Hold,
    /// The service is another one than the subject spoke to.
    pub(crate) restarted: bool,
    /// The machine sleeps.
    pub(crate) asleep: bool,
}

impl Scene {
    /// Brings the station there. What a plugin is to do wrong in that state it is told before.
    pub(crate) async fn enter(rig: &mut Rig, state: State, fault: Fault) -> anyhow::Result<Self> {
        let mut reader = rig.new_reader()?;
        reader.until(OPENS).await?;
        let id = reader.id.clone();
        rig.observer
            .until_device(&id, |view| view.state == "ready")
            .await?;
        let subject = Subject::connect(rig.station.address(), AGENT).await?;
        let procedure = match state {
            State::Sealing | State::Sending => "essai",
            _ => "cni-adulte",
        };
        let dossier = subject
            .run(move |client| Box::pin(client.open("deposit", procedure, None)))
            .await?;
        let mut scene = Self {
            state,
            subject: Some(subject),
            dossier,
            reader,
            capture: None,
            analyser: None,
            sealing: None,
            second_seal: None,
            second: None,
            hold: Hold::Nothing,
            restarted: false,
            asleep: false,
        };
        match state {
            State::NoLease => {}
            State::Leased => scene.lease().await?,
            State::Capturing => scene.start(true).await?,
            State::Analysing => scene.analysing(fault).await?,
            State::Closing => scene.closing(fault).await?,
            State::Sealing => scene.sealing(rig).await?,
            State::Sending => scene.sending(rig).await?,
            State::Suspended => {
                scene.lease().await?;
                anyhow::ensure!(
                    rig.falls_asleep().await?,
                    "the station does not let the machine sleep"
                );
                scene.asleep = true;
            }
        }
        Ok(scene)
    }

    /// The subject, alive.
    pub(crate) fn subject(&self) -> anyhow::Result<&Subject> {
        self.subject.as_ref().context("the client was killed")
    }

    async fn lease(&self) -> anyhow::Result<()> {
        let path = device_path(&self.reader.id);
        self.subject()?
            .run(|client| {
                Box::pin(async move {
                    let device = DeviceProxy::new(client.connection(), path).await?;
                    Ok(device.lease(HashMap::new()).await?)
                })
            })
            .await
    }

    /// A capture that waits for the right hand.
    async fn start(&mut self, auto_retry: bool) -> anyhow::Result<()> {
        let before: BTreeSet<_> = analysers().into_iter().collect();
        let (dossier, device) = (self.dossier.clone(), self.reader.id.clone());
        let capture = self
            .subject()?
            .run(move |client| {
                Box::pin(async move { client.start(&dossier, HANDS, &device, None, auto_retry).await })
            })
            .await?;
        self.reader.until(CAPTURES).await?;
        self.capture = Some(capture);
        self.analyser = analysers().into_iter().find(|pid| !before.contains(pid));
        self.until("capturing").await
    }

    /// The right hand was given, and its picture is being measured.
    async fn analysing(&mut self, fault: Fault) -> anyhow::Result<()> {
        self.start(true).await?;
        if fault == Fault::PluginHangs {
            // While it is measured the plugin is in no call: it hangs in the next.
            self.reader.tell(HANG_IN_CAPTURE)?;
        }
        self.hold = Hold::analyser(self.analyser.context("an analyser runs")?)?;
        self.reader.show(true, words(fault))?;
        self.reader.until(RETURNED).await?;
        self.until("analysing").await
    }

    /// A hand was taken, and the client cancelled: device and analyser are being closed.
    async fn closing(&mut self, fault: Fault) -> anyhow::Result<()> {
        self.start(false).await?;
        self.reader.show(true, Words::Poor)?;
        self.until("waiting").await?;
        match fault {
            Fault::PluginHangs => self.reader.order(HANG_IN_CLOSE).await?,
            Fault::PluginCrashes => self.reader.order(CRASH_IN_CLOSE).await?,
            _ => {}
        }
        self.hold = Hold::analyser(self.analyser.context("an analyser runs")?)?;
        let path = self.capture.clone().context("a capture runs")?;
        self.subject()?
            .run(|client| {
                Box::pin(async move {
                    let capture = CaptureProxy::new(client.connection(), path).await?;
                    Ok(capture.cancel().await?)
                })
            })
            .await?;
        self.reader.until(CLOSES).await
    }

    async fn sealing(&mut self, rig: &Rig) -> anyhow::Result<()> {
        self.fill_in().await?;
        self.hold = Hold::store(&rig.station)?;
        self.begin_sealing()?;
        self.hold.reached(&rig.station).await
    }

    async fn sending(&mut self, rig: &Rig) -> anyhow::Result<()> {
        self.fill_in().await?;
        rig.station.halt_cert()?;
        self.hold = Hold::Cert;
        self.begin_sealing()?;
        let sealed = self.sealing.take().context("it was just begun")?;
        sealed.await??;
        let dossier = self.dossier.clone();
        self.subject()?
            .run(|client| Box::pin(async move { client.until_state(&dossier, "sending").await.map(drop) }))
            .await
    }

    async fn fill_in(&self) -> anyhow::Result<()> {
        let dossier = self.dossier.dossier.clone();
        self.subject()?
            .run(|_client| Box::pin(async move { Ok(dossier.set_field("nom-naissance", "SPECIMEN").await?) }))
            .await
    }

    fn begin_sealing(&mut self) -> anyhow::Result<()> {
        let dossier = self.dossier.dossier.clone();
        let sealing = self
            .subject()?
            .begin(|_client| Box::pin(async move { Ok(dossier.seal().await?) }))?;
        self.sealing = Some(sealing);
        Ok(())
    }

    /// Waits until the capture is in a state.
    pub(crate) async fn until(&self, state: &'static str) -> anyhow::Result<()> {
        let path = self.capture.clone().context("a capture runs")?;
        self.subject()?
            .run(move |client| {
                Box::pin(async move {
                    let capture = CaptureProxy::new(client.connection(), path.clone()).await?;
                    // It may have come there before it was listened to.
                    if capture.view().await?.state == state {
                        return Ok(());
                    }
                    client.until(&path, |view| view.state == state).await.map(drop)
                })
            })
            .await
    }
}

/// How the plugin describes its picture with a fault.
pub(crate) fn words(fault: Fault) -> Words {
    match fault {
        Fault::LiesAboutSize => Words::Size,
        Fault::LiesAboutStride => Words::Stride,
        // Measured, it is a lie that only the measure can find.
        Fault::LiesAboutPosition => Words::OtherHand,
        Fault::LiesAboutTime => Words::Time,
        Fault::LiesAboutResolution => Words::Resolution,
        Fault::SendsGarbage => Words::Noise,
        _ => Words::True,
    }
}
