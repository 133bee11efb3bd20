//! CERT as this project's `tests/cert/PROTOCOL.md` has it. The real CERT's protocol replaces this module.

mod clocks;
mod failure;
mod line;
mod tls;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use recueil_dossier::{DemandeNumber, DossierId, PreDemandeNumber};
use recueil_wire::courier::DemandeStatus;
use serde::{Deserialize, Serialize};

pub(crate) use clocks::Clocks;
pub(crate) use failure::Failure;
pub(crate) use line::Line;
use line::{Ask, Expect};
pub(crate) use tls::{Endpoint, address};

/// Longest wait that CERT offers for a receipt, seconds.
pub(crate) const WAIT_MAX_S: u64 = 30;
/// Most numbers in one question for statuses.
pub(crate) const STATUSES_MAX: usize = 100;
const JSON_MAX_BYTES: usize = 64 << 10;
const CMS_MAX_BYTES: usize = 256 << 10;
const STATUS_MAX_BYTES: usize = 48;
const UPLOAD_MAX_BYTES: usize = 256;
const CMS_TYPE: &str = "application/pkcs7-mime";

/// Where CERT says a dossier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Standing {
    Receiving,
    Stored,
    Ingested,
    Refused,
}

/// The answer to the announcement of a parcel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Announced {
    pub(crate) state: Standing,
    /// The path of the upload; none once all is there.
    pub(crate) upload: Option<String>,
    pub(crate) offset: u64,
}

impl Line {
    /// Announces a parcel. Any number of times.
    pub(crate) async fn announce(
        &mut self,
        id: DossierId,
        size: u64,
        sha256: &str,
    ) -> Result<Announced, Failure> {
        #[derive(Serialize)]
        struct Body<'a> {
            size: u64,
            sha256: &'a str,
            profile: &'a str,
        }
        let body = json(&Body {
            size,
            sha256,
            profile: "CERT-CMS-1",
        })?;
        let ask = Ask::json(Method::PUT, format!("/v1/dossiers/{id}"), body);
        let answer = self.ask(ask, Expect::json(JSON_MAX_BYTES)).await?;
        let announced: Announced = answer.parse()?;
        let sound = announced.offset <= size
            && announced.upload.as_deref().is_none_or(is_path)
            && (announced.upload.is_some() == (announced.state == Standing::Receiving));
        sound
            .then_some(announced)
            .ok_or_else(|| Failure::protocol("the answer to an announcement"))
    }

    /// How many bytes of an upload CERT has.
    pub(crate) async fn offset(&mut self, upload: &str, size: u64) -> Result<u64, Failure> {
        let ask = Ask::tus(Method::HEAD, upload.to_owned());
        let answer = self
            .ask(ask, Expect::tus(StatusCode::OK))
            .await
            .map_err(Failure::of_upload)?;
        answer
            .number("upload-offset")
            .filter(|offset| *offset <= size)
            .ok_or_else(|| Failure::protocol("an offset"))
    }

    /// Sends a part of the parcel; how many bytes CERT has now.
    pub(crate) async fn send(&mut self, upload: &str, offset: u64, bytes: Vec<u8>) -> Result<u64, Failure> {
        let sent = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let ask = Ask::tus(Method::PATCH, upload.to_owned())
            .header(
                "content-type",
                HeaderValue::from_static("application/offset+octet-stream"),
            )
            .header("upload-offset", HeaderValue::from(offset))
            .body(bytes);
        let answer = self
            .ask(ask, Expect::tus(StatusCode::NO_CONTENT))
            .await
            .map_err(Failure::of_upload)?;
        let now = answer
            .number("upload-offset")
            .filter(|now| *now == offset.saturating_add(sent));
        now.ok_or_else(|| Failure::protocol("an offset after a part"))
    }

    /// Says that all is sent; CERT's receipt R1. Any number of times.
    pub(crate) async fn commit(&mut self, id: DossierId, sha256: &str) -> Result<Vec<u8>, Failure> {
        #[derive(Serialize)]
        struct Body<'a> {
            sha256: &'a str,
        }
        let ask = Ask::json(
            Method::POST,
            format!("/v1/dossiers/{id}/commit"),
            json(&Body { sha256 })?,
        );
        self.ask(ask, Expect::cms(CMS_MAX_BYTES)).await?.cms()
    }

    /// Waits up to `wait_s` seconds for CERT's final receipt, R2 or a refusal.
    pub(crate) async fn receipt(&mut self, id: DossierId, wait_s: u64) -> Result<Option<Vec<u8>>, Failure> {
        let path = format!("/v1/dossiers/{id}/receipt?wait={}", wait_s.min(WAIT_MAX_S));
        let ask = Ask::get(path).waiting(wait_s);
        let answer = self.ask(ask, Expect::cms(CMS_MAX_BYTES).or_nothing()).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(None),
            _ => answer.cms().map(Some),
        }
    }

    /// A pré-demande, CMS to the station's encryption key.
    pub(crate) async fn pre_demande(&mut self, number: &PreDemandeNumber) -> Result<Vec<u8>, Failure> {
        let ask = Ask::get(format!("/v1/pre-demandes/{number}"));
        self.ask(ask, Expect::cms(CMS_MAX_BYTES)).await?.cms()
    }

    /// Where demandes stand, those of them that CERT knows.
    pub(crate) async fn statuses(
        &mut self,
        demandes: &[DemandeNumber],
    ) -> Result<Vec<DemandeStatus>, Failure> {
        #[derive(Serialize)]
        struct Body<'a> {
            demandes: &'a [DemandeNumber],
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Answer {
            statuses: Vec<DemandeStatus>,
        }
        let ask = Ask::json(Method::POST, "/v1/statuses".to_owned(), json(&Body { demandes })?);
        let answer: Answer = self.ask(ask, Expect::json(JSON_MAX_BYTES)).await?.parse()?;
        let word = |text: &str| {
            (1..=STATUS_MAX_BYTES).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        };
        let sound = answer.statuses.len() <= demandes.len()
            && answer
                .statuses
                .iter()
                .all(|one| demandes.contains(&one.demande) && word(&one.status));
        sound
            .then_some(answer.statuses)
            .ok_or_else(|| Failure::protocol("statuses that were not asked"))
    }
}

fn json(body: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|_unserialisable| Failure::protocol("a question"))
}

/// A path on the same server and nothing else: CERT cannot send the parcel elsewhere.
fn is_path(text: &str) -> bool {
    text.starts_with("/v1/uploads/")
        && text.len() <= UPLOAD_MAX_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_a_path_of_cert() {
        assert!(is_path("/v1/uploads/0d1f"));
        assert!(!is_path("https://elsewhere.example/v1/uploads/1"));
        assert!(!is_path("//elsewhere.example/v1/uploads/1"));
        assert!(!is_path("/v1/uploads/1\r\nHost: elsewhere"));
        assert!(!is_path("/v1/uploads/1?to=elsewhere"));
    }
}
