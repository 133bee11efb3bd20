//! CERT's keys and certificates, read from the folder that [`crate::init`] made.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use p384::SecretKey;
use p384::pkcs8::DecodePrivateKey;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::Certificate;
use crate::error::{At, Error};
use crate::pki::is_station_name;

/// All that CERT holds to open, judge and answer.
pub(crate) struct Keys {
    cert_dir: PathBuf,
    pub(crate) encryption: Certificate,
    pub(crate) encryption_key: SecretKey,
    pub(crate) escrow: Certificate,
    pub(crate) receipt: Certificate,
    pub(crate) receipt_key: EcdsaKeyPair,
    pub(crate) station_root: Certificate,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads `dir/cert`.
    pub(crate) fn load(dir: &Path) -> Result<Self, Error> {
        let cert_dir = dir.join("cert");
        let certificate = |name: &str| read_certificate(&cert_dir.join(name));

        let path = cert_dir.join("encryption.key");
        let encryption_key = SecretKey::from_pkcs8_der(read_key(&path)?.secret_der())
            .map_err(|_malformed| bad(&path, "not a key of P-384"))?;
        let path = cert_dir.join("receipt.key");
        let receipt_key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_ASN1_SIGNING,
            read_key(&path)?.secret_der(),
            &SystemRandom::new(),
        )
        .map_err(|_rejected| bad(&path, "not a key of P-256"))?;
        Ok(Self {
            encryption: certificate("encryption.crt")?,
            encryption_key,
            escrow: certificate("escrow.crt")?,
            receipt: certificate("receipt.crt")?,
            receipt_key,
            station_root: certificate("station-root.crt")?,
            cert_dir,
        })
    }

    /// Whether CERT has registered a station of this name.
    pub(crate) fn knows(&self, station: &str) -> bool {
        is_station_name(station) && self.cert_dir.join("stations").join(station).is_dir()
    }

    /// The certificate that CERT encrypts to for this station.
    pub(crate) fn station_encryption(&self, station: &str) -> Result<Certificate, Error> {
        read_certificate(
            &self
                .cert_dir
                .join("stations")
                .join(station)
                .join("encryption.crt"),
        )
    }
}

/// The first certificate of a PEM file.
fn read_certificate(path: &Path) -> Result<Certificate, Error> {
    let pem = fs::read(path).at(path)?;
    let der =
        CertificateDer::from_pem_slice(&pem).map_err(|_malformed| bad(path, "not a certificate in PEM"))?;
    Certificate::parse(&der).map_err(|_malformed| bad(path, "not an X.509 certificate"))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = zeroize::Zeroizing::new(fs::read(path).at(path)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_malformed| bad(path, "not a key in PEM"))
}

fn bad(path: &Path, what: &'static str) -> Error {
    Error::Key {
        path: path.to_path_buf(),
        what,
    }
}

/// CERT's TLS certificate and key, which sign no receipt.
pub(crate) fn tls_signer(dir: &Path) -> Result<(Certificate, EcdsaKeyPair), Error> {
    let path = dir.join("cert/tls.key");
    let key = EcdsaKeyPair::from_pkcs8(
        &ECDSA_P256_SHA256_ASN1_SIGNING,
        read_key(&path)?.secret_der(),
        &SystemRandom::new(),
    );
    let key = key.map_err(|_rejected| bad(&path, "not a key of P-256"))?;
    Ok((read_certificate(&dir.join("cert/tls.crt"))?, key))
}

/// TLS 1.3 alone, with client certificates under the station root; HTTP/1.1.
pub(crate) fn tls(dir: &Path) -> Result<rustls::ServerConfig, Error> {
    let cert_dir = dir.join("cert");
    let read = |name: &str| {
        let path = cert_dir.join(name);
        let pem = fs::read(&path).at(&path)?;
        CertificateDer::from_pem_slice(&pem).map_err(|_malformed| bad(&path, "not a certificate in PEM"))
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(read("station-root.crt")?)?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .build()
        .map_err(|_verifier| Error::Crypto("verify stations with this root"))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![read("tls.crt")?], read_key(&cert_dir.join("tls.key"))?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
