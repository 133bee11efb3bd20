//! The requests of the protocol, one function each.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Deserialize;
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout, timeout_at};

use crate::desk::{Desk, Upload};
use crate::envelope;
use crate::error::Error;
use crate::hex::is_sha256;
use crate::predemande::PreDemande;
use crate::problem::Problem;
use crate::wrong::{self, Answer, How, Route};

/// Largest parcel.
const PARCEL_MAX_BYTES: u64 = 256 << 20;
/// Largest JSON body.
const JSON_MAX_BYTES: usize = 64 << 10;
/// How long a request waits for another one on the same upload.
const LOCK: Duration = Duration::from_secs(10);
const WAIT_MAX_S: u64 = 30;
const STATUSES_MAX: usize = 100;
/// What a busy answer asks for, seconds.
const RETRY_AFTER_S: u64 = 1;

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const TUS_VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const RECEIPT_TYPE: &str = "application/pkcs7-mime";

/// The connection ends here without an answer: by order, or because the station's end did.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped")]
pub(crate) struct Dropped;

/// Why there is no good answer.
enum Failed {
    Problem(Problem),
    Dropped,
}

impl<P: Into<Problem>> From<P> for Failed {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

/// Answers the requests of one station.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    pub(crate) desk: Arc<Desk>,
    pub(crate) station: Arc<str>,
    /// Held while the desk works for a request that may have gone; the end waits for it.
    pub(crate) working: Arc<RwLock<()>>,
    /// How long a body may stand still.
    pub(crate) idle: Duration,
}

impl Counter {
    /// One request, one answer, or none.
    pub(crate) async fn answer(self, request: Request<Incoming>) -> Result<Answer, Dropped> {
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let route = Route::of(&method, &path);
        let (silent, unavailable, wrong) = {
            let state = &mut self.desk.state();
            state.requests = state.requests.wrapping_add(1);
            let orders = &mut state.orders;
            let unavailable = orders.faults.status_503 > 0 && !orders.silent;
            orders.faults.status_503 -= u32::from(unavailable);
            let wrong = if orders.silent {
                None
            } else {
                wrong::take(&mut orders.faults.wrong, route, &path)
            };
            (orders.silent, unavailable, wrong)
        };
        if silent {
            return Err(Dropped);
        }
        let done = match &wrong {
            _ if unavailable || self.desk.is_broken() => Err(Problem::Busy.into()),
            Some(How::Dropped) => return Err(Dropped),
            Some(How::Status {
                status,
                code,
                retry_after,
            }) => Ok(wrong::status(*status, code.as_deref(), retry_after.as_deref())),
            // A wrong one is not waited for.
            Some(How::Receipt(_)) if route == Route::Receipt => {
                Ok(typed(StatusCode::NO_CONTENT, RECEIPT_TYPE, Bytes::new()))
            }
            _ => self.route(request).await,
        };
        let done = match (done, &wrong) {
            (Ok(_), Some(How::Lost)) => return Err(Dropped),
            (Ok(answer), Some(How::Receipt(how))) => self.wrong_receipt(&path, route, answer, *how).await,
            (done, _) => done,
        };
        // The order may have come while a long poll waited.
        if self.desk.state().orders.silent {
            return Err(Dropped);
        }
        let mut answer = match done {
            Ok(answer) => answer,
            Err(Failed::Problem(problem)) => refused(&self.desk, &problem),
            Err(Failed::Dropped) => return Err(Dropped),
        };
        // A status without a word is of something that stands before CERT.
        if !matches!(&wrong, Some(How::Status { code: None, .. })) {
            answer.headers_mut().insert(TUS_RESUMABLE, TUS_VERSION);
        }
        answer
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(how) = &wrong {
            answer = wrong::spoil(answer, how);
        }
        tracing::debug!(station = &*self.station, %method, path, status = answer.status().as_u16());
        Ok(answer)
    }

