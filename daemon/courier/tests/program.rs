//! The program: who may start it, who may speak to it, how it ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::process::Command;
use std::time::Duration;

use common::*;
use recueil_wire::courier::{Call, FromCourier, Request};
use recueil_wire::{AsyncSocket, Error};

const PROGRAM: &str = env!("CARGO_BIN_EXE_recueil-courier");

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
    let mut program = start(&place, None, rustix::process::geteuid().as_raw(), &[]);
    let socket = connect(&place, &mut program).await.unwrap();
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
    let mut program = start(&place, Some(port), rustix::process::geteuid().as_raw(), &[]);
    let socket = connect(&place, &mut program).await.unwrap();
    assert!(ask_line(&socket).await.is_ok());
    let (_stream, _from) = silent.accept().unwrap();
    assert!(end(program) < Duration::from_secs(2));
}

#[tokio::test]
async fn another_user_is_refused() {
    let place = Place::new();
    let mut program = start(&place, None, rustix::process::geteuid().as_raw() + 1, &[]);
    let socket = connect(&place, &mut program).await.unwrap();
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
