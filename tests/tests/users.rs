//! Who runs as whom, and what each can read.

use std::collections::BTreeSet;
use std::process::Command;

use recueil_tests::{Client, Options, Station};

/// A test that needs root says so where it is skipped.
#[expect(clippy::print_stdout, reason = "a skipped test is told aloud")]
fn skipped() -> bool {
    let skip = !rustix::process::geteuid().is_root();
    if skip {
        println!("SKIPPED: only root can give each service its own user");
    }
    skip
}

fn uid_of(pid: u32) -> anyhow::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap_or_default();
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}

#[tokio::test]
async fn each_service_runs_under_its_own_user_and_none_as_root() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let station = Station::start(Options::default())?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    assert_eq!(client.station.status().await?.analyser, "separated");
    let uids = station
        .pids()
        .into_iter()
        .map(|(_, pid)| uid_of(pid))
        .collect::<Result<BTreeSet<_>, _>>()?;
    assert_eq!(uids.len(), 3, "recueild, hostd and courier differ: {uids:?}");
    assert!(!uids.contains(&0));
    Ok(())
}

#[tokio::test]
async fn no_service_reads_what_is_anothers() -> anyhow::Result<()> {
    if skipped() {
        return Ok(());
    }
    let station = Station::start(Options::default())?;
    let client = Client::connect(&station.address(), "agent.dupont").await?;
    client.open("deposit", "cni-adulte", None).await?;
    let users = *station.users();
    let reads = |user, path: &str| {
        let mut command = users.command(user, std::path::Path::new("/usr/bin/head"));
        command.arg("-c1").arg(station.folders().path(path));
        anyhow::Ok(command.output()?.status.success())
    };
    assert!(
        reads(users.recueil, "state/store.sqlite")?,
        "the control: recueild reads its store"
    );
    for user in [
        users.host,
        users.analyser,
        users.courier,
        users.hardware,
        users.client,
    ] {
        assert!(!reads(user, "state/store.sqlite")?, "{user:?} reads the store");
        assert!(!reads(user, "keys/seal.key")?, "{user:?} reads the sealing key");
    }
    for user in [users.recueil, users.host, users.analyser, users.client] {
        assert!(!reads(user, "keys/tls.key")?, "{user:?} reads the courier's key");
    }
    let lists = |user, path: &str| {
        let mut command: Command = users.command(user, std::path::Path::new("/usr/bin/ls"));
        command.arg(station.folders().path(path));
        anyhow::Ok(command.output()?.status.success())
    };
    assert!(lists(users.courier, "ready")?, "the courier reads the outbox");
    assert!(!lists(users.client, "ready")? && !lists(users.host, "ready")?);
    let mut write = users.command(users.courier, std::path::Path::new("/usr/bin/touch"));
    write.arg(station.folders().path("ready/forged.p7m"));
    assert!(
        !write.output()?.status.success(),
        "the courier cannot write into the outbox"
    );
    Ok(())
}
