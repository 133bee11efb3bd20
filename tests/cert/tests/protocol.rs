//! What CERT answers to a station, request by request.

mod support;

use recueil_cert::add_station;
use serde_json::json;
use support::parcel::Draft;
use support::{Cert, STATION, Station, dossier_id, openssl, read_receipt, sha256};

#[tokio::test]
async fn a_parcel_made_with_openssl_goes_from_put_to_r2() {
    let cert = Cert::start().await.unwrap();
    let (station, trust) = (cert.station().unwrap(), cert.path("station/trust"));
    let id = dossier_id(1);
    let draft = Draft::new(&id, &cert.path("station")).unwrap();
    let parcel = draft.seal().unwrap();

    let put = station.put(&id, &parcel).await.unwrap();
    assert_eq!(put.status, 201);
    assert_eq!(put.headers["tus-resumable"], "1.0.0");
    let answer = put.json().unwrap();
    assert_eq!(
        (&answer["state"], &answer["offset"]),
        (&json!("receiving"), &json!(0))
    );
    let upload = answer["upload"].as_str().unwrap().to_owned();
    assert!(
        !upload.contains(&id),
        "the upload's address is not the dossier id"
    );
    let again = station.put(&id, &parcel).await.unwrap();
    assert_eq!((again.status.as_u16(), again.json().unwrap()), (200, answer));

    let (first, second) = parcel.split_at(1000);
    assert_eq!(
        station.patch(&upload, 0, first).await.unwrap().offset(),
        Some(1000)
    );
    assert_eq!(station.patch(&upload, 1000, second).await.unwrap().status, 204);

    let r1 = station.commit(&id, &parcel).await.unwrap();
    assert_eq!(r1.headers["content-type"], "application/pkcs7-mime");
    let said = read_receipt(&r1.body, &trust).unwrap();
    assert_eq!(said["type"], "R1");
    assert_eq!(said["dossier"], id);
    assert_eq!(said["station"], STATION);
    assert_eq!(said["parcel_sha256"], sha256(&parcel));
    assert_eq!(said["size"], parcel.len());
    assert_eq!(said.get("previous_sha256"), None);
    assert_eq!(
        station.commit(&id, &parcel).await.unwrap().body,
        r1.body,
        "the same R1 again"
    );

    let r2 = station.receipt(&id, 30).await.unwrap();
    let said = read_receipt(&r2.body, &trust).unwrap();
    assert_eq!(said["type"], "R2", "{said}");
    assert_eq!(
        said["manifest_sha256"],
        sha256(draft.dossier.to_string().as_bytes())
    );
    assert_eq!(said["previous_sha256"], sha256(&r1.body));
    assert_eq!(said["serial"], 2);
    let demande = said["demande"].as_str().unwrap();
    assert!(
        demande.len() == 10
            && demande
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    );

    let put = station.put(&id, &parcel).await.unwrap();
    let ended = json!({"state": "ingested", "upload": null, "offset": parcel.len()});
    assert_eq!((put.status.as_u16(), put.json().unwrap()), (200, ended));
    assert_eq!(
        std::fs::read(cert.path(&format!("store/parcels/{id}.p7m"))).unwrap(),
        parcel
    );
    cert.server.stop().await;
}

#[tokio::test]
async fn other_bytes_for_a_known_dossier_are_a_conflict_and_an_alarm() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let upload = station.upload(&id, b"these bytes").await.unwrap();
    station.patch(&upload, 0, b"these bytes").await.unwrap();

    let conflict = (409, "conflict".to_owned());
    assert_eq!(
        station.put(&id, b"other bytes").await.unwrap().error().unwrap(),
        conflict
    );
    assert_eq!(
        station
            .commit(&id, b"other bytes")
            .await
            .unwrap()
            .error()
            .unwrap(),
        conflict
    );
    let alarms = cert.order(json!({"do": "list"})).await.unwrap();
    assert_eq!(alarms["alarms"].as_array().unwrap().len(), 2);
    assert_eq!(
        station.commit(&id, b"these bytes").await.unwrap().status,
        200,
        "nothing was overwritten"
    );
    cert.server.stop().await;
}

