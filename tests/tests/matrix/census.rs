//! What a station holds: processes, descriptors, memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use recueil_tests::Station;

/// A loaded machine buries its processes within this time.
const SETTLE_MAX: Duration = Duration::from_secs(20);
/// Memory that a cell may leave in a service: an allocator keeps what it has, a record of a hand among it.
const MEMORY_SLACK_KIB: u64 = 24 << 10;

/// Lines to CERT that a courier opens when it first needs them, and keeps.
const LINES: usize = 3;

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Census {
    /// Processes below this one by name.
    processes: BTreeMap<String, usize>,
    /// Descriptors by service, by what they are of.
    descriptors: BTreeMap<String, BTreeMap<String, usize>>,
    memory_kib: BTreeMap<String, u64>,
}

impl Census {
    pub(crate) fn take(station: &Station) -> Self {
        let mut processes = BTreeMap::new();
        for (_, name) in below(std::process::id()) {
            *processes.entry(name).or_default() += 1;
        }
        let (mut descriptors, mut memory_kib) = (BTreeMap::new(), BTreeMap::new());
        for (name, pid) in station.pids() {
            let proc = Path::new("/proc").join(pid.to_string());
            let mut open = BTreeMap::new();
            for entry in std::fs::read_dir(proc.join("fd")).into_iter().flatten().flatten() {
                let of = std::fs::read_link(entry.path()).unwrap_or_default();
                let of = of.to_string_lossy().into_owned();
                // Of the library that makes clocks jump, not ours.
                if of.starts_with("/dev/shm/faketime_") {
                    continue;
                }
                // Sockets and memory have numbers that are never the same.
                let of = of.split(['[', '(']).next().unwrap_or_default().to_owned();
                *open.entry(of).or_default() += 1;
            }
            descriptors.insert(name.clone(), open);
            memory_kib.insert(name, resident_kib(&proc));
        }
        Self {
            processes,
            descriptors,
            memory_kib,
        }
    }

    /// Waits until no more is held than before.
    ///
    /// # Errors
    /// What is left.
    pub(crate) async fn settled(&self, station: &Station) -> anyhow::Result<()> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let now = Self::take(station);
            let Some(left) = self.left_in(&now) else {
                return Ok(());
            };
            anyhow::ensure!(Instant::now() < deadline, "left behind: {left}");
            // There is no event for a process that somebody else buries.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn left_in(&self, now: &Self) -> Option<String> {
        let before = |name: &String| self.processes.get(name).copied().unwrap_or(0);
        if now.processes.iter().any(|(name, count)| *count > before(name)) {
            return Some(format!(
                "processes {:?}, before {:?}",
                now.processes, self.processes
            ));
        }
        for (name, open) in &now.descriptors {
            let before = self.descriptors.get(name);
            let more = |(of, count): (&String, &usize)| {
                let before = before.and_then(|before| before.get(of)).copied().unwrap_or(0);
                let lines = if name == "recueil-courier" && of == "socket:" {
                    LINES
                } else {
                    0
                };
                (*count > before + lines).then(|| format!("{of} {count}, before {before}"))
            };
            let more: Vec<_> = open.iter().filter_map(more).collect();
            if !more.is_empty() {
                return Some(format!("descriptors of {name}: {more:?}"));
            }
        }
        let grown = now
            .memory_kib
            .iter()
            .any(|(name, kib)| *kib > self.memory_kib.get(name).copied().unwrap_or(0) + MEMORY_SLACK_KIB);
        grown.then(|| format!("memory {:?} KiB, before {:?}", now.memory_kib, self.memory_kib))
    }
}

/// Every process below one, with its name as the kernel has it.
pub(crate) fn below(root: u32) -> Vec<(u32, String)> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        if let Some((name, parent, is_dead)) = name_and_parent(&entry.path())
            // The fixture buries those that it started when it starts the next; a service of ours does at once.
            && !(is_dead && parent == root)
        {
            all.insert(pid, (name, parent));
        }
    }
    let mut found = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, (name, of)) in &all {
            if *of == parent {
                parents.push(*pid);
                found.push((*pid, name.clone()));
            }
        }
    }
    found
}

/// The analysers that run.
pub(crate) fn analysers() -> Vec<u32> {
    let named = below(std::process::id()).into_iter();
    named
        .filter(|(_, name)| name.starts_with("recueil-analyse"))
        .map(|(pid, _)| pid)
        .collect()
}

fn name_and_parent(proc: &Path) -> Option<(String, u32, bool)> {
    let stat = std::fs::read_to_string(proc.join("stat")).ok()?;
    let (name, rest) = stat.rsplit_once(')')?;
    let name = name.split_once('(')?.1.to_owned();
    let mut words = rest.split_whitespace();
    let is_dead = words.next()? == "Z";
    Some((name, words.next()?.parse().ok()?, is_dead))
}

fn resident_kib(proc: &Path) -> u64 {
    let status = std::fs::read_to_string(proc.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok())
        .unwrap_or_default()
}
