//! Bad luck for a station: each process killed and brought back as its service manager would, the bus restarted,
//! the disk filled and broken, the clock set.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::processes::Process;
use crate::{Station, bus};

/// A service that must end does so within this time on a loaded machine.
const END_MAX: Duration = Duration::from_secs(30);

impl Station {
    /// Sends `recueild` a signal.
    pub fn signal_recueild(&self, what: Signal) -> anyhow::Result<()> {
        signal(self.recueild.as_ref().context("recueild does not run")?, what)
    }

    /// Ends the courier as a crash does.
    pub fn kill_courier(&mut self) -> anyhow::Result<()> {
        kill(&mut self.courier)
    }

    /// Stops CERT in the middle of whatever it does.
    pub fn halt_cert(&self) -> anyhow::Result<()> {
        signal(self.cert.as_ref().context("there is no CERT")?, Signal::STOP)
    }

    /// Lets CERT go on.
    pub fn resume_cert(&self) -> anyhow::Result<()> {
        signal(self.cert.as_ref().context("there is no CERT")?, Signal::CONT)
    }

    /// Ends the bus daemon as a crash does; whoever was connected is not any more.
    pub fn kill_bus(&mut self) -> anyhow::Result<()> {
        self.bus.child.kill()?;
        self.bus.child.wait()?;
        Ok(())
    }

    /// Starts the bus daemon again, at the address that it had.
    pub fn start_bus(&mut self) -> anyhow::Result<()> {
        let log = self.log("dbus-daemon");
        (self.bus, self.address) = bus::start(&self.folders, &self.users, &log)?;
        Ok(())
    }

    /// Waits until `recueild` has ended by itself, and gives its exit status.
    pub fn recueild_ended(&mut self) -> anyhow::Result<ExitStatus> {
        let process = self.recueild.as_mut().context("recueild was not started")?;
        let ended = process.ended(END_MAX)?;
        let status = ended.context("recueild does not end")?;
        self.recueild = None;
        Ok(status)
    }

    /// Fills the station's disk; see [`OwnDisk::Small`](crate::OwnDisk).
    pub fn fill_disk(&self) -> anyhow::Result<()> {
        self.disk.as_ref().context("a disk was not asked for")?.fill()
    }

    /// Gives the room on the disk back.
    pub fn empty_disk(&self) -> anyhow::Result<()> {
        self.disk.as_ref().context("a disk was not asked for")?.empty()
    }

    /// Makes the disk read-only, as a fault of the disk does.
    pub fn break_disk(&self) -> anyhow::Result<()> {
        self.disk
            .as_ref()
            .context("a disk was not asked for")?
            .break_down()
    }

    /// Repairs the disk as an administrator does: the services that use it are stopped meanwhile.
    pub fn repair_disk(&mut self) -> anyhow::Result<()> {
        self.recueild = None;
        self.courier = None;
        self.disk.as_ref().context("a disk was not asked for")?.repair()?;
        self.start_courier()?;
        self.start_recueild()
    }
}

fn kill(process: &mut Option<Process>) -> anyhow::Result<()> {
    if let Some(mut process) = process.take() {
        process.child.kill()?;
        process.child.wait()?;
    }
    Ok(())
}

fn signal(process: &Process, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(process.child.id())?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}
