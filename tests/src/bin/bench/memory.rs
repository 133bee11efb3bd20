//! Memory of an idle `recueild`, beside an empty program on the same libraries.

use anyhow::Context;
use recueil_tests::binary;

use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{Rig, Running, SETTLING, command, log};

const ROUNDS: usize = 9;
const RESIDENT_MAX_BYTES: f64 = 14e6;

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    rig.station.stop_recueild();
    let users = *rig.users();
    let folders = rig.folders();
    let dir = folders.folder("bench/idle", users.recueil, users.recueil, 0o700)?;
    let log = log(folders, "memory")?;
    let [mut ours, mut rival, mut resident, mut rival_resident] = [(); 4].map(|()| Samples::default());
    let notify = crate::rig::Notify::new(folders, "memory")?;
    for round in 0..ROUNDS {
        let (recueild, _ready_after) = notify.time(rig.recueild()?, &log)?;
        let mut empty = command(&binary("recueil-rival-idle")?, users.recueil, &users);
        empty
            .arg(rig.station.bus_address())
            .arg(dir.join(format!("{round}.sqlite")));
        let (empty, _output) = Running::first_line(empty, &log)?;
        // Idle: both have told that they are ready, and devices have been heard of.
        std::thread::sleep(SETTLING);
        let (mine, theirs) = (Memory::of(&recueild)?, Memory::of(&empty)?);
        ours.push(mine.unique);
        resident.push(mine.resident);
        rival.push(theirs.unique);
        rival_resident.push(theirs.resident);
    }
    let bytes = Unit::Bytes;
    report.compare(
        "recueild idle, unique memory / an empty zbus, tokio, SQLite and ring program",
        bytes,
        &ours,
        &rival,
        Goal::Times(2.5),
    );
    report.compare(
        "recueild idle, resident memory / the same",
        bytes,
        &resident,
        &rival_resident,
        Goal::AtMost(RESIDENT_MAX_BYTES),
    );
    Ok(())
}

/// Of one process, in bytes.
struct Memory {
    unique: f64,
    resident: f64,
}

impl Memory {
    fn of(process: &Running) -> anyhow::Result<Self> {
        let path = format!("/proc/{}/smaps_rollup", process.pid());
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{path}: what is not dumpable is read by root alone"))?;
        let field = |name: &str| -> anyhow::Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            let kibibytes: u32 = kibibytes.with_context(|| format!("{path}: no {name}"))?.parse()?;
            Ok(f64::from(kibibytes) * 1024.0)
        };
        Ok(Self {
            unique: field("Private_Clean:")? + field("Private_Dirty:")?,
            resident: field("Rss:")?,
        })
    }
}
