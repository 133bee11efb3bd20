//! What CERT refuses, each with its reason. Every parcel but the first differs from it in one thing.

mod container;
mod dossier;
mod envelope;
mod seal;
#[path = "../support/mod.rs"]
mod support;

use anyhow::Result;
use recueil_cert::add_station;
use serde_json::{Value, json};
use support::der::{Content, Node};
use support::parcel::{self, Draft, Entry, zip};
use support::{Cert, Station, dossier_id, openssl, read_receipt};

/// Sends each parcel as a dossier of its own and compares the reasons.
async fn check(cases: impl IntoIterator<Item = (&'static str, Change)>) -> Result<()> {
    let cert = Cert::start().await?;
    let (station, trust) = (cert.station()?, cert.path("station/trust"));
    for (number, (expected, change)) in (1..).zip(cases) {
        let id = dossier_id(number);
        let mut draft = Draft::new(&id, &cert.path("station"))?;
        let parcel = match change {
            Change::Envelope(change) => {
                let (mut root, _rest) = Node::parse(&draft.seal()?)?;
                change(&mut root)?;
                root.encode()
            }
            Change::Raw(path, change) => {
                let (mut root, _rest) = Node::parse(&draft.seal()?)?;
                change(root.at(path)?.raw()?);
                root.encode()
            }
            Change::Members(path, change) => {
                let (mut root, _rest) = Node::parse(&draft.seal()?)?;
                change(root.at(path)?.members()?);
                root.encode()
            }
            Change::Bytes(change) => change(draft.seal()?),
            Change::Dossier(change) => {
                change(&mut draft.dossier);
                draft.seal()?
            }
            Change::Draft(change) => change(&mut draft)?,
            Change::Zip(change) => draft.envelope(&change(draft.entries()?))?,
        };
        let sent = station.send(&id, &parcel).await?;
        let said = read_receipt(&sent.end, &trust)?;
        assert_eq!(said["type"], "REJECT", "{expected}: {said}");
        let reason = said["reason"].as_str().unwrap_or_default();
        assert!(
            reason.contains(expected),
            "case {number}: {reason:?} in place of {expected:?}"
        );
        assert!(said.get("demande").is_none() && said.get("manifest_sha256").is_none());
    }
    cert.server.stop().await;
    Ok(())
}

/// How a parcel is spoilt, and where.
enum Change {
    /// The elements of the CMS file.
    Envelope(fn(&mut Node) -> Result<()>),
    /// The content of one primitive element of it.
    Raw(&'static [usize], fn(&mut Vec<u8>)),
    /// The members of one constructed element of it.
    Members(&'static [usize], fn(&mut Vec<Node>)),
    /// The bytes of the CMS file.
    Bytes(fn(Vec<u8>) -> Vec<u8>),
    /// `dossier.json`, before it is signed.
    Dossier(fn(&mut Value)),
    /// Anything, up to the parcel.
    Draft(fn(&mut Draft) -> Result<Vec<u8>>),
    /// The container, before it is encrypted.
    Zip(fn(Vec<Entry>) -> Vec<u8>),
}

#[tokio::test]
async fn a_parcel_of_another_station_is_refused() {
    let cert = Cert::start().await.unwrap();
    let (other_dir, trust) = (cert.path("other"), cert.path("station/trust"));
    add_station(cert.dir.path(), "MAIRIE-2", &other_dir, 2).unwrap();
    let other = Station::new(&other_dir, &trust, cert.server.addr()).unwrap();

    let parcel = Draft::new(&dossier_id(1), &cert.path("station"))
        .unwrap()
        .seal()
        .unwrap();
    let sent = other.send(&dossier_id(1), &parcel).await.unwrap();
    let said = read_receipt(&sent.end, &trust).unwrap();
    assert!(
        said["reason"].as_str().unwrap().contains("another station"),
        "{said}"
    );
    assert_eq!(said["station"], "MAIRIE-2");
    cert.server.stop().await;
}

#[tokio::test]
async fn a_refusal_can_be_ordered_and_a_repeated_sequence_is_an_alarm() {
    let cert = Cert::start().await.unwrap();
    let (station, trust) = (cert.station().unwrap(), cert.path("station/trust"));
    cert.order(json!({"do": "refuse-next"})).await.unwrap();
    let mut ends = Vec::new();
    for number in 1..=3 {
        let parcel = Draft::new(&dossier_id(number), &cert.path("station"))
            .unwrap()
            .seal()
            .unwrap();
        let sent = station.send(&dossier_id(number), &parcel).await.unwrap();
        ends.push(read_receipt(&sent.end, &trust).unwrap()["type"].clone());
    }
    assert_eq!(ends, ["REJECT", "R2", "R2"]);
    let list = cert.order(json!({"do": "list"})).await.unwrap();
    let states: Vec<_> = list["dossiers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|dossier| &dossier["state"])
        .collect();
    assert_eq!(states, ["refused", "ingested", "ingested"]);
    assert_eq!(list["alarms"].as_array().unwrap().len(), 1);
    cert.server.stop().await;
}

/// The parcel maker of these tests is itself judged, by openssl and by python.
#[test]
fn the_good_parcel_opens_with_tools_of_others() {
    let dir = tempfile::tempdir().unwrap();
    recueil_cert::init(dir.path(), "MAIRIE-1", 2).unwrap();
    let draft = Draft::new(&dossier_id(1), &dir.path().join("station")).unwrap();
    for recipient in ["encryption", "escrow"] {
        let path = |ending: &str| dir.path().join(format!("cert/{recipient}.{ending}"));
        let key = path("key").to_string_lossy().into_owned();
        let arguments = [
            "cms", "-decrypt", "-binary", "-inform", "DER", "-inkey", &key, "-recip",
        ];
        let plain = openssl(&arguments, &[&path("crt")], &draft.seal().unwrap()).unwrap();
        let zip_path = dir.path().join("plain.asice");
        std::fs::write(&zip_path, plain).unwrap();
        let python = std::process::Command::new("python3")
            .args(["-c", "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; print(len(z.namelist()))"])
            .arg(&zip_path)
            .output()
            .unwrap();
        assert_eq!(python.stdout, b"6\n", "{python:?}");
    }
}

/// Elements that are only taken apart and put together again are the same bytes.
#[test]
fn the_der_of_these_tests_changes_only_what_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    recueil_cert::init(dir.path(), "MAIRIE-1", 2).unwrap();
    let parcel = Draft::new(&dossier_id(1), &dir.path().join("station"))
        .unwrap()
        .seal()
        .unwrap();
    let (root, rest) = Node::parse(&parcel).unwrap();
    assert!(rest.is_empty());
    assert!(matches!(root.content, Content::Nodes(_)));
    assert_eq!(root.encode(), parcel);
}
