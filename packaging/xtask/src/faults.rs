//! `cargo xtask faults WHAT`: what CI runs a part of, whole.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, bail};

use crate::packages;
use crate::run::{cargo, cargo_tool, say, succeed, target};

/// The line to CERT: the test programs of the courier and of the whole product.
const LINE: &[&str] = &["cuts", "dead_line", "line", "patience", "raw"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Some((what, rest)) = arguments.split_first() else {
        bail!("of what? `line [--all]`, `disk [--seed N] [--all]`, `matrix [FAULT]`");
    };
    if what == "disk" {
        return crate::disk::run(rest);
    }
    if what == "matrix" {
        return matrix(rest);
    }
    let all = match rest {
        [] => false,
        [all] if all == "--all" => true,
        _ => bail!("only `--all` may follow"),
    };
    match what.as_str() {
        "line" => tests(LINE, all),
        _ => bail!("there are no faults of {what}"),
    }
}

/// Every state of the station with every fault, or with one of tests/FAULTS.md, each cell printed as it went.
fn matrix(rest: &[String]) -> anyhow::Result<()> {
    let fault = match rest {
        [] => None,
        [fault] => Some(fault),
        _ => bail!("one fault may follow, as tests/FAULTS.md names it: `faults matrix \"disk full\"`"),
    };
    packages::install(&[packages::SERVICES, packages::TESTS])?;
    cargo_tool("cargo-nextest", "0.9.143")?;
    succeed(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    let columns = target().join("tmp/matrix");
    // Of an earlier run.
    drop(std::fs::remove_dir_all(&columns));
    let mut command = cargo(&["nextest", "run", "--workspace", "--test", "matrix"]);
    command.args(["--no-fail-fast", "--success-output", "immediate"]);
    if let Some(fault) = fault {
        command.env("RECUEIL_FAULT", fault);
    }
    let played = succeed(&mut command);
    print_columns(&columns)?;
    played
}

/// The cells as they went, which the tests leave one column a file, as lines of fault and outcome.
fn print_columns(folder: &Path) -> anyhow::Result<()> {
    let mut files = std::fs::read_dir(folder)
        .context("no row was played")?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.sort();
    let (mut faults, mut columns) = (Vec::new(), Vec::new());
    for file in &files {
        let name = file.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let state = name.split_once(' ').map_or(name, |(_, state)| state).to_owned();
        let text = std::fs::read_to_string(file)?;
        let cells: BTreeMap<_, _> = text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(fault, cell)| (fault.to_owned(), cell.to_owned()))
            .collect();
        if faults.is_empty() {
            faults = text
                .lines()
                .filter_map(|line| Some(line.split_once('\t')?.0.to_owned()))
                .collect();
        }
        columns.push((state, cells));
    }
    let states: Vec<_> = columns.iter().map(|(state, _)| state.as_str()).collect();
    say(&format!(
        "\n| | {} |\n|---|{}",
        states.join(" | "),
        "---|".repeat(states.len())
    ));
    let (mut played, mut failed, mut guarded, mut empty) = (0, 0, 0, 0);
    for fault in &faults {
        let cells: Vec<_> = columns
            .iter()
            .map(|(_, cells)| cells.get(fault).map_or("", String::as_str))
            .collect();
        say(&format!("| {fault} | {} |", cells.join(" | ")));
        for cell in cells {
            match cell {
                "" => empty += 1,
                "FAILED" => failed += 1,
                cell if cell.starts_with('–') => guarded += 1,
                _ => played += 1,
            }
        }
    }
    say(&format!(
        "\n{} cells: {played} played and as expected, {failed} failed, {guarded} that cannot occur, {empty} empty",
        columns.len() * faults.len()
    ));
    Ok(())
}

/// Runs these test programs and shows what they say; all of their cases where `all` says so.
fn tests(programs: &[&str], all: bool) -> anyhow::Result<()> {
    packages::install(&[packages::SERVICES, packages::TESTS])?;
    cargo_tool("cargo-nextest", "0.9.143")?;
    succeed(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    let mut command = cargo(&["nextest", "run", "--workspace", "--success-output", "immediate"]);
    for program in programs {
        command.args(["--test", program]);
    }
    if all {
        // Longer than any test of CI may take.
        command
            .args(["--profile", "whole"])
            .env("RECUEIL_FAULTS_ALL", "1");
    }
    succeed(&mut command)
}
