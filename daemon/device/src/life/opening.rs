//! Its host is starting. An `Open` that comes now waits for it.

use recueil_wire::devices::{DeviceState, Failure, FailureCode};
use tokio_util::sync::CancellationToken;

use super::ready::Ready;
use super::start::{Started, start};
use super::{Command, Context, State, Ticket, changed};
use crate::failure::failure;
use crate::virtual_bus::Offer;

#[derive(Debug)]
pub(super) struct Opening {
    pub(super) offer: Offer,
}

/// Who waits for the host to open a session.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) ticket: Ticket,
    pub(super) client: CancellationToken,
}

enum Outcome {
    Started(Box<Started>),
    Failed(Failure),
    /// Another device is offered, or none.
    Elsewhere,
    Over,
}

impl Opening {
    pub(super) fn new(offer: Offer) -> Self {
        Self { offer }
    }

    pub(super) async fn run(self, context: &mut Context) -> State {
        context.enter(DeviceState::Opening, None).await;
        let mut waiting = None;
        match self.wait(context, &mut waiting).await {
            Outcome::Started(started) => {
                context.known.identity = Some(started.identity);
                context.known.capabilities = Some(started.capabilities);
                context.known.confinement = Some(started.confinement);
                State::Ready(Ready {
                    host: started.host,
                    chatter: started.chatter,
                    offer: self.offer,
                    waiting,
                })
            }
            Outcome::Failed(failure) => {
                if let Some(Waiting { ticket, .. }) = waiting {
                    context.reply(ticket, Err(failure.clone())).await;
                }
                context.failed(failure)
            }
            Outcome::Elsewhere => {
                if let Some(Waiting { ticket, .. }) = waiting {
                    let gone = failure(
                        FailureCode::DeviceGone,
                        format!("{} was unplugged", context.known.id),
                    );
                    context.reply(ticket, Err(gone)).await;
                }
                context.present()
            }
            Outcome::Over => State::Over,
        }
    }

    async fn wait(&self, context: &mut Context, waiting: &mut Option<Waiting>) -> Outcome {
        let limit = context.settings.deadlines.ready;
        let attempt = start(
            context.settings.clone(),
            context.plugin.clone(),
            context.known.id.clone(),
            self.offer.clone(),
        );
        let attempt = tokio::time::timeout(limit, attempt);
        let mut attempt = Box::pin(attempt);
        loop {
            tokio::select! {
                outcome = &mut attempt => return match outcome {
                    Ok(Ok(started)) => Outcome::Started(started),
                    Ok(Err(failure)) => Outcome::Failed(failure),
                    // The attempt is dropped, and its process killed, when this function returns.
                    Err(_) => Outcome::Failed(failure(
                        FailureCode::PluginHung,
                        format!("the plugin did not open {} within {} ms", context.known.id, limit.as_millis()),
                    )),
                },
                () = changed(&mut context.presence, &self.offer) => return Outcome::Elsewhere,
                command = context.commands.recv() => match command {
                    None => return Outcome::Over,
                    Some(Command::Open { ticket, client }) if is_free(waiting.as_ref()) => {
                        *waiting = Some(Waiting { ticket, client });
                    }
                    Some(command) => {
                        let busy = failure(FailureCode::Busy, format!("{} is being opened", context.known.id));
                        context.refuse(command, &busy).await;
                    }
                },
            }
        }
    }
}

/// Nobody waits, or nobody who is still connected.
fn is_free(waiting: Option<&Waiting>) -> bool {
    waiting.is_none_or(|waiting| waiting.client.is_cancelled())
}
