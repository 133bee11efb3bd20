//! `recueil-cert`: makes and serves a CERT for tests and for the demo.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use recueil_cert::{Server, VALIDITY_DAYS, add_station, init};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The CERT simulator. See tests/cert/PROTOCOL.md.
#[derive(Debug, Parser)]
#[command(name = "recueil-cert", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a CERT and its first station in DIR: DIR/cert, DIR/station.
    Init {
        dir: PathBuf,
        /// The station's name.
        #[arg(long)]
        station: String,
        /// How long the certificates are valid.
        #[arg(long, default_value_t = VALIDITY_DAYS)]
        validity_days: u32,
    },
    /// Make another station of the CERT in DIR, in the new folder OUT.
    AddStation {
        dir: PathBuf,
        out: PathBuf,
        /// The station's name.
        #[arg(long)]
        station: String,
        /// How long the certificates are valid.
        #[arg(long, default_value_t = VALIDITY_DAYS)]
        validity_days: u32,
    },
    /// Serve DIR. Prints {"listening": "ADDRESS:PORT"} when ready; ends with SIGTERM or SIGINT.
    Serve {
        dir: PathBuf,
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

fn main() -> anyhow::Result<()> {
    let levels = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    tracing_subscriber::registry()
        .with(levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::ERROR)))
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .init();
    match Arguments::parse().verb {
        Verb::Init {
            dir,
            station,
            validity_days,
        } => init(&dir, &station, validity_days).context("cannot make a CERT"),
        Verb::AddStation {
            dir,
            out,
            station,
            validity_days,
        } => add_station(&dir, &station, &out, validity_days).context("cannot make a station"),
        Verb::Serve { dir, listen } => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(serve(dir, listen))
        }
    }
}

async fn serve(dir: PathBuf, listen: SocketAddr) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::listen(&dir, listen).await.context("cannot serve")?;
    let ready = serde_json::json!({"listening": server.addr().to_string()});
    writeln!(std::io::stdout(), "{ready}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    server.stop().await;
    Ok(())
}
