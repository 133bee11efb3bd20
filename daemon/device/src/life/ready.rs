//! Its host waits; nothing of a capture has been seen.

use std::os::fd::AsFd as _;

use recueil_wire::devices::{DeviceState, Failure, FailureCode};
use recueil_wire::host::{FromHost, ToHost};

use super::chatter::{Chatter, Storing, misspoke};
use super::in_session::InSession;
use super::opening::Waiting;
use super::{Command, Context, State, changed};
use crate::failure::{failure, from_stage};
use crate::host::{Host, end_of};
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
        context.enter(DeviceState::Ready, None).await;
        if let Some(waiting) = self.waiting.take() {
            return self.open(context, waiting).await;
        }
        loop {
            tokio::select! {
                () = changed(&mut context.presence, &self.offer) => {
                    self.host.kill().await;
                    return context.present();
                }
                heard = self.host.hear() => {
                    let wrong = match heard {
                        Ok(message) => self.heard(message).await,
                        Err(recueil_wire::Error::Closed) => {
                            let status = self.host.finish(context.settings.deadlines.close).await;
                            return context.failed(end_of(status));
                        }
                        Err(error) => Err(misspoke(&error)),
                    };
                    if let Err(failure) = wrong {
                        return self.lost(context, failure).await;
                    }
                }
                command = context.commands.recv() => match command {
                    None => return State::Over,
                    Some(Command::Open { ticket, client }) => {
                        return self.open(context, Waiting { ticket, client }).await;
                    }
                    Some(Command::Feedback { ticket, feedback }) => {
                        let limit = context.settings.deadlines.say;
                        match self.host.say(&ToHost::Feedback(feedback), &[], limit).await {
                            Ok(()) => context.reply(ticket, Ok(())).await,
                            Err(error) => {
                                let failure = misspoke(&error);
                                context.reply(ticket, Err(failure.clone())).await;
                                return self.lost(context, failure).await;
                            }
                        }
                    }
                    Some(command) => {
                        let busy = failure(FailureCode::Busy, "never: Open is answered above");
                        context.refuse(command, &busy).await;
                    }
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
            Err(error) => {
                let failure = match error {
                    recueil_wire::Error::Closed => {
                        end_of(self.host.finish(context.settings.deadlines.close).await)
                    }
                    error => {
                        self.host.kill().await;
                        misspoke(&error)
                    }
                };
                context.reply(waiting.ticket, Err(failure.clone())).await;
                context.failed(failure)
            }
        }
    }

    async fn lost(self, context: &mut Context, failure: Failure) -> State {
        self.host.kill().await;
        context.failed(failure)
    }
}
