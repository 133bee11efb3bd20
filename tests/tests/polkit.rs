//! Who may do what is decided by polkit: the real one, on the private bus, with our own actions.

use std::collections::HashMap;
use std::io::Write;
use std::process::Command;

use anyhow::Context;
use recueil_bus::{CaptureProxy, Code, DeviceProxy, Error, OwnedVariant};
use recueil_tests::{Client, Followed, Options, Program, Station, User, acting_as, binary, device_path};
use serde_json::{Value, json};

/// Two users of Debian's base-passwd besides those of the services: dbus-daemon wants them to exist.
const NEWS: User = User(9);
const MAIL: User = User(8);

const NEWS_MAY_AND_MAIL_MAY_NOT: &str = r#"polkit.addRule(function(action, subject) {
    if (action.id.indexOf("fr.recueil.station1.") != 0) return polkit.Result.NOT_HANDLED;
    return subject.user == "news" ? polkit.Result.YES : polkit.Result.NO;
});"#;

const A_PERSON_MUST_APPROVE: &str = r"polkit.addRule(function(action, subject) {
    return polkit.Result.AUTH_SELF;
});";

const ONLY_TAKE_OVERS_NEED_A_PERSON: &str = r#"polkit.addRule(function(action, subject) {
    return action.id == "fr.recueil.station1.steal" ? polkit.Result.AUTH_SELF : polkit.Result.YES;
});"#;

const ONLY_AGENTS: &str = r#"polkit.addRule(function(action, subject) {
    return action.id == "fr.recueil.station1.collect" ? polkit.Result.YES : polkit.Result.NO;
});"#;

/// Allowed by what is done, not only by who does it: needs the details that recueild passes.
const ONLY_IDENTITY_CARDS: &str = r#"polkit.addRule(function(action, subject) {
    if (action.lookup("procedure") && action.lookup("procedure") != "cni-adulte") return polkit.Result.NO;
    return polkit.Result.YES;
});"#;

#[tokio::test]
async fn polkit_allows_one_user_and_denies_another() -> anyhow::Result<()> {
    let Some(station) = station(NEWS_MAY_AND_MAIL_MAY_NOT)? else {
        return Ok(());
    };
    let client = connect(&station, NEWS).await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    assert_eq!(dossier.dossier.state().await?, "draft");

    let Err(error) = connect(&station, MAIL).await else {
        anyhow::bail!("mail may not collect");
    };
    let error = error.downcast::<Error>()?;
    assert_refused(&error, "fr.recueil.station1.collect", "false");
    Ok(())
}

#[tokio::test]
async fn a_rule_may_look_at_what_is_done() -> anyhow::Result<()> {
    let Some(station) = station(ONLY_IDENTITY_CARDS)? else {
        return Ok(());
    };
    let client = connect(&station, NEWS).await?;
    client.open("deposit", "cni-adulte", None).await?;
    let Err(error) = client.open("hand-over", "remise-cni", Some("75ABC12345")).await else {
        anyhow::bail!("the rule allows identity cards only");
    };
    assert_refused(
        &error.downcast::<Error>()?,
        "fr.recueil.station1.hand-over",
        "false",
    );
    Ok(())
}

#[tokio::test]
async fn without_an_agent_to_ask_a_call_is_refused_at_once_and_says_so() -> anyhow::Result<()> {
    let Some(station) = station(A_PERSON_MUST_APPROVE)? else {
        return Ok(());
    };
    let mut program = program(&station, MAIL)?;
    for interactive in [false, true] {
        let open = json!(["agent.mail", {}]);
        ask(
            &mut program,
            recueil_bus::ROOT,
            "fr.recueil.Station1",
            "OpenAgentSession",
            ("(sa{sv})", open),
            interactive,
        )
        .await?;
        // Waiting for an agent that will not come takes two minutes, which is longer than we listen.
        let answer = program.hear().await?;
        assert_refused_as_told(&answer, "fr.recueil.station1.collect", Some("true"))?;
    }
    Ok(())
}

