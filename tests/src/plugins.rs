//! Installs a plugin as a package would: a folder of root's, a manifest with the library's digest.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::folders::{binary, project_path};

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

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes)?;
    Ok(std::fs::set_permissions(
        path,
        std::fs::Permissions::from_mode(0o644),
    )?)
}
