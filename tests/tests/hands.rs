//! Hands that come otherwise than asked, and readers that misbehave: what the client is told, and that
//! everything is free again afterwards.

use anyhow::Context;
use recueil_tests::{Captured, Client, Followed, Options, Station};
use serde_json::{Value, json};

struct Counter {
    station: Station,
    client: Client,
    dossier: Followed,
    reader: String,
}

impl Counter {
    async fn open() -> anyhow::Result<Self> {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> anyhow::Result<Self> {
        let station = Station::start(Options {
            cert: false,
            ..options
        })?;
        let client = Client::connect(&station.address(), "agent.dupont").await?;
        let reader = client.device("fingerprint").await?;
        let dossier = client.open("deposit", "cni-adulte", None).await?;
        Ok(Self {
            station,
            client,
            dossier,
            reader,
        })
    }

    async fn capture(&mut self, presentations: &[Value]) -> anyhow::Result<Captured> {
        self.station.show("fp4", presentations)?;
        let captured = self
            .client
            .capture(&self.dossier, "empreintes", &self.reader, None)
            .await;
        captured.with_context(|| self.station.logs())
    }

    /// Whether a new capture with good hands succeeds: device, lease and analyser are free.
    async fn works(&mut self) -> anyhow::Result<()> {
        self.client.device("fingerprint").await?;
        let captured = self.capture(&[]).await?;
        anyhow::ensure!(captured.view.state == "completed", "{captured:?}");
        Ok(())
    }
}

fn positions(captured: &Captured, kind: &str) -> Vec<String> {
    let wanted = captured
        .results
        .iter()
        .filter(|result| result.get("type").is_some_and(|found| found == kind));
    wanted
        .filter_map(|result| result.get("position").cloned())
        .collect()
}

#[tokio::test]
async fn three_of_four_fingers_are_refused_and_a_whole_hand_then_accepted() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    let captured = counter
        .capture(&[json!({"without": ["little"]}), json!({}), json!({})])
        .await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    assert!(
        captured.guidance.contains(&"fingers-missing".to_owned()),
        "{:?}",
        captured.guidance
    );
    assert_eq!(positions(&captured, "selected"), ["2", "7"]);
    Ok(())
}

#[tokio::test]
async fn the_wrong_hand_and_the_same_hand_twice_are_told() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    let presentations = [
        json!({"hand": "other"}),
        json!({}),
        json!({"hand": "same"}),
        json!({}),
    ];
    let captured = counter.capture(&presentations).await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    let told = |code: &str| {
        captured
            .guidance
            .iter()
            .filter(|guidance| *guidance == code)
            .count()
    };
    assert_eq!(told("wrong-hand"), 2, "{:?}", captured.guidance);
    assert_eq!(
        told("same-hand-twice"),
        1,
        "only the hand that was accepted before"
    );
    Ok(())
}

#[tokio::test]
async fn after_three_poor_tries_the_best_is_taken_and_its_poor_fingers_are_passed_over() -> anyhow::Result<()>
{
    let mut counter = Counter::open().await?;
    let poor = json!({"quality": "poor"});
    let captured = counter
        .capture(&[poor.clone(), poor.clone(), poor.clone(), json!({})])
        .await?;
    let told = captured
        .guidance
        .iter()
        .filter(|guidance| *guidance == "quality-low")
        .count();
    assert_eq!(told, 3, "{:?}", captured.guidance);
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    let taken = positions(&captured, "selected");
    assert!(
        taken.contains(&"7".to_owned()),
        "the left index was good: {taken:?}"
    );
    assert!(
        !taken.contains(&"2".to_owned()),
        "the right index is below the threshold: {taken:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_hand_lifted_too_early_is_told_and_tried_again() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    let captured = counter
        .capture(&[json!({"lift": "early"}), json!({}), json!({})])
        .await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    assert!(
        captured
            .guidance
            .iter()
            .any(|guidance| guidance == "lifted-too-early"),
        "{:?}",
        captured.guidance
    );
    Ok(())
}

#[tokio::test]
async fn a_declared_finger_is_not_waited_for_and_its_stand_in_says_why() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    counter
        .dossier
        .dossier
        .declare_missing_finger(2, "amputated")
        .await?;
    let captured = counter
        .capture(&[json!({"without": ["index"]}), json!({})])
        .await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    assert_eq!(
        positions(&captured, "selected"),
        ["3", "7"],
        "the middle finger of the same hand"
    );
    let items = counter.dossier.dossier.items().await?;
    let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(
        names,
        ["fingerprint-03", "fingerprint-07"],
        "two records and no more"
    );
    Ok(())
}

