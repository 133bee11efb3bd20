//! Its host waits; nothing of a capture has been seen.

use std::os::fd::AsFd as _;

use recueil_wire::devices::{DeviceState, Failure, FailureCode};
use recueil_wire::host::{FromHost, ToHost};
use tokio::time::Instant;

use super::chatter::{Chatter, Storing};
use super::in_session::InSession;
use super::opening::Waiting;
use super::{Command, Context, State, Ticket, changed};
use crate::failure::{failure, from_stage};
use crate::host::Host;
use crate::virtual_bus::Offer;

#[derive(Debug)]
pub(super) struct Ready {
    pub(super) host: Host,
    pub(super) chatter: Chatter,
    pub(super) offer: Offer,
    /// A session that was asked for while the host was starting.
    pub(super) waiting: Option<Waiting>,
}

impl Ready {
    pub(super) async fn run(mut self, context: &mut Context) -> State {
        context.ready_since.get_or_insert_with(Instant::now);
        context.enter(DeviceState::Ready, None).await;
        if let Some(waiting) = self.waiting.take() {
            return self.open(context, waiting).await;
        }
        let limit = context.settings.deadlines.say;
        loop {
            tokio::select! {
                () = changed(&mut context.presence, &self.offer) => {
                    self.host.kill().await;
                    return context.present();
                }
                heard = self.host.hear() => match heard {
                    Ok(message) => if let Err(failure) = self.heard(message).await {
                        self.host.kill().await;
                        return context.failed(failure).await;
                    },
                    Err(error) => return self.lost(context, &error, None).await,
                },
                command = context.commands.recv() => match command {
                    None => return State::Over,
                    Some(Command::Open { ticket, client }) => {
                        return self.open(context, Waiting { ticket, client }).await;
                    }
                    Some(Command::Feedback { ticket, feedback }) => {
                        match self.host.say(&ToHost::Feedback(feedback), &[], limit).await {
                            Ok(()) => context.reply(ticket, Ok(())).await,
                            Err(error) => return self.lost(context, &error, Some(ticket)).await,
                        }
                    }
                    Some(Command::Lift { ticket }) => context.not_quarantined(ticket).await,
                    Some(command) => context.no_session(command.ticket()).await,
                },
            }
        }
    }

    async fn heard(&mut self, message: FromHost) -> Result<(), Failure> {
        match self.chatter.take(message, Storing::Allowed).await? {
            None => Ok(()),
            Some(FromHost::Failed { stage, failure }) => Err(from_stage(&stage, &failure)),
            Some(_) => Err(failure(
                FailureCode::PluginMisbehaved,
                "the host spoke of captures without a session",
            )),
        }
    }

    /// Makes the frame socket: one end to the host, the other to whoever asked.
    async fn open(self, context: &mut Context, waiting: Waiting) -> State {
        let limit = context.settings.deadlines.say;
        let attached = match recueil_wire::socket_pair() {
            Ok((ours, theirs)) => {
                let said = self
                    .host
                    .say(&ToHost::AttachFrames, &[theirs.as_fd()], limit)
                    .await;
                said.map(|()| ours)
            }
            Err(error) => Err(error),
        };
        match attached {
            Ok(frames) => {
                // Before the answer, so that whoever has it finds the device in session.
                context.enter(DeviceState::InSession, None).await;
                context.reply_with(waiting.ticket, Ok(()), Some(frames)).await;
                State::InSession(InSession::new(
                    self.host,
                    self.chatter,
                    self.offer,
                    waiting.client,
                ))
            }
            Err(error) => self.lost(context, &error, Some(waiting.ticket)).await,
        }
    }

    /// The conversation broke, perhaps in a call that must be answered.
    async fn lost(self, context: &mut Context, error: &recueil_wire::Error, asked: Option<Ticket>) -> State {
        let failure = self.host.lost(error, context.settings.deadlines.close).await;
        if let Some(ticket) = asked {
            context.reply(ticket, Err(failure.clone())).await;
        }
        context.failed(failure).await
    }
}
