//! "No Recueil process that can hold a plain fingerprint can reach a network, and none that can reach a network can
//! hold one": from the units and from the processes, while a hand is awaited.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;

use anyhow::Context;

use crate::machine::Machine;
use crate::station::{SERVICES, Station};

/// The one that may reach a network.
const COURIER: &str = "recueil-courier";

#[test]
fn by_the_units_only_the_courier_has_a_network_and_it_has_nothing_else() -> anyhow::Result<()> {
    let Some(machine) = Machine::with_recueil()? else {
        return Ok(());
    };
    let files = machine.run("dpkg --listfiles recueil | grep -o '[^/]*[.]service$'")?;
    let mut seen = 0;
    for file in files.lines() {
        let unit = file.replace("@.service", "@x.service");
        let told = machine.run(&format!("systemctl show '{unit}'"))?;
        let is = |name: &str| {
            let line = told
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name}=")));
            line.unwrap_or_default().to_owned()
        };
        let families = is("RestrictAddressFamilies");
        if unit.starts_with(COURIER) {
            let hidden = is("InaccessiblePaths");
            for path in [
                "/run/dbus",
                "/run/recueil",
                "/run/recueil-hostd",
                "/var/lib/recueil",
                "/dev/shm",
            ] {
                assert!(
                    hidden.split(' ').any(|one| one.trim_start_matches('-') == path),
                    "{path}: {hidden}"
                );
            }
        } else {
            assert_eq!(is("PrivateNetwork"), "yes", "{unit}");
            let denied: BTreeSet<String> = is("IPAddressDeny").split(' ').map(str::to_owned).collect();
            assert_eq!(
                denied,
                BTreeSet::from(["0.0.0.0/0".to_owned(), "::/0".to_owned()]),
                "{unit}"
            );
            for family in families.split(' ') {
                assert!(
                    ["AF_UNIX", "none", ""].contains(&family),
                    "{unit} may have {family}"
                );
            }
        }
        for (name, value) in [
            ("MemorySwapMax", "0"),
            ("LimitCORE", "0"),
            ("NoNewPrivileges", "yes"),
            ("CapabilityBoundingSet", ""),
            ("AmbientCapabilities", ""),
            ("ProtectSystem", "strict"),
            ("PrivateDevices", "yes"),
        ] {
            assert_eq!(is(name), value, "{unit}: {name}");
        }
        assert!(
            !families.is_empty() || unit.starts_with("recueil-analyser"),
            "{unit}: no families are named"
        );
        assert_ne!(is("User"), "root", "{unit}");
        seen += 1;
    }
    assert_eq!(seen, 4, "{files}");
    Ok(())
}

#[test]
fn by_the_processes_only_the_courier_has_a_network_and_it_has_nothing_else() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    let at_work = (station.capturing()?, station.scanning()?);
    let mut running = BTreeMap::new();
    for unit in SERVICES {
        running.insert(unit.to_owned(), station.main_pid(unit)?);
    }
    for (number, analyser) in station.analysers()?.into_iter().enumerate() {
        running.insert(format!("analyser {number}"), analyser);
    }
    let hostd = running.get("recueil-hostd").copied().context("it runs")?;
    let hosts = station.children(hostd)?;
    assert_eq!(hosts.len(), 3, "one a device");
    for (number, host) in hosts.into_iter().enumerate() {
        running.insert(format!("host {number}"), host);
    }

    let machine = &station.machine;
    let outside = inet_sockets(machine, 1)?;
    assert!(!outside.is_empty(), "the control: CERT listens");
    let mut users = BTreeMap::new();
    for (name, pid) in &running {
        let process = Process { machine, pid: *pid };
        let uid = process.holds_nothing_it_could_become_more_with(name)?;
        users.entry(uid).or_insert_with(Vec::new).push(name.as_str());
        let own_network = process.link("ns/net")? != Process { machine, pid: 1 }.link("ns/net")?;
        assert_eq!(own_network, name != COURIER, "{name}");
        if own_network {
            assert_eq!(process.interfaces()?, ["lo"], "{name}");
            assert!(inet_sockets(machine, *pid)?.is_empty(), "{name}");
        }
        for target in process.descriptors()? {
            if name != COURIER {
                assert!(
                    !outside.contains(&target),
                    "{name} holds a socket of the network: {target}"
                );
            }
            assert!(may_hold(name, *pid, &target), "{name} holds {target}");
        }
    }
    let mut users: Vec<_> = users.into_values().collect();
    users.sort();
    assert_eq!(
        users,
        [
            vec!["analyser 0"],
            vec!["analyser 1"],
            vec!["host 0", "host 1", "host 2", "recueil-hostd"],
            vec!["recueil-courier"],
            vec!["recueild"],
        ],
        "each service under its own user, and each session of pictures"
    );
    drop(at_work);
    Ok(())
}

