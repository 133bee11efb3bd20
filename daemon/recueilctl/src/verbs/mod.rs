//! One module a verb. Each connects, says who works where it changes something, does its work, and leaves.

pub(crate) mod capture;
pub(crate) mod devices;
pub(crate) mod dossier;
pub(crate) mod explain;
pub(crate) mod follow;
pub(crate) mod handover;
pub(crate) mod monitor;
pub(crate) mod outbox;
pub(crate) mod plugins;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod status;
pub(crate) mod version;

use crate::args::{Cli, Verb};
use crate::failure::Failure;
use crate::output::{Output, Report};
use crate::progress::Progress;
use crate::session::Session;

/// Runs one verb. None: it has printed all it had to say.
pub(crate) async fn run(
    cli: Cli,
    output: &Output,
    progress: &mut Progress,
) -> Result<Option<Report>, Failure> {
    let Cli { global, verb } = cli;
    let report = match verb {
        Verb::Explain(arguments) => explain::run(&arguments)?,
        Verb::Version => version::run(&global).await?,
        Verb::Status => status::run(&Session::connect(&global).await?).await?,
        Verb::Devices(arguments) => devices::run(&arguments, &Session::connect(&global).await?).await?,
        Verb::Plugins => plugins::run(&Session::connect(&global).await?).await?,
        Verb::Outbox => outbox::run(&Session::connect(&global).await?).await?,
        Verb::Monitor => {
            monitor::run(Session::connect(&global).await?, output).await?;
            return Ok(None);
        }
        Verb::Dossier(verb) => dossier::run(&verb, &Session::begin(&global).await?, progress).await?,
        Verb::Capture(verb) => capture::run(&verb, Session::begin(&global).await?, progress).await?,
        Verb::Scan(arguments) => scan::run(&arguments, Session::begin(&global).await?, progress).await?,
        Verb::Seal(arguments) => seal::run(&arguments, &Session::begin(&global).await?, progress).await?,
        Verb::Follow(arguments) => follow::run(&arguments, Session::begin(&global).await?, progress).await?,
        Verb::Handover(arguments) => {
            handover::run(&arguments, Session::begin(&global).await?, progress).await?
        }
    };
    progress.done();
    Ok(Some(report))
}
