//! The fixture.

mod layout;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use recueil_bus::{Address, BusConnection};
use recueil_faultfs::FaultFs;
use serde_json::{Value, json};

use crate::activator::Activator;
use crate::disk::Disk;
use crate::folders::{Folders, binary, fixtures};
use crate::processes::Process;
use crate::users::{User, Users};
use crate::{bus, clock, polkit};

/// What a station may lie on in place of the machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnDisk {
    /// What `recueild` keeps, on a disk of so many MiB; see [`Station::fill_disk`].
    Small(u64),
    /// What services and CERT keep, on a disk that fails as [`Station::faulty_disk`] is told.
    Faulty,
}

/// How a station is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ask polkit, see [`Station::start_polkit`]; else the client's uid and our own are allowed.
    pub polkit: bool,
    /// Start a CERT and enrol the station there.
    pub cert: bool,
    /// Start the virtual devices.
    pub devices: bool,
    /// How long an announced take-over of a device waits, seconds.
    pub steal_after_s: u64,
    /// Longest try of a hand, seconds.
    pub hand_s: u32,
    /// Where the courier connects in place of CERT: a line that a test holds in its hands.
    pub line: Option<std::net::SocketAddr>,
    /// More keys of the table `[courier]`.
    pub courier: Value,
    /// Procedures beside the project's own, by file name.
    pub procedures: Vec<(&'static str, &'static str)>,
    /// A file that says what time it is for `recueild` and the courier (libfaketime, Debian package `faketime`).
    pub clock: Option<PathBuf>,
    /// The same for CERT.
    pub cert_clock: Option<PathBuf>,
    /// Failures of a driver after which its device is put into quarantine.
    pub driver_failures_max: u32,
    /// Other users who may do everything, where polkit is not asked.
    pub allowed: Vec<User>,
    /// `[recueild.quotas]`, where it is not the default.
    pub quotas: Value,
    /// Plugins in C that are installed too, folders of `tests/fixtures`.
    pub plugins: Vec<&'static str>,
    /// A disk of its own. Only root can have one.
    pub own_disk: Option<OwnDisk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            polkit: false,
            cert: true,
            devices: true,
            steal_after_s: 60,
            hand_s: 60,
            line: None,
            courier: Value::Null,
            procedures: Vec::new(),
            clock: None,
            cert_clock: None,
            driver_failures_max: 5,
            allowed: Vec::new(),
            quotas: json!({}),
            plugins: Vec::new(),
            own_disk: None,
        }
    }
}

/// The station's name at the CERT simulator.
pub const STATION: &str = "mairie-demo-1";

/// A running station. All of it ends with this value.
#[derive(Debug)]
pub struct Station {
    pub(crate) users: Users,
    pub(crate) address: String,
    cert_address: Option<String>,
    // In the order of their end.
    polkit: Option<Process>,
    pub(crate) recueild: Option<Process>,
    activator: Option<Activator>,
    pub(crate) hostd: Option<Process>,
    hardware: Option<Process>,
    pub(crate) courier: Option<Process>,
    pub(crate) cert: Option<Process>,
    pub(crate) bus: Process,
    pub(crate) disk: Option<Disk>,
    pub(crate) faulty: Option<FaultFs>,
    options: Options,
    pub(crate) folders: Folders,
}

