//! One connection to CERT: one question, one answer, each with its time and its size.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{CMS_TYPE, Endpoint, Failure};

const TUS: HeaderName = HeaderName::from_static("tus-resumable");
const TUS_VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const AGENT: &str = concat!("recueil-courier/", env!("CARGO_PKG_VERSION"));

/// A line to CERT. It connects when something is asked and stays up while more is asked; a failed question closes it.
#[derive(Debug)]
pub(crate) struct Line {
    endpoint: Endpoint,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    /// Closes it when nothing is asked.
    idle: Option<JoinHandle<()>>,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream that is up.
    async fn over(
        stream: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    ) -> Result<Self, Failure> {
        let (sender, driver) = http1::Builder::new()
            .max_headers(64)
            .max_buf_size(64 << 10)
            .handshake(stream)
            .await
            .map_err(|error| Failure::from_connection(&error))?;
        let driver = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to CERT ended");
            }
        });
        let idle = None;
        Ok(Self { sender, driver, idle })
    }

    /// Nothing is asked for now. Lines of town halls go through boxes that forget who is silent.
    fn rest(&mut self, limit: Duration) {
        let driver = self.driver.abort_handle();
        self.idle = Some(tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            driver.abort();
        }));
    }

    /// Whether it was not closed meanwhile, and will not be.
    async fn wake(&mut self) -> bool {
        let Some(idle) = self.idle.take() else { return true };
        idle.abort();
        idle.await.is_err()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
        if let Some(idle) = &self.idle {
            idle.abort();
        }
    }
}

/// A question.
pub(super) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    time: Time,
}

/// How long a question may take.
#[derive(Clone, Copy)]
enum Time {
    /// As any answer, and this much longer.
    Answer(Duration),
    /// As a part of a parcel.
    Part,
}

impl Ask {
    pub(super) fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: Vec::new(),
            time: Time::Answer(Duration::ZERO),
        }
    }

    pub(super) fn json(method: Method, path: String, body: Vec<u8>) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        Self {
            method,
            headers,
            body,
            ..Self::get(path)
        }
    }

    pub(super) fn tus(method: Method, path: String) -> Self {
        Self {
            method,
            headers: vec![(TUS, TUS_VERSION)],
            ..Self::get(path)
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    pub(super) fn body(self, body: Vec<u8>) -> Self {
        Self {
            body,
            time: Time::Part,
            ..self
        }
    }

    /// CERT may keep us waiting for this long before it answers.
    pub(super) fn waiting(self, seconds: u64) -> Self {
        Self {
            time: Time::Answer(Duration::from_secs(seconds)),
            ..self
        }
    }
}

/// What a good answer is.
pub(super) struct Expect {
    statuses: &'static [StatusCode],
    media_type: Option<&'static str>,
    max_bytes: usize,
    tus: bool,
}

impl Expect {
    pub(super) fn json(max_bytes: usize) -> Self {
        let statuses = &[StatusCode::OK, StatusCode::CREATED];
        Self {
            statuses,
            media_type: Some("application/json"),
            max_bytes,
            tus: false,
        }
    }

    pub(super) fn cms(max_bytes: usize) -> Self {
        Self {
            statuses: &[StatusCode::OK],
            media_type: Some(CMS_TYPE),
            max_bytes,
            tus: false,
        }
    }

    pub(super) fn or_nothing(self) -> Self {
        Self {
            statuses: &[StatusCode::OK, StatusCode::NO_CONTENT],
            ..self
        }
    }

    pub(super) fn tus(status: StatusCode) -> Self {
        let statuses = if status == StatusCode::OK {
            &[StatusCode::OK]
        } else {
            &[StatusCode::NO_CONTENT]
        };
        Self {
            statuses,
            media_type: None,
            max_bytes: 0,
            tus: true,
        }
    }
}

/// Answers that are failures are small.
const PROBLEM_MAX_BYTES: usize = 64 << 10;

/// A good answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_not_one| Failure::protocol("JSON"))
    }

    /// The body, which begins as a DER SEQUENCE does. More is not looked at here.
    pub(super) fn cms(self) -> Result<Vec<u8>, Failure> {
        if self.body.first() == Some(&0x30) {
            Ok(self.body)
        } else {
            Err(Failure::protocol("no CMS"))
        }
    }

    pub(super) fn number(&self, header: &str) -> Option<u64> {
        self.headers.get(header)?.to_str().ok()?.parse().ok()
    }
}

