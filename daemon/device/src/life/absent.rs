//! Known, not on the machine now. It keeps its identity for when it comes back.

use recueil_wire::devices::{DeviceState, FailureCode};

use super::{Command, Context, State};
use crate::failure::failure;

#[derive(Debug)]
pub(super) struct Absent;

impl Absent {
    pub(super) async fn run(self, context: &mut Context) -> State {
        context.restarts.plugged_in();
        context.ready_since = None;
        context.known.confinement = None;
        context.enter(DeviceState::Absent, None).await;
        loop {
            let offered = context.present();
            if !matches!(offered, State::Absent(_)) {
                return offered;
            }
            tokio::select! {
                changed = context.presence.changed() => {
                    if changed.is_err() {
                        return State::Over;
                    }
                }
                command = context.commands.recv() => {
                    let Some(command) = command else { return State::Over };
                    if let Command::Lift { ticket } = command {
                        context.lift_quarantine(ticket).await;
                        continue;
                    }
                    let why = failure(
                        FailureCode::NoDevice,
                        format!("{} is not connected: plug it in", context.known.id),
                    );
                    context.refuse(command, &why).await;
                }
            }
        }
    }
}
