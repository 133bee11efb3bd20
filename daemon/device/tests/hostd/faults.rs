//! What a host may do wrong, and that it costs its own session alone.

use std::time::Duration;

use recueil_device::Deadlines;
use recueil_wire::devices::{Answer, Call, DeviceState, FailureCode};
use recueil_wire::host::Feedback;
use serde_json::json;

use crate::life::{is_over, pidfd};
use crate::quarantine::QUICK;
use crate::station::{FP4, Folders, Station, patient};
use crate::virtual_device::VirtualDevice;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_plugin_that_hangs_in_close_is_killed_and_close_is_answered() {
    let station = Station::start(
        "ignore-close",
        Deadlines {
            cancel: SHORT,
            close: SHORT,
            ..patient()
        },
    );
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let (_line, loaded) = device.host().await;
    recueild.open().await;
    let process = pidfd(&loaded);
    recueild.start(1, 100_000).await.unwrap();
    assert_eq!(recueild.close().await, Ok(Answer::Done));
    assert!(is_over(&process));
    let (_, _, failure) = recueild.captured().await;
    assert_eq!(failure.unwrap().code, FailureCode::Cancelled);
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn a_plugin_that_hangs_in_a_capture_is_killed_at_its_deadline() {
    let station = Station::start(
        "",
        Deadlines {
            capture_slack: SHORT,
            ..patient()
        },
    );
    let (mut recueild, _device, mut line) = station.ready().await;
    recueild.open().await;
    recueild.start(1, 1).await.unwrap();
    let (req, _, failure) = recueild.captured().await;
    assert_eq!((req, failure.unwrap().code), (1, FailureCode::PluginHung));
    assert_eq!(recueild.host_ended().await.code, FailureCode::PluginHung);
    while line.next().await.is_some() {}
    recueild.state(DeviceState::Ready).await;
    assert_eq!(
        recueild.start(2, 1).await.unwrap_err().code,
        FailureCode::NoSession
    );
    recueild.open().await;
    station.stop().await;
}

#[tokio::test]
async fn a_plugin_that_ignores_cancel_is_killed_and_the_capture_counts_as_cancelled() {
    let station = Station::start(
        "ignore-cancel",
        Deadlines {
            cancel: SHORT,
            ..patient()
        },
    );
    let (mut recueild, _device, _line) = station.ready().await;
    recueild.open().await;
    recueild.start(1, 100_000).await.unwrap();
    recueild
        .call(Call::Stop {
            device: FP4.into(),
            req: 1,
        })
        .await
        .unwrap();
    assert_eq!(recueild.captured().await.2.unwrap().code, FailureCode::Cancelled);
    assert_eq!(recueild.host_ended().await.code, FailureCode::PluginHung);
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn a_plugin_that_hangs_before_it_is_ready_is_killed_and_in_the_end_quarantined() {
    let folders = Folders::new();
    folders.install("fr.recueil.fake", "hang-load", "fp4");
    let deadlines = Deadlines {
        load: SHORT,
        ..patient()
    };
    let station = Station::start_in(folders, QUICK, deadlines);
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let faulted = recueild.state(DeviceState::Faulted).await.failure.unwrap();
    assert_eq!(faulted.code, FailureCode::PluginHung);
    let quarantined = recueild.state(DeviceState::Quarantined).await.failure.unwrap();
    assert!(quarantined.text.contains("did not load"), "{}", quarantined.text);
    drop(device);
    recueild.state(DeviceState::Absent).await;
    station.stop().await;
}

#[tokio::test]
async fn each_call_on_the_way_to_ready_has_its_own_limit_and_is_named() {
    for (behaviour, words) in [
        ("hang-create", "did not return from create() within 50 ms"),
        ("hang-open", "did not open the device within 50 ms"),
        ("hang-info", "did not say what the device is within 50 ms"),
        ("hang-caps", "did not say what the device can within 50 ms"),
    ] {
        let folders = Folders::new();
        folders.install("fr.recueil.fake", behaviour, "fp4");
        let deadlines = Deadlines {
            create: SHORT,
            open: SHORT,
            ask: SHORT,
            ..patient()
        };
        let station = Station::start_in(folders, QUICK, deadlines);
        let mut recueild = station.connect().await;
        let _device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
        let failure = recueild.state(DeviceState::Faulted).await.failure.unwrap();
        assert_eq!(failure.code, FailureCode::PluginHung);
        assert!(failure.text.contains(words), "{behaviour}: {}", failure.text);
        station.stop().await;
    }
}

#[tokio::test]
async fn a_host_that_does_not_read_cannot_hold_a_caller() {
    let station = Station::start(
        "stop-reading",
        Deadlines {
            say: SHORT,
            ..patient()
        },
    );
    let (mut recueild, _device, _line) = station.ready().await;
    recueild.open().await;
    let feedback = Feedback {
        led: 1,
        beep_ms: 0,
        beep_hz: 0,
        slot: 0,
    };
    let refused = loop {
        let device = FP4.into();
        // Until the socket is full.
        if let Err(failure) = recueild.call(Call::Feedback { device, feedback }).await {
            break failure;
        }
    };
    assert_eq!(refused.code, FailureCode::PluginHung);
    assert_eq!(recueild.host_ended().await.code, FailureCode::PluginHung);
    station.stop().await;
}

#[tokio::test]
async fn a_crash_ends_the_session_names_the_signal_and_brings_a_fresh_host() {
    let station = Station::start("", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    recueild.open().await;
    recueild.start(1, 100_000).await.unwrap();
    line.hears("attach").await;
    line.hears("capture 1").await;
    line.tell("abort").await;
    let (_, _, failure) = recueild.captured().await;
    assert_eq!(failure.unwrap().code, FailureCode::PluginCrashed);
    let ended = recueild.host_ended().await;
    assert_eq!(ended.code, FailureCode::PluginCrashed);
    assert!(ended.text.contains("signal 6"), "{}", ended.text);
    let (mut line, _) = device.host().await;
    recueild.state(DeviceState::Ready).await;
    recueild.open().await;
    line.hears("attach").await;
    line.tell("exit 3").await;
    let ended = recueild.host_ended().await;
    assert!(ended.text.contains("exit status 3"), "{}", ended.text);
    station.stop().await;
}

#[tokio::test]
async fn a_crash_while_waiting_restarts_the_host_and_tells_of_no_session() {
    let station = Station::start("", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    line.tell("abort").await;
    recueild.state(DeviceState::Opening).await;
    let _fresh = device.host().await;
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_tried_again_after_a_pause_and_never_quarantined() {
    for (behaviour, code) in [
        ("fail-sandbox", FailureCode::NoSandbox),
        ("fail-entry", FailureCode::PluginRefused),
    ] {
        let folders = Folders::new();
        folders.install("fr.recueil.fake", behaviour, "fp4");
        let station = Station::start_in(folders, QUICK, patient());
        let mut recueild = station.connect().await;
        let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
        // More often than what crashes would be.
        for _ in 0..8 {
            device.host().await;
            let failure = recueild.state(DeviceState::Faulted).await.failure.unwrap();
            assert_eq!(failure.code, code);
            assert!(failure.text.contains("tried again by itself"), "{}", failure.text);
            assert_eq!(failure.plugin.unwrap().text, "in the vendor's words");
        }
        station.stop().await;
    }
}

#[tokio::test]
async fn a_host_that_breaks_the_protocol_is_ended() {
    for message in [
        json!({"type": "captured", "req": 9, "results": 1, "previews": 0, "failure": null}),
        json!({"type": "nonsense"}),
        json!({"type": "captured", "req": 1, "results": -1, "previews": 0, "failure": null}),
    ] {
        let station = Station::start("", patient());
        let (mut recueild, _device, mut line) = station.ready().await;
        recueild.open().await;
        recueild.start(1, 100_000).await.unwrap();
        line.say(message.clone()).await;
        let ended = recueild.host_ended().await;
        assert_eq!(
            ended.code,
            FailureCode::PluginMisbehaved,
            "{message}: {}",
            ended.text
        );
        station.stop().await;
    }
}

#[tokio::test]
async fn a_flood_of_messages_ends_its_host_and_leaves_the_others_alone() {
    let folders = Folders::new();
    folders.install("fr.recueil.other", "", "camera");
    let station = Station::start_in(folders, "", patient());
    let (mut recueild, _device, mut line) = station.ready().await;
    let other = VirtualDevice::plug(&station.virtual_dir(), "camera.SN1");
    let (mut other_line, _) = other.host().await;
    recueild.open().await;
    recueild.start(1, 100_000).await.unwrap();
    let event = json!({"type": "event", "req": 1, "event": 3, "value": 4, "position": null});
    line.tell(&format!("flood 1000000 {event}")).await;
    let ended = recueild.host_ended().await;
    assert_eq!(ended.code, FailureCode::PluginMisbehaved, "{}", ended.text);
    let device = "virtual-camera-SN1".to_owned();
    recueild.call(Call::Open { device }).await.unwrap();
    other_line.hears("attach").await;
    station.stop().await;
}
