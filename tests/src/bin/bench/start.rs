//! From exec to ready with three simulated devices, beside fprintd on the same bus.
//!
//! Ours in its two parts, each alone and both at once: hostd until three devices are ready, and `recueild` until it
//! says that it is. fprintd, with its one virtual device, until it owns its name, since it does not say more.

use std::fs::File;
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_tests::{Station, binary};
use recueil_wire::Socket;
use recueil_wire::devices::{Answer, Call, DeviceState, FromHostd, Notice, Request};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{Notify, PATIENCE, Rig, Running, command, log, next_line, now_ns, own_user};

const ROUNDS: usize = 15;
const DEVICES: usize = 3;
const INSTALLED: Duration = Duration::from_secs(3);
pub(crate) const FPRINTD: &str = "/usr/libexec/fprintd";
const POLKITD: &str = "/usr/lib/polkit-1/polkitd";

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    rig.station.stop_recueild();
    let _polkitd = start_polkitd(&rig.station)?;
    let mut rival = Fprintd::new(rig)?;
    let hostd = Hostd::new(rig)?;
    let notify = Notify::new(rig.folders(), "recueild")?;
    let hostds = Notify::new(rig.folders(), "hostd")?;
    let log = log(rig.folders(), "start")?;

    // A plugin is installed long before the machine starts; hostd remembers no hash of a file that is newer than this.
    std::thread::sleep(INSTALLED);
    let [mut service, mut devices, mut apart, mut both, mut fprintd] = [(); 5].map(|()| Samples::default());
    for _round in 0..ROUNDS {
        let (mut running, service_ready) = notify.time(rig.recueild()?, &log)?;
        running.stop();
        let devices_ready = hostd.time(rig, &hostds)?;
        service.push_time(service_ready);
        devices.push_time(devices_ready);
        apart.push_time(service_ready + devices_ready);
        both.push_time(at_once(rig, &hostd, [&notify, &hostds], &log)?);
        fprintd.push_time(rival.time(rig)?);
    }
    let (time, goal) = (Unit::Seconds, Goal::Times(0.6));
    for (what, ours, goal) in [
        ("recueild, exec to READY=1", service, goal),
        ("hostd, exec to three devices ready", devices, goal),
        ("both, one after the other", apart, Goal::None),
        (
            "both at once, as systemd starts them, until both are ready",
            both,
            goal,
        ),
    ] {
        let name = format!("{what} / fprintd, exec to bus name");
        report.compare(&name, time, &ours, &fprintd, goal);
    }
    Ok(())
}

/// From the start of both to when the last of them is ready.
fn at_once(rig: &Rig, hostd: &Hostd, [own, hostds]: [&Notify; 2], log: &File) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let service = scope.spawn(|| {
            let started = own.time(rig.recueild()?, log)?;
            anyhow::Ok((started, begun.elapsed()))
        });
        hostd.time(rig, hostds)?;
        let devices_ready = begun.elapsed();
        let joined = service
            .join()
            .map_err(|_panic| anyhow::anyhow!("the thread of recueild"))?;
        let ((mut running, _ready), service_ready) = joined?;
        running.stop();
        Ok(service_ready.max(devices_ready))
    })
}

/// hostd with the bench's own devices and socket, listened to by us in the place of `recueild`.
struct Hostd {
    config: PathBuf,
    socket: PathBuf,
}

impl Hostd {
    fn new(rig: &Rig) -> anyhow::Result<Self> {
        let (folders, host) = (rig.folders(), rig.users().host);
        let run_dir = folders.folder("run/bench-hostd", host, host, 0o755)?;
        let state_dir = folders.folder("bench/hostd", host, host, 0o700)?;
        let socket = run_dir.join("hostd.sock");
        let text = std::fs::read_to_string(folders.path("recueil.toml"))?;
        let mut config: toml::Table = text.parse()?;
        let hostd = config
            .get_mut("hostd")
            .and_then(toml::Value::as_table_mut)
            .context("the station's configuration has a table for hostd")?;
        let path = |path: &Path| toml::Value::from(path.display().to_string());
        hostd.insert("socket".to_owned(), path(&socket));
        hostd.insert("state_dir".to_owned(), path(&state_dir));
        hostd.insert("virtual_dir".to_owned(), path(&rig.devices_dir));
        hostd.insert("recueild".to_owned(), i64::from(own_user().0).into());
        let config_path = folders.path("bench/hostd.toml");
        std::fs::write(&config_path, toml::to_string(&config)?)?;
        Ok(Self {
            config: config_path,
            socket,
        })
    }

