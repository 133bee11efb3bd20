//! The world around the station software.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use recueil_tests::{Options, Station, binary};
use serde_json::Value;

use crate::say;

/// What the demo leaves, and where it comes from.
const LEFT: [(&str, &str); 3] = [
    ("cert.pem", "cert/cert/encryption.crt"),
    ("cert.key", "cert/cert/encryption.key"),
    ("parcel.p7m", ""),
];
/// Roots of the station's seal and of CERT's receipts.
const ROOTS: [&str; 3] = ["station-root.crt", "receipt-root.crt", "cert-root.crt"];

/// Starts everything, does what the station software asks of the world, and collects the results.
pub(crate) fn run(out: &Path) -> anyhow::Result<()> {
    let station = Station::start(Options::default())?;
    let users = station.users();
    say(if users.separate {
        "each service runs under its own user, the station software under another"
    } else {
        "all processes share one user, as they were not started by root"
    });
    for (name, pid) in station.pids() {
        say(&format!("  {name} runs as process {pid}"));
    }
    let dir = station
        .folders()
        .folder("software", users.client, users.client, 0o755)?;
    let told = serve(&station, &dir);
    told.with_context(|| station.logs())?;

    std::fs::create_dir_all(out)?;
    let dossier = std::fs::read_to_string(dir.join("dossier"))?;
    for (name, from) in LEFT {
        let from = if from.is_empty() {
            station.stored_parcel(&dossier)?
        } else {
            station.folders().path(from)
        };
        std::fs::copy(&from, out.join(name)).with_context(|| from.display().to_string())?;
    }
    let roots: Vec<u8> = ROOTS
        .iter()
        .map(|root| std::fs::read(station.folders().path("cert/cert").join(root)))
        .collect::<Result<Vec<_>, _>>()?
        .concat();
    std::fs::write(out.join("ca.pem"), roots)?;
    for name in ["receipt-r1.p7s", "receipt-r2.p7s", "contact-sheet.png"] {
        std::fs::copy(dir.join(name), out.join(name)).with_context(|| name.to_owned())?;
    }
    say(&format!("results are in {}", out.canonicalize()?.display()));
    Ok(())
}

/// Runs the station software. A line of its output that is JSON asks for something of the world.
fn serve(station: &Station, dir: &Path) -> anyhow::Result<()> {
    let mut command = station
        .users()
        .command(station.users().client, &binary("recueil-demo")?);
    command
        .arg("station-software")
        .arg("--bus")
        .arg(station.bus_address())
        .arg("--dir")
        .arg(dir);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut answers = child.stdin.take().context("a pipe was asked for")?;
    let wishes = BufReader::new(child.stdout.take().context("a pipe was asked for")?);
    for wish in wishes.lines() {
        let wish: Value = serde_json::from_str(&wish?)?;
        let granted = match (wish.get("show"), wish.get("cert")) {
            (Some(glass), _) => station.show("flatbed", std::slice::from_ref(glass)),
            (_, Some(command)) => station.cert(command).map(drop),
            _ => Err(anyhow::anyhow!("a wish that is not understood: {wish}")),
        };
        granted?;
        writeln!(answers, "done")?;
    }
    let status = child.wait()?;
    anyhow::ensure!(status.success(), "the station software ended badly ({status})");
    Ok(())
}
