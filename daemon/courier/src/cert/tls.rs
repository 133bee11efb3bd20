//! Who CERT is and who we are: private roots and the station's certificate, TLS 1.3 and nothing older.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::clocks::Clocks;
use crate::{Config, Error};

/// CERT's address and what a connection to it needs.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) name: ServerName<'static>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) limits: Limits,
    pub(super) clocks: Arc<Clocks>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) connect: Duration,
    pub(super) answer: Duration,
    pub(super) part: Duration,
    pub(super) idle: Duration,
}

const PEM: &[u8] = b"-----BEGIN";

impl Endpoint {
    /// Reads keys and certificates; none where no url is configured.
    pub(crate) fn load(config: &Config) -> Result<Option<Self>, Error> {
        let (Some(url), Some(key), Some(certificate)) =
            (&config.url, &config.tls_key, &config.tls_certificate)
        else {
            return Ok(None);
        };
        let (host, port) = address(url)?;
        let name = ServerName::try_from(host.clone()).map_err(|_not_a_name| URL)?;
        let mut roots = RootCertStore::empty();
        for path in &config.tls_roots {
            for root in certificates(path)? {
                roots.add(root).map_err(Error::Tls)?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(Error::Tls)?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(Error::Tls)?;
        Ok(Some(Self {
            host,
            port,
            name,
            tls: Arc::new(tls),
            limits: Limits {
                connect: Duration::from_secs(config.connect_s),
                answer: Duration::from_secs(config.answer_s),
                part: Duration::from_secs(config.part_s),
                idle: Duration::from_secs(config.idle_s),
            },
            clocks: Arc::default(),
        }))
    }

    /// What to do about the clocks, if this station's and CERT's disagree.
    pub(crate) fn clock_trouble(&self) -> Option<String> {
        self.clocks.trouble()
    }

    /// Of nobody: what is never connected needs no keys.
    pub(crate) fn of_nobody() -> Option<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .ok()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        Some(Self {
            host: "cert.invalid".to_owned(),
            port: 443,
            name: ServerName::try_from("cert.invalid").ok()?,
            tls: Arc::new(tls),
            limits: Limits {
                connect: Duration::from_secs(10),
                answer: Duration::from_secs(30),
                part: Duration::from_mins(2),
                idle: Duration::from_secs(30),
            },
            clocks: Arc::default(),
        })
    }

    /// For the `Host` header (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        let host = match self.host.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_not_one) => self.host.clone(),
        };
        match self.port {
            443 => host,
            port => format!("{host}:{port}"),
        }
    }
}

const URL: Error = Error::ConfigValue {
    key: "url",
    rule: "https://HOST or https://HOST:PORT is needed",
};

pub(crate) fn address(url: &str) -> Result<(String, u16), Error> {
    let uri: hyper::Uri = url.parse().map_err(|_not_one| URL)?;
    let plain = uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    let host = uri.host().filter(|_| plain).ok_or(URL)?;
    // Nothing before the host, and behind it a port or nothing: what is neither would be left out silently.
    let rest = uri.authority().and_then(|all| all.as_str().strip_prefix(host));
    let port = match rest.ok_or(URL)? {
        "" => 443,
        rest => rest.strip_prefix(':').and_then(port).ok_or(URL)?,
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() {
        return Err(URL);
    }
    Ok((host.to_owned(), port))
}

fn port(digits: &str) -> Option<u16> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_digit());
    digits.parse().ok().filter(|port| are_digits && *port > 0)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::file(path, source))?;
    if !bytes.starts_with(PEM) {
        return Ok(vec![CertificateDer::from(bytes)]);
    }
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::file(path, std::io::Error::other(error)))?;
    if found.is_empty() {
        return Err(Error::file(path, std::io::Error::other("no certificate in it")));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = std::fs::read(path).map_err(|source| Error::file(path, source))?;
    if bytes.starts_with(PEM) {
        return PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|error| Error::file(path, std::io::Error::other(error)));
    }
    PrivateKeyDer::try_from(bytes).map_err(|what| Error::file(path, std::io::Error::other(what)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_and_an_address_alone() {
        let read = |url| address(url).ok();
        assert_eq!(read("https://cert.example"), Some(("cert.example".into(), 443)));
        assert_eq!(read("https://127.0.0.1:8443/"), Some(("127.0.0.1".into(), 8443)));
        assert_eq!(read("https://[::1]:8443"), Some(("::1".into(), 8443)));
        for wrong in [
            "http://cert.example",
            "https://cert.example/v1",
            "https://a@cert.example",
            "cert.example",
            "",
            "https://",
            "https://:8443",
            "https://[]",
            "https://cert.example:",
            "https://cert.example:0",
            "https://cert.example:+443",
            "https://cert.example:84430",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
