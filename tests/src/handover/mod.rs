//! The story that the tests of a failing disk disturb, small and whole: a title is handed over. One signature is scanned,
//! the dossier sealed, sent, ingested, its parcel erased. Whatever happens on the way, it is finished by `Adopt`.

mod dossier;
mod ride;
mod story;

use std::time::Duration;

use anyhow::{Context, ensure};
use recueil_faultfs::{Action, Call, Log, Plan};
use serde_json::{Value, json};

use crate::steps::Step;
use crate::{ON_DISK, Options, OwnDisk, SERVICES, Station};
use dossier::Contents;

/// A number of no real demande.
const DEMANDE: &str = "2026CRASH1";
const COURIER: &str = "recueil-courier";
/// A station comes to rest within this time.
const REST_MAX: Duration = Duration::from_mins(1);

/// A station on a disk that fails, on which titles are handed over one after the other.
#[derive(Debug)]
pub struct HandOver {
    /// The station.
    pub station: Station,
    undisturbed: Option<Contents>,
    done: usize,
    /// The seed of the last power cut; each has its own.
    pub cuts: u64,
}

/// One disturbance.
#[derive(Debug, Clone, Copy)]
pub struct Trouble {
    /// Which call.
    pub at: At,
    /// What happens there.
    pub action: Action,
    /// Who is killed while the call is held; none where it is the caller.
    pub victim: Option<&'static str>,
}

/// A call of a story.
#[derive(Debug, Clone, Copy)]
pub enum At {
    /// The n-th time (from 1) that a step is taken.
    Step(&'static Step, usize),
    /// The n-th call (from 1) of a service, or of all.
    Call(Option<&'static str>, usize),
}

/// How a disturbed story went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The call that was disturbed; none where it never came.
    pub met: Option<Call>,
    /// What the client was told on the way.
    pub errors: Vec<String>,
    /// Services that ended.
    pub ended: Vec<&'static str>,
    /// Whether the victim ran.
    pub was_there: bool,
}

impl HandOver {
    /// Starts a station whose CERT has a title to hand over.
    pub async fn start(seed: u64) -> anyhow::Result<Self> {
        let mut station = Station::start(Options {
            own_disk: Some(OwnDisk::Faulty),
            courier: json!({"retry_base_s": 1, "retry_max_s": 2}),
            ..Options::default()
        })?;
        station.stop_cert();
        let path = station
            .folders()
            .path(&format!("cert/store/demandes/{DEMANDE}.json"));
        let demande = json!({
            "dossier": "00000000-0000-7000-8000-000000000000",
            "station": crate::STATION,
            "status": "available",
        });
        std::fs::write(&path, demande.to_string())?;
        let cert = station.users().cert;
        station.folders().give(&path, cert, cert)?;
        station.start_cert()?;
        let mut story = Self {
            station,
            undisturbed: None,
            done: 0,
            cuts: seed,
        };
        // The first one makes what later ones find.
        story.undisturbed().await?;
        Ok(story)
    }

    /// Services that make something durable, with their users.
    pub fn users(&self) -> Vec<(&'static str, u32)> {
        ON_DISK
            .map(|service| (service, self.station.user_of(service).0))
            .into()
    }

    /// One story that nothing disturbs; what comes later must be equal to it. Gives what the disk saw.
    pub async fn undisturbed(&mut self) -> anyhow::Result<Log> {
        self.prepare()?;
        let told = &mut story::Told::default();
        let id = story::carry_on(&self.station, told).await;
        let id = id.with_context(|| self.station.logs())?;
        self.finished(&id).with_context(|| self.station.logs())?;
        Ok(self.station.faulty_disk()?.log())
    }

    /// One story with a call disturbed.
    pub async fn disturbed(&mut self, trouble: Trouble) -> anyhow::Result<Outcome> {
        self.prepare()?;
        let plan = self.plan(&trouble);
        self.station.faulty_disk()?.arm(plan);
        let ridden = self.ride_out(&trouble).await;
        let (id, outcome) = ridden.with_context(|| format!("{trouble:?}\n{}", self.station.logs()))?;
        let refused = matches!(trouble.action, Action::Fail(_) | Action::FailOn(_));
        if refused && matches!(trouble.at, At::Call(Some(COURIER), _)) {
            // What it could not remove it removes in its next round, a minute later, or at its next start.
            self.station.start_again(COURIER)?;
        }
        let finished = self.finished(&id);
        finished.with_context(|| format!("{trouble:?}: {outcome:?}\n{}", self.station.logs()))?;
        Ok(outcome)
    }

