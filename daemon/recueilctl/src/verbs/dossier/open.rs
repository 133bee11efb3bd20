//! `dossier open`.

use std::collections::HashMap;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::Report;
use crate::page::Page;
use crate::session::{Session, call, text};
use crate::shapes;

/// Of what.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Kind and procedure: deposit/cni-adulte, hand-over/remise-cni
    #[arg(value_name = "KIND/PROCEDURE", value_parser = what)]
    what: (String, String),
    /// Hand-over: CERT's number of the demande
    #[arg(long, value_name = "NUMBER")]
    demande: Option<String>,
    /// Repeating the command with the same token gives the same dossier
    #[arg(long, value_name = "TEXT")]
    token: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let mut options = HashMap::new();
    for (name, value) in [("demande", &arguments.demande), ("token", &arguments.token)] {
        if let Some(value) = value {
            options.insert(name.to_owned(), text(value)?);
        }
    }
    let (kind, procedure) = &arguments.what;
    let (path, id) = call(session.station.open_dossier(kind, procedure, options)).await?;
    let dossier = session.held(id, path.to_string()).await?;
    let view = dossier.view().await?;
    Ok(Report {
        json: json!({ "dossier": shapes::dossier(&view) }),
        page: Page::of_line(dossier.id),
    })
}

fn what(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((kind, procedure)) if !kind.is_empty() && !procedure.is_empty() => {
            Ok((kind.to_owned(), procedure.to_owned()))
        }
        _ => Err("kind and procedure are needed, as in deposit/cni-adulte".to_owned()),
    }
}