    /// A receipt as ordered in place of the right one, or of none.
    async fn wrong_receipt(
        &self,
        path: &str,
        route: Route,
        answer: Answer,
        how: wrong::WrongReceipt,
    ) -> Result<Answer, Failed> {
        let id = path.split('/').nth(3).unwrap_or_default().to_owned();
        let right = match answer.status() {
            StatusCode::OK => answer.into_body().collect().await.ok(),
            _none => None,
        };
        let right = right.map(http_body_util::Collected::to_bytes);
        let bytes = self
            .work(move |desk| desk.wrong_receipt(&id, how, route == Route::Commit, right.as_deref()))
            .await??;
        Ok(receipt_answer(&bytes))
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Answer, Failed> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match (request.method(), parts.as_slice()) {
            (&Method::PUT, ["v1", "dossiers", id]) => self.announce(dossier_id(id)?, request).await,
            (&Method::HEAD, ["v1", "uploads", token]) => self.head(token, request.headers()).await,
            (&Method::PATCH, ["v1", "uploads", token]) => self.patch(token, request).await,
            (&Method::POST, ["v1", "dossiers", id, "commit"]) => self.commit(dossier_id(id)?, request).await,
            (&Method::GET, ["v1", "dossiers", id, "receipt"]) => {
                self.receipt(dossier_id(id)?, wait(request.uri().query())?).await
            }
            (&Method::GET, ["v1", "pre-demandes", number]) => self.pre_demande((*number).to_owned()).await,
            (&Method::POST, ["v1", "statuses"]) => self.statuses(request).await,
            _ => Err(Problem::Unknown("no such address or method").into()),
        }
    }

    async fn announce(&self, id: String, request: Request<Incoming>) -> Result<Answer, Failed> {
        let body: Announcement = json(request, self.idle).await?;
        if body.profile != "CERT-CMS-1" {
            return Err(Problem::Malformed("the profile is CERT-CMS-1").into());
        }
        if !is_sha256(&body.sha256) || body.size == 0 {
            return Err(
                Problem::Malformed("a size and a SHA-256 in lower-case hexadecimal are needed").into(),
            );
        }
        if body.size > PARCEL_MAX_BYTES {
            return Err(Problem::TooLarge.into());
        }
        let station = self.station.clone();
        let announced = self
            .work(move |desk| desk.announce(&station, &id, body.size, &body.sha256))
            .await??;
        let status = if announced.is_new {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        Ok(json_answer(status, &announced))
    }

    async fn head(&self, token: &str, headers: &HeaderMap) -> Result<Answer, Failed> {
        tus(headers)?;
        let upload = self.upload(token).await?;
        let offset = self.desk.offset(&upload)?;
        let mut answer = empty(StatusCode::OK);
        answer.headers_mut().insert(UPLOAD_OFFSET, offset.into());
        answer.headers_mut().insert(UPLOAD_LENGTH, upload.size.into());
        Ok(answer)
    }

    async fn patch(&self, token: &str, request: Request<Incoming>) -> Result<Answer, Failed> {
        let headers = request.headers();
        tus(headers)?;
        if headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes) != Some(b"application/offset+octet-stream") {
            return Err(Problem::Malformed("a PATCH has the type application/offset+octet-stream").into());
        }
        let offset = headers
            .get(UPLOAD_OFFSET)
            .and_then(|offset| offset.to_str().ok()?.parse().ok());
        let offset: u64 = offset.ok_or(Problem::Malformed("a PATCH has an Upload-Offset"))?;

        let upload = self.upload(token).await?;
        let file = self.desk.writer(&upload, offset)?;
        let room = upload.size.checked_sub(offset).ok_or(Problem::Offset)?;
        let announced = hyper::body::Body::size_hint(request.body()).exact();
        if announced.is_some_and(|len| len > room) {
            return Err(Problem::TooLarge.into());
        }
        let offset = offset + self.pour(&upload, file, request.into_body(), room).await?;
        let mut answer = empty(StatusCode::NO_CONTENT);
        answer.headers_mut().insert(UPLOAD_OFFSET, offset.into());
        Ok(answer)
    }

