//! `dossier set`. The value is not repeated in the answer.

use std::io::Read;

use clap::Args;
use recueil_bus::Code;
use serde_json::json;

use crate::args::DossierName;
use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call};
use crate::shapes;

/// Which field, and what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    dossier: DossierName,
    /// The field's name
    field: String,
    /// Its value; `-` reads it from standard input, where other users of this machine cannot see it
    #[arg(allow_hyphen_values = true)]
    value: String,
}

/// Longest value on standard input; the procedure's own limits are far below.
const VALUE_MAX_BYTES: u64 = 4096;

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let value = match arguments.value.as_str() {
        "-" => from_stdin()?,
        value => value.to_owned(),
    };
    let dossier = session.dossier(&arguments.dossier.dossier).await?;
    call(dossier.proxy.set_field(&arguments.field, &value)).await?;
    let view = dossier.view().await?;
    let done = if value.is_empty() { "removed" } else { "set" };
    let page = Page::of_line(format!("{}: {done}", arguments.field));
    Ok(Report {
        json: json!({ "dossier": shapes::dossier(&view), "field": arguments.field }),
        page,
    })
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let refused = |text: &str| Failure::new(Code::InvalidArgument, text);
    std::io::stdin()
        .lock()
        .take(VALUE_MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|_error| refused("standard input holds no text in UTF-8"))?;
    if text.len() > usize::try_from(VALUE_MAX_BYTES).unwrap_or(usize::MAX) {
        return Err(refused("the value is too long"));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
