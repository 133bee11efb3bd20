//! The courier against the CERT simulator, which shares no code with it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may end where it stands"
)]

mod common;

use common::*;
use recueil_cert::Server;
use recueil_dossier::ReceiptKind;
use recueil_wire::courier::{Answer, Call, FailureCode, FromCourier, Stage};
use recueil_wire::read_memory;

#[tokio::test]
async fn a_parcel_goes_and_its_receipts_come() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let mut courier = place.courier(Some(server.addr().port())).await;
    let (id, bytes) = place.sealed(1);
    place.put(id, &bytes);
    courier.until_receipt(id, ReceiptKind::Stored).await;
    courier.until_receipt(id, ReceiptKind::Ingested).await;
    assert_eq!(place.receipt(id, "r1").unwrap()[0], 0x30);
    assert_ne!(place.receipt(id, "r1"), place.receipt(id, "r2"));
    assert!(place.parcel_path(id).exists(), "only recueild deletes");
    let (reachable, trouble, parcels) = courier.line().await;
    assert_eq!((reachable, trouble), (Some(true), None));
    assert_eq!(
        (parcels[0].stage, parcels[0].sent),
        (Stage::Ended, u64::try_from(bytes.len()).unwrap())
    );

    std::fs::remove_file(place.parcel_path(id)).unwrap();
    courier.call(Call::Look).await.0.unwrap();
    assert!(courier.line().await.2.is_empty());
    let left = std::fs::read_dir(place.state_dir.join("receipts"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "what recueild has taken is removed");
    courier.stop().await;
    server.stop().await;
}

#[tokio::test]
async fn a_refused_parcel_brings_a_refusal() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Refused).await;
    assert!(place.receipt(id(1), "reject").is_some() && place.receipt(id(1), "r2").is_none());
    courier.stop().await;
}

#[tokio::test]
async fn a_cut_upload_goes_on_where_it_was_cut() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let bytes = junk(400_000);
    order(&server, r#"{"do":"fault","kind":"cut-after","bytes":150001}"#).await;
    place.put(id(1), &bytes);
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Stored).await;
    let sent: Vec<u64> = courier
        .news
        .iter()
        .filter_map(|news| match news {
            FromCourier::Progress(progress) if progress.dossier == id(1) => Some(progress.sent),
            _ => None,
        })
        .collect();
    assert!(sent.is_sorted(), "nothing is sent twice: {sent:?}");
    assert!(
        sent.iter()
            .any(|sent| sent % 65_536 == 150_001 % 65_536 && *sent > 150_001),
        "it goes on from the byte that CERT had: {sent:?}"
    );
    assert_eq!(listed(&server).await["dossiers"][0]["size"], 400_000);
    courier.stop().await;
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_makes_no_second_dossier() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(&server, r#"{"do":"fault","kind":"lose-commit-answer"}"#).await;
    let (id, bytes) = place.sealed(1);
    place.put(id, &bytes);
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id, ReceiptKind::Ingested).await;
    assert!(
        courier
            .news
            .iter()
            .any(|news| matches!(news, FromCourier::Progress(p) if p.failures > 0))
    );
    assert!(place.receipt(id, "r1").is_some());
    let list = listed(&server).await;
    assert_eq!(list["dossiers"].as_array().unwrap().len(), 1);
    assert_eq!(list["dossiers"][0]["state"], "ingested");
    assert!(list["alarms"].as_array().unwrap().is_empty(), "{list}");
    courier.stop().await;
}

#[tokio::test]
async fn a_parcel_waits_for_an_absent_cert_and_for_a_busy_one() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let addr = server.addr();
    server.stop().await;
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(addr.port())).await;
    courier.until_failed(id(1)).await;
    let (reachable, trouble, _) = courier.line().await;
    assert_eq!(reachable, Some(false));
    assert!(trouble.unwrap().contains("look at the network"));
    let server = Server::listen(&place.cert_dir, addr).await.unwrap();
    order(&server, r#"{"do":"fault","kind":"status-503","count":2}"#).await;
    courier.until_receipt(id(1), ReceiptKind::Refused).await;
    assert_eq!(courier.line().await.0, Some(true));
    courier.stop().await;
}

#[tokio::test]
async fn a_courier_that_was_stopped_goes_on_with_what_it_has() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(&server, r#"{"do":"ingest","mode":"hold"}"#).await;
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Stored).await;
    courier.stop().await;
    let first = place.receipt(id(1), "r1");
    order(&server, r#"{"do":"ingest","mode":"go"}"#).await;
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Refused).await;
    assert!(
        !courier.news.iter().any(|news| matches!(
            news,
            FromCourier::Receipt {
                kind: ReceiptKind::Stored,
                ..
            }
        )),
        "R1 is not asked for again"
    );
    assert_eq!(place.receipt(id(1), "r1"), first);
    courier.stop().await;
}

