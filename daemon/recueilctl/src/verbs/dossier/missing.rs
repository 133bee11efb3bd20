//! `dossier missing`.

use clap::Args;
use recueil_bus::MissingView;
use serde_json::{Value, json};

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::session::{Session, call};
use crate::shapes;

/// Of which dossier.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let name = &arguments.dossier.dossier;
    let dossier = session.dossier(name).await?;
    let missing = call(dossier.proxy.missing()).await?;
    let view = dossier.view().await?;
    let list: Vec<Value> = missing.iter().map(shapes::missing).collect();
    let json = json!({ "dossier": shapes::dossier(&view), "missing": list });
    if missing.is_empty() {
        let text = format!("nothing; it can be sealed: recueilctl seal {name}");
        return Ok(Report {
            json,
            page: Page::of_line(Cell::new(text, Tone::Good)),
        });
    }
    let rows = missing.iter().map(|lack| {
        let (step, what, of) = lack;
        vec![
            step.as_str().into(),
            format!("{what} {of}").trim().into(),
            Cell::new(command(name, lack), Tone::Dim),
        ]
    });
    Ok(Report {
        json,
        page: Page::default().table(&["step", "missing", "command"], rows.collect()),
    })
}

/// What to type for a lack.
fn command(dossier: &str, (step, what, name): &MissingView) -> String {
    let rest = match what.as_str() {
        "pre-demande" => format!("dossier fetch {dossier} NUMBER"),
        "field" => format!("dossier set {dossier} {name} VALUE"),
        "document" => format!("scan {dossier} {name}"),
        "photo" => format!("capture photo {dossier}"),
        "fingerprints" => format!("capture fingerprints {dossier}"),
        "signature" => format!("scan {dossier} --signature"),
        "decision" => format!("dossier decide {dossier} {step} VERDICT"),
        _ => format!("dossier show {dossier}"),
    };
    format!("recueilctl {rest}")
}
