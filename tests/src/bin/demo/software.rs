//! Station software: it knows the bus and nothing else.

use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::Context;
use recueil_bus::Address;
use recueil_tests::{Captured, Client, Followed};
use serde_json::{Value, json};

use crate::say;
use crate::sheet::Sheet;

/// Runs the journey.
pub(crate) fn run(bus: String, dir: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(journey(Address::Private(bus), dir))
}

async fn journey(bus: Address, dir: &Path) -> anyhow::Result<()> {
    let mut client = Client::connect(&bus, "agent.dupont").await?;
    say(&format!("station: version {}", client.station.version().await?));
    let status = client.station.status().await?;
    say(&format!(
        "  analyser {}, authority: {}, seal key: {}",
        status.analyser, status.authority, status.seal_key
    ));
    let scanner = client.device("scanner").await?;
    let reader = client.device("fingerprint").await?;
    say(&format!("devices: {scanner}, {reader}"));

    let dossier = client.open("deposit", "cni-adulte", None).await?;
    std::fs::write(dir.join("dossier"), &dossier.id)?;
    say(&format!(
        "dossier {} is open; {} things are missing",
        dossier.id,
        dossier.dossier.missing().await?.len()
    ));
    let mut sheet = Sheet::new();

    identity(&mut client, &dossier, &scanner).await?;
    papers(&mut client, &dossier, &scanner).await?;

    wish(&json!({"show": {"glass": {"kind": "photo"}}}))?;
    let photo = completed(client.capture(&dossier, "photo", &scanner, None).await?, "photo")?;
    say(&format!(
        "photo: found on the glass, straightened, cut ({} criteria measured)",
        photo.results.len()
    ));

    let hands = client
        .capture_with(&dossier, "empreintes", &reader, None, true, true)
        .await?;
    let hands = completed(hands, "fingerprints")?;
    say(&format!(
        "fingerprints: guidance was {}",
        hands.guidance.join(", ")
    ));
    for result in hands
        .results
        .iter()
        .filter(|result| is(result, "type", "selected"))
    {
        say(&format!(
            "  selected: finger {} of quality {}",
            field(result, "position"),
            field(result, "quality")
        ));
    }
    sheet.hands(&hands);

    wish(&json!({"show": {"glass": {"kind": "signature"}}}))?;
    completed(
        client.capture(&dossier, "signature", &scanner, None).await?,
        "signature",
    )?;
    say("signature: taken");

    for item in dossier.dossier.items().await? {
        sheet.item(&item.name, &client.item(&dossier, &item.name).await?)?;
    }
    sheet.save(&dir.join("contact-sheet.png"))?;
    say("the contact sheet is drawn from previews, values and items, as any client could");

    seal_and_follow(&mut client, &dossier, dir).await
}

async fn identity(client: &mut Client, dossier: &Followed, scanner: &str) -> anyhow::Result<()> {
    let code = "https://predemande.example/?n=VALID12345";
    wish(
        &json!({"show": {"glass": {"kind": "page", "title": "RECAPITULATIF DE PRE-DEMANDE", "code": code}}}),
    )?;
    let page = completed(
        client
            .capture(dossier, "pieces", scanner, Some("recapitulatif"))
            .await?,
        "summary",
    )?;
    let number = page
        .results
        .iter()
        .find_map(|result| result.get("pre-demande"))
        .context("no QR code was read")?;
    say(&format!(
        "QR code on the page: pré-demande {number}; nothing else in it is trusted"
    ));
    let (status, refused) = dossier.dossier.fetch_pre_demande(number).await?;
    let fields = dossier.dossier.fields().await?.len();
    say(&format!(
        "pré-demande fetched through the courier: {status}, {fields} fields, {} refused",
        refused.len()
    ));
    dossier.dossier.set_field("motif", "premiere-demande").await?;
    Ok(())
}

async fn papers(client: &mut Client, dossier: &Followed, scanner: &str) -> anyhow::Result<()> {
    wish(&json!({"show": {"glass": {"kind": "page", "title": "FACTURE D'ELECTRICITE"}}}))?;
    completed(
        client
            .capture(dossier, "pieces", scanner, Some("justificatif-domicile"))
            .await?,
        "proof of address",
    )?;
    dossier
        .dossier
        .record_decision("acte-naissance", "absent", "comedec")
        .await?;
    say("papers: proof of address scanned; birth certificate left out, verified by COMEDEC");
    Ok(())
}

async fn seal_and_follow(client: &mut Client, dossier: &Followed, dir: &Path) -> anyhow::Result<()> {
    let missing = dossier.dossier.missing().await?;
    anyhow::ensure!(missing.is_empty(), "something is missing: {missing:?}");
    dossier.dossier.seal().await?;
    let (status, recepisse) = dossier.dossier.recepisse("fr").await?;
    say(&format!(
        "sealed as parcel {}; {status} récépissé: {}",
        recepisse.sequence, recepisse.text
    ));
    anyhow::ensure!(
        dossier.dossier.items().await.is_err(),
        "a sealed dossier must not be readable"
    );

    let view = client.until_state(dossier, "in-instruction").await?;
    let demande = view.demande.context("no demande number came with R2")?;
    for receipt in dossier.dossier.receipts().await? {
        let name = format!("receipt-{}.p7s", receipt.kind.to_lowercase());
        std::fs::write(dir.join(name), &receipt.bytes)?;
        say(&format!("receipt {} of {}, verified", receipt.kind, receipt.time));
    }
    let (status, recepisse) = dossier.dossier.recepisse("fr").await?;
    say(&format!("{status} récépissé: {}", recepisse.text));

    for state in ["production", "available"] {
        wish(&json!({"cert": {"do": "advance", "demande": demande, "to": state}}))?;
        client.until_state(dossier, state).await?;
        say(&format!("CERT: {state}"));
    }
    hand_over(client, &demande).await?;
    client.until_state(dossier, "handed-over").await?;
    say("the title is handed over; the journey is at its end");
    Ok(())
}

async fn hand_over(client: &mut Client, demande: &str) -> anyhow::Result<()> {
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
    wish(&json!({"show": {"glass": {"kind": "signature"}}}))?;
    completed(
        client.capture(&remise, "signature", &scanner, None).await?,
        "signature of the hand-over",
    )?;
    remise.dossier.seal().await?;
    say(&format!(
        "hand-over of demande {demande}: recorded, signed and sealed"
    ));
    client.until_state(&remise, "handed-over").await?;
    Ok(())
}

/// Asks the world for something, and waits until it is so.
fn wish(wish: &Value) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{wish}")?;
    out.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == "done", "the world did not do it");
    Ok(())
}

fn completed(captured: Captured, what: &str) -> anyhow::Result<Captured> {
    let view = &captured.view;
    anyhow::ensure!(
        view.state == "completed",
        "{what}: {} ({}; guidance {:?})",
        view.state,
        view.error_text.as_deref().unwrap_or_default(),
        captured.guidance
    );
    Ok(captured)
}

fn is(result: &std::collections::BTreeMap<String, String>, key: &str, value: &str) -> bool {
    result.get(key).is_some_and(|found| found == value)
}

fn field<'r>(result: &'r std::collections::BTreeMap<String, String>, key: &str) -> &'r str {
    result.get(key).map_or("?", String::as_str)
}
