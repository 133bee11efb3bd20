//! What was accepted survives whatever happens to the services.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::Context;
use recueil_bus::Code;
use recueil_tests::{Client, Options, Station, clock, text};
use serde_json::json;

#[tokio::test]
async fn a_draft_survives_a_crash_and_is_adopted_with_its_items() -> anyhow::Result<()> {
    let mut station = Station::start(Options {
        cert: false,
        ..Options::default()
    })?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let scanner = client.device("scanner").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    dossier.dossier.set_field("nom-naissance", "SPECIMEN").await?;
    station.show("flatbed", &[json!({"glass": {"kind": "photo"}})])?;
    let photo = client.capture(&dossier, "photo", &scanner, None).await?;
    assert_eq!(photo.view.state, "completed", "{photo:?}");
    let before = client.item(&dossier, "photo").await?;

    station.kill_recueild()?;
    station.start_recueild()?;

    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let drafts = client.station.list_drafts().await?;
    assert_eq!(
        drafts.iter().map(|draft| draft.id.as_str()).collect::<Vec<_>>(),
        [dossier.id.as_str()]
    );
    let adopted = client.adopt(&dossier.id).await?;
    assert_eq!(adopted.dossier.fields().await?["nom-naissance"].value, "SPECIMEN");
    assert_eq!(client.item(&adopted, "photo").await?, before);
    Ok(())
}

#[tokio::test]
async fn a_repeated_token_opens_one_dossier() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let open = || async {
        let options = [("token".to_owned(), text("guichet-3/17")?)].into();
        anyhow::Ok(
            client
                .station
                .open_dossier("deposit", "cni-adulte", options)
                .await?
                .1,
        )
    };
    let first = open().await?;
    assert_eq!(open().await?, first);
    assert_eq!(client.station.list_drafts().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn dossiers_opened_at_once_are_no_more_than_the_quota_and_one_by_one_token() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        quotas: json!({ "drafts": 3 }),
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let open = async |token: Option<&str>| {
        let token = token.map(|token| anyhow::Ok(("token".to_owned(), text(token)?)));
        let options = token.transpose()?.into_iter().collect();
        anyhow::Ok(
            client
                .station
                .open_dossier("deposit", "cni-adulte", options)
                .await,
        )
    };
    let (one, other) = tokio::join!(open(Some("guichet-3/18")), open(Some("guichet-3/18")));
    let answers = [one?, other?];
    let ids: BTreeSet<_> = answers.iter().flatten().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 1, "{answers:?}");
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused.code, Code::Busy, "the first is being answered");
    }
    assert_eq!(client.station.list_drafts().await?.len(), 1);

    let (one, two, three, four) = tokio::join!(open(None), open(None), open(None), open(None));
    let refused = [one?, two?, three?, four?].into_iter().filter_map(Result::err);
    assert_eq!(
        refused.map(|refused| refused.code).collect::<Vec<_>>(),
        [Code::TooMany; 2]
    );
    assert_eq!(client.station.list_drafts().await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_draft_stays_with_the_agent_who_opened_it_though_another_begins_to_work_meanwhile()
-> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let none = std::collections::HashMap::new;
    let (opened, begun) = tokio::join!(
        client.station.open_dossier("deposit", "cni-adulte", none()),
        client.station.open_agent_session("agent.martin", none()),
    );
    begun?;
    if let Err(refused) = opened {
        assert_eq!(refused.code, Code::NotOwner, "{refused:?}");
    }
    let drafts = client.station.list_drafts().await?;
    let [draft] = drafts.as_slice() else {
        anyhow::bail!("{drafts:?}");
    };
    assert_eq!(draft.agent, "agent.dupont");
    let refused = client.station.adopt(&draft.id).await.unwrap_err();
    assert_eq!(refused.code, Code::NotOwner);
    client.station.open_agent_session("agent.dupont", none()).await?;
    let adopted = client.adopt(&draft.id).await?;
    assert_eq!(adopted.dossier.state().await?, "draft");
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_repeated_acts_once() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        ..Options::default()
    })?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let scanner = client.device("scanner").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    for _ in 0..2 {
        dossier
            .dossier
            .record_decision("acte-naissance", "absent", "comedec")
            .await?;
    }
    let start = || async {
        let options = [
            ("document".to_owned(), text("justificatif-domicile")?),
            ("token".to_owned(), text("scan-1")?),
        ];
        anyhow::Ok(
            dossier
                .dossier
                .start_capture("pieces", &scanner, options.into())
                .await?
                .to_string(),
        )
    };
    let path = start().await?;
    assert_eq!(start().await?, path, "while it runs");
    client.until(&path, |view| view.state == "completed").await?;
    assert_eq!(start().await?, path, "and when it is over");
    assert_eq!(dossier.dossier.items().await?.len(), 1);
    for _ in 0..2 {
        dossier.dossier.cancel().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cancelled_draft_is_gone_from_the_disk() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    dossier.dossier.set_field("nom-naissance", "SPECIMEN").await?;
    dossier.dossier.cancel().await?;
    assert_eq!(dossier.dossier.state().await?, "cancelled");
    let refused = dossier
        .dossier
        .set_field("nom-naissance", "AUTRE")
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::WrongState);
    assert!(client.station.list_drafts().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_incomplete_dossier_is_not_sealed_and_says_what_is_missing() -> anyhow::Result<()> {
    let station = Station::start(Options {
        devices: false,
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let refused = dossier.dossier.seal().await.unwrap_err();
    assert_eq!(refused.code, Code::Incomplete);
    assert!(refused.details["missing"].contains("photo"), "{refused:?}");
    assert_eq!(dossier.dossier.state().await?, "draft");
    Ok(())
}

#[tokio::test]
async fn a_parcel_waits_for_cert_and_arrives_once() -> anyhow::Result<()> {
    let mut station = Station::start(Options::default())?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let scanner = client.device("scanner").await?;
    let demande = "ABCDEF1234";
    let remise = client.open("hand-over", "remise-cni", Some(demande)).await?;
    remise
        .dossier
        .record_decision("ancien-titre", "perdu", "")
        .await?;
    remise.dossier.set_field("numero-titre", "X4RTBPFW4").await?;
    remise
        .dossier
        .record_decision("comparaison", "conforme", "")
        .await?;
    station.show("flatbed", &[json!({"glass": {"kind": "signature"}})])?;
    let signature = client.capture(&remise, "signature", &scanner, None).await?;
    assert_eq!(signature.view.state, "completed", "{signature:?}");

    station.stop_cert();
    remise.dossier.seal().await?;
    let (status, _) = remise.dossier.recepisse("fr").await?;
    assert_eq!(status, "provisional", "given off line");
    assert_eq!(client.station.outbox().await?.len(), 1);

    station.start_cert()?;
    // This CERT has never heard of the demande: its refusal is signed, verified, and shown.
    let refused = client.until_state(&remise, "refused").await?;
    assert!(refused.refusal.is_some(), "{refused:?}");
    remise.dossier.acknowledge_refusal().await?;
    Ok(())
}

#[tokio::test]
async fn a_draft_of_another_agent_is_passed_on_and_not_taken() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        ..Options::default()
    })?;
    let first = Client::connect(&station.address(), "agent.dupont").await?;
    let dossier = first.open("deposit", "cni-adulte", None).await?;
    let second = Client::connect(&station.address(), "agent.martin").await?;
    let refused = second.station.adopt(&dossier.id).await.unwrap_err();
    assert_eq!(refused.code, Code::NotOwner, "{refused:?}");
    dossier.dossier.transfer("agent.martin").await?;
    let adopted = second.adopt(&dossier.id).await?;
    assert_eq!(adopted.dossier.view().await?.agent, "agent.martin");
    Ok(())
}

