//! The program: reads images and scenario, plugs its devices in, and waits.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use recueil_virtual::control::{self, Bench};
use recueil_virtual::device::Device;
use recueil_virtual::images::Images;
use recueil_virtual::models;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Plays capture devices: a four-finger reader, a camera, a flatbed scanner.
#[derive(Debug, Parser)]
#[command(name = "recueil-virtual", version, args_conflicts_with_subcommands = true)]
struct Line {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    play: Option<Play>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Sends one command to a control socket and prints the answer.
    Send {
        /// The control socket.
        socket: PathBuf,
        /// One JSON object, as described in plugins/simulator/README.md.
        json: String,
    },
}

#[derive(Debug, Args)]
struct Play {
    /// The folder of real images, with its images.toml.
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// Where the devices' sockets appear, as MODEL.SERIAL.sock.
    #[arg(long, value_name = "DIR")]
    sockets: PathBuf,
    /// Commands to obey before any device is plugged in, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Where commands are taken while devices run.
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Devices to play.
    #[arg(long, value_name = "MODEL:SERIAL", value_delimiter = ',', default_values = models::USUAL)]
    devices: Vec<String>,
    /// Decides how things lie; the same seed and scenario give the same pictures.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<std::process::ExitCode> {
    let levels = std::env::var("RUST_LOG").ok().and_then(|text| text.parse().ok());
    tracing_subscriber::registry()
        .with(levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::ERROR)))
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .init();
    let line = Line::parse();
    match (line.verb, line.play) {
        (Some(Verb::Send { socket, json }), _) => send(&socket, &json),
        (None, Some(play)) => run(&play),
        (None, None) => anyhow::bail!("--images and --sockets are needed; see --help"),
    }
}

fn run(play: &Play) -> anyhow::Result<std::process::ExitCode> {
    let images = Arc::new(Images::load(&play.images).context("no images")?);
    let mut devices = Vec::new();
    for (text, seed) in play.devices.iter().zip(play.seed..) {
        let info = models::parse(text)?;
        // Far apart, so that no two devices show the same.
        let seed = seed.wrapping_mul(1_000_003);
        devices.push(Device::new(info, &play.sockets, Arc::clone(&images), seed));
    }
    let (bench, quitting) = Bench::new(devices);
    if let Some(path) = &play.scenario {
        bench.obey_file(path)?;
    }
    if let Some(path) = &play.control {
        bench.listen(path)?;
    }
    for device in bench.devices() {
        device.plug()?;
    }
    say("{\"ready\":true}")?;
    quitting.recv().context("the control socket is gone")?;
    for device in bench.devices() {
        device.unplug()?;
    }
    Ok(std::process::ExitCode::SUCCESS)
}

fn send(socket: &std::path::Path, json: &str) -> anyhow::Result<std::process::ExitCode> {
    let reply = control::send(socket, json)?;
    say(&serde_json::to_string(&reply)?)?;
    Ok(if reply.ok {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    })
}

fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
