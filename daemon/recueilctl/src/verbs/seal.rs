//! `seal`: signed, encrypted, queued; then the récépissé's data.

use clap::Args;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::progress::Progress;
use crate::session::{Held, Session, call};
use crate::shapes;

/// Which dossier.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
}

pub(crate) async fn run(
    arguments: &Arguments,
    session: &Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    sealed(&dossier, progress).await
}

/// Seals a dossier in our hands.
pub(crate) async fn sealed(dossier: &Held, progress: &mut Progress) -> Result<Report, Failure> {
    progress.say("signing and encrypting");
    call(dossier.proxy.seal()).await?;
    let (status, data) = call(dossier.proxy.recepisse("en")).await?;
    let view = dossier.view().await?;
    let page = Page::of_line(Cell::new("sealed; it is sent by itself", Tone::Good)).pairs(vec![
        ("dossier", Some(view.id.as_str().into())),
        ("number", Some(data.sequence.to_string().into())),
        ("sealed", Some(shapes::time(&data.sealed_at))),
        ("récépissé", Some(data.text.as_str().into())),
    ]);
    let json = json!({ "dossier": shapes::dossier(&view), "recepisse": shapes::recepisse(&status, &data) });
    Ok(Report { json, page })
}
