//! Procedures and profiles, read once at start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use recueil_bus::{Code, Error};
use recueil_dossier::{Draft, Procedure, sha256_hex};
use serde::Deserialize;

use crate::capture::Profile;

/// Where the rules lie.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) procedures_dir: PathBuf,
    pub(crate) profiles_dir: PathBuf,
}

/// All rules by their ids.
pub(crate) struct Rules {
    procedures: BTreeMap<String, Arc<Procedure>>,
    profiles: BTreeMap<String, Profile>,
}

/// Largest rule file.
const FILE_MAX_BYTES: u64 = 256 << 10;

impl Rules {
    /// Reads every `.toml` file of both folders.
    ///
    /// # Errors
    /// The first file that is wrong, with its path and what is wrong.
    pub(crate) fn load(config: &Config) -> Result<Self, String> {
        let mut procedures = BTreeMap::new();
        for (path, text) in files(&config.procedures_dir)? {
            let procedure =
                Procedure::parse(&text).map_err(|error| format!("{}: {}", path.display(), chain(&error)))?;
            procedures.insert(procedure.reference.id.clone(), Arc::new(procedure));
        }
        let mut profiles = BTreeMap::new();
        for (path, text) in files(&config.profiles_dir)? {
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default()
                .to_owned();
            let sha256 = sha256_hex(text.as_bytes());
            profiles.insert(
                id,
                Profile {
                    text: text.into(),
                    sha256,
                },
            );
        }
        if let Some(procedure) = procedures
            .values()
            .find(|procedure| !profiles.contains_key(&procedure.profile))
        {
            return Err(format!(
                "procedure {}: there is no profile {}",
                procedure.reference.id, procedure.profile
            ));
        }
        Ok(Self { procedures, profiles })
    }

    pub(crate) fn procedure(&self, id: &str) -> Result<Arc<Procedure>, Error> {
        self.procedures.get(id).cloned().ok_or_else(|| {
            let known: Vec<_> = self.procedures.keys().map(String::as_str).collect();
            Error::new(
                Code::UnknownProcedure,
                format!("procedures here are {}", known.join(", ")),
            )
        })
    }

    /// The procedure that a draft was opened with, unless its file was changed since.
    pub(crate) fn of(&self, draft: &Draft) -> Result<Arc<Procedure>, Error> {
        let procedure = self.procedure(&draft.procedure.id)?;
        if procedure.reference == draft.procedure {
            return Ok(procedure);
        }
        let text = "the procedure's file was changed since the dossier was opened; call ChangeProcedure with the same id";
        Err(Error::new(Code::UnknownProcedure, text))
    }

    pub(crate) fn profile(&self, procedure: &Procedure) -> Result<Profile, Error> {
        self.profiles
            .get(&procedure.profile)
            .cloned()
            .ok_or_else(|| Error::new(Code::UnknownProcedure, "the procedure's profile is missing"))
    }
}

fn files(dir: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| failed(dir, &error))? {
        let path = entry.map_err(|error| failed(dir, &error))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let len = std::fs::metadata(&path)
            .map_err(|error| failed(&path, &error))?
            .len();
        if len > FILE_MAX_BYTES {
            return Err(failed(&path, &"larger than 256 KiB"));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))?;
        files.push((path, text));
    }
    files.sort();
    Ok(files)
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> Config {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        Config {
            procedures_dir: root.join("procedures"),
            profiles_dir: root.join("profiles"),
        }
    }

    /// The rules shipped, where they may be changed.
    fn copied(folder: &Path) -> Config {
        let config = Config {
            procedures_dir: folder.join("procedures"),
            profiles_dir: folder.join("profiles"),
        };
        for (from, to) in [
            (shipped().procedures_dir, &config.procedures_dir),
            (shipped().profiles_dir, &config.profiles_dir),
        ] {
            std::fs::create_dir(to).unwrap();
            for (path, text) in files(&from).unwrap() {
                std::fs::write(to.join(path.file_name().unwrap()), text).unwrap();
            }
        }
        config
    }

    fn refused(config: &Config) -> String {
        match Rules::load(config) {
            Ok(_) => panic!("these rules are wrong"),
            Err(text) => text,
        }
    }

    #[test]
    fn the_rules_shipped_are_read() {
        let rules = Rules::load(&shipped()).unwrap();
        let procedure = rules.procedure("cni-adulte").unwrap();
        assert!(rules.profile(&procedure).is_ok());
        assert!(
            rules
                .procedure("passeport")
                .unwrap_err()
                .text
                .contains("remise-cni")
        );
    }

    #[test]
    fn a_file_that_is_wrong_is_named_with_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let config = copied(folder.path());
        std::fs::write(config.procedures_dir.join("README"), "not a rule").unwrap();
        Rules::load(&config).unwrap();
        let broken = config.procedures_dir.join("broken.toml");
        std::fs::write(&broken, "id = \"broken\"\nidd = 1\n").unwrap();
        assert!(refused(&config).contains("broken.toml"));
        std::fs::write(&broken, " ".repeat(300 << 10)).unwrap();
        assert!(refused(&config).contains("larger than 256 KiB"));
    }

    #[test]
    fn a_procedure_without_its_profile_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let config = copied(folder.path());
        for (path, _) in files(&config.profiles_dir).unwrap() {
            std::fs::remove_file(path).unwrap();
        }
        assert!(refused(&config).contains("there is no profile"));
    }

    #[test]
    fn a_draft_is_not_sealed_by_rules_that_changed_under_it() {
        let folder = tempfile::tempdir().unwrap();
        let config = copied(folder.path());
        let rules = Rules::load(&config).unwrap();
        let opening = recueil_dossier::Opening {
            id: recueil_dossier::DossierId::new(jiff::Timestamp::UNIX_EPOCH, [1; 10]),
            owner_uid: 1000,
            agent: "agent.dupont".parse().unwrap(),
            at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: jiff::Timestamp::UNIX_EPOCH,
            demande: None,
        };
        let draft = Draft::open(&rules.procedure("cni-adulte").unwrap(), opening);
        assert!(rules.of(&draft).is_ok());
        let path = config.procedures_dir.join("cni-adulte.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}# changed\n")).unwrap();
        let changed = Rules::load(&config).unwrap().of(&draft).map(drop).unwrap_err();
        assert!(changed.text.contains("ChangeProcedure"));
    }
}
