//! What a host may do wrong, and that it costs its own session alone.

use std::time::Duration;

use recueil_device::Deadlines;
use recueil_wire::devices::{Answer, Call, DeviceState, FailureCode};
use recueil_wire::host::Feedback;
use serde_json::json;

use crate::life::{is_over, pidfd};
use crate::station::{FP4, Folders, Station, patient};
use crate::virtual_device::VirtualDevice;

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_plugin_that_hangs_in_close_is_killed_and_close_is_answered() {
    let station = Station::start(
        "ignore-close",
        Deadlines {
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
async fn a_plugin_that_hangs_before_it_is_ready_is_killed_five_times_and_no_more() {
    let station = Station::start(
        "hang-load",
        Deadlines {
            ready: SHORT,
            ..patient()
        },
    );
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let faulted = recueild.state(DeviceState::Faulted).await;
    let failure = faulted.failure.unwrap();
    assert_eq!(failure.code, FailureCode::PluginHung);
    assert!(
        failure.text.contains("unplug"),
        "it says what to do: {}",
        failure.text
    );
    let open = Call::Open { device: FP4.into() };
    assert_eq!(
        recueild.call(open).await.unwrap_err().code,
        FailureCode::PluginHung
    );
    drop(device);
    recueild.state(DeviceState::Absent).await;
    station.stop().await;
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
async fn a_plugin_that_always_crashes_is_given_up_with_what_to_do() {
    let station = Station::start("abort-load", patient());
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    for _ in 0..5 {
        device.host().await;
    }
    let failure = recueild.state(DeviceState::Faulted).await.failure.unwrap();
    assert_eq!(failure.code, FailureCode::PluginCrashed);
    assert!(failure.text.contains("5 times in a minute"), "{}", failure.text);
    station.stop().await;
}

#[tokio::test]
async fn what_trying_again_cannot_help_is_not_tried_again() {
    for (behaviour, code) in [
        ("fail-sandbox", FailureCode::NoSandbox),
        ("fail-entry", FailureCode::PluginRefused),
    ] {
        let station = Station::start(behaviour, patient());
        let mut recueild = station.connect().await;
        let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
        device.host().await;
        let failure = recueild.state(DeviceState::Faulted).await.failure.unwrap();
        assert_eq!(failure.code, code);
        assert_eq!(failure.plugin.unwrap().text, "in the vendor's words");
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
