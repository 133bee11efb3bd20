//! `sdk/dbus` is the contract: what the running service says of itself, and what its README lists.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use recueil_bus::{CaptureProxy, CaptureState, Code};
use recueil_dossier::{Guidance, State};
use recueil_tests::{Client, Followed, Options, Station, project_path};
use recueil_wire::analyser::PreviewHeader;
use recueil_wire::devices::DeviceState;
use serde_json::json;

const INTERFACES: [&str; 4] = [
    "fr.recueil.Station1",
    "fr.recueil.Device1",
    "fr.recueil.Dossier1",
    "fr.recueil.Capture1",
];
/// Set, the files are written as the service is now.
const UPDATE: &str = "RECUEIL_UPDATE_CONTRACT";

#[tokio::test]
async fn the_contract_is_what_the_running_service_says() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    let mut differences = String::new();
    for (interface, path) in INTERFACES.into_iter().zip(rig.paths()) {
        let file = project_path("sdk/dbus").join(format!("{interface}.xml"));
        let said = contract(&busctl(&rig.station, &["--xml-interface"], &path)?, interface)?;
        if std::env::var_os(UPDATE).is_some() {
            std::fs::write(&file, &said)?;
        }
        differences += &difference(&file, &said)?;
    }
    assert!(
        differences.is_empty(),
        "the service is not what sdk/dbus says. Within Station1 things are added, nothing is changed or \
         removed; if this is an addition, update the files with\n  \
         {UPDATE}=1 cargo nextest run -p recueil-tests --test contract\n{differences}"
    );
    Ok(())
}

#[tokio::test]
async fn every_method_signal_and_property_is_documented() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    for (interface, path) in INTERFACES.into_iter().zip(rig.paths()) {
        let said = contract(&busctl(&rig.station, &["--xml-interface"], &path)?, interface)?;
        let undocumented: Vec<_> = members(&said)
            .filter(|member| !member.documented)
            .map(|member| member.name)
            .collect();
        assert!(undocumented.is_empty(), "{interface}: {undocumented:?}");
    }
    Ok(())
}

#[tokio::test]
async fn busctl_and_gdbus_read_the_introspection() -> anyhow::Result<()> {
    let rig = Rig::start().await?;
    for (interface, path) in INTERFACES.into_iter().zip(rig.paths()) {
        let committed = project_path("sdk/dbus").join(format!("{interface}.xml"));
        let committed = std::fs::read_to_string(committed)?;
        let by_busctl = busctl(&rig.station, &[], &path)?;
        let by_gdbus = gdbus(&rig.station, &path)?;
        for member in members(&committed) {
            let listed = format!(".{} ", member.name);
            assert!(by_busctl.contains(&listed), "{interface}{listed}\n{by_busctl}");
            assert!(by_gdbus.contains(member.name), "{interface}{listed}\n{by_gdbus}");
        }
    }
    Ok(())
}

#[test]
fn the_readme_lists_what_the_code_knows() -> anyhow::Result<()> {
    let readme = readme()?;
    assert_eq!(
        listed(&readme, "States of a dossier"),
        State::ALL.map(State::as_str)
    );
    assert_eq!(
        listed(&readme, "States of a capture"),
        CaptureState::ALL.map(CaptureState::as_str)
    );
    assert_eq!(
        listed(&readme, "States of a device"),
        DeviceState::ALL.map(DeviceState::as_str)
    );
    assert_eq!(listed(&readme, "Guidance"), Guidance::ALL.map(Guidance::code));
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(listed(&readme, "Errors"), codes);
    for code in Code::ALL {
        let name = code.name().rsplit('.').next().unwrap_or_default();
        let row = format!("| `{}` | `{name}` |", code.as_str());
        assert!(readme.contains(&row), "the README has no line {row}");
    }
    let actions: Vec<_> = recueil_bus::Action::ALL
        .iter()
        .map(|action| action.id().rsplit('.').next().unwrap_or_default())
        .collect();
    assert_eq!(listed(&readme, "Rights"), actions);
    Ok(())
}

#[tokio::test]
async fn the_readme_lists_the_commands_and_the_keys_of_results() -> anyhow::Result<()> {
    let readme = readme()?;
    let mut rig = Rig::start().await?;
    let capture = CaptureProxy::new(rig.client.connection(), rig.capture.clone()).await?;
    // The hand was a poor one, and nothing follows by itself: all commands are offered.
    let path = rig.capture.clone();
    let (waiting, _) = rig.client.until(&path, |view| view.state == "waiting").await?;
    let mut allowed = waiting.allowed;
    let mut commands = listed(&readme, "Commands");
    allowed.sort_unstable();
    commands.sort_unstable();
    assert_eq!(commands, allowed);
    let known = listed(&readme, "Keys of results");
    for result in capture.results().await? {
        for key in result.keys() {
            assert!(known.contains(&key.as_str()), "the README does not tell of {key}");
        }
    }
    capture.cancel().await?;
    Ok(())
}

