//! What happens in a dossier is between the station and the connection that opened it.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, bail};
use recueil_bus::{BusConnection, Code, Error, NAME, OwnedVariant, ROOT};
use recueil_tests::{Client, Followed, Options, Program, Station, User, acting_as, project_path};
use serde_json::{Value, json};

/// A user of Debian's base-passwd who is neither a service's nor the station software's.
const STRANGER: User = User(8);

#[tokio::test]
async fn nobody_else_hears_of_dossiers_and_captures() -> anyhow::Result<()> {
    let station = start()?;
    let mut client = collector(&station).await?;
    let reader = client.device("fingerprint").await?;
    let mut listeners = Vec::new();
    for user in others(&station)? {
        let (listener, monitors) = listen(&station, user).await?;
        assert!(!monitors, "only root and who owns the bus may watch it");
        listeners.push(listener);
    }

    let dossier = client.open("deposit", "cni-adulte", None).await?;
    dossier.dossier.set_field("nom-naissance", "TRESSECRET").await?;
    let hands = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");
    assert!(!hands.guidance.is_empty(), "its owner is told");

    for mut listener in listeners {
        let heard = all_heard(&mut listener).await?;
        let of_devices = heard
            .iter()
            .filter(|message| message["interface"] == "org.freedesktop.DBus.Properties");
        assert!(of_devices.count() > 0, "it does listen: {heard:?}");
        for message in &heard {
            let path = message["path"].as_str().unwrap_or_default();
            let told = message.to_string();
            assert!(path.is_empty() || path.starts_with(ROOT), "{told}");
            assert!(!told.contains("Dossier1") && !told.contains("Capture1"), "{told}");
            for secret in [
                dossier.id.as_str(),
                "TRESSECRET",
                "agent.dupont",
                "/fr/recueil/dossier",
            ] {
                assert!(!told.contains(secret), "{told}");
            }
        }
    }
    Ok(())
}

/// Shows that the listener of the test before would have heard.
#[tokio::test]
async fn who_may_watch_the_whole_bus_does_hear_them() -> anyhow::Result<()> {
    let station = start()?;
    if !station.users().separate {
        return skipped("only root may watch a bus of the system's type");
    }
    let (mut listener, monitors) = listen(&station, User(0)).await?;
    assert!(monitors);
    let mut client = collector(&station).await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    dossier.dossier.set_field("nom-naissance", "TRESSECRET").await?;
    client.capture(&dossier, "empreintes", &reader, None).await?;
    let (mut dossiers, mut captures, mut secrets) = (0, 0, 0);
    while dossiers == 0 || captures == 0 || secrets == 0 {
        let told = listener.hear().await?.to_string();
        dossiers += usize::from(told.contains("fr.recueil.Dossier1"));
        captures += usize::from(told.contains("fr.recueil.Capture1"));
        secrets += usize::from(told.contains("TRESSECRET"));
    }
    Ok(())
}

#[tokio::test]
async fn nobody_else_can_call_or_read_a_dossier_or_a_capture() -> anyhow::Result<()> {
    let station = start()?;
    let client = collector(&station).await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    station.show("fp4", &[json!({"wait_ms": 3_600_000})])?;
    let capture = client.start(&dossier, "empreintes", &reader, None, true).await?;
    let objects = [
        ("fr.recueil.Dossier1", dossier.path.as_str()),
        ("fr.recueil.Capture1", capture.as_str()),
    ];

    for user in others(&station)? {
        let other = connect(&station, user).await?;
        for (interface, path) in objects {
            let xml = std::fs::read_to_string(project_path(&format!("sdk/dbus/{interface}.xml")))?;
            for (method, signature) in methods(&xml)? {
                let outcome = call(&other, path, interface, &method, &signature).await;
                assert_not_owner(outcome, &format!("{interface}.{method}"))?;
            }
            for property in properties(&xml)? {
                let outcome = get(&other, path, interface, &property).await;
                assert_not_owner(outcome, &format!("{interface}.{property}"))?;
            }
            let all = other.call_method(Some(NAME), path, Some(PROPERTIES), "GetAll", &(interface));
            let read: HashMap<String, OwnedVariant> = match all.await {
                Ok(reply) => reply.body().deserialize()?,
                Err(_refused) => HashMap::new(),
            };
            assert!(read.is_empty(), "{interface}: {:?}", read.keys());
        }
    }
    still_works(&dossier).await
}

#[tokio::test]
async fn a_dossier_of_another_user_cannot_be_adopted_or_listed() -> anyhow::Result<()> {
    let station = start()?;
    if !station.users().separate {
        return skipped("another user is needed; run the tests as root to try it");
    }
    let owner = collector(&station).await?;
    let dossier = owner.open("deposit", "cni-adulte", None).await?;
    // The user of this process is allowed to collect too, and is another.
    let other = Client::connect(&station.address(), "agent.dupont").await?;
    let refused = other.station.adopt(&dossier.id).await.unwrap_err();
    assert_eq!(refused.code, Code::UnknownDossier);
    assert_eq!(other.station.list_drafts().await?, []);
    assert_eq!(owner.station.list_drafts().await?.len(), 1);
    still_works(&dossier).await
}

#[tokio::test]
async fn the_object_manager_knows_devices_only() -> anyhow::Result<()> {
    let station = start()?;
    let client = collector(&station).await?;
    client.device("fingerprint").await?;
    client.open("deposit", "cni-adulte", None).await?;
    let objects = recueil_bus::ObjectManagerProxy::new(client.connection(), NAME, ROOT).await?;
    let objects = objects.get_managed_objects().await?;
    assert!(!objects.is_empty());
    for (path, interfaces) in objects {
        assert!(path.as_str().starts_with(&format!("{ROOT}/devices")), "{path}");
        for interface in interfaces.keys() {
            assert_eq!(interface.as_str(), "fr.recueil.Device1", "{path}");
        }
    }
    Ok(())
}

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

