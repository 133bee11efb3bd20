//! One citizen at a counter: a dossier from its opening to its fate, whatever happens meanwhile. What is refused or
//! cut by a named failure is done again; anything else is a fault of the station.

use std::collections::HashMap;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_bus::{CaptureProxy, Code};
use recueil_tests::{Client, Followed, text};
use serde_json::json;

use crate::chance::Chance;
use crate::town::Town;

/// A citizen is through in this time, on a machine under load, whatever strikes.
const VISIT_MAX: Duration = Duration::from_mins(8);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Why a citizen comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// An application, and where it ends the hand-over of the title.
    Apply { and_fetch: bool },
    /// A title that CERT knows nothing of.
    FetchInVain,
    /// An application that is given up.
    GiveUp,
}

impl Errand {
    fn choose(chance: &mut Chance) -> Self {
        match chance.between(0, 100) {
            0..40 => Self::Apply {
                and_fetch: chance.percent(50),
            },
            40..75 => Self::FetchInVain,
            _ => Self::GiveUp,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Apply { .. } => "citizen applied",
            Self::FetchInVain => "citizen came for a title in vain",
            Self::GiveUp => "citizen gave up",
        }
    }
}

/// Serves the citizen of this pré-demande number.
pub(crate) async fn serve(town: Arc<Town>, name: String, mut chance: Chance) -> anyhow::Result<()> {
    let errand = if name == "A" {
        Errand::Apply { and_fetch: true }
    } else {
        Errand::choose(&mut chance)
    };
    let number = format!("{name:A<10}");
    let mut visit = Visit {
        town: &town,
        agent: format!("agent.{}", name.to_lowercase()),
        until: Instant::now() + VISIT_MAX,
        chance,
        client: None,
    };
    let served = visit.serve(errand, &number).await;
    served.with_context(|| format!("{number}, {errand:?}"))?;
    town.count(errand.as_str());
    Ok(())
}

struct Visit<'t> {
    town: &'t Town,
    agent: String,
    until: Instant,
    chance: Chance,
    client: Option<Client>,
}

/// A dossier to be brought to its fate.
struct Case<'c> {
    kind: &'c str,
    procedure: &'c str,
    demande: Option<String>,
    pre_demande: &'c str,
    token: String,
    /// Once it is known.
    id: Option<String>,
    give_up: bool,
}