#[tokio::test]
async fn an_upload_keeps_its_offset_and_its_length() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let upload = station.upload(&id, b"0123456789").await.unwrap();
    station.patch(&upload, 0, b"0123").await.unwrap();

    let head = station.head(&upload).await.unwrap();
    assert_eq!(
        (head.offset(), &head.headers["upload-length"]),
        (Some(4), &"10".parse().unwrap())
    );
    for wrong in [0, 3, 5, 10, 11] {
        let answer = station.patch(&upload, wrong, b"x").await.unwrap();
        assert_eq!(answer.error().unwrap(), (409, "offset".into()), "{wrong}");
    }
    let answer = station.patch(&upload, 4, b"4567890").await.unwrap();
    assert_eq!(answer.error().unwrap(), (413, "too-large".into()));
    assert_eq!(station.head(&upload).await.unwrap().offset(), Some(4));
    let answer = station.commit(&id, b"0123456789").await.unwrap();
    assert_eq!(answer.error().unwrap(), (409, "incomplete".into()));

    station.patch(&upload, 4, b"45678!").await.unwrap();
    let answer = station.commit(&id, b"0123456789").await.unwrap();
    assert_eq!(answer.error().unwrap(), (422, "digest".into()));
    assert_eq!(
        station.head(&upload).await.unwrap().offset(),
        Some(0),
        "it starts again"
    );
    station.patch(&upload, 0, b"0123456789").await.unwrap();
    assert_eq!(station.commit(&id, b"0123456789").await.unwrap().status, 200);
    cert.server.stop().await;
}

#[tokio::test]
async fn a_patch_that_is_cut_keeps_what_arrived() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let bytes: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let id = dossier_id(1);
    let upload = station.upload(&id, &bytes).await.unwrap();

    cert.order(json!({"do": "fault", "kind": "cut-after", "bytes": 123_456}))
        .await
        .unwrap();
    assert!(station.patch(&upload, 0, &bytes).await.is_err(), "no answer");
    assert_eq!(station.head(&upload).await.unwrap().offset(), Some(123_456));
    let rest = station.patch(&upload, 123_456, &bytes[123_456..]).await.unwrap();
    assert_eq!(rest.offset(), Some(800_000));
    assert_eq!(station.commit(&id, &bytes).await.unwrap().status, 200);
    cert.server.stop().await;
}

#[tokio::test]
async fn an_expired_upload_has_another_address_and_starts_again() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let upload = station.upload(&id, b"bytes").await.unwrap();
    station.patch(&upload, 0, b"byt").await.unwrap();

    cert.order(json!({"do": "expire-uploads"})).await.unwrap();
    assert_eq!(station.head(&upload).await.unwrap().status, 404);
    let put = station.put(&id, b"bytes").await.unwrap().json().unwrap();
    assert_eq!(put["offset"], 0);
    assert_ne!(put["upload"], upload);
    cert.server.stop().await;
}

#[tokio::test]
async fn a_lost_answer_is_cured_by_asking_again() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let upload = station.upload(&id, b"bytes").await.unwrap();
    station.patch(&upload, 0, b"bytes").await.unwrap();

    cert.order(json!({"do": "fault", "kind": "lose-commit-answer"}))
        .await
        .unwrap();
    assert!(station.commit(&id, b"bytes").await.is_err());
    let r1 = station.commit(&id, b"bytes").await.unwrap();
    let said = read_receipt(&r1.body, &cert.path("station/trust")).unwrap();
    assert_eq!(
        (&said["type"], &said["serial"]),
        (&json!("R1"), &json!(1)),
        "the R1 of the first commit"
    );

    cert.order(json!({"do": "fault", "kind": "status-503"}))
        .await
        .unwrap();
    let busy = station.commit(&id, b"bytes").await.unwrap();
    assert_eq!(busy.error().unwrap(), (503, "busy".into()));
    assert_eq!(busy.headers["retry-after"], "1");
    cert.order(json!({"do": "stop-answering", "on": true}))
        .await
        .unwrap();
    assert!(station.commit(&id, b"bytes").await.is_err());
    cert.order(json!({"do": "stop-answering", "on": false}))
        .await
        .unwrap();
    assert_eq!(station.commit(&id, b"bytes").await.unwrap().body, r1.body);
    cert.server.stop().await;
}

#[tokio::test]
async fn a_station_sees_its_own_dossiers_and_strangers_none() {
    let cert = Cert::start().await.unwrap();
    let (station, trust) = (cert.station().unwrap(), cert.path("station/trust"));
    let other_dir = cert.path("other");
    add_station(cert.dir.path(), "MAIRIE-2", &other_dir, 2).unwrap();
    let other = Station::new(&other_dir, &trust, cert.server.addr()).unwrap();
    let id = dossier_id(1);
    let upload = station.upload(&id, b"bytes").await.unwrap();

    let not_yours = (403, "not-yours".to_owned());
    assert_eq!(
        other.put(&id, b"bytes").await.unwrap().error().unwrap(),
        not_yours
    );
    assert_eq!(
        other.patch(&upload, 0, b"bytes").await.unwrap().error().unwrap(),
        not_yours
    );
    assert_eq!(
        other.commit(&id, b"bytes").await.unwrap().error().unwrap(),
        not_yours
    );
    assert_eq!(other.receipt(&id, 0).await.unwrap().error().unwrap(), not_yours);
    assert_eq!(other.head(&upload).await.unwrap().status, 403);

    std::fs::remove_dir_all(cert.path("cert/stations/MAIRIE-2")).unwrap();
    let answer = other.put(&dossier_id(2), b"bytes").await.unwrap();
    assert_eq!(answer.error().unwrap(), (403, "not-registered".into()));
    let nobody = Station::nobody(&trust, cert.server.addr()).unwrap();
    assert!(nobody.receipt(&id, 0).await.is_err(), "TLS wants a certificate");
    cert.server.stop().await;
}

