//! The example of the contract, a program in another language, does what it says.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use recueil_tests::{Client, Options, Station, project_path};

/// What issue and README promise of its length.
const LINES_MAX: usize = 80;
/// A capture on a loaded machine.
const WAIT_MAX: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_python_client_of_eighty_lines_captures_and_shows_guidance_and_a_preview() -> anyhow::Result<()> {
    let example = project_path("sdk/dbus/examples/capture.py");
    let lines = std::fs::read_to_string(&example)?.lines().count();
    assert!(lines <= LINES_MAX, "{lines} lines");

    let station = Station::start(Options {
        cert: false,
        ..Options::default()
    })?;
    // The example takes a reader that is ready.
    Client::connect(&station.address(), "agent.dupont")
        .await?
        .device("fingerprint")
        .await?;
    let users = station.users();
    let folder = station
        .folders()
        .folder("example", users.client, users.client, 0o700)?;
    let mut command = tokio::process::Command::from(users.command(users.client, "/usr/bin/python3".as_ref()));
    let child = command
        .arg(example)
        .arg(&folder)
        .arg(station.bus_address())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("packages python3, python3-dbus and python3-gi are needed")?;
    let output = tokio::time::timeout(WAIT_MAX, child.wait_with_output())
        .await
        .context("the example does not end")??;
    let told = String::from_utf8(output.stdout)?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{complaint}\n{told}\n{}", station.logs());

    let of = |kind: &str| -> Vec<&str> { told.lines().filter_map(|line| line.strip_prefix(kind)).collect() };
    let guidance = of("guidance: ");
    assert!(guidance.contains(&"present right hand, four fingers"), "{told}");
    assert!(guidance.contains(&"present left hand, four fingers"), "{told}");
    assert!(guidance.iter().any(|line| line.starts_with("lift")), "{told}");
    assert_eq!(of("state: ").last().map(|state| state.trim()), Some("completed"));
    let results = of("result: ");
    let count = |kind: &str| results.iter().filter(|result| result.contains(kind)).count();
    assert_eq!(count("type=finger"), 8, "{told}");
    assert_eq!(count("type=selected"), 2, "{told}");

    let picture = std::fs::read(folder.join("preview.pgm"))?;
    // Half of the reader's 1600×1500, as the contract says.
    let pixels = picture
        .strip_prefix(b"P5 800 750 255\n")
        .context("another header")?;
    assert_eq!(pixels.len(), 800 * 750);
    let darkest = pixels.iter().min().context("pixels")?;
    let lightest = pixels.iter().max().context("pixels")?;
    assert!(lightest - darkest > 100, "from {darkest} to {lightest}");
    Ok(())
}
