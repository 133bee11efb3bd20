//! `dossier transfer`.

use clap::Args;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call};

/// Which draft, to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The agent who goes on with it
    to: String,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    let id = dossier.view().await?.id;
    call(dossier.proxy.transfer(&arguments.to)).await?;
    let page = Page::of_line(format!("{id}: passed on to {}", arguments.to));
    Ok(Report {
        json: json!({ "dossier": id, "agent": arguments.to }),
        page,
    })
}
