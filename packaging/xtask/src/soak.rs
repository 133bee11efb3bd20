//! `cargo xtask soak [--minutes N] [--seed S]`: a whole station at work under faults, an hour by default.

use crate::packages;
use crate::run::{cargo, root, succeed};

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[packages::SERVICES])?;
    succeed(&mut cargo(&["build", "--workspace"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let mut soak = std::process::Command::new(target.join("debug/recueil-soak"));
    succeed(soak.args(arguments))
}
