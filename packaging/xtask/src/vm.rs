//! `cargo xtask vm [--rounds N] [--seed S] [--built DIR]`: power cuts. A guest under Debian's kernel collects and seals dossiers; qemu
//! is killed at random moments, and what the guest finds after its next boot is compared with all that the station had
//! said before, and with CERT, which runs outside. Before that something greedy in each service's place shows that the
//! kernel holds the services to the budgets of their units, which no container here does.
//!
//! What qemu had been given is kept by this machine's page cache, so a write that the guest never sent is lost and a
//! missing flush of the disk's own cache is not seen.

mod cert;
mod guest;
mod ledger;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::packages;
use crate::run::{cargo, root, say, succeed, target};
use cert::Cert;
use guest::{Guest, Work};
use ledger::Ledger;

/// What building and starting the guest needs, besides what tests need.
const GUEST: &[&str] = &["busybox-static", "cpio", "e2fsprogs", "kmod"];
/// From the start of qemu to the agent's first look. Emulated, on a loaded machine.
const BOOT_MAX: Duration = Duration::from_mins(8);
/// The last boot finishes what is open.
const END_MAX: Duration = Duration::from_mins(20);
/// A guest is killed after fewer things than this that its agent told, and at most so long after the last of them:
/// a slow machine gets as far in its rounds as a quick one.
const THINGS_MAX: u64 = 8;
const AFTER_MAX_MS: u64 = 8_000;
/// One thing, emulated, on a loaded machine.
const THING_MAX: Duration = Duration::from_mins(5);

pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let Arguments { rounds, seed, built } = Arguments::parse(arguments)?;
    anyhow::ensure!(packages::is_root(), "only root can build the guest's disks");
    packages::install(&[packages::SERVICES, packages::TESTS, GUEST])?;
    packages::install_qemu()?;
    let programs = if let Some(dir) = built {
        dir
    } else {
        // Emulation is slow enough.
        succeed(&mut cargo(&["build", "--release", "--workspace"]))?;
        target().join("release")
    };
    let cache = target().join("system");
    let debian = cache.join("debian-vm");
    crate::deb::pack_all(&programs, &debian, "-Znone")?;

    let vm = cache.join("vm");
    let cert = Cert::start(&programs.join("recueil-cert"), &vm.join("cert"))?;
    let mut build = Command::new(root().join("tests/system/vm/build.sh"));
    succeed(build.arg(&cache).arg(&debian).arg(cert.station()))?;
    budgets(&vm, &cert)?;
    say(&format!("seed {seed}, {rounds} power cuts"));
    let mut random = Random(seed);
    let mut ledger = Ledger::default();
    for round in 1..=rounds {
        cut(&vm, &cert, &mut ledger, &mut random).with_context(|| format!("round {round}, seed {seed}"))?;
        say(&format!("{round}: {}", ledger.summary(&cert.ingested()?)));
    }
    finish(&vm, &cert, &mut ledger).with_context(|| format!("after {rounds} power cuts, seed {seed}"))?;
    say(&format!(
        "{rounds} power cuts, seed {seed}: {}; 0 lost, 0 doubled, 0 erased early",
        ledger.summary(&cert.ingested()?)
    ));
    Ok(())
}

/// Has each budget exceeded (tests/system/vm/budgets.py tells what the words mean).
fn budgets(vm: &Path, cert: &Cert) -> anyhow::Result<()> {
    let mut guest = Guest::start(vm, cert.port(), Work::Exceed)?;
    guest.until("looked", END_MAX)?;
    let told = guest.kill()?;
    say(&told);
    let count = |word: &str| told.lines().filter(|line| line.starts_with(word)).count();
    let counts = [
        count("budget "),
        count("tasks "),
        count("memory "),
        count("BROKEN "),
    ];
    anyhow::ensure!(counts == [4, 4, 3, 0], "budgets are not kept, see above");
    say(
        "4 services' budgets: 4 of tasks kept, 3 of memory kept; who exceeded his was ended and is back, others lived on",
    );
    Ok(())
}

/// Boots, compares, lets work go on for a random while, cuts the power.
fn cut(vm: &Path, cert: &Cert, ledger: &mut Ledger, random: &mut Random) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut guest = Guest::start(vm, cert.port(), Work::Collect)?;
    guest.until("looked", BOOT_MAX)?;
    let booted = started.elapsed();
    for _ in 0..random.below(THINGS_MAX) {
        guest.next(THING_MAX)?;
    }
    // Any moment will do, this is not to wait for something.
    std::thread::sleep(Duration::from_millis(random.below(AFTER_MAX_MS)));
    let told = guest.kill()?;
    let last = told.lines().last().unwrap_or_default().to_owned();
    ledger.compare_and_add(&told)?;
    ledger.cut(cert.ingested()?);
    say(&format!(
        "booted in {:.1} s; cut after: {last}",
        booted.as_secs_f64()
    ));
    Ok(())
}

/// Boots once more, lets the agent finish, and compares with CERT.
fn finish(vm: &Path, cert: &Cert, ledger: &mut Ledger) -> anyhow::Result<()> {
    let mut guest = Guest::start(vm, cert.port(), Work::Finish)?;
    guest.until("looked", BOOT_MAX)?;
    guest.until("done", END_MAX)?;
    ledger.compare_and_add(&guest.kill()?)?;
    ledger.compare_with_cert(&cert.ingested()?, cert.demandes()?)
}

struct Arguments {
    rounds: u32,
    seed: u64,
    built: Option<PathBuf>,
}

impl Arguments {
    fn parse(arguments: &[String]) -> anyhow::Result<Self> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let mut parsed = Self {
            rounds: 20,
            seed: now.as_secs(),
            built: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match (word.as_str(), words.next()) {
                ("--rounds", Some(number)) => parsed.rounds = number.parse().context("--rounds N")?,
                ("--seed", Some(number)) => parsed.seed = number.parse().context("--seed S")?,
                ("--built", Some(dir)) => parsed.built = Some(dir.into()),
                _ => {
                    bail!("vm [--rounds N] [--seed S] [--built DIR]: DIR of programs that are built already")
                }
            }
        }
        Ok(parsed)
    }
}

/// `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014): enough to choose moments, and told by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit.max(1)
    }
}

/// The names in a folder that end so, without the ending.
fn names(dir: &Path, ending: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let name: PathBuf = entry?.file_name().into();
        if let Some(stem) = name.to_string_lossy().strip_suffix(ending) {
            names.push(stem.to_owned());
        }
    }
    Ok(names)
}
