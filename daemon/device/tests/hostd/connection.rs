//! The connection of `recueild`: whose it may be, and what ends with it.

use recueil_device::config::Config;
use recueil_device::{Hostd, run};
use recueil_wire::devices::{Call, DeviceState, FailureCode, Request};
use tokio_util::sync::CancellationToken;

use crate::station::{FP4, Folders, Recueild, Station, fake_host, own_uid, patient, soon};
use crate::virtual_device::VirtualDevice;

#[tokio::test]
async fn a_connection_that_ends_takes_its_sessions_with_it() {
    let station = Station::start("", patient());
    let (mut first, device, mut line) = station.ready().await;
    let _frames = first.open().await;
    line.hears("attach").await;
    first.start(1, 100_000).await.unwrap();
    line.hears("capture 1").await;
    drop(first);
    line.hears("close").await;
    assert_eq!(line.next().await, None, "the host that captured is gone");
    let (mut fresh, _) = device.host().await;
    let mut second = station.connect().await;
    second.open().await;
    fresh.hears("attach").await;
    station.stop().await;
}

#[tokio::test]
async fn a_new_connection_never_meets_the_session_of_the_old_one() {
    let station = Station::start("", patient());
    let (mut first, _device, _line) = station.ready().await;
    first.open().await;
    drop(first);
    let mut second = station.connect().await;
    second.open().await;
    assert_eq!(
        second.start(1, 100).await,
        Ok(recueil_wire::devices::Answer::Done)
    );
    station.stop().await;
}

#[tokio::test]
async fn the_second_connection_waits_for_the_end_of_the_first() {
    let station = Station::start("", patient());
    let mut first = station.connect().await;
    let mut second = Recueild::connect(&station.folders.path("run/hostd.sock"));
    let asked = second.ask(Call::List).await;
    first.list().await;
    drop(first);
    second.answer(asked).await.0.unwrap();
    station.stop().await;
}

#[tokio::test]
async fn another_user_is_not_heard() {
    let folders = Folders::new();
    let config = folders.config_text(own_uid() + 1);
    let config = Config::parse(&config, std::path::Path::new("recueil.toml")).unwrap();
    let hostd = Hostd::bind(config).unwrap();
    let stop = CancellationToken::new();
    let hostd = tokio::spawn(run(hostd, stop.clone().cancelled_owned()));
    let stranger = Recueild::connect(&folders.path("run/hostd.sock"));
    stranger.is_closed().await;
    stop.cancel();
    soon(hostd).await.unwrap().unwrap();
}

#[tokio::test]
async fn root_lets_in_recueild_and_nobody_else() {
    if own_uid() != 0 {
        println!(
            "not shown: only root can become another user; another_user_is_not_heard shows the other half"
        );
        return;
    }
    let station = Station::start("", patient());
    let socket = station.folders.path("run/hostd.sock");
    crate::station::chmod(socket.ancestors().nth(2).unwrap(), 0o755);
    let program = station.folders.path("stranger");
    std::fs::copy(fake_host(), &program).unwrap();
    crate::station::chmod(&program, 0o755);
    for (uid, status) in [("61234", 0), ("0", 1)] {
        let mut command = tokio::process::Command::new("setpriv");
        command
            .args(["--reuid", uid, "--clear-groups", "--no-new-privs"])
            .arg(&program)
            .arg(&socket);
        let asked = soon(command.status()).await.unwrap();
        assert_eq!(asked.code(), Some(status), "uid {uid}");
    }
    station.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_not_read_is_closed_and_the_next_one_served() {
    let station = Station::start("", patient());
    let path = station.folders.path("run/hostd.sock");
    let slow = recueil_wire::AsyncSocket::connect(&path).unwrap();
    // Until hostd closes it: an endless question that never takes an answer.
    for id in 0.. {
        let request = Request { id, call: Call::List };
        if soon(slow.send(&request, &[])).await.is_err() {
            break;
        }
    }
    station.connect().await;
    station.stop().await;
}

#[tokio::test]
async fn what_is_no_call_ends_the_connection() {
    let station = Station::start("", patient());
    let mut recueild = station.connect().await;
    let path = station.folders.path("run/hostd.sock");
    recueild
        .say(&serde_json::json!({"id": 1, "call": {"type": "load-code"}}))
        .await;
    recueild.is_closed().await;
    drop(recueild);
    Recueild::connect(&path).list().await;
    station.stop().await;
}

#[tokio::test]
async fn a_session_that_was_asked_for_by_a_gone_connection_is_closed_again() {
    let station = Station::start("", patient());
    let (mut first, device, mut line) = station.ready().await;
    line.tell("abort").await;
    first.state(DeviceState::Opening).await;
    first.ask(Call::Open { device: FP4.into() }).await;
    drop(first);
    let mut second = station.connect().await;
    second.open().await;
    let again = Call::Open { device: FP4.into() };
    assert_eq!(second.call(again).await.unwrap_err().code, FailureCode::Busy);
    drop(device);
    station.stop().await;
}

#[tokio::test]
async fn the_folder_of_the_virtual_bus_may_appear_after_hostd() {
    let folders = Folders::new();
    std::fs::remove_dir(folders.path("virtual")).unwrap();
    let station = Station::start_in(folders, "", patient());
    let mut recueild = station.connect().await;
    std::fs::create_dir(station.virtual_dir()).unwrap();
    let device = VirtualDevice::plug(&station.virtual_dir(), "fp4.SN1");
    device.host().await;
    recueild.state(DeviceState::Ready).await;
    station.stop().await;
}
