//! Ten clients of one user do what they should not, for as long as an honest client of another works: each of his
//! calls is answered, and the service stays within its budget. Figures of speed are the benches' (`recueil-bench
//! --only hostile`).

use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::Context;
use recueil_bus::{CaptureProxy, Code, DeviceProxy, Error};
use recueil_tests::hostile::{Habit, Line, Load, RawCall};
use recueil_tests::{Client, Followed, Options, Station, User, acting_as, device_path};
use serde_json::json;

/// `sys` of Debian's base-passwd, who may do everything and means no good.
const HOSTILE: User = User(3);
/// Seeds the fuzzed arguments.
const SEED: u64 = 0x5eed_0008;
/// What `recueild` may need at any time under any load, and what is open in it: for each user a MiB of waiting
/// calls, 200 objects and their actors, and once a few MiB of pictures in transit.
const MEMORY_MAX_KIB: u64 = 64 << 10;
const DESCRIPTORS_MAX: usize = 64;

#[tokio::test]
async fn ten_hostile_clients_disturb_neither_another_user_nor_the_budget() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        allowed: vec![HOSTILE],
        ..Options::default()
    })?;
    if !station.users().separate {
        return skipped("another user is needed; run the tests as root to try it");
    }
    let (bus, address) = (station.bus_address(), station.address());
    let mut honest = acting_as(station.users().client, Client::connect(&address, "agent.dupont")).await?;
    let reader = honest.device("fingerprint").await?;
    let dossier = honest.open("deposit", "cni-adulte", None).await?;
    let before = Budget::of(&station)?;

    let hostile = Hoarder::start(&station).await?;
    let load = Load::start(bus, HOSTILE, &Habit::ALL, &hostile.paths, SEED);
    let mut most = Budget::default();
    for round in 0..ROUNDS {
        every_call(&honest, &dossier, round).await?;
        most = most.max(Budget::of(&station)?);
        if round == ROUNDS / 2 {
            // A witness: his hands are taken as ever.
            let hands = honest.capture(&dossier, "empreintes", &reader, None).await?;
            assert_eq!(hands.view.state, "completed", "{hands:?}");
        }
    }
    // All ten were at it.
    let deadline = Instant::now() + WAIT_MAX;
    while load.sent().iter().any(|(_, sent)| *sent < 3) {
        assert!(Instant::now() < deadline, "{:?}", load.sent());
        every_call(&honest, &dossier, 0).await?;
    }
    let sent = load.sent();
    drop(load);
    drop(hostile);
    most = most.max(Budget::of(&station)?);
    say(&format!(
        "seed {SEED:#x}: calls sent {sent:?}; before {before:?}, at most {most:?}"
    ))?;
    assert!(most.memory_kib <= MEMORY_MAX_KIB, "{most:?}");
    assert!(most.descriptors <= DESCRIPTORS_MAX, "{most:?}");

    // What they held is free again, and what was open for them is closed.
    let scanner = honest.device("scanner").await?;
    let device = DeviceProxy::new(honest.connection(), device_path(&scanner)).await?;
    let deadline = Instant::now() + WAIT_MAX;
    while let Err(error) = device.lease(HashMap::new()).await {
        assert!(error.code == Code::Busy && Instant::now() < deadline, "{error}");
    }
    let mut after = Budget::of(&station)?;
    while after.descriptors > before.descriptors + 2 {
        assert!(Instant::now() < deadline, "before {before:?}, after {after:?}");
        every_call(&honest, &dossier, 0).await?;
        after = Budget::of(&station)?;
    }
    Ok(())
}

