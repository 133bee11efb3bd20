//! Reading a property over the bus, beside the bus daemon's own answer on the same connection.

use std::time::Instant;

use anyhow::Context;
use recueil_bus::{BusConnection, DeviceProxy, NAME, ObjectManagerProxy, ROOT};
use recueil_tests::{Client, binary};

use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{Rig, Running, command, log};

/// Name and interface of `recueil-rival-property`.
const EMPTY: &str = "fr.recueil.Rival1";
/// Blocks in turns, and calls in each.
const BLOCKS: usize = 25;
const CALLS: usize = 200;
/// Before anything is counted.
const WARMING: usize = 500;

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    rig.station.start_recueild()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut empty = command(
        &binary("recueil-rival-property")?,
        rig.users().recueil,
        rig.users(),
    );
    empty.args([rig.station.bus_address(), EMPTY]);
    let _running = Running::first_line(empty, &log(rig.folders(), "property")?)?;
    let measured = runtime.block_on(measure(rig))?;
    rig.station.stop_recueild();
    let [daemon, version, state, empty] = &measured;
    let goal = Goal::TimesAnd(1.2, 60e-6);
    let time = Unit::Seconds;
    let name = |what: &str| format!("warm call, {what} / the bus daemon's GetId");
    report.compare(&name("Station1.Version"), time, version, daemon, goal);
    report.compare(&name("Device1.State"), time, state, daemon, goal);
    report.compare(
        &name("a property of an empty zbus service"),
        time,
        empty,
        daemon,
        Goal::None,
    );
    Ok(())
}

async fn measure(rig: &Rig) -> anyhow::Result<[Samples; 4]> {
    let client = Client::connect(&rig.station.address(), "agent.bench").await?;
    let id = client.device("fingerprint").await?;
    let connection = client.connection();
    let device = path_of(connection, &id).await?;

    let mut measured = [(); 4].map(|()| Samples::default());
    for _call in 0..WARMING {
        get_id(connection).await?;
        get(connection, NAME, ROOT, "fr.recueil.Station1", "Version").await?;
        get(connection, NAME, &device, "fr.recueil.Device1", "State").await?;
        get(connection, EMPTY, "/", EMPTY, "Version").await?;
    }
    let [daemon, version, state, empty] = &mut measured;
    for _block in 0..BLOCKS {
        for _call in 0..CALLS {
            let begun = Instant::now();
            get_id(connection).await?;
            daemon.push_time(begun.elapsed());
        }
        for _call in 0..CALLS {
            let begun = Instant::now();
            get(connection, NAME, ROOT, "fr.recueil.Station1", "Version").await?;
            version.push_time(begun.elapsed());
        }
        for _call in 0..CALLS {
            let begun = Instant::now();
            get(connection, NAME, &device, "fr.recueil.Device1", "State").await?;
            state.push_time(begun.elapsed());
        }
        for _call in 0..CALLS {
            let begun = Instant::now();
            get(connection, EMPTY, "/", EMPTY, "Version").await?;
            empty.push_time(begun.elapsed());
        }
    }
    Ok(measured)
}

/// The object of a device.
async fn path_of(connection: &BusConnection, id: &str) -> anyhow::Result<String> {
    let objects = ObjectManagerProxy::new(connection, NAME, ROOT).await?;
    for path in objects.get_managed_objects().await?.into_keys() {
        if !path.as_str().contains("/devices/") {
            continue;
        }
        let device = DeviceProxy::new(connection, path.clone()).await?;
        if device.id().await? == id {
            return Ok(path.to_string());
        }
    }
    anyhow::bail!("no object is device {id}")
}

async fn get_id(connection: &BusConnection) -> anyhow::Result<()> {
    let daemon = "org.freedesktop.DBus";
    let answer = connection
        .call_method(Some(daemon), "/org/freedesktop/DBus", Some(daemon), "GetId", &())
        .await?;
    answer.body().deserialize::<&str>().context("GetId")?;
    Ok(())
}

/// Without a proxy, whose cache would answer in our own process.
async fn get(
    connection: &BusConnection,
    service: &str,
    path: &str,
    interface: &str,
    property: &str,
) -> anyhow::Result<()> {
    let properties = Some("org.freedesktop.DBus.Properties");
    connection
        .call_method(Some(service), path, properties, "Get", &(interface, property))
        .await?;
    Ok(())
}
