//! How a dossier is shown to its holder.

use recueil_bus::{DossierView, Error, ItemView, StepView};
use recueil_dossier::{Content, ItemRecord, Step, StepKind};

use super::{Dossier, Open};

impl Dossier {
    /// The properties, from the draft or from the store.
    pub(super) async fn look(&self) -> Result<DossierView, Error> {
        if let Some(Open { draft, procedure }) = &self.open {
            let missing = draft.missing(procedure).len();
            return Ok(DossierView {
                id: draft.id.to_string(),
                kind: draft.kind.as_str().to_owned(),
                state: recueil_dossier::State::Draft.as_str().to_owned(),
                procedure: draft.procedure.id.clone(),
                agent: draft.agent.to_string(),
                opened_at: draft.opened_at.to_string(),
                expires_at: Some(draft.expires_at.to_string()),
                pre_demande: draft.pre_demande.as_ref().map(ToString::to_string),
                demande: draft.demande.as_ref().map(ToString::to_string),
                missing: Some(u32::try_from(missing).unwrap_or(u32::MAX)),
                ..DossierView::default()
            });
        }
        self.look_at_sealed().await
    }
}

/// An item without its bytes.
pub(super) fn item_view(record: &ItemRecord) -> ItemView {
    let source = &record.provenance.source;
    let mut view = ItemView {
        name: record.name.to_string(),
        step: record.step.clone(),
        media_type: record.media_type.as_str().to_owned(),
        len_bytes: record.len_bytes,
        sha256: record.sha256.clone(),
        device: format!("{} {}", source.model, source.serial),
        captured_at: record.provenance.captured_at.to_string(),
        criteria: record
            .criteria
            .iter()
            .map(|one| {
                (
                    one.code.clone(),
                    one.value,
                    one.threshold.unwrap_or(f64::NAN),
                    one.pass,
                )
            })
            .collect(),
        ..ItemView::default()
    };
    let content = match &record.content {
        Content::Fingerprint { position, .. } => {
            view.position = Some(position.code());
            "fingerprint"
        }
        Content::Face => "face",
        Content::Page { document, number } => {
            view.document = Some(document.clone());
            view.page = Some(*number);
            "page"
        }
        Content::Signature => "signature",
    };
    content.clone_into(&mut view.content);
    view
}

/// A step, and the names that a client can use with it.
pub(super) fn step_view(step: &Step) -> StepView {
    let (kind, names): (_, Vec<String>) = match &step.kind {
        StepKind::PreDemande { .. } => ("pre-demande", Vec::new()),
        StepKind::Fields { fields } => ("fields", fields.iter().map(|field| field.name.clone()).collect()),
        StepKind::Documents { documents, .. } => (
            "documents",
            documents.iter().map(|document| document.id.clone()).collect(),
        ),
        StepKind::Photo { .. } => ("photo", Vec::new()),
        StepKind::Fingerprints(_) => ("fingerprints", Vec::new()),
        StepKind::Signature { absence_reasons, .. } => {
            ("signature", absence_reasons.iter().cloned().collect())
        }
        StepKind::Decision { verdicts, .. } => ("decision", verdicts.iter().cloned().collect()),
    };
    (step.id.clone(), kind.to_owned(), names)
}
