//! The plugins of this machine, admitted or refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recueil_wire::devices::Plugin;
use tracing::{info, warn};

use crate::Error;
use crate::admission::{Admitted, Trust};
use crate::config::Config;
use crate::manifest::Match;

/// Most plugin folders looked at.
const PLUGINS_MAX: usize = 16;

/// What was found when hostd started. Plugins that are installed later are found when it starts again.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    admitted: Vec<Arc<Admitted>>,
    listed: Vec<Plugin>,
}

impl Registry {
    /// Looks at every folder in `plugin_dirs`. What is wrong with one plugin concerns that plugin alone.
    pub(crate) fn scan(config: &Config, trust: &Trust) -> Self {
        let mut registry = Self::default();
        for dir in config
            .plugin_dirs
            .iter()
            .flat_map(|dir| folders(dir))
            .take(PLUGINS_MAX)
        {
            match registry.admit(&dir, config, trust) {
                Ok(admitted) => {
                    info!(
                        plugin = admitted.manifest.id,
                        version = admitted.manifest.version,
                        "admitted"
                    );
                    registry.listed.push(listed(&admitted, None));
                    registry.admitted.push(Arc::new(admitted));
                }
                Err(error) => {
                    let folder = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    warn!(plugin = folder, reason = error.chain(), "refused");
                    registry.listed.push(Plugin {
                        id: folder,
                        name: String::new(),
                        version: String::new(),
                        refused: Some(error.chain()),
                    });
                }
            }
        }
        registry
    }

    /// Every folder found.
    pub(crate) fn listed(&self) -> Vec<Plugin> {
        self.listed.clone()
    }

    /// The first admitted plugin that claims this model on the virtual bus.
    pub(crate) fn for_virtual(&self, model: &str) -> Option<Arc<Admitted>> {
        let claims = |entry: &Match| matches!(entry, Match::Virtual { model: claimed } if claimed == model);
        self.admitted
            .iter()
            .find(|admitted| admitted.manifest.matches.iter().any(claims))
            .cloned()
    }

    fn admit(&self, dir: &Path, config: &Config, trust: &Trust) -> Result<Admitted, Error> {
        let admitted = Admitted::admit(dir, trust)?;
        let id = &admitted.manifest.id;
        if let Some(other) = self.admitted.iter().find(|other| other.manifest.id == *id) {
            return Err(Error::refused(
                format!("{} has the id {id} already", other.dir.display()),
                "remove one of the two",
            ));
        }
        let no_settings = BTreeMap::new();
        let settings = config.config.get(id).unwrap_or(&no_settings);
        if let Some(key) = settings
            .keys()
            .find(|key| !admitted.manifest.config.contains_key(*key))
        {
            return Err(Error::refused(
                format!("the configuration sets {key:?}, which {id} does not know"),
                format!("correct [hostd.config.{id:?}] in recueil.toml"),
            ));
        }
        Ok(admitted)
    }
}

fn listed(admitted: &Admitted, refused: Option<String>) -> Plugin {
    Plugin {
        id: admitted.manifest.id.clone(),
        name: admitted.manifest.name.clone(),
        version: admitted.manifest.version.clone(),
        refused,
    }
}

/// The folders in one of `plugin_dirs`, in the order of their names.
fn folders(dir: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            warn!(dir = %dir.display(), %error, "no plugins from this folder");
            return Vec::new();
        }
    };
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .take(PLUGINS_MAX)
        .collect();
    folders.sort();
    folders
}
