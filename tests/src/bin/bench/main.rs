//! `recueil-bench`: figures of the real programs, each beside a rival that is measured in turns with it in the
//! same run. The goals are those of the project; tests/BENCHES.md says what each figure means.
//!
//! A goal that is missed is printed as missed, and fails the run only with `--strict`.

mod calls;
mod faults;
mod frames;
mod host;
mod hostile;
mod memory;
mod preview;
mod report;
mod rig;
mod spawn;
mod start;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::report::Report;
use crate::rig::Rig;

/// Measures, and compares with rivals.
#[derive(Debug, Parser)]
struct Arguments {
    /// Fail if a goal is missed
    #[arg(long)]
    strict: bool,
    /// Wait a minute instead of 20 s for rivals that never end
    #[arg(long)]
    long: bool,
    /// Only this; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Bench>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// From exec to ready, beside fprintd
    Start,
    /// Memory of an idle recueild
    Memory,
    /// Reading a property
    Calls,
    /// From starting a device host to its device being ready
    Spawn,
    /// A frame from a plugin to the analyser
    Frames,
    /// A frame from a plugin to a client's preview socket
    Preview,
    /// Killed clients, wedged and crashed drivers, beside fprintd and pcscd
    Faults,
    /// An honest client beside ten hostile ones
    Hostile,
}

impl Bench {
    const ALL: [Self; 8] = [
        Self::Start,
        Self::Memory,
        Self::Calls,
        Self::Spawn,
        Self::Frames,
        Self::Preview,
        Self::Faults,
        Self::Hostile,
    ];

    fn run(self, rig: &mut Rig, report: &mut Report, patience: Duration) -> anyhow::Result<()> {
        match self {
            Self::Start => start::run(rig, report),
            Self::Memory => memory::run(rig, report),
            Self::Calls => calls::run(rig, report),
            Self::Spawn => spawn::run(rig, report),
            Self::Frames => frames::run(rig, report),
            Self::Preview => preview::run(rig, report),
            Self::Faults => faults::run(rig, report, patience),
            Self::Hostile => hostile::run(rig, report),
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { strict, long, only } = Arguments::parse();
    let mut out = std::io::stdout();
    writeln!(out, "{}", surroundings())?;
    let patience = Duration::from_secs(if long { 60 } else { 20 });
    let mut report = Report::default();
    let mut rig = Rig::start()?;
    for bench in Bench::ALL {
        if !only.is_empty() && !only.contains(&bench) {
            continue;
        }
        let name = format!("{bench:?}").to_lowercase();
        writeln!(out, "measuring: {name}")?;
        if let Err(error) = bench.run(&mut rig, &mut report, patience) {
            report.unmeasured(&name, &error);
        }
    }
    drop(rig);
    report.print(&mut out)?;
    writeln!(out, "\nload after: {}", load())?;
    let passed = report.all_measured() && (!strict || report.all_met());
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a reader must know to judge the figures.
fn surroundings() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let debug = if cfg!(debug_assertions) {
        "\nNOT an optimised build: these figures mean nothing"
    } else {
        ""
    };
    let (kernel, load) = (kernel.trim(), load());
    format!("Linux {kernel}, {processors} processors, load before: {load}{debug}")
}

/// Load averages of 1, 5 and 15 minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
