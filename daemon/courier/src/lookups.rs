//! Questions of `recueild` that CERT answers: each on a line of its own, beside the parcels.

use std::os::fd::OwnedFd;

use recueil_wire::courier::{Answer, Call, Failure as Told, FailureCode};
use recueil_wire::sealed_memory;

use crate::cert::{Endpoint, Failure, Line, STATUSES_MAX};

/// An answer, and the descriptor that goes with it.
pub(crate) type Reply = (Result<Answer, Told>, Option<OwnedFd>);

/// What is said of CERT where none is configured.
pub(crate) const NOT_CONFIGURED: &str =
    "no CERT is configured: set [courier] url and the TLS keys in recueil.toml";

/// Asks CERT. Also tells how the line stood.
pub(crate) async fn look_up(endpoint: Endpoint, call: Call) -> (Reply, Result<(), Failure>) {
    match ask(endpoint, call).await {
        Ok(reply) => (reply, Ok(())),
        // An answer, if not the one that was hoped for.
        Err(Failure::NotFound) => ((Err(told(Failure::NotFound)), None), Ok(())),
        Err(failure) => ((Err(told(failure.clone())), None), Err(failure)),
    }
}

async fn ask(endpoint: Endpoint, call: Call) -> Result<Reply, Failure> {
    let mut line = Line::new(endpoint);
    match call {
        Call::PreDemande { number } => {
            let envelope = line.pre_demande(&number).await?;
            let len = u64::try_from(envelope.len()).unwrap_or(u64::MAX);
            let memory = sealed_memory("pre-demande", &envelope)
                .map_err(|_no_memory| Failure::Unreachable("this station has no memory left".into()))?;
            Ok((Ok(Answer::PreDemande { len }), Some(memory)))
        }
        Call::Statuses { demandes } if demandes.len() > STATUSES_MAX => Ok((
            Err(Told {
                code: FailureCode::Protocol,
                text: format!("at most {STATUSES_MAX} demandes may be asked at once"),
            }),
            None,
        )),
        Call::Statuses { demandes } if demandes.is_empty() => {
            Ok((Ok(Answer::Statuses { statuses: Vec::new() }), None))
        }
        Call::Statuses { demandes } => {
            let statuses = line.statuses(&demandes).await?;
            Ok((Ok(Answer::Statuses { statuses }), None))
        }
        Call::Look | Call::Line | Call::ReceiptRefused { .. } => Ok((Ok(Answer::Done), None)),
    }
}

/// A failure in the words of the private socket.
fn told(failure: Failure) -> Told {
    let (code, text) = match failure {
        Failure::Unreachable(text) => (FailureCode::Unreachable, text),
        Failure::Busy(_) => (
            FailureCode::Unreachable,
            "CERT is busy: try again in a minute".into(),
        ),
        Failure::Refused(text) | Failure::NotYours(text) | Failure::Conflict(text) => {
            (FailureCode::Refused, text)
        }
        Failure::NotFound => (
            FailureCode::NotFound,
            "CERT does not know this number: check it".into(),
        ),
        Failure::Protocol(text) => (FailureCode::Protocol, text),
        Failure::Offset | Failure::Expired | Failure::Digest | Failure::TooLarge => (
            FailureCode::Protocol,
            "CERT gives an answer that belongs to another question".into(),
        ),
    };
    Told { code, text }
}
