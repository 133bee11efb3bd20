//! The table `[hostd]` of `recueil.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use recueil_wire::User;
use serde::Deserialize;

use crate::{Error, RestartPolicy};

/// What the administrator says. Paths are absolute; unknown keys are refused.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `recueild` connects.
    pub socket: PathBuf,
    /// The only user whose connections are accepted.
    pub recueild: User,
    /// Folders of plugin folders, in order of precedence.
    pub plugin_dirs: Vec<PathBuf>,
    /// What plugins stored for their devices, and which devices are in quarantine.
    pub state_dir: PathBuf,
    /// `recueil-device-host`.
    pub host_program: PathBuf,
    /// A folder where `recueil-virtual` offers sockets; none for no virtual bus.
    #[serde(default)]
    pub virtual_dir: Option<PathBuf>,
    /// Highest landlock ABI that hosts use; tests cap it.
    #[serde(default = "landlock_abi_newest")]
    pub landlock_abi_max: u32,
    /// Plugins that may run where the sandbox cannot be had, by id.
    #[serde(default)]
    pub allow_unsandboxed: Vec<String>,
    /// On a private bus the daemon's own uid may stand for root as owner of plugins.
    #[serde(default)]
    pub trust_own_uid: bool,
    /// When a plugin's process that failed is started again.
    #[serde(default)]
    pub restart: RestartPolicy,
    /// Settings of plugins, by id; only keys that the manifest names.
    #[serde(default)]
    pub config: BTreeMap<String, BTreeMap<String, String>>,
}

/// Higher than any kernel's, so that the kernel decides.
fn landlock_abi_newest() -> u32 {
    99
}

/// The whole file. The other tables belong to other processes.
#[derive(Deserialize)]
struct File {
    hostd: Config,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Config`], [`Error::ConfigValue`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::file(path, source))?;
        Self::parse(&text, path)
    }

    /// Reads and checks the text of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Config`], [`Error::ConfigValue`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let file: File = toml::from_str(text).map_err(|source| Error::Config {
            path: path.into(),
            source: Box::new(source),
        })?;
        file.hostd.check()
    }

    fn check(self) -> Result<Self, Error> {
        let single = [&self.socket, &self.state_dir, &self.host_program];
        let paths = single
            .into_iter()
            .chain(&self.plugin_dirs)
            .chain(&self.virtual_dir);
        for path in paths {
            if !path.is_absolute() {
                return Err(Error::ConfigValue(format!(
                    "{} in [hostd] is not an absolute path",
                    path.display()
                )));
            }
        }
        self.restart.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        [recueild]
        anything = "of another process"
        [hostd]
        socket = "/run/recueil-hostd/hostd.sock"
        recueild = 990
        plugin_dirs = ["/usr/lib/recueil/plugins"]
        state_dir = "/var/lib/recueil-hostd"
        host_program = "/usr/libexec/recueil-device-host"
    "#;

    fn parse(text: &str) -> Result<Config, Error> {
        Config::parse(text, Path::new("/etc/recueil/recueil.toml"))
    }

    #[test]
    fn the_least_configuration_trusts_root_alone_and_caps_nothing() {
        let config = parse(LEAST).unwrap();
        assert_eq!(config.recueild.uid(), 990);
        assert!(!config.trust_own_uid);
        assert_eq!(config.landlock_abi_max, 99);
        assert!(config.virtual_dir.is_none());
    }

    #[test]
    fn an_unknown_key_and_a_relative_path_are_refused() {
        let unknown = parse(&format!("{LEAST}\nplugin_dir = \"/x\"")).unwrap_err();
        assert!(unknown.chain().contains("plugin_dir"), "{}", unknown.chain());
        let relative = parse(&format!("{LEAST}\nvirtual_dir = \"devices\"")).unwrap_err();
        assert!(matches!(relative, Error::ConfigValue(_)));
        assert!(matches!(parse("[recueild]"), Err(Error::Config { .. })));
    }

    #[test]
    fn the_administrator_says_how_often_a_plugin_may_fail() {
        let with = |text: &str| parse(&format!("{LEAST}\n[hostd.restart]\n{text}"));
        assert_eq!(parse(LEAST).unwrap().restart, RestartPolicy::default());
        let patient = with("failures_max = 9\nwindow_s = 60").unwrap().restart;
        assert_eq!((patient.failures_max, patient.window_s), (9, 60));
        for wrong in [
            "failures_max = 0",
            "first_pause_ms = 0",
            "pause_max_ms = 1",
            "window_s = 0",
        ] {
            assert!(matches!(with(wrong), Err(Error::ConfigValue(_))), "{wrong}");
        }
        assert!(matches!(with("pauses = 1"), Err(Error::Config { .. })));
    }

    #[test]
    fn settings_of_plugins_are_tables_of_text() {
        let config = parse(&format!(
            "{LEAST}\n[hostd.config.\"fr.recueil.simulator\"]\nspeed = \"fast\""
        ))
        .unwrap();
        assert_eq!(config.config["fr.recueil.simulator"]["speed"], "fast");
    }
}
