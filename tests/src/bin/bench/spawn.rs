//! From starting a device host to its device being ready, beside a program that does nothing.

use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Context;
use recueil_tests::binary;
use recueil_wire::socket_pair;

use crate::host::{Host, Plugin, command};
use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::Rig;

const ROUNDS: usize = 41;
/// "5 ms on a quiet machine".
const QUIET_MACHINE_S: f64 = 5e-3;

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let users = *rig.users();
    let nothing = binary("recueil-rival-nothing")?;
    same_libraries(&binary("recueil-device-host")?, &nothing)?;
    let least = Plugin::compile(rig.folders(), &users)?;
    let simulator = Plugin::simulator(rig.folders());
    let reader = rig.devices_dir.join("fp4.SN0001.sock");

    let [mut ours, mut simulated, mut rival] =
        [const { Vec::new() }; 3].map(|_none: Vec<f64>| Samples::default());
    for _round in 0..ROUNDS {
        let (_far_end, device) = UnixStream::pair()?;
        ours.push_time(Host::start(&least, &users, &device)?.ready_after);

        let (_unused, theirs) = socket_pair()?;
        let begun = Instant::now();
        let mut command = command(&nothing, theirs, users.host, &users);
        let status = command.status()?;
        rival.push_time(begun.elapsed());
        anyhow::ensure!(status.success(), "the rival ended badly");

        let device = UnixStream::connect(&reader).with_context(|| reader.display().to_string())?;
        simulated.push_time(Host::start(&simulator, &users, &device)?.ready_after);
    }
    let (times, time) = (Goal::Times(3.0), Unit::Seconds);
    report.compare(
        "device host, start to ready, least plugin / fork, exec and end of a program that does nothing",
        time,
        &ours,
        &rival,
        times,
    );
    report.compare(
        "device host, start to ready, simulator and its reader / the same",
        time,
        &simulated,
        &rival,
        times,
    );
    report.alone(
        "device host, start to ready, least plugin",
        time,
        &ours,
        Goal::AtMost(QUIET_MACHINE_S),
    );
    Ok(())
}

/// The rival must be linked to the same libraries, or it would have less to load.
fn same_libraries(ours: &Path, rival: &Path) -> anyhow::Result<()> {
    let (ours, rival) = (libraries(ours)?, libraries(rival)?);
    anyhow::ensure!(
        ours == rival,
        "the host is linked to {ours:?}, the rival to {rival:?}"
    );
    Ok(())
}

fn libraries(program: &Path) -> anyhow::Result<BTreeSet<String>> {
    let output = Command::new("ldd").arg(program).output().context("ldd")?;
    anyhow::ensure!(output.status.success(), "ldd {}", program.display());
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}