fn start() -> anyhow::Result<Station> {
    Station::start(Options {
        cert: false,
        ..Options::default()
    })
}

fn skipped(why: &str) -> anyhow::Result<()> {
    Ok(std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes())?)
}

/// Who else there is: the same user by another connection, and a stranger where we may be one.
fn others(station: &Station) -> anyhow::Result<Vec<User>> {
    let users = station.users();
    if users.separate {
        return Ok(vec![users.client, STRANGER]);
    }
    skipped("strangers are only tried when the tests run as root")?;
    Ok(vec![users.client])
}

/// Station software, never as root: root is above the bus's rules.
async fn collector(station: &Station) -> anyhow::Result<Client> {
    let (users, address) = (station.users(), station.address());
    let connect = Client::connect(&address, "agent.dupont");
    if users.separate {
        acting_as(users.client, connect).await
    } else {
        connect.await
    }
}

async fn connect(station: &Station, user: User) -> anyhow::Result<BusConnection> {
    if station.users().separate {
        acting_as(user, station.connect()).await
    } else {
        station.connect().await
    }
}

/// A program that hears all that the bus lets it hear, and whether that is everything.
async fn listen(station: &Station, user: User) -> anyhow::Result<(Program, bool)> {
    let mut listener = Program::start(station.users(), user, "listener.py", station.bus_address())?;
    // Who owns the bus may watch it, as root may: where all are one user, only ordinary rules are tried.
    let eavesdrop = station.users().separate;
    listener
        .say(&json!({"do": "listen", "eavesdrop": eavesdrop}))
        .await?;
    loop {
        let line = listener.hear().await?;
        if line["listening"] == true {
            let refused = line["refused"].as_array().context("a list")?;
            let monitors = eavesdrop && !refused.contains(&json!("BecomeMonitor"));
            return Ok((listener, monitors));
        }
    }
}

/// What it has heard until now.
async fn all_heard(listener: &mut Program) -> anyhow::Result<Vec<Value>> {
    listener.say(&json!({"do": "mark"})).await?;
    let mut heard = Vec::new();
    loop {
        let line = listener.hear().await?;
        if line["mark"] == true {
            return Ok(heard);
        }
        heard.push(line["heard"].clone());
    }
}

/// Names of methods with the signatures of what they take.
fn methods(xml: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut methods: Vec<(String, String)> = Vec::new();
    for line in xml.lines().map(str::trim) {
        if line.starts_with("<method ") {
            methods.push((attribute(line, "name")?, String::new()));
        } else if line.starts_with("<arg ") && line.contains("direction=\"in\"") {
            let (_, signature) = methods.last_mut().context("an argument of a method")?;
            signature.push_str(&attribute(line, "type")?);
        }
    }
    Ok(methods)
}

fn properties(xml: &str) -> anyhow::Result<Vec<String>> {
    let properties = xml
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("<property "));
    properties.map(|line| attribute(line, "name")).collect()
}

fn attribute(line: &str, name: &str) -> anyhow::Result<String> {
    let (_, rest) = line.split_once(&format!("{name}=\"")).context("an attribute")?;
    Ok(rest.split('"').next().unwrap_or_default().to_owned())
}

/// Calls a method with arguments of the types that it takes.
async fn call(
    connection: &BusConnection,
    path: &str,
    interface: &str,
    method: &str,
    signature: &str,
) -> anyhow::Result<Result<(), Error>> {
    let to = |name| (Some(NAME), path, Some(name), method);
    let (name, path, interface, method) = to(interface);
    let none = HashMap::<String, OwnedVariant>::new();
    let reply = match signature {
        "" => connection.call_method(name, path, interface, method, &()).await,
        "s" => {
            connection
                .call_method(name, path, interface, method, &("photo"))
                .await
        }
        "ss" => {
            connection
                .call_method(name, path, interface, method, &("photo", "x"))
                .await
        }
        "sss" => {
            connection
                .call_method(name, path, interface, method, &("photo", "x", "y"))
                .await
        }
        "ys" => {
            connection
                .call_method(name, path, interface, method, &(2_u8, "bandaged"))
                .await
        }
        "ssa{sv}" => {
            connection
                .call_method(name, path, interface, method, &("photo", "x", none))
                .await
        }
        other => bail!("{method} takes {other}: teach this test to make it"),
    };
    Ok(reply.map(drop).map_err(Error::from))
}

async fn get(
    connection: &BusConnection,
    path: &str,
    interface: &str,
    property: &str,
) -> anyhow::Result<Result<(), Error>> {
    let reply = connection
        .call_method(Some(NAME), path, Some(PROPERTIES), "Get", &(interface, property))
        .await;
    Ok(reply.map(drop).map_err(Error::from))
}

fn assert_not_owner(outcome: anyhow::Result<Result<(), Error>>, what: &str) -> anyhow::Result<()> {
    let error = outcome?.err().with_context(|| format!("{what} answers others"))?;
    assert_eq!(error.code, Code::NotOwner, "{what}: {error}");
    Ok(())
}

async fn still_works(dossier: &Followed) -> anyhow::Result<()> {
    assert_eq!(
        dossier.dossier.state().await?,
        "draft",
        "nothing that others tried changed it"
    );
    Ok(())
}