#[tokio::test]
async fn each_quota_refuses_its_own_user_by_name_and_says_what_to_do() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        allowed: vec![HOSTILE],
        quotas: json!({
            "sessions": 2, "dossiers_in_use": 2, "drafts": 3, "drafts_per_hour": 4, "changes_per_hour": 5,
            "captures": 1, "leases": 1, "shown_mib_per_hour": 8,
        }),
        ..Options::default()
    })?;
    if !station.users().separate {
        return skipped("another user is needed; run the tests as root to try it");
    }
    let address = station.address();
    let connect = || acting_as(HOSTILE, Client::connect(&address, "agent.dupont"));
    let mut first = connect().await?;
    let second = connect().await?;
    let refused = connect().await.err().context("a third session")?;
    let refused = refused
        .downcast_ref::<Error>()
        .context("an error of the contract")?;
    assert_too_many(refused, "disconnect");

    // Devices: one held, no other, and none by a capture.
    let (reader, scanner) = (first.device("fingerprint").await?, first.device("scanner").await?);
    let device = |client: &Client, id: &str| {
        let (connection, path) = (client.connection().clone(), device_path(id));
        async move { DeviceProxy::new(&connection, path).await }
    };
    device(&first, &reader).await?.lease(HashMap::new()).await?;
    let refused = device(&second, &scanner).await?.lease(HashMap::new()).await;
    assert_too_many(&refused.unwrap_err(), "release");
    device(&first, &reader).await?.release().await?;

    // Dossiers: two in use, three kept, four an hour.
    let one = first.open("deposit", "cni-adulte", None).await?;
    let two = second.open("deposit", "cni-adulte", None).await?;
    let refused = open(&second).await.unwrap_err();
    assert_too_many(&refused, "disconnect");
    two.dossier.cancel().await?;
    second.leave().await?;
    let second = until_free(&station).await?;
    let three = second.open("deposit", "cni-adulte", None).await?;
    three.dossier.cancel().await?;
    second.leave().await?;
    let second = until_free(&station).await?;
    second.open("deposit", "cni-adulte", None).await?;
    second.leave().await?;
    let second = until_free(&station).await?;
    let refused = open(&second).await.unwrap_err();
    assert_too_many(&refused, "wait");
    assert!(refused.details.contains_key("seconds"), "{refused:?}");

    // Pictures: what was given is given, and more is refused.
    let page = first
        .capture(&one, "pieces", &scanner, Some("acte-naissance"))
        .await?;
    assert_eq!(page.view.state, "completed", "{page:?}");
    let name = one.dossier.items().await?[0].name.clone();
    let mut given = Vec::new();
    let refused = loop {
        match one.dossier.open_item(&name).await {
            Ok(item) => given.push(item),
            Err(error) => break error,
        }
    };
    assert!((1..=128).contains(&given.len()), "{}", given.len());
    assert_too_many(&refused, "keep");

    // Changes: the capture was one.
    for number in 0..4 {
        one.dossier
            .set_field("nom-naissance", &format!("D{number}"))
            .await?;
    }
    let refused = one.dossier.set_field("nom-naissance", "D").await.unwrap_err();
    assert_too_many(&refused, "wait");

    // Another user has all of his own.
    let other = acting_as(station.users().client, Client::connect(&address, "agent.dupont")).await?;
    let dossier = other.open("deposit", "cni-adulte", None).await?;
    dossier.dossier.set_field("nom-naissance", "D").await?;
    Ok(())
}

#[tokio::test]
async fn who_calls_without_waiting_has_every_call_answered_and_most_refused() -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        quotas: json!({ "calls_waiting": 4 }),
        ..Options::default()
    })?;
    let mut line = Line::connect(station.bus_address(), station.users().client)?;
    let call = RawCall {
        path: recueil_bus::ROOT.to_owned(),
        interface: Some(recueil_bus::NAME.to_owned()),
        member: "ListPlugins".to_owned(),
        destination: recueil_bus::NAME.to_owned(),
        ..RawCall::default()
    };
    let last = line.send_all(&vec![call; 100])?;
    let mut answers = HashMap::new();
    let deadline = Instant::now() + WAIT_MAX;
    while answers.len() < 100 {
        assert!(Instant::now() < deadline, "{} answers", answers.len());
        if let Some(answer) = line.answer()? {
            answers.insert(answer.serial, answer.error);
        }
    }
    let refused = answers.values().flatten();
    assert!(
        refused.clone().all(|name| name == Code::TooMany.name()),
        "{answers:?}"
    );
    assert!(refused.count() > 10, "{answers:?}");
    assert!(answers.values().any(Option::is_none), "some are served");
    assert!(answers.keys().all(|serial| *serial <= last));
    Ok(())
}