#[tokio::test]
async fn without_polkit_every_privileged_call_is_refused() -> anyhow::Result<()> {
    let Some(mut station) = station(NEWS_MAY_AND_MAIL_MAY_NOT)? else {
        return Ok(());
    };
    let mut client = connect(&station, NEWS).await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    station.show("fp4", &[json!({"wait_ms": 3_600_000})])?;
    let capture = client.start(&dossier, "empreintes", &reader, None, true).await?;
    client.until(&capture, |view| view.state == "capturing").await?;

    station.stop_polkit();
    for (call, outcome) in privileged(&client, &dossier, &reader, &capture).await? {
        let error = outcome.err().with_context(|| format!("{call} needs no polkit"))?;
        assert_eq!(error.code, Code::NoAuthority, "{call}: {error}");
    }
    assert!(
        !dossier.dossier.missing().await?.is_empty(),
        "what needs no right goes on"
    );
    let capture = CaptureProxy::new(client.connection(), capture).await?;
    capture.cancel().await?;
    Ok(())
}

#[tokio::test]
async fn who_may_collect_may_not_end_a_quarantine_for_that() -> anyhow::Result<()> {
    let Some(station) = station(ONLY_AGENTS)? else {
        return Ok(());
    };
    let client = connect(&station, NEWS).await?;
    let reader = client.device("fingerprint").await?;
    let device = DeviceProxy::new(client.connection(), device_path(&reader)).await?;
    let error = device.lift_quarantine().await.unwrap_err();
    assert_refused(&error, "fr.recueil.station1.lift-quarantine", "false");
    Ok(())
}

#[tokio::test]
async fn an_answer_withheld_for_ten_seconds_disturbs_nobody_else() -> anyhow::Result<()> {
    let Some(station) = station(ONLY_TAKE_OVERS_NEED_A_PERSON)? else {
        return Ok(());
    };
    let mut client = connect(&station, NEWS).await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;

    let mut other = program(&station, MAIL)?;
    let own_pid = other.pid();
    register(&mut other, own_pid).await?;
    take_over(&mut other, &reader).await?;
    assert_eq!(
        other.hear().await?,
        json!({"asked": "fr.recueil.station1.steal"}),
        "polkit asks the agent, which keeps silent"
    );

    // On the very device that the other asks for: its object must not be waiting for polkit.
    station.show("fp4", &[json!({"wait_ms": 10_000}), json!({})])?;
    let hands = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(hands.view.state, "completed", "{hands:?}");

    other.say(&json!({"do": "decline"})).await?;
    assert_eq!(
        other.hear().await?,
        json!({"declined": true}),
        "there was no answer until now"
    );
    assert_refused_as_told(&other.hear().await?, "fr.recueil.station1.steal", None)
}

#[tokio::test]
async fn a_question_ends_with_the_caller_it_was_asked_for() -> anyhow::Result<()> {
    let Some(station) = station(ONLY_TAKE_OVERS_NEED_A_PERSON)? else {
        return Ok(());
    };
    let client = connect(&station, NEWS).await?;
    let reader = client.device("fingerprint").await?;
    let mut caller = program(&station, MAIL)?;
    let mut agent = program(&station, User(0))?;
    register(&mut agent, caller.pid()).await?;
    take_over(&mut caller, &reader).await?;
    assert_eq!(agent.hear().await?, json!({"asked": "fr.recueil.station1.steal"}));
    caller.kill().await?;
    assert_eq!(agent.hear().await?, json!({"withdrawn": true}));
    Ok(())
}

#[test]
fn a_list_of_allowed_users_is_for_private_buses() -> anyhow::Result<()> {
    let output = Command::new(binary("recueild")?)
        .args(["--allow-uid", "9"])
        .output()?;
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr)?;
    assert!(told.contains("--private-bus"), "{told}");
    Ok(())
}

/// A station that asks a real polkit with these rules; none, said aloud, where we may not start one.
fn station(rules: &str) -> anyhow::Result<Option<Station>> {
    if !rustix::process::geteuid().is_root() {
        // Not through the test's capture: nobody should think that this was tested.
        let said = "SKIPPED: polkitd can only be started by root; run the tests as root to try it\n";
        std::io::stderr().write_all(said.as_bytes())?;
        return Ok(None);
    }
    let mut station = Station::start(Options {
        polkit: true,
        cert: false,
        ..Options::default()
    })?;
    station.start_polkit(rules)?;
    Ok(Some(station))
}

async fn connect(station: &Station, user: User) -> anyhow::Result<Client> {
    acting_as(user, Client::connect(&station.address(), "agent.dupont")).await
}

