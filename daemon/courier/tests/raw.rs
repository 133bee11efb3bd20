//! Somebody has CERT's own TLS key and answers what no server should. Whatever it is, it is named, no receipt comes of
//! it, and the parcel goes to the true CERT afterwards.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use common::*;
use recueil_cert::Server;
use recueil_cert::proxy::Proxy;
use recueil_courier::Config;
use recueil_dossier::ReceiptKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the false CERT answers: to an announcement, to a part, to anything else.
struct Answers {
    announce: Vec<u8>,
    patch: Vec<u8>,
    other: Vec<u8>,
}

/// A false CERT on a port of its own, as long as the runtime runs.
async fn false_cert(place: &Place, answers: Answers) -> SocketAddr {
    let path = |name: &str| place.cert_dir.join("cert").join(name);
    let certificate = CertificateDer::from_pem_file(path("tls.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(path("tls.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let (tls, answers) = (TlsAcceptor::from(Arc::new(tls)), Arc::new(answers));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _from)) = listener.accept().await {
            tokio::spawn(converse(stream, tls.clone(), answers.clone()));
        }
    });
    addr
}

/// Whoever goes away is let go.
async fn converse(stream: TcpStream, tls: TlsAcceptor, answers: Arc<Answers>) -> std::io::Result<()> {
    let mut stream = tls.accept(stream).await?;
    let mut heard = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = heard.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&heard[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).map_or(0, |rest| {
            rest.split("\r\n").next().unwrap().parse::<usize>().unwrap()
        });
        while heard.len() < end + length {
            if stream.read_buf(&mut heard).await? == 0 {
                return Ok(());
            }
        }
        heard.drain(..end + length);
        let answer = match head.split(' ').next() {
            Some("put") => &answers.announce,
            Some("patch") => &answers.patch,
            _ => &answers.other,
        };
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    [
        format!("HTTP/1.1 {head}\r\nTus-Resumable: 1.0.0\r\n\r\n").as_bytes(),
        body,
    ]
    .concat()
}

fn json(body: &str) -> Vec<u8> {
    let head = format!(
        "201 Created\r\nContent-Type: application/json\r\nContent-Length: {}",
        body.len()
    );
    http(&head, body.as_bytes())
}

/// Answers each announcement so, and nothing else.
fn announcing(announce: Vec<u8>) -> Answers {
    Answers {
        announce,
        patch: Vec::new(),
        other: Vec::new(),
    }
}

/// What is said of it, in part.
async fn is_survived(answers: Answers, told: &str) {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let line = Proxy::start(false_cert(&place, answers).await).await.unwrap();
    place.put(id(1), &junk(1000));
    let config = Config {
        connect_s: 5,
        answer_s: 2,
        part_s: 2,
        ..place.config(Some(line.addr().port()))
    };
    let mut courier = place.courier_with(config).await;
    courier.until_failed(id(1)).await;
    let trouble = courier.line().await.1.unwrap();
    assert!(trouble.contains(told), "{trouble}, not {told}");
    for kind in ["r1", "r2", "reject"] {
        assert!(place.receipt(id(1), kind).is_none(), "{told}: {kind}");
    }
    line.lead_to(server.addr());
    line.drop_all();
    courier.until_receipt(id(1), ReceiptKind::Refused).await;
    let list = listed(&server).await;
    assert_eq!(list["dossiers"].as_array().unwrap().len(), 1);
    assert!(list["alarms"].as_array().unwrap().is_empty(), "{list}");
    courier.stop().await;
    server.stop().await;
}

const NO_HTTP: &str = "no HTTP, or has too many headers";

#[tokio::test]
async fn an_answer_hidden_behind_another_answers_nothing() {
    let upload = r#"{"state":"receiving","upload":"/v1/uploads/1","offset":0}"#;
    // The receipt would be the answer to the commit, which comes next on this connection.
    let receipt = http(
        "200 OK\r\nContent-Type: application/pkcs7-mime\r\nContent-Length: 5",
        &[0x30, 3, 2, 1, 1],
    );
    let answers = Answers {
        announce: json(upload),
        patch: http("204 No Content\r\nUpload-Offset: 1000", &receipt),
        other: http("500 Trouble\r\nContent-Length: 0", &[]),
    };
    is_survived(answers, "CERT").await;
}

#[tokio::test]
async fn what_is_no_http_is_named() {
    for (what, told) in [
        (b"\x00\x01\x02\x03\xff\xfe\r\n\r\n".to_vec(), NO_HTTP),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), NO_HTTP),
        (b"HTTP/2.0 200 OK\r\n\r\n".to_vec(), NO_HTTP),
        (http("200 OK\r\nContent-Length: -1", b"{}"), NO_HTTP),
        (
            http("200 OK\r\nContent-Length: 2\r\nContent-Length: 3", b"{}"),
            NO_HTTP,
        ),
        (
            http("200 OK\r\nContent-Length: 99999999999999999999", b"{}"),
            NO_HTTP,
        ),
    ] {
        is_survived(announcing(what), told).await;
    }
}

#[tokio::test]
async fn a_head_without_end_is_left_when_it_is_too_long() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'a'; 1 << 20]].concat();
    is_survived(announcing(endless), NO_HTTP).await;
}

#[tokio::test]
async fn a_promise_of_an_answer_is_waited_for_and_no_longer() {
    let promises = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    is_survived(announcing(promises), "does not answer in time").await;
}

#[tokio::test]
async fn a_body_that_lies_about_its_length_is_no_answer() {
    let json = "Content-Type: application/json";
    // Announced and not sent: the connection stands, and nothing comes.
    let short = http(&format!("200 OK\r\n{json}\r\nContent-Length: 60000"), b"{}");
    is_survived(announcing(short), "does not answer in time").await;
    let long = http(&format!("200 OK\r\n{json}\r\nContent-Length: 1073741824"), b"{}");
    is_survived(announcing(long), "does not answer in time").await;
    let chunks = http(
        &format!("200 OK\r\n{json}\r\nTransfer-Encoding: chunked"),
        b"fffffffffffffffff\r\n{}",
    );
    is_survived(announcing(chunks), "CERT").await;
}
