//! From a step of the procedure to what a device is asked for.

use std::collections::BTreeSet;

use recueil_bus::{Code, Error};
use recueil_dossier::{Content, Draft, Step, StepKind};

use crate::capture::{Scan, Subject};

/// What a step captures.
pub(super) fn subject(
    draft: &Draft,
    step: &Step,
    document: Option<&str>,
    number: Option<u32>,
) -> Result<Subject, Error> {
    let not_captured = || {
        Error::new(
            Code::Unsupported,
            format!("step {} is not captured by a device", step.id),
        )
    };
    match &step.kind {
        StepKind::Documents { scan_ppi, documents } => {
            let Some(document) = document else {
                return Err(Error::new(
                    Code::InvalidArgument,
                    "the option `document` says which paper is scanned",
                ));
            };
            let rule = documents.iter().find(|rule| rule.id == document).ok_or_else(|| {
                let known: Vec<_> = documents.iter().map(|rule| rule.id.as_str()).collect();
                Error::new(
                    Code::UnknownStep,
                    format!("papers of this step are {}", known.join(", ")),
                )
            })?;
            let pages = draft.items.values().filter_map(|item| match &item.content {
                Content::Page { document, number } if *document == rule.id => Some(*number),
                _ => None,
            });
            let taken: BTreeSet<u32> = pages.collect();
            let free = || (1..=rule.pages_max).find(|number| !taken.contains(number));
            let number = number.or_else(free).ok_or_else(|| {
                let text = format!(
                    "paper {} has {} pages at most; replace one",
                    rule.id, rule.pages_max
                );
                Error::new(Code::TooMany, text)
            })?;
            let scan = Scan {
                ppi: *scan_ppi,
                area_mm: None,
            };
            Ok(Subject::Page {
                scan,
                document: rule.id.clone(),
                number,
            })
        }
        StepKind::Photo {
            scan_ppi, area_mm, ..
        } => Ok(Subject::Photo {
            scan: Scan {
                ppi: *scan_ppi,
                area_mm: Some(*area_mm),
            },
        }),
        StepKind::Signature {
            scan_ppi, area_mm, ..
        } => Ok(Subject::Signature {
            scan: Scan {
                ppi: *scan_ppi,
                area_mm: Some(*area_mm),
            },
        }),
        StepKind::Fingerprints(rule) => Ok(Subject::Hands {
            rule: rule.clone(),
            missing: draft.missing_fingers.clone(),
        }),
        StepKind::PreDemande { .. } | StepKind::Fields { .. } | StepKind::Decision { .. } => {
            Err(not_captured())
        }
    }
}