impl Station {
    /// Starts everything and waits until each service says that it is ready.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let users = Users::choose();
        let folders = Folders::make(users)?;
        let root = User(rustix::process::geteuid().as_raw());
        folders.folder("log", root, root, 0o755)?;
        folders.folder("run", root, root, 0o755)?;
        let (bus, address) = bus::start(&folders, &users, &folders.path("log/dbus-daemon"))?;
        let mut station = Self {
            users,
            address,
            cert_address: None,
            polkit: None,
            recueild: None,
            activator: None,
            hostd: None,
            hardware: None,
            courier: None,
            cert: None,
            bus,
            disk: None,
            faulty: None,
            options,
            folders,
        };
        match station.options.own_disk {
            Some(OwnDisk::Small(mib)) => {
                let (image, at) = (station.folders.path("disk.ext4"), station.folders.path("disk"));
                station.disk = Some(Disk::make(image, at, mib)?);
            }
            Some(OwnDisk::Faulty) => station.faulty = Some(station.mount_faulty()?),
            None => {}
        }
        station.make_folders()?;
        if station.options.cert {
            station.make_cert()?;
            station.start_cert()?;
        }
        station.write_config()?;
        station.start_courier()?;
        station.start_hostd()?;
        if station.options.devices {
            station.start_hardware()?;
        }
        if users.separate {
            let (socket, analyser) = (
                station.folders.path("run/analyser.sock"),
                binary("recueil-analyser")?,
            );
            station.activator = Some(Activator::start(&socket, users, analyser)?);
        }
        station.start_recueild()?;
        Ok(station)
    }

    /// The bus's address.
    pub fn address(&self) -> Address {
        Address::Private(self.address.clone())
    }

    /// The bus's address as text.
    pub fn bus_address(&self) -> &str {
        &self.address
    }

    /// Connects to the bus as this process.
    pub async fn connect(&self) -> anyhow::Result<BusConnection> {
        Ok(recueil_bus::connect(&self.address()).await?)
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The folders.
    pub fn folders(&self) -> &Folders {
        &self.folders
    }

    /// Sends one command to the virtual hardware and gives its answer.
    pub fn hardware(&self, command: &Value) -> anyhow::Result<Value> {
        talk(&self.folders.path("run/hardware.sock"), command)
    }

    /// Says what a device shows at its next captures, one presentation each (plugins/simulator/README.md).
    pub fn show(&self, device: &str, presentations: &[Value]) -> anyhow::Result<()> {
        let command = json!({"command": "next", "device": device, "presentations": presentations});
        let answer = self.hardware(&command)?;
        anyhow::ensure!(
            answer.get("ok") == Some(&json!(true)),
            "the hardware refuses: {answer}"
        );
        Ok(())
    }

    /// Where CERT listens.
    pub fn cert_address(&self) -> anyhow::Result<std::net::SocketAddr> {
        let address = self.cert_address.as_deref().context("there is no CERT")?;
        Ok(address.parse()?)
    }

    /// Sends one command to the CERT simulator and gives its answer.
    pub fn cert(&self, command: &Value) -> anyhow::Result<Value> {
        talk(&self.folders.path("cert/control.sock"), command)
    }

    /// The parcel as CERT stored it.
    pub fn stored_parcel(&self, dossier: &str) -> anyhow::Result<PathBuf> {
        find(&self.folders.path("cert/store"), &|path| {
            path.to_string_lossy().contains(dossier) && path.extension().is_some_and(|ending| ending == "p7m")
        })
        .with_context(|| format!("CERT holds no parcel of {dossier}"))
    }

    /// The disk that fails.
    ///
    /// # Errors
    /// It was not asked for.
    pub fn faulty_disk(&self) -> anyhow::Result<&FaultFs> {
        self.faulty.as_ref().context("a faulty disk was not asked for")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folders.path("log").join(name)
    }

    /// A program of ours under its user, with a clock of its own if there is one.
    fn command(&self, user: User, name: &str, clock: Option<&Path>) -> anyhow::Result<Command> {
        let program = binary(name)?;
        let Some(clock) = clock else {
            return Ok(self.users.command(user, &program));
        };
        let mut command = self.users.command(user, "/usr/bin/env".as_ref());
        command.args(clock::words(clock)?).arg(program);
        Ok(command)
    }

    fn service(&self, user: User, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        let clock = match name {
            "recueild" | "recueil-courier" => self.options.clock.as_deref(),
            _ => None,
        };
        let mut command = self.command(user, name, clock)?;
        command
            .arg("--config")
            .arg(self.folders.path("recueil.toml"))
            .args(arguments)
            .current_dir(self.folders.path("work"));
        Process::notify(name, command, &self.folders.path("run"), &self.log(name))
    }

    /// Starts CERT, on the port it had before if it had one.
    pub fn start_cert(&mut self) -> anyhow::Result<()> {
        let clock = self.options.cert_clock.as_deref();
        let mut command = self.command(self.users.cert, "recueil-cert", clock)?;
        command.arg("serve").arg(self.folders.path("cert"));
        if let Some(address) = &self.cert_address {
            command.args(["--listen", address]);
        }
        let (process, line) = Process::first_line("recueil-cert", command, &self.log("recueil-cert"))?;
        let ready: Value = serde_json::from_str(&line)?;
        self.cert_address = ready.get("listening").and_then(Value::as_str).map(str::to_owned);
        anyhow::ensure!(self.cert_address.is_some(), "CERT does not say where it listens");
        self.cert = Some(process);
        Ok(())
    }

    /// Ends the courier as the service manager does.
    pub fn stop_courier(&mut self) {
        self.courier = None;
    }

    /// Ends CERT.
    pub fn stop_cert(&mut self) {
        self.cert = None;
    }

    /// Starts the courier.
    pub fn start_courier(&mut self) -> anyhow::Result<()> {
        self.courier = Some(self.service(self.users.courier, "recueil-courier", &[])?);
        Ok(())
    }

    /// Ends hostd as a crash does.
    pub fn kill_hostd(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.hostd {
            process.child.kill()?;
            process.child.wait()?;
        }
        self.hostd = None;
        Ok(())
    }

    /// Starts hostd.
    pub fn start_hostd(&mut self) -> anyhow::Result<()> {
        self.hostd = Some(self.service(self.users.host, "recueil-hostd", &[])?);
        Ok(())
    }

    /// Starts `recueild`.
    pub fn start_recueild(&mut self) -> anyhow::Result<()> {
        let own = User(rustix::process::geteuid().as_raw());
        let mut arguments = vec!["--private-bus".to_owned(), self.address.clone()];
        if !self.options.polkit {
            for user in [self.users.client, own].iter().chain(&self.options.allowed) {
                arguments.extend(["--allow-uid".to_owned(), user.0.to_string()]);
            }
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.recueild = Some(self.service(self.users.recueil, "recueild", &arguments)?);
        Ok(())
    }

    /// Ends `recueild` as the service manager does.
    pub fn stop_recueild(&mut self) {
        self.recueild = None;
    }

    /// Ends `recueild` as a crash does.
    pub fn kill_recueild(&mut self) -> anyhow::Result<()> {
        if let Some(process) = &mut self.recueild {
            process.child.kill()?;
            process.child.wait()?;
        }
        self.recueild = None;
        Ok(())
    }

    /// Starts the real polkitd on the bus, with our actions and these rules (JavaScript, see polkit(8)). Only
    /// root can.
    pub fn start_polkit(&mut self, rules: &str) -> anyhow::Result<()> {
        self.polkit = None;
        let log = self.log("polkitd");
        self.polkit = Some(polkit::start(
            &self.folders,
            &self.users,
            &self.address,
            rules,
            &log,
        )?);
        Ok(())
    }

    /// Ends polkitd.
    pub fn stop_polkit(&mut self) {
        self.polkit = None;
    }

    fn start_hardware(&mut self) -> anyhow::Result<()> {
        let control = self.folders.path("run/hardware.sock");
        self.folders
            .folder("run", self.users.hardware, self.users.hardware, 0o777)?;
        let mut command = self
            .users
            .command(self.users.hardware, &binary("recueil-virtual")?);
        command
            .arg("--images")
            .arg(fixtures("images"))
            .arg("--sockets")
            .arg(self.folders.path("devices"));
        command.arg("--control").arg(&control);
        let (process, _ready) =
            Process::first_line("recueil-virtual", command, &self.log("recueil-virtual"))?;
        self.hardware = Some(process);
        Ok(())
    }

    /// What the services logged, for a test that failed.
    pub fn logs(&self) -> String {
        let names = [
            "recueild",
            "recueil-hostd",
            "recueil-courier",
            "recueil-cert",
            "recueil-virtual",
            "polkitd",
        ];
        let parts = names.map(|name| {
            format!(
                "--- {name}\n{}",
                std::fs::read_to_string(self.log(name)).unwrap_or_default()
            )
        });
        parts.join("\n")
    }

    /// The pid of a service.
    pub fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let found = self.pids().into_iter().find(|(of, _)| of == name);
        Ok(found.with_context(|| format!("{name} does not run"))?.1)
    }

    /// The pids of the services, by name.
    pub fn pids(&self) -> Vec<(String, u32)> {
        [&self.recueild, &self.hostd, &self.courier]
            .into_iter()
            .flatten()
            .map(|process| (process.name.clone(), process.child.id()))
            .collect()
    }
}

/// One JSON line there and one back.
fn talk(socket: &Path, command: &Value) -> anyhow::Result<Value> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    writeln!(stream, "{command}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))
}

fn find(dir: &Path, wanted: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    std::fs::read_dir(dir).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        if path.is_dir() {
            find(&path, wanted)
        } else {
            wanted(&path).then_some(path)
        }
    })
}
