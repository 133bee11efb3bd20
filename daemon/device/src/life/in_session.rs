//! An analyser has the frame socket. The session ends with `Close`, with the connection that opened it, or
//! with the host; in each case with this host's process.

use std::time::Duration;

use recueil_wire::devices::{CaptureParams, Failure, FailureCode, Notice};
use recueil_wire::host::{FromHost, ToHost};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::chatter::{Chatter, Storing};
use super::{Command, Context, State, Ticket, changed};
use crate::failure::{failure, from_capture, from_stage};
use crate::host::Host;
use crate::rate::Rate;
use crate::virtual_bus::Offer;

/// Longest capture that may be asked for.
const CAPTURE_MAX: Duration = Duration::from_mins(10);
/// More guidance than a person can follow is not passed on.
const EVENTS_PER_SECOND_MAX: u32 = 50;

#[derive(Debug)]
pub(super) struct InSession {
    host: Host,
    chatter: Chatter,
    offer: Offer,
    client: CancellationToken,
    capture: Option<Capture>,
    /// The highest number used in this session.
    last_req: Option<u64>,
    events: Rate,
}

#[derive(Debug, Clone, Copy)]
struct Capture {
    req: u64,
    kill_at: Instant,
    cancelled: bool,
}

/// How a session ends.
enum End {
    /// Asked for; answered if there is somebody to answer.
    Closed(Option<Ticket>),
    /// The device was unplugged, or is another one now.
    Unplugged,
    /// The host is at fault, and still runs.
    Broken(Failure),
    /// The conversation with the host broke, perhaps in a call that must be answered.
    Lost {
        error: recueil_wire::Error,
        asked: Option<Ticket>,
    },
    /// hostd ends.
    Over,
}

impl InSession {
    pub(super) fn new(host: Host, chatter: Chatter, offer: Offer, client: CancellationToken) -> Self {
        Self {
            host,
            chatter,
            offer,
            client,
            capture: None,
            last_req: None,
            events: Rate::new(EVENTS_PER_SECOND_MAX),
        }
    }

    pub(super) async fn run(mut self, context: &mut Context) -> State {
        let end = loop {
            if let Err(end) = self.step(context).await {
                break end;
            }
        };
        match end {
            End::Closed(ticket) => self.close(context, ticket).await,
            End::Unplugged => {
                let gone = context.gone();
                self.host.signal_and_wait().await;
                tell_end(context, self.capture, &gone).await;
                context.present()
            }
            End::Broken(failure) => {
                self.host.signal_and_wait().await;
                tell_end(context, self.capture, &failure).await;
                context.failed(failure).await
            }
            End::Lost { error, asked } => {
                let failure = self.host.lost(&error, context.settings.deadlines.close).await;
                if let Some(ticket) = asked {
                    context.reply(ticket, Err(failure.clone())).await;
                }
                tell_end(context, self.capture, &failure).await;
                context.failed(failure).await
            }
            End::Over => State::Over,
        }
    }

    /// Does the next thing that comes; an error ends the session.
    async fn step(&mut self, context: &mut Context) -> Result<(), End> {
        let kill_at = self.capture.map(|capture| capture.kill_at);
        tokio::select! {
            // A new connection's calls must not meet the session of the old one.
            biased;
            () = self.client.cancelled() => Err(End::Closed(None)),
            () = changed(&mut context.presence, &self.offer) => Err(End::Unplugged),
            () = until(kill_at) => Err(End::Broken(self.too_late())),
            command = context.commands.recv() => match command {
                Some(command) => self.obey(context, command).await,
                None => Err(End::Over),
            },
            heard = self.host.hear() => match heard {
                Ok(message) => self.heard(context, message).await,
                Err(error) => Err(End::Lost { error, asked: None }),
            },
        }
    }

