//! CERT killed without warning takes up again what it promised, and what had arrived.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use recueil_cert::{Server, init};
use serde_json::{Value, json};
use support::parcel::Draft;
use support::{STATION, Station, dossier_id, read_receipt, sha256};

/// The program, killed when it is dropped.
struct Process {
    child: Child,
    station: Station,
}

impl Process {
    fn start(dir: &Path) -> Result<Self> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_recueil-cert"))
            .arg("serve")
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no output")?).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line)?;
        let addr = ready["listening"].as_str().context("no address")?.parse()?;
        let station = Station::new(&dir.join("station"), &dir.join("station/trust"), addr)?;
        Ok(Self { child, station })
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _killed = self.child.kill();
        let _waited = self.child.wait();
    }
}

fn order(dir: &Path, order: &Value) -> Result<()> {
    let mut socket = UnixStream::connect(dir.join("control.sock"))?;
    writeln!(socket, "{order}")?;
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer)?;
    ensure!(serde_json::from_str::<Value>(&answer)?["ok"] == true, "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_killed_cert_keeps_offsets_and_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, trust) = (dir.path(), dir.path().join("station/trust"));
    init(dir, STATION, 2).unwrap();
    let id = dossier_id(1);
    let parcel = Draft::new(&id, &dir.join("station")).unwrap().seal().unwrap();

    let cert = Process::start(dir).unwrap();
    let upload = cert.station.upload(&id, &parcel).await.unwrap();
    cert.station.patch(&upload, 0, &parcel[..1234]).await.unwrap();
    cert.kill().unwrap();

    let cert = Process::start(dir).unwrap();
    assert_eq!(cert.station.head(&upload).await.unwrap().offset(), Some(1234));
    cert.station.patch(&upload, 1234, &parcel[1234..]).await.unwrap();
    order(dir, &json!({"do": "ingest", "mode": "hold"})).unwrap();
    let r1 = cert.station.commit(&id, &parcel).await.unwrap().body;
    cert.kill().unwrap();

    let cert = Process::start(dir).unwrap();
    assert_eq!(
        cert.station.commit(&id, &parcel).await.unwrap().body,
        r1,
        "the same R1"
    );
    let r2 = cert.station.receipt(&id, 30).await.unwrap().body;
    let said = read_receipt(&r2, &trust).unwrap();
    assert_eq!((&said["type"], &said["serial"]), (&json!("R2"), &json!(2)));
    assert_eq!(said["previous_sha256"], sha256(&r1));
    cert.kill().unwrap();

    let cert = Process::start(dir).unwrap();
    assert_eq!(
        cert.station.receipt(&id, 0).await.unwrap().body,
        r2,
        "the same R2"
    );
    let next = Draft::new(&dossier_id(2), &dir.join("station"))
        .unwrap()
        .seal()
        .unwrap();
    let sent = cert.station.send(&dossier_id(2), &next).await.unwrap();
    let said = read_receipt(&sent.r1, &trust).unwrap();
    assert_eq!(
        (&said["serial"], &said["previous_sha256"]),
        (&json!(3), &json!(sha256(&r2)))
    );
    cert.kill().unwrap();
}

/// Each folder is what a crash between two writes leaves; the story ends the same from every one.
#[tokio::test]
async fn a_crash_between_two_writes_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, trust) = (dir.path(), dir.path().join("station/trust"));
    init(dir, STATION, 2).unwrap();
    let id = dossier_id(1);
    let parcel = Draft::new(&id, &dir.join("station")).unwrap().seal().unwrap();
    let server = Server::start(dir).await.unwrap();
    let station = Station::new(&dir.join("station"), &trust, server.addr()).unwrap();
    let sent = station.send(&id, &parcel).await.unwrap();
    let first = read_receipt(&sent.end, &trust).unwrap();
    server.stop().await;

    // R2 was not yet written; everything that it stands for was. And a file was half written.
    let receipts = dir.join("store/receipts");
    std::fs::remove_file(receipts.join(format!("0000000002-{id}.r2.p7s"))).unwrap();
    std::fs::write(receipts.join(format!("0000000002-{id}.r2.p7s.tmp")), b"half").unwrap();
    let server = Server::start(dir).await.unwrap();
    let station = Station::new(&dir.join("station"), &trust, server.addr()).unwrap();
    let again = read_receipt(&station.receipt(&id, 30).await.unwrap().body, &trust).unwrap();
    assert_eq!(again["demande"], first["demande"], "the number stays");
    assert_eq!(
        (&again["serial"], &again["previous_sha256"]),
        (&first["serial"], &first["previous_sha256"])
    );
    server.stop().await;

    // R1 was not yet written; the parcel had its name.
    for entry in std::fs::read_dir(&receipts).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let server = Server::start(dir).await.unwrap();
    let station = Station::new(&dir.join("station"), &trust, server.addr()).unwrap();
    let put = station.put(&id, &parcel).await.unwrap().json().unwrap();
    assert_eq!(
        (&put["state"], &put["offset"]),
        (&json!("receiving"), &json!(parcel.len()))
    );
    let r1 = station.commit(&id, &parcel).await.unwrap();
    assert_eq!(read_receipt(&r1.body, &trust).unwrap()["serial"], 1);
    assert_eq!(station.receipt(&id, 30).await.unwrap().status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), STATION, 2).unwrap();
    let server = Server::start(dir.path()).await.unwrap();
    let second = Server::start(dir.path()).await.unwrap_err();
    assert!(matches!(second, recueil_cert::Error::Served(_)), "{second}");
    server.stop().await;
    Server::start(dir.path()).await.unwrap().stop().await;

    assert!(
        matches!(init(dir.path(), STATION, 2), Err(recueil_cert::Error::Exists(_))),
        "keys are not overwritten"
    );
}
