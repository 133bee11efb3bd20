//! `dossier fetch`.

use clap::Args;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::progress::Progress;
use crate::session::{Session, call};
use crate::shapes;

/// Which pré-demande.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The number, or the address in the QR code of the summary
    number: String,
}

pub(crate) async fn run(
    arguments: &Arguments,
    session: &Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    progress.say("asking CERT for the pré-demande");
    let (status, refused) = call(dossier.proxy.fetch_pre_demande(&arguments.number)).await?;
    let view = dossier.view().await?;
    let json = json!({
        "dossier": shapes::dossier(&view),
        "pre-demande": { "number": view.pre_demande, "status": status, "refused": refused },
    });
    let consumed = status == "consumed";
    let shown = if consumed {
        Cell::new("consumed: it was deposited before", Tone::Bad)
    } else {
        Cell::from(status)
    };
    let page = Page::default()
        .pairs(vec![
            ("pré-demande", view.pre_demande.as_deref().map(Cell::from)),
            ("status", Some(shown)),
        ])
        .table(
            &["not taken over"],
            refused
                .into_iter()
                .map(|field| vec![Cell::new(field, Tone::Bad)])
                .collect(),
        );
    Ok(Report { json, page })
}
