//! The tables `[station]` and `[recueild]` of recueil.toml.

use std::path::{Path, PathBuf};

use recueil_dossier::StationId;
use serde::Deserialize;

use crate::{capture, keys, quotas, rules};

/// All that `recueild` is configured with.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// None until the station is enrolled.
    pub(crate) station: Option<StationId>,
    pub(crate) recueild: Recueild,
}

#[derive(Deserialize)]
struct File {
    station: Station,
    recueild: Recueild,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Station {
    id: String,
}

/// The table `[recueild]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recueild {
    pub(crate) state_dir: PathBuf,
    pub(crate) ready_dir: PathBuf,
    pub(crate) receipts_dir: PathBuf,
    pub(crate) hostd_socket: PathBuf,
    pub(crate) courier_socket: PathBuf,
    procedures_dir: PathBuf,
    profiles_dir: PathBuf,
    #[serde(default = "six_pm")]
    pub(crate) drafts_expire_at: jiff::civil::Time,
    #[serde(default = "paris")]
    pub(crate) time_zone: String,
    #[serde(default = "quarter_hour")]
    pub(crate) status_poll_s: u64,
    #[serde(default = "one_minute")]
    pub(crate) steal_after_s: u64,
    #[serde(default = "a_season")]
    pub(crate) forget_after_days: u32,
    #[serde(default = "some_drafts")]
    pub(crate) reserve_mib: u32,
    pub(crate) capture: capture::Config,
    #[serde(default)]
    pub(crate) quotas: quotas::Config,
    #[serde(default)]
    pub(crate) keys: Option<keys::Config>,
}

impl Recueild {
    pub(crate) fn rules(&self) -> rules::Config {
        rules::Config {
            procedures_dir: self.procedures_dir.clone(),
            profiles_dir: self.profiles_dir.clone(),
        }
    }
}

fn six_pm() -> jiff::civil::Time {
    jiff::civil::time(18, 0, 0, 0)
}

fn paris() -> String {
    "Europe/Paris".to_owned()
}

fn quarter_hour() -> u64 {
    900
}

fn one_minute() -> u64 {
    60
}

/// A dossier is some megabytes, and its parcel as much again.
fn some_drafts() -> u32 {
    64
}

fn a_season() -> u32 {
    90
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// What is wrong, with the line.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        file.recueild.capture.check()?;
        file.recueild.quotas.check()?;
        let station = match file.station.id.as_str() {
            "" => None,
            id => Some(
                id.parse()
                    .map_err(|error: recueil_dossier::IdError| error.to_string())?,
            ),
        };
        Ok(Self {
            station,
            recueild: file.recueild,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../config/recueil.toml");

    #[test]
    fn the_configuration_shipped_is_read() {
        let config = Config::parse(SHIPPED).unwrap();
        assert_eq!(config.station, None);
        assert_eq!(config.recueild.status_poll_s, 900);
    }

    #[test]
    fn a_try_of_no_time_or_of_hours_is_refused() {
        for (given, allowed) in [
            (0, false),
            (60, true),
            (600, true),
            (601, false),
            (u32::MAX, false),
        ] {
            let text = SHIPPED.replace("#hand_s = 60", &format!("hand_s = {given}"));
            assert_eq!(Config::parse(&text).is_ok(), allowed, "{given}");
        }
    }

    #[test]
    fn the_quotas_shown_are_the_defaults_and_are_checked() {
        let shown = SHIPPED.replace("\n#[recueild.quotas]", "\n[recueild.quotas]");
        let (before, table) = shown.split_once("[recueild.quotas]\n").unwrap();
        let (table, after) = table.split_once("\n\n").unwrap();
        let with = |table: &str| Config::parse(&format!("{before}[recueild.quotas]\n{table}\n\n{after}"));
        let set = table.replace("\n#", "\n").trim_start_matches('#').to_owned();
        let config = with(&set).unwrap().recueild.quotas;
        assert_eq!(format!("{config:?}"), format!("{:?}", quotas::Config::default()));
        assert_eq!(
            set.lines().filter(|line| line.contains(" = ")).count(),
            12,
            "all of them"
        );
        for wrong in ["drafts = 0", "drafts = 201", "leases = -1", "drafs = 1"] {
            assert!(with(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let text = SHIPPED.replace("ready_dir =", "redy_dir =");
        assert!(Config::parse(&text).unwrap_err().contains("redy_dir"));
    }
}
