//! `dossier`: opening, looking at and filling dossiers.

mod acknowledge;
mod cancel;
mod decide;
mod fetch;
mod list;
mod missing;
mod open;
mod set;
mod show;
mod transfer;

use clap::Subcommand;

use crate::failure::Failure;
use crate::output::Report;
use crate::progress::Progress;
use crate::session::Session;

/// What is done with dossiers.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Open a draft of a procedure
    Open(open::Arguments),
    /// List drafts and sealed dossiers of this user, the one opened last first
    List(list::Arguments),
    /// Show a dossier; its fields only with --fields
    Show(show::Arguments),
    /// Show what a draft lacks, and the command for each
    Missing(missing::Arguments),
    /// Set a field, or remove it with an empty value
    Set(set::Arguments),
    /// Record a decision of the agent, or that a paper is left out
    Decide(decide::Arguments),
    /// Fetch the pré-demande by its number and take its data over
    Fetch(fetch::Arguments),
    /// Give a draft up; its data are destroyed
    Cancel(cancel::Arguments),
    /// Confirm that CERT's refusal was read; the parcel is erased
    Acknowledge(acknowledge::Arguments),
    /// Pass a draft on to another agent, who goes on with it
    Transfer(transfer::Arguments),
}

pub(crate) async fn run(verb: &Verb, session: &Session, progress: &mut Progress) -> Result<Report, Failure> {
    match verb {
        Verb::Open(arguments) => open::run(arguments, session).await,
        Verb::List(arguments) => list::run(arguments, session).await,
        Verb::Show(arguments) => show::run(arguments, session).await,
        Verb::Missing(arguments) => missing::run(arguments, session).await,
        Verb::Set(arguments) => set::run(arguments, session).await,
        Verb::Decide(arguments) => decide::run(arguments, session).await,
        Verb::Fetch(arguments) => fetch::run(arguments, session, progress).await,
        Verb::Cancel(arguments) => cancel::run(arguments, session).await,
        Verb::Acknowledge(arguments) => acknowledge::run(arguments, session).await,
        Verb::Transfer(arguments) => transfer::run(arguments, session).await,
    }
}
