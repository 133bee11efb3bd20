//! A driver that fails too often is not started any more, until somebody who may says so.

use anyhow::{Context, ensure};
use recueil_bus::{Code, DeviceProxy};
use recueil_tests::{Client, Options, Station, binary, device_path};
use serde_json::{Value, json};

/// `recueilctl --json LINE` as the station's user: its exit code and its document.
fn recueilctl(station: &Station, line: &str) -> anyhow::Result<(Option<i32>, Value)> {
    let users = station.users();
    let output = users
        .command(users.client, &binary("recueilctl")?)
        .args(["--json", "--bus", station.bus_address()])
        .args(line.split_whitespace())
        .output()?;
    let document = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code(), document))
}

fn named(document: &Value, id: &str) -> Value {
    let devices = document["devices"].as_array().into_iter().flatten();
    let mut found = devices.filter(|device| device["id"] == json!(id)).cloned();
    found.next().unwrap_or_default()
}

#[tokio::test]
async fn a_driver_that_fails_too_often_is_shown_refused_and_released_by_hand() -> anyhow::Result<()> {
    let mut station = Station::start(Options {
        cert: false,
        driver_failures_max: 2,
        ..Options::default()
    })?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    for _ in 0..2 {
        client
            .until_device(&reader, |device| device.state == "ready")
            .await?;
        station.show("fp4", &[json!({"fault": "crash"})])?;
        let crashed = client.capture(&dossier, "empreintes", &reader, None).await?;
        assert_eq!(
            crashed.view.error.as_deref(),
            Some("plugin-crashed"),
            "{crashed:?}"
        );
    }
    let device = client
        .until_device(&reader, |device| device.state == "quarantined")
        .await
        .with_context(|| station.logs())?;
    let trouble = device.trouble.context("the reason is shown")?;
    let advice = format!("recueilctl devices release {reader}");
    assert!(
        trouble.contains("failed 2 times") && trouble.contains(&advice),
        "{trouble}"
    );

    // Whoever asks for it all the same is told the same.
    let refused = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(refused.view.error.as_deref(), Some("quarantined"), "{refused:?}");
    assert_eq!(refused.view.error_text.as_deref(), Some(trouble.as_str()));
    let (_, devices) = recueilctl(&station, "devices")?;
    let shown = named(&devices, &reader);
    assert_eq!(
        (&shown["state"], &shown["trouble"]),
        (&json!("quarantined"), &json!(trouble))
    );

    let (exit, unknown) = recueilctl(&station, "devices release nothing")?;
    assert_eq!(
        (exit, &unknown["error"]["code"]),
        (Some(7), &json!("unknown-device"))
    );
    let (exit, released) = recueilctl(&station, &advice["recueilctl ".len()..])?;
    ensure!(exit == Some(0), "{released}");
    assert_eq!(released, json!({"device": reader, "released": true}));
    client
        .until_device(&reader, |device| device.state == "ready")
        .await?;
    station.hardware(&json!({"command": "clear", "device": "fp4"}))?;
    let captured = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");

    let proxy = DeviceProxy::new(client.connection(), device_path(&reader)).await?;
    let again = proxy.lift_quarantine().await.unwrap_err();
    assert_eq!(again.code, Code::WrongState);

    client.leave().await?;
    station.stop_recueild();
    let mut store = std::fs::read(station.folders().path("state/store.sqlite"))?;
    // What was written last may still lie in the write-ahead log.
    store.extend(std::fs::read(station.folders().path("state/store.sqlite-wal")).unwrap_or_default());
    let audited = b"quarantine-lifted";
    assert!(store.windows(audited.len()).any(|window| window == audited));
    Ok(())
}
