//! The same, by trying: a probe started in each service's own sandbox connects, opens, reads, traces, signals.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use recueil_tests::project_path;
use serde_json::json;

use crate::machine::output;
use crate::station::{SERVICES, Station};

/// What came of each try.
type Outcomes = BTreeMap<String, String>;

/// What a service can do, of all that the probe tries; everything else must fail.
fn allowed(service: &str) -> &'static [&'static str] {
    match service {
        // Its store, its outbox, receipts, and whom it talks to.
        "recueild" => &[
            "connect /run/dbus/system_bus_socket",
            "connect /run/recueil-hostd/hostd.sock",
            "connect /run/recueil-courier/courier.sock",
            "connect /run/recueil/analyser.sock",
            "read /etc/recueil/recueil.toml",
            "read /var/lib/recueil-courier/receipts",
            "read /var/lib/recueil-ready",
            "read /var/lib/recueil/keys/seal.key",
            "read /var/lib/recueil/keys/storage.key",
            "read /var/lib/recueil/store.sqlite",
            "socket unix",
            "write /var/lib/recueil-ready/forged",
            "write /var/lib/recueil/forged",
        ],
        // What plugins keep.
        "recueil-hostd" => &[
            "read /etc/recueil/recueil.toml",
            "read /var/lib/recueil-host",
            "socket unix",
            "write /var/lib/recueil-host/forged",
        ],
        // CERT, its own key, sealed parcels, receipts.
        "recueil-courier" => &[
            "connect inet",
            "connect inet6",
            "read /etc/recueil/recueil.toml",
            "read /var/lib/recueil-courier/keys/tls.key",
            "read /var/lib/recueil-courier/receipts",
            "read /var/lib/recueil-ready",
            "socket netlink",
            "socket udp",
            "socket unix",
            "write /var/lib/recueil-courier/receipts/forged",
        ],
        // The socket it was started with, and that is all.
        _ => &[],
    }
}

#[test]
fn from_inside_its_sandbox_no_service_reaches_more_than_it_needs() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    let machine = &station.machine;
    // The control: where nothing hinders it, every try succeeds, so that a failure inside means something.
    let targets = targets(&station, "")?;
    let outside = outcomes(&machine.run(&format!("/t/guest/probe {targets}"))?)?;
    let failed: Vec<_> = outside.iter().filter(|(_, outcome)| *outcome != "done").collect();
    assert!(failed.is_empty(), "{failed:?}");

    for service in [
        "recueil-courier",
        "recueil-hostd",
        "recueild",
        "recueil-analyser@",
    ] {
        let inside = probe(&station, service)?;
        let done: BTreeSet<&str> = inside
            .iter()
            .filter(|(_, outcome)| *outcome == "done")
            .map(|(what, _)| what.as_str())
            .collect();
        let allowed: BTreeSet<&str> = allowed(service).iter().copied().collect();
        assert_eq!(done, allowed, "{service}: {inside:#?}");
        for what in outside
            .keys()
            .filter(|what| !what.ends_with(&format!(" {service}")))
        {
            let outcome = inside
                .get(what)
                .with_context(|| format!("{service} did not try {what}"))?;
            assert_ne!(outcome, "ESRCH", "{service}: {what} found nobody there");
        }
    }
    Ok(())
}

/// A driver that tries the same on the installed system: the sandbox of hosts is there as it is in their own tests.
#[test]
fn a_hostile_driver_reaches_nothing_on_an_installed_system() -> anyhow::Result<()> {
    let Some(station) = Station::start()? else {
        return Ok(());
    };
    install_intruder(&station)?;
    station.recueilctl("dossier open deposit/cni-adulte")?;
    // Its picture is of nothing, so the capture cannot succeed; what it tried is in the journal.
    drop(
        station
            .machine
            .run_as("agent", "timeout 20 recueilctl --quiet capture fingerprints last"),
    );
    let journal = station
        .machine
        .run("journalctl --no-pager --output=cat --unit recueil-hostd")?;
    let reported = |what: &str| {
        let line = journal.lines().find(|line| line.contains(&format!("{what}: ")));
        let word = line.and_then(|line| line.split(&format!("{what}: ")).nth(1));
        word.and_then(|word| word.split_whitespace().next().map(str::to_owned))
            .with_context(|| format!("{what} was not tried: {journal}"))
    };
    for (what, outcome) in [
        ("open at load", "EACCES"),
        ("socket at load", "EPERM"),
        ("open", "EPERM"),
        ("socket", "EPERM"),
        ("kill parent", "EPERM"),
        ("kill group", "EPERM"),
        ("fork", "EPERM"),
        ("exec", "EPERM"),
        ("code", "EPERM"),
        ("kill self", "done"),
    ] {
        assert_eq!(reported(what)?, outcome, "{what}");
    }
    Ok(())
}

