//! What was begun comes to its end, or its client is told why not.

use anyhow::Context;
use recueil_bus::{CaptureProxy, CaptureView, Code, DeviceProxy, Error};
use recueil_tests::device_path;

use crate::reader::{CAPTURES, WAIT_MAX, Words};
use crate::rig::Rig;
use crate::scene::{AGENT, HANDS, Scene};
use crate::strike::told;
use crate::subject::Subject;
use crate::table::{Fault, State};

/// Lets the station go on, and gives what the client is told, if it is an error.
pub(crate) async fn finish(rig: &mut Rig, scene: &mut Scene, fault: Fault) -> anyhow::Result<Option<Error>> {
    scene.hold.release(&rig.station)?;
    if scene.restarted || scene.subject.is_none() {
        return begin_again(rig, scene).await;
    }
    match scene.state {
        State::NoLease | State::Leased => {
            if is_of_the_disk(fault)
                && let Some(error) = scene.type_something().await?
            {
                return Ok(Some(error));
            }
            if fault == Fault::DeviceUnplugged {
                absent(rig, scene).await?;
            } else {
                ready(rig, scene).await?;
            }
            if scene.state == State::Leased {
                let id = scene.reader.id.clone();
                let held = rig.observer.until_device(&id, |view| view.holder_uid.is_some());
                held.await.context("the lease is lost")?;
            }
            scene.captures_and_cancels().await
        }
        State::Capturing | State::Analysing => give_hands(rig, scene, fault).await,
        State::Closing => {
            let view = scene.over().await?;
            match view.error.as_deref() {
                Some("cancelled") => scene.destruction_is_recorded().await.map(|()| None),
                _ => Ok(Some(error_of(&view)?)),
            }
        }
        State::Sealing => {
            let sealing = scene.sealing.take().context("it was begun")?;
            let sealed = tokio::time::timeout(WAIT_MAX, sealing).await??;
            if let Some(error) = told(sealed)? {
                return Ok(Some(error));
            }
            scene.second_is_done().await?;
            ingested(rig, scene).await
        }
        State::Sending => {
            scene.second_is_done().await?;
            ingested(rig, scene).await
        }
        State::Suspended => {
            if is_of_the_disk(fault)
                && let Some(error) = scene.type_something().await?
            {
                return Ok(Some(error));
            }
            rig.wakes().await?;
            rig.until_locks(1).await?;
            scene.asleep = false;
            if fault == Fault::DeviceUnplugged {
                absent(rig, scene).await?;
            } else {
                ready(rig, scene).await?;
            }
            let id = scene.reader.id.clone();
            let held = rig.observer.until_device(&id, |view| view.holder_uid.is_some());
            held.await.context("the lease is lost")?;
            scene.captures_and_cancels().await
        }
    }
}

/// By a new connection of the same agent: the draft is adopted, and what was begun is begun again.
pub(crate) async fn begin_again(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    if scene.asleep {
        rig.wakes().await?;
        rig.until_locks(1).await?;
        scene.asleep = false;
    }
    let subject = Subject::connect(rig.station.address(), AGENT).await?;
    let id = scene.dossier.id.clone();
    scene.dossier = subject
        .run(|client| Box::pin(async move { client.adopt(&id).await }))
        .await?;
    scene.subject = Some(subject);
    scene.restarted = false;
    match scene.state {
        State::Sealing => seal_again(scene).await,
        State::Sending => followed(scene).await,
        _ => {
            let id = scene.reader.id.clone();
            let subject = scene.subject()?;
            subject
                .run(|client| {
                    Box::pin(async move {
                        let free = client
                            .until_device(&id, |view| view.state == "ready" && view.holder_uid.is_none());
                        free.await.map(drop)
                    })
                })
                .await?;
            scene.captures_and_cancels().await
        }
    }
}

/// The same call once more, and the parcel on its way.
pub(crate) async fn seal_again(scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    let dossier = scene.dossier.dossier.clone();
    let sealed = scene
        .subject()?
        .run(|_client| Box::pin(async move { told(dossier.seal().await.map_err(Into::into)) }))
        .await?;
    if sealed.is_some() {
        return Ok(sealed);
    }
    followed(scene).await
}

/// Both hands, as far as the capture lets them.
async fn give_hands(rig: &mut Rig, scene: &mut Scene, fault: Fault) -> anyhow::Result<Option<Error>> {
    if fault == Fault::PluginIgnoresCancel {
        let view = scene.over().await?;
        anyhow::ensure!(view.state == "cancelled", "{view:?}");
        return Ok(None);
    }
    let fails_now = matches!(
        fault,
        Fault::PluginCrashes
            | Fault::PluginHangs
            | Fault::LiesAboutSize
            | Fault::LiesAboutStride
            | Fault::LiesAboutTime
            | Fault::DeviceUnplugged
            | Fault::DeviceComesBack
            | Fault::HostdKilled
            | Fault::AnalyserKilled
            | Fault::SuspendAndResume
    ) || (fault == Fault::LiesAboutPosition && scene.state == State::Capturing);
    if !fails_now {
        let right_is_there = scene.state == State::Analysing;
        let lied = matches!(
            fault,
            Fault::LiesAboutPosition | Fault::LiesAboutResolution | Fault::SendsGarbage
        );
        if lied {
            // It is told, and tried again.
            scene.reader.until(CAPTURES).await?;
        }
        if lied || !right_is_there {
            scene.reader.show(true, Words::True)?;
        }
        scene.reader.until(CAPTURES).await?;
        scene.reader.show(false, Words::True)?;
    }
    if fault == Fault::ClientNeverReads {
        // Seen by somebody else: the capture is over although its client never reads.
        let id = scene.reader.id.clone();
        let free = rig.observer.until_device(&id, |view| view.holder_uid.is_none());
        free.await.context("a client that never reads keeps its device")?;
    }
    let view = scene.over().await?;
    match view.state.as_str() {
        "completed" => Ok(None),
        _ => Ok(Some(error_of(&view)?)),
    }
}