/// Rounds of honest calls while the others are at it.
const ROUNDS: usize = 12;
/// Nothing of this takes longer on a loaded machine.
const WAIT_MAX: Duration = Duration::from_mins(2);

/// What station software asks all the time.
async fn every_call(client: &Client, dossier: &Followed, round: usize) -> anyhow::Result<()> {
    client.station.status().await?;
    dossier.dossier.missing().await?;
    client.station.list_drafts().await?;
    if round.is_multiple_of(4) {
        dossier
            .dossier
            .set_field("nom-naissance", &format!("DUPONT{round}"))
            .await?;
    }
    assert_eq!(dossier.dossier.fields().await?.len(), 1);
    recueil_bus::devices(client.connection()).await?;
    Ok(())
}

/// A client who takes what he can get and gives nothing back: leases, sessions, dossiers, captures, previews that
/// are not read, pictures that are not closed.
struct Hoarder {
    paths: Vec<String>,
    _clients: Vec<Client>,
    _streams: Vec<std::os::fd::OwnedFd>,
}

impl Hoarder {
    async fn start(station: &Station) -> anyhow::Result<Self> {
        let address = station.address();
        let mut clients = Vec::new();
        while let Ok(client) = acting_as(HOSTILE, Client::connect(&address, "agent.durand")).await {
            clients.push(client);
            anyhow::ensure!(clients.len() < 1000, "sessions without end");
        }
        let first = clients.first().context("no session at all")?;
        let scanner = first.device("scanner").await?;
        let device = DeviceProxy::new(first.connection(), device_path(&scanner)).await?;
        device.lease(HashMap::new()).await?;
        let mut dossiers = Vec::new();
        while let Ok(dossier) = first.open("deposit", "cni-adulte", None).await {
            dossiers.push(dossier);
            anyhow::ensure!(dossiers.len() < 1000, "dossiers without end");
        }
        let mut paths: Vec<_> = dossiers.iter().map(|dossier| dossier.path.clone()).collect();
        let dossier = dossiers.first().context("no dossier at all")?;
        // Nobody ever lays a page on the glass.
        station.show("flatbed", &[json!({"wait_ms": 3_600_000})])?;
        let capture = first
            .start(dossier, "pieces", &scanner, Some("acte-naissance"), false)
            .await?;
        let proxy = CaptureProxy::new(first.connection(), capture.clone()).await?;
        let mut streams = Vec::new();
        for _stream in 0..50 {
            match proxy.preview().await {
                Ok(stream) => streams.push(stream.into()),
                Err(_over) => break,
            }
        }
        paths.extend([capture, recueil_bus::ROOT.to_owned(), device_path(&scanner)]);
        Ok(Self {
            paths,
            _clients: clients,
            _streams: streams,
        })
    }
}

async fn open(client: &Client) -> Result<(), Error> {
    let opened = client
        .station
        .open_dossier("deposit", "cni-adulte", HashMap::new());
    opened.await.map(drop)
}

/// The second session of two, as soon as the service has seen the end of the one before.
async fn until_free(station: &Station) -> anyhow::Result<Client> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        let address = station.address();
        match acting_as(HOSTILE, Client::connect(&address, "agent.dupont")).await {
            Ok(client) => return Ok(client),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    }
}

fn assert_too_many(error: &Error, advice: &str) {
    assert_eq!(error.code, Code::TooMany, "{error}");
    assert!(error.text.contains(advice), "{error}");
}

/// What `recueild` has.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    memory_kib: u64,
    descriptors: usize,
}

impl Budget {
    fn of(station: &Station) -> anyhow::Result<Self> {
        let pids = station.pids();
        let (_, pid) = pids
            .iter()
            .find(|(name, _)| name == "recueild")
            .context("recueild")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory_kib = line.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        Ok(Self {
            memory_kib,
            descriptors,
        })
    }

    fn max(self, other: Self) -> Self {
        Self {
            memory_kib: self.memory_kib.max(other.memory_kib),
            descriptors: self.descriptors.max(other.descriptors),
        }
    }
}

fn skipped(why: &str) -> anyhow::Result<()> {
    say(&format!("SKIPPED: {why}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(std::io::stderr().write_all(format!("{line}\n").as_bytes())?)
}
