//! A plugin that fails: tried again, more and more slowly, and in the end not any more.

use recueil_wire::devices::{Answer, Call, Device, DeviceState, Failure, FailureCode};

use crate::station::{FP4, Folders, Recueild, Station, patient};
use crate::virtual_device::VirtualDevice;

/// Pauses that a test can wait for.
pub(crate) const QUICK: &str = "[hostd.restart]\nfirst_pause_ms = 20\npause_max_ms = 80\n";
const FAILURES_MAX: usize = 5;

fn lift() -> Call {
    Call::LiftQuarantine { device: FP4.into() }
}

fn open() -> Call {
    Call::Open { device: FP4.into() }
}

/// Has the device's hosts crash once they are ready, until nothing more is started.
async fn crash_until_quarantined(recueild: &mut Recueild, device: &VirtualDevice) -> Device {
    for _ in 0..FAILURES_MAX {
        let (mut line, _) = device.host().await;
        recueild.state(DeviceState::Ready).await;
        line.tell("abort").await;
    }
    recueild.state(DeviceState::Quarantined).await
}

async fn quarantined() -> (Station, Recueild, VirtualDevice) {
    let station = Station::start_in(Folders::new(), QUICK, patient());
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    crash_until_quarantined(&mut recueild, &device).await;
    (station, recueild, device)
}

fn quarantine_file(folders: &Folders) -> std::path::PathBuf {
    folders.path("state").join(format!("quarantine/{FP4}.json"))
}

fn text(device: &Device) -> &str {
    device
        .failure
        .as_ref()
        .map_or("", |failure: &Failure| failure.text.as_str())
}

#[tokio::test]
async fn the_first_restart_is_at_once_and_the_next_after_a_pause_that_an_open_sits_out() {
    let more = "[hostd.restart]\nfirst_pause_ms = 400\n";
    let station = Station::start_in(Folders::new(), more, patient());
    let (mut recueild, device, mut line) = station.ready().await;
    line.tell("abort").await;
    // Nothing comes between: it is not faulted first.
    let next = recueild.next_state().await;
    assert_eq!(next.state, DeviceState::Opening);
    let (mut line, _) = device.host().await;
    recueild.state(DeviceState::Ready).await;

    line.tell("abort").await;
    let next = recueild.next_state().await;
    assert_eq!(next.state, DeviceState::Faulted);
    assert!(text(&next).contains("tried again by itself in 1 s"), "{next:?}");
    let asked = recueild.ask(open()).await;
    let (mut line, _) = device.host().await;
    assert_eq!(recueild.answer(asked).await.0, Ok(Answer::Done));
    line.hears("attach").await;
    station.stop().await;
}

#[tokio::test]
async fn a_plugin_that_always_crashes_is_quarantined_with_what_to_do() {
    let folders = Folders::new();
    folders.install("fr.recueil.fake", "abort-load", "fp4");
    folders.install("fr.recueil.other", "", "camera");
    let station = Station::start_in(folders, QUICK, patient());
    let mut recueild = station.connect().await;
    let other = VirtualDevice::plug(&station.virtual_dir(), "camera.SN1");
    let (mut other_line, _) = other.host().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    for _ in 0..FAILURES_MAX {
        device.host().await;
    }
    let known = recueild.state(DeviceState::Quarantined).await;
    for part in [
        "5 times",
        "signal 6",
        "fr.recueil.fake 1.0.0",
        "recueilctl devices release virtual-fp4-SN1",
    ] {
        assert!(text(&known).contains(part), "no {part:?} in {known:?}");
    }
    let refused = recueild.call(open()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Quarantined);
    assert_eq!(refused.text, text(&known));
    let camera = Call::Open {
        device: "virtual-camera-SN1".into(),
    };
    recueild.call(camera).await.unwrap();
    other_line.hears("attach").await;
    station.stop().await;
}