async fn ingested(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    // Where another took the dossier over, it is followed there.
    if scene.second.is_some() {
        drop(scene.second.take());
        return begin_again(rig, scene).await;
    }
    followed(scene).await
}

async fn followed(scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    let dossier = scene.dossier.clone();
    scene
        .subject()?
        .run(|client| Box::pin(async move { client.until_state(&dossier, "in-instruction").await.map(drop) }))
        .await?;
    Ok(None)
}

async fn ready(rig: &mut Rig, scene: &Scene) -> anyhow::Result<()> {
    let id = scene.reader.id.clone();
    let ready = rig.observer.until_device(&id, |view| view.state == "ready");
    ready.await.map(drop)
}

async fn absent(rig: &mut Rig, scene: &Scene) -> anyhow::Result<()> {
    let id = scene.reader.id.clone();
    let absent = rig.observer.until_device(&id, |view| view.state == "absent");
    absent.await.map(drop)
}

fn is_of_the_disk(fault: Fault) -> bool {
    matches!(fault, Fault::DiskFull | Fault::DiskReadOnly)
}

fn error_of(view: &CaptureView) -> anyhow::Result<Error> {
    let code = view.error.as_deref().context("a capture that failed says why")?;
    let code = Code::ALL.iter().copied().find(|known| known.as_str() == code);
    let code = code.context("a code of the contract")?;
    Ok(Error::new(code, view.error_text.clone().unwrap_or_default()))
}

impl Scene {
    /// The client cancels its capture.
    pub(crate) async fn cancel(&self) -> anyhow::Result<()> {
        let path = self.capture.clone().context("a capture runs")?;
        self.subject()?
            .run(|client| {
                Box::pin(async move {
                    let capture = CaptureProxy::new(client.connection(), path).await?;
                    Ok(capture.cancel().await?)
                })
            })
            .await
    }

    /// Waits until the capture is over.
    async fn over(&self) -> anyhow::Result<CaptureView> {
        let path = self.capture.clone().context("a capture runs")?;
        self.subject()?
            .run(|client| {
                Box::pin(async move {
                    let over = |view: &CaptureView| {
                        matches!(view.state.as_str(), "completed" | "failed" | "cancelled")
                    };
                    let capture = CaptureProxy::new(client.connection(), path.clone()).await?;
                    // One that was taken off the bus has told its end before.
                    if let Ok(view) = capture.view().await
                        && over(&view)
                    {
                        return Ok(view);
                    }
                    client.until(&path, over).await.map(|(view, _)| view)
                })
            })
            .await
    }

    /// A change that must be kept.
    async fn type_something(&self) -> anyhow::Result<Option<Error>> {
        let dossier = self.dossier.dossier.clone();
        self.subject()?
            .run(|_client| {
                Box::pin(async move {
                    told(
                        dossier
                            .set_field("nom-naissance", "SPECIMEN")
                            .await
                            .map_err(Into::into),
                    )
                })
            })
            .await
    }

    /// Whether device and analyser serve the client now: a capture begins, and ends as it wishes.
    pub(crate) async fn captures_and_cancels(&mut self) -> anyhow::Result<Option<Error>> {
        let (dossier, device) = (self.dossier.clone(), self.reader.id.clone());
        let begun = self
            .subject()?
            .run(move |client| {
                Box::pin(async move {
                    match client.start(&dossier, HANDS, &device, None, true).await {
                        Ok(path) => Ok(Ok(path)),
                        Err(error) => Ok(Err(told(Err(error))?)),
                    }
                })
            })
            .await?;
        let path = match begun {
            Ok(path) => path,
            Err(told) => return Ok(told),
        };
        self.capture = Some(path);
        self.reader.until(CAPTURES).await?;
        self.cancel().await?;
        let view = self.over().await?;
        anyhow::ensure!(view.state == "cancelled", "{view:?}");
        Ok(None)
    }

    /// What was taken and is destroyed is on record, at the latest with the next change.
    pub(crate) async fn destruction_is_recorded(&self) -> anyhow::Result<()> {
        let dossier = self.dossier.dossier.clone();
        let recorded = self
            .subject()?
            .run(|_client| Box::pin(async move { Ok(dossier.destructions().await?) }))
            .await?;
        anyhow::ensure!(
            recorded.iter().any(|one| one.positions == [2, 3, 4, 5]),
            "the destruction is not recorded: {recorded:?}"
        );
        Ok(())
    }

    /// A second call, and a second client, have their answers.
    async fn second_is_done(&mut self) -> anyhow::Result<()> {
        if let Some(again) = self.second_seal.take() {
            // Read while its connection is.
            self.subject()?
                .run(|_client| Box::pin(async move { Ok(tokio::time::timeout(WAIT_MAX, again).await???) }))
                .await?;
        }
        if let Some((_, adopted)) = &mut self.second
            && let Some(adopted) = adopted.take()
        {
            tokio::time::timeout(WAIT_MAX, adopted).await???;
        }
        Ok(())
    }

    /// Gives a lease back that the subject took by name.
    pub(crate) async fn release(&self) -> anyhow::Result<()> {
        let path = device_path(&self.reader.id);
        self.subject()?
            .run(|client| {
                Box::pin(async move {
                    let device = DeviceProxy::new(client.connection(), path).await?;
                    // It may have ended with a connection before.
                    drop(device.release().await);
                    Ok(())
                })
            })
            .await
    }
}
