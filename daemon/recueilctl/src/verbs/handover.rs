//! `handover`: a title is handed over in one go: old title, new title, comparison, signature, sealed. It works
//! with no network. Where it stops half-way, the same command goes on with the same draft.

use std::collections::HashMap;

use clap::Args;
use recueil_dossier::DemandeNumber;
use serde_json::Value;

use crate::args::DeviceChoice;
use crate::failure::Failure;
use crate::output::Report;
use crate::progress::Progress;
use crate::session::{Held, Session, call, text};
use crate::verbs::{scan, seal};

/// What is decided at the desk.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// CERT's number of the demande
    demande: DemandeNumber,
    /// What became of the old title: restitue, perdu, vole, sans-objet, conserve
    #[arg(long, value_name = "VERDICT")]
    old_title: String,
    /// Why, where the verdict needs it
    #[arg(long, value_name = "TEXT", default_value = "")]
    old_title_reason: String,
    /// The number of the new title
    #[arg(long, value_name = "NUMBER")]
    new_title: String,
    /// The comparison of the holder with the new title: conforme, non-conforme, impossible
    #[arg(long, value_name = "VERDICT")]
    comparison: String,
    /// Why, where the comparison's verdict needs it
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// No signature is scanned, for this reason: ne-peut-signer, refus
    #[arg(long, value_name = "REASON")]
    signature_absent: Option<String>,
    /// The procedure
    #[arg(long, value_name = "PROCEDURE", default_value = "remise-cni")]
    procedure: String,
    #[command(flatten)]
    device: DeviceChoice,
}

const KIND: &str = "hand-over";
// Steps and fields as hand-over procedures name them.
const OLD_TITLE: &str = "ancien-titre";
const NEW_TITLE: &str = "numero-titre";
const COMPARISON: &str = "comparaison";

pub(crate) async fn run(
    arguments: &Arguments,
    mut session: Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = open(arguments, &session).await?;
    // The id says with which dossier to go on by other verbs, or which to cancel.
    steps(arguments, &mut session, &dossier, progress)
        .await
        .map_err(|failure| failure.with("dossier", dossier.id.as_str()))
}

async fn steps(
    arguments: &Arguments,
    session: &mut Session,
    dossier: &Held,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    progress.say("recording the old title, the new title and the comparison");
    let Arguments {
        old_title,
        old_title_reason,
        new_title,
        comparison,
        reason,
        ..
    } = arguments;
    call(
        dossier
            .proxy
            .record_decision(OLD_TITLE, old_title, old_title_reason),
    )
    .await?;
    call(dossier.proxy.set_field(NEW_TITLE, new_title)).await?;
    call(dossier.proxy.record_decision(COMPARISON, comparison, reason)).await?;
    let taken = match &arguments.signature_absent {
        Some(reason) => {
            let step = dossier.step("signature", None).await?;
            call(dossier.proxy.record_decision(&step, "absent", reason)).await?;
            None
        }
        None => Some(scan::signature(session, dossier, &arguments.device, progress).await?),
    };
    let mut report = seal::sealed(dossier, progress).await?;
    if let (Value::Object(entries), Some(taken)) = (&mut report.json, taken) {
        entries.insert("capture".to_owned(), taken.json());
    }
    Ok(report)
}

/// The draft of an earlier try, or a new one.
async fn open(arguments: &Arguments, session: &Session) -> Result<Held, Failure> {
    let demande = arguments.demande.as_str();
    let drafts = call(session.station.list_drafts()).await?;
    let earlier = drafts.into_iter().find(|draft| {
        draft.kind == KIND
            && draft.procedure == arguments.procedure
            && draft.demande.as_deref() == Some(demande)
    });
    if let Some(draft) = earlier {
        return session.dossier(&draft.id).await;
    }
    let options = HashMap::from([("demande".to_owned(), text(demande)?)]);
    let (path, id) = call(session.station.open_dossier(KIND, &arguments.procedure, options)).await?;
    session.held(id, path.to_string()).await
}
