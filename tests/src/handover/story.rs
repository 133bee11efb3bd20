//! What the agent does, from wherever the dossier is, and what was promised for what he did.

use anyhow::{bail, ensure};
use recueil_bus::Code;
use serde_json::json;

use super::DEMANDE;
use crate::{Client, Followed, Station};

/// The agent who works.
const AGENT: &str = "agent.dupont";

/// What the agent was told is done: it must be so whenever he looks again.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) id: Option<String>,
    signed: bool,
    sealed: bool,
}

/// Does what is still to be done; gives the dossier's id.
pub(super) async fn carry_on(station: &Station, told: &mut Told) -> anyhow::Result<String> {
    let mut client = Client::connect(&station.address(), AGENT).await?;
    let dossier = take_up(&client, told).await?;
    if dossier.dossier.view().await?.state == "draft" {
        if told.sealed {
            return Err(Lie("the seal that was told is not there").into());
        }
        complete(station, &mut client, &dossier, told).await?;
        dossier.dossier.seal().await?;
        told.sealed = true;
    }
    client.until_state(&dossier, "handed-over").await?;
    Ok(dossier.id.clone())
}

/// The dossier under way, or a new one where none was promised.
async fn take_up(client: &Client, told: &mut Told) -> anyhow::Result<Followed> {
    if let Some(id) = &told.id {
        let adopted = client.adopt(id).await;
        return adopted.map_err(|error| match error.downcast_ref::<recueil_bus::Error>() {
            Some(refused) if refused.code == Code::UnknownDossier => {
                error.context(Lie("the dossier that was told is not there"))
            }
            _ => error,
        });
    }
    // One may have been opened without anybody being told.
    let drafts = client.station.list_drafts().await?;
    let dossier = match drafts.as_slice() {
        [] => client.open("hand-over", "remise-cni", Some(DEMANDE)).await?,
        [draft] => client.adopt(&draft.id).await?,
        _many => bail!(Lie("several drafts of one")),
    };
    told.id = Some(dossier.id.clone());
    Ok(dossier)
}

async fn complete(
    station: &Station,
    client: &mut Client,
    dossier: &Followed,
    told: &mut Told,
) -> anyhow::Result<()> {
    let draft = &dossier.dossier;
    draft.record_decision("ancien-titre", "perdu", "").await?;
    draft.set_field("numero-titre", "X4RTBPFW4").await?;
    draft.record_decision("comparaison", "conforme", "").await?;
    let items = draft.items().await?;
    if items.iter().any(|item| item.name == "signature") {
        return Ok(());
    }
    if told.signed {
        return Err(Lie("the signature that was told is not there").into());
    }
    let scanner = client.device("scanner").await?;
    // The same signature each time, so that dossiers can be compared byte for byte.
    station.show("flatbed", &[json!({"glass": {"kind": "signature"}, "seed": 7})])?;
    let signature = client.capture(dossier, "signature", &scanner, None).await?;
    ensure!(signature.view.state == "completed", "{signature:?}");
    told.signed = true;
    Ok(())
}

/// Something was told that is not so: no start and no second try mends that.
#[derive(Debug)]
pub(super) struct Lie(&'static str);

impl std::fmt::Display for Lie {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Lie {}

/// A refusal of the disk says which, in a word for programs; a lie is the end.
pub(super) fn judge(error: anyhow::Error) -> anyhow::Result<String> {
    if error.downcast_ref::<Lie>().is_some() {
        return Err(error);
    }
    if let Some(refused) = error.downcast_ref::<recueil_bus::Error>() {
        let named = refused.code != Code::Storage || refused.details.contains_key("reason");
        ensure!(named, "no reason: {refused:?}");
    }
    Ok(format!("{error:#}"))
}
