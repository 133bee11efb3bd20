//! What can be typed. Each verb's own arguments stand in its module.

use clap::{Args, Parser, Subcommand};
use recueil_dossier::AgentId;

use crate::verbs::{capture, devices, dossier, explain, follow, handover, scan, seal};

/// The biometric station on the command line
#[derive(Debug, Parser)]
#[command(name = "recueilctl", version, after_help = after_help(), subcommand_required = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What a caller should know besides the verbs.
fn after_help() -> String {
    format!(
        "A dossier that is used is taken over from any other program of the same user; a capture that runs \
         there is cancelled.\n\n{}",
        crate::exit::table()
    )
}

/// What every verb takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Print exactly one JSON document, of an error too: {"error": {"code", "text", "details"}};
    /// monitor prints one a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Who works, as dossiers record it [default: the login name]
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) agent: Option<AgentId>,
    /// A private bus instead of the system's, by its D-Bus address
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub(crate) bus: Option<String>,
    /// Say nothing on standard error while work goes on
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// The verbs. DOSSIER is an id, its beginning (8 characters or more), or `last` for the one opened last.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show how the station stands
    Status,
    /// List the devices, or release one from quarantine
    Devices(devices::Arguments),
    /// List the plugins, and why one is not admitted
    Plugins,
    /// Show what changes until Ctrl-C: devices, the service, CERT, the outbox
    Monitor,
    /// Open, look at and fill dossiers
    #[command(subcommand)]
    Dossier(dossier::Verb),
    /// Capture the applicant's fingerprints or photo
    #[command(subcommand)]
    Capture(capture::Verb),
    /// Scan one page of a paper, or the signature
    Scan(scan::Arguments),
    /// Sign, encrypt and queue a dossier; the station cannot read it afterwards
    Seal(seal::Arguments),
    /// Follow a dossier until a state, or until nothing more can follow
    Follow(follow::Arguments),
    /// Hand a title over: open, decide, sign and seal in one go
    Handover(handover::Arguments),
    /// List the parcels that have no final receipt
    Outbox,
    /// Say what a code of an error, of guidance or of a state means, and what to do
    Explain(explain::Arguments),
    /// Show the versions of this program and of the station
    Version,
}

/// How a dossier is named on the command line.
#[derive(Debug, Clone, Args)]
pub(crate) struct DossierName {
    /// An id, its beginning (8 characters or more), or `last`
    #[arg(value_name = "DOSSIER")]
    pub(crate) dossier: String,
}

/// Which device.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeviceChoice {
    /// The device [default: the first fit one that is ready]
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<String>,
}
