//! `recueil-soak`: a whole station at work for a long time, while devices are unplugged, processes killed and CERT
//! taken away, all by a seed. It works in shifts. Within a shift citizens are served at the same time and faults
//! strike; when the shift is over everything is at rest, and must be as it was at the first rest: processes,
//! descriptors, objects on the bus, files, memory. Every sealed dossier has exactly one fate at CERT.

mod chance;
mod citizen;
mod faults;
mod rest;
mod tally;
mod town;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

use crate::chance::Chance;
use crate::rest::Rests;
use crate::town::Town;

/// Lets a station work under faults, and compares it at rest with how it began.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long, in minutes
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Stop after so many faults instead
    #[arg(long)]
    events: Option<usize>,
    /// Decides who comes and what strikes
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Faults of one shift.
const FAULTS: usize = 8;
/// Citizens that are served at the same time.
const COUNTERS: u64 = 3;
/// Citizens that come to one counter in a shift.
const CITIZENS: u64 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build();
    let soaked = runtime
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(soak(&arguments)));
    match soaked {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("soak, seed {}: {error:#}", arguments.seed));
            ExitCode::FAILURE
        }
    }
}

async fn soak(arguments: &Arguments) -> anyhow::Result<()> {
    let begun = Instant::now();
    let limit = Duration::from_secs(arguments.minutes * 60);
    let town = Arc::new(Town::start()?);
    let worked = shifts(&town, arguments, begun, limit).await;
    worked.with_context(|| format!("{}\n{}", town.tally(), town.logs()))?;
    say(&format!(
        "soaked for {} s with seed {}\n{}",
        begun.elapsed().as_secs(),
        arguments.seed,
        town.tally()
    ));
    Ok(())
}

async fn shifts(
    town: &Arc<Town>,
    arguments: &Arguments,
    begun: Instant,
    limit: Duration,
) -> anyhow::Result<()> {
    // What a service does once in its life is done before the first look.
    citizen::serve(town.clone(), "A".to_owned(), Chance::new(arguments.seed)).await?;
    town.clean_up().await.context("before the first shift")?;
    let mut rests = Rests::first(town).await?;
    let (mut done, mut shift) = (0, 0);
    while arguments
        .events
        .map_or(begun.elapsed() < limit, |events| done < events)
    {
        let faults = arguments
            .events
            .map_or(FAULTS, |events| FAULTS.min(events - done));
        let chance = Chance::new(arguments.seed).fork(shift);
        let one = one_shift(town, chance, shift, faults).await;
        one.with_context(|| format!("in shift {shift}"))?;
        rests
            .compare(town)
            .await
            .with_context(|| format!("after shift {shift}"))?;
        town.judge()
            .await
            .with_context(|| format!("after shift {shift}"))?;
        done += faults;
        shift += 1;
        say(&format!(
            "shift {shift}: {done} faults, {} s; {rests}",
            begun.elapsed().as_secs()
        ));
    }
    say(&format!("{rests:#}"));
    Ok(())
}

/// Citizens and faults, until all are through.
async fn one_shift(town: &Arc<Town>, chance: Chance, shift: u64, faults: usize) -> anyhow::Result<()> {
    let mut counters = tokio::task::JoinSet::new();
    for counter in 0..COUNTERS {
        let (town, chance) = (town.clone(), chance.fork(counter));
        counters.spawn(async move {
            for number in 0..CITIZENS {
                let name = format!("S{shift:05}{counter}{number:03}");
                citizen::serve(town.clone(), name, chance.fork(number)).await?;
            }
            anyhow::Ok(())
        });
    }
    let (striking, strikes) = (town.clone(), chance.fork(COUNTERS));
    let strikes = tokio::task::spawn_blocking(move || faults::strike(&striking, strikes, faults));
    while let Some(ended) = counters.join_next().await {
        ended??;
    }
    strikes.await??;
    town.clean_up().await
}

/// A line for the person who waits.
pub(crate) fn say(line: &str) {
    // A closed terminal is no failure of the work.
    let _closed = writeln!(std::io::stdout(), "{line}");
}