    /// Writes what arrives, piece by piece, so that a cut keeps it. The count of bytes.
    async fn pour(
        &self,
        upload: &Upload,
        mut file: File,
        mut body: Incoming,
        room: u64,
    ) -> Result<u64, Failed> {
        let mut poured = 0_u64;
        loop {
            let frame = match timeout(self.idle, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => return Ok(poured),
                Ok(Some(Err(_))) | Err(_) => return Err(Failed::Dropped),
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if len > room - poured {
                return Err(Problem::TooLarge.into());
            }
            let (kept, cut) = self.desk.state().orders.faults.cut(&bytes);
            self.desk.append(upload, &mut file, kept)?;
            if cut {
                return Err(Failed::Dropped);
            }
            poured += len;
        }
    }

    async fn commit(&self, id: String, request: Request<Incoming>) -> Result<Answer, Failed> {
        let body: Commit = json(request, self.idle).await?;
        let lock = self.desk.dossier_lock(&self.station, &id)?;
        let busy = timeout(LOCK, lock.lock_owned())
            .await
            .map_err(|_elapsed| Problem::Busy)?;
        let station = self.station.clone();
        let r1 = self
            .work(move |desk| {
                let done = desk.commit(&station, &id, &body.sha256);
                drop(busy);
                done
            })
            .await??;
        let lost = {
            let faults = &mut self.desk.state().orders.faults;
            let lost = faults.lose_commit_answer > 0;
            faults.lose_commit_answer -= u32::from(lost);
            lost
        };
        if lost {
            Err(Failed::Dropped)
        } else {
            Ok(receipt_answer(&r1))
        }
    }

    async fn receipt(&self, id: String, wait: Duration) -> Result<Answer, Failed> {
        let deadline = Instant::now() + wait;
        let mut changed = self.desk.changed.subscribe();
        loop {
            if let Some(receipt) = self.desk.receipt(&self.station, &id)? {
                return Ok(receipt_answer(&receipt));
            }
            if !matches!(timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return Ok(empty(StatusCode::NO_CONTENT));
            }
        }
    }

    async fn pre_demande(&self, number: String) -> Result<Answer, Failed> {
        let station = self.station.clone();
        let sealed = self.work(move |desk| {
            let found = PreDemande::load(&desk.dir, &number)?;
            let found = found.ok_or(Problem::Unknown("no such number"))?;
            let json = serde_json::to_vec(&found).map(zeroize::Zeroizing::new);
            let json = json.map_err(|_value| Error::Crypto("write a pré-demande"))?;
            let to = desk.keys.station_encryption(&station)?;
            Ok::<_, Problem>(envelope::seal(&json, &to)?)
        });
        Ok(typed(StatusCode::OK, RECEIPT_TYPE, Bytes::from(sealed.await??)))
    }

    async fn statuses(&self, request: Request<Incoming>) -> Result<Answer, Failed> {
        let body: Question = json(request, self.idle).await?;
        if body.demandes.len() > STATUSES_MAX {
            return Err(Problem::Malformed("at most 100 demandes").into());
        }
        let statuses = self.desk.statuses(body.demandes).into_iter();
        let statuses: Vec<_> = statuses
            .map(|(demande, status)| serde_json::json!({"demande": demande, "status": status}))
            .collect();
        Ok(json_answer(
            StatusCode::OK,
            &serde_json::json!({"statuses": statuses}),
        ))
    }

    async fn upload(&self, token: &str) -> Result<Upload, Failed> {
        let (id, lock) = self.desk.upload_lock(&self.station, token)?;
        let busy = timeout(LOCK, lock.lock_owned())
            .await
            .map_err(|_elapsed| Problem::Busy)?;
        Ok(self.desk.upload(id, busy)?)
    }

    /// Lets the desk work where blocking is no harm. It finishes even if the station goes.
    async fn work<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Desk) -> T + Send + 'static,
    ) -> Result<T, Failed> {
        let desk = self.desk.clone();
        let working = self.working.clone().read_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let done = job(&desk);
            // In this order: who waits for the work may then take over the folder.
            drop(desk);
            drop(working);
            done
        });
        done.await.map_err(|_panicked| Failed::Dropped)
    }
}