/// What a process may have open, besides what has no name.
fn may_hold(name: &str, pid: u32, target: &str) -> bool {
    let nameless = ["socket:", "pipe:", "anon_inode:", "/dev/null"];
    if nameless.iter().any(|kind| target.starts_with(kind)) {
        return true;
    }
    // A host counts its own threads.
    if name.starts_with("host ") && target == format!("/proc/{pid}/status") {
        return true;
    }
    let paths: &[&str] = match name {
        // The last is logind's pipe: open, it delays sleep until captures have ended.
        "recueild" => &[
            "/var/lib/recueil/",
            "/var/lib/recueil",
            "/var/lib/recueil-ready",
            "/run/systemd/inhibit/",
        ],
        "recueil-courier" => &["/var/lib/recueil-ready", "/var/lib/recueil-courier/"],
        "recueil-hostd" => &[],
        // Memory for pictures; for hosts the library too.
        _ if name.starts_with("analyser") => &["/memfd:"],
        _ => &["/memfd:", "/usr/lib/recueil/plugins/simulator/"],
    };
    paths.iter().any(|path| {
        if path.ends_with(['/', ':']) {
            target.starts_with(path)
        } else {
            target == *path
        }
    })
}

struct Process<'m> {
    machine: &'m Machine,
    pid: u32,
}

impl Process<'_> {
    /// No capability, no way to one, a filter on its calls, no core, not to be looked into. Gives its user.
    fn holds_nothing_it_could_become_more_with(&self, name: &str) -> anyhow::Result<u32> {
        let status = self.machine.proc(self.pid, "status")?;
        let is = |key: &str| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{key}:")));
            line.unwrap_or_default().trim().to_owned()
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(is(set), "0000000000000000", "{name}: {set}");
        }
        assert_eq!(
            (is("NoNewPrivs"), is("Seccomp")),
            ("1".to_owned(), "2".to_owned()),
            "{name}"
        );
        let limits = self.machine.proc(self.pid, "limits")?;
        let core = limits.lines().find(|line| line.starts_with("Max core file size"));
        let core: Vec<_> = core
            .unwrap_or_default()
            .split_whitespace()
            .skip(4)
            .take(2)
            .collect();
        assert_eq!(core, ["0", "0"], "{name}");
        let uids: BTreeSet<u32> = is("Uid")
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let uid = *uids.first().context("a user")?;
        assert!(uids.len() == 1 && uid != 0, "{name} has the users {uids:?}");
        // Files of a process that is not dumpable are root's (proc(5)).
        let environment = std::fs::metadata(self.machine.path(&format!("/proc/{}/environ", self.pid)))?;
        assert_eq!(environment.uid(), 0, "{name} is dumpable");
        Ok(uid)
    }

    fn link(&self, of: &str) -> anyhow::Result<String> {
        let path = self.machine.path(&format!("/proc/{}/{of}", self.pid));
        Ok(std::fs::read_link(path)?.to_string_lossy().into_owned())
    }

    fn interfaces(&self) -> anyhow::Result<Vec<String>> {
        let table = self.machine.proc(self.pid, "net/dev")?;
        let names = table
            .lines()
            .filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned()));
        Ok(names.collect())
    }

    fn descriptors(&self) -> anyhow::Result<Vec<String>> {
        let mut targets = Vec::new();
        for entry in std::fs::read_dir(self.machine.path(&format!("/proc/{}/fd", self.pid)))? {
            // One may be closed while we look.
            if let Ok(target) = std::fs::read_link(entry?.path()) {
                targets.push(target.to_string_lossy().into_owned());
            }
        }
        assert!(!targets.is_empty());
        Ok(targets)
    }
}

/// The sockets of the internet families in a process's network, as descriptors name them.
fn inet_sockets(machine: &Machine, pid: u32) -> anyhow::Result<BTreeSet<String>> {
    let mut sockets = BTreeSet::new();
    let mut add = |text: &str| {
        for line in text.lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            sockets.insert(format!("socket:[{inode}]"));
        }
    };
    for table in ["tcp", "udp", "raw"] {
        add(&machine.proc(pid, &format!("net/{table}"))?);
    }
    // A kernel may have been built without these.
    for table in ["tcp6", "udp6", "raw6", "udplite", "icmp"] {
        add(&machine.proc(pid, &format!("net/{table}")).unwrap_or_default());
    }
    Ok(sockets)
}
