//! fprintd with libfprint's two virtual devices that are controlled over a socket. Started again at once when it
//! ends; its own unit leaves that to the next call.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use recueil_tests::{Station, Users, binary};

use super::side::{Actor, Crash, Role, Side};
use crate::rig::{Running, command, log, now_ns, own_user};
use crate::start::{FPRINTD, Watched};

/// The names that libfprint gives them.
const BAD: &str = "Virtual device for debugging";
const GOOD: &str = "Virtual device with storage and identification for debugging";

pub(crate) struct Fprintd {
    bus: String,
    dir: PathBuf,
    users: Users,
    log: std::fs::File,
    owners: Watched,
    running: Option<Running>,
}

impl Fprintd {
    pub(crate) fn start(station: &Station) -> anyhow::Result<Self> {
        anyhow::ensure!(Path::new(FPRINTD).is_file(), "the package fprintd is needed");
        let own = own_user();
        let mut this = Self {
            bus: station.bus_address().to_owned(),
            dir: station.folders().folder("faults/fprintd", own, own, 0o700)?,
            users: *station.users(),
            log: log(station.folders(), "fprintd")?,
            owners: Watched::new(station, "net.reactivated.Fprint")?,
            running: None,
        };
        this.launch()?;
        Ok(this)
    }

    /// Until it owns its name.
    fn launch(&mut self) -> anyhow::Result<()> {
        // As root, as its unit runs it; `-t` keeps it from ending when it is idle.
        let mut service = command(Path::new(FPRINTD), own_user(), &self.users);
        service
            .arg("-t")
            .env("STATE_DIRECTORY", &self.dir)
            .env("FP_VIRTUAL_DEVICE", self.dir.join("bad"))
            .env("FP_VIRTUAL_DEVICE_STORAGE", self.dir.join("good"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus)
            .stdout(self.log.try_clone()?);
        self.running = Some(Running::spawn(service, &self.log)?);
        self.owners.next().map(drop)
    }

    fn running(&mut self) -> anyhow::Result<&mut Running> {
        self.running.as_mut().context("fprintd runs")
    }

    fn client(&self, role: &str, device: &str) -> anyhow::Result<Command> {
        let mut client = command(&binary("recueil-rival-fprint")?, own_user(), &self.users);
        client.args([&self.bus, role, device]);
        Ok(client)
    }
}

impl Side for Fprintd {
    fn name(&self) -> &'static str {
        "fprintd"
    }

    fn client(&mut self, role: Role) -> anyhow::Result<Command> {
        let role = match role {
            Role::Hold => "hold",
            Role::Work => "enroll",
            Role::Contend => "contend",
            Role::ContendToWork => "contend-enroll",
        };
        Self::client(self, role, BAD)
    }

    fn witness(&mut self) -> anyhow::Result<Command> {
        Self::client(self, "witness", GOOD)
    }

    fn wedge(&mut self) -> anyhow::Result<Actor> {
        let actor = Actor::start(Self::client(self, "enroll", BAD)?, &self.log)?;
        // The driver listens while it is claimed.
        let mut stream = UnixStream::connect(self.dir.join("bad")).context("libfprint's virtual device")?;
        stream.write_all(b"SET_CANCELLATION_ENABLED 0")?;
        Ok(actor)
    }

    fn crash(&mut self) -> anyhow::Result<Crash> {
        let log = self.log.try_clone()?;
        let holder = Actor::start_as(self, Role::Work, &log)?;
        let back = Actor::start_as(self, Role::Contend, &log)?;
        let begun_ns = now_ns();
        self.running()?.crash()?;
        self.launch()?;
        Ok(Crash {
            begun_ns,
            back,
            _holder: holder,
        })
    }

    fn stop(&mut self, limit: Duration) -> anyhow::Result<Option<Duration>> {
        let took = self.running()?.end_within(limit)?;
        self.recover()?;
        Ok(took)
    }

    fn recover(&mut self) -> anyhow::Result<()> {
        self.running()?.kill()?;
        self.launch()
    }
}
