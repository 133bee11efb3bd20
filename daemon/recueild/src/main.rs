//! `recueild`: parses, starts, waits, reports.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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
    let levels = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let written = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)))
        .with(written)
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
