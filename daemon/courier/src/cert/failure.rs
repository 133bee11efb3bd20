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
    /// CERT refuses this station, or this station CERT. Somebody must act.
    Refused(String),
    /// CERT says that the dossier belongs to another station. Tried again seldom.
    NotYours(String),
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
    /// The part, or the parcel, is too large. A parcel is tried again seldom.
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
            "CERT answers something that is not of the protocol ({what}); it is tried again; call CERT if it stays so"
        ))
    }

    /// What is wrong and what to do.
    pub(crate) fn text(&self) -> String {
        let text = match self {
            Self::Unreachable(text)
            | Self::Refused(text)
            | Self::NotYours(text)
            | Self::Conflict(text)
            | Self::Protocol(text) => text,
            Self::Busy(_) => "CERT is busy; it is tried again",
            Self::NotFound => {
                "CERT says that it does not know the dossier; it is announced and sent again; call CERT if it stays so"
            }
            Self::Offset => {
                "CERT does not say the same each time of how much it has; it is tried again; call CERT if it stays so"
            }
            Self::Expired => "CERT has forgotten a part of the parcel; it is sent again",
            Self::Digest => {
                "other bytes arrive at CERT than are sent: something on the way changes them; it is sent again; call \
                 CERT if it stays so"
            }
            Self::TooLarge => {
                "CERT does not take a parcel this large: keep the station as it is and call CERT; it is tried again \
                 from time to time"
            }
        };
        text.to_owned()
    }

    /// From an answer that is no success.
    pub(super) fn from_answer(status: StatusCode, retry_after_s: Option<u64>, body: &[u8]) -> Self {
        let code = serde_json::from_slice::<Problem>(body)
            .map(|problem| problem.error)
            .unwrap_or_default();
        match (status, code.as_str()) {
            (StatusCode::CONFLICT, "offset") => Self::Offset,
            (StatusCode::CONFLICT, "incomplete") => Self::Expired,
            (StatusCode::CONFLICT, "conflict") => Self::Conflict(
                "CERT holds other bytes under this dossier's id: keep the station as it is and call CERT; when CERT \
                 has put it right, type systemctl restart recueil-courier"
                    .into(),
            ),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, "not-yours") => Self::NotYours(
                "CERT says the dossier belongs to another station: keep the station as it is and call CERT; it is \
                 tried again from time to time"
                    .into(),
            ),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, "not-registered") => Self::Refused(
                "CERT does not know this station: its certificate must be registered at CERT".into(),
            ),
            (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED, _) => Self::Refused(format!(
                "CERT, or something that stands before it, forbids this station to ask (HTTP {}): call CERT",
                status.as_u16()
            )),
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
    use rustls::{AlertDescription as Alert, CertificateError as Bad};
    match error {
        rustls::Error::InvalidCertificate(
            bad @ (Bad::NotValidYet | Bad::NotValidYetContext { .. } | Bad::Expired | Bad::ExpiredContext { .. }),
        ) => Failure::Refused(not_now(bad)),
        rustls::Error::InvalidCertificate(bad) => Failure::Refused(
            match bad {
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
        // What servers answer to a certificate out of its time, before it as after it (RFC 8446 §6.2).
        rustls::Error::AlertReceived(Alert::CertificateExpired) => Failure::Refused(
            "CERT says that this station's TLS certificate is not valid today: if it has expired, ask CERT for a new \
             one; else the clock of this station or of CERT is wrong: look at `timedatectl`"
                .into(),
        ),
        rustls::Error::AlertReceived(Alert::ProtocolVersion | Alert::HandshakeFailure)
        | rustls::Error::PeerIncompatible(_) => Failure::Refused(
            "the server at CERT's address does not speak TLS 1.3: it is not CERT, or a proxy that looks into TLS \
             stands before it and must let CERT's address through"
                .into(),
        ),
        rustls::Error::AlertReceived(alert) => Failure::Refused(format!(
            "CERT refuses this station's TLS certificate ({alert:?}): it may be revoked, or of another CERT"
        )),
        rustls::Error::InvalidMessage(_) => Failure::Unreachable(
            "something that is not CERT answers at its address, perhaps the sign-in page of this network (captive portal)".into(),
        ),
        _ => Failure::Unreachable("the TLS conversation with CERT failed; it is tried again".into()),
    }
}

/// A certificate of CERT that is not valid at this station's time. The clock is suspected first: it is wrong more
/// often than CERT's certificate is old.
fn not_now(bad: &rustls::CertificateError) -> String {
    use rustls::CertificateError as Bad;
    let day = |time: &rustls::pki_types::UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).map_or_else(
            |_no_time| "a day that does not exist".to_owned(),
            |time| time.strftime("%Y-%m-%d").to_string(),
        )
    };
    let what = match bad {
        Bad::NotValidYetContext { time, not_before } => {
            format!(
                "today is {} by this station's clock, and CERT's certificate is valid from {} on",
                day(time),
                day(not_before)
            )
        }
        Bad::ExpiredContext { time, not_after } => {
            format!(
                "today is {} by this station's clock, and CERT's certificate was valid until {}",
                day(time),
                day(not_after)
            )
        }
        _ => "CERT's certificate is not valid at this station's time".to_owned(),
    };
    format!(
        "{what}: the clock of this station or of CERT is wrong, or CERT's certificate was not renewed; look at \
         `timedatectl` first"
    )
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
        check(409, "<html>", |f| matches!(f, Failure::Protocol(_)));
        check(403, r#"{"error":"not-yours","text":""}"#, |f| {
            matches!(f, Failure::NotYours(_))
        });
        check(
            403,
            "<html>",
            |f| matches!(f, Failure::Refused(text) if text.contains("HTTP 403")),
        );
        check(403, r#"{"error":"not-registered","text":""}"#, |f| {
            matches!(f, Failure::Refused(_))
        });
        check(404, "", |f| *f == Failure::NotFound);
        check(503, "", |f| *f == Failure::Busy(Some(Duration::from_secs(7))));
        check(502, "<html>", |f| matches!(f, Failure::Unreachable(_)));
        check(507, "", |f| matches!(f, Failure::Unreachable(_)));
        check(302, "<html>", |f| matches!(f, Failure::Protocol(_)));
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told_with_both_times() {
        let time = |seconds| rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let told = |bad| match from_tls(&rustls::Error::InvalidCertificate(bad)) {
            Failure::Refused(text) => text,
            other => panic!("{other:?}"),
        };
        let early = told(rustls::CertificateError::NotValidYetContext {
            time: time(1_700_000_000),
            not_before: time(1_731_536_000),
        });
        assert!(
            early.contains("2023-11-14") && early.contains("valid from 2024-11-13"),
            "{early}"
        );
        let late = told(rustls::CertificateError::ExpiredContext {
            time: time(u64::MAX),
            not_after: time(1_700_000_000),
        });
        assert!(
            late.contains("until 2023-11-14") && late.contains("clock"),
            "{late}"
        );
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
