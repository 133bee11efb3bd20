//! A capture from its start to its end, with guidance on the way; Ctrl-C cancels it.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use recueil_bus::{CaptureProxy, CaptureView, Code, Detail, News, OwnedVariant};
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::DeviceChoice;
use crate::choose;
use crate::failure::{Failure, Own};
use crate::progress::Progress;
use crate::session::{Held, Session, call, text};
use crate::shapes;
use crate::texts;

/// What is captured.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) step: String,
    pub(crate) modality: &'static str,
    pub(crate) document: Option<&'a str>,
    pub(crate) device: &'a DeviceChoice,
}

/// A capture that was completed.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) view: CaptureView,
    pub(crate) guidance: Vec<(String, Detail)>,
    pub(crate) results: Vec<BTreeMap<String, String>>,
}

impl Taken {
    pub(crate) fn json(&self) -> Value {
        let guidance = self.guidance.iter().map(|(code, details)| {
            json!({ "code": code, "details": details, "text": texts::guide(code, details) })
        });
        let mut json = shapes::capture(&self.view);
        if let Value::Object(entries) = &mut json {
            entries.insert("guidance".to_owned(), guidance.collect());
            entries.insert("results".to_owned(), json!(self.results));
        }
        json
    }
}

/// Ctrl-C, or the end that a service manager asks for.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::own(Own::Interrupted, format!("signals cannot be heard: {error}")))
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The capture is looked at this often besides its news, which may be lost with its object.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A cancelled capture ends within this time, or is left to end with our connection.
const CANCEL_MAX: Duration = Duration::from_secs(20);

/// Runs a capture to its end.
pub(crate) async fn run(
    session: &mut Session,
    dossier: &Held,
    wanted: Wanted<'_>,
    progress: &mut Progress,
) -> Result<Taken, Failure> {
    let device = choose::device(
        session,
        wanted.device.device.as_deref(),
        wanted.modality,
        progress,
    )
    .await?;
    let mut options = HashMap::from([("auto-retry".to_owned(), OwnedVariant::from(true))]);
    if let Some(document) = wanted.document {
        options.insert("document".to_owned(), text(document)?);
    }
    let interrupts = Interrupts::new()?;
    progress.say(&format!("{}: starting {device}", wanted.step));
    let path = call(dossier.proxy.start_capture(&wanted.step, &device, options))
        .await?
        .to_string();
    let capture = call(CaptureProxy::new(&session.connection, path.clone())).await?;
    let mut course = Course {
        capture: &capture,
        path,
        interrupts,
        guidance: Vec::new(),
        interrupted: false,
    };
    let view = course.end(session, progress).await?;
    if view.state == "completed" {
        let results = call(capture.results()).await?;
        return Ok(Taken {
            view,
            guidance: course.guidance,
            results,
        });
    }
    Err(course.failure(&view))
}

/// A capture on its way.
struct Course<'a> {
    capture: &'a CaptureProxy<'static>,
    path: String,
    interrupts: Interrupts,
    guidance: Vec<(String, Detail)>,
    interrupted: bool,
}

impl Course<'_> {
    async fn end(&mut self, session: &mut Session, progress: &mut Progress) -> Result<CaptureView, Failure> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let far = Duration::from_hours(24);
        let give_up = tokio::time::sleep(far);
        tokio::pin!(give_up);
        loop {
            let seen = tokio::select! {
                news = session.watch.next() => match news {
                    Some(News::Guidance { path, code, details }) if path == self.path => {
                        progress.say(&texts::guide(&code, &details));
                        self.guidance.push((code, details));
                        None
                    }
                    Some(News::Capture { path, view }) if path == self.path => Some(view),
                    Some(News::Station { running: false }) | None => return Err(Failure::station_left()),
                    Some(_) => None,
                },
                () = self.interrupts.next(), if !self.interrupted => {
                    self.interrupted = true;
                    progress.say("cancelling");
                    give_up.as_mut().reset(tokio::time::Instant::now() + CANCEL_MAX);
                    // Refused when it is over anyway; its state says how it ended.
                    drop(call(self.capture.cancel()).await);
                    None
                }
                _ = look.tick() => Some(call(self.capture.view()).await?),
                () = &mut give_up => return Err(stopped()),
            };
            if let Some(view) = seen {
                if matches!(view.state.as_str(), "completed" | "cancelled" | "failed") {
                    return Ok(view);
                }
                if view.state == "storing" {
                    progress.say(&format!("{}: storing", view.step));
                }
            }
        }
    }

    /// Why it did not complete.
    fn failure(&self, view: &CaptureView) -> Failure {
        if self.interrupted && view.state == "cancelled" {
            return stopped().with("step", view.step.as_str());
        }
        let code = view
            .error
            .as_deref()
            .and_then(|name| Code::ALL.iter().find(|code| code.as_str() == name));
        let code = code.copied().unwrap_or(Code::Cancelled);
        let text = view
            .error_text
            .clone()
            .unwrap_or_else(|| "the capture was cancelled".to_owned());
        let guidance: Vec<_> = self.guidance.iter().map(|(code, _)| code.as_str()).collect();
        Failure::new(code, text)
            .with("step", view.step.as_str())
            .with("device", view.device.as_str())
            .with("guidance", guidance.join(" "))
    }
}

fn stopped() -> Failure {
    Failure::own(
        Own::Interrupted,
        "interrupted; the capture was cancelled and what was taken is destroyed",
    )
}
