//! `recueil-demo`: an application from its QR code to the receipt R2 and the hand-over.
//!
//! Two processes: the world (this one) starts the station, CERT and the hardware, puts things on the glass, and
//! moves the demande on at CERT; station software (`recueil-demo station-software`, another user where we may)
//! knows the bus alone, and draws the contact sheet.

mod sheet;
mod software;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shows the whole station at work.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Where the results go
    #[arg(long, default_value = "demo-out")]
    out: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// The bus client; started by the demo itself
    #[command(hide = true)]
    StationSoftware {
        /// The bus
        #[arg(long)]
        bus: String,
        /// Where it writes
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { part, out } = Arguments::parse();
    let done = match part {
        None => world::run(&out),
        Some(Part::StationSoftware { bus, dir }) => software::run(bus, &dir),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A line for the person who watches.
fn say(line: &str) {
    use std::io::Write;
    // A closed terminal is no failure of the demo.
    let _closed = writeln!(std::io::stderr(), "{line}");
}
