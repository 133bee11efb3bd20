//! How long the courier waits, for whom, and what it spends on it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use std::time::Duration;

use common::*;
use recueil_cert::proxy::{End, Manner, Proxy, Way};
use recueil_cert::{Limits, Server};
use recueil_courier::Config;
use recueil_dossier::ReceiptKind;
use recueil_wire::courier::{Call, FailureCode, Stage};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// What is short here is a minute or two in life.
const SHORT: Limits = Limits {
    handshake: Duration::from_secs(1),
    request: Duration::from_secs(5),
    body: Duration::from_secs(1),
};

fn hasty(place: &Place, port: u16) -> Config {
    Config {
        connect_s: 1,
        answer_s: 1,
        part_s: 1,
        idle_s: 1,
        ..place.config(Some(port))
    }
}

#[tokio::test]
async fn a_line_that_goes_dead_in_an_upload_is_noticed_and_the_upload_goes_on() {
    let place = Place::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let server = Server::listen_with(&place.cert_dir, any, SHORT).await.unwrap();
    let line = Proxy::start(server.addr()).await.unwrap();
    line.cut(Way::Up, 150_000, End::Silent);
    place.put(id(1), &junk(400_000));
    let mut courier = place.courier_with(hasty(&place, line.addr().port())).await;
    courier.until_failed(id(1)).await;
    let (reachable, trouble, parcels) = courier.line().await;
    assert_eq!(reachable, Some(false));
    assert!(trouble.unwrap().contains("does not answer in time"));
    assert!(parcels[0].sent > 0 && parcels[0].trouble.is_some(), "{parcels:?}");
    courier.carry(id(1)).await;
    let list = listed(&server).await;
    assert_eq!(list["dossiers"][0]["state"], "refused");
    assert_eq!(list["alarms"].as_array().unwrap().len(), 0);
    courier.stop().await;
}

#[tokio::test]
async fn whoever_takes_the_call_and_says_nothing_is_left() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let line = Proxy::start(server.addr()).await.unwrap();
    place.put(id(1), &junk(1000));
    let mut courier = place.courier_with(hasty(&place, line.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Refused).await;
    let byte_by_byte = Manner::Trickle(Duration::from_millis(20));
    for (number, manner) in [(2, Manner::Hold), (3, byte_by_byte)] {
        line.treat(manner);
        line.drop_all();
        place.put(id(number), &junk(1000));
        courier.until_failed(id(number)).await;
        let trouble = courier.line().await.1.unwrap();
        assert!(trouble.contains("not in TLS"), "{trouble}");
        line.treat(Manner::Carry);
        courier.until_receipt(id(number), ReceiptKind::Refused).await;
    }
    courier.stop().await;
}

#[tokio::test]
async fn a_new_parcel_goes_at_once_though_another_fails_for_long() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let config = Config {
        retry_base_s: 600,
        retry_max_s: 600,
        ..place.config(Some(server.addr().port()))
    };
    let first = id(1);
    let mut courier = place.courier_with(config).await;
    for (number, status) in [(2, 500), (3, 507), (4, 503), (5, 403), (6, 413)] {
        let wrong = format!(
            r#"{{"do":"answer-wrong","to":"announce","dossier":"{first}","how":{{"status":{{"status":{status}}}}}}}"#
        );
        order(&server, &wrong).await;
        place.put(first, &junk(1000));
        courier.call(Call::Look).await.0.unwrap();
        courier.until_failed(first).await;
        // As `recueild` says it for a dossier that was just sealed.
        place.put(id(number), &junk(1000));
        courier.call(Call::Look).await.0.unwrap();
        courier.until_receipt(id(number), ReceiptKind::Stored).await;
        std::fs::remove_file(place.parcel_path(first)).unwrap();
        courier.call(Call::Look).await.0.unwrap();
        courier.news.clear();
        order(&server, r#"{"do":"lift"}"#).await;
    }
    courier.stop().await;
}

#[tokio::test]
async fn answers_without_end_take_neither_memory_nor_time() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let mut courier = place.courier_with(hasty(&place, server.addr().port())).await;
    let ask = Call::PreDemande {
        number: "VALID12345".parse().unwrap(),
    };
    courier.call(ask.clone()).await.0.unwrap();
    let resident_kib = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let before = resident_kib();
    for (how, tries, code) in [
        ("endless-body", 50, FailureCode::Protocol),
        ("many-headers", 50, FailureCode::Protocol),
        ("slow-body", 1, FailureCode::Unreachable),
    ] {
        order(
            &server,
            &format!(r#"{{"do":"answer-wrong","to":"pre-demande","how":"{how}"}}"#),
        )
        .await;
        for _ in 0..tries {
            assert_eq!(courier.call(ask.clone()).await.0.unwrap_err().code, code, "{how}");
        }
        order(&server, r#"{"do":"lift"}"#).await;
    }
    let grown = resident_kib().saturating_sub(before);
    // CERT's side of it is in this process too.
    assert!(grown < 32 << 10, "{grown} KiB more");
    courier.call(ask).await.0.unwrap();
    courier.stop().await;
}

#[tokio::test]
async fn a_receipt_that_is_refused_is_fetched_again_and_another_left() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(
        &server,
        r#"{"do":"answer-wrong","to":"receipt","count":1,"how":{"receipt":"forged"}}"#,
    )
    .await;
    let (id, bytes) = place.sealed(1);
    place.put(id, &bytes);
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id, ReceiptKind::Ingested).await;
    let wrong = place.receipt(id, "r2").unwrap();
    courier.news.clear();
    let refuse = |sha256: String| Call::ReceiptRefused {
        dossier: id,
        kind: ReceiptKind::Ingested,
        sha256,
        why: "the signature does not verify".to_owned(),
    };
    courier
        .call(refuse(recueil_dossier::sha256_hex(b"another")))
        .await
        .0
        .unwrap();
    assert_eq!(place.receipt(id, "r2").unwrap(), wrong, "another one stays");
    let digest = recueil_dossier::sha256_hex(&wrong);
    courier.call(refuse(digest.clone())).await.0.unwrap();
    let (_, trouble, parcels) = courier.line().await;
    assert!(trouble.unwrap().contains("the signature does not verify"));
    assert_eq!((parcels[0].stage, parcels[0].failures), (Stage::Stored, 1));
    courier.until_receipt(id, ReceiptKind::Ingested).await;
    let right = place.receipt(id, "r2").unwrap();
    assert_ne!(right, wrong);
    courier.call(refuse(digest)).await.0.unwrap();
    assert_eq!(
        place.receipt(id, "r2").unwrap(),
        right,
        "a refusal that comes late does no harm"
    );
    assert!(courier.line().await.2[0].trouble.is_none());
    courier.stop().await;
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_asked_is_closed_and_the_next_question_connects_anew() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let line = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, cert) = (line.local_addr().unwrap().port(), server.addr());
    let (begun, mut connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = line.accept().await {
            let one = tokio::spawn(async move {
                let mut far = TcpStream::connect(cert).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            });
            begun.send(one).unwrap();
        }
    });
    let mut courier = place.courier_with(hasty(&place, port)).await;
    for number in [1, 2] {
        place.put(id(number), &junk(1000));
        courier.call(Call::Look).await.0.unwrap();
        courier.until_receipt(id(number), ReceiptKind::Refused).await;
        let mut closed = 0;
        while let Ok(one) = connections.try_recv() {
            one.await.unwrap();
            closed += 1;
        }
        assert!(closed > 0, "parcel {number} went over a connection of its own");
    }
    courier.stop().await;
}
