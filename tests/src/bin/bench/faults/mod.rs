//! What happens to others when a client, a driver or a service ends badly: ours beside fprintd and pcscd.
//!
//! Each contestant has a device that clients take turns at and another one with a witness at work on it. All
//! clients are processes of their own; times are told by the client that waits, on the monotonic clock.

mod fprintd;
mod ours;
mod pcscd;
mod side;

use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use recueil_tests::{Options, Station};

use crate::faults::fprintd::Fprintd;
use crate::faults::ours::Ours;
use crate::faults::pcscd::Pcscd;
use crate::faults::side::{Actor, Crash, Role, Seen, Side, Witness};
use crate::host::{Host, Plugin};
use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{PATIENCE, Rig, SETTLING, allow_rivals, log};
use crate::start::start_polkitd;

const KILLS: usize = 11;
const WEDGES: usize = 3;
const CRASHES: usize = 7;
/// Less than a driver that ignores cancel is given: it is still there.
const FRESH: Duration = Duration::from_millis(200);
/// "2 s at most", for the lease and for the end of the services.
const WEDGED_S: f64 = 2.0;
/// "100 ms at most on a quiet machine".
const BACK_S: f64 = 0.1;

pub(crate) fn run(rig: &mut Rig, report: &mut Report, patience: Duration) -> anyhow::Result<()> {
    let mut station = Station::start(Options {
        cert: false,
        // Crashes are counted here, and not against the driver.
        driver_failures_max: 1000,
        ..Options::default()
    })?;
    allow_rivals(&station)?;
    let _polkitd = start_polkitd(&station)?;
    let log = log(station.folders(), "faults")?;
    let fprintd = Fprintd::start(&station).context("fprintd")?;
    let pcscd = Pcscd::start(station.folders(), station.users()).context("pcscd")?;
    let ours = Ours::new(&mut station).context("ours")?;
    let mut table = Table {
        sides: [Box::new(ours), Box::new(fprintd), Box::new(pcscd)],
        patience,
        log,
    };
    table.kills(report, Role::Hold, Role::Contend)?;
    table.kills(report, Role::Work, Role::ContendToWork)?;
    table.wedges(report)?;
    table.crashes(report, rig)?;
    table.stops(report)
}

/// A host's start, with nothing else between: what a crash is measured by.
fn host_start(rig: &Rig) -> anyhow::Result<Duration> {
    let plugin = Plugin::simulator(rig.folders());
    let reader = rig.devices_dir.join("fp4.SN0001.sock");
    let device = UnixStream::connect(&reader).with_context(|| reader.display().to_string())?;
    Ok(Host::start(&plugin, rig.users(), &device)?.ready_after)
}

struct Table<'s> {
    sides: [Box<dyn Side + 's>; 3],
    patience: Duration,
    log: std::fs::File,
}

