//! What a station at rest holds: compared with its first rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::town::{PATIENCE, Town};

/// What a service may keep beyond its first rest: caches, pools of threads, fragments. In KiB of private memory.
const GROWTH_MAX_KIB: u64 = 8 << 10;
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Services, by their name in the kernel. The first three have their memory compared.
const SERVICES: [&str; 5] = [
    "recueild",
    "recueil-hostd",
    "recueil-courier",
    "recueil-device-",
    "dbus-daemon",
];
const LIVING: usize = 3;
/// Folders whose files are counted.
const FOLDERS: [&str; 5] = ["state", "ready", "courier", "host", "run"];

/// A process of the station's.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) name: String,
    pub(crate) zombie: bool,
    parent: i32,
}

/// All that descend from this process.
pub(crate) fn processes() -> anyhow::Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since.
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let named = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
        let Some((name, rest)) = named else { continue };
        let mut words = rest.split_whitespace();
        let zombie = words.next() == Some("Z");
        let parent = words.next().and_then(|parent| parent.parse().ok());
        all.push(Process {
            pid,
            name: name.to_owned(),
            zombie,
            parent: parent.unwrap_or_default(),
        });
    }
    let mut family = BTreeSet::from([rustix::process::getpid().as_raw_nonzero().get()]);
    loop {
        let known = family.len();
        family.extend(
            all.iter()
                .filter(|process| family.contains(&process.parent))
                .map(|process| process.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == known {
            break;
        }
    }
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // Whom the rig itself has not waited for yet is no concern of the station's.
    all.retain(|process| {
        process.pid != own && family.contains(&process.pid) && !(process.zombie && process.parent == own)
    });
    Ok(all)
}

/// Everything countable that a station at rest holds.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holding(BTreeMap<String, String>);

impl Holding {
    async fn look(town: &Town) -> anyhow::Result<Self> {
        let mut holding = BTreeMap::new();
        let objects = objects(town).await?;
        // No client is connected from here on.
        let processes = processes()?;
        let mut counts = BTreeMap::<&str, usize>::new();
        for process in &processes {
            *counts.entry(process.name.as_str()).or_default() += 1;
        }
        for (name, count) in counts {
            holding.insert(format!("processes {name}"), count.to_string());
        }
        for service in SERVICES {
            let mut descriptors: Vec<usize> = processes
                .iter()
                .filter(|process| process.name == service)
                .map(|process| descriptors(process.pid))
                .collect();
            descriptors.sort_unstable();
            holding.insert(format!("descriptors of {service}"), format!("{descriptors:?}"));
        }
        for (what, count) in objects {
            holding.insert(format!("bus: {what}"), count.to_string());
        }
        let root = town.station().folders().root().to_owned();
        for folder in FOLDERS {
            let mut files = BTreeMap::new();
            count_files(&root, &root.join(folder), &mut files);
            for (dir, count) in files {
                holding.insert(format!("files in {dir}"), count.to_string());
            }
        }
        Ok(Self(holding))
    }

    fn differences(&self, from: &Self) -> Vec<String> {
        let keys: BTreeSet<_> = self.0.keys().chain(from.0.keys()).collect();
        let none = "none".to_owned();
        keys.into_iter()
            .filter_map(|key| {
                let (before, now) = (from.0.get(key).unwrap_or(&none), self.0.get(key).unwrap_or(&none));
                (before != now).then(|| format!("{key}: {before} before, {now} now"))
            })
            .collect()
    }
}

/// Objects and names on the bus, as a client sees them that is gone afterwards.
async fn objects(town: &Town) -> anyhow::Result<Vec<(&'static str, usize)>> {
    let connection = recueil_bus::connect(&town.address).await?;
    let devices = recueil_bus::devices(&connection).await?;
    let ready = devices.iter().filter(|device| device.state == "ready").count();
    let leased = devices
        .iter()
        .filter(|device| device.holder_uid.is_some())
        .count();
    let mut objects = vec![("devices ready", ready), ("devices leased", leased)];
    for (what, path) in [
        ("dossiers", "/fr/recueil/dossier"),
        ("captures", "/fr/recueil/capture"),
    ] {
        let interface = "org.freedesktop.DBus.Introspectable";
        let told = connection
            .call_method(Some(recueil_bus::NAME), path, Some(interface), "Introspect", &())
            .await;
        // Where there is no such node, there is none below it.
        let xml: String = match told {
            Ok(told) => told.body().deserialize()?,
            Err(_no_node) => String::new(),
        };
        objects.push((what, xml.matches("<node name=").count()));
    }
    let bus = "org.freedesktop.DBus";
    let names = connection
        .call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "ListNames", &())
        .await?;
    let names: Vec<String> = names.body().deserialize()?;
    let unique = names.iter().filter(|name| name.starts_with(':')).count();
    objects.push(("connections", unique));
    connection.close().await?;
    Ok(objects)
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Files by folder; a folder by its place below `root`.
fn count_files(root: &Path, dir: &Path, files: &mut BTreeMap<String, usize>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            count_files(root, &path, files);
        } else {
            let shown = dir.strip_prefix(root).unwrap_or(dir).display().to_string();
            *files.entry(shown).or_default() += 1;
        }
    }
}

