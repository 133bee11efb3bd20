//! `cargo xtask bench`: figures beside rivals in the same run, printed as ratios.

use crate::packages;
use crate::run::{cargo, root, succeed};

/// Rivals that are measured, and what ours of their clients and drivers are built with.
const RIVALS: &[&str] = &["fprintd", "libpcsclite-dev", "pcscd"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[packages::SERVICES, packages::TESTS, RIVALS])?;
    succeed(&mut cargo(&["build", "--workspace", "--release"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let mut bench = std::process::Command::new(target.join("release/recueil-bench"));
    succeed(bench.args(arguments))
}
