//! What strikes a station at work.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use recueil_tests::binary;
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::chance::Chance;
use crate::rest::{Process, processes};
use crate::town::Town;

#[derive(Debug, Clone, Copy)]
enum Fault {
    Unplug(&'static str),
    KillHost,
    KillAnalyser,
    KillHostd,
    KillCourier,
    KillRecueild,
    RestartRecueild,
    KillClient,
    CertAway,
    CertBusy,
    CertCuts,
    CertLosesAnswer,
}

/// Each as often as it stands here.
const FAULTS: [Fault; 18] = [
    Fault::Unplug("fp4"),
    Fault::Unplug("fp4"),
    Fault::Unplug("flatbed"),
    Fault::Unplug("flatbed"),
    Fault::Unplug("cam"),
    Fault::KillHost,
    Fault::KillHost,
    Fault::KillAnalyser,
    Fault::KillAnalyser,
    Fault::KillHostd,
    Fault::KillCourier,
    Fault::KillRecueild,
    Fault::RestartRecueild,
    Fault::KillClient,
    Fault::CertAway,
    Fault::CertBusy,
    Fault::CertCuts,
    Fault::CertLosesAnswer,
];

/// Lets `count` faults strike, some time apart.
pub(crate) fn strike(town: &Town, mut chance: Chance, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        std::thread::sleep(Duration::from_millis(chance.between(50, 2500)));
        let Some(fault) = chance.choose(&FAULTS).copied() else {
            continue;
        };
        let struck = fault.strike(town, &mut chance);
        struck.with_context(|| format!("{fault:?}"))?;
    }
    Ok(())
}

impl Fault {
    fn strike(self, town: &Town, chance: &mut Chance) -> anyhow::Result<()> {
        let what = match self {
            Self::Unplug(device) => {
                let away = json!({"command": "away", "device": device, "for_ms": chance.between(50, 1500)});
                town.station().hardware(&away)?;
                format!("unplugged: {device}")
            }
            Self::KillHost => kill_one(chance, "recueil-device-")?,
            Self::KillAnalyser => kill_one(chance, "recueil-analyse")?,
            Self::KillHostd => {
                kill_one(chance, "recueil-hostd")?;
                town.station().start_hostd()?;
                "killed: recueil-hostd".to_owned()
            }
            Self::KillCourier => {
                kill_one(chance, "recueil-courier")?;
                town.station().start_courier()?;
                "killed: recueil-courier".to_owned()
            }
            Self::KillRecueild => {
                let mut station = town.station();
                station.kill_recueild()?;
                station.start_recueild()?;
                "killed: recueild".to_owned()
            }
            Self::RestartRecueild => {
                let mut station = town.station();
                station.stop_recueild();
                station.start_recueild()?;
                "restarted: recueild".to_owned()
            }
            Self::KillClient => kill_client(town, chance)?,
            Self::CertAway => {
                town.station().stop_cert();
                std::thread::sleep(Duration::from_millis(chance.between(0, 1000)));
                town.station().start_cert()?;
                "CERT away".to_owned()
            }
            Self::CertBusy => {
                let count = chance.between(1, 4);
                town.tell_cert(&json!({"do": "fault", "kind": "status-503", "count": count}))?;
                "CERT busy".to_owned()
            }
            Self::CertCuts => {
                let bytes = chance.between(1, 2_000_000);
                town.tell_cert(&json!({"do": "fault", "kind": "cut-after", "bytes": bytes}))?;
                "CERT cuts an upload".to_owned()
            }
            Self::CertLosesAnswer => {
                town.tell_cert(&json!({"do": "fault", "kind": "lose-commit-answer", "count": 1}))?;
                "CERT's answer lost".to_owned()
            }
        };
        town.count(&what);
        Ok(())
    }
}

/// Kills one process of that name, if one runs.
fn kill_one(chance: &mut Chance, name: &str) -> anyhow::Result<String> {
    let running: Vec<Process> = processes()?
        .into_iter()
        .filter(|process| process.name == name && !process.zombie)
        .collect();
    let Some(process) = chance.choose(&running) else {
        return Ok(format!("none to kill: {name}"));
    };
    let pid = Pid::from_raw(process.pid).context("a pid")?;
    if rustix::process::kill_process(pid, Signal::KILL).is_err() {
        return Ok(format!("ended by itself: {name}"));
    }
    Ok(format!("killed: {name}"))
}

/// A client of its own that captures prints, or wants to, is killed after a while.
fn kill_client(town: &Town, chance: &mut Chance) -> anyhow::Result<String> {
    let device = "virtual-fp4-SN0001";
    let mut command = Command::new(binary("recueil-test-client")?);
    command.args([town.bus.as_str(), "capture", device]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("recueil-test-client")?;
    let stdout = child.stdout.take().context("a pipe was asked for")?;
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        drop(BufReader::new(stdout).read_line(&mut line));
        tell.send(line)
    });
    let line = told.recv_timeout(Duration::from_millis(chance.between(200, 3000)));
    let holds = line.is_ok_and(|line| line.trim() == "held");
    child.kill()?;
    child.wait()?;
    Ok(if holds {
        "killed: client that captures".to_owned()
    } else {
        "killed: client that waits".to_owned()
    })
}