impl Line {
    /// A line that is not up yet.
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            connection: None,
        }
    }

    /// A line that is up already, over this stream.
    pub(crate) async fn over(
        endpoint: Endpoint,
        stream: impl hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    ) -> Result<Self, Failure> {
        Ok(Self {
            endpoint,
            connection: Some(Connection::over(stream).await?),
        })
    }

    /// Asks once. An answer that is not expected is a [`Failure`]; after one of the connection the next
    /// question connects anew.
    pub(super) async fn ask(&mut self, ask: Ask, expect: Expect) -> Result<Answer, Failure> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        let time = match ask.time {
            Time::Answer(longer) => self.endpoint.limits.answer + longer,
            Time::Part => self.endpoint.limits.part,
        };
        let request = self.request(ask)?;
        let late = |_elapsed| Failure::Unreachable("CERT does not answer in time; it is tried again".into());
        let asked = async {
            let response = connection.sender.send_request(request).await;
            let response = response.map_err(|error| {
                // More headers than anyone needs, or no HTTP.
                if error.is_parse() {
                    Failure::protocol("an answer that is no HTTP, or has too many headers")
                } else {
                    Failure::from_connection(&error)
                }
            })?;
            let (head, body) = response.into_parts();
            let good = expect.statuses.contains(&head.status);
            let max_bytes = if good { expect.max_bytes } else { PROBLEM_MAX_BYTES };
            let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
                match error.downcast_ref::<http_body_util::LengthLimitError>() {
                    Some(_) => Failure::protocol("an answer that is too long"),
                    None => Failure::from_connection(&*error),
                }
            })?;
            Ok((head, body.to_bytes().to_vec(), good))
        };
        let (head, body, good) = timeout(time, asked).await.map_err(late)??;
        let date = head.headers.get(DATE).and_then(|date| date.to_str().ok());
        self.endpoint.clocks.note(date, Timestamp::now());
        // What stands before CERT may say that CERT is down; only CERT takes parts of parcels.
        let from_cert = head.headers.get(TUS) == Some(&TUS_VERSION);
        if expect.tus && !from_cert && !head.status.is_server_error() {
            return Err(Failure::Unreachable(
                "something between this station and CERT answers in its place (captive portal, proxy)".into(),
            ));
        }
        connection.rest(self.endpoint.limits.idle);
        self.connection = Some(connection);
        if !good {
            let retry_after_s = head
                .headers
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(refusal(head.status, retry_after_s, &body, expect.tus));
        }
        let answer = Answer {
            status: head.status,
            headers: head.headers,
            body,
        };
        let media_type = answer
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if answer.status != StatusCode::NO_CONTENT
            && expect.media_type.is_some_and(|wanted| media_type != Some(wanted))
        {
            return Err(Failure::protocol("another media type"));
        }
        Ok(answer)
    }

    fn request(&self, ask: Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.path)
            .header(HOST, self.endpoint.authority())
            .header(USER_AGENT, AGENT);
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(Bytes::from(ask.body)))
            .map_err(|_not_a_request| Failure::protocol("an address"))
    }

    /// The connection of the question before, if it still stands.
    async fn kept(&mut self) -> Option<Connection> {
        let mut connection = self.connection.take()?;
        if !connection.wake().await {
            return None;
        }
        let ready = timeout(self.endpoint.limits.connect, connection.sender.ready()).await;
        matches!(ready, Ok(Ok(()))).then_some(connection)
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let unreachable = |text: &str| Failure::Unreachable(text.to_owned());
        let Endpoint {
            host,
            port,
            name,
            tls,
            limits,
            ..
        } = &self.endpoint;
        let stream = match timeout(limits.connect, TcpStream::connect((host.as_str(), *port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::from_connection(&error)),
            Err(_elapsed) => {
                return Err(unreachable(
                    "CERT's address does not answer: look at the network; it is tried again",
                ));
            }
        };
        // Small questions are not kept back for more; a line without it is only slower.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let tls = TlsConnector::from(tls.clone()).connect(name.clone(), stream);
        let stream = match timeout(limits.connect, tls).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Failure::from_connection(&error)),
            Err(_elapsed) => {
                return Err(unreachable(
                    "CERT's address answers, but not in TLS; it is tried again",
                ));
            }
        };
        Connection::over(TokioIo::new(stream)).await
    }
}

/// A HEAD's refusal has no words; on an upload a conflict is one of offsets.
fn refusal(status: StatusCode, retry_after_s: Option<u64>, body: &[u8], tus: bool) -> Failure {
    match Failure::from_answer(status, retry_after_s, body) {
        Failure::Conflict(_) if tus && body.is_empty() => Failure::Offset,
        failure => failure,
    }
}