    async fn obey(&mut self, context: &Context, command: Command) -> Result<(), End> {
        let ticket = command.ticket();
        let message = match command {
            Command::Open { .. } => Err(failure(
                FailureCode::Busy,
                format!("{} has an open session already", context.known.id),
            )),
            Command::Start { req, params, .. } => self.start(context, req, params),
            Command::Stop { req, .. } => self.stop(context, req),
            Command::Feedback { feedback, .. } => Ok(ToHost::Feedback(feedback)),
            Command::Close { ticket } => return Err(End::Closed(Some(ticket))),
            Command::Lift { ticket } => {
                context.not_quarantined(ticket).await;
                return Ok(());
            }
        };
        let message = match message {
            Ok(message) => message,
            Err(refused) => {
                context.reply(ticket, Err(refused)).await;
                return Ok(());
            }
        };
        match self.host.say(&message, &[], context.settings.deadlines.say).await {
            Ok(()) => {
                context.reply(ticket, Ok(())).await;
                Ok(())
            }
            Err(error) => {
                if matches!(message, ToHost::Capture { .. }) {
                    // It did not start, which is its answer; it has no end to be told.
                    self.capture = None;
                }
                Err(End::Lost {
                    error,
                    asked: Some(ticket),
                })
            }
        }
    }

    fn start(&mut self, context: &Context, req: u64, params: CaptureParams) -> Result<ToHost, Failure> {
        if let Some(capture) = self.capture {
            return Err(failure(
                FailureCode::Busy,
                format!("capture {} is running on {}", capture.req, context.known.id),
            ));
        }
        if self.last_req.is_some_and(|last| req <= last) {
            return Err(failure(
                FailureCode::NoSession,
                format!("capture {req} was used before in this session: numbers grow"),
            ));
        }
        let able = context
            .known
            .capabilities
            .as_ref()
            .is_some_and(|capabilities| capabilities.modalities.contains(&params.modality));
        if !able {
            return Err(failure(
                FailureCode::Unsupported,
                format!("{} is no {}", context.known.id, params.modality.as_str()),
            ));
        }
        let deadline = Duration::from_millis(params.deadline_ms.into());
        if deadline.is_zero() || deadline > CAPTURE_MAX {
            return Err(failure(
                FailureCode::Unsupported,
                format!("a capture takes 1 ms to {} s", CAPTURE_MAX.as_secs()),
            ));
        }
        self.last_req = Some(req);
        self.capture = Some(Capture {
            req,
            kill_at: Instant::now() + deadline + context.settings.deadlines.capture_slack,
            cancelled: false,
        });
        self.chatter.capture_begins();
        Ok(ToHost::Capture { req, params })
    }

    fn stop(&mut self, context: &Context, req: u64) -> Result<ToHost, Failure> {
        match &mut self.capture {
            Some(capture) if capture.req == req => {
                if !capture.cancelled {
                    capture.cancelled = true;
                    let by_force = Instant::now() + context.settings.deadlines.cancel;
                    capture.kill_at = capture.kill_at.min(by_force);
                }
                Ok(ToHost::Cancel { req })
            }
            _ => Err(failure(
                FailureCode::NoSession,
                format!("capture {req} is not running on {}", context.known.id),
            )),
        }
    }

    async fn heard(&mut self, context: &Context, message: FromHost) -> Result<(), End> {
        let storing = if self.last_req.is_some() {
            Storing::Refused
        } else {
            Storing::Allowed
        };
        let Some(message) = self.chatter.take(message, storing).await.map_err(End::Broken)? else {
            return Ok(());
        };
        let running = self.capture.map(|capture| capture.req);
        match message {
            FromHost::Event {
                req,
                event,
                value,
                position,
            } => {
                if running == Some(req) && self.events.allow() {
                    let device = context.known.id.clone();
                    let progress = Notice::Progress {
                        device,
                        req,
                        event,
                        value,
                        position,
                    };
                    context.notify(progress).await;
                }
                Ok(())
            }
            FromHost::Captured {
                req,
                results,
                failure,
                broken_rule,
                ..
            } if running == Some(req) => {
                self.capture = None;
                let captured = Notice::Captured {
                    device: context.known.id.clone(),
                    req,
                    results,
                    failure: failure
                        .as_ref()
                        .map(|failure| from_capture(failure, broken_rule.as_deref())),
                };
                context.notify(captured).await;
                Ok(())
            }
            FromHost::Failed { stage, failure } => Err(End::Broken(from_stage(&stage, &failure))),
            _ => Err(End::Broken(failure(
                FailureCode::PluginMisbehaved,
                "the host spoke of a capture that is not running",
            ))),
        }
    }

