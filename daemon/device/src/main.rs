//! recueil-hostd: admits plugins, matches devices, starts, limits and kills hosts.
//!
//! `recueil-hostd --config FILE`. Ends with 0 after SIGTERM or SIGINT, with 2 if it is called wrongly, with 1
//! for every other reason, which is on the last line of the log.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use recueil_device::config::Config;
use recueil_device::{Error, Hostd, harden, run};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn main() -> ExitCode {
    let levels = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    let written = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    tracing_subscriber::registry()
        .with(levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO)))
        .with(written)
        .init();
    let Some(config_path) = config_path() else {
        tracing::error!("usage: recueil-hostd --config FILE");
        return ExitCode::from(2);
    };
    match serve(&config_path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn config_path() -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next(), args.next()) {
        (Some(flag), Some(path), None) if flag == "--config" => Some(path.into()),
        _ => None,
    }
}

fn serve(config_path: &Path) -> Result<(), Error> {
    harden::harden()?;
    let config = Config::load(config_path)?;
    let failed = |source| Error::System {
        what: "starting the runtime",
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let hostd = Hostd::bind(config)?;
        notify(NotifyState::Ready);
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            notify(NotifyState::Stopping);
        };
        run(hostd, shutdown).await
    });
    // A file that is being hashed must not keep us.
    runtime.shutdown_background();
    outcome
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
