//! Captures and dossiers that end otherwise than planned: nothing is left held, lost or unrecorded.

use std::collections::HashMap;

use anyhow::Context;
use recueil_bus::{CaptureProxy, Code, DeviceProxy};
use recueil_tests::{Client, Followed, Options, Station, device_path};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Position code of the left hand's four fingers (ANSI/NIST-ITL 1-2011, table 12).
const LEFT_HAND: u8 = 14;

fn station() -> anyhow::Result<Station> {
    Station::start(Options {
        cert: false,
        ..Options::default()
    })
}

/// Starts a capture that nobody will end by presenting a hand, and waits until the reader is at it.
async fn endless(
    station: &Station,
    client: &Client,
    dossier: &Followed,
    reader: &str,
) -> anyhow::Result<String> {
    station.show("fp4", &[json!({"lift": "for-good"})])?;
    let path = client.start(dossier, "empreintes", reader, None, true).await?;
    let wait = json!({"command": "await", "device": "fp4", "until": "capturing", "timeout_ms": 30000});
    anyhow::ensure!(station.hardware(&wait)?["ok"] == json!(true));
    Ok(path)
}

/// Device, lease and analyser are free: good hands are taken.
async fn works(station: &Station, client: &mut Client, dossier: &Followed) -> anyhow::Result<()> {
    station.hardware(&json!({"command": "clear", "device": "fp4"}))?;
    let reader = client.device("fingerprint").await?;
    let captured = client.capture(dossier, "empreintes", &reader, None).await;
    let captured = captured.with_context(|| station.logs())?;
    anyhow::ensure!(captured.view.state == "completed", "{captured:?}");
    Ok(())
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}

fn pid_of(station: &Station, name: &str) -> anyhow::Result<u32> {
    let pids = station.pids().into_iter().collect::<HashMap<_, _>>();
    pids.get(name)
        .copied()
        .with_context(|| format!("{name} does not run"))
}

/// The analyser of the capture that runs; the rig starts them as children of this process.
fn analyser() -> anyhow::Result<u32> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((name, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let parent = rest.split_whitespace().nth(1);
        if name.ends_with("(recueil-analyse") && parent == Some(&std::process::id().to_string()) {
            return Ok(pid);
        }
    }
    anyhow::bail!("no analyser runs")
}

#[tokio::test]
async fn who_adopts_a_dossier_gets_it_when_its_capture_has_ended() -> anyhow::Result<()> {
    let station = station()?;
    let first = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = first.device("fingerprint").await?;
    let dossier = first.open("deposit", "cni-adulte", None).await?;
    endless(&station, &first, &dossier, &reader).await?;
    dossier.dossier.set_field("nom-naissance", "SPECIMEN").await?;

    let mut second = Client::connect(&station.address(), "agent.dupont").await?;
    let adopted = second.adopt(&dossier.id).await?;
    assert_eq!(
        adopted.dossier.fields().await?["nom-naissance"].value,
        "SPECIMEN",
        "what was accepted before is there"
    );
    assert!(
        dossier.dossier.set_field("prenoms", "Jean").await.is_err(),
        "the first has it no more"
    );
    works(&station, &mut second, &adopted).await
}

#[tokio::test]
async fn a_draft_is_its_agents_until_he_passes_it_on() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let first = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = first.open("deposit", "cni-adulte", None).await?;
    let second = Client::connect(&station.address(), "agent.durand").await?;
    let refused = second.station.adopt(&dossier.id).await.unwrap_err();
    assert_eq!(refused.code, Code::NotOwner);
    dossier.dossier.transfer("agent.durand").await?;
    let adopted = second.adopt(&dossier.id).await?;
    assert_eq!(adopted.dossier.view().await?.agent, "agent.durand");
    Ok(())
}

#[tokio::test]
async fn another_agent_at_the_same_connection_does_not_work_in_the_name_of_the_first() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    client
        .station
        .open_agent_session("agent.dupont", HashMap::new())
        .await?;
    dossier.dossier.set_field("nom-naissance", "SPECIMEN").await?;
    client
        .station
        .open_agent_session("agent.durand", HashMap::new())
        .await?;
    let refused = client.station.adopt(&dossier.id).await.unwrap_err();
    assert_eq!(refused.code, Code::NotOwner);
    Ok(())
}

#[tokio::test]
async fn a_device_runs_one_capture_at_a_time() -> anyhow::Result<()> {
    let station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let other = client.open("deposit", "cni-adulte", None).await?;
    let path = endless(&station, &client, &dossier, &reader).await?;
    for dossier in [&other, &dossier] {
        let refused = client.start(dossier, "empreintes", &reader, None, true).await;
        let refused = refused.unwrap_err().downcast::<recueil_bus::Error>()?;
        assert_eq!(refused.code, Code::Busy);
    }
    let capture = CaptureProxy::new(client.connection(), path.clone()).await?;
    capture.cancel().await?;
    client.until(&path, |view| view.state == "cancelled").await?;
    works(&station, &mut client, &other).await
}

#[tokio::test]
async fn a_device_taken_over_is_free_for_who_took_it() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        steal_after_s: 0,
        ..Options::default()
    })?;
    let mut holder = Client::connect(&station.address(), "agent.dupont").await?;
    let mut thief = Client::connect(&station.address(), "agent.durand").await?;
    let reader = holder.device("fingerprint").await?;
    let dossier = holder.open("deposit", "cni-adulte", None).await?;
    let path = endless(&station, &holder, &dossier, &reader).await?;
    let device = DeviceProxy::new(thief.connection(), device_path(&reader)).await?;
    let steal = HashMap::from([("steal".to_owned(), true.into())]);
    device.lease(steal).await?;
    holder.until(&path, |view| view.state == "cancelled").await?;
    let other = thief.open("deposit", "cni-adulte", None).await?;
    works(&station, &mut thief, &other).await
}