#[test]
fn the_readme_draws_the_preview_header() -> anyhow::Result<()> {
    let readme = readme()?;
    let header = PreviewHeader {
        width: 0x0302_0100,
        height: 0x1312_1110,
        format: 1,
        len: 0x2322_2120,
        sequence: 0x3332_3130,
    }
    .encode();
    // Offset and value of each field, read back by the table of the README alone.
    let field = |name: &str| -> anyhow::Result<u32> {
        let row = readme
            .lines()
            .find(|line| line.starts_with("| ") && line.contains(&format!("| {name} |")))
            .with_context(|| format!("no row {name}"))?;
        let offset: usize = row.split('|').nth(1).context("an offset")?.trim().parse()?;
        let bytes = header.get(offset..offset + 4).context("inside the header")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    };
    assert_eq!(field("magic")?, u32::from_le_bytes(*b"RCLP"));
    assert_eq!(field("version")?, PreviewHeader::VERSION);
    assert_eq!(usize::try_from(field("header length")?)?, PreviewHeader::LEN);
    assert_eq!(field("width")?, 0x0302_0100);
    assert_eq!(field("height")?, 0x1312_1110);
    assert_eq!(field("format")?, 1);
    assert_eq!(field("length")?, 0x2322_2120);
    assert_eq!(field("sequence")?, 0x3332_3130);
    Ok(())
}

/// A station with an object of each interface.
struct Rig {
    station: Station,
    client: Client,
    device: String,
    dossier: Followed,
    capture: String,
}

impl Rig {
    async fn start() -> anyhow::Result<Self> {
        let station = Station::start(Options {
            cert: false,
            ..Options::default()
        })?;
        let client = Client::connect(&station.address(), "agent.dupont").await?;
        let device = client.device("fingerprint").await?;
        let dossier = client.open("deposit", "cni-adulte", None).await?;
        station.show("fp4", &[json!({"quality": "poor"})])?;
        let capture = client.start(&dossier, "empreintes", &device, None, false).await?;
        Ok(Self {
            station,
            client,
            device,
            dossier,
            capture,
        })
    }

    /// Of the objects, in the order of the interfaces.
    fn paths(&self) -> [String; 4] {
        [
            recueil_bus::ROOT.to_owned(),
            recueil_tests::device_path(&self.device),
            self.dossier.path.clone(),
            self.capture.clone(),
        ]
    }
}

fn busctl(station: &Station, options: &[&str], path: &str) -> anyhow::Result<String> {
    let output = Command::new("busctl")
        .arg(format!("--address={}", station.bus_address()))
        .args(options)
        .args(["--no-pager", "introspect", recueil_bus::NAME, path])
        .output()
        .context("package systemd is needed")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "busctl: {complaint}");
    Ok(String::from_utf8(output.stdout)?)
}

fn gdbus(station: &Station, path: &str) -> anyhow::Result<String> {
    let output = Command::new("gdbus")
        .args(["introspect", "--address", station.bus_address()])
        .args(["--dest", recueil_bus::NAME, "--object-path", path])
        .output()
        .context("package libglib2.0-bin is needed")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "gdbus: {complaint}");
    Ok(String::from_utf8(output.stdout)?)
}

/// One interface of an introspection as a file of `sdk/dbus`.
fn contract(introspection: &str, interface: &str) -> anyhow::Result<String> {
    let opening = format!("<interface name=\"{interface}\">");
    let (_, rest) = introspection
        .split_once(&opening)
        .with_context(|| format!("{interface} is not there:\n{introspection}"))?;
    let (body, _) = rest.split_once("</interface>").context("an unclosed interface")?;
    let lines: Vec<_> = body.lines().map(str::trim_end).collect();
    Ok(format!(
        r#"<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
<!-- Written by tests/tests/contract.rs from what the running service says. How it is used: README.md. -->
<node>
  {opening}{}
  </interface>
</node>
"#,
        lines.join("\n").trim_end()
    ))
}

/// A method, signal or property of a file.
struct Member<'x> {
    name: &'x str,
    documented: bool,
}

fn members(xml: &str) -> impl Iterator<Item = Member<'_>> {
    let lines: Vec<_> = xml
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let pairs: Vec<_> = lines.iter().copied().zip(lines.iter().copied().skip(1)).collect();
    pairs.into_iter().filter_map(|(before, line)| {
        let is_member = ["<method ", "<signal ", "<property "]
            .iter()
            .any(|opening| line.starts_with(opening));
        let (_, name) = line.split_once("name=\"").filter(|_| is_member)?;
        Some(Member {
            name: name.split('"').next()?,
            documented: before.ends_with("-->"),
        })
    })
}

/// Empty where the file holds what is said.
fn difference(file: &PathBuf, said: &str) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let now = dir.path().join("now.xml");
    std::fs::write(&now, said)?;
    let output = Command::new("diff")
        .args(["--unified", "--new-file"])
        .args([file, &now])
        .output()?;
    Ok(String::from_utf8(output.stdout)?)
}

fn readme() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(project_path("sdk/dbus/README.md"))?)
}

/// The first column of the table under a heading.
fn listed<'r>(readme: &'r str, heading: &str) -> Vec<&'r str> {
    let section = readme.split("\n#").find(|section| {
        section
            .lines()
            .next()
            .is_some_and(|line| line.trim_start_matches(['#', ' ']) == heading)
    });
    let rows = section.unwrap_or_default().lines();
    rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}
