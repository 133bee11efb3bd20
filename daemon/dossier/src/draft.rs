//! A dossier while it is collected, and what it becomes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AgentId, Content, DemandeNumber, DossierId, FingerPosition, Item, ItemName, ItemRecord, MissingReason,
    PreDemande, PreDemandeNumber, Procedure, ProcedureRef, Selection, Step, StepKind,
};

/// Kinds of dossiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// An application for a title.
    Deposit,
    /// What CERT asked for afterwards.
    Complement,
    /// A title handed over.
    HandOver,
}

impl Kind {
    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Complement => "complement",
            Self::HandOver => "hand-over",
        }
    }
}

/// Where a field's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FieldSource {
    /// The applicant, on line.
    PreDemande,
    /// The agent.
    Typed,
}

/// One value and where it comes from. What the pré-demande said stays beside the agent's correction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The value.
    pub value: String,
    /// Its source.
    pub source: FieldSource,
    /// What the pré-demande said, where the agent corrected it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrects: Option<String>,
}

/// Why a field is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// The procedure has no such field.
    #[error("the procedure has no field {0:?}")]
    Unknown(String),
    /// Too long, or a control character in it.
    #[error("field {name}: printable text of at most {max_chars} characters is needed")]
    Text {
        /// Which.
        name: String,
        /// The limit.
        max_chars: usize,
    },
    /// Not one of the values allowed.
    #[error("field {name}: one of {allowed} is needed")]
    Value {
        /// Which.
        name: String,
        /// What is allowed.
        allowed: String,
    },
}

/// A decision of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The step, or the paper that is waived.
    pub step: String,
    /// The verdict.
    pub verdict: String,
    /// In words, may be empty.
    pub reason: String,
    /// Who.
    pub agent: AgentId,
    /// When.
    pub at: Timestamp,
}

/// A recorded destruction: prints that were taken and not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destruction {
    /// Fingers whose pictures were destroyed.
    pub positions: Vec<FingerPosition>,
    /// When both processes that held them had ended.
    pub at: Timestamp,
    /// How: [`Self::PROCESSES_ENDED`] or [`Self::ENDED_BEFORE_RESTART`]. In both cases the memory was never
    /// written to a disk.
    pub method: String,
}

impl Destruction {
    /// Both processes that held the prints were seen to end, and gave their memory back to the system.
    pub const PROCESSES_ENDED: &str = "processes-ended";
    /// The station's service ended before it saw them end. Both end with it, since each lives as long as its
    /// connection; `at` is when this was recorded, after the service had started again.
    pub const ENDED_BEFORE_RESTART: &str = "processes-ended-before-restart";
}

/// What a draft is opened with.
#[derive(Debug, Clone)]
pub struct Opening {
    /// Its identity.
    pub id: DossierId,
    /// The uid of the station software.
    pub owner_uid: u32,
    /// Who works.
    pub agent: AgentId,
    /// Now.
    pub at: Timestamp,
    /// When it will be destroyed if it is not sealed.
    pub expires_at: Timestamp,
    /// For a hand-over: the demande whose title it is.
    pub demande: Option<DemandeNumber>,
}

/// A dossier while it is collected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// Its identity.
    pub id: DossierId,
    /// Its kind.
    pub kind: Kind,
    /// The procedure it was opened with.
    pub procedure: ProcedureRef,
    /// The uid it belongs to.
    pub owner_uid: u32,
    /// The agent it belongs to.
    pub agent: AgentId,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it is destroyed.
    pub expires_at: Timestamp,
    /// For a hand-over: the demande whose title it is.
    pub demande: Option<DemandeNumber>,
    /// The pré-demande that was fetched.
    pub pre_demande: Option<PreDemandeNumber>,
    /// Values by name.
    pub fields: BTreeMap<String, Field>,
    /// Records by name.
    pub items: BTreeMap<ItemName, ItemRecord>,
    /// Fingers that were not captured, and why.
    pub missing_fingers: BTreeMap<FingerPosition, MissingReason>,
    /// Which fingers were chosen, once they were presented.
    pub selection: Option<Selection>,
    /// Decisions, in their order.
    pub decisions: Vec<Decision>,
    /// Destructions, in their order.
    pub destructions: Vec<Destruction>,
    /// Prints that were taken and not chosen, whose destruction is not recorded yet. It is stored with the
    /// selection, so that a crash between the two leaves no print without its record.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub surplus: BTreeSet<FingerPosition>,
}