#[tokio::test]
async fn a_client_that_vanishes_while_it_captures_leaves_everything_free() -> anyhow::Result<()> {
    let station = station()?;
    let mut stays = Client::connect(&station.address(), "agent.dupont").await?;
    let leaves = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = leaves.device("fingerprint").await?;
    let dossier = leaves.open("deposit", "cni-adulte", None).await?;
    endless(&station, &leaves, &dossier, &reader).await?;
    leaves.leave().await?;
    let adopted = stays.adopt(&dossier.id).await?;
    works(&station, &mut stays, &adopted).await
}

#[tokio::test]
async fn a_service_that_is_stopped_sees_its_captures_out_and_records_what_they_destroyed()
-> anyhow::Result<()> {
    let mut station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    station.show("fp4", &[json!({}), json!({"lift": "for-good"})])?;
    let path = client.start(&dossier, "empreintes", &reader, None, true).await?;
    client
        .until(&path, |view| view.position == Some(LEFT_HAND))
        .await?;
    station.stop_recueild();
    assert!(
        !station.logs().contains("did not end in time"),
        "{}",
        station.logs()
    );
    station.start_recueild()?;

    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let adopted = client.adopt(&dossier.id).await?;
    let destroyed = adopted.dossier.destructions().await?;
    assert_eq!(destroyed.len(), 1, "{destroyed:?}");
    assert_eq!(destroyed[0].positions, [2, 3, 4, 5]);
    assert_eq!(destroyed[0].method, "processes-ended");
    works(&station, &mut client, &adopted).await
}

#[tokio::test]
async fn a_device_service_that_ends_is_named_and_its_captures_begin_anew() -> anyhow::Result<()> {
    let mut station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let path = endless(&station, &client, &dossier, &reader).await?;
    signal(pid_of(&station, "recueil-hostd")?, Signal::KILL)?;
    station.start_hostd()?;
    let (view, _) = client.until(&path, |view| view.state == "failed").await?;
    assert_eq!(view.error.as_deref(), Some("devices-unavailable"), "{view:?}");
    works(&station, &mut client, &dossier).await
}

#[tokio::test]
async fn an_analyser_that_ends_is_named_at_once_and_the_hand_taken_again() -> anyhow::Result<()> {
    let station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    // While the reader captures, and while a command is awaited.
    let path = endless(&station, &client, &dossier, &reader).await?;
    signal(analyser()?, Signal::KILL)?;
    let (view, _) = client.until(&path, |view| view.state == "failed").await?;
    assert_eq!(view.error.as_deref(), Some("analyser-ended"), "{view:?}");

    station.hardware(&json!({"command": "clear", "device": "fp4"}))?;
    station.show("fp4", &[json!({"quality": "poor"})])?;
    let reader = client.device("fingerprint").await?;
    let path = client.start(&dossier, "empreintes", &reader, None, false).await?;
    client.until(&path, |view| view.state == "waiting").await?;
    signal(analyser()?, Signal::KILL)?;
    let (view, _) = client.until(&path, |view| view.state == "failed").await?;
    assert_eq!(view.error.as_deref(), Some("analyser-ended"), "{view:?}");
    works(&station, &mut client, &dossier).await
}

#[tokio::test]
async fn a_reader_unplugged_between_two_tries_is_told_at_once() -> anyhow::Result<()> {
    let station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    station.show("fp4", &[json!({"quality": "poor"})])?;
    let path = client.start(&dossier, "empreintes", &reader, None, false).await?;
    client.until(&path, |view| view.state == "waiting").await?;
    station.hardware(&json!({"command": "away", "device": "fp4"}))?;
    let (view, _) = client.until(&path, |view| view.state == "failed").await?;
    assert_eq!(view.error.as_deref(), Some("device-gone"), "{view:?}");
    station.hardware(&json!({"command": "back", "device": "fp4"}))?;
    works(&station, &mut client, &dossier).await
}

#[tokio::test]
async fn prints_whose_end_a_crash_left_unseen_are_recorded_after_the_start() -> anyhow::Result<()> {
    let mut station = station()?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    station.show("fp4", &[json!({}), json!({"quality": "poor"})])?;
    let path = client.start(&dossier, "empreintes", &reader, None, false).await?;
    client.until(&path, |view| view.state == "waiting").await?;
    // The records are stored, and the end of the reader's process is not answered for.
    let hostd = pid_of(&station, "recueil-hostd")?;
    signal(hostd, Signal::STOP)?;
    let capture = CaptureProxy::new(client.connection(), path).await?;
    capture.command("use-best").await?;
    client.until_changed(&dossier).await?;
    station.kill_recueild()?;
    signal(hostd, Signal::CONT)?;
    station.start_recueild()?;

    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let adopted = client.adopt(&dossier.id).await?;
    let chosen: Vec<_> = adopted.dossier.items().await?;
    let chosen: Vec<_> = chosen.iter().filter_map(|item| item.position).collect();
    assert!(chosen.contains(&2), "{chosen:?}");
    client.until_changed(&adopted).await?;
    let destroyed = adopted.dossier.destructions().await?;
    assert_eq!(destroyed.len(), 1, "{destroyed:?}");
    assert_eq!(destroyed[0].method, "processes-ended-before-restart");
    let rest = [2, 3, 4, 5, 7, 8, 9, 10];
    let rest: Vec<u8> = rest
        .into_iter()
        .filter(|finger| !chosen.contains(finger))
        .collect();
    assert_eq!(destroyed[0].positions, rest);
    works(&station, &mut client, &adopted).await
}
