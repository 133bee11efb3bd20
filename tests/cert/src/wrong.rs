//! Answers that are wrong by order: what a station must survive from a CERT that is ill, changed or taken over.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Sleep;

/// An answer; its body may be one that does not end.
pub(crate) type Answer = Response<Either<Full<Bytes>, Endless>>;

/// Which requests are answered wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Route {
    Announce,
    Head,
    Patch,
    Commit,
    Receipt,
    PreDemande,
    Statuses,
    Any,
}

impl Route {
    /// The request's, by method and path.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        match *method {
            Method::PUT => Self::Announce,
            Method::HEAD => Self::Head,
            Method::PATCH => Self::Patch,
            Method::POST if path.ends_with("/commit") => Self::Commit,
            Method::POST => Self::Statuses,
            _ if path.ends_with("/receipt") => Self::Receipt,
            _ => Self::PreDemande,
        }
    }
}

/// One order: requests of this route are answered so, this many times or until `lift`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wrong {
    pub(crate) to: Route,
    /// Of this dossier alone; an upload's address names none.
    #[serde(default)]
    pub(crate) dossier: Option<String>,
    /// So many are answered rightly first.
    #[serde(default)]
    pub(crate) skip: u32,
    #[serde(default)]
    pub(crate) count: Option<u32>,
    pub(crate) how: How,
}

/// What is wrong with the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum How {
    /// The connection is dropped, and nothing done.
    Dropped,
    /// What was asked is done, and the connection dropped.
    Lost,
    /// Nothing is done, and the answer has this status, and this code of the table or none.
    Status {
        status: u16,
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        retry_after: Option<String>,
    },
    /// `Upload-Offset`, or `offset` in JSON where it is a number, is this.
    Offset(String),
    /// `state` in JSON is this.
    State(String),
    /// `upload` in JSON is this.
    Upload(String),
    /// A receipt that is not the right one.
    Receipt(WrongReceipt),
    /// The right answer without this header.
    Without(String),
    /// The right answer as this media type.
    Type(String),
    /// The right answer with five thousand headers more.
    ManyHeaders,
    /// A body without end, as fast as it is read.
    EndlessBody,
    /// A body without end, one byte after the other.
    SlowBody,
}

/// What is wrong with a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum WrongReceipt {
    /// A bit of the signature is another.
    Forged,
    /// Signed by the key of CERT's TLS certificate.
    OtherKey,
    /// Genuine, for another dossier.
    OtherDossier,
    /// For this dossier and another parcel.
    OtherParcel,
    /// For another station.
    OtherStation,
    /// R1 where the end is asked for, R2 where R1 is.
    OtherKind,
    /// R2 for another `dossier.json` than the one sealed.
    OtherManifest,
    /// A refusal that the receipt key did not sign.
    ForgedRefusal,
    /// Signed at a time when the signer's certificate had ended.
    Expired,
    /// Bears a serial number that another receipt of the station has.
    OldSerial,
    /// Begins as DER does, and is none.
    Malformed,
    /// The content without a signature.
    Unsigned,
    /// The right one and 100 KiB after it.
    Oversized,
}

/// The first order for this route, counted down.
pub(crate) fn take(orders: &mut Vec<Wrong>, route: Route, path: &str) -> Option<How> {
    let index = orders.iter().position(|wrong| {
        (wrong.to == route || wrong.to == Route::Any)
            && wrong
                .dossier
                .as_ref()
                .is_none_or(|dossier| path.contains(dossier.as_str()))
    })?;
    let wrong = orders.get_mut(index)?;
    if wrong.skip > 0 {
        wrong.skip -= 1;
        return None;
    }
    let how = wrong.how.clone();
    if let Some(count) = &mut wrong.count {
        *count = count.saturating_sub(1);
        if *count == 0 {
            orders.remove(index);
        }
    }
    Some(how)
}

/// The answer of a status alone.
pub(crate) fn status(status: u16, code: Option<&str>, retry_after: Option<&str>) -> Answer {
    let body = match code {
        Some(code) => serde_json::json!({"error": code, "text": "by order"}).to_string(),
        None => "<html>by order</html>".to_owned(),
    };
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let media_type = if code.is_some() {
        "application/json"
    } else {
        "text/html"
    };
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    if let Some(value) = retry_after.and_then(|text| HeaderValue::from_str(text).ok()) {
        answer.headers_mut().insert(RETRY_AFTER, value);
    }
    answer
}

/// Makes a right answer wrong. Receipts are `desk::wrong`'s.
pub(crate) fn spoil(mut answer: Answer, how: &How) -> Answer {
    match how {
        How::Offset(text) => {
            if let Ok(value) = HeaderValue::from_str(text) {
                answer
                    .headers_mut()
                    .insert(HeaderName::from_static("upload-offset"), value);
            }
            let number = text.parse::<u64>().map(serde_json::Value::from);
            json_member(
                answer,
                "offset",
                number.unwrap_or_else(|_text| text.as_str().into()),
            )
        }
        How::State(text) => json_member(answer, "state", text.as_str().into()),
        How::Upload(text) => json_member(answer, "upload", text.as_str().into()),
        How::Without(name) => {
            answer.headers_mut().remove(name.as_str());
            answer
        }
        How::Type(text) => {
            if let Ok(value) = HeaderValue::from_str(text) {
                answer.headers_mut().insert(CONTENT_TYPE, value);
            }
            answer
        }
        How::ManyHeaders => {
            for number in 0..5000 {
                let name = HeaderName::from_bytes(format!("x-flood-{number}").as_bytes());
                if let Ok(name) = name {
                    answer
                        .headers_mut()
                        .insert(name, HeaderValue::from_static("................"));
                }
            }
            answer
        }
        How::EndlessBody => endless(answer, None),
        How::SlowBody => endless(answer, Some(Duration::from_millis(100))),
        How::Dropped | How::Lost | How::Status { .. } | How::Receipt(_) => answer,
    }
}

fn endless(mut answer: Answer, pause: Option<Duration>) -> Answer {
    // A status without a body has none, however long.
    *answer.status_mut() = StatusCode::OK;
    let sleep = pause.map(|pause| (pause, Box::pin(tokio::time::sleep(pause))));
    answer.map(|_body| Either::Right(Endless { sleep }))
}

fn json_member(answer: Answer, name: &str, value: serde_json::Value) -> Answer {
    answer.map(|body| match body {
        Either::Left(full) => Either::Left(changed(full, name, value)),
        endless @ Either::Right(_) => endless,
    })
}

/// A body that is JSON with one member changed; another body as it is.
fn changed(mut body: Full<Bytes>, name: &str, value: serde_json::Value) -> Full<Bytes> {
    // A `Full` is ready at once.
    let mut context = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut body).poll_frame(&mut context) else {
        return Full::default();
    };
    let Ok(bytes) = frame.into_data() else {
        return Full::default();
    };
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(serde_json::Value::Object(mut object)) => {
            object.insert(name.to_owned(), value);
            Full::new(Bytes::from(serde_json::Value::Object(object).to_string()))
        }
        _ => Full::new(bytes),
    }
}

/// A body that does not end.
#[derive(Debug)]
pub(crate) struct Endless {
    sleep: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        static PIECE: [u8; 16 << 10] = [b'0'; 16 << 10];
        let Some((pause, sleep)) = &mut self.sleep else {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE)))));
        };
        std::task::ready!(sleep.as_mut().poll(context));
        sleep.as_mut().reset(tokio::time::Instant::now() + *pause);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0")))))
    }
}