#[tokio::test]
async fn a_quarantine_outlives_hostd_and_unplugging() {
    let (station, recueild, device) = quarantined().await;
    drop((recueild, device));
    let folders = station.stop_and_keep().await;
    let station = Station::start_in(folders, QUICK, patient());
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    // The first that is told of it: no host was started.
    let first = recueild.next_state().await;
    assert_eq!(first.state, DeviceState::Quarantined);
    assert!(text(&first).contains("signal 6"), "{first:?}");
    drop(device);
    assert_eq!(recueild.next_state().await.state, DeviceState::Absent);
    let _device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    assert_eq!(recueild.next_state().await.state, DeviceState::Quarantined);
    station.stop().await;
}

#[tokio::test]
async fn a_quarantine_that_is_lifted_by_hand_is_over_for_good() {
    let (station, mut recueild, device) = quarantined().await;
    assert_eq!(recueild.call(lift()).await, Ok(Answer::Done));
    assert!(!quarantine_file(&station.folders).exists());
    let _host = device.host().await;
    recueild.state(DeviceState::Ready).await;
    let again = recueild.call(lift()).await.unwrap_err();
    assert_eq!(again.code, FailureCode::NotQuarantined);

    drop((recueild, device));
    let station = Station::start_in(station.stop_and_keep().await, QUICK, patient());
    let (mut recueild, device, mut line) = station.ready().await;
    // Forgiven: it has all its chances again.
    line.tell("abort").await;
    let _host = device.host().await;
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn another_plugin_lifts_the_quarantine_and_the_same_one_does_not() {
    let (station, recueild, device) = quarantined().await;
    drop((recueild, device));
    let folders = station.stop_and_keep().await;
    folders.install("fr.recueil.fake", "", "fp4");
    assert!(quarantine_file(&folders).exists());
    folders.install("fr.recueil.fake", "upgraded", "fp4");
    let station = Station::start_in(folders, QUICK, patient());
    let (recueild, device, _line) = station.ready().await;
    assert!(!quarantine_file(&station.folders).exists());
    drop((recueild, device));
    station.stop().await;
}

#[tokio::test]
async fn a_quarantine_can_be_lifted_while_the_device_is_away() {
    let (station, mut recueild, device) = quarantined().await;
    drop(device);
    recueild.state(DeviceState::Absent).await;
    assert_eq!(recueild.call(lift()).await, Ok(Answer::Done));
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let _host = device.host().await;
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn a_damaged_quarantine_stops_neither_hostd_nor_the_device() {
    let folders = Folders::new();
    let file = quarantine_file(&folders);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{\"plugin\": \"fr.rec").unwrap();
    let station = Station::start_in(folders, QUICK, patient());
    let (recueild, device, _line) = station.ready().await;
    drop((recueild, device));
    station.stop().await;
}

#[tokio::test]
async fn where_the_disk_refuses_a_device_is_in_quarantine_all_the_same() {
    let folders = Folders::new();
    // A file in the place of the folder.
    std::fs::write(folders.path("state").join("quarantine"), "").unwrap();
    let station = Station::start_in(folders, QUICK, patient());
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    crash_until_quarantined(&mut recueild, &device).await;
    let refused = recueild.call(open()).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::Quarantined);
    let kept = recueild.call(lift()).await.unwrap_err();
    assert_eq!(kept.code, FailureCode::Storage);
    std::fs::remove_file(station.folders.path("state").join("quarantine")).unwrap();
    assert_eq!(recueild.call(lift()).await, Ok(Answer::Done));
    let _host = device.host().await;
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn a_plugin_that_hangs_in_close_counts_as_failed() {
    let folders = Folders::new();
    folders.install("fr.recueil.fake", "ignore-close", "fp4");
    let deadlines = recueil_device::Deadlines {
        close: std::time::Duration::from_millis(50),
        ..patient()
    };
    let station = Station::start_in(folders, QUICK, deadlines);
    let mut recueild = station.connect().await;
    let _device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    for _ in 0..FAILURES_MAX {
        recueild.state(DeviceState::Ready).await;
        recueild.open().await;
        assert_eq!(recueild.close().await, Ok(Answer::Done));
    }
    let known = recueild.state(DeviceState::Quarantined).await;
    assert!(text(&known).contains("did not close"), "{known:?}");
    station.stop().await;
}
