//! An honest client's calls while ten clients of another user do what they should not, beside the same calls when
//! nobody else calls. What the bus daemon itself costs then is seen by a service that does nothing, on the same bus
//! at the same time.

use std::time::{Duration, Instant};

use recueil_bus::{BusConnection, NAME, ROOT};
use recueil_tests::{Client, Followed, Options, Station, User, acting_as, binary};

use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{Rig, Running, allow_rivals, command, log, own_user};

/// Name and interface of `recueil-rival-property`.
const EMPTY: &str = "fr.recueil.Rival1";
/// `sys` of Debian's base-passwd.
const HOSTILE: User = User(3);
const SEED: u64 = 0x5eed_0009;
/// Calls of each kind: 20 are beyond the 99th of a hundred.
const CALLS: usize = 2000;
/// An agent does not call faster than this.
const PAUSE: Duration = Duration::from_millis(2);
/// Each changes the disk.
const CHANGE_EVERY: usize = 4;
/// What a daemon that is not fair takes a minute for is not waited for longer.
const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn run(_rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let station = Station::start(Options {
        cert: false,
        devices: false,
        allowed: vec![HOSTILE],
        quotas: serde_json::json!({ "changes_per_hour": 1_000_000 }),
        ..Options::default()
    })?;
    allow_rivals(&station)?;
    let users = station.users();
    anyhow::ensure!(users.separate, "another user is needed; run as root");
    let mut empty = command(&binary("recueil-rival-property")?, users.recueil, users);
    empty.args([station.bus_address(), EMPTY]);
    let _running = Running::first_line(empty, &log(station.folders(), "property")?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (quiet, all, fair) = runtime.block_on(async {
        let address = station.address();
        let client = Client::connect(&address, "agent.bench");
        let client = acting_as(users.client, client).await?;
        let dossier = client.open("deposit", "cni-adulte", None).await?;
        let quiet = measure(&client, &dossier).await?;
        let hostile = hostile_clients(&station, true)?;
        let fair = measure(&client, &dossier).await?;
        drop(hostile);
        let hostile = hostile_clients(&station, false)?;
        let all = measure(&client, &dossier).await?;
        drop(hostile);
        anyhow::Ok((quiet, all, fair))
    })?;
    for (what, loaded) in [
        ("nine hostile clients", fair),
        ("a tenth with 31 MiB a call", all),
    ] {
        for ((name, goal), (loaded, quiet)) in KINDS.into_iter().zip(loaded.iter().zip(&quiet)) {
            let name = format!("p99 of {} calls, {name}, {what} / nobody", loaded.count());
            report.compare(&name, Unit::Seconds, &loaded.p99(), &quiet.p99(), goal);
        }
    }
    Ok(())
}

/// They end with this value.
fn hostile_clients(station: &Station, small: bool) -> anyhow::Result<Running> {
    let mut clients = command(&binary("recueil-hostile")?, own_user(), station.users());
    clients.args([station.bus_address(), &HOSTILE.0.to_string(), &SEED.to_string()]);
    if small {
        clients.arg("--small");
    }
    let (running, _begun) = Running::first_line(clients, &log(station.folders(), "hostile")?)?;
    Ok(running)
}

/// What is called.
const KINDS: [(&str, Goal); 4] = [
    ("an empty zbus service", Goal::None),
    ("Station1.Version", Goal::Times(3.0)),
    ("ListDrafts", Goal::Times(3.0)),
    ("SetField", Goal::Times(3.0)),
];

async fn measure(client: &Client, dossier: &Followed) -> anyhow::Result<[Samples; 4]> {
    let mut measured = [(); 4].map(|()| Samples::default());
    let [empty, version, drafts, fields] = &mut measured;
    let connection = client.connection();
    let end = Instant::now() + PATIENCE;
    for call in 0..CALLS {
        if Instant::now() > end {
            break;
        }
        let begun = Instant::now();
        get(connection, EMPTY, "/", EMPTY).await?;
        empty.push_time(begun.elapsed());
        let begun = Instant::now();
        get(connection, NAME, ROOT, NAME).await?;
        version.push_time(begun.elapsed());
        let begun = Instant::now();
        client.station.list_drafts().await?;
        drafts.push_time(begun.elapsed());
        if call % CHANGE_EVERY == 0 {
            let value = format!("D{call}");
            let begun = Instant::now();
            dossier.dossier.set_field("nom-naissance", &value).await?;
            fields.push_time(begun.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(measured)
}

/// Without a proxy, whose cache would answer in our own process.
async fn get(connection: &BusConnection, service: &str, path: &str, interface: &str) -> anyhow::Result<()> {
    let properties = Some("org.freedesktop.DBus.Properties");
    connection
        .call_method(Some(service), path, properties, "Get", &(interface, "Version"))
        .await?;
    Ok(())
}