#[tokio::test]
async fn a_try_can_be_repeated_or_the_best_taken_by_command() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    counter.station.show(
        "fp4",
        &[
            json!({"quality": "poor"}),
            json!({"without": ["ring"]}),
            json!({}),
        ],
    )?;
    let path = counter
        .client
        .start(&counter.dossier, "empreintes", &counter.reader, None, false)
        .await?;
    let capture = recueil_bus::CaptureProxy::new(counter.client.connection(), path.clone()).await?;
    let (view, _) = counter
        .client
        .until(&path, |view| view.state == "waiting")
        .await?;
    assert_eq!(view.allowed, ["retry", "use-best", "cancel"]);
    capture.command("retry").await?;
    let (view, guidance) = counter
        .client
        .until(&path, |view| view.state == "waiting")
        .await?;
    assert_eq!((view.attempt, view.attempts_max), (2, 3));
    assert!(guidance.contains(&"fingers-missing".to_owned()), "{guidance:?}");
    capture.command("use-best").await?;
    let (view, _) = counter
        .client
        .until(&path, |view| view.state == "completed" || view.state == "failed")
        .await?;
    assert_eq!(view.state, "completed", "{view:?}");
    let refused = capture.command("retry").await.unwrap_err();
    assert_eq!(refused.code, recueil_bus::Code::WrongState);
    Ok(())
}

#[tokio::test]
async fn a_reader_that_goes_away_is_told_and_comes_back_as_the_same() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    counter.station.show("fp4", &[json!({"lift": "for-good"})])?;
    let path = counter
        .client
        .start(&counter.dossier, "empreintes", &counter.reader, None, true)
        .await?;
    let wait = json!({"command": "await", "device": "fp4", "until": "capturing", "timeout_ms": 30000});
    anyhow::ensure!(counter.station.hardware(&wait)?["ok"] == json!(true));
    counter
        .station
        .hardware(&json!({"command": "away", "device": "fp4"}))?;
    let (view, _) = counter.client.until(&path, |view| view.state == "failed").await?;
    assert_eq!(view.error.as_deref(), Some("device-gone"), "{view:?}");
    counter
        .station
        .hardware(&json!({"command": "clear", "device": "fp4"}))?;
    counter
        .station
        .hardware(&json!({"command": "back", "device": "fp4"}))?;
    assert_eq!(
        counter.client.device("fingerprint").await?,
        counter.reader,
        "the same serial, the same object"
    );
    counter.works().await
}

#[tokio::test]
async fn a_driver_that_crashes_is_named_and_replaced() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    let captured = counter.capture(&[json!({"fault": "crash"})]).await?;
    assert_eq!(captured.view.state, "failed");
    assert_eq!(
        captured.view.error.as_deref(),
        Some("plugin-crashed"),
        "{captured:?}"
    );
    counter.works().await
}

#[tokio::test]
async fn a_driver_that_hangs_is_ended_at_its_deadline_and_replaced() -> anyhow::Result<()> {
    // The driver never comes back: two seconds for the hand and one of grace, then it is killed.
    let mut counter = Counter::with(Options {
        hand_s: 2,
        ..Options::default()
    })
    .await?;
    let captured = counter.capture(&[json!({"fault": "hang"})]).await?;
    assert_eq!(captured.view.state, "failed");
    assert_eq!(
        captured.view.error.as_deref(),
        Some("plugin-hung"),
        "{captured:?}"
    );
    counter.works().await
}

#[tokio::test]
async fn a_driver_that_ignores_its_cancel_is_ended_and_the_client_is_free() -> anyhow::Result<()> {
    let mut counter = Counter::open().await?;
    counter
        .station
        .show("fp4", &[json!({"fault": "ignore-cancel", "lift": "for-good"})])?;
    let path = counter
        .client
        .start(&counter.dossier, "empreintes", &counter.reader, None, true)
        .await?;
    let capture = recueil_bus::CaptureProxy::new(counter.client.connection(), path.clone()).await?;
    let wait = json!({"command": "await", "device": "fp4", "until": "capturing", "timeout_ms": 30000});
    anyhow::ensure!(counter.station.hardware(&wait)?["ok"] == json!(true));
    capture.cancel().await?;
    let (view, _) = counter
        .client
        .until(&path, |view| view.state != "capturing")
        .await?;
    assert_eq!(view.state, "cancelled", "{view:?}");
    counter
        .station
        .hardware(&json!({"command": "clear", "device": "fp4"}))?;
    counter.works().await
}

#[tokio::test]
async fn the_six_other_prints_are_destroyed_and_that_is_recorded() -> anyhow::Result<()> {
    let station = Station::start(Options::default())?;
    let mut client = Client::connect(&station.address(), "agent.dupont").await?;
    let reader = client.device("fingerprint").await?;
    let dossier = client.open("deposit", "cni-adulte", None).await?;
    let captured = client.capture(&dossier, "empreintes", &reader, None).await?;
    assert_eq!(captured.view.state, "completed", "{captured:?}");
    let names: Vec<_> = dossier
        .dossier
        .items()
        .await?
        .into_iter()
        .map(|item| item.name)
        .collect();
    assert_eq!(names, ["fingerprint-02", "fingerprint-07"]);
    let destroyed = dossier.dossier.destructions().await?;
    assert_eq!(destroyed.len(), 1);
    assert_eq!(destroyed[0].positions, [3, 4, 5, 8, 9, 10]);
    assert_eq!(destroyed[0].method, "processes-ended");
    Ok(())
}
