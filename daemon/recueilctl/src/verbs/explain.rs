//! `explain`: what a code means and what to do. It needs no station.

use clap::Args;
use serde_json::json;

use crate::failure::{Failure, Own};
use crate::output::{Report, list};
use crate::page::{Cell, Page};
use crate::texts::{self, Meaning};

/// Which code.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// The code of an error, of guidance or of a state [default: list all]
    code: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Report, Failure> {
    let all = texts::all();
    let Some(code) = &arguments.code else {
        let rows = all
            .iter()
            .map(|one| [one.code, one.of, one.means].map(Cell::from).to_vec());
        let page = Page::default().table(&["code", "of", "means"], rows.collect());
        return Ok(Report {
            json: list("codes", all.iter().map(json)),
            page,
        });
    };
    let wanted = code.trim().to_ascii_lowercase();
    let found: Vec<_> = all.into_iter().filter(|one| one.code == wanted).collect();
    if found.is_empty() {
        let text = "there is no such code; `recueilctl explain` lists all of them";
        return Err(Failure::own(Own::UnknownCode, text).with("asked", code.as_str()));
    }
    let page = found.iter().fold(Page::default(), |page, one| {
        page.pairs(vec![
            ("code", Some(format!("{} ({})", one.code, one.of).into())),
            ("means", Some(one.means.into())),
            ("do", Some(one.advice.into())),
        ])
    });
    Ok(Report {
        json: json!({ "code": wanted, "meanings": found.iter().map(json).collect::<Vec<_>>() }),
        page,
    })
}

fn json(meaning: &Meaning) -> serde_json::Value {
    json!({ "code": meaning.code, "of": meaning.of, "means": meaning.means, "advice": meaning.advice })
}