/// Something a draft lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The step.
    pub step: String,
    /// What of it.
    #[serde(flatten)]
    pub what: MissingWhat,
}

/// Kinds of lack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "missing", rename_all = "kebab-case")]
pub enum MissingWhat {
    /// The pré-demande was not fetched.
    PreDemande,
    /// A field has no value.
    Field {
        /// Which.
        field: String,
    },
    /// A paper was not scanned nor waived.
    Document {
        /// Which.
        document: String,
    },
    /// There is no photo.
    Photo,
    /// The hands were not presented.
    Fingerprints,
    /// There is no signature and no reason for its absence.
    Signature,
    /// A decision was not recorded.
    Decision,
}

impl MissingWhat {
    /// The code on the bus, and the name it concerns.
    pub fn code(&self) -> (&'static str, &str) {
        match self {
            Self::PreDemande => ("pre-demande", ""),
            Self::Field { field } => ("field", field),
            Self::Document { document } => ("document", document),
            Self::Photo => ("photo", ""),
            Self::Fingerprints => ("fingerprints", ""),
            Self::Signature => ("signature", ""),
            Self::Decision => ("decision", ""),
        }
    }
}

/// The verdict that says a paper or a signature is left out.
const ABSENT: &str = "absent";

impl Draft {
    /// Most items in one dossier.
    pub const ITEMS_MAX: usize = 128;

    /// An empty draft of a procedure.
    pub fn open(procedure: &Procedure, opening: Opening) -> Self {
        Self {
            id: opening.id,
            kind: procedure.kind,
            procedure: procedure.reference.clone(),
            owner_uid: opening.owner_uid,
            agent: opening.agent,
            opened_at: opening.at,
            expires_at: opening.expires_at,
            demande: opening.demande,
            pre_demande: None,
            fields: BTreeMap::new(),
            items: BTreeMap::new(),
            missing_fingers: BTreeMap::new(),
            selection: None,
            decisions: Vec::new(),
            destructions: Vec::new(),
            surplus: BTreeSet::new(),
        }
    }

    /// Records a destruction; the prints that it names are no longer waited for.
    pub fn record_destruction(&mut self, destruction: Destruction) {
        for position in &destruction.positions {
            self.surplus.remove(position);
        }
        self.destructions.push(destruction);
    }

    /// Sets a field to what the agent typed; an empty text removes it.
    pub fn set_field(&mut self, procedure: &Procedure, name: &str, value: &str) -> Result<(), FieldError> {
        let value = checked_field(procedure, name, value)?;
        if value.is_empty() {
            self.fields.remove(name);
            return Ok(());
        }
        let said = self.fields.get(name).and_then(|field| match field.source {
            FieldSource::PreDemande => Some(field.value.clone()),
            FieldSource::Typed => field.corrects.clone(),
        });
        let corrects = said.filter(|said| *said != value);
        self.fields.insert(
            name.to_owned(),
            Field {
                value,
                source: FieldSource::Typed,
                corrects,
            },
        );
        Ok(())
    }

    /// Takes over a fetched pré-demande. Values that the procedure does not know or allow are left out and
    /// named; what the agent typed before stays.
    pub fn take_pre_demande(&mut self, procedure: &Procedure, fetched: PreDemande) -> Vec<FieldError> {
        let mut refused = Vec::new();
        for (name, value) in fetched.fields {
            match checked_field(procedure, &name, &value) {
                Ok(value) if value.is_empty() => {}
                Ok(value) => match self.fields.get_mut(&name) {
                    Some(field) if field.source == FieldSource::Typed => {
                        field.corrects = (field.value != value).then_some(value);
                    }
                    _ => {
                        let field = Field {
                            value,
                            source: FieldSource::PreDemande,
                            corrects: None,
                        };
                        self.fields.insert(name, field);
                    }
                },
                Err(error) => refused.push(error),
            }
        }
        self.pre_demande = Some(fetched.number);
        refused
    }

    /// The last decision on a step or a paper.
    pub fn decision(&self, step: &str) -> Option<&Decision> {
        self.decisions.iter().rev().find(|decision| decision.step == step)
    }

