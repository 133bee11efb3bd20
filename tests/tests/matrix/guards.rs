//! Why some cells cannot occur: each guard of the table, tried.

use anyhow::{Context, ensure};

use crate::census::{analysers, below};
use crate::reader::{CAPTURES, CLOSES, GARBAGE, IGNORE_CANCEL, RETURNED, Words};
use crate::rig::Rig;
use crate::scene::Scene;
use crate::table::{Fault, Guard, State, TABLE, cell, markdown};

/// Long enough for none of these.
const HAND_S: u32 = 600;

#[test]
fn no_cell_is_empty_and_each_state_and_fault_is_there_once() {
    let faults: Vec<_> = TABLE.iter().map(|(fault, _)| *fault).collect();
    assert_eq!(faults, Fault::ALL);
    for state in State::ALL {
        for fault in Fault::ALL {
            assert!(
                cell(*state, *fault).is_some(),
                "{} × {}",
                state.name(),
                fault.name()
            );
        }
    }
}

#[test]
fn the_table_of_the_document_is_the_one_that_is_played() {
    let table = markdown();
    let document = std::fs::read_to_string(recueil_tests::project_path("tests/FAULTS.md")).unwrap();
    println!("{table}");
    assert!(document.contains(&table), "tests/FAULTS.md has another table");
}

#[test]
fn each_guard_has_its_test() {
    let here = include_str!("guards.rs");
    for guard in Guard::ALL {
        assert!(
            here.contains(&format!("fn {}(", guard.test())),
            "{}",
            guard.test()
        );
    }
}

/// A plugin that idles asks for memory and submits, under numbers of its own.
#[tokio::test]
async fn a_picture_outside_a_capture_is_refused() -> anyhow::Result<()> {
    let Some(mut rig) = Rig::start(HAND_S).await? else {
        return Ok(());
    };
    let mut scene = Scene::enter(&mut rig, State::NoLease, Fault::SendsGarbage).await?;
    scene.reader.order(GARBAGE).await?;
    let told = scene.captures_and_cancels().await?;
    ensure!(told.is_none(), "{told:?}");
    let refused = "a request that does not run";
    ensure!(rig.station.logs().contains(refused), "{}", rig.station.logs());
    Ok(())
}

/// The analyser is stopped, so that whatever it is given stays with it: it is given nothing.
#[tokio::test]
async fn a_picture_that_lies_is_not_passed_on() -> anyhow::Result<()> {
    let Some(mut rig) = Rig::start(HAND_S).await? else {
        return Ok(());
    };
    for words in [Words::Size, Words::Stride, Words::Time] {
        let mut scene = Scene::enter(&mut rig, State::Capturing, Fault::LiesAboutSize).await?;
        let analyser = scene.analyser.context("an analyser runs")?;
        let hold = crate::hold::Hold::analyser(analyser)?;
        scene.reader.show(true, words)?;
        scene.reader.until(RETURNED).await?;
        // The host, which is at fault, is ended while the analyser cannot move: it had no part in finding it.
        let id = scene.reader.id.clone();
        scene.reader.until(crate::reader::OPENS).await?;
        drop(hold);
        rig.observer
            .until_device(&id, |view| view.state == "ready" && view.holder_uid.is_none())
            .await?;
    }
    Ok(())
}

/// Told to ignore its cancel, a plugin that is in no capture closes at once, and is asked for nothing else.
#[tokio::test]
async fn a_plugin_is_cancelled_in_captures_only() -> anyhow::Result<()> {
    let Some(mut rig) = Rig::start(HAND_S).await? else {
        return Ok(());
    };
    let mut scene = Scene::enter(&mut rig, State::NoLease, Fault::PluginIgnoresCancel).await?;
    scene.reader.order(IGNORE_CANCEL).await?;
    // A capture takes the time of its pictures: nothing is cancelled on the way to its end.
    let (dossier, device) = (scene.dossier.clone(), scene.reader.id.clone());
    let path = scene
        .subject()?
        .run(move |client| {
            Box::pin(async move {
                client
                    .start(&dossier, crate::scene::HANDS, &device, None, true)
                    .await
            })
        })
        .await?;
    scene.capture = Some(path);
    for right in [true, false] {
        scene.reader.until(CAPTURES).await?;
        scene.reader.show(right, Words::True)?;
    }
    scene.reader.until(CLOSES).await?;
    scene.until("completed").await
}

#[tokio::test]
async fn an_analyser_lives_as_long_as_its_capture() -> anyhow::Result<()> {
    let Some(mut rig) = Rig::start(HAND_S).await? else {
        return Ok(());
    };
    let of_the_witness = analysers();
    ensure!(of_the_witness.len() == 1, "{of_the_witness:?}");
    for state in [State::NoLease, State::Leased] {
        let _scene = Scene::enter(&mut rig, state, Fault::AnalyserKilled).await?;
        ensure!(analysers() == of_the_witness, "{}", state.name());
    }
    rig.count().await?;
    let mut scene = Scene::enter(&mut rig, State::Capturing, Fault::AnalyserKilled).await?;
    ensure!(analysers().len() == 2);
    scene.cancel().await?;
    scene.until("cancelled").await?;
    scene.reader.unplug();
    drop(scene);
    rig.settled().await
}

#[tokio::test]
async fn no_plugin_runs_while_the_machine_sleeps() -> anyhow::Result<()> {
    let Some(mut rig) = Rig::start(HAND_S).await? else {
        return Ok(());
    };
    let scene = Scene::enter(&mut rig, State::Suspended, Fault::PluginCrashes).await?;
    let hosts = || {
        let all = below(std::process::id()).into_iter();
        all.filter(|(_, name)| name.starts_with("recueil-device")).count()
    };
    ensure!(hosts() == 0, "{:?}", below(std::process::id()));
    ensure!(analysers().is_empty());
    rig.wakes().await?;
    let id = scene.reader.id.clone();
    rig.observer
        .until_device(&id, |view| view.state == "ready")
        .await?;
    ensure!(hosts() == 2, "{:?}", below(std::process::id()));
    Ok(())
}
