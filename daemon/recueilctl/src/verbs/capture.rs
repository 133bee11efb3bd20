//! `capture`: the applicant's hands and photo.

use clap::{Args, Subcommand};
use recueil_dossier::FingerPosition;
use serde_json::json;

use crate::args::{DeviceChoice, DossierName};
use crate::capturing::{self, Taken, Wanted};
use crate::failure::Failure;
use crate::output::Report;
use crate::page::{Cell, Page, Tone};
use crate::progress::Progress;
use crate::session::{Session, call};
use crate::{shapes, texts};

/// What is captured.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Both hands, four fingers each; the law's two prints are kept
    Fingerprints(Fingerprints),
    /// The photo, from a print on the scanner's glass
    Photo(Photo),
}

/// Hands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Fingerprints {
    #[command(flatten)]
    dossier: DossierName,
    #[command(flatten)]
    device: DeviceChoice,
    /// A finger that cannot be presented: its position code (2 right index to 10 left little finger) and
    /// amputated, bandaged, temporary, or present to take it back
    #[arg(long, value_name = "FINGER=REASON", value_parser = missing_finger)]
    missing: Vec<(u8, String)>,
}

/// A photo.
#[derive(Debug, Clone, Args)]
pub(crate) struct Photo {
    #[command(flatten)]
    dossier: DossierName,
    #[command(flatten)]
    device: DeviceChoice,
}

/// Where a photo print is laid.
pub(crate) const SCANNER: &str = "scanner";
const READER: &str = "fingerprint";

pub(crate) async fn run(verb: &Verb, session: Session, progress: &mut Progress) -> Result<Report, Failure> {
    match verb {
        Verb::Fingerprints(arguments) => fingerprints(arguments, session, progress).await,
        Verb::Photo(arguments) => photo(arguments, session, progress).await,
    }
}

async fn fingerprints(
    arguments: &Fingerprints,
    mut session: Session,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    for (position, reason) in &arguments.missing {
        call(dossier.proxy.declare_missing_finger(*position, reason)).await?;
    }
    let step = dossier.step("fingerprints", None).await?;
    let wanted = Wanted {
        step,
        modality: READER,
        document: None,
        device: &arguments.device,
    };
    let taken = capturing::run(&mut session, &dossier, wanted, progress).await?;
    let page = Page::of_line(Cell::new("fingerprints: completed", Tone::Good)).and(hands(&taken));
    Ok(Report {
        json: json!({ "capture": taken.json(), "dossier": shapes::dossier(&dossier.view().await?) }),
        page,
    })
}

async fn photo(arguments: &Photo, mut session: Session, progress: &mut Progress) -> Result<Report, Failure> {
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    let step = dossier.step("photo", None).await?;
    let wanted = Wanted {
        step,
        modality: SCANNER,
        document: None,
        device: &arguments.device,
    };
    let taken = capturing::run(&mut session, &dossier, wanted, progress).await?;
    let page = Page::of_line(Cell::new("photo: completed", Tone::Good)).and(criteria(&taken));
    Ok(Report {
        json: json!({ "capture": taken.json(), "dossier": shapes::dossier(&dossier.view().await?) }),
        page,
    })
}

/// Each finger that was measured, and whether it was chosen.
fn hands(taken: &Taken) -> Page {
    let of = |kind: &'static str| {
        taken
            .results
            .iter()
            .filter(move |result| result.get("type").is_some_and(|is| is == kind))
    };
    let key = |key: &'static str| {
        move |result: &std::collections::BTreeMap<String, String>| result.get(key).cloned()
    };
    let selected: Vec<_> = of("selected").filter_map(key("position")).collect();
    let rows = of("finger").map(|finger| {
        let position = finger.get("position").cloned().unwrap_or_default();
        let name = position
            .parse()
            .ok()
            .and_then(texts::finger)
            .unwrap_or_else(|| position.clone());
        let value = |name| Cell::from(finger.get(name).cloned().unwrap_or_default());
        let chosen = if selected.contains(&position) {
            Cell::new("kept", Tone::Good)
        } else {
            "destroyed".into()
        };
        vec![
            name.into(),
            value("try"),
            value("quality"),
            value("quality-min"),
            chosen,
        ]
    });
    Page::default().table(&["finger", "try", "quality", "least", ""], rows.collect())
}

/// What was measured on a picture, with its threshold.
pub(crate) fn criteria(taken: &Taken) -> Page {
    let criteria = taken
        .results
        .iter()
        .filter(|result| result.get("type").is_some_and(|is| is == "criterion"));
    let rows = criteria.map(|result| {
        let value = |name| Cell::from(result.get(name).cloned().unwrap_or_default());
        let pass = result.get("pass").is_some_and(|pass| pass == "true");
        let verdict = if pass {
            Cell::new("pass", Tone::Good)
        } else {
            Cell::new("fail", Tone::Bad)
        };
        vec![value("code"), value("value"), value("threshold"), verdict]
    });
    Page::default().table(&["criterion", "value", "threshold", ""], rows.collect())
}

fn missing_finger(text: &str) -> Result<(u8, String), String> {
    let (finger, reason) = text.split_once('=').ok_or("FINGER=REASON is needed")?;
    let code: u8 = finger
        .parse()
        .map_err(|_not_a_number| "a position code is a number")?;
    let position = FingerPosition::try_from(code).map_err(str::to_owned)?;
    if position.is_slap() {
        return Err("one finger is declared, not a hand".to_owned());
    }
    match reason {
        "amputated" | "bandaged" | "temporary" => Ok((code, reason.to_owned())),
        "present" => Ok((code, String::new())),
        _ => Err("reasons are amputated, bandaged, temporary; present takes one back".to_owned()),
    }
}