/// Whom a probe attacks: the other services, which are running, and the first process.
fn targets(station: &Station, service: &str) -> anyhow::Result<String> {
    let others = SERVICES.iter().filter(|unit| **unit != service);
    let others = others.map(|unit| Ok(format!("{unit}={} ", station.main_pid(unit)?)));
    Ok(others.collect::<anyhow::Result<String>>()? + "init=1")
}

fn outcomes(told: &str) -> anyhow::Result<Outcomes> {
    let line = |line: &str| {
        let (what, outcome) = line.rsplit_once(": ").with_context(|| line.to_owned())?;
        Ok((what.to_owned(), outcome.to_owned()))
    };
    told.lines().map(line).collect()
}

/// Starts the service once more with the probe before it, under all that its unit says.
fn probe(station: &Station, service: &str) -> anyhow::Result<Outcomes> {
    let machine = &station.machine;
    let (program, told) = ("/usr/libexec/recueil/probe", format!("/root/probe-{service}"));
    let lines = [
        "[Service]",
        &format!("ExecStartPre={program} {}", targets(station, service)?),
        &format!("ExecPaths={program}"),
        // Where a sandbox has no files at all it must be put in; elsewhere it is there already.
        &format!("BindReadOnlyPaths={program}"),
        &format!("StandardOutput=append:{told}"),
        "StandardError=journal",
        "Restart=no",
    ]
    .join("\n");
    machine.run(&format!(
        "install -m 755 /t/guest/probe {program}
         mkdir -p '/run/systemd/system/{service}.service.d'
         cat >'/run/systemd/system/{service}.service.d/probe.conf' <<'LINES'\n{lines}\nLINES
         systemctl daemon-reload"
    ))?;
    if service.ends_with('@') {
        station.recueilctl("dossier open deposit/cni-adulte")?;
        station.recueilctl("capture fingerprints last")?;
    } else {
        machine.run(&format!("systemctl restart {service}"))?;
    }
    let outcomes = outcomes(&machine.run(&format!("cat '{told}'"))?)?;
    machine.run(&format!(
        "rm -r '/run/systemd/system/{service}.service.d' {program}; systemctl daemon-reload"
    ))?;
    if !service.ends_with('@') {
        machine.run(&format!("systemctl restart {service}"))?;
    }
    Ok(outcomes)
}

/// Puts the test plugin `confined` of the host's own tests in the simulator's place for the reader.
fn install_intruder(station: &Station) -> anyhow::Result<()> {
    let name = "fr.recueil.intruder";
    let dir = station.machine.share().join("intruder");
    std::fs::create_dir(&dir)?;
    let library = dir.join("confined.so");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O1", "-shared", "-fPIC", "-pthread"])
        .arg(format!("-DPLUGIN_ID=\"{name}\""))
        .arg("-I")
        .arg(project_path("sdk/include"))
        .arg(project_path("daemon/host/tests/plugins/confined.c"))
        .arg("-o")
        .arg(&library);
    output(&mut cc)?;
    std::fs::set_permissions(&library, std::fs::Permissions::from_mode(0o644))?;
    let sha256 = recueil_dossier::sha256_hex(&std::fs::read(&library)?);
    let manifest = toml::to_string(&json!({
        "manifest": 1, "id": name, "name": "Intruder", "version": "0.1.0", "abi": "1.0",
        "arch": "x86_64-linux-gnu", "library": "confined.so", "sha256": sha256,
        "modalities": ["fingerprint"], "match": [{"bus": "virtual", "model": "fp4"}],
        "isolation": "device", "limits": {"memory_mib": 64, "threads": 4}, "network": false,
    }))?;
    std::fs::write(dir.join("plugin.toml"), manifest)?;
    install(station, &dir)
}

fn install(station: &Station, dir: &Path) -> anyhow::Result<()> {
    let inside = Path::new("/t").join(dir.file_name().context("a folder")?);
    station.machine.run(&format!(
        "install -d /usr/local/lib/recueil/plugins/intruder
         install -m 644 {}/* /usr/local/lib/recueil/plugins/intruder/
         sed -i -E 's|^plugin_dirs = .*|plugin_dirs = [\"/usr/local/lib/recueil/plugins\"]|' /etc/recueil/recueil.toml
         systemctl restart recueil-hostd",
        inside.display()
    ))?;
    Ok(())
}
