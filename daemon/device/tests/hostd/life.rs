//! From plugging in to unplugging, when all goes well.

use std::os::fd::OwnedFd;

use recueil_wire::devices::{Answer, Call, DeviceState, FailureCode, Notice};
use recueil_wire::host::Feedback;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::station::{FP4, Folders, Station, patient};
use crate::virtual_device::VirtualDevice;

#[tokio::test]
async fn a_device_that_is_plugged_in_gets_a_host_with_nothing_but_what_it_needs() {
    let folders = Folders::new();
    let station = Station::start_in(
        folders,
        "allow_unsandboxed = [\"fr.recueil.fake\"]\n[hostd.config.\"fr.recueil.fake\"]\ngain = \"3\"\n",
        patient(),
    );
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let (_line, loaded) = device.host().await;
    assert_eq!(loaded["environment"], 0);
    let open = |kind: &str| {
        let descriptors = loaded["descriptors"].as_array().unwrap();
        let of_kind = descriptors
            .iter()
            .filter(|target| target.as_str().unwrap().starts_with(kind));
        of_kind.count()
    };
    assert_eq!(open("socket:"), 2, "hostd's and the device's: {loaded}");
    assert_eq!(open("anon_inode:"), 0, "nothing that hostd watches: {loaded}");
    assert_eq!(
        loaded["library"],
        "no machine code: the fake host reads it as text"
    );
    assert_eq!(loaded["serial"], "SN1");
    assert_eq!(
        loaded["config"]["gain"], "3",
        "the administrator's value stands for the manifest's"
    );
    assert_eq!(loaded["memory_mib"], 64);
    assert_eq!(loaded["landlock_abi_max"], 2);
    assert_eq!(loaded["allow_unsandboxed"], true);
    recueild.state(DeviceState::Opening).await;
    let ready = recueild.state(DeviceState::Ready).await;
    assert_eq!(ready.plugin, "fr.recueil.fake");
    assert_eq!(
        ready.identity.unwrap().vendor,
        "Acme\u{fffd}",
        "a stranger's text is tamed"
    );
    assert_eq!(recueild.list().await.0.len(), 1);
    station.stop().await;
}

#[tokio::test]
async fn a_capture_goes_from_start_to_captured_and_the_frame_socket_joins_analyser_and_host() {
    let station = Station::start("", patient());
    let (mut recueild, _device, mut line) = station.ready().await;
    let frames = recueild.open().await;
    recueild.state(DeviceState::InSession).await;
    line.hears("attach").await;
    assert!(!is_over(&frames), "the host holds the other end");
    assert_eq!(recueild.start(7, 10_000).await, Ok(Answer::Done));
    line.hears("capture 7").await;
    line.say(json!({"type": "event", "req": 7, "event": 3, "value": 4, "position": 13}))
        .await;
    let progress = recueild.notice(|notice| match notice {
        Notice::Progress {
            req, event, value, ..
        } => Some((req, event, value)),
        _ => None,
    });
    assert_eq!(progress.await, (7, 3, 4));
    line.say(json!({"type": "captured", "req": 7, "results": 1, "previews": 9, "failure": null}))
        .await;
    assert_eq!(recueild.captured().await, (7, 1, None));
    let feedback = Feedback {
        led: 3,
        beep_ms: 10,
        beep_hz: 880,
        slot: 0,
    };
    let device = FP4.to_owned();
    assert_eq!(
        recueild.call(Call::Feedback { device, feedback }).await,
        Ok(Answer::Done)
    );
    line.hears("feedback").await;
    station.stop().await;
}

#[tokio::test]
async fn calls_that_do_not_fit_the_state_are_refused_by_name() {
    let station = Station::start("", patient());
    let (mut recueild, _device, _line) = station.ready().await;
    let code = |answer: Result<Answer, recueil_wire::devices::Failure>| answer.unwrap_err().code;
    assert_eq!(code(recueild.start(1, 100).await), FailureCode::NoSession);
    assert_eq!(code(recueild.close().await), FailureCode::NoSession);
    let nobody = Call::Open {
        device: "virtual-fp4-SN2".into(),
    };
    assert_eq!(code(recueild.call(nobody).await), FailureCode::NoDevice);
    recueild.open().await;
    let again = Call::Open { device: FP4.into() };
    assert_eq!(code(recueild.call(again).await), FailureCode::Busy);
    let stop = Call::Stop {
        device: FP4.into(),
        req: 3,
    };
    assert_eq!(code(recueild.call(stop).await), FailureCode::NoSession);
    assert_eq!(code(recueild.start(3, 0).await), FailureCode::Unsupported);
    recueild.start(3, 100_000).await.unwrap();
    assert_eq!(code(recueild.start(4, 100).await), FailureCode::Busy);
    station.stop().await;
}

#[tokio::test]
async fn a_number_is_not_used_twice_in_a_session() {
    let station = Station::start("", patient());
    let (mut recueild, _device, mut line) = station.ready().await;
    recueild.open().await;
    recueild.start(5, 100_000).await.unwrap();
    line.say(json!({"type": "captured", "req": 5, "results": 0, "previews": 0, "failure": null}))
        .await;
    recueild.captured().await;
    assert_eq!(
        recueild.start(5, 100).await.unwrap_err().code,
        FailureCode::NoSession
    );
    recueild.start(6, 100_000).await.unwrap();
    station.stop().await;
}