/// The body of an announcement.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    size: u64,
    sha256: String,
    profile: String,
}

/// The body of a commit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    sha256: String,
}

/// The body of a question for statuses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    demandes: Vec<String>,
}

/// How many readers of requests take this text: as an id, as a query, as one of the bodies.
pub(crate) fn readable(text: &str) -> usize {
    let is_body = serde_json::from_str::<Announcement>(text).is_ok()
        || serde_json::from_str::<Commit>(text).is_ok()
        || serde_json::from_str::<Question>(text).is_ok();
    usize::from(dossier_id(text).is_ok()) + usize::from(wait(Some(text)).is_ok()) + usize::from(is_body)
}

fn dossier_id(text: &str) -> Result<String, Problem> {
    let id = uuid::Uuid::try_parse(text)
        .ok()
        .map(|id| id.as_hyphenated().to_string());
    id.filter(|id| id == text)
        .ok_or(Problem::Malformed("a dossier id is a lower-case hyphenated UUID"))
}

fn wait(query: Option<&str>) -> Result<Duration, Problem> {
    const RULE: Problem = Problem::Malformed("wait is a count of seconds, at most 30");
    match query {
        None => Ok(Duration::ZERO),
        Some(query) => {
            let seconds = query
                .strip_prefix("wait=")
                .and_then(|seconds| seconds.parse().ok());
            let seconds = seconds.filter(|seconds| *seconds <= WAIT_MAX_S);
            seconds.map(Duration::from_secs).ok_or(RULE)
        }
    }
}

fn tus(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.get(TUS_RESUMABLE) {
        Some(version) if version == TUS_VERSION => Ok(()),
        Some(_other) => Err(Problem::Version),
        None => Err(Problem::Malformed("Tus-Resumable is missing")),
    }
}

async fn json<T: for<'de> Deserialize<'de>>(request: Request<Incoming>, idle: Duration) -> Result<T, Failed> {
    let body = http_body_util::Limited::new(request.into_body(), JSON_MAX_BYTES);
    let body = match timeout(idle, body.collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_too_large_or_cut)) => return Err(Problem::Malformed("the body is too large or cut").into()),
        Err(_idle) => return Err(Failed::Dropped),
    };
    serde_json::from_slice(&body)
        .map_err(|_json| Problem::Malformed("the body is not the JSON of this request").into())
}

fn refused(desk: &Desk, problem: &Problem) -> Answer {
    if let Problem::Internal(error) = problem {
        desk.give_up(error);
    }
    refuse(problem)
}

/// The answer to a request that is not done.
pub(crate) fn refuse(problem: &Problem) -> Answer {
    let (status, code) = problem.code();
    let mut answer = json_answer(
        status,
        &serde_json::json!({"error": code, "text": problem.to_string()}),
    );
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_S.into());
    }
    answer
}

fn json_answer(status: StatusCode, value: &impl serde::Serialize) -> Answer {
    // A value of ours always serialises.
    let mut value = serde_json::to_value(value).unwrap_or_default();
    let location = value
        .get_mut("upload")
        .and_then(|upload| HeaderValue::from_str(upload.as_str()?).ok());
    let mut answer = typed(status, "application/json", Bytes::from(value.to_string()));
    if let (StatusCode::CREATED, Some(location)) = (status, location) {
        answer.headers_mut().insert(LOCATION, location);
    }
    answer
}

fn receipt_answer(receipt: &[u8]) -> Answer {
    typed(StatusCode::OK, RECEIPT_TYPE, Bytes::copy_from_slice(receipt))
}

fn typed(status: StatusCode, media_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body)));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}

fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = status;
    answer
}
