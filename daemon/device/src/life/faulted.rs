//! Its host failed, and is started again by itself after a pause, or at once when it is plugged in again. An
//! `Open` that comes shortly before waits for it.

use std::time::Duration;

use recueil_wire::devices::{DeviceState, Failure};
use tokio::time::{Instant, sleep_until};

use super::opening::{Opening, Waiting, is_free};
use super::{Command, Context, State, changed};
use crate::virtual_bus::Offer;

/// Longest time that an `Open` waits for the end of a pause: an agent does not sit before a silent screen.
const OPEN_WAITS_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Faulted {
    offer: Offer,
    failure: Failure,
    again_at: Instant,
}

impl Faulted {
    /// `failure` says what to do, or that nothing is to be done but to wait.
    pub(super) fn new(offer: Offer, failure: Failure, again_at: Instant) -> Self {
        Self {
            offer,
            failure,
            again_at,
        }
    }

    pub(super) async fn run(self, context: &mut Context) -> State {
        context.known.confinement = None;
        context
            .enter(DeviceState::Faulted, Some(self.failure.clone()))
            .await;
        let mut waiting: Option<Waiting> = None;
        loop {
            tokio::select! {
                () = changed(&mut context.presence, &self.offer) => {
                    if let Some(waiting) = waiting {
                        context.reply(waiting.ticket, Err(context.gone())).await;
                    }
                    context.restarts.plugged_in();
                    return context.present();
                }
                () = sleep_until(self.again_at) => {
                    return State::Opening(Opening::for_one_who_waits(self.offer, waiting));
                }
                command = context.commands.recv() => match command {
                    None => return State::Over,
                    Some(Command::Open { ticket, client })
                        if self.is_soon() && is_free(waiting.as_ref()) =>
                    {
                        waiting = Some(Waiting { ticket, client });
                    }
                    Some(command) => context.refuse(command, &self.failure).await,
                },
            }
        }
    }

    pub(super) fn failure(&self) -> &Failure {
        &self.failure
    }

    fn is_soon(&self) -> bool {
        self.again_at.saturating_duration_since(Instant::now()) <= OPEN_WAITS_MAX
    }
}
