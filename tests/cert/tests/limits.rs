//! How many stations CERT serves at once, and how long it lets one keep it waiting.

mod support;

use std::time::{Duration, Instant};

use recueil_cert::{Limits, Server, init};
use support::{Cert, STATION, Station, dossier_id};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a loaded machine needs at most.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn the_sixty_fifth_station_waits_until_one_goes() {
    let cert = Cert::start().await.unwrap();
    let mut others = Vec::new();
    for _ in 0..64 {
        // They never say a word; CERT waits ten seconds for their handshakes.
        others.push(TcpStream::connect(cert.server.addr()).await.unwrap());
    }
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let mut asked = tokio::spawn(async move { station.put(&id, b"parcel").await });
    // Whoever is served is answered sooner; the others have ten seconds.
    let early = timeout(Duration::from_secs(1), &mut asked).await;
    assert!(early.is_err(), "the place of another was given away");
    others.pop();
    let answer = timeout(PATIENCE, asked).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.status, 201);
    drop(others);
    cert.server.stop().await;
}

#[tokio::test]
async fn who_keeps_cert_waiting_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    init(dir.path(), STATION, 2).unwrap();
    let short = Limits {
        handshake: Duration::from_millis(300),
        request: Duration::from_millis(300),
        body: Duration::from_millis(300),
    };
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::listen_with(dir.path(), any, short).await.unwrap();
    let begun = Instant::now();
    let mut silent = TcpStream::connect(server.addr()).await.unwrap();
    let mut nothing = [0; 1];
    let read = timeout(PATIENCE, silent.read(&mut nothing)).await.unwrap();
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "a handshake is not waited for any longer"
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));

    let path = |name: &str| dir.path().join(name);
    let station = Station::new(&path("station"), &path("station/trust"), server.addr()).unwrap();
    let id = dossier_id(1);
    assert_eq!(station.put(&id, b"parcel").await.unwrap().status, 201);
    let mut idle = station.connect().await.unwrap();
    let read = timeout(PATIENCE, idle.read(&mut nothing)).await.unwrap();
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "a request is not waited for any longer"
    );

    let upload = station.upload(&id, b"parcel").await.unwrap();
    let mut stuck = station.connect().await.unwrap();
    let head = format!(
        "PATCH {upload} HTTP/1.1\r\nhost: localhost\r\ntus-resumable: 1.0.0\r\nupload-offset: 0\r\n\
         content-type: application/offset+octet-stream\r\ncontent-length: 6\r\n\r\npar"
    );
    tokio::io::AsyncWriteExt::write_all(&mut stuck, head.as_bytes())
        .await
        .unwrap();
    let read = timeout(PATIENCE, stuck.read(&mut nothing)).await.unwrap();
    assert!(
        matches!(read, Ok(0) | Err(_)),
        "a body is not waited for any longer"
    );
    assert_eq!(
        station.head(&upload).await.unwrap().offset(),
        Some(3),
        "what came is kept"
    );
    assert_eq!(
        station.patch(&upload, 3, b"cel").await.unwrap().status,
        204,
        "and the upload is free"
    );
    server.stop().await;
}
