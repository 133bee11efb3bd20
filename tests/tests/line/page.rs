//! The faults as a table for people.

use std::fmt::Write;

use crate::faults::{Fate, Fault, Others};

pub(crate) fn table(groups: &[(&str, &[Fault])]) -> String {
    let mut text = String::new();
    for (name, faults) in groups {
        // Writing to a String cannot fail.
        let _infallible = write!(
            text,
            "### {name}\n\n| fault | what `recueilctl outbox` or `status` says | what is to be done | other parcels | end, once lifted |\n|---|---|---|---|---|\n"
        );
        for fault in *faults {
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                fault.name,
                told(fault),
                fault.remedy,
                others(fault.others),
                fate(fault.fate)
            );
        }
        text.push('\n');
    }
    text
}

fn told(fault: &Fault) -> String {
    match (fault.told, fault.fate) {
        ("", Fate::Refused) => "state `refused`, and CERT's reason in `dossier show`".to_owned(),
        ("", Fate::Ingested) => "nothing that stays: it arrives all the same".to_owned(),
        (told, _) if told.starts_with('"') => "state `stored`".to_owned(),
        (told, _) => format!("… {told} …"),
    }
}

fn others(others: Others) -> &'static str {
    match others {
        Others::Go => "go",
        Others::Wait => "wait too",
    }
}

pub(crate) fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Ingested => "R2, once",
        Fate::Refused => "signed refusal, once",
    }
}
