//! A procedure: what a dossier of one kind must hold. It is configuration, each legal value with its source.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{FingerPosition, Kind, sha256_hex};

/// Why a procedure file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProcedureError {
    /// It is not TOML of this shape.
    #[error("the procedure cannot be read")]
    Toml(#[from] toml::de::Error),
    /// It contradicts itself.
    #[error("procedure {id}: {rule}")]
    Rule {
        /// The procedure's id.
        id: String,
        /// What is wrong.
        rule: String,
    },
}

/// A procedure by name and content: drafts and sealed dossiers carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcedureRef {
    /// Its id.
    pub id: String,
    /// SHA-256 of its file, hexadecimal.
    pub sha256: String,
}

/// A procedure, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Procedure {
    /// Name and content.
    pub reference: ProcedureRef,
    /// In the words that the agent reads.
    pub title: String,
    /// Kind of dossier.
    pub kind: Kind,
    /// Analyser profile, a file in `config/profiles/`.
    pub profile: String,
    /// Steps in the order of the counter; unique ids.
    pub steps: Vec<Step>,
}

/// One step. Unknown keys are refused by its kind, which reads what `id` leaves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Step {
    /// Unique in its procedure.
    pub id: String,
    /// What is done.
    #[serde(flatten)]
    pub kind: StepKind,
}

/// What is done in a step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StepKind {
    /// The pré-demande's number is read or typed and the pré-demande fetched.
    PreDemande {
        /// Whether a dossier without one is incomplete.
        required: bool,
    },
    /// Data fields.
    Fields {
        /// The fields.
        fields: Vec<FieldRule>,
    },
    /// Papers on the scanner.
    Documents {
        /// Resolution of the scan, pixels per inch.
        scan_ppi: u32,
        /// The papers.
        documents: Vec<DocumentRule>,
    },
    /// The photo of the applicant, from a print on the scanner's glass.
    Photo {
        /// Whether a dossier without one is incomplete.
        required: bool,
        /// Resolution of the scan, pixels per inch.
        scan_ppi: u32,
        /// Width and height of the area that is scanned, from the glass's corner.
        area_mm: (u32, u32),
    },
    /// The hands of the applicant.
    Fingerprints(FingerprintRule),
    /// The applicant's signature, or the reason for its absence.
    Signature {
        /// Reasons that may stand for it.
        absence_reasons: BTreeSet<String>,
        /// Resolution of the scan, pixels per inch.
        scan_ppi: u32,
        /// Width and height of the area that is scanned, from the glass's corner.
        area_mm: (u32, u32),
    },
    /// A decision of the agent that is recorded, with a reason where the verdict needs one.
    Decision {
        /// Verdicts that complete the step.
        verdicts: BTreeSet<String>,
        /// Verdicts that need a reason in words.
        #[serde(default)]
        reason_for: BTreeSet<String>,
    },
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// Its name: a-z, 0-9, '-'.
    pub name: String,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// Longest value, characters.
    pub max_chars: usize,
    /// Values allowed; empty for any text.
    #[serde(default)]
    pub values: BTreeSet<String>,
}

/// One paper.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentRule {
    /// Its id: a-z, 0-9, '-'.
    pub id: String,
    /// Whether it must be there.
    pub required: bool,
    /// Most pages.
    pub pages_max: u32,
    /// Reasons by which a required paper may be left out (birth verified by COMEDEC, address by
    /// Justif'Adresse).
    #[serde(default)]
    pub waivers: BTreeSet<String>,
}

/// How fingerprints are taken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FingerprintRule {
    /// Slaps in their order.
    pub slaps: Vec<FingerPosition>,
    /// Tries a slap.
    pub attempts: u32,
    /// How many fingers are recorded at most.
    pub select: usize,
    /// By which order.
    pub order: SelectionOrder,
    /// Lowest quality, 0 to 100, of a finger that counts as possible.
    pub quality_min: u8,
    /// Longest session from first slap to selection, seconds; at most 900.
    pub timeout_s: u32,
}

/// Orders of selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectionOrder {
    /// Index, middle, ring of each hand, see [`crate::select`].
    Legal,
    /// The best qualities.
    Best,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    procedure: u32,
    id: String,
    title: String,
    kind: Kind,
    profile: String,
    /// Each legal value's source, for the reader and the administrator.
    sources: BTreeMap<String, String>,
    step: Vec<Step>,
}

impl Procedure {
    /// Version of the file format.
    pub const FORMAT: u32 = 1;

