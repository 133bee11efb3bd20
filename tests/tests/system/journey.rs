//! The main job on a real system: from the QR code to the receipt R2 and the hand-over.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use recueil_tests::project_path;
use serde_json::Value;

use crate::machine::output;
use crate::station::{AGENT, Station};

/// Where the station software of the demo leaves its results.
const RESULTS: &str = "/home/agent";

#[test]
fn an_application_goes_from_its_code_to_hand_over_on_an_installed_system() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    run_station_software(&station).with_context(|| station.machine.journal())?;

    let dossier = station.machine.run(&format!("cat {RESULTS}/dossier"))?;
    opens_with_openssl(&station, dossier.trim())?;
    assert_eq!(
        station.machine.run("ls /var/lib/recueil-ready")?,
        "",
        "after R2 nothing of a parcel stays"
    );
    let analysers = station
        .machine
        .run("journalctl --no-pager --output=cat --grep 'Started recueil-analyser@' | wc -l")?;
    assert!(
        analysers.trim().parse::<u32>()? >= 5,
        "one a capture: {analysers}"
    );
    let left = station
        .machine
        .run("systemctl list-units --all --plain --no-legend 'recueil-analyser@*'")?;
    assert_eq!(left, "", "each ended with its session");
    assert_eq!(station.machine.run("systemctl --failed --plain --no-legend")?, "");
    Ok(())
}

/// The demo's station software, as the agent on the system bus. A line of its output asks something of the world.
fn run_station_software(station: &Station) -> anyhow::Result<()> {
    let words = [
        "/b/recueil-demo",
        "station-software",
        "--bus",
        "unix:path=/run/dbus/system_bus_socket",
        "--dir",
        RESULTS,
    ];
    let mut command = station.machine.command_as(AGENT, &words);
    let mut software = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut answers = software.stdin.take().context("a pipe was asked for")?;
    let wishes = BufReader::new(software.stdout.take().context("a pipe was asked for")?);
    for wish in wishes.lines() {
        let wish: Value = serde_json::from_str(&wish?)?;
        match (wish.get("show"), wish.get("cert")) {
            (Some(glass), _) => station.show("flatbed", std::slice::from_ref(glass))?,
            (_, Some(command)) => drop(station.cert(command)?),
            _ => anyhow::bail!("a wish that is not understood: {wish}"),
        }
        writeln!(answers, "done")?;
    }
    let status = software.wait()?;
    anyhow::ensure!(status.success(), "the station software ended badly ({status})");
    Ok(())
}

/// CERT's copy of the parcel and the receipts, with the distribution's tools and nothing of ours.
fn opens_with_openssl(station: &Station, dossier: &str) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let copy = |from: &str, to: &str| {
        let from = station.machine.path(from);
        std::fs::copy(&from, dir.path().join(to)).with_context(|| from.display().to_string())
    };
    let parcel = station.machine.run(&format!(
        "find /var/lib/cert/store -path '*{dossier}*' -name '*.p7m'"
    ))?;
    copy(parcel.trim(), "parcel.p7m")?;
    copy("/var/lib/cert/cert/encryption.crt", "cert.pem")?;
    copy("/var/lib/cert/cert/encryption.key", "cert.key")?;
    for receipt in ["receipt-r1.p7s", "receipt-r2.p7s"] {
        copy(&format!("{RESULTS}/{receipt}"), receipt)?;
    }
    let roots = station
        .machine
        .run("cat /var/lib/cert/cert/station-root.crt /var/lib/cert/cert/receipt-root.crt")?;
    std::fs::write(dir.path().join("ca.pem"), roots)?;
    let said = verify(dir.path())?;
    anyhow::ensure!(said.trim_end().ends_with("all is as it should be"), "{said}");
    Ok(())
}

fn verify(dir: &Path) -> anyhow::Result<String> {
    output(Command::new(project_path("tests/verify-parcel.sh")).arg(dir))
}