impl Table<'_> {
    /// The client that has the device is killed, in turns.
    fn kills(&mut self, report: &mut Report, holder: Role, contender: Role) -> anyhow::Result<()> {
        let mut times: [Samples; 3] = Default::default();
        for _round in 0..KILLS {
            for (side, times) in self.sides.iter_mut().zip(&mut times) {
                let side = side.as_mut();
                if side.name() == "pcscd" && holder == Role::Work {
                    // No work of its can be cut but by the driver.
                    continue;
                }
                let holding = Actor::start_as(side, holder, &self.log)?;
                let contending = Actor::start_as(side, contender, &self.log)?;
                let begun = holding.kill()?;
                let time = contending.time(begun, PATIENCE)?;
                times.push_ended(time);
            }
        }
        let what = match holder {
            Role::Work => "client killed while the device works, to another client's work begun",
            _ => "client killed, to another client having the device",
        };
        compare(report, what, &times, Goal::None);
        Ok(())
    }

    /// The client whose device waits in a driver that ignores cancel is killed.
    fn wedges(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut times: [Samples; 3] = Default::default();
        let mut seen = [Seen::default(); 3];
        for ((side, times), seen) in self.sides.iter_mut().zip(&mut times).zip(&mut seen) {
            let side = side.as_mut();
            let witness = Witness::start(side, &self.log)?;
            let rounds = if side.name() == "ours" { WEDGES } else { 1 };
            for _round in 0..rounds {
                let holding = side.wedge().with_context(|| format!("{}: wedge", side.name()))?;
                std::thread::sleep(SETTLING);
                // It may be held up in its first try, and so say nothing.
                let contending = Actor::unheard(side.client(Role::ContendToWork)?, &self.log)?;
                std::thread::sleep(SETTLING);
                let begun = holding.kill()?;
                times.push_ended(contending.time(begun, self.patience)?);
            }
            *seen = witness.end()?;
            side.recover()?;
        }
        let what = format!(
            "driver ignores cancel, client killed, to another client's work begun (rivals waited for {} s)",
            self.patience.as_secs()
        );
        compare(report, &what, &times, Goal::AtMost(WEDGED_S));
        disturbed(report, "the same: errors of a client of another device", &seen);
        Ok(())
    }

    /// The process that runs the driver ends by SIGABRT; in turns with ours, a host is started by us.
    fn crashes(&mut self, report: &mut Report, rig: &Rig) -> anyhow::Result<()> {
        let mut starts = Samples::default();
        let mut times: [Samples; 3] = Default::default();
        let mut seen = [Seen::default(); 3];
        for ((side, times), seen) in self.sides.iter_mut().zip(&mut times).zip(&mut seen) {
            let side = side.as_mut();
            let witness = Witness::start(side, &self.log)?;
            std::thread::sleep(SETTLING);
            for _round in 0..CRASHES {
                let Crash {
                    begun_ns,
                    back,
                    _holder,
                } = side.crash().with_context(|| format!("{}: crash", side.name()))?;
                times.push_ended(back.time(begun_ns, PATIENCE)?);
                std::thread::sleep(SETTLING);
                if side.name() == "ours" {
                    starts.push_time(host_start(rig)?);
                }
            }
            *seen = witness.end()?;
        }
        let [ours, ..] = &times;
        let what = "driver crashes at work, to device back / a host's start";
        report.compare(what, Unit::Seconds, ours, &starts, Goal::Times(3.0));
        let what = "driver crashes at work, to device back";
        compare(report, what, &times, Goal::AtMost(BACK_S));
        disturbed(report, "the same: errors of a client of another device", &seen);
        Ok(())
    }

    /// SIGTERM when the client whose driver ignores cancel was killed.
    fn stops(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let mut times: [Samples; 3] = Default::default();
        for (side, times) in self.sides.iter_mut().zip(&mut times) {
            let side = side.as_mut();
            let rounds = if side.name() == "fprintd" { 1 } else { WEDGES };
            for _round in 0..rounds {
                let holding = side.wedge().with_context(|| format!("{}: wedge", side.name()))?;
                std::thread::sleep(SETTLING);
                holding.kill()?;
                std::thread::sleep(FRESH);
                let took = side.stop(self.patience);
                times.push_ended(took.with_context(|| format!("{}: stop", side.name()))?);
            }
        }
        let what = "SIGTERM to exit, driver ignores cancel of a client that was killed";
        compare(report, what, &times, Goal::AtMost(WEDGED_S));
        Ok(())
    }
}

/// Ours beside each rival that was measured.
fn compare(report: &mut Report, what: &str, [ours, fprintd, pcscd]: &[Samples; 3], goal: Goal) {
    for (name, rival) in [("fprintd", fprintd), ("pcscd", pcscd)] {
        if !rival.is_empty() {
            report.compare(&format!("{what} / {name}"), Unit::Seconds, ours, rival, goal);
        }
    }
}

fn disturbed(report: &mut Report, what: &str, seen: &[Seen; 3]) {
    let counted = seen.map(|seen| {
        let mut samples = Samples::default();
        samples.push(f64::from(seen.failures));
        samples
    });
    let [ours, fprintd, pcscd] = &counted;
    let calls = seen.map(|seen| seen.calls);
    for (name, rival, calls_of) in [("fprintd", fprintd, calls[1]), ("pcscd", pcscd, calls[2])] {
        let what = format!("{what}, in {} and {calls_of} calls / {name}", calls[0]);
        report.compare(&what, Unit::Times, ours, rival, Goal::Never);
    }
}