    fn too_late(&self) -> Failure {
        let what = match self.capture {
            Some(Capture {
                req, cancelled: true, ..
            }) => format!("did not end the cancelled capture {req}"),
            Some(Capture { req, .. }) => format!("did not end capture {req}"),
            None => "did not answer".to_owned(),
        };
        failure(
            FailureCode::PluginHung,
            format!("the plugin {what} in time and was killed (rule R7)"),
        )
    }

    /// Lets the host end its capture and close the device, ends it if it does not, and answers when its process
    /// is gone.
    async fn close(mut self, context: &mut Context, ticket: Option<Ticket>) -> State {
        let hung = self.end_politely(context).await;
        self.host.signal_and_wait().await;
        if let Some(capture) = self.capture {
            let cancelled = failure(FailureCode::Cancelled, "the session was closed");
            tell_captured(context, capture.req, cancelled).await;
        }
        let next = match hung {
            Ok(()) => context.present(),
            Err(hung) => context.failed(hung).await,
        };
        if let Some(ticket) = ticket {
            // Before the answer, so that whoever has it does not find the device in session.
            context.enter(next.on_the_bus(), next.failure()).await;
            context.reply(ticket, Ok(())).await;
        }
        next
    }

    /// Asks the host to close and listens until its process is over: a capture that runs has as long as any that
    /// is cancelled, closing has a time of its own. A host that fails at it is over too.
    ///
    /// # Errors
    /// Which of the two it did not do.
    async fn end_politely(&mut self, context: &Context) -> Result<(), Failure> {
        let deadlines = context.settings.deadlines;
        let begun = Instant::now();
        if self.host.say(&ToHost::Close, &[], deadlines.say).await.is_err() {
            return Ok(());
        }
        let mut capture_by = self.capture.map(|capture| {
            let by = begun + deadlines.cancel;
            if capture.cancelled {
                by.min(capture.kill_at)
            } else {
                by
            }
        });
        let mut by = begun + deadlines.close;
        loop {
            // It must be able to say its last words, or it would wait for us to read them.
            let Ok(heard) = timeout_at(capture_by.unwrap_or(by), self.host.hear()).await else {
                let what = if capture_by.is_some() {
                    "end its capture when the session was closed"
                } else {
                    "close the device"
                };
                return Err(failure(
                    FailureCode::PluginHung,
                    format!("the plugin did not {what} in time and was killed (rule R7)"),
                ));
            };
            let Ok(message) = heard else { break };
            if self.heard(context, message).await.is_err() {
                return Ok(());
            }
            if capture_by.is_some() && self.capture.is_none() {
                capture_by = None;
                by = Instant::now() + deadlines.close;
            }
        }
        timeout_at(by, self.host.ended()).await.map(drop).map_err(|_| {
            failure(
                FailureCode::PluginHung,
                "the plugin did not end in time and was killed (rule R7)",
            )
        })
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The session is over without `Close`, and the process is gone.
async fn tell_end(context: &Context, capture: Option<Capture>, failure: &Failure) {
    if let Some(capture) = capture {
        let how = if capture.cancelled {
            crate::failure::failure(FailureCode::Cancelled, "the capture was cancelled")
        } else {
            failure.clone()
        };
        tell_captured(context, capture.req, how).await;
    }
    let device = context.known.id.clone();
    let failure = failure.clone();
    context.notify(Notice::HostEnded { device, failure }).await;
}

async fn tell_captured(context: &Context, req: u64, failure: Failure) {
    let captured = Notice::Captured {
        device: context.known.id.clone(),
        req,
        results: 0,
        failure: Some(failure),
    };
    context.notify(captured).await;
}
