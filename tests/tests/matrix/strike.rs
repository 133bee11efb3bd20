//! The faults: how each comes, and how it is mended.

use std::collections::HashMap;

use anyhow::Context;
use recueil_bus::{Code, DeviceProxy, Error};
use recueil_tests::{Client, device_path, text};
use rustix::process::Signal;

use crate::hold::signal;
use crate::reader::{CRASH, GARBAGE, IGNORE_CANCEL, OPENS};
use crate::rig::{Rig, TRUE_TIME};
use crate::scene::{AGENT, HANDS, Scene};
use crate::subject::Subject;
use crate::table::{Fault, State};

/// An hour, as a clock jumps that was set wrong.
const JUMP: &str = "+3600";
/// What `recueild` ends with where the bus is gone (`EX_TEMPFAIL`).
const BUS_GONE: i32 = 75;

/// Lets it come. Gives what a caller was told at once, where a caller is what comes.
pub(crate) async fn strike(rig: &mut Rig, scene: &mut Scene, fault: Fault) -> anyhow::Result<Option<Error>> {
    match fault {
        Fault::ClientKilled => scene.subject = None,
        // It reads nothing from here on: a subject reads only while it is asked.
        Fault::ClientNeverReads => {}
        Fault::ClientCallsTwice => return twice(scene).await,
        Fault::SecondClient => return second(rig, scene).await,
        Fault::PluginCrashes => crash(rig, scene).await?,
        Fault::PluginHangs => hang(rig, scene).await?,
        Fault::PluginIgnoresCancel => ignore_cancel(scene).await?,
        Fault::LiesAboutSize
        | Fault::LiesAboutStride
        | Fault::LiesAboutPosition
        | Fault::LiesAboutTime
        | Fault::LiesAboutResolution => lie(scene, fault)?,
        Fault::SendsGarbage => garbage(scene).await?,
        Fault::DeviceUnplugged => scene.reader.unplug(),
        Fault::DeviceComesBack => come_back(rig, scene).await?,
        Fault::HostdKilled => {
            rig.station.kill_hostd()?;
            rig.station.start_hostd()?;
        }
        Fault::AnalyserKilled => {
            let analyser = scene.analyser.context("an analyser runs")?;
            signal(analyser, Signal::KILL)?;
        }
        Fault::CourierKilled => {
            rig.station.kill_courier()?;
            rig.station.start_courier()?;
        }
        Fault::RecueildKilled => {
            // Who is held dies when he is let go.
            rig.station.signal_recueild(Signal::KILL)?;
            scene.hold.release(&rig.station)?;
            rig.station.kill_recueild()?;
            rig.station.start_recueild()?;
            scene.restarted = true;
        }
        Fault::BusRestarted => restart_bus(rig, scene).await?,
        Fault::DiskFull => rig.station.fill_disk()?,
        Fault::DiskReadOnly => rig.station.break_disk()?,
        Fault::ClockJumps => rig.turn_clock(JUMP)?,
        Fault::SuspendAndResume => {
            // A machine that sleeps already is told once more.
            rig.announce_sleep().await?;
            if !scene.asleep {
                rig.witness.as_mut().context("there is a witness")?.over().await?;
            }
            // What is being ended must be able to end.
            scene.hold.release(&rig.station)?;
            let in_time = rig.may_sleep().await?;
            anyhow::ensure!(in_time, "the station does not let the machine sleep");
            if !scene.asleep {
                rig.wakes().await?;
                rig.until_locks(1).await?;
            }
        }
    }
    Ok(None)
}

/// Takes it back: space, a disk that can be written, the true time, the device.
pub(crate) async fn mend(rig: &mut Rig, scene: &mut Scene, fault: Fault) -> anyhow::Result<()> {
    match fault {
        Fault::DiskFull => rig.station.empty_disk()?,
        Fault::DiskReadOnly => {
            rig.station.repair_disk()?;
            scene.restarted = true;
        }
        Fault::ClockJumps => rig.turn_clock(TRUE_TIME)?,
        Fault::DeviceUnplugged => scene.reader.replug()?,
        _ => {}
    }
    Ok(())
}

/// The same call once more.
async fn twice(scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    let (dossier, device) = (scene.dossier.clone(), scene.reader.id.clone());
    match scene.state {
        State::NoLease => {
            let subject = scene.subject()?;
            subject
                .run(|client| {
                    Box::pin(async move {
                        let open = async |client: &Client| {
                            let options = HashMap::from([("token".to_owned(), text("twice")?)]);
                            let (path, id) = client
                                .station
                                .open_dossier("deposit", "cni-adulte", options)
                                .await?;
                            anyhow::Ok((path.to_string(), id))
                        };
                        let (first, again) = (open(client).await?, open(client).await?);
                        anyhow::ensure!(first == again, "two dossiers for one token");
                        let opened = recueil_bus::DossierProxy::new(client.connection(), first.0).await?;
                        Ok(opened.cancel().await?)
                    })
                })
                .await?;
            Ok(None)
        }
        State::Leased => {
            let path = device_path(&device);
            let subject = scene.subject()?;
            subject
                .run(|client| {
                    Box::pin(async move {
                        let device = DeviceProxy::new(client.connection(), path).await?;
                        Ok(device.lease(HashMap::new()).await?)
                    })
                })
                .await?;
            Ok(None)
        }
        State::Sealing | State::Sending => {
            // By the same connection, which is being read while the first call waits.
            let again = dossier.dossier.clone();
            scene.second_seal = Some(if scene.state == State::Sealing {
                tokio::spawn(async move { again.seal().await })
            } else {
                let answer = scene
                    .subject()?
                    .run(|_client| Box::pin(async move { Ok(again.seal().await) }))
                    .await?;
                tokio::spawn(std::future::ready(answer))
            });
            Ok(None)
        }
        State::Capturing | State::Analysing | State::Closing | State::Suspended => {
            let subject = scene.subject()?;
            subject
                .run(move |client| {
                    Box::pin(async move {
                        let begun = client.start(&dossier, HANDS, &device, None, true).await;
                        told(begun.map(drop))
                    })
                })
                .await
        }
    }
}

