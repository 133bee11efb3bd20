//! `cargo xtask test`: what CI runs.

use std::fmt::Write;

use anyhow::Context;

use crate::packages;
use crate::run::{cargo, cargo_tool, root, say, succeed, target};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[packages::SERVICES, packages::TESTS])?;
    cargo_tool("cargo-nextest", "0.9.143")?;
    cargo_tool("cargo-deny", "0.20.2")?;
    succeed(&mut cargo(&["fmt", "--all", "--check"]))?;
    // `advisories` asks a server that a bare machine may not reach.
    succeed(&mut cargo(&[
        "deny",
        "--config",
        ".cargo/deny.toml",
        "check",
        "bans",
        "licenses",
        "sources",
    ]))?;
    succeed(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    // Stories start the programs themselves, so all are built first, with the features that tests ask for: else
    // every dependency would be built twice.
    succeed(&mut cargo(&["build", "--workspace", "--all-targets"]))?;
    if packages::is_root() {
        // Tests on a booted system have a deadline, and the first tree takes minutes to come. Where it cannot be made,
        // they say so.
        let mut tree = std::process::Command::new(root().join("tests/system/build-tree.sh"));
        if let Err(error) = succeed(tree.arg(target().join("system"))) {
            say(&format!("there is no Debian to boot: {error:#}"));
        }
    }
    let tested = succeed(cargo(&["nextest", "run", "--workspace"]).args(arguments));
    let told = slowest();
    let documented = succeed(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]));
    say(&told?);
    tested.and(documented)
}

/// The ten slowest tests and the counts, from the report of nextest.
fn slowest() -> anyhow::Result<String> {
    let report =
        std::fs::read_to_string(target().join("nextest/default/junit.xml")).context("no test report")?;
    let mut tests: Vec<(f64, &str)> = report
        .split("<testcase ")
        .skip(1)
        .filter_map(|case| Some((attribute(case, "time")?.parse().ok()?, attribute(case, "name")?)))
        .collect();
    let failed = report
        .split("<testcase ")
        .skip(1)
        .filter(|case| case.contains("<failure"))
        .count();
    tests.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut text = "the ten slowest tests:\n".to_owned();
    for (seconds, name) in tests.iter().take(10) {
        writeln!(text, "{seconds:8.2} s  {name}")?;
    }
    write!(text, "{} passed, {failed} failed", tests.len() - failed)?;
    Ok(text)
}

fn attribute<'t>(case: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = case.split_once(&format!("{name}=\""))?;
    rest.split('"').next()
}
