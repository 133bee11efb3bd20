//! A cable that is pulled: two network namespaces, a pair of interfaces between them, one of them set down in the
//! middle of an upload. Nothing tells either end. Needs root and Debian's package `iproute2`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::io::Write;
use std::process::Command;
use std::time::Duration;

use common::*;
use recueil_cert::{Limits, Server, renew_tls};
use recueil_wire::AsyncSocket;
use recueil_wire::courier::{FromCourier, Progress, Stage};

/// A network of its own, joined to ours by a cable; gone with this value.
struct Far {
    namespace: String,
    near: String,
    number: u32,
}

impl Far {
    /// None, with the reason, where there can be none.
    fn new() -> Result<Self, String> {
        if !is_root() {
            return Err("only root may make a network namespace".to_owned());
        }
        let number = std::process::id();
        let far = Self {
            namespace: format!("recueil-{number}"),
            near: format!("rcl{number}"),
            number,
        };
        let Self { namespace, near, .. } = &far;
        ip(&["netns", "add", namespace])?;
        ip(&[
            "link", "add", near, "type", "veth", "peer", "name", "far", "netns", namespace,
        ])?;
        ip(&["addr", "add", &far.addr(1), "dev", near])?;
        ip(&["link", "set", near, "up"])?;
        ip(&["-n", namespace, "addr", "add", &far.addr(2), "dev", "far"])?;
        ip(&["-n", namespace, "link", "set", "far", "up"])?;
        // Slow enough that the upload is under way when the cable is pulled: 1 MB/s.
        let slow = "qdisc add dev far root tbf rate 8mbit burst 64kb latency 200ms";
        run(
            "tc",
            &[
                &["-n", namespace.as_str()],
                slow.split(' ').collect::<Vec<_>>().as_slice(),
            ]
            .concat(),
        )?;
        Ok(far)
    }

    /// An address of a network of test set-ups (RFC 2544).
    fn host(&self, end: u8) -> String {
        format!("198.18.{}.{end}", self.number % 250)
    }

    fn addr(&self, end: u8) -> String {
        format!("{}/24", self.host(end))
    }

    fn pull(&self) {
        ip(&["link", "set", &self.near, "down"]).unwrap();
    }

    fn plug(&self) {
        ip(&["link", "set", &self.near, "up"]).unwrap();
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // The interfaces go with the namespace; what was not made is not there.
        let _gone = ip(&["netns", "del", &self.namespace]);
        let _gone = ip(&["link", "del", &self.near]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program} (Debian package iproute2): {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("{program} {}: {text}", arguments.join(" ")))
}

/// News of the parcel until it is as wanted.
async fn until(socket: &AsyncSocket, wanted: impl Fn(&Progress) -> bool) -> Progress {
    let wait = async {
        loop {
            if let FromCourier::Progress(progress) = socket.recv::<FromCourier>().await.unwrap().message
                && wanted(&progress)
            {
                return progress;
            }
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("news of the parcel")
}

#[tokio::test]
async fn a_pulled_cable_is_noticed_by_our_own_clock_and_the_upload_goes_on() {
    let far = match Far::new() {
        Ok(far) => far,
        Err(why) => {
            return std::io::stderr()
                .write_all(format!("SKIPPED: {why}\n").as_bytes())
                .unwrap();
        }
    };
    let mut place = Place::new();
    place.host = far.host(1);
    place.more = "connect_s = 2\nanswer_s = 2\npart_s = 2\n".to_owned();
    renew_tls(&place.cert_dir, &[&place.host], -3600, 86_400).unwrap();
    let limits = Limits {
        body: Duration::from_secs(1),
        ..Limits::default()
    };
    let addr = format!("{}:0", place.host).parse().unwrap();
    let server = Server::listen_with(&place.cert_dir, addr, limits).await.unwrap();
    place.put(id(1), &junk(3 << 20));
    let uid = rustix::process::geteuid().as_raw();
    let inside = ["ip", "netns", "exec", &far.namespace];
    let mut program = start(&place, Some(server.addr().port()), uid, &inside);
    let socket = connect(&place, &mut program).await.unwrap();
    let under_way = until(&socket, |progress| progress.sent > 0).await;
    assert!(under_way.sent < under_way.total);
    far.pull();
    let failed = until(&socket, |progress| progress.failures > 0).await;
    let trouble = failed.trouble.unwrap();
    assert!(
        trouble.contains("does not answer in time") || trouble.contains("look at the network"),
        "{trouble}"
    );
    far.plug();
    let ended = until(&socket, |progress| progress.stage == Stage::Ended).await;
    assert_eq!(ended.sent, ended.total);
    let list = listed(&server).await;
    assert_eq!(list["dossiers"].as_array().unwrap().len(), 1);
    assert_eq!(list["dossiers"][0]["state"], "refused");
    assert!(list["alarms"].as_array().unwrap().is_empty());
    end(program);
    server.stop().await;
}
