//! A station of our own, whose services and hosts are ended.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use recueil_tests::{Station, binary};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde_json::json;

use super::side::{Actor, Crash, Role, Side};
use crate::rig::{PATIENCE, SETTLING, command, ended_within, log, now_ns, own_user};

const READER: &str = "fp4";
/// Shown as a program's name by the kernel: its first fifteen letters.
const HOST: &str = "recueil-device-";
const DEVICES: usize = 3;

pub(crate) struct Ours<'s> {
    station: &'s mut Station,
    log: std::fs::File,
    reader: String,
    scanner: String,
}

impl<'s> Ours<'s> {
    pub(crate) fn new(station: &'s mut Station) -> anyhow::Result<Self> {
        let scan = json!({"glass": {"kind": "signature"}, "wait_ms": 300});
        let told =
            station.hardware(&json!({"command": "default", "device": "flatbed", "presentation": scan}))?;
        anyhow::ensure!(told.get("ok") == Some(&json!(true)), "{told}");
        let log = log(station.folders(), "clients")?;
        let (reader, scanner) = ids(station)?;
        let this = Self {
            station,
            log,
            reader,
            scanner,
        };
        this.waits_for_a_hand(&json!({}))?;
        Ok(this)
    }

    /// No hand comes, whatever else the reader does.
    fn waits_for_a_hand(&self, with: &serde_json::Value) -> anyhow::Result<()> {
        let mut shown = json!({"lift": "for-good"});
        if let (Some(shown), Some(with)) = (shown.as_object_mut(), with.as_object()) {
            shown.extend(with.clone());
        }
        self.hardware(&json!({"command": "default", "device": READER, "presentation": shown}))
    }

    fn hardware(&self, command: &serde_json::Value) -> anyhow::Result<()> {
        let told = self.station.hardware(command)?;
        anyhow::ensure!(told.get("ok") == Some(&json!(true)), "{command}: {told}");
        Ok(())
    }

    fn client(&self, role: &str, device: &str) -> anyhow::Result<Command> {
        let mut client = command(&binary("recueil-test-client")?, own_user(), self.station.users());
        client.args([self.station.bus_address(), role, device]);
        Ok(client)
    }

    fn pid(&self, name: &str) -> anyhow::Result<Pid> {
        let pids = self.station.pids();
        let found = pids.iter().find(|(service, _)| service == name);
        let (_, pid) = found.with_context(|| format!("{name} does not run"))?;
        Pid::from_raw(i32::try_from(*pid)?).context("a pid")
    }

    /// The processes that run a driver.
    fn hosts(&self) -> anyhow::Result<BTreeSet<i32>> {
        let hostd = self.pid("recueil-hostd")?.as_raw_nonzero().to_string();
        let mut hosts = BTreeSet::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let Some((name, rest)) = stat.rsplit_once(')') else {
                continue;
            };
            let parent = rest.split_whitespace().nth(1);
            if name.ends_with(&format!("({HOST}")) && parent == Some(hostd.as_str()) {
                hosts.insert(pid);
            }
        }
        Ok(hosts)
    }

    /// The reader's host: the one that is new when the reader was plugged in again, and nothing else is.
    fn host_of_reader(&self) -> anyhow::Result<Pid> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let before = self.settled()?;
            self.replug()?;
            let after = self.settled()?;
            let new: Vec<_> = after.difference(&before).copied().collect();
            if let [pid] = new.as_slice() {
                return Pid::from_raw(*pid).context("a pid");
            }
        }
        anyhow::bail!("the reader's host cannot be told from the others")
    }

    fn settled(&self) -> anyhow::Result<BTreeSet<i32>> {
        let begun = Instant::now();
        loop {
            let hosts = self.hosts()?;
            if hosts.len() == DEVICES {
                return Ok(hosts);
            }
            anyhow::ensure!(begun.elapsed() < PATIENCE, "{} hosts run", hosts.len());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn replug(&self) -> anyhow::Result<()> {
        for (command, until) in [("away", "disconnected"), ("back", "connected")] {
            self.hardware(&json!({"command": command, "device": READER}))?;
            self.hardware(
                &json!({"command": "await", "device": READER, "until": until, "timeout_ms": 10000}),
            )?;
        }
        Ok(())
    }
}

impl Side for Ours<'_> {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn client(&mut self, role: Role) -> anyhow::Result<Command> {
        let role = match role {
            Role::Hold => "hold",
            Role::Work => "capture",
            Role::Contend => "contend",
            Role::ContendToWork => "contend-capture",
        };
        Self::client(self, role, &self.reader)
    }

    fn witness(&mut self) -> anyhow::Result<Command> {
        Self::client(self, "witness", &self.scanner)
    }

    fn wedge(&mut self) -> anyhow::Result<Actor> {
        self.waits_for_a_hand(&json!({"fault": "ignore-cancel"}))?;
        let actor = Actor::start(Self::client(self, "capture", &self.reader)?, &self.log)?;
        // The reader looks at what it is shown when it is started, which is a little later.
        std::thread::sleep(SETTLING);
        self.waits_for_a_hand(&json!({}))?;
        Ok(actor)
    }

    fn crash(&mut self) -> anyhow::Result<Crash> {
        let host = self.host_of_reader()?;
        let holder = Actor::start(Self::client(self, "capture", &self.reader)?, &self.log)?;
        let back = Actor::start(Self::client(self, "back", &self.reader)?, &self.log)?;
        let begun_ns = now_ns();
        rustix::process::kill_process(host, Signal::ABORT)?;
        Ok(Crash {
            begun_ns,
            back,
            _holder: holder,
        })
    }

    fn stop(&mut self, limit: Duration) -> anyhow::Result<Option<Duration>> {
        // As the service manager stops a system: all at once.
        let services = [self.pid("recueild")?, self.pid("recueil-hostd")?];
        let ends = services.map(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
        let begun = Instant::now();
        for pid in services {
            rustix::process::kill_process(pid, Signal::TERM)?;
        }
        let mut ended = true;
        for end in ends {
            ended &= ended_within(&end?, limit.saturating_sub(begun.elapsed()))?;
        }
        let took = begun.elapsed();
        self.station.stop_recueild();
        self.station.start_hostd()?;
        self.station.start_recueild()?;
        self.recover()?;
        Ok(ended.then_some(took))
    }

    fn recover(&mut self) -> anyhow::Result<()> {
        ids(self.station).map(drop)
    }
}

/// The reader and the scanner, when both are ready.
fn ids(station: &Station) -> anyhow::Result<(String, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = recueil_tests::Client::connect(&station.address(), "agent.bench").await?;
        let ids = (
            client.device("fingerprint").await?,
            client.device("scanner").await?,
        );
        client.leave().await?;
        Ok(ids)
    })
}
