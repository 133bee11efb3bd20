//! What holds the station in a state: somebody it waits for, stopped in the middle.

use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use recueil_tests::Station;
use rustix::process::{Pid, Signal, kill_process};

/// A loaded machine comes there within this time.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// System calls that give a parcel its name, by the machine's numbers.
const RENAMES: &[u64] = if cfg!(target_arch = "x86_64") {
    &[82, 264, 316]
} else {
    &[38, 276]
};

/// Gone, the station goes on.
pub(crate) enum Hold {
    Nothing,
    /// An analyser, stopped.
    Analyser(u32),
    /// The store, in the system call that gives the parcel its name.
    Store {
        strace: Child,
        /// It has more to say of each new thread, and ends if nobody could hear it.
        _said: ChildStderr,
    },
    /// CERT, stopped.
    Cert,
}

impl Hold {
    /// Stops an analyser.
    pub(crate) fn analyser(pid: u32) -> anyhow::Result<Self> {
        signal(pid, Signal::STOP)?;
        Ok(Self::Analyser(pid))
    }

    /// Prepares to stop the store where it gives a parcel its name.
    pub(crate) fn store(station: &Station) -> anyhow::Result<Self> {
        let pid = recueild(station)?;
        let log = station.folders().path("log/strace");
        let mut strace = Command::new("strace")
            .args(["-f", "-p", &pid.to_string(), "-o"])
            .arg(&log)
            .args(["-e", "trace=?rename,renameat,renameat2"])
            .args(["-e", "inject=?rename,renameat,renameat2:delay_enter=120000000"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("package strace is needed")?;
        // It says on which process it is once it holds every thread.
        let mut stderr = strace.stderr.take().context("a pipe was asked for")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut stderr), &mut line)?;
        anyhow::ensure!(line.contains("attached"), "strace: {line}");
        Ok(Self::Store {
            strace,
            _said: stderr,
        })
    }

    /// Waits until the store is held.
    pub(crate) async fn reached(&mut self, station: &Station) -> anyhow::Result<()> {
        let pid = recueild(station)?;
        let deadline = Instant::now() + WAIT_MAX;
        while !is_renaming(pid) {
            anyhow::ensure!(Instant::now() < deadline, "the store is not reached");
            // There is no event for a thread that is stopped by somebody else.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, station: &Station) -> anyhow::Result<()> {
        let is_of_cert = matches!(self, Self::Cert);
        // Dropped, it lets go; CERT is the station's to let go.
        *self = Self::Nothing;
        if is_of_cert {
            station.resume_cert()?;
        }
        Ok(())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Self::Store { strace, .. } = self {
            drop(strace.kill());
            drop(strace.wait());
        }
        if let Self::Analyser(pid) = self {
            // It may have been killed meanwhile.
            drop(signal(*pid, Signal::CONT));
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid")?;
    Ok(kill_process(pid, signal)?)
}

fn recueild(station: &Station) -> anyhow::Result<u32> {
    let pids = station.pids().into_iter().rev();
    let mut found = pids.filter(|(name, _)| name == "recueild").map(|(_, pid)| pid);
    found.next().context("recueild does not run")
}

/// A thread that strace holds at the entry of such a call.
fn is_renaming(pid: u32) -> bool {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    tasks.map(|task| task.path()).any(|task| {
        let read = |name: &str| std::fs::read_to_string(task.join(name)).unwrap_or_default();
        let call = read("syscall");
        let number = call.split(' ').next().and_then(|number| number.parse().ok());
        let stat = read("stat");
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().next());
        state == Some("t") && number.is_some_and(|number: u64| RENAMES.contains(&number))
    })
}
