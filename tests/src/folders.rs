//! Where a station of the tests lives, and where the project's files are.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

use crate::{User, Users};

/// A station's folders, gone with it.
#[derive(Debug)]
pub struct Folders {
    dir: TempDir,
    users: Users,
}

impl Folders {
    /// Makes them.
    pub fn make(users: Users) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("recueil-").tempdir()?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { dir, users })
    }

    /// The folder of all.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A folder of one user, shared with the group of another where `mode` says so.
    pub fn folder(&self, name: &str, user: User, group: User, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        std::fs::create_dir_all(&path)?;
        self.give(&path, user, group)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// Gives a file or folder to a user, where there are several.
    pub fn give(&self, path: &Path, user: User, group: User) -> anyhow::Result<()> {
        if self.users.separate {
            chown(path, Some(user.0), Some(group.0)).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Gives a whole tree to a user.
    pub fn give_tree(&self, path: &Path, user: User) -> anyhow::Result<()> {
        self.give(path, user, user)?;
        if path.is_dir() {
            for entry in std::fs::read_dir(path)? {
                self.give_tree(&entry?.path(), user)?;
            }
        }
        Ok(())
    }
}

/// The project's root folder.
fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// A file or folder of the project.
pub fn project_path(name: &str) -> PathBuf {
    project().join(name)
}

/// A file or folder of `tests/fixtures`.
pub fn fixtures(name: &str) -> PathBuf {
    project().join("tests/fixtures").join(name)
}

/// A program or library that cargo built beside this one.
///
/// # Errors
/// If it was not built: `cargo xtask test` and `cargo xtask demo` build everything first.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folders = own.ancestors().skip(1).take(2);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.with_context(|| format!("{name} is not built; run `cargo build --workspace` first"))
}