    /// Whether a decision is one that the procedure provides for this step or paper.
    pub fn allows(procedure: &Procedure, step: &str, verdict: &str, reason: &str) -> bool {
        if let Some(document) = procedure.document(step) {
            return verdict == ABSENT && document.waivers.contains(reason);
        }
        match procedure.step(step).map(|step| &step.kind) {
            Some(StepKind::Signature { absence_reasons, .. }) => {
                verdict == ABSENT && absence_reasons.contains(reason)
            }
            Some(StepKind::Decision { verdicts, reason_for }) => {
                verdicts.contains(verdict) && !(reason_for.contains(verdict) && reason.trim().is_empty())
            }
            _ => false,
        }
    }

    /// Everything that is lacking, in the order of the procedure. Empty: it can be sealed.
    pub fn missing(&self, procedure: &Procedure) -> Vec<Missing> {
        procedure
            .steps
            .iter()
            .flat_map(|step| self.missing_in(step))
            .collect()
    }

    fn missing_in(&self, step: &Step) -> Vec<Missing> {
        let absent = |id: &str| {
            self.decision(id)
                .is_some_and(|decision| decision.verdict == ABSENT)
        };
        let whats: Vec<MissingWhat> = match &step.kind {
            StepKind::PreDemande { required } => {
                let lacks = *required && self.pre_demande.is_none();
                lacks.then_some(MissingWhat::PreDemande).into_iter().collect()
            }
            StepKind::Fields { fields } => fields
                .iter()
                .filter(|rule| rule.required && !self.fields.contains_key(&rule.name))
                .map(|rule| MissingWhat::Field {
                    field: rule.name.clone(),
                })
                .collect(),
            StepKind::Documents { documents, .. } => documents
                .iter()
                .filter(|rule| rule.required && !self.has_page(&rule.id) && !absent(&rule.id))
                .map(|rule| MissingWhat::Document {
                    document: rule.id.clone(),
                })
                .collect(),
            StepKind::Photo { required, .. } => {
                let lacks = *required && !self.has(&step.id, |content| matches!(content, Content::Face));
                lacks.then_some(MissingWhat::Photo).into_iter().collect()
            }
            StepKind::Fingerprints(_) => self
                .selection
                .is_none()
                .then_some(MissingWhat::Fingerprints)
                .into_iter()
                .collect(),
            StepKind::Signature { .. } => {
                let signed = self.has(&step.id, |content| matches!(content, Content::Signature));
                (!signed && !absent(&step.id))
                    .then_some(MissingWhat::Signature)
                    .into_iter()
                    .collect()
            }
            StepKind::Decision { .. } => self
                .decision(&step.id)
                .is_none()
                .then_some(MissingWhat::Decision)
                .into_iter()
                .collect(),
        };
        whats
            .into_iter()
            .map(|what| Missing {
                step: step.id.clone(),
                what,
            })
            .collect()
    }

    fn has(&self, step: &str, is: impl Fn(&Content) -> bool) -> bool {
        self.items
            .values()
            .any(|item| item.step == step && is(&item.content))
    }

    fn has_page(&self, id: &str) -> bool {
        self.items
            .values()
            .any(|item| matches!(&item.content, Content::Page { document, .. } if document == id))
    }

    /// The only way on: a complete draft with the bytes of all its items becomes a dossier.
    ///
    /// # Errors
    /// What is missing; the draft and its items are given back untouched.
    pub fn finish(self, procedure: &Procedure, items: Vec<Item>) -> Result<Dossier, Box<Unfinished>> {
        let missing = self.missing(procedure);
        let complete = items.len() == self.items.len()
            && items
                .iter()
                .all(|item| self.items.get(&item.record.name) == Some(&item.record));
        if missing.is_empty() && complete {
            Ok(Dossier { content: self, items })
        } else {
            Err(Box::new(Unfinished {
                draft: self,
                items,
                missing,
            }))
        }
    }
}

fn checked_field(procedure: &Procedure, name: &str, value: &str) -> Result<String, FieldError> {
    let rule = procedure
        .field(name)
        .ok_or_else(|| FieldError::Unknown(name.chars().filter(|c| !c.is_control()).take(48).collect()))?;
    let value = value.trim();
    if value.chars().count() > rule.max_chars || value.chars().any(char::is_control) {
        return Err(FieldError::Text {
            name: name.to_owned(),
            max_chars: rule.max_chars,
        });
    }
    if !value.is_empty() && !rule.values.is_empty() && !rule.values.contains(value) {
        let allowed = rule.values.iter().cloned().collect::<Vec<_>>().join(", ");
        return Err(FieldError::Value {
            name: name.to_owned(),
            allowed,
        });
    }
    Ok(value.to_owned())
}