impl Visit<'_> {
    async fn serve(&mut self, errand: Errand, number: &str) -> anyhow::Result<()> {
        let apply = Case {
            kind: "deposit",
            procedure: "cni-adulte",
            demande: None,
            pre_demande: number,
            token: format!("{number}/apply"),
            id: None,
            give_up: errand == Errand::GiveUp,
        };
        let fetch = |demande: String| Case {
            kind: "hand-over",
            procedure: "remise-cni",
            demande: Some(demande),
            pre_demande: number,
            token: format!("{number}/fetch"),
            id: None,
            give_up: false,
        };
        match errand {
            Errand::FetchInVain => self.bring(fetch(format!("{number:.10}"))).await.map(drop),
            Errand::GiveUp => {
                pre_demande(self.town, number)?;
                self.bring(apply).await.map(drop)
            }
            Errand::Apply { and_fetch } => {
                pre_demande(self.town, number)?;
                let demande = self.bring(apply).await?.context("a demande of CERT")?;
                if and_fetch {
                    let order = json!({"do": "advance", "demande": demande, "to": "available"});
                    self.patiently(|town| town.tell_cert(&order).map(drop)).await?;
                    self.bring(fetch(demande)).await?;
                }
                Ok(())
            }
        }?;
        if let Some(client) = self.client.take() {
            client.leave().await?;
        }
        Ok(())
    }

    /// CERT may be away.
    async fn patiently(&self, act: impl Fn(&Town) -> anyhow::Result<()>) -> anyhow::Result<()> {
        loop {
            match act(self.town) {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > self.until => return Err(error),
                Err(_away) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Brings a dossier to its fate; gives the number of the demande, if CERT took it.
    async fn bring(&mut self, mut case: Case<'_>) -> anyhow::Result<Option<String>> {
        loop {
            let error = match self.go_on(&mut case).await {
                Ok(Some(demande)) => return Ok(demande),
                Ok(None) => continue,
                Err(error) => error,
            };
            let why = named(&error).with_context(|| format!("not to be expected: {error:#}"))?;
            self.town.count(&format!("citizen was told: {why}"));
            if Instant::now() > self.until {
                return Err(error.context("the citizen gets nowhere"));
            }
            // Another connection: the service may be another one, too.
            if let Some(client) = self.client.take() {
                drop(client.leave().await);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One step towards the fate; that, where it is reached.
    async fn go_on(&mut self, case: &mut Case<'_>) -> anyhow::Result<Option<Option<String>>> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.town.client(&self.agent).await?,
        };
        let stepped = self.step(&mut client, case).await;
        self.client = Some(client);
        stepped
    }

    async fn step(
        &mut self,
        client: &mut Client,
        case: &mut Case<'_>,
    ) -> anyhow::Result<Option<Option<String>>> {
        let id = if let Some(id) = &case.id {
            id.clone()
        } else {
            let mut options = HashMap::from([("token".to_owned(), text(&case.token)?)]);
            if let Some(demande) = &case.demande {
                options.insert("demande".to_owned(), text(demande)?);
            }
            let open = client.station.open_dossier(case.kind, case.procedure, options);
            let (_path, id) = open.await?;
            case.id.insert(id).clone()
        };
        match self.town.state_of(client, &id).await?.as_str() {
            "draft" => {
                let dossier = client.adopt(&id).await?;
                self.collect(client, &dossier, case).await?;
                Ok(None)
            }
            "sealed" | "sending" | "stored" => {
                anyhow::ensure!(
                    Instant::now() < self.until,
                    "CERT does not say what becomes of {id}"
                );
                tokio::time::sleep(PAUSE).await;
                Ok(None)
            }
            "ingested" | "in-instruction" | "handed-over" => {
                self.town.sealed(&id, "ingested")?;
                let dossier = client.adopt(&id).await?;
                Ok(Some(dossier.dossier.view().await?.demande))
            }
            "refused" => {
                self.town.sealed(&id, "refused")?;
                anyhow::ensure!(case.kind == "hand-over", "CERT refuses {id}");
                client.adopt(&id).await?.dossier.acknowledge_refusal().await?;
                Ok(Some(None))
            }
            "cancelled" => Ok(Some(None)),
            other => bail!("{id} is {other}"),
        }
    }

    /// Everything that is missing, then the seal; or nothing more.
    async fn collect(
        &mut self,
        client: &mut Client,
        dossier: &Followed,
        case: &Case<'_>,
    ) -> anyhow::Result<()> {
        for (step, _code, name) in dossier.dossier.missing().await? {
            match step.as_str() {
                "pre-demande" => {
                    dossier.dossier.fetch_pre_demande(case.pre_demande).await?;
                    // It fills in what is missing after it.
                    return Ok(());
                }
                "nouveau-titre" => dossier.dossier.set_field(&name, "X4RTBPFW4").await?,
                "ancien-titre" => dossier.dossier.record_decision(&step, "perdu", "").await?,
                "comparaison" => dossier.dossier.record_decision(&step, "conforme", "").await?,
                "pieces" if name == "acte-naissance" => {
                    dossier
                        .dossier
                        .record_decision(&name, "absent", "comedec")
                        .await?;
                }
                "pieces" => {
                    self.capture(client, dossier, &step, Some(&name), "page").await?;
                }
                "photo" | "signature" => self.capture(client, dossier, &step, None, &step).await?,
                "empreintes" => self.capture(client, dossier, &step, None, "hand").await?,
                _ => bail!("the procedure asks for {step}"),
            }
            if case.give_up && self.chance.percent(30) {
                dossier.dossier.cancel().await?;
                return Ok(());
            }
        }
        if case.give_up {
            dossier.dossier.cancel().await?;
        } else {
            dossier.dossier.seal().await?;
        }
        Ok(())
    }

    async fn capture(
        &mut self,
        client: &mut Client,
        dossier: &Followed,
        step: &str,
        document: Option<&str>,
        shown: &str,
    ) -> anyhow::Result<()> {
        let town = self.town;
        let _place = if shown == "hand" {
            let place = town.reader.lock().await;
            town.show("fp4", &json!({}))?;
            place
        } else {
            let place = town.scanner.lock().await;
            town.show("flatbed", &json!({"glass": {"kind": shown}}))?;
            place
        };
        let modality = if shown == "hand" { "fingerprint" } else { "scanner" };
        let device = client.device(modality).await?;
        let path = client.start(dossier, step, &device, document, true).await?;
        let capture = CaptureProxy::new(client.connection(), path.clone()).await?;
        // Read, or taken and not read, or not taken.
        let previews = match self.chance.between(0, 3) {
            0 => Some((capture.preview().await?, true)),
            1 => Some((capture.preview().await?, false)),
            _ => None,
        };
        let unread = previews.and_then(|(socket, read)| {
            let stream = UnixStream::from(OwnedFd::from(socket));
            if read {
                tokio::task::spawn_blocking(move || read_to_end(stream));
                None
            } else {
                Some(stream)
            }
        });
        let over = |state: &str| matches!(state, "completed" | "cancelled" | "failed");
        let (view, _) = client
            .until(&path, |view| view.allowed.is_empty() && over(&view.state))
            .await?;
        drop(unread);
        if view.state == "completed" {
            town.count(&format!("capture of {step}"));
            return Ok(());
        }
        bail!(CaptureFailed(view.error.unwrap_or(view.state)))
    }
}

/// A capture that ended without its items.
#[derive(Debug)]
struct CaptureFailed(String);

impl std::fmt::Display for CaptureFailed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the capture failed: {}", self.0)
    }
}

impl std::error::Error for CaptureFailed {}

/// What a citizen may be told when something strikes; none for what must not happen.
fn named(error: &anyhow::Error) -> Option<String> {
    if let Some(CaptureFailed(code)) = error.downcast_ref() {
        return EXPECTED.contains(&code.as_str()).then(|| code.clone());
    }
    if let Some(error) = error.downcast_ref::<recueil_bus::Error>() {
        let expected = EXPECTED.contains(&error.code.as_str()) || error.code == Code::Service;
        return expected.then(|| error.code.as_str().to_owned());
    }
    // The fixture's own words for a service that went away.
    let text = error.to_string();
    text.contains("the service ended").then_some(text)
}

/// Codes of the contract that a fault may bring about; not among them what says that something was lost, refused
/// for good, or that the service does not know what to do.
const EXPECTED: [&str; 15] = [
    "analyser-ended",
    "busy",
    "cancelled",
    "cert-unreachable",
    "device-gone",
    "devices-unavailable",
    "no-agent-session",
    "not-owner",
    "plugin-crashed",
    "plugin-hung",
    "timeout",
    "unknown-device",
    "unknown-dossier",
    "wrong-state",
    "faulted",
];

/// A citizen who filled in the form on line.
fn pre_demande(town: &Town, number: &str) -> anyhow::Result<()> {
    let fields = json!({
        "motif": "renouvellement", "nom-naissance": "SPECIMEN", "prenoms": "Camille", "sexe": "F",
        "date-naissance": "1990-01-01", "commune-naissance": "PARIS", "pays-naissance": "FRANCE",
        "taille": "170", "adresse": "1 rue de l'Exemple", "code-postal": "00000", "commune": "EXEMPLE",
    });
    let order = json!({"do": "pre-demande", "number": number, "procedure": "cni-adulte", "fields": fields});
    let path = town
        .station()
        .folders()
        .path("cert/pre-demandes")
        .join(format!("{number}.json"));
    // Not over the control socket: CERT may be away, and the form was filled in before.
    let mut stored = order;
    if let Some(stored) = stored.as_object_mut() {
        stored.remove("do");
        stored.insert("status".to_owned(), json!("validated"));
    }
    std::fs::write(&path, stored.to_string())?;
    let users = *town.station().users();
    town.station().folders().give(&path, users.cert, users.cert)
}

fn read_to_end(mut stream: UnixStream) {
    let mut pixels = vec![0; 1 << 16];
    while stream.read(&mut pixels).is_ok_and(|read| read > 0) {}
}
