//! One cgroup a host, below the one that the service manager gave hostd (`Delegate=memory pids cpu`), over the
//! files of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst). Where nothing is delegated there is none, and
//! hosts are held by rlimits alone.
//!
//! ```text
//! recueil-hostd.service   controllers handed down; no process of its own, as the kernel wants it
//! ├── hostd               this process
//! └── host-1 …            one host, while it lives
//! ```
//!
//! A host is moved there by its number when it was started: it waits for its first message, and runs nothing
//! of a vendor's before it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{info, warn};

use crate::Error;
use crate::manifest::Limits;

/// Where cgroup v2 is mounted; the second where v1 has the first (systemd's "hybrid" hierarchy).
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
const LEAF: &str = "hostd";
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// What a host needs beside its plugin: `confine::limits` of the host, and frame memory, which counts for
/// whoever touches it first. Frames are lent by the analyser, which has a limit of its own.
const OWN_MIB: u64 = 48 + 1024;
/// The main thread and the device's.
const OWN_THREADS: u32 = 2;
/// Against 100 of hostd itself, which must be able to end a host that spins.
const CPU_WEIGHT: u32 = 50;

/// The cgroup that is ours.
#[derive(Debug)]
pub(crate) struct Cgroups {
    dir: PathBuf,
    controllers: Vec<&'static str>,
    made: AtomicU64,
}

impl Cgroups {
    /// Takes over what the service manager delegated; none, with a line in the log, if it did not.
    pub(crate) fn take_over() -> Option<Arc<Self>> {
        match own_cgroup().and_then(|dir| Self::below(&dir)) {
            Ok(cgroups) => {
                info!(limits = cgroups.controllers.join(","), "hosts get a cgroup each");
                Some(Arc::new(cgroups))
            }
            Err(reason) => {
                info!(
                    reason,
                    "hosts are limited by rlimits only: no cgroup is delegated"
                );
                None
            }
        }
    }

    /// Moves this process to a leaf of `dir` and hands the controllers down. What it cannot do, it undoes.
    fn below(dir: &Path) -> Result<Self, String> {
        let said = |what: &str| {
            let what = what.to_owned();
            move |error: std::io::Error| format!("{what}: {error}")
        };
        let procs = fs::read_to_string(dir.join("cgroup.procs")).map_err(said("cgroup.procs"))?;
        let own = std::process::id().to_string();
        // A cgroup that others live in is not ours to divide.
        if procs.split_whitespace().any(|pid| pid != own) {
            return Err(format!("other processes live in {}", dir.display()));
        }
        let leaf = dir.join(LEAF);
        match fs::create_dir(&leaf) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(said("making a cgroup"))?,
        }
        if let Err(reason) = fs::write(leaf.join("cgroup.procs"), &own).map_err(said("moving there")) {
            fs::remove_dir(&leaf).ok();
            return Err(reason);
        }
        sweep(dir);
        let offered = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
        let controllers = CONTROLLERS
            .into_iter()
            .filter(|name| offered.split_whitespace().any(|offered| offered == *name))
            .filter(|name| fs::write(dir.join("cgroup.subtree_control"), format!("+{name}")).is_ok())
            .collect();
        Ok(Self {
            dir: dir.to_owned(),
            controllers,
            made: AtomicU64::new(0),
        })
    }

    /// Whether hosts are held to their memory and threads.
    pub(crate) fn holds(&self) -> bool {
        ["memory", "pids"]
            .iter()
            .all(|name| self.controllers.contains(name))
    }

    /// A cgroup for one host, with `pid` in it.
    pub(crate) fn place(self: &Arc<Self>, pid: u32, limits: Limits) -> Result<Cgroup, Error> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let dir = self.dir.join(format!("host-{number}"));
        let failed = |source| Error::file(&dir, source);
        fs::create_dir(&dir).map_err(failed)?;
        // Removed again if a limit cannot be set.
        let cgroup = Cgroup { dir: dir.clone() };
        let memory = limits.memory_mib.saturating_add(OWN_MIB).saturating_mul(1 << 20);
        let threads = limits.threads.saturating_add(OWN_THREADS);
        for (controller, file, value) in [
            ("memory", "memory.max", memory.to_string()),
            ("memory", "memory.swap.max", "0".to_owned()),
            ("memory", "memory.oom.group", "1".to_owned()),
            ("pids", "pids.max", threads.to_string()),
            ("cpu", "cpu.weight", CPU_WEIGHT.to_string()),
        ] {
            if self.controllers.contains(&controller) {
                match fs::write(dir.join(file), value) {
                    // A kernel without swap accounting has no such file.
                    Err(error) if error.kind() == ErrorKind::NotFound && file == "memory.swap.max" => {}
                    written => written.map_err(failed)?,
                }
            }
        }
        fs::write(dir.join("cgroup.procs"), pid.to_string()).map_err(failed)?;
        Ok(cgroup)
    }
}

/// Cgroups of hosts that an earlier hostd left: whatever still runs there is ended.
fn sweep(dir: &Path) {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("host-")) {
        drop(Cgroup { dir: entry.path() });
    }
}

/// One host's cgroup. Dropped, whatever is in it is killed and it is removed.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Whether the kernel ended the host since it took more memory than it may.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        self.events("memory.events", "oom_kill ")
            .is_some_and(|kills| kills > 0)
    }

    /// Whether it was refused a thread that it may not have.
    pub(crate) fn wanted_more_threads(&self) -> bool {
        self.events("pids.events", "max ")
            .is_some_and(|refused| refused > 0)
    }

    fn events(&self, file: &str, name: &str) -> Option<u64> {
        let events = fs::read_to_string(self.dir.join(file)).ok()?;
        events
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nothing should live there any more; the kernel has this file since Linux 5.14.
        fs::write(self.dir.join("cgroup.kill"), "1").ok();
        if let Err(error) = fs::remove_dir(&self.dir)
            && error.kind() != ErrorKind::NotFound
        {
            warn!(dir = %self.dir.display(), %error, "a host's cgroup stays behind until hostd starts again");
        }
    }
}

/// The cgroup v2 folder of this process.
fn own_cgroup() -> Result<PathBuf, String> {
    let text =
        fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
    let path = text
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or("this process is in no cgroup of version 2")?;
    MOUNTS
        .iter()
        .map(|mount| Path::new(mount).join(path))
        .find(|dir| dir.join("cgroup.procs").is_file())
        .ok_or_else(|| "cgroup v2 is not mounted".to_owned())
}

#[cfg(test)]
mod tests;