    /// One start, ended when its devices are ready.
    fn time(&self, rig: &Rig, notify: &Notify) -> anyhow::Result<Duration> {
        let mut hostd = command(&binary("recueil-hostd")?, rig.users().host, rig.users());
        hostd.arg("--config").arg(&self.config);
        let begun = Instant::now();
        let (_running, _bound) = notify.time(hostd, &log(rig.folders(), "hostd")?)?;
        let socket = connect(&self.socket)?;
        let list = Request {
            id: 1,
            call: Call::List,
        };
        socket.send(&list, &[])?;
        let mut ready = std::collections::BTreeSet::new();
        while ready.len() < DEVICES {
            let told = match socket.recv::<FromHostd>()?.message {
                FromHostd::Reply {
                    answer: Ok(Answer::Devices { devices, .. }),
                    ..
                } => devices,
                FromHostd::Notice(Notice::Device { device }) => vec![*device],
                other => bail!("while devices start: {other:?}"),
            };
            let are_ready = |device: &recueil_wire::devices::Device| device.state == DeviceState::Ready;
            ready.extend(told.into_iter().filter(are_ready).map(|device| device.id));
        }
        Ok(begun.elapsed())
    }
}

fn connect(path: &Path) -> anyhow::Result<Socket> {
    let socket: OwnedFd = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(Socket::new(socket))
}

/// fprintd with libfprint's virtual image device, and who watches for its name.
struct Fprintd {
    owners: Watched,
    state_dir: PathBuf,
}

impl Fprintd {
    fn new(rig: &Rig) -> anyhow::Result<Self> {
        anyhow::ensure!(Path::new(FPRINTD).is_file(), "the package fprintd is needed");
        let own = own_user();
        Ok(Self {
            owners: Watched::new(&rig.station, "net.reactivated.Fprint")?,
            state_dir: rig.folders().folder("bench/fprintd", own, own, 0o700)?,
        })
    }

    fn time(&mut self, rig: &Rig) -> anyhow::Result<Duration> {
        // As root, as its unit runs it.
        let mut fprintd = command(Path::new(FPRINTD), own_user(), rig.users());
        fprintd
            .arg("-t")
            .env("STATE_DIRECTORY", &self.state_dir)
            .env("FP_VIRTUAL_IMAGE", self.state_dir.join("device"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", rig.station.bus_address());
        let log = log(rig.folders(), "fprintd")?;
        let begun_ns = now_ns();
        let _running = Running::spawn(fprintd, &log)?;
        let owned_ns = self.owners.next()?;
        Ok(Duration::from_nanos(owned_ns.saturating_sub(begun_ns)))
    }
}

/// The program that tells when a name has an owner.
pub(crate) struct Watched {
    _watch: Running,
    owners: BufReader<ChildStdout>,
}

impl Watched {
    pub(crate) fn new(station: &Station, name: &str) -> anyhow::Result<Self> {
        let mut watch = command(&binary("recueil-rival-watch")?, own_user(), station.users());
        watch.args([station.bus_address(), name]);
        let (watch, owners) = Running::first_line(watch, &log(station.folders(), "watch")?)?;
        Ok(Self {
            _watch: watch,
            owners,
        })
    }

    /// When it had its next owner, on the monotonic clock in nanoseconds.
    pub(crate) fn next(&mut self) -> anyhow::Result<u64> {
        Ok(next_line(&mut self.owners)?.parse()?)
    }
}

/// fprintd asks for the authority when it starts, so there is one, as on any system.
pub(crate) fn start_polkitd(station: &Station) -> anyhow::Result<Running> {
    anyhow::ensure!(
        station.users().separate,
        "only root can start polkitd and fprintd"
    );
    let mut owners = Watched::new(station, "org.freedesktop.PolicyKit1")?;
    let mut polkitd = Command::new(POLKITD);
    polkitd
        .arg("--no-debug")
        .env("DBUS_SYSTEM_BUS_ADDRESS", station.bus_address());
    let running = Running::spawn(polkitd, &log(station.folders(), "polkitd")?)?;
    owners.next().context("polkitd does not start")?;
    Ok(running)
}
