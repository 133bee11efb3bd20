//! A machine where the package is installed and a station works: virtual devices, CERT, an agent.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use recueil_tests::project_path;
use serde_json::{Value, json};

use crate::machine::{Machine, output};

/// Who may collect.
pub(crate) const AGENT: &str = "agent";
/// Who may not.
pub(crate) const CURIOUS: &str = "curieux";
/// The units of the services that run all the time.
pub(crate) const SERVICES: [&str; 3] = ["recueild", "recueil-hostd", "recueil-courier"];

/// A station at work.
#[derive(Debug)]
pub(crate) struct Station {
    cert: Child,
    pub(crate) machine: Machine,
}

impl Station {
    /// Boots, installs and enrols one; none, said aloud, where that cannot be.
    pub(crate) fn start() -> anyhow::Result<Option<Self>> {
        let Some(machine) = Machine::with_recueil()? else {
            return Ok(None);
        };
        copy_guest(&machine)?;
        machine.run("/t/guest/station.sh")?;
        let serve = [
            "/b/recueil-cert",
            "serve",
            "/var/lib/cert",
            "--listen",
            "127.0.0.1:8443",
        ];
        let mut cert = machine.command_as("cert", &serve);
        let mut cert = cert.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut ready = String::new();
        BufReader::new(cert.stdout.take().context("a pipe was asked for")?).read_line(&mut ready)?;
        anyhow::ensure!(ready.contains("listening"), "CERT does not start: {ready}");
        Ok(Some(Self { cert, machine }))
    }

    /// Says what a device shows at its next captures.
    pub(crate) fn show(&self, device: &str, presentations: &[Value]) -> anyhow::Result<()> {
        self.hardware(&json!({"command": "next", "device": device, "presentations": presentations}))
    }

    /// Sends one command to the virtual hardware, which must be able to do it.
    pub(crate) fn hardware(&self, command: &Value) -> anyhow::Result<()> {
        let answer = self.talk("/run/recueil-virtual/control.sock", command)?;
        anyhow::ensure!(answer["ok"] == true, "the hardware refuses: {answer}");
        Ok(())
    }

    /// Sends one command to CERT.
    pub(crate) fn cert(&self, command: &Value) -> anyhow::Result<Value> {
        self.talk("/var/lib/cert/control.sock", command)
    }

    fn talk(&self, socket: &str, command: &Value) -> anyhow::Result<Value> {
        let mut stream = UnixStream::connect(self.machine.path(socket)).context(socket.to_owned())?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        writeln!(stream, "{command}")?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))
    }

    /// `recueilctl` by the agent, which must succeed.
    pub(crate) fn recueilctl(&self, words: &str) -> anyhow::Result<Value> {
        let told = self
            .machine
            .run_as(AGENT, &format!("recueilctl --quiet --json {words}"))?;
        serde_json::from_str(&told).context(told)
    }

    /// Opens a dossier and starts a capture of hands that do not come. It runs until the value is dropped.
    pub(crate) fn capturing(&self) -> anyhow::Result<Capturing<'_>> {
        self.begin("fp4", "capture fingerprints")
    }

    /// Opens a dossier and starts a scan that does not end by itself.
    pub(crate) fn scanning(&self) -> anyhow::Result<Capturing<'_>> {
        self.begin("flatbed", "scan --signature")
    }

    fn begin(&self, device: &str, verb: &str) -> anyhow::Result<Capturing<'_>> {
        let opened = self.recueilctl("dossier open deposit/cni-adulte")?;
        let dossier = opened["dossier"]["id"]
            .as_str()
            .with_context(|| opened.to_string())?;
        self.show(device, &[json!({"wait_ms": 3_600_000})])?;
        let words = format!("exec recueilctl --quiet {verb} {dossier}");
        let mut command = self.machine.command_as(AGENT, &["sh", "-c", &words]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let capturing = Capturing { child, station: self };
        self.hardware(
            &json!({"command": "await", "device": device, "until": "capturing", "timeout_ms": 50_000}),
        )?;
        Ok(capturing)
    }

    /// The analysers that run.
    pub(crate) fn analysers(&self) -> anyhow::Result<Vec<u32>> {
        let told = self
            .machine
            .run("systemctl show --value -P MainPID 'recueil-analyser@*'")?;
        let pids = told
            .split_whitespace()
            .map(|pid| pid.parse().context(told.clone()));
        pids.collect()
    }

    /// The first process of a unit, by the numbers of the machine.
    pub(crate) fn main_pid(&self, unit: &str) -> anyhow::Result<u32> {
        let told = self
            .machine
            .run(&format!("systemctl show --value -P MainPID '{unit}'"))?;
        let pid: u32 = told
            .trim()
            .parse()
            .with_context(|| format!("{unit} has the process {told:?}"))?;
        anyhow::ensure!(pid != 0, "{unit} does not run");
        Ok(pid)
    }

    /// The processes that a process started.
    pub(crate) fn children(&self, pid: u32) -> anyhow::Result<Vec<u32>> {
        let mut children = Vec::new();
        for task in std::fs::read_dir(self.machine.path(&format!("/proc/{pid}/task")))? {
            let listed = std::fs::read_to_string(task?.path().join("children"))?;
            for child in listed.split_whitespace() {
                children.push(child.parse()?);
            }
        }
        Ok(children)
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        drop(self.cert.kill());
        drop(self.cert.wait());
    }
}

/// A capture that waits for a hand.
#[derive(Debug)]
pub(crate) struct Capturing<'s> {
    child: Child,
    station: &'s Station,
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        // By its own name, inside: this is the outer end of it.
        drop(self.station.machine.run("pkill --exact --signal INT recueilctl"));
        drop(self.child.wait());
    }
}

/// Puts the guest scripts, and what they use, where the machine finds them.
fn copy_guest(machine: &Machine) -> anyhow::Result<()> {
    let guest = machine.share().join("guest");
    std::fs::create_dir(&guest)?;
    for entry in std::fs::read_dir(project_path("tests/system"))? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::copy(&path, guest.join(path.file_name().context("a file")?))?;
        }
    }
    std::fs::copy(
        project_path("tests/fixtures/listener.py"),
        guest.join("listener.py"),
    )?;
    let mut cc = Command::new("cc");
    cc.args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-o"])
        .arg(guest.join("probe"))
        .arg(project_path("tests/system/probe.c"));
    output(&mut cc).map(drop)
}
