//! The main job through every stage and every process border: an adult's identity card, from its QR code to
//! the receipt R2 and the hand-over.

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
    opens_with_openssl(station, &dossier).await?;

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

/// CERT's copy of the parcel and the receipts, with the distribution's tools and nothing of ours.
async fn opens_with_openssl(station: &Station, dossier: &Followed) -> anyhow::Result<()> {
    let cert = station.folders().path("cert/cert");
    let dir = tempfile::tempdir()?;
    let at = |name: &str| dir.path().join(name);
    std::fs::copy(station.stored_parcel(&dossier.id)?, at("parcel.p7m"))?;
    std::fs::copy(cert.join("encryption.crt"), at("cert.pem"))?;
    std::fs::copy(cert.join("encryption.key"), at("cert.key"))?;
    let roots = ["station-root.crt", "receipt-root.crt"].map(|root| std::fs::read(cert.join(root)));
    std::fs::write(
        at("ca.pem"),
        roots.into_iter().collect::<Result<Vec<_>, _>>()?.concat(),
    )?;
    for receipt in dossier.dossier.receipts().await? {
        std::fs::write(
            at(&format!("receipt-{}.p7s", receipt.kind.to_lowercase())),
            receipt.bytes,
        )?;
    }
    let script = recueil_tests::project_path("tests/verify-parcel.sh");
    let output = Command::new(script).arg(dir.path()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    anyhow::ensure!(text.trim_end().ends_with("all is as it should be"), "{text}");
    Ok(())
}
