//! What can go wrong with CERT, by what follows from it.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;

/// Texts say what to do and hold no personal datum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nobody answers, or somebody who is not CERT. Tried again.
    Unreachable(String),
    /// CERT is there and has no time. Tried again, not before it says.
    Busy(Option<Duration>),
    /// CERT refuses this station, or this station CERT. Somebody must act; tried again seldom.
    Refused(String),
    /// CERT has other bytes for the same dossier. Never tried again.
    Conflict(String),
    /// CERT does not know the dossier, upload or number.
    NotFound,
    /// CERT has another offset: ask for it.
    Offset,
    /// The upload is gone: announce the parcel again.
    Expired,
    /// CERT received other bytes than were announced, and begins again.
    Digest,
    /// The part, or the parcel, is too large.
    TooLarge,
    /// The answer is not one of the protocol. Tried again.
    Protocol(String),
}

/// CERT's own words for an error.
#[derive(Deserialize)]
struct Problem {
    error: String,
}

/// Longest wait that CERT may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

impl Failure {
    pub(crate) fn protocol(what: &str) -> Self {
        Self::Protocol(format!(
            "CERT answers something that is not of the protocol: {what}"
        ))
    }

    /// From an answer that is no success.
    pub(super) fn from_answer(status: StatusCode, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let code = serde_json::from_slice::<Problem>(body)
            .map(|problem| problem.error)
            .unwrap_or_default();
        match (status, code.as_str()) {
            (StatusCode::CONFLICT, "offset") => Self::Offset,
            (StatusCode::CONFLICT, "incomplete") => Self::Expired,
            (StatusCode::CONFLICT, _) => Self::Conflict(
                "CERT holds other bytes under this dossier's id: keep the station as it is and call CERT"
                    .into(),
            ),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, "not-yours") => Self::Refused(
                "CERT says the dossier belongs to another station: keep the station as it is and call CERT"
                    .into(),
            ),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => Self::Refused(
                "CERT does not know this station: its certificate must be registered at CERT".into(),
            ),
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Self::NotFound,
            (StatusCode::PAYLOAD_TOO_LARGE, _) => Self::TooLarge,
            (StatusCode::UNPROCESSABLE_ENTITY, _) => Self::Digest,
            (StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED, _) => {
                let asked = retry_after_s.map(Duration::from_secs);
                Self::Busy(asked.map(|asked| asked.min(RETRY_AFTER_MAX)))
            }
            (status, _) if status.is_server_error() => Self::Unreachable(format!(
                "CERT has trouble of its own (HTTP {}); it is tried again",
                status.as_u16()
            )),
            (status, _) => Self::protocol(&format!("HTTP {}", status.as_u16())),
        }
    }

    /// An address that only an upload has: unknown means that it expired. A HEAD's refusal has no words, so a
    /// conflict there is one of offsets.
    pub(super) fn of_upload(self) -> Self {
        match self {
            Self::NotFound => Self::Expired,
            other => other,
        }
    }

    /// From the connection. `error` and its causes are looked through for what TLS said.
    pub(super) fn from_connection(error: &(dyn std::error::Error + 'static)) -> Self {
        match tls_error(error) {
            Some(error) => from_tls(error),
            None => {
                Self::Unreachable("CERT cannot be reached: look at the network; it is tried again".into())
            }
        }
    }
}

fn from_tls(error: &rustls::Error) -> Failure {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => Failure::Refused(
            match bad {
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                    "CERT's certificate is not valid yet: this station's clock is probably wrong"
                }
                Bad::Expired | Bad::ExpiredContext { .. } => {
                    "CERT's certificate has expired, or this station's clock is wrong"
                }
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                    "the server is not the one of the configured url: look at [courier] url"
                }
                _ => {
                    "the server is not CERT: its certificate does not come from CERT's root. A proxy that looks \
                     into TLS must let CERT's address through; a new root goes into [courier] tls_roots"
                }
            }
            .into(),
        ),
        rustls::Error::AlertReceived(alert) => Failure::Refused(format!(
            "CERT refuses this station's TLS certificate ({alert:?}): it may have expired or be revoked"
        )),
        rustls::Error::InvalidMessage(_) => Failure::Unreachable(
            "something that is not CERT answers at its address, perhaps the sign-in page of this network (captive portal)".into(),
        ),
        _ => Failure::Unreachable("the TLS conversation with CERT failed; it is tried again".into()),
    }
}

/// `std::io::Error` hides what it wraps from `source`, so it is opened by hand.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        if let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            && let Some(found) = tls_error(inner)
        {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_one_consequence() {
        let check = |status: u16, body: &str, expected: fn(&Failure) -> bool| {
            let failure =
                Failure::from_answer(StatusCode::from_u16(status).unwrap(), Some(7), body.as_bytes());
            assert!(expected(&failure), "{status} {body}: {failure:?}");
        };
        check(409, r#"{"error":"conflict","text":""}"#, |f| {
            matches!(f, Failure::Conflict(_))
        });
        check(409, r#"{"error":"offset","text":""}"#, |f| *f == Failure::Offset);
        check(403, r#"{"error":"not-registered","text":""}"#, |f| {
            matches!(f, Failure::Refused(_))
        });
        check(404, "", |f| *f == Failure::NotFound);
        check(503, "", |f| *f == Failure::Busy(Some(Duration::from_secs(7))));
        check(502, "<html>", |f| matches!(f, Failure::Unreachable(_)));
        check(302, "<html>", |f| matches!(f, Failure::Protocol(_)));
    }

    #[test]
    fn what_tls_said_is_found_through_its_wrappers() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let wrapped = std::io::Error::other(std::io::Error::new(std::io::ErrorKind::InvalidData, tls));
        let Failure::Refused(text) = Failure::from_connection(&wrapped) else {
            panic!("not found")
        };
        assert!(text.contains("clock"), "{text}");
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(
            Failure::from_connection(&reset),
            Failure::Unreachable(_)
        ));
    }
}