/// A draft that could not become a dossier, given back whole.
#[derive(Debug)]
pub struct Unfinished {
    /// As it was.
    pub draft: Draft,
    /// As they were.
    pub items: Vec<Item>,
    /// What is missing; empty where `items` are not those that the draft names.
    pub missing: Vec<Missing>,
}

/// A complete dossier. It cannot be changed, only sealed.
#[derive(Debug)]
pub struct Dossier {
    content: Draft,
    items: Vec<Item>,
}

impl Dossier {
    /// All but the bytes.
    pub fn content(&self) -> &Draft {
        &self.content
    }

    /// The records, in the order of their names.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Taken apart, by the sealing that consumes it.
    pub fn into_parts(self) -> (Draft, Vec<Item>) {
        (self.content, self.items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn procedure() -> Procedure {
        Procedure::parse(include_str!("../../../config/procedures/cni-adulte.toml")).unwrap()
    }

    fn draft() -> Draft {
        let opening = Opening {
            id: DossierId::new(Timestamp::UNIX_EPOCH, [1; 10]),
            owner_uid: 1000,
            agent: "agent.dupont".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            demande: None,
        };
        Draft::open(&procedure(), opening)
    }

    #[test]
    fn a_dossier_without_a_photo_cannot_be_finished() {
        let missing = draft().missing(&procedure());
        assert!(missing.contains(&Missing {
            step: "photo".into(),
            what: MissingWhat::Photo
        }));
        let refused = draft().finish(&procedure(), Vec::new()).unwrap_err();
        assert_eq!(refused.missing, missing);
    }

    #[test]
    fn a_correction_keeps_what_the_applicant_said() {
        let mut draft = draft();
        let fetched = PreDemande {
            number: "VALID12345".parse().unwrap(),
            status: "validated".into(),
            procedure: "cni-adulte".into(),
            fields: [("nom-naissance", "SPECIMIN"), ("inconnu", "x")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        assert_eq!(
            draft.take_pre_demande(&procedure(), fetched),
            [FieldError::Unknown("inconnu".into())]
        );
        draft
            .set_field(&procedure(), "nom-naissance", " SPECIMEN ")
            .unwrap();
        let field = &draft.fields["nom-naissance"];
        assert_eq!(
            (field.value.as_str(), field.corrects.as_deref()),
            ("SPECIMEN", Some("SPECIMIN"))
        );
        draft
            .set_field(&procedure(), "nom-naissance", "SPECIMIN")
            .unwrap();
        assert_eq!(draft.fields["nom-naissance"].corrects, None);
    }

    #[test]
    fn a_field_is_checked_at_the_border() {
        let mut draft = draft();
        let mut set = |name: &str, value: &str| draft.set_field(&procedure(), name, value);
        assert!(set("taille", &"9".repeat(500)).is_err());
        assert!(set("nom-naissance", "A\u{1b}[31mB").is_err());
        assert!(set("sexe", "X").is_err());
        assert!(set("nom\nnaissance", "A").is_err());
        assert!(set("sexe", "F").is_ok());
    }

    #[test]
    fn a_recorded_destruction_is_waited_for_no_longer() {
        let mut draft = draft();
        let [ring, little] = [4, 5].map(|code| FingerPosition::try_from(code).unwrap());
        draft.surplus.extend([ring, little]);
        let read = serde_json::from_slice::<Draft>(&serde_json::to_vec(&draft).unwrap()).unwrap();
        assert_eq!(read.surplus, draft.surplus, "it outlives a crash");
        draft.record_destruction(Destruction {
            positions: vec![ring],
            at: Timestamp::UNIX_EPOCH,
            method: Destruction::PROCESSES_ENDED.into(),
        });
        assert_eq!(draft.surplus, [little].into());
        assert_eq!(draft.destructions.len(), 1);
    }

    #[test]
    fn a_paper_is_waived_only_for_a_reason_of_the_procedure() {
        let allows = |step, verdict, reason| Draft::allows(&procedure(), step, verdict, reason);
        assert!(allows("acte-naissance", "absent", "comedec"));
        assert!(!allows("acte-naissance", "absent", "lost"));
        assert!(allows("signature", "absent", "ne-peut-signer"));
        assert!(!allows("photo", "absent", "comedec"));
    }
}
