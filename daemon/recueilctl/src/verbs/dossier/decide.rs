//! `dossier decide`.

use clap::Args;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call};
use crate::shapes;

/// On what, and how.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The step, or the paper that is left out
    step: String,
    /// A verdict of the step; `absent` leaves a paper or the signature out
    verdict: String,
    /// Why, where the procedure asks for it
    #[arg(default_value = "")]
    reason: String,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let Arguments {
        step,
        verdict,
        reason,
        ..
    } = arguments;
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    call(dossier.proxy.record_decision(step, verdict, reason)).await?;
    let view = dossier.view().await?;
    let json = json!({ "dossier": shapes::dossier(&view), "step": step, "verdict": verdict });
    Ok(Report {
        json,
        page: Page::of_line(format!("{step}: {verdict}")),
    })
}
