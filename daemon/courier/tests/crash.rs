//! The courier is killed at every call by which it changes something (strace, Debian package `strace`).

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::*;
use recueil_cert::Server;
use recueil_wire::AsyncSocket;
use recueil_wire::courier::{FromCourier, Stage};

const CALLS: &str = "fsync,renameat,unlinkat,mkdir,fchmod,write,writev,sendto,sendmsg";

/// Runs the program until R2 has come or it is dead.
async fn carry(place: &Place, port: u16, before: &[&str]) {
    let uid = rustix::process::geteuid().as_raw();
    let mut program = start(place, Some(port), uid, before);
    if let Some(socket) = connect(place, &mut program).await {
        tokio::time::timeout(PATIENCE, until_final(&socket))
            .await
            .expect("news of the end");
        // strace keeps signals from what it started, so the courier itself is told, if it still lives.
        let pid = rustix::net::sockopt::socket_peercred(&socket).unwrap().pid;
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    program.wait().unwrap();
}

/// R2 may have come before anybody listened; then its stage says so.
async fn until_final(socket: &AsyncSocket) {
    while let Ok(received) = socket.recv::<FromCourier>().await {
        match received.message {
            FromCourier::Progress(progress) if progress.stage == Stage::Ended => return,
            _ => {}
        }
    }
}

/// Each run has a CERT of its own.
async fn run(before: &[&str]) -> (Place, Server) {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let (id, bytes) = place.sealed(1);
    place.put(id, &bytes);
    carry(&place, server.addr().port(), before).await;
    (place, server)
}

/// After the kill another courier brings the parcel to its one end.
async fn finish(place: &Place, server: Server, context: &str) {
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier
        .until(|news| matches!(news, FromCourier::Progress(p) if p.stage == Stage::Ended))
        .await;
    courier.stop().await;
    let list = listed(&server).await;
    assert_eq!(list["dossiers"].as_array().unwrap().len(), 1, "{context}");
    assert_eq!(list["dossiers"][0]["state"], "ingested", "{context}");
    assert!(list["alarms"].as_array().unwrap().is_empty(), "{context}: {list}");
    assert!(place.parcel_path(id(1)).exists(), "{context}");
    let mut left: Vec<_> = std::fs::read_dir(place.state_dir.join("receipts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(
        left,
        [format!("{}.r1.p7s", id(1)), format!("{}.r2.p7s", id(1))],
        "{context}"
    );
    server.stop().await;
}

#[tokio::test]
async fn killed_at_any_call_there_is_one_dossier_and_both_receipts() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("log");
    let log = log.to_str().unwrap();
    let trace = format!("trace={CALLS}");
    let (place, server) = run(&["strace", "-f", "-qq", "-o", log, "-e", &trace]).await;
    finish(&place, server, "undisturbed").await;
    let calls: Vec<String> = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        calls.iter().filter(|call| call.contains(" renameat(")).count() >= 2,
        "{calls:#?}"
    );
    for (index, call) in calls.iter().enumerate() {
        let inject = format!("inject={CALLS}:signal=KILL:when={}", index + 1);
        let (place, server) = run(&["strace", "-f", "-qq", "-o", log, "-e", &trace, "-e", &inject]).await;
        finish(&place, server, &format!("killed at call {}: {call}", index + 1)).await;
    }
}
