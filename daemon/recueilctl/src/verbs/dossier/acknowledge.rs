//! `dossier acknowledge`.

use clap::Args;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call};
use crate::shapes;

/// Which dossier.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    call(dossier.proxy.acknowledge_refusal()).await?;
    let view = dossier.view().await?;
    let page = Page::of_line(format!(
        "{}: the refusal is acknowledged; the parcel is erased",
        view.id
    ));
    Ok(Report {
        json: json!({ "dossier": shapes::dossier(&view) }),
        page,
    })
}