    fn plan(&self, trouble: &Trouble) -> Plan {
        match trouble.at {
            At::Step(step, occurrence) => {
                step.plan(self.station.user_of(step.service).0, occurrence, trouble.action)
            }
            At::Call(service, nth) => {
                let uid = service.map(|service| self.station.user_of(service).0);
                Plan::new(nth, trouble.action, move |call| {
                    uid.is_none_or(|uid| call.uid == uid)
                })
            }
        }
    }

    /// The title waits at CERT to be handed over once more.
    fn prepare(&mut self) -> anyhow::Result<()> {
        let again = json!({"do": "advance", "demande": DEMANDE, "to": "available"});
        let answer = self.station.cert(&again)?;
        ensure!(answer.get("ok") == Some(&json!(true)), "{answer}");
        self.station.faulty_disk()?.settle();
        Ok(())
    }

    /// One dossier more at CERT, ingested, and equal to the undisturbed one; nothing left at the station.
    fn finished(&mut self, id: &str) -> anyhow::Result<()> {
        self.done += 1;
        let disk = self.station.faulty_disk()?;
        let at_rest = disk.until(REST_MAX, |tree| !tree.files().iter().any(|path| is_left(path)));
        ensure!(
            at_rest,
            "something is left: {:?}",
            disk.log().seen_before(usize::MAX).files()
        );
        let list = self.station.cert(&json!({"do": "list"}))?;
        let dossiers = list["dossiers"].as_array().context("dossiers")?;
        ensure!(
            dossiers.len() == self.done,
            "lost or doubled: not {}: {list}",
            self.done
        );
        let ingested = |dossier: &Value| dossier["state"] == "ingested";
        ensure!(dossiers.iter().all(ingested), "{list}");
        ensure!(list["alarms"].as_array().is_some_and(Vec::is_empty), "{list}");
        let numbers = dossiers.iter().filter_map(|dossier| dossier["sequence"].as_u64());
        let mut numbers: Vec<_> = numbers.collect();
        numbers.sort_unstable();
        ensure!(
            numbers.iter().copied().eq(1..=u64::try_from(self.done)?),
            "a hole: {numbers:?}"
        );
        not_early(&disk.log())?;
        let cert = self.station.folders().path("cert");
        let opened = Contents::open(&cert, &self.station.stored_parcel(id)?)?;
        if let Some(first) = &self.undisturbed {
            return first.must_equal(&opened);
        }
        self.undisturbed = Some(opened);
        Ok(())
    }
}

/// What a station at rest does not have: parcels, receipts, items, unfinished files.
fn is_left(path: &str) -> bool {
    let folders = [
        "ready/",
        "courier/receipts/",
        "courier/progress/",
        "state/drafts/",
    ];
    folders.iter().any(|folder| path.starts_with(folder)) || path.contains("/.tmp-")
}

/// No parcel was erased before CERT had signed that it is ingested.
fn not_early(log: &Log) -> anyhow::Result<()> {
    for (line, call) in log.calls() {
        let parcel = call
            .path
            .strip_prefix("ready/")
            .filter(|name| !name.starts_with(".tmp-"));
        let id = parcel.and_then(|name| name.strip_suffix(".p7m"));
        if let Some(id) = id
            && call.kind == recueil_faultfs::Kind::Unlink
            && call.error.is_none()
        {
            let seen = log.seen_before(line);
            let signed = seen
                .files()
                .iter()
                .any(|path| path.starts_with("cert/receipts/") && path.ends_with(&format!("{id}.r2.p7s")));
            ensure!(signed, "erased early: {id}");
        }
    }
    Ok(())
}

/// Whether this machine cannot run these tests, which is said aloud.
pub fn skipped() -> bool {
    if recueil_faultfs::skipped() {
        return true;
    }
    let root = rustix::process::geteuid().is_root();
    if !root {
        say("skipped: a disk for several users needs root");
    }
    !root
}

/// A line for whoever reads the tests' output.
pub fn say(line: &str) {
    use std::io::Write;
    // A closed terminal is no failure of the test.
    let _closed = writeln!(std::io::stderr(), "{line}");
}

/// Everybody who may be killed at a step.
pub fn everybody() -> impl Iterator<Item = &'static str> {
    SERVICES.into_iter().chain(crate::STARTED)
}
