//! `cargo xtask faults WHAT`: what CI runs a part of, whole.

use anyhow::bail;

use crate::packages;
use crate::run::{cargo, cargo_tool, succeed};

/// The line to CERT: the test programs of the courier and of the whole product.
const LINE: &[&str] = &["cuts", "dead_line", "line", "patience"];

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
    let mut command = cargo(&["nextest", "run", "--workspace", "--test", "matrix"]);
    command.args([
        "--ignore-default-filter",
        "--no-fail-fast",
        "--success-output",
        "immediate",
    ]);
    if let Some(fault) = fault {
        command.env("RECUEIL_FAULT", fault);
    }
    succeed(&mut command)
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
