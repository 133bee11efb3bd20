//! The program: who may start it, who may speak to it, how it ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::*;
use recueil_wire::courier::{Call, FromCourier, Request};
use recueil_wire::{AsyncSocket, Error};

const PROGRAM: &str = env!("CARGO_BIN_EXE_recueil-courier");
/// Numbers of no user; root starts the program under the first, and speaks to it as itself.
const COURIER_UID: u32 = 64_321;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Starts the program as a user who is not root, with `recueild` as the only one it listens to.
fn start(place: &Place, port: Option<u16>, recueild: u32) -> Child {
    let config = place.root.path().join("recueil.toml");
    std::fs::write(&config, place.config_text(port, recueild)).unwrap();
    if !is_root() {
        return Command::new(PROGRAM)
            .arg("--config")
            .arg(config)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    }
    std::fs::set_permissions(place.root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    give(place.root.path());
    // The build folder may be closed to others, so the program is taken out of it.
    let program = place.root.path().join("recueil-courier");
    std::fs::copy(PROGRAM, &program).unwrap();
    Command::new("setpriv")
        .args([format!("--reuid={COURIER_UID}"), format!("--regid={COURIER_UID}")])
        .args(["--clear-groups", "--no-new-privs"])
        .arg(program)
        .arg("--config")
        .arg(config)
        .stderr(Stdio::null())
        .spawn()
        .expect("Debian package util-linux")
}

/// Makes the program's user the owner of a folder and of all in it.
fn give(folder: &Path) {
    chown(folder, Some(COURIER_UID), Some(COURIER_UID)).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            give(&path);
        }
        chown(&path, Some(COURIER_UID), Some(COURIER_UID)).unwrap();
    }
}

/// Tells the program to end, and waits for it. How long that took.
fn end(mut program: Child) -> Duration {
    let told = Instant::now();
    let pid = rustix::process::Pid::from_child(&program);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(program.wait().unwrap().success());
    told.elapsed()
}

/// Connects once the program listens. Nothing tells when that is but the socket itself.
async fn connect(place: &Place) -> AsyncSocket {
    let begun = Instant::now();
    loop {
        match AsyncSocket::connect(&place.socket()) {
            Ok(socket) => return socket,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

async fn ask_line(socket: &AsyncSocket) -> Result<FromCourier, Error> {
    socket
        .send(
            &Request {
                id: 1,
                call: Call::Line,
            },
            &[],
        )
        .await?;
    loop {
        if let reply @ FromCourier::Reply { .. } = socket.recv::<FromCourier>().await?.message {
            return Ok(reply);
        }
    }
}

#[tokio::test]
async fn it_listens_to_recueild_and_ends_when_told() {
    let place = Place::new();
    let program = start(&place, None, rustix::process::geteuid().as_raw());
    let socket = connect(&place).await;
    assert!(matches!(
        ask_line(&socket).await,
        Ok(FromCourier::Reply { id: 1, .. })
    ));
    assert!(end(program) < Duration::from_secs(2));
}

#[tokio::test]
async fn it_ends_while_cert_keeps_silent() {
    let place = Place::new();
    // Connections are taken by the kernel, and nobody ever answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    place.put(id(1), &junk(1000));
    let port = silent.local_addr().unwrap().port();
    let program = start(&place, Some(port), rustix::process::geteuid().as_raw());
    let socket = connect(&place).await;
    assert!(ask_line(&socket).await.is_ok());
    let (_stream, _from) = silent.accept().unwrap();
    assert!(end(program) < Duration::from_secs(2));
}

#[tokio::test]
async fn another_user_is_refused() {
    let place = Place::new();
    let mut program = start(&place, None, rustix::process::geteuid().as_raw() + 1);
    let socket = connect(&place).await;
    assert!(matches!(
        ask_line(&socket).await,
        Err(Error::Closed | Error::System(_))
    ));
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn root_is_refused_and_so_is_a_wrong_call() {
    let place = Place::new();
    let config = place.root.path().join("recueil.toml");
    std::fs::write(&config, "[courier]\nsocket = 1\n").unwrap();
    let output = Command::new(PROGRAM)
        .arg("--config")
        .arg(&config)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    let expected = if is_root() {
        "refuses to run as root"
    } else {
        "configuration"
    };
    assert!(text.contains(expected), "{text}");
    assert_eq!(Command::new(PROGRAM).output().unwrap().status.code(), Some(2));
}