/// What a process has written to and keeps, in KiB.
fn private_kib(pid: i32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .context("no RssAnon")?
        .parse()
        .context("RssAnon is a number")
}

/// The memory of one process over its life.
#[derive(Debug, Clone, Copy)]
struct Life {
    first_kib: u64,
    last_kib: u64,
    rests: u32,
}

/// The first rest, and what became of it.
#[derive(Debug)]
pub(crate) struct Rests {
    first: Holding,
    lives: BTreeMap<(String, i32), Life>,
}

impl Rests {
    /// Takes the first look, when two in a row are the same.
    pub(crate) async fn first(town: &Town) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut before = Holding::look(town).await?;
        loop {
            tokio::time::sleep(LOOK_EVERY * 4).await;
            let now = Holding::look(town).await?;
            if now == before {
                break;
            }
            let differences = now.differences(&before);
            anyhow::ensure!(begun.elapsed() < PATIENCE, "no first rest: {differences:?}");
            before = now;
        }
        let mut rests = Self {
            first: before,
            lives: BTreeMap::new(),
        };
        rests.weigh()?;
        Ok(rests)
    }

    /// Waits until all is as at first.
    pub(crate) async fn compare(&mut self, town: &Town) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let differences = Holding::look(town).await?.differences(&self.first);
            if differences.is_empty() {
                break;
            }
            anyhow::ensure!(
                begun.elapsed() < PATIENCE,
                "at rest, and not as before: {}",
                differences.join("; ")
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.weigh()
    }

    fn weigh(&mut self) -> anyhow::Result<()> {
        for process in processes()? {
            if !SERVICES.iter().take(LIVING).any(|name| *name == process.name) {
                continue;
            }
            let kib = private_kib(process.pid)?;
            let key = (process.name, process.pid);
            let life = self.lives.entry(key.clone()).or_insert(Life {
                first_kib: kib,
                last_kib: kib,
                rests: 0,
            });
            life.last_kib = kib;
            life.rests += 1;
            let growth = kib.saturating_sub(life.first_kib);
            anyhow::ensure!(
                growth <= GROWTH_MAX_KIB,
                "{} grew by {growth} KiB in {} shifts, from {} KiB",
                key.0,
                life.rests,
                life.first_kib
            );
        }
        Ok(())
    }
}

impl fmt::Display for Rests {
    /// The lives of the services; with `#`, what was held at the first rest, too.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if formatter.alternate() {
            writeln!(formatter, "held at the first rest and at the last:")?;
            for (what, count) in &self.first.0 {
                writeln!(formatter, "  {what}: {count}")?;
            }
        }
        for service in SERVICES.iter().take(LIVING) {
            let lives = self.lives.iter().filter(|((name, _), _)| name == service);
            let longest = lives.clone().max_by_key(|(_, life)| life.rests);
            let most = lives
                .clone()
                .map(|(_, life)| life.last_kib.saturating_sub(life.first_kib))
                .max();
            if let (Some((_, longest)), Some(most)) = (longest, most) {
                let Life {
                    first_kib,
                    last_kib,
                    rests,
                } = longest;
                let count = lives.count();
                write!(
                    formatter,
                    "{service}: {count} lives, the longest {rests} rests {first_kib} to {last_kib} KiB, \
                     most growth {most} KiB; "
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(counts: &[(&str, &str)]) -> Holding {
        let counts = counts
            .iter()
            .map(|(what, count)| ((*what).to_owned(), (*count).to_owned()));
        Holding(counts.collect())
    }

    #[test]
    fn what_is_more_or_less_or_new_is_named() {
        let first = holding(&[("files", "2"), ("processes", "3"), ("captures", "0")]);
        let now = holding(&[("files", "2"), ("processes", "4"), ("drafts", "1")]);
        assert_eq!(
            now.differences(&first),
            [
                "captures: 0 before, none now",
                "drafts: none before, 1 now",
                "processes: 3 before, 4 now"
            ]
        );
        assert_eq!(first.differences(&first), [""; 0]);
    }

    #[test]
    fn a_process_that_a_process_of_ours_started_is_seen_with_its_descriptors() -> anyhow::Result<()> {
        let mut child = std::process::Command::new("sleep").arg("60").spawn()?;
        let pid = i32::try_from(child.id())?;
        let seen = processes()?.into_iter().any(|process| process.pid == pid);
        let descriptors = descriptors(pid);
        child.kill()?;
        child.wait()?;
        assert!(seen);
        assert!(descriptors >= 3, "{descriptors}");
        Ok(())
    }
}
