//! A device has one holder at a time; everybody sees who, and nobody has to wait for a holder who is gone.

use std::collections::HashMap;

use anyhow::Context;
use recueil_bus::{Code, DeviceProxy, OwnedVariant};
use recueil_tests::{Client, Options, Station, User, acting_as, device_path};
use serde_json::json;

#[tokio::test]
async fn a_lease_ends_with_its_holders_bus_name() -> anyhow::Result<()> {
    let station = start(60)?;
    let mut waiting = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&waiting).await?;
    let (other, uid) = another(&station).await?;
    of(&other, &reader).await?.lease(HashMap::new()).await?;
    let device = of(&waiting, &reader).await?;
    waiting
        .until_device(&reader, |view| view.holder_uid == Some(uid))
        .await?;

    other.leave().await?;
    waiting
        .until_device(&reader, |view| view.holder_uid.is_none())
        .await?;
    device.lease(HashMap::new()).await?;
    Ok(())
}

#[tokio::test]
async fn who_is_refused_is_told_who_holds_the_device() -> anyhow::Result<()> {
    let station = start(60)?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&client).await?;
    let (holder, uid) = another(&station).await?;
    of(&holder, &reader).await?.lease(HashMap::new()).await?;

    let refused = of(&client, &reader)
        .await?
        .lease(HashMap::new())
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::Busy);
    assert_eq!(refused.details.get("holder-uid"), Some(&uid.to_string()));

    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let capture = dossier
        .dossier
        .start_capture("empreintes", &reader, HashMap::new());
    let refused = capture.await.unwrap_err();
    assert_eq!(refused.code, Code::Busy, "a capture takes a lease too");
    assert_eq!(refused.details.get("holder-uid"), Some(&uid.to_string()));
    Ok(())
}

#[tokio::test]
async fn two_captures_of_one_device_follow_each_other() -> anyhow::Result<()> {
    let station = start(60)?;
    let mut first = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&first).await?;
    let (mut second, _) = another(&station).await?;
    let (one, two) = (
        first.open("deposit", "cni-adulte", None).await?,
        second.open("deposit", "cni-adulte", None).await?,
    );
    // The hand does not come.
    station.show("fp4", &[json!({"wait_ms": 3_600_000})])?;
    let capture = first.start(&one, "empreintes", &reader, None, true).await?;
    station.hardware(
        &json!({"command": "await", "device": "fp4", "until": "capturing", "timeout_ms": 25_000}),
    )?;
    let refused = two.dossier.start_capture("empreintes", &reader, HashMap::new());
    assert_eq!(refused.await.unwrap_err().code, Code::Busy);

    let running = recueil_bus::CaptureProxy::new(first.connection(), capture.clone()).await?;
    running.cancel().await?;
    first.until(&capture, |view| view.state == "cancelled").await?;
    second
        .until_device(&reader, |view| view.holder_uid.is_none())
        .await?;
    let hands = second.capture(&two, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");
    Ok(())
}

#[tokio::test]
async fn a_take_over_is_announced_and_must_wait() -> anyhow::Result<()> {
    let station = start(3600)?;
    let mut holder = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&holder).await?;
    let (thief, thief_uid) = another(&station).await?;
    let held = of(&holder, &reader).await?;
    held.lease(HashMap::new()).await?;

    for _try in 0..2 {
        let refused = of(&thief, &reader).await?.lease(steal()).await.unwrap_err();
        assert_eq!(refused.code, Code::Busy);
        let seconds: u64 = refused
            .details
            .get("seconds")
            .context("it says how long")?
            .parse()?;
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }
    let view = holder
        .until_device(&reader, |view| view.claimant_uid == Some(thief_uid))
        .await?;
    assert_eq!(view.holder_uid, Some(own_uid()), "the holder still has it");

    thief.leave().await?;
    holder
        .until_device(&reader, |view| view.claimant_uid.is_none())
        .await?;
    Ok(())
}

