//! The main job through every stage and every process border: an adult's identity card, from its QR code to
//! the receipt R2 and the hand-over.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use recueil_tests::{Client, Followed, Options, Station};
use serde_json::json;

#[tokio::test]
async fn an_application_goes_from_pre_demande_to_receipt_and_hand_over() -> anyhow::Result<()> {
    let station = Station::start(Options::default())?;
    let told = journey(&station).await;
    told.with_context(|| station.logs())
}

async fn journey(station: &Station) -> anyhow::Result<()> {
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = collect(station, &mut client).await?;

    assert_eq!(dossier.dossier.missing().await?, []);
    dossier.dossier.seal().await?;
    let (status, provisional) = dossier.dossier.recepisse("fr").await?;
    assert_eq!((status.as_str(), provisional.demande), ("provisional", None));
    assert!(
        dossier.dossier.items().await.is_err(),
        "the station cannot read what it sealed"
    );

    let ingested = client.until_state(&dossier, "in-instruction").await?;
    let demande = ingested.demande.context("CERT's number came with R2")?;
    let (status, final_one) = dossier.dossier.recepisse("fr").await?;
    assert_eq!(
        (status.as_str(), final_one.demande.as_deref()),
        ("final", Some(demande.as_str()))
    );
    let kinds: Vec<_> = dossier
        .dossier
        .receipts()
        .await?
        .into_iter()
        .map(|receipt| receipt.kind)
        .collect();
    assert_eq!(kinds, ["R1", "R2"]);
    opens_with_openssl(station, &dossier)?;

    for status in ["production", "available"] {
        station.cert(&json!({"do": "advance", "demande": demande, "to": status}))?;
        client.until_state(&dossier, status).await?;
    }
    hand_over(station, &mut client, &demande).await?;
    client.until_state(&dossier, "handed-over").await?;
    Ok(())
}

/// Everything that the procedure asks for.
async fn collect(station: &Station, client: &mut Client) -> anyhow::Result<Followed> {
    let scanner = client.device("scanner").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;

    let summary =
        json!({"kind": "page", "title": "RECAPITULATIF", "code": "https://predemande.example/?n=VALID12345"});
    station.show("flatbed", &[json!({"glass": summary})])?;
    let page = client
        .capture(&dossier, "pieces", &scanner, Some("recapitulatif"))
        .await?;
    assert_eq!(page.view.state, "completed", "{page:?}");
    let number = page
        .results
        .iter()
        .find_map(|result| result.get("pre-demande"))
        .context("no number on the page")?;
    let (status, refused) = dossier.dossier.fetch_pre_demande(number).await?;
    assert_eq!(
        (status.as_str(), refused.as_slice()),
        ("validated", [].as_slice())
    );
    dossier.dossier.set_field("motif", "premiere-demande").await?;

    station.show(
        "flatbed",
        &[json!({"glass": {"kind": "page", "title": "FACTURE"}})],
    )?;
    let bill = client
        .capture(&dossier, "pieces", &scanner, Some("justificatif-domicile"))
        .await?;
    assert_eq!(bill.view.state, "completed", "{bill:?}");
    dossier
        .dossier
        .record_decision("acte-naissance", "absent", "comedec")
        .await?;

    station.show("flatbed", &[json!({"glass": {"kind": "photo"}})])?;
    let photo = client.capture(&dossier, "photo", &scanner, None).await?;
    assert_eq!(photo.view.state, "completed", "{photo:?}");

    let hands = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");
    let selected: Vec<_> = hands
        .results
        .iter()
        .filter(|result| result.get("type").is_some_and(|kind| kind == "selected"))
        .filter_map(|result| result.get("position").map(String::as_str))
        .collect();
    assert_eq!(selected, ["2", "7"], "both index fingers, by the legal order");

    station.show("flatbed", &[json!({"glass": {"kind": "signature"}})])?;
    let signature = client.capture(&dossier, "signature", &scanner, None).await?;
    assert_eq!(signature.view.state, "completed", "{signature:?}");
    Ok(dossier)
}

async fn hand_over(station: &Station, client: &mut Client, demande: &str) -> anyhow::Result<()> {
    let scanner = client.device("scanner").await?;
    let remise = client.open("hand-over", "remise-cni", Some(demande)).await?;
    remise
        .dossier
        .record_decision("ancien-titre", "sans-objet", "")
        .await?;
    remise.dossier.set_field("numero-titre", "X4RTBPFW4").await?;
    remise
        .dossier
        .record_decision("comparaison", "conforme", "")
        .await?;
    station.show("flatbed", &[json!({"glass": {"kind": "signature"}})])?;
    let signature = client.capture(&remise, "signature", &scanner, None).await?;
    assert_eq!(signature.view.state, "completed", "{signature:?}");
    remise.dossier.seal().await?;
    client.until_state(&remise, "handed-over").await?;
    Ok(())
}

/// CERT's copy of the parcel, with the distribution's tools and nothing of ours.
fn opens_with_openssl(station: &Station, dossier: &Followed) -> anyhow::Result<()> {
    let cert = station.folders().path("cert");
    let dir = tempfile::tempdir()?;
    let opened = dir.path().join("dossier.asice");
    let parcel = station.stored_parcel(&dossier.id)?;
    let status = Command::new("openssl")
        .args(["cms", "-decrypt", "-binary", "-inform", "DER", "-in"])
        .arg(&parcel)
        .arg("-recip")
        .arg(cert.join("cert/encryption.crt"))
        .arg("-inkey")
        .arg(cert.join("cert/encryption.key"))
        .arg("-out")
        .arg(&opened)
        .status()?;
    anyhow::ensure!(status.success(), "openssl does not open the parcel");
    check_container(&opened, &cert.join("cert/station-root.crt"))
}

fn check_container(container: &Path, root: &Path) -> anyhow::Result<()> {
    let script = r#"
import base64, hashlib, re, subprocess, sys, zipfile
container, root = sys.argv[1:]
archive = zipfile.ZipFile(container)
names = archive.namelist()
assert names[0] == "mimetype" and archive.read("mimetype") == b"application/vnd.etsi.asic-e+zip"
manifest = archive.read("META-INF/ASiCManifest001.xml")
listed = dict(re.findall(rb'<\w+:DataObjectReference URI="([^"]+)".*?<\w+:DigestValue>([^<]+)<', manifest, re.S))
expected = {name for name in names if not name.startswith("META-INF/") and name != "mimetype"}
assert {name.decode() for name in listed} == expected, (listed.keys(), expected)
for name, digest in listed.items():
    assert hashlib.sha256(archive.read(name.decode())).digest() == base64.b64decode(digest), name
for name, data in (("m", manifest), ("s", archive.read("META-INF/signature001.p7s"))):
    open(f"{container}.{name}", "wb").write(data)
subprocess.run(["openssl", "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-in", f"{container}.s",
    "-content", f"{container}.m", "-CAfile", root, "-purpose", "any", "-out", "/dev/null"], check=True)
"#;
    let status = Command::new("python3")
        .arg("-c")
        .arg(script)
        .arg(container)
        .arg(root)
        .status()?;
    anyhow::ensure!(status.success(), "the container does not hold together");
    Ok(())
}
