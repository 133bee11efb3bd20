//! Running commands, and the one place that prints.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

/// A line for the person at the terminal.
pub(crate) fn say(line: &str) {
    // A closed terminal is no failure of the work.
    let _closed = writeln!(std::io::stdout(), "{line}");
}

/// The project's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into)
}

/// Cargo, as it called us, in the project's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    // What cargo tells us of ourselves: a build script that looks at it (ring's) would run again, and with it be built
    // all that needs it, at each change between a verb and a plain call.
    for (name, _) in std::env::vars_os() {
        let of_cargo = name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if of_cargo {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command that must succeed, and says which.
pub(crate) fn succeed(command: &mut Command) -> anyhow::Result<()> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    say(&format!("+ {line}"));
    let status = command
        .status()
        .with_context(|| format!("{line}: cannot be started"))?;
    if !status.success() {
        bail!("{line}: {status}");
    }
    Ok(())
}

/// Whether a command can be run at all.
pub(crate) fn exists(program: &str, argument: &str) -> bool {
    let output = Command::new(program).arg(argument).current_dir(root()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Installs a cargo tool where it is missing.
pub(crate) fn cargo_tool(name: &str, version: &str) -> anyhow::Result<()> {
    let subcommand = name.strip_prefix("cargo-").unwrap_or(name);
    if cargo(&[subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
    {
        return Ok(());
    }
    succeed(&mut cargo(&["install", "--locked", "--version", version, name]))
}
