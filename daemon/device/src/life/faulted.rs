//! Its host cannot be started. Plugging it in again, or a restart of hostd, tries anew.

use recueil_wire::devices::{DeviceState, Failure};

use super::{Context, State, changed};
use crate::virtual_bus::Offer;

#[derive(Debug)]
pub(super) struct Faulted {
    offer: Offer,
    failure: Failure,
}

impl Faulted {
    pub(super) fn new(offer: Offer, failure: Failure) -> Self {
        Self { offer, failure }
    }

    pub(super) async fn run(self, context: &mut Context) -> State {
        context.known.confinement = None;
        context
            .enter(DeviceState::Faulted, Some(self.failure.clone()))
            .await;
        loop {
            tokio::select! {
                () = changed(&mut context.presence, &self.offer) => break,
                command = context.commands.recv() => {
                    let Some(command) = command else { return State::Over };
                    context.refuse(command, &self.failure).await;
                }
            }
        }
        context.failures.clear();
        context.present()
    }
}