#[tokio::test]
async fn a_cancelled_capture_ends_with_the_plugins_own_word() {
    let station = Station::start("", patient());
    let (mut recueild, _device, _line) = station.ready().await;
    recueild.open().await;
    recueild.start(1, 100_000).await.unwrap();
    let stop = Call::Stop {
        device: FP4.into(),
        req: 1,
    };
    assert_eq!(recueild.call(stop).await, Ok(Answer::Done));
    let (req, results, failure) = recueild.captured().await;
    let failure = failure.unwrap();
    assert_eq!((req, results, failure.code), (1, 0, FailureCode::Cancelled));
    assert_eq!(failure.plugin.unwrap().text, "in the vendor's words");
    station.stop().await;
}

#[tokio::test]
async fn close_is_answered_when_the_process_is_gone_and_not_before() {
    let station = Station::start("ignore-close", patient());
    let mut recueild = station.connect().await;
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let (mut line, loaded) = device.host().await;
    let frames = recueild.open().await;
    let process = pidfd(&loaded);
    line.hears("attach").await;
    let asked = recueild.ask(Call::Close { device: FP4.into() }).await;
    line.hears("close").await;
    assert!(!is_over(&process));
    // The next answer would be the one to Close, were it given too early.
    recueild.list().await;
    line.tell("exit 0").await;
    let (answer, _) = recueild.answer(asked).await;
    assert_eq!(answer, Ok(Answer::Done));
    assert!(is_over(&process) && is_over(&frames));
    let (_line, fresh) = device.host().await;
    assert_ne!(fresh["pid"], loaded["pid"]);
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}

#[tokio::test]
async fn a_device_goes_and_comes_back_as_the_same() {
    let station = Station::start("", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    recueild.open().await;
    recueild.start(1, 100_000).await.unwrap();
    drop(device);
    assert_eq!(recueild.captured().await.2.unwrap().code, FailureCode::DeviceGone);
    assert_eq!(recueild.host_ended().await.code, FailureCode::DeviceGone);
    let absent = recueild.state(DeviceState::Absent).await;
    assert!(absent.identity.is_some(), "it is known who it is");
    while line.next().await.is_some() {}
    let open = Call::Open { device: FP4.into() };
    assert_eq!(recueild.call(open).await.unwrap_err().code, FailureCode::NoDevice);

    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    let _host = device.host().await;
    recueild.state(DeviceState::Opening).await;
    recueild.state(DeviceState::Ready).await;
    recueild.open().await;
    assert_eq!(recueild.list().await.0.len(), 1, "one object for one device");
    station.stop().await;
}

#[tokio::test]
async fn an_open_during_opening_waits_for_the_host() {
    let station = Station::start("", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    line.tell("abort").await;
    recueild.state(DeviceState::Opening).await;
    recueild.open().await;
    recueild.state(DeviceState::InSession).await;
    drop(device);
    station.stop().await;
}

#[tokio::test]
async fn what_no_manifest_claims_is_not_touched() {
    let station = Station::start("", patient());
    let mut recueild = station.connect().await;
    let stranger = VirtualDevice::plug(&station.virtual_dir(), "camera.SN1");
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    device.host().await;
    recueild.state(DeviceState::Ready).await;
    assert_eq!(recueild.list().await.0.len(), 1);
    assert!(!stranger.was_touched());
    station.stop().await;
}

#[tokio::test]
async fn what_a_plugin_stores_is_there_for_its_next_host_until_it_is_asked_for_a_capture() {
    let station = Station::start("store", patient());
    let (mut recueild, device, mut line) = station.ready().await;
    recueild.open().await;
    line.hears("attach").await;
    recueild.start(1, 100_000).await.unwrap();
    line.hears("capture 1").await;
    line.say(json!({"type": "blob-put", "key": "seen", "part": "00", "last": true}))
        .await;
    line.say(json!({"type": "captured", "req": 1, "results": 1, "previews": 0, "failure": null}))
        .await;
    recueild.captured().await;
    line.say(json!({"type": "blob-put", "key": "seen-later", "part": "00", "last": true}))
        .await;
    recueild.close().await.unwrap();
    let (_line, loaded) = device.host().await;
    assert_eq!(loaded["blobs"], json!([["gain"], [0xc0, 0xff, 0xee]]));
    station.stop().await;
}

#[tokio::test]
async fn a_full_house_forgets_an_absent_device_for_a_new_one() {
    let station = Station::start("", patient());
    let mut recueild = station.connect().await;
    let plug = |number: usize| VirtualDevice::plug(&station.virtual_dir(), &format!("fp4.N{number}"));
    let mut devices: Vec<_> = (0..16).map(plug).collect();
    for _ in 0..16 {
        recueild
            .notice(|notice| match notice {
                Notice::Device { device } if device.state == DeviceState::Ready => Some(()),
                _ => None,
            })
            .await;
    }
    drop(devices.remove(7));
    recueild
        .notice(|notice| match notice {
            Notice::Device { device } if device.state == DeviceState::Absent => Some(()),
            _ => None,
        })
        .await;
    devices.push(plug(16));
    let gone = recueild.notice(|notice| match notice {
        Notice::Gone { device } => Some(device),
        _ => None,
    });
    assert_eq!(gone.await, "virtual-fp4-N7");
    devices[15].host().await;
    assert_eq!(recueild.list().await.0.len(), 16);
    station.stop().await;
}

/// Taken while the process lives, so it is this process for ever.
pub(crate) fn pidfd(loaded: &serde_json::Value) -> OwnedFd {
    let pid = i32::try_from(loaded["pid"].as_i64().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()
}

/// Whether the process has ended, or the other end of the socket is closed.
pub(crate) fn is_over(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
}
