//! A CERT in a folder, a station that talks to it, and the tools of other people that judge both.
#![allow(dead_code, unreachable_pub, reason = "each test program uses a part of it")]

pub mod der;
pub mod parcel;

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use recueil_cert::{Server, init};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub const STATION: &str = "MAIRIE-1";
/// No test waits longer for anything.
const LIMIT: Duration = Duration::from_mins(1);

/// A CERT that serves in this process.
pub struct Cert {
    pub dir: tempfile::TempDir,
    pub server: Server,
}

impl Cert {
    pub async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        init(dir.path(), STATION, 2)?;
        let server = Server::start(dir.path()).await?;
        Ok(Self { dir, server })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn station(&self) -> Result<Station> {
        Station::new(
            &self.path("station"),
            &self.path("station/trust"),
            self.server.addr(),
        )
    }

    pub async fn order(&self, order: Value) -> Result<Value> {
        let answer: Value = serde_json::from_str(&self.server.control(&order.to_string()).await)?;
        ensure!(answer["ok"] == true, "{answer}");
        Ok(answer)
    }
}

/// A station's end of the line.
pub struct Station {
    tls: TlsConnector,
    addr: SocketAddr,
}

/// What CERT answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{self:?}"))
    }

    /// Status and code of an error.
    pub fn error(&self) -> Result<(u16, String)> {
        let code = self.json()?["error"].as_str().context("no error")?.to_owned();
        Ok((self.status.as_u16(), code))
    }

    pub fn offset(&self) -> Option<u64> {
        self.headers.get("upload-offset")?.to_str().ok()?.parse().ok()
    }
}

impl Station {
    /// A station by the keys of one folder.
    pub fn new(dir: &Path, trust_dir: &Path, addr: SocketAddr) -> Result<Self> {
        let builder = client(trust_dir)?;
        let chain = vec![CertificateDer::from_pem_file(dir.join("tls.crt"))?];
        let key = PrivateKeyDer::from_pem_file(dir.join("tls.key"))?;
        let tls = TlsConnector::from(Arc::new(builder.with_client_auth_cert(chain, key)?));
        Ok(Self { tls, addr })
    }

    /// Somebody without a certificate.
    pub fn nobody(trust_dir: &Path, addr: SocketAddr) -> Result<Self> {
        let tls = TlsConnector::from(Arc::new(client(trust_dir)?.with_no_client_auth()));
        Ok(Self { tls, addr })
    }

    /// One request on a connection of its own.
    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        timeout(LIMIT, self.ask_unlimited(method, path, headers, body)).await?
    }

    /// A connection that nothing was said on yet.
    pub async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.addr).await?;
        Ok(self
            .tls
            .connect(ServerName::try_from("localhost")?, stream)
            .await?)
    }

    async fn ask_unlimited(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let stream = self.connect().await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = sender
            .send_request(request.body(Full::new(Bytes::copy_from_slice(body)))?)
            .await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        connection.abort();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        })
    }

    pub async fn json(&self, method: &str, path: &str, body: Value) -> Result<Answer> {
        self.ask(method, path, &[], body.to_string().as_bytes()).await
    }

    pub async fn put(&self, id: &str, parcel: &[u8]) -> Result<Answer> {
        let body = serde_json::json!({
            "size": parcel.len(), "sha256": sha256(parcel), "profile": "CERT-CMS-1",
        });
        self.json("PUT", &format!("/v1/dossiers/{id}"), body).await
    }

    /// The address that a PUT gives.
    pub async fn upload(&self, id: &str, parcel: &[u8]) -> Result<String> {
        let answer = self.put(id, parcel).await?.json()?;
        Ok(answer["upload"].as_str().context("no upload")?.to_owned())
    }

    pub async fn head(&self, upload: &str) -> Result<Answer> {
        self.ask("HEAD", upload, &[("tus-resumable", "1.0.0")], b"").await
    }

    pub async fn patch(&self, upload: &str, offset: u64, bytes: &[u8]) -> Result<Answer> {
        let headers = [
            ("tus-resumable", "1.0.0"),
            ("content-type", "application/offset+octet-stream"),
            ("upload-offset", &offset.to_string()),
        ];
        self.ask("PATCH", upload, &headers, bytes).await
    }

    pub async fn commit(&self, id: &str, parcel: &[u8]) -> Result<Answer> {
        let body = serde_json::json!({"sha256": sha256(parcel)});
        self.json("POST", &format!("/v1/dossiers/{id}/commit"), body)
            .await
    }

    pub async fn receipt(&self, id: &str, wait_s: u64) -> Result<Answer> {
        self.ask(
            "GET",
            &format!("/v1/dossiers/{id}/receipt?wait={wait_s}"),
            &[],
            b"",
        )
        .await
    }

    /// The whole way, to the receipt that ends it.
    pub async fn send(&self, id: &str, parcel: &[u8]) -> Result<Sent> {
        let upload = self.upload(id, parcel).await?;
        let sent = self.patch(&upload, 0, parcel).await?;
        ensure!(sent.status == StatusCode::NO_CONTENT, "{sent:?}");
        let r1 = self.commit(id, parcel).await?;
        ensure!(r1.status == StatusCode::OK, "{r1:?}");
        let end = self.receipt(id, 30).await?;
        ensure!(end.status == StatusCode::OK, "{end:?}");
        Ok(Sent {
            r1: r1.body,
            end: end.body,
        })
    }
}

/// Both receipts, as they came.
pub struct Sent {
    pub r1: Bytes,
    pub end: Bytes,
}

fn client(
    trust_dir: &Path,
) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trust_dir.join("tls-root.crt"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    Ok(builder
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots))
}

/// What a receipt says, by openssl's word that it is CERT's.
pub fn read_receipt(receipt: &[u8], trust_dir: &Path) -> Result<Value> {
    let root = trust_dir.join("receipt-root.crt");
    let json = openssl(
        &[
            "cms", "-verify", "-cades", "-binary", "-inform", "DER", "-purpose", "any", "-CAfile",
        ],
        &[&root],
        receipt,
    )?;
    Ok(serde_json::from_slice(&json)?)
}

/// Runs openssl with `input`, gives its output.
pub fn openssl(arguments: &[&str], files: &[&Path], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .args(files)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("openssl is needed")?;
    let mut stdin = child.stdin.take().context("no input")?;
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output()?;
    // Openssl may end before it has read everything; its status tells.
    let _written = writer.join();
    ensure!(
        output.status.success(),
        "openssl: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = digest.as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// DER of a certificate in PEM.
pub fn certificate(path: &Path) -> Result<Vec<u8>> {
    Ok(CertificateDer::from_pem_slice(&fs::read(path)?)?.to_vec())
}

/// A new dossier id.
pub fn dossier_id(number: u64) -> String {
    uuid::Builder::from_unix_timestamp_millis(1_800_000_000_000 + number, &[7; 10])
        .into_uuid()
        .to_string()
}