fn program(station: &Station, user: User) -> anyhow::Result<Program> {
    Program::start(
        station.users(),
        user,
        "client_with_agent.py",
        station.bus_address(),
    )
}

async fn register(agent: &mut Program, pid: u32) -> anyhow::Result<()> {
    agent.say(&json!({"do": "register", "pid": pid})).await?;
    assert_eq!(agent.hear().await?, json!({"registered": true}));
    Ok(())
}

async fn take_over(program: &mut Program, device: &str) -> anyhow::Result<()> {
    let path = device_path(device);
    let options = json!([{"steal": true}]);
    ask(
        program,
        &path,
        "fr.recueil.Device1",
        "Lease",
        ("(a{sv})", options),
        true,
    )
    .await
}

async fn ask(
    program: &mut Program,
    path: &str,
    interface: &str,
    method: &str,
    (signature, arguments): (&str, Value),
    interactive: bool,
) -> anyhow::Result<()> {
    let call = json!({"do": "call", "path": path, "interface": interface, "method": method,
        "signature": signature, "args": arguments, "interactive": interactive});
    program.say(&call).await
}

/// Every call that asks for a right, with its outcome.
async fn privileged(
    client: &Client,
    dossier: &Followed,
    reader: &str,
    capture: &str,
) -> anyhow::Result<Vec<(&'static str, Result<(), Error>)>> {
    let station = &client.station;
    let device = DeviceProxy::new(client.connection(), device_path(reader)).await?;
    let capture = CaptureProxy::new(client.connection(), capture.to_owned()).await?;
    let steal = HashMap::from([("steal".to_owned(), OwnedVariant::from(true))]);
    let demande = HashMap::from([("demande".to_owned(), recueil_tests::text("75ABC12345")?)]);
    let dossier_object = &dossier.dossier;
    Ok(vec![
        (
            "OpenAgentSession",
            station.open_agent_session("agent.durand", HashMap::new()).await,
        ),
        (
            "OpenDossier deposit",
            station
                .open_dossier("deposit", "cni-adulte", HashMap::new())
                .await
                .map(drop),
        ),
        (
            "OpenDossier hand-over",
            station
                .open_dossier("hand-over", "remise-cni", demande)
                .await
                .map(drop),
        ),
        ("Adopt", station.adopt(&dossier.id).await.map(drop)),
        ("ListDrafts", station.list_drafts().await.map(drop)),
        (
            "ListDossiers",
            station.list_dossiers(HashMap::new(), "", 10).await.map(drop),
        ),
        ("Lease", device.lease(HashMap::new()).await),
        ("Lease with steal", device.lease(steal).await),
        ("LiftQuarantine", device.lift_quarantine().await),
        (
            "StartCapture",
            dossier_object
                .start_capture("photo", reader, HashMap::new())
                .await
                .map(drop),
        ),
        (
            "ReplaceItem",
            dossier_object
                .replace_item("photo", reader, HashMap::new())
                .await
                .map(drop),
        ),
        ("OpenItem", dossier_object.open_item("photo").await.map(drop)),
        ("Seal", dossier_object.seal().await),
        ("Preview", capture.preview().await.map(drop)),
    ])
}

fn assert_refused(error: &Error, action: &str, interactive_possible: &str) {
    assert_eq!(error.code, Code::NotAuthorized, "{error}");
    let detail = |key: &str| error.details.get(key).map(String::as_str);
    assert_eq!(detail("action"), Some(action));
    assert_eq!(detail("interactive-possible"), Some(interactive_possible));
}

/// The same, of an error that a client of another make read off the bus.
fn assert_refused_as_told(
    answer: &Value,
    action: &str,
    interactive_possible: Option<&str>,
) -> anyhow::Result<()> {
    let answer = answer
        .get("answer")
        .with_context(|| format!("{answer} is no answer"))?;
    assert_eq!(
        answer["error"], "fr.recueil.Station1.Error.NotAuthorized",
        "{answer}"
    );
    let body = answer["body"].as_array().context("a body of three")?;
    assert_eq!(body[1], "not-authorized");
    assert_eq!(body[2]["action"], action, "{answer}");
    if let Some(possible) = interactive_possible {
        assert_eq!(body[2]["interactive-possible"], possible, "{answer}");
    }
    Ok(())
}
