//! `recueild`: parses, starts, waits, reports.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// The station's service on the D-Bus: dossiers, captures, sealing.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Configuration file
    #[arg(long, default_value = "/etc/recueil/recueil.toml")]
    config: PathBuf,
    /// A private bus, by its D-Bus address, instead of the system bus (demo and tests)
    #[arg(long)]
    private_bus: Option<String>,
    /// On a private bus: a uid that may do everything, instead of asking polkit; may be repeated
    #[arg(long = "allow-uid", requires = "private_bus")]
    allowed_uids: Vec<u32>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let Arguments {
        config,
        private_bus,
        allowed_uids,
    } = Arguments::parse();
    if rustix::process::geteuid().is_root() {
        tracing::error!("recueild never runs as root; start it as the user `recueil`");
        return ExitCode::FAILURE;
    }
    if let Err(error) = harden() {
        tracing::error!(%error, "this process cannot be made undumpable");
        return ExitCode::FAILURE;
    }
    match recueild::run(recueild::Arguments {
        config,
        private_bus,
        allowed_uids,
    })
    .await
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            tracing::error!("{ended}");
            ExitCode::from(ended.status())
        }
    }
}

/// No core file and no debugger of the same user sees a dossier or a key.
fn harden() -> rustix::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
