//! `dossier list`.

use clap::Args;
use recueil_dossier::State;

use crate::failure::Failure;
use crate::output::{Report, list, none};
use crate::page::Page;
use crate::session::Session;
use crate::shapes;

/// Which.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = |name: &str| State::parse(name).ok_or("there is no such state"))]
    state: Option<State>,
}

pub(crate) async fn run(arguments: &Arguments, session: &Session) -> Result<Report, Failure> {
    let dossiers = session.dossiers(arguments.state.map(State::as_str)).await?;
    let json = list("dossiers", dossiers.iter().map(shapes::summary));
    if dossiers.is_empty() {
        return Ok(Report {
            json,
            page: none("such dossier of this user"),
        });
    }
    let rows = dossiers.iter().map(|dossier| {
        vec![
            dossier.id.as_str().into(),
            shapes::state(&dossier.state),
            dossier.procedure.as_str().into(),
            dossier.agent.as_str().into(),
            shapes::time(&dossier.since),
            dossier.demande.clone().unwrap_or_default().into(),
        ]
    });
    let head = ["id", "state", "procedure", "agent", "since", "demande"];
    Ok(Report {
        json,
        page: Page::default().table(&head, rows.collect()),
    })
}
