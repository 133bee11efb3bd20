//! `scan`: one page of a paper, or the signature.

use clap::Args;
use serde_json::json;

use crate::args::{DeviceChoice, DossierName};
use crate::capturing::{self, Taken, Wanted};
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::progress::Progress;
use crate::session::{Held, Session};
use crate::shapes;
use crate::verbs::capture::{SCANNER, criteria};

/// What is scanned.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["document", "signature"]))]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The paper of which this is the next page; `dossier show` lists the procedure's papers
    document: Option<String>,
    /// The sheet with the applicant's signature
    #[arg(long)]
    signature: bool,
    #[command(flatten)]
    device: DeviceChoice,
}

pub(crate) async fn run(
    arguments: &Arguments,
    mut session: Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    let taken = match &arguments.document {
        None => signature(&mut session, &dossier, &arguments.device, progress).await?,
        Some(document) => {
            let step = dossier.step("documents", Some(document)).await?;
            let wanted = Wanted {
                step,
                modality: SCANNER,
                document: Some(document),
                device: &arguments.device,
            };
            capturing::run(&mut session, &dossier, wanted, progress).await?
        }
    };
    let what = arguments.document.as_deref().unwrap_or("signature");
    let number = taken.results.iter().find_map(|result| result.get("pre-demande"));
    let page = Page::of_line(Cell::new(format!("{what}: completed"), Tone::Good)).and(criteria(&taken));
    let page = match number {
        None => page,
        Some(number) => page.pairs(vec![("pré-demande on the page", Some(number.as_str().into()))]),
    };
    let json = json!({
        "capture": taken.json(),
        "pre-demande": number,
        "dossier": shapes::dossier(&dossier.view().await?),
    });
    Ok(Report { json, page })
}

/// The signature of whichever procedure.
pub(crate) async fn signature(
    session: &mut Session,
    dossier: &Held,
    device: &DeviceChoice,
    progress: &mut Progress,
) -> Result<Taken, Failure> {
    let step = dossier.step("signature", None).await?;
    let wanted = Wanted {
        step,
        modality: SCANNER,
        document: None,
        device,
    };
    capturing::run(session, dossier, wanted, progress).await
}
