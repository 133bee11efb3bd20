//! `cargo xtask faults disk [--seed N] [--all]`: crash steps, failing calls and power cuts of store, courier and the whole
//! station in larger numbers than CI's. `--all` leaves no step and no call out and takes hours; else as many as fit into
//! some minutes.

use anyhow::Context;

use crate::packages;
use crate::run::{cargo, cargo_tool, say, succeed};

/// What a variable of the tests is without `--all`, and with it.
const NUMBERS: &[(&str, &str, &str)] = &[
    ("RECUEIL_FAULTS_SHARE", "2", "1"),
    ("RECUEIL_FAULTS_CUTS", "5000", "50000"),
    ("RECUEIL_FAULTS_COURIER_CUTS", "300", "3000"),
    // Of each test of the whole station; 0: all that there are.
    ("RECUEIL_FAULTS_STORIES", "200", "0"),
];
const TESTS: &str = "binary(failing_calls) | binary(power_cut) | binary(full_disk) | binary(disk)";

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (mut seed, mut all) = (1u64, false);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--all" => all = true,
            "--seed" => {
                let number = words.next().context("--seed needs a number")?;
                seed = number.parse().context("--seed needs a number")?;
            }
            other => anyhow::bail!("{other}: only --seed N and --all are known"),
        }
    }
    packages::install(&[packages::SERVICES, packages::TESTS])?;
    cargo_tool("cargo-nextest", "0.9.143")?;
    succeed(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    let mut tests = cargo(&[
        "nextest",
        "run",
        "--workspace",
        "--profile",
        "whole",
        "--success-output",
        "immediate",
        "-E",
        TESTS,
    ]);
    tests.env("RECUEIL_FAULTS_SEED", seed.to_string());
    for (name, some, every) in NUMBERS {
        tests.env(name, if all { every } else { some });
    }
    let tested = succeed(&mut tests);
    say(&format!(
        "seed {seed}; the same again: cargo xtask faults disk --seed {seed}{}",
        if all { " --all" } else { "" }
    ));
    tested
}