/// Another program wants the device; or, where none is used, the dossier.
async fn second(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<Option<Error>> {
    let wants_dossier = matches!(scene.state, State::Sealing | State::Sending);
    let agent = if wants_dossier { AGENT } else { "agent.durand" };
    let other = Subject::connect(rig.station.address(), agent).await?;
    if wants_dossier {
        let id = scene.dossier.id.clone();
        let adopted =
            other.begin(move |client| Box::pin(async move { client.adopt(&id).await.map(drop) }))?;
        scene.second = Some((other, Some(adopted)));
        return Ok(None);
    }
    let path = device_path(&scene.reader.id);
    let refused = other
        .run(|client| {
            Box::pin(async move {
                let device = DeviceProxy::new(client.connection(), path).await?;
                told(device.lease(HashMap::new()).await.map_err(Into::into))
            })
        })
        .await?;
    if scene.state == State::NoLease {
        anyhow::ensure!(refused.is_none(), "a free device is refused: {refused:?}");
        let (dossier, device) = (scene.dossier.clone(), scene.reader.id.clone());
        let subject = scene.subject()?;
        let refused = subject.run(move |client| {
            Box::pin(async move { told(client.start(&dossier, HANDS, &device, None, true).await.map(drop)) })
        });
        let refused = refused.await?;
        let path = device_path(&scene.reader.id);
        other
            .run(|client| {
                Box::pin(async move {
                    let device = DeviceProxy::new(client.connection(), path).await?;
                    Ok(device.release().await?)
                })
            })
            .await?;
        return Ok(refused);
    }
    Ok(refused)
}

async fn crash(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<()> {
    match scene.state {
        // It was told before to crash in this call, and has.
        State::Closing => Ok(()),
        State::Capturing | State::Analysing => scene.reader.tell(CRASH),
        _ => {
            scene.reader.tell(CRASH)?;
            scene.reader.until(OPENS).await?;
            let id = scene.reader.id.clone();
            let ready = rig.observer.until_device(&id, |view| view.state == "ready").await;
            ready.map(drop)
        }
    }
}

/// In whatever call comes next.
async fn hang(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<()> {
    match scene.state {
        // In this call, as it was told before.
        State::Closing | State::Analysing => Ok(()),
        State::Capturing => scene.reader.tell(crate::reader::HANG),
        // Between sessions a plugin is called to open its device, and by nobody else.
        _ => {
            scene.reader.unplug();
            absent(rig, scene).await?;
            scene.reader.opens_hang(true);
            scene.reader.replug()?;
            scene.reader.until(OPENS).await?;
            // It is ended at its deadline, and the next one opens.
            scene.reader.opens_hang(false);
            Ok(())
        }
    }
}

async fn ignore_cancel(scene: &mut Scene) -> anyhow::Result<()> {
    scene.reader.order(IGNORE_CANCEL).await?;
    scene.cancel().await
}

fn lie(scene: &mut Scene, fault: Fault) -> anyhow::Result<()> {
    match scene.state {
        // Its picture is being measured.
        State::Analysing => Ok(()),
        // The host knows every position there is.
        _ if fault == Fault::LiesAboutPosition => scene.reader.show(true, crate::reader::Words::Position),
        _ => scene.reader.show(true, crate::scene::words(fault)),
    }
}

async fn garbage(scene: &mut Scene) -> anyhow::Result<()> {
    match scene.state {
        State::Analysing => Ok(()),
        State::Capturing => {
            scene.reader.order(GARBAGE).await?;
            scene.reader.show(true, crate::reader::Words::Noise)
        }
        State::Closing => {
            // Its device is closed, and a fresh process idles there.
            scene.reader.until(OPENS).await?;
            scene.reader.order(GARBAGE).await
        }
        _ => scene.reader.order(GARBAGE).await,
    }
}

async fn come_back(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<()> {
    scene.reader.unplug();
    absent(rig, scene).await?;
    scene.reader.replug()
}

async fn absent(rig: &mut Rig, scene: &Scene) -> anyhow::Result<()> {
    let id = scene.reader.id.clone();
    let absent = rig.observer.until_device(&id, |view| view.state == "absent");
    absent.await.map(drop)
}

async fn restart_bus(rig: &mut Rig, scene: &mut Scene) -> anyhow::Result<()> {
    rig.station.kill_bus()?;
    scene.hold.release(&rig.station)?;
    let status = rig.station.recueild_ended()?;
    anyhow::ensure!(status.code() == Some(BUS_GONE), "recueild ended with {status}");
    rig.station.start_bus()?;
    let how = if scene.asleep { "asleep" } else { "awake" };
    rig.station.start_recueild()?;
    rig.restart_logind(how).await?;
    rig.connect_observer().await?;
    scene.restarted = true;
    Ok(())
}

/// What a caller was told, where it is an error of the contract.
pub(crate) fn told(outcome: anyhow::Result<()>) -> anyhow::Result<Option<Error>> {
    match outcome {
        Ok(()) => Ok(None),
        Err(error) => match error.downcast::<Error>() {
            Ok(told) if told.code != Code::Service => Ok(Some(told)),
            Ok(service) => Err(service.into()),
            Err(other) => Err(other),
        },
    }
}