#[tokio::test]
async fn a_receipt_that_does_not_come_holds_up_nobody() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(&server, r#"{"do":"ingest","mode":"hold"}"#).await;
    let mut courier = place.courier(Some(server.addr().port())).await;
    for number in 1..=3 {
        place.put(id(number), &junk(1000 + usize::from(number)));
    }
    for number in 1..=3 {
        courier.until_receipt(id(number), ReceiptKind::Stored).await;
    }
    let (answer, _) = courier
        .call(Call::Statuses {
            demandes: vec!["2026000001".parse().unwrap()],
        })
        .await;
    assert_eq!(answer.unwrap(), Answer::Statuses { statuses: Vec::new() });
    order(&server, r#"{"do":"ingest","mode":"go"}"#).await;
    for number in 1..=3 {
        courier.until_receipt(id(number), ReceiptKind::Refused).await;
    }
    courier.stop().await;
}

#[tokio::test]
async fn an_upload_that_expired_is_announced_again() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(&server, r#"{"do":"fault","kind":"cut-after","bytes":100000}"#).await;
    let config = recueil_courier::Config {
        retry_base_s: 600,
        retry_max_s: 600,
        ..place.config(Some(server.addr().port()))
    };
    place.put(id(1), &junk(400_000));
    let mut courier = place.courier_with(config).await;
    courier.until_failed(id(1)).await;
    order(&server, r#"{"do":"expire-uploads"}"#).await;
    courier.call(Call::Look).await.0.unwrap();
    courier.until_receipt(id(1), ReceiptKind::Stored).await;
    courier.stop().await;
}

#[tokio::test]
async fn other_bytes_under_the_same_id_stop_with_an_alarm() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    order(&server, r#"{"do":"ingest","mode":"hold"}"#).await;
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_receipt(id(1), ReceiptKind::Stored).await;
    courier.stop().await;
    std::fs::remove_file(place.state_dir.join(format!("receipts/{}.r1.p7s", id(1)))).unwrap();
    place.put(id(1), &junk(999));
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_failed(id(1)).await;
    let (_, trouble, parcels) = courier.line().await;
    assert!(trouble.unwrap().contains("other bytes"));
    assert_eq!((parcels[0].stage, parcels[0].failures), (Stage::Waiting, 1));
    assert_eq!(
        listed(&server).await["dossiers"][0]["size"],
        1000,
        "the first stays"
    );
    courier.stop().await;
}

#[tokio::test]
async fn a_server_of_another_root_gets_nothing() {
    let (place, other) = (Place::new(), Place::new());
    let server = Server::start(&other.cert_dir).await.unwrap();
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(server.addr().port())).await;
    courier.until_failed(id(1)).await;
    let trouble = courier.line().await.1.unwrap();
    assert!(trouble.contains("does not come from CERT's root"), "{trouble}");
    assert_eq!(listed(&server).await["dossiers"].as_array().unwrap().len(), 0);
    courier.stop().await;
}

#[tokio::test]
async fn a_station_that_cert_does_not_know_is_told() {
    let (place, other) = (Place::new(), Place::new());
    let server = Server::start(&place.cert_dir).await.unwrap();
    let mut config = place.config(Some(server.addr().port()));
    config.tls_key = Some(other.station("tls.key"));
    config.tls_certificate = Some(other.station("tls.crt"));
    place.put(id(1), &junk(1000));
    let mut courier = place.courier_with(config).await;
    courier.until_failed(id(1)).await;
    let trouble = courier.line().await.1.unwrap();
    assert!(
        trouble.contains("CERT refuses this station's TLS certificate"),
        "{trouble}"
    );
    courier.stop().await;
}

#[tokio::test]
async fn a_sign_in_page_in_place_of_cert_is_named() {
    let place = Place::new();
    let portal = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = portal.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        loop {
            let (mut stream, _) = portal.accept().await.unwrap();
            let page = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut stream, page)
                .await
                .unwrap();
        }
    });
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(Some(port)).await;
    courier.until_failed(id(1)).await;
    let trouble = courier.line().await.1.unwrap();
    assert!(trouble.contains("captive portal"), "{trouble}");
    courier.stop().await;
    answering.abort();
}

#[tokio::test]
async fn a_pre_demande_comes_as_memory_and_an_unknown_one_by_name() {
    let place = Place::new();
    let server = Server::start(&place.cert_dir).await.unwrap();
    let mut courier = place.courier(Some(server.addr().port())).await;
    let ask = |number: &str| Call::PreDemande {
        number: number.parse().unwrap(),
    };
    let (answer, fds) = courier.call(ask("VALID12345")).await;
    let Answer::PreDemande { len } = answer.unwrap() else {
        panic!("another answer")
    };
    let envelope = read_memory(&fds[0], len, 256 << 10).unwrap();
    assert_eq!(envelope[0], 0x30);
    assert!(
        rustix::io::pwrite(&fds[0], b"x", 0).is_err(),
        "it cannot be changed"
    );
    let (answer, _) = courier.call(ask("VALID99999")).await;
    assert_eq!(answer.unwrap_err().code, FailureCode::NotFound);
    order(&server, r#"{"do":"stop-answering","on":true}"#).await;
    let (answer, _) = courier.call(ask("VALID12345")).await;
    assert_eq!(answer.unwrap_err().code, FailureCode::Unreachable);
    courier.stop().await;
}

#[tokio::test]
async fn without_a_cert_parcels_wait_and_questions_are_answered() {
    let place = Place::new();
    place.put(id(1), &junk(1000));
    let mut courier = place.courier(None).await;
    let (answer, _) = courier
        .call(Call::PreDemande {
            number: "VALID12345".parse().unwrap(),
        })
        .await;
    assert_eq!(answer.unwrap_err().code, FailureCode::NotConfigured);
    let (reachable, trouble, parcels) = courier.line().await;
    assert_eq!((reachable, parcels[0].stage), (None, Stage::Waiting));
    assert!(trouble.unwrap().contains("[courier] url"));
    courier.stop().await;
}