#[tokio::test]
async fn a_draft_outlasts_a_clock_that_is_set_and_a_restart() -> anyhow::Result<()> {
    if clock::library().is_none() {
        let line = "SKIPPED: libfaketime is missing (Debian package faketime)\n";
        return Ok(std::io::stderr().write_all(line.as_bytes())?);
    }
    let folder = tempfile::tempdir()?;
    // Services under other users read the clock there.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let file = folder.path().join("clock");
    clock::turn(&file, "+0")?;
    let mut station = Station::start(Options {
        cert: false,
        devices: false,
        clock: Some(file.clone()),
        ..Options::default()
    })?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let before = client.open("deposit", "cni-adulte", None).await?.id;
    station.kill_recueild()?;
    station.start_recueild()?;

    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let after = client.open("deposit", "cni-adulte", None).await?.id;
    // What ended is forgotten after some months, and that is looked at after the drafts.
    let ended = client.open("deposit", "cni-adulte", None).await?;
    ended.dossier.cancel().await?;
    assert_eq!(cancelled(&client).await?, [ended.id.as_str()]);
    clock::turn(&file, "+366d")?;
    until_forgotten(&client, &ended.id).await?;
    let drafts = ids(&client.station.list_drafts().await?);
    assert!(drafts.contains(&before), "it was opened before a restart");
    assert!(drafts.contains(&after));

    // Where a start finds the clock there already, the clock is believed.
    station.kill_recueild()?;
    station.start_recueild()?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    let gone = async {
        while !client.station.list_drafts().await?.is_empty() {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(WAIT_MAX, gone)
        .await
        .context("drafts stay when their time is over")?
}

/// Drafts are looked at every half minute.
const WAIT_MAX: Duration = Duration::from_mins(2);
/// Nothing tells of what is forgotten, so it is looked at this often.
const LOOK: Duration = Duration::from_millis(100);

async fn until_forgotten(client: &Client, id: &str) -> anyhow::Result<()> {
    let forgotten = async {
        while cancelled(client).await?.iter().any(|known| known == id) {
            tokio::time::sleep(LOOK).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(WAIT_MAX, forgotten)
        .await
        .context("what ended is not forgotten")?
}

async fn cancelled(client: &Client) -> anyhow::Result<Vec<String>> {
    let filter = [("state".to_owned(), text("cancelled")?)].into();
    let (page, _next) = client.station.list_dossiers(filter, "", 200).await?;
    Ok(ids(&page))
}

fn ids(list: &[recueil_bus::DossierSummary]) -> Vec<String> {
    list.iter().map(|dossier| dossier.id.clone()).collect()
}
