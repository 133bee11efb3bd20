//! `cargo xtask bench`: figures beside rivals in the same run, printed as ratios.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::deb::strip;
use crate::packages;
use crate::run::{cargo, root, succeed};

/// Rivals that are measured, and what ours of their clients and drivers are built with.
const RIVALS: &[&str] = &["fprintd", "libpcsclite-dev", "pcscd"];

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    packages::install(&[packages::SERVICES, packages::TESTS, RIVALS])?;
    succeed(&mut cargo(&["build", "--workspace", "--release"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    let installed = as_installed(&target.join("release"))?;
    let mut bench = std::process::Command::new(installed.join("recueil-bench"));
    succeed(bench.args(arguments))
}

/// Programs and libraries as a package has them, in a folder of their own: line tables make a plugin's library ten
/// times as large, all of which hostd hashes.
fn as_installed(release: &Path) -> anyhow::Result<PathBuf> {
    let installed = release.join("installed");
    match std::fs::remove_dir_all(&installed) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir(&installed)?,
    }
    for entry in std::fs::read_dir(release)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let is_program = path.is_file() && path.metadata()?.permissions().mode() & 0o100 != 0;
        if is_program {
            strip(&path, &installed.join(name))?;
        }
    }
    Ok(installed)
}
