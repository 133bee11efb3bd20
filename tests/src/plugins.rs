//! Installs a plugin as a package would: a folder of root's, a manifest with the library's digest.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::folders::{binary, fixtures, project_path};

/// Puts the simulator plugin into a new folder of plugins, and gives that folder.
pub(crate) fn install_simulator(plugins_dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = plugins_dir.join("simulator");
    std::fs::create_dir_all(&dir)?;
    let template = std::fs::read_to_string(project_path("plugins/simulator/plugin.toml"))?;
    let library = template
        .lines()
        .find_map(|line| line.strip_prefix("library = \"")?.strip_suffix('"'))
        .context("the manifest names its library")?;
    let bytes = std::fs::read(binary("librecueil_plugin_simulator.so")?)?;
    let empty = "sha256 = \"\"";
    anyhow::ensure!(
        template.contains(empty),
        "the manifest leaves the digest to the packaging"
    );
    let sha256 = recueil_dossier::sha256_hex(&bytes);
    write(&dir.join(library), &bytes)?;
    write(
        &dir.join("plugin.toml"),
        template
            .replace(empty, &format!("sha256 = \"{sha256}\""))
            .as_bytes(),
    )?;
    for folder in [plugins_dir, &dir] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(plugins_dir.to_owned())
}

/// Compiles a plugin of `tests/fixtures` in one C file, and puts it beside the others.
pub(crate) fn install_c(plugins_dir: &Path, name: &str) -> anyhow::Result<()> {
    let dir = plugins_dir.join(name);
    std::fs::create_dir_all(&dir)?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755))?;
    let (source, library) = (
        fixtures(name).join(format!("{name}.c")),
        dir.join(format!("{name}.so")),
    );
    let output = Command::new("cc")
        .args([
            "-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-pthread", "-I",
        ])
        .arg(project_path("sdk/include"))
        .arg("-o")
        .args([&library, &source])
        .output()
        .context("package gcc is needed")?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o644))?;
    let sha256 = recueil_dossier::sha256_hex(&std::fs::read(&library)?);
    let manifest = std::fs::read_to_string(fixtures(name).join("plugin.toml"))?;
    let manifest = manifest
        .replace("sha256 = \"\"", &format!("sha256 = \"{sha256}\""))
        .replace("x86_64", std::env::consts::ARCH);
    write(&dir.join("plugin.toml"), manifest.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o644),
    )?)
}
