//! What hostd makes of what a host says, as functions, for `tests/fuzz` alone. No part of the interface.

use recueil_wire::devices::{Capabilities, Failure, Identity, Modality};
use recueil_wire::host::FromHost;

use crate::failure::{from_plugin, from_stage, printable};
use crate::life::{checked, tamed};

/// What is passed on of one message; none if it is chatter or names a capture.
#[derive(Debug)]
pub enum Heard {
    /// The device, as `recueild` will see it, or why its host is ended.
    Ready(Identity, Box<Result<Capabilities, Failure>>),
    /// Why it failed.
    Failed(Failure),
    /// The line as it is logged.
    Line(String),
    /// Anything else.
    Other,
}

/// Hears one message of a host whose plugin may do all three modalities.
pub fn hear(message: FromHost) -> Heard {
    match message {
        FromHost::Ready {
            identity,
            capabilities,
            ..
        } => {
            let declared = [Modality::Fingerprint, Modality::Camera, Modality::Scanner];
            Heard::Ready(tamed(&identity), Box::new(checked(capabilities, &declared)))
        }
        FromHost::Failed { stage, failure } => Heard::Failed(from_stage(&stage, &failure)),
        FromHost::Captured {
            failure: Some(failure),
            ..
        } => Heard::Failed(from_plugin(&failure)),
        FromHost::Log { text, .. } | FromHost::Misbehaved { rule: text } => {
            Heard::Line(printable(&text, crate::life::LINE_CHARS_MAX))
        }
        _ => Heard::Other,
    }
}