#[tokio::test]
async fn what_is_not_on_the_page_is_malformed() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let (dossier, sha256) = (format!("/v1/dossiers/{id}"), sha256(b"x"));
    let good = json!({"size": 1, "sha256": sha256, "profile": "CERT-CMS-1"});
    for (path, body) in [
        (
            &dossier,
            json!({"size": 1, "sha256": sha256, "profile": "CERT-CMS-1", "more": 1}),
        ),
        (
            &dossier,
            json!({"size": 1, "sha256": sha256, "profile": "CERT-CMS-2"}),
        ),
        (
            &dossier,
            json!({"size": 0, "sha256": sha256, "profile": "CERT-CMS-1"}),
        ),
        (
            &dossier,
            json!({"size": 1, "sha256": sha256.to_uppercase(), "profile": "CERT-CMS-1"}),
        ),
        (
            &dossier,
            json!({"size": 1, "sha256": sha256, "profile": "x".repeat(70_000)}),
        ),
        (&"/v1/dossiers/../receipts".to_owned(), good.clone()),
        (
            &dossier.to_uppercase().replace("/V1/DOSSIERS", "/v1/dossiers"),
            good.clone(),
        ),
    ] {
        let status = station.json("PUT", path, body.clone()).await.unwrap().status;
        assert!(matches!(status.as_u16(), 400 | 404), "{path} {body}: {status}");
    }
    let large = json!({"size": (256_u64 << 20) + 1, "sha256": sha256, "profile": "CERT-CMS-1"});
    let answer = station.json("PUT", &dossier, large).await.unwrap();
    assert_eq!(answer.error().unwrap(), (413, "too-large".into()));

    let upload = station.upload(&id, b"x").await.unwrap();
    for headers in [
        &[
            ("tus-resumable", "0.9.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ][..],
        &[
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/json"),
            ("upload-offset", "0"),
        ],
        &[
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
        ],
        &[
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", "0"),
        ],
    ] {
        let answer = station.ask("PATCH", &upload, headers, b"x").await.unwrap();
        assert_eq!(answer.error().unwrap().1, "malformed", "{headers:?}");
    }
    let answer = station.receipt(&id, 31).await.unwrap();
    assert_eq!(answer.error().unwrap(), (400, "malformed".into()));
    let long = "x".repeat(20 << 10);
    let answer = station
        .ask("GET", "/v1/statuses", &[("x-long", &long)], b"")
        .await
        .unwrap();
    assert_eq!(answer.status, 431, "headers have a limit");
    let answer = station.receipt(&dossier_id(9), 0).await.unwrap();
    assert_eq!(answer.error().unwrap(), (404, "unknown".into()));
    cert.server.stop().await;
}

#[tokio::test]
async fn r1_comes_alone_while_ingestion_is_held() {
    let cert = Cert::start().await.unwrap();
    let station = cert.station().unwrap();
    let id = dossier_id(1);
    let parcel = Draft::new(&id, &cert.path("station")).unwrap().seal().unwrap();
    cert.order(json!({"do": "ingest", "mode": "hold"})).await.unwrap();
    let upload = station.upload(&id, &parcel).await.unwrap();
    station.patch(&upload, 0, &parcel).await.unwrap();
    assert_eq!(station.commit(&id, &parcel).await.unwrap().status, 200);

    assert_eq!(station.receipt(&id, 0).await.unwrap().status, 204);
    assert_eq!(
        station.put(&id, &parcel).await.unwrap().json().unwrap()["state"],
        "stored"
    );
    let (polled, _went) = tokio::join!(
        station.receipt(&id, 30),
        cert.order(json!({"do": "ingest", "mode": "go"}))
    );
    let said = read_receipt(&polled.unwrap().body, &cert.path("station/trust")).unwrap();
    assert_eq!(said["type"], "R2");
    cert.server.stop().await;
}

#[tokio::test]
async fn a_title_is_handed_over_when_it_is_available_and_once() {
    let cert = Cert::start().await.unwrap();
    let (station, dir, trust) = (
        cert.station().unwrap(),
        cert.path("station"),
        cert.path("station/trust"),
    );
    let deposit = Draft::new(&dossier_id(1), &dir).unwrap().seal().unwrap();
    let sent = station.send(&dossier_id(1), &deposit).await.unwrap();
    let demande = read_receipt(&sent.end, &trust).unwrap()["demande"]
        .as_str()
        .unwrap()
        .to_owned();
    let ask = json!({"demandes": [demande, "UNKNOWN123"]});
    let status = |word: &str| json!({"statuses": [{"demande": demande, "status": word}]});
    let answer = station.json("POST", "/v1/statuses", ask.clone()).await.unwrap();
    assert_eq!(answer.json().unwrap(), status("in-instruction"));

    let mut previous = sent.end;
    for (number, to, expected) in [
        (2, "production", "REJECT"),
        (3, "available", "R2"),
        (4, "handed-over", "REJECT"),
    ] {
        cert.order(json!({"do": "advance", "demande": demande, "to": to}))
            .await
            .unwrap();
        let parcel = Draft::hand_over(&dossier_id(number), &demande, &dir)
            .unwrap()
            .seal()
            .unwrap();
        let sent = station.send(&dossier_id(number), &parcel).await.unwrap();
        let (r1, end) = (
            read_receipt(&sent.r1, &trust).unwrap(),
            read_receipt(&sent.end, &trust).unwrap(),
        );
        assert_eq!(end["type"], expected, "{end}");
        assert_eq!(
            r1["previous_sha256"],
            sha256(&previous),
            "the chain holds over dossiers"
        );
        if expected == "R2" {
            assert_eq!(end["demande"], demande);
            let answer = station.json("POST", "/v1/statuses", ask.clone()).await.unwrap();
            assert_eq!(answer.json().unwrap(), status("handed-over"));
        }
        previous = sent.end;
    }
    cert.server.stop().await;
}

#[tokio::test]
async fn a_pre_demande_opens_with_openssl_and_is_consumed_by_its_deposit() {
    let cert = Cert::start().await.unwrap();
    let (station, dir) = (cert.station().unwrap(), cert.path("station"));
    let fetch = async || {
        let answer = station
            .ask("GET", "/v1/pre-demandes/VALID12345", &[], b"")
            .await
            .unwrap();
        assert_eq!(answer.headers["content-type"], "application/pkcs7-mime");
        let key = dir.join("encryption.key").to_string_lossy().into_owned();
        let arguments = [
            "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", &key, "-recip",
        ];
        let json = openssl(&arguments, &[&dir.join("encryption.crt")], &answer.body).unwrap();
        serde_json::from_slice::<serde_json::Value>(&json).unwrap()
    };

    let fetched = fetch().await;
    assert_eq!(
        (&fetched["number"], &fetched["status"]),
        (&json!("VALID12345"), &json!("validated"))
    );
    assert_eq!(fetched["procedure"], "cni-adulte");
    assert_eq!(fetched["fields"]["nom-naissance"], "SPECIMEN");

    let parcel = Draft::new(&dossier_id(1), &dir).unwrap().seal().unwrap();
    station.send(&dossier_id(1), &parcel).await.unwrap();
    assert_eq!(fetch().await["status"], "consumed");

    for unknown in ["UNKNOWN123", "..%2f..%2fx", "valid12345"] {
        let answer = station
            .ask("GET", &format!("/v1/pre-demandes/{unknown}"), &[], b"")
            .await
            .unwrap();
        assert_eq!(answer.error().unwrap(), (404, "unknown".into()));
    }
    let added = json!({"do": "pre-demande", "number": "UNKNOWN123", "procedure": "cni-adulte", "fields": {"taille": "150"}});
    cert.order(added).await.unwrap();
    assert_eq!(
        station
            .ask("GET", "/v1/pre-demandes/UNKNOWN123", &[], b"")
            .await
            .unwrap()
            .status,
        200
    );
    cert.server.stop().await;
}

/// The specimen is what the procedure asks for, and no more.
#[test]
fn the_specimen_has_every_field_of_the_procedure() {
    let dir = tempfile::tempdir().unwrap();
    recueil_cert::init(dir.path(), STATION, 2).unwrap();
    let specimen = std::fs::read(dir.path().join("pre-demandes/VALID12345.json")).unwrap();
    let specimen: serde_json::Value = serde_json::from_slice(&specimen).unwrap();
    let procedure = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/procedures/cni-adulte.toml"
    );
    let procedure = std::fs::read_to_string(procedure).unwrap();
    let names = procedure
        .lines()
        .filter_map(|line| line.trim().strip_prefix("{ name = \"")?.split('"').next());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let own: Vec<_> = specimen["fields"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(own, names);
}
