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
    waiting: Option<Waiting>,
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
        Self::for_one_who_waits(offer, None)
    }

    /// `waiting` asked for a session before the host was started.
    pub(super) fn for_one_who_waits(offer: Offer, waiting: Option<Waiting>) -> Self {
        Self { offer, waiting }
    }

    pub(super) async fn run(mut self, context: &mut Context) -> State {
        context.enter(DeviceState::Opening, None).await;
        let mut waiting = self.waiting.take();
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
                context.failed(failure).await
            }
            Outcome::Elsewhere => {
                if let Some(Waiting { ticket, .. }) = waiting {
                    context.reply(ticket, Err(context.gone())).await;
                }
                context.present()
            }
            Outcome::Over => State::Over,
        }
    }

    async fn wait(&self, context: &mut Context, waiting: &mut Option<Waiting>) -> Outcome {
        let attempt = start(
            context.settings.clone(),
            context.plugin.clone(),
            context.known.id.clone(),
            self.offer.clone(),
        );
        let mut attempt = Box::pin(attempt);
        loop {
            tokio::select! {
                outcome = &mut attempt => return match outcome {
                    Ok(started) => Outcome::Started(started),
                    Err(failure) => Outcome::Failed(failure),
                },
                // The attempt is dropped, and its process killed, when this function returns.
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
pub(super) fn is_free(waiting: Option<&Waiting>) -> bool {
    waiting.is_none_or(|waiting| waiting.client.is_cancelled())
}
