//! pcscd with our IFD handler (`tests/rivals/ifd.c`), in a mount namespace of its own, where its one socket lies
//! in a folder of ours. Started again at once when it ends, as by its socket unit.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use recueil_tests::{Folders, Users, project_path};

use super::side::{Actor, Crash, Role, Side};
use crate::rig::{Running, command, log, now_ns, own_user};

const PCSCD: &str = "/usr/sbin/pcscd";
const HEADERS: &str = "/usr/include/PCSC";
/// pcscd adds the numbers of reader and slot to the names of `reader.conf`.
const BAD: &str = "Bad 00 00";
const GOOD: &str = "Good 01 00";

pub(crate) struct Pcscd {
    dir: PathBuf,
    users: Users,
    log: std::fs::File,
    running: Option<Running>,
}

impl Pcscd {
    pub(crate) fn start(folders: &Folders, users: &Users) -> anyhow::Result<Self> {
        anyhow::ensure!(Path::new(PCSCD).is_file(), "the package pcscd is needed");
        let own = own_user();
        let dir = folders.folder("faults/pcscd", own, own, 0o755)?;
        folders.folder("faults/pcscd/run", own, own, 0o755)?;
        folders.folder("faults/pcscd/readers", own, own, 0o755)?;
        let library = dir.join("ifd.so");
        compile("ifd.c", &library, &["-shared", "-fPIC"], &[])?;
        compile("pcsc.c", &dir.join("client"), &[], &["-lpcsclite"])?;
        let mut readers = Vec::new();
        for (name, device) in [("Bad", "bad"), ("Good", "good")] {
            // It wants the device to be a file, and the handler goes by its name.
            let device = dir.join(device);
            std::fs::write(&device, [])?;
            let (device, library) = (device.display(), library.display());
            writeln!(
                readers,
                "FRIENDLYNAME \"{name}\"\nDEVICENAME {device}\nLIBPATH {library}\n"
            )?;
        }
        std::fs::write(dir.join("readers/two"), readers)?;
        // The folder that the namespace covers with ours.
        std::fs::create_dir_all("/run/pcscd")?;
        let mut this = Self {
            dir,
            users: *users,
            log: log(folders, "pcscd")?,
            running: None,
        };
        this.launch()?;
        this.wait_for_readers()?;
        Ok(this)
    }

    fn launch(&mut self) -> anyhow::Result<()> {
        let mut service = command(Path::new("/usr/bin/unshare"), own_user(), &self.users);
        let script = r#"mount --bind "$1" /run/pcscd && exec "$2" --foreground --config "$3""#;
        service.args(["-m", "/bin/sh", "-c", script, "sh"]);
        service
            .arg(self.dir.join("run"))
            .arg(PCSCD)
            .arg(self.dir.join("readers"));
        service.stdout(self.log.try_clone()?);
        self.running = Some(Running::spawn(service, &self.log)?);
        Ok(())
    }

    fn running(&mut self) -> anyhow::Result<&mut Running> {
        self.running.as_mut().context("pcscd runs")
    }

    /// Until somebody gets the device that matters.
    fn wait_for_readers(&mut self) -> anyhow::Result<()> {
        let log = self.log.try_clone()?;
        Actor::start_as(self, Role::Hold, &log).map(drop)
    }

    fn client(&self, role: &str, reader: &str) -> Command {
        let mut client = command(&self.dir.join("client"), own_user(), &self.users);
        client
            .args([role, reader])
            .env("PCSCLITE_CSOCK_NAME", self.dir.join("run/pcscd.comm"));
        client
    }
}

impl Side for Pcscd {
    fn name(&self) -> &'static str {
        "pcscd"
    }

    fn client(&mut self, role: Role) -> anyhow::Result<Command> {
        let role = match role {
            Role::Hold | Role::Work => "hold",
            Role::Contend | Role::ContendToWork => "contend",
        };
        Ok(Self::client(self, role, BAD))
    }

    fn witness(&mut self) -> anyhow::Result<Command> {
        Ok(Self::client(self, "witness", GOOD))
    }

    fn wedge(&mut self) -> anyhow::Result<Actor> {
        Actor::start(Self::client(self, "wedge", BAD), &self.log)
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
        self.launch()?;
        self.wait_for_readers()
    }
}

fn compile(source: &str, to: &Path, first: &[&str], last: &[&str]) -> anyhow::Result<()> {
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-I", HEADERS])
        .args(first)
        .arg(project_path("tests/rivals").join(source))
        .arg("-o")
        .arg(to)
        .args(last);
    let status = cc.status().context("cc, of the package gcc")?;
    anyhow::ensure!(
        status.success(),
        "cc: {status}; the package libpcsclite-dev is needed"
    );
    Ok(())
}
