//! Install, look, remove.

use std::collections::BTreeSet;

use crate::machine::Machine;
use crate::station::SERVICES;

/// Where the machine itself writes while it runs, besides what is not on its disk.
const OF_THE_MACHINE: [&str; 10] = [
    "/dev",
    "/proc",
    "/run",
    "/sys",
    "/t",
    "/b",
    "/d",
    "/tmp",
    "/var/lib/dpkg",
    "/var/lib/systemd",
];

#[test]
fn with_nothing_configured_the_services_start_and_nothing_privileged_is_allowed() -> anyhow::Result<()> {
    let Some(machine) = Machine::with_recueil()? else {
        return Ok(());
    };
    for unit in SERVICES {
        assert_eq!(
            machine.run(&format!("systemctl is-active {unit}"))?.trim(),
            "active"
        );
    }
    assert_eq!(machine.run("systemctl --failed --plain --no-legend")?, "");
    let status: serde_json::Value = serde_json::from_str(&machine.run("recueilctl --json status")?)?;
    let told = status.to_string();
    assert_eq!(status["station"], "", "{told}");
    assert_eq!(status["authority"], "polkit", "{told}");
    assert_eq!(status["analyser"], "separated", "{told}");
    assert_eq!(status["hostd"], "connected", "{told}");
    assert_eq!(status["courier"], "connected", "{told}");
    assert_eq!(status["seal-key"], "none", "{told}");
    assert_eq!(
        machine.run("recueilctl --json devices")?.trim(),
        r#"{"devices":[]}"#
    );

    let key = machine.run("stat -c '%U %a %s' /var/lib/recueil/keys/storage.key")?;
    assert_eq!(key.trim(), "recueil 600 32", "made at the first start");
    // Root is an administrator to polkit, so another user asks.
    let opened = machine.run("useradd somebody; ! setpriv --reuid somebody --regid somebody --init-groups recueilctl dossier open deposit/cni-adulte 2>&1")?;
    assert!(opened.contains("[not-authorized]"), "{opened}");
    Ok(())
}

#[test]
fn the_folders_on_the_disk_belong_to_whom_the_architecture_says() -> anyhow::Result<()> {
    let Some(machine) = Machine::with_recueil()? else {
        return Ok(());
    };
    let told = machine.run(
        "stat -c '%n %U:%G %a' /etc/recueil/recueil.toml /var/lib/recueil /var/lib/recueil-ready \
         /var/lib/recueil-courier /var/lib/recueil-courier/receipts /var/lib/recueil-host \
         /run/recueil-hostd /run/recueil-courier /run/recueil/analyser.sock",
    )?;
    let expected = [
        "/etc/recueil/recueil.toml root:root 644",
        "/var/lib/recueil recueil:recueil 700",
        "/var/lib/recueil-ready recueil:recueil-courier 2750",
        "/var/lib/recueil-courier recueil-courier:recueil 2750",
        "/var/lib/recueil-courier/receipts recueil-courier:recueil 2750",
        "/var/lib/recueil-host recueil-host:recueil-host 700",
        "/run/recueil-hostd recueil-host:recueil 2750",
        "/run/recueil-courier recueil-courier:recueil 2750",
        "/run/recueil/analyser.sock recueil:recueil 600",
    ];
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn systemd_finds_no_fault_in_the_units_and_little_exposure() -> anyhow::Result<()> {
    let Some(machine) = Machine::with_recueil()? else {
        return Ok(());
    };
    machine.run("dpkg --install /d/recueil-simulator_*.deb")?;
    let units = machine.run(
        "dpkg --listfiles recueil recueil-simulator | grep -E '/systemd/system/.*[.](service|socket)$'",
    )?;
    assert_eq!(units.lines().count(), 6, "{units}");
    for unit in units.lines() {
        // An unknown key is a warning and no failure: nothing at all may be said.
        let said = machine.run(&format!("systemd-analyze verify {unit} 2>&1"))?;
        assert_eq!(said, "", "{unit}");
    }
    // Tenths of ten: what it must have counts, as the courier's network does.
    for (unit, most) in [
        ("recueild", 8),
        ("recueil-hostd", 10),
        ("recueil-courier", 17),
        ("recueil-analyser@", 5),
    ] {
        machine.run(&format!(
            "systemd-analyze security --offline=true --no-pager --threshold={most} {unit}.service"
        ))?;
    }
    Ok(())
}

#[test]
fn purging_leaves_nothing() -> anyhow::Result<()> {
    let Some(machine) = Machine::boot()? else {
        return Ok(());
    };
    let before = everything(&machine)?;
    machine.run("dpkg --install /d/recueil_*.deb /d/recueil-simulator_*.deb")?;
    assert!(everything(&machine)?.len() > before.len() + 20, "it is installed");
    machine.run("dpkg --purge recueil-simulator recueil 2>&1")?;
    let after = everything(&machine)?;
    let left: Vec<_> = after.difference(&before).collect();
    let lost: Vec<_> = before.difference(&after).collect();
    assert!(left.is_empty() && lost.is_empty(), "left {left:?}, lost {lost:?}");
    let running = machine.run(
        "systemctl list-units --all --plain --no-legend 'recueil*'; ls -d /run/*recueil* 2>&1 || true",
    )?;
    assert!(
        !running.contains(".service") && !running.contains(".socket"),
        "{running}"
    );
    assert!(running.contains("No such file"), "{running}");
    Ok(())
}

#[test]
fn purging_refuses_while_a_parcel_waits_for_cert() -> anyhow::Result<()> {
    let Some(machine) = Machine::with_recueil()? else {
        return Ok(());
    };
    machine.run(
        "setpriv --reuid recueil --regid recueil --clear-groups touch /var/lib/recueil-ready/waiting.p7m",
    )?;
    let refused = machine.run("! dpkg --purge recueil 2>&1")?;
    assert!(
        refused.contains("waiting.p7m is not confirmed by CERT"),
        "{refused}"
    );
    machine.run("test -s /var/lib/recueil/store.sqlite && test -s /var/lib/recueil/keys/storage.key")?;
    // Installed again it works on what was kept.
    machine.run("dpkg --install /d/recueil_*.deb && recueilctl status")?;
    machine
        .run("rm /var/lib/recueil-ready/waiting.p7m && dpkg --purge recueil && test ! -e /var/lib/recueil")?;
    Ok(())
}

/// Each file of the machine's disk and each line of its lists of users.
fn everything(machine: &Machine) -> anyhow::Result<BTreeSet<String>> {
    let pruned: Vec<String> = OF_THE_MACHINE
        .iter()
        .map(|path| format!("-path {path} -prune"))
        .collect();
    let script = format!(
        "find / {} -o -path /var/log -prune -o -print; cat /etc/passwd /etc/group /etc/shadow /etc/gshadow",
        pruned.join(" -o ")
    );
    let told = machine.run(&script)?;
    // dpkg and the user tools keep a copy of the last state beside each list.
    let backups = ["/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"];
    Ok(told
        .lines()
        .filter(|line| !backups.contains(line))
        .map(str::to_owned)
        .collect())
}
