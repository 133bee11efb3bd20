//! One station for a whole row of the matrix, with logind, a disk that can fail, a clock that can be set, and the
//! witness.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use anyhow::Context;
use recueil_tests::{Client, Options, OwnDisk, Program, Station, User, clock};
use serde_json::json;
use tempfile::TempDir;

use crate::census::Census;
use crate::reader::Reader;
use crate::witness::Witness;

/// Small, and large enough for every draft of a row.
const DISK_MIB: u64 = 48;

/// By how much the clock is wrong when it is not.
pub(crate) const TRUE_TIME: &str = "+0";

pub(crate) struct Rig {
    pub(crate) station: Station,
    pub(crate) witness: Option<Witness>,
    /// A client that looks at devices, as everybody may.
    pub(crate) observer: Client,
    logind: Program,
    devices_dir: PathBuf,
    clock: TempDir,
    readers: u32,
    before: Option<Census>,
}

impl Rig {
    /// Starts it; none, said aloud, where this machine cannot have it.
    pub(crate) async fn start(hand_s: u32) -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: the matrix needs root, for a disk that fails and a service that is held");
            return Ok(None);
        }
        if clock::library().is_none() {
            println!(
                "skipped: the matrix needs libfaketime (Debian package faketime), for a clock that jumps"
            );
            return Ok(None);
        }
        let clock = tempfile::Builder::new().prefix("recueil-clock-").tempdir()?;
        std::fs::set_permissions(clock.path(), std::fs::Permissions::from_mode(0o755))?;
        clock::turn(&clock.path().join("clock"), TRUE_TIME)?;
        let station = Station::start(Options {
            devices: false,
            plugins: vec!["wrong"],
            procedures: vec![("essai.toml", include_str!("procedures/essai.toml"))],
            own_disk: Some(OwnDisk::Small(DISK_MIB)),
            clock: Some(clock.path().join("clock")),
            steal_after_s: 3600,
            hand_s,
            // One driver serves many cells, and fails in most of them.
            driver_failures_max: 1000,
            ..Options::default()
        })?;
        let logind = logind(&station, "awake").await?;
        let devices_dir = station.folders().path("devices");
        let witness = Witness::begin(&station, &devices_dir).await;
        let witness = witness.with_context(|| station.logs())?;
        let observer = Client::connect(&station.address(), "agent.veilleur").await?;
        Ok(Some(Self {
            observer,
            station,
            clock,
            witness: Some(witness),
            logind,
            devices_dir,
            readers: 0,
            before: None,
        }))
    }

    /// A reader nobody has seen, plugged in.
    pub(crate) fn new_reader(&mut self) -> anyhow::Result<Reader> {
        self.readers += 1;
        Reader::plug(&self.devices_dir, &format!("R{}", self.readers))
    }

    /// On a bus that is new.
    pub(crate) async fn connect_observer(&mut self) -> anyhow::Result<()> {
        self.observer = Client::connect(&self.station.address(), "agent.veilleur").await?;
        Ok(())
    }

    /// Sets the clock of `recueild` and the courier.
    pub(crate) fn turn_clock(&self, by: &str) -> anyhow::Result<()> {
        clock::turn(&self.clock.path().join("clock"), by)
    }

    /// Counts what the station holds, once it is whole: `recueild` finds a service that was started again after a
    /// pause, and its line there is none that is left behind.
    pub(crate) async fn count(&mut self) -> anyhow::Result<()> {
        let whole = async {
            loop {
                let now = self.observer.station.status().await?;
                if now.hostd == "connected" && now.courier == "connected" {
                    return anyhow::Ok(());
                }
                // There is no event for it.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(crate::reader::WAIT_MAX, whole).await;
        waited.context("the services do not find each other")??;
        self.before = Some(Census::take(&self.station));
        Ok(())
    }

    /// Waits until it holds no more than when it was counted.
    pub(crate) async fn settled(&self) -> anyhow::Result<()> {
        match &self.before {
            Some(before) => before.settled(&self.station).await,
            None => Ok(()),
        }
    }

    /// The machine is about to sleep; true if the station let it in time.
    pub(crate) async fn falls_asleep(&mut self) -> anyhow::Result<bool> {
        self.announce_sleep().await?;
        self.may_sleep().await
    }

    pub(crate) async fn announce_sleep(&mut self) -> anyhow::Result<()> {
        self.logind.say(&json!({"do": "sleep"})).await
    }

    pub(crate) async fn may_sleep(&mut self) -> anyhow::Result<bool> {
        let answer = self.logind.hear().await?;
        Ok(answer["released"] == json!(true))
    }

    /// The machine is awake again.
    pub(crate) async fn wakes(&mut self) -> anyhow::Result<()> {
        self.logind.say(&json!({"do": "wake"})).await?;
        self.logind.hear().await.map(drop)
    }

    /// Waits until so many locks delay the machine's sleep.
    pub(crate) async fn until_locks(&mut self, wanted: u32) -> anyhow::Result<()> {
        until_locks(&mut self.logind, wanted).await
    }

    /// Starts logind on a bus that is new; it knows how the machine stands.
    pub(crate) async fn restart_logind(&mut self, how: &str) -> anyhow::Result<()> {
        self.logind = logind(&self.station, how).await?;
        Ok(())
    }
}

async fn logind(station: &Station, how: &str) -> anyhow::Result<Program> {
    let own = User(rustix::process::geteuid().as_raw());
    let address = station.bus_address();
    let mut logind = Program::start_with(station.users(), own, "logind.py", &[address, how])?;
    logind.hear().await?;
    if how == "awake" {
        until_locks(&mut logind, 1).await?;
    }
    Ok(logind)
}

async fn until_locks(logind: &mut Program, wanted: u32) -> anyhow::Result<()> {
    let wait = async {
        loop {
            logind.say(&json!({"do": "locks"})).await?;
            if logind.hear().await?["locks"] == json!(wanted) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(crate::reader::WAIT_MAX, wait).await;
    waited.context("the station takes no lock of logind")?
}
