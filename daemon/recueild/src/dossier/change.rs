//! What stays of a draft when something that it was collected by changes.

use std::collections::BTreeMap;

use recueil_dossier::{Content, Draft, ItemRecord, Procedure, StepKind};

/// What stays of a draft under another procedure, and the names of what does not.
pub(super) fn kept_by(procedure: &Procedure, old: &Draft) -> (Draft, Vec<String>) {
    let mut draft = old.clone();
    draft.procedure = procedure.reference.clone();
    let mut dropped = Vec::new();
    for (name, field) in &old.fields {
        let mut trial = Draft {
            fields: BTreeMap::new(),
            ..old.clone()
        };
        if trial.set_field(procedure, name, &field.value).is_err() {
            draft.fields.remove(name);
            dropped.push(name.clone());
        }
    }
    draft.items.retain(|name, item| {
        let stays = match &item.content {
            Content::Page { document, .. } => procedure.document(document).is_some(),
            Content::Fingerprint { .. } => takes_prints(procedure, Some(&item.step)),
            Content::Face | Content::Signature => procedure.step(&item.step).is_some(),
        };
        if !stays {
            dropped.push(name.to_string());
        }
        stays
    });
    let prints = |draft: &Draft| draft.items.values().filter(|item| is_print(item)).count();
    if prints(&draft) != prints(old) || !takes_prints(procedure, None) {
        // A choice without its records would pass for hands that were presented.
        draft.selection = None;
    }
    draft
        .decisions
        .retain(|decision| Draft::allows(procedure, &decision.step, &decision.verdict, &decision.reason));
    (draft, dropped)
}

/// Whether a procedure takes fingerprints, in this step or in any.
fn takes_prints(procedure: &Procedure, id: Option<&str>) -> bool {
    let mut steps = procedure.steps.iter();
    steps.any(|step| matches!(step.kind, StepKind::Fingerprints(_)) && id.is_none_or(|id| step.id == id))
}

pub(super) fn is_print(item: &ItemRecord) -> bool {
    matches!(item.content, Content::Fingerprint { .. })
}

/// Half a selection is none: the hands must be presented again.
pub(super) fn drop_prints(draft: &mut Draft) {
    draft.items.retain(|_, item| !is_print(item));
    draft.selection = None;
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use recueil_dossier::{
        Decision, DossierId, FingerPosition, Item, ItemName, MediaType, Opening, Provenance, Selection,
        Source,
    };
    use zeroize::Zeroizing;

    use super::*;

    const RULES: &str = include_str!("../../../../config/procedures/cni-adulte.toml");

    fn procedure(change: impl FnOnce(&str) -> String) -> Procedure {
        Procedure::parse(&change(RULES)).unwrap()
    }

    fn item(name: &str, step: &str, content: Content) -> (ItemName, ItemRecord) {
        let source = Source {
            vendor: String::new(),
            model: String::new(),
            serial: String::new(),
            plugin: String::new(),
            plugin_version: String::new(),
        };
        let provenance = Provenance {
            source,
            agent: "a".parse().unwrap(),
            captured_at: Timestamp::UNIX_EPOCH,
            profile_sha256: String::new(),
            analyser: String::new(),
        };
        let payload = Zeroizing::new(vec![1]);
        let name: ItemName = name.parse().unwrap();
        let item = Item::new(
            name.clone(),
            step,
            content,
            MediaType::Png,
            Vec::new(),
            provenance,
            payload,
        );
        (name, item.record)
    }

    fn draft() -> Draft {
        let procedure = procedure(str::to_owned);
        let opening = Opening {
            id: DossierId::new(Timestamp::UNIX_EPOCH, [1; 10]),
            owner_uid: 1000,
            agent: "a".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            demande: None,
        };
        let mut draft = Draft::open(&procedure, opening);
        draft.set_field(&procedure, "nom-naissance", "SPECIMEN").unwrap();
        let print = Content::Fingerprint {
            position: FingerPosition::RIGHT_INDEX,
            ppi: 500,
        };
        let page = Content::Page {
            document: "acte-naissance".into(),
            number: 1,
        };
        draft.items = [
            item("fingerprint-02", "empreintes", print),
            item("photo", "photo", Content::Face),
            item("page-acte-naissance-1", "papiers", page),
        ]
        .into();
        draft.selection = Some(Selection::default());
        draft.decisions = vec![Decision {
            step: "signature".into(),
            verdict: "absent".into(),
            reason: "ne-peut-signer".into(),
            agent: "a".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
        }];
        draft
    }

    #[test]
    fn a_corrected_procedure_keeps_what_it_knows() {
        let corrected = procedure(|rules| format!("{rules}\n# corrected\n"));
        let (kept, dropped) = kept_by(&corrected, &draft());
        assert_eq!(dropped, Vec::<String>::new());
        assert_eq!(kept.items, draft().items);
        assert_eq!(kept.fields, draft().fields);
        assert_eq!(kept.decisions, draft().decisions);
        assert!(kept.selection.is_some());
        assert_eq!(kept.procedure, corrected.reference);
    }

    #[test]
    fn hands_that_another_step_asks_for_are_to_be_presented_again() {
        let renamed = procedure(|rules| rules.replace("\"empreintes\"", "\"doigts\""));
        let (kept, dropped) = kept_by(&renamed, &draft());
        assert_eq!(dropped, ["fingerprint-02"]);
        assert!(
            kept.selection.is_none(),
            "a choice without its records would pass for presented hands"
        );
        let missing = kept.missing(&renamed);
        assert!(
            missing.iter().any(|missing| missing.step == "doigts"),
            "{missing:?}"
        );
    }

    #[test]
    fn what_the_new_procedure_does_not_ask_for_is_dropped_and_named() {
        let renamed = procedure(|rules| {
            rules
                .replace("\"nom-naissance\"", "\"nom\"")
                .replace("\"acte-naissance\"", "\"acte\"")
                .replace("\"ne-peut-signer\"", "\"autre-raison\"")
        });
        let (kept, dropped) = kept_by(&renamed, &draft());
        assert_eq!(dropped, ["nom-naissance", "page-acte-naissance-1"]);
        assert!(kept.decisions.is_empty());
        assert_eq!(kept.items.len(), 2);
    }
}