#[tokio::test]
async fn a_device_can_be_taken_over_once_the_delay_is_over() -> anyhow::Result<()> {
    let station = start(0)?;
    let mut holder = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&holder).await?;
    let (mut thief, thief_uid) = another(&station).await?;
    let held = of(&holder, &reader).await?;
    held.lease(HashMap::new()).await?;

    of(&thief, &reader).await?.lease(steal()).await?;
    holder
        .until_device(&reader, |view| view.holder_uid == Some(thief_uid))
        .await?;
    assert_eq!(held.lease(HashMap::new()).await.unwrap_err().code, Code::Busy);
    assert_eq!(held.release().await.unwrap_err().code, Code::WrongState);
    let dossier = thief.open("deposit", "cni-adulte", None).await?;
    let hands = thief.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");
    Ok(())
}

#[tokio::test]
async fn an_unplugged_device_comes_back_as_the_same_object_with_the_same_holder() -> anyhow::Result<()> {
    let station = start(60)?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&client).await?;
    let device = of(&client, &reader).await?;
    device.lease(HashMap::new()).await?;

    station.hardware(&json!({"command": "away", "device": "fp4"}))?;
    let away = client
        .until_device(&reader, |view| view.state == "absent")
        .await?;
    assert_eq!(away.holder_uid, Some(own_uid()), "the lease waits for the device");
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let capture = dossier
        .dossier
        .start_capture("empreintes", &reader, HashMap::new());
    assert_eq!(capture.await.unwrap_err().code, Code::UnknownDevice);

    station.hardware(&json!({"command": "back", "device": "fp4"}))?;
    let back = client.until_device(&reader, |view| view.state == "ready").await?;
    assert_eq!(back.holder_uid, Some(own_uid()));
    assert_eq!(device.id().await?, reader, "at the path where it was");
    let hands = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");
    assert_eq!(
        client.until_device(&reader, |_| true).await?.holder_uid,
        Some(own_uid()),
        "a capture does not end the lease that its caller had before"
    );
    Ok(())
}

#[tokio::test]
async fn an_unplugged_device_is_free_when_its_holder_leaves() -> anyhow::Result<()> {
    let station = start(60)?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = reader(&client).await?;
    let (holder, uid) = another(&station).await?;
    of(&holder, &reader).await?.lease(HashMap::new()).await?;
    station.hardware(&json!({"command": "away", "device": "fp4"}))?;
    client
        .until_device(&reader, |view| {
            view.state == "absent" && view.holder_uid == Some(uid)
        })
        .await?;
    holder.leave().await?;
    client
        .until_device(&reader, |view| view.holder_uid.is_none())
        .await?;
    let refused = of(&client, &reader).await?.lease(HashMap::new()).await;
    assert_eq!(refused.unwrap_err().code, Code::UnknownDevice);
    Ok(())
}

fn start(steal_after_s: u64) -> anyhow::Result<Station> {
    Station::start(Options {
        cert: false,
        steal_after_s,
        ..Options::default()
    })
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Another connection, of another user where we may be one; and its uid.
async fn another(station: &Station) -> anyhow::Result<(Client, u32)> {
    let users = station.users();
    let User(uid) = users.client;
    let address = station.address();
    let connect = Client::connect(&address, "agent.durand");
    let client = if users.separate {
        acting_as(users.client, connect).await?
    } else {
        connect.await?
    };
    Ok((client, uid))
}

async fn reader(client: &Client) -> anyhow::Result<String> {
    client.device("fingerprint").await
}

async fn of(client: &Client, device: &str) -> anyhow::Result<DeviceProxy<'static>> {
    Ok(DeviceProxy::new(client.connection(), device_path(device)).await?)
}

fn steal() -> HashMap<String, OwnedVariant> {
    HashMap::from([("steal".to_owned(), OwnedVariant::from(true))])
}