    /// Reads and checks a procedure file.
    ///
    /// # Errors
    /// What is wrong, in words an administrator can act on.
    pub fn parse(text: &str) -> Result<Self, ProcedureError> {
        let file: File = toml::from_str(text)?;
        let rule = |rule: &str| ProcedureError::Rule {
            id: file.id.clone(),
            rule: rule.to_owned(),
        };
        if file.procedure != Self::FORMAT {
            return Err(rule("this version reads `procedure = 1`"));
        }
        let names = file
            .step
            .iter()
            .map(|step| step.id.as_str())
            .chain(file.step.iter().flat_map(|step| match &step.kind {
                StepKind::Fields { fields } => fields.iter().map(|field| field.name.as_str()).collect(),
                StepKind::Documents { documents, .. } => {
                    documents.iter().map(|document| document.id.as_str()).collect()
                }
                _ => Vec::new(),
            }))
            .chain([file.id.as_str(), file.profile.as_str()]);
        for name in names {
            let valid = (1..=48).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !valid {
                return Err(rule(&format!("{name:?}: names are 1 to 48 of a-z, 0-9 and '-'")));
            }
        }
        let mut ids = BTreeSet::new();
        if let Some(step) = file.step.iter().find(|step| !ids.insert(step.id.as_str())) {
            return Err(rule(&format!("two steps are called {:?}", step.id)));
        }
        for step in &file.step {
            if let StepKind::Photo {
                scan_ppi, area_mm, ..
            }
            | StepKind::Signature {
                scan_ppi, area_mm, ..
            } = &step.kind
                && !((75..=1200).contains(scan_ppi)
                    && (10..=300).contains(&area_mm.0)
                    && (10..=432).contains(&area_mm.1))
            {
                return Err(rule(
                    "scans are made at 75 to 1200 ppi on an area of 10×10 to 300×432 mm",
                ));
            }
            if let StepKind::Fingerprints(fingers) = &step.kind {
                let slaps = !fingers.slaps.is_empty() && fingers.slaps.iter().all(|slap| slap.is_slap());
                if !slaps || fingers.attempts == 0 || fingers.quality_min > 100 {
                    return Err(rule(
                        "fingerprints need slaps 13 or 14, tries, and a quality up to 100",
                    ));
                }
                if !(1..=900).contains(&fingers.timeout_s) {
                    return Err(rule("a fingerprint session lasts 1 to 900 seconds"));
                }
            }
        }
        if file.sources.is_empty() {
            return Err(rule("each legal value needs its source under [sources]"));
        }
        Ok(Self {
            reference: ProcedureRef {
                id: file.id,
                sha256: sha256_hex(text.as_bytes()),
            },
            title: file.title,
            kind: file.kind,
            profile: file.profile,
            steps: file.step,
        })
    }

    /// The step of that id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// The rule of a field, whichever step it stands in.
    pub fn field(&self, name: &str) -> Option<&FieldRule> {
        self.steps.iter().find_map(|step| match &step.kind {
            StepKind::Fields { fields } => fields.iter().find(|field| field.name == name),
            _ => None,
        })
    }

    /// The rule of a paper.
    pub fn document(&self, id: &str) -> Option<&DocumentRule> {
        self.steps.iter().find_map(|step| match &step.kind {
            StepKind::Documents { documents, .. } => documents.iter().find(|document| document.id == id),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CNI: &str = include_str!("../../../config/procedures/cni-adulte.toml");
    const REMISE: &str = include_str!("../../../config/procedures/remise-cni.toml");

    #[test]
    fn the_procedures_shipped_are_read() {
        let cni = Procedure::parse(CNI).unwrap();
        assert_eq!(cni.kind, Kind::Deposit);
        assert!(matches!(
            cni.step("empreintes").unwrap().kind,
            StepKind::Fingerprints(_)
        ));
        assert!(cni.field("nom-naissance").unwrap().required);
        let remise = Procedure::parse(REMISE).unwrap();
        assert_eq!(remise.kind, Kind::HandOver);
    }

    #[test]
    fn a_procedure_that_contradicts_itself_is_refused() {
        let refused = |from: &str, to: &str| {
            assert!(CNI.contains(from), "the test must change something");
            Procedure::parse(&CNI.replace(from, to)).unwrap_err().to_string()
        };
        assert!(refused("id = \"photo\"", "id = \"empreintes\"").contains("two steps"));
        assert!(refused("timeout_s = 900", "timeout_s = 901").contains("900 seconds"));
        assert!(refused("id = \"photo\"", "id = \"../photo\"").contains("names are"));
        assert!(refused("attempts = 3", "attemps = 3").contains("cannot be read"));
        assert!(refused("area_mm = [130, 150]", "area_mm = [130, 150]\nsize = 3").contains("cannot be read"));
    }
}
