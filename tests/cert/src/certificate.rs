//! Certificates as CERT needs them: who is named, which key, and whether a root issued it directly.

use der::{Decode, Encode};
use jiff::Timestamp;
use ring::signature;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};

use crate::der::{Reader, sequence, tag};
use crate::error::Refusal;
use crate::oid;

/// A parsed certificate beside its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    parsed: x509_cert::Certificate,
    id: Vec<u8>,
}

/// clientAuth, RFC 5280 §4.2.1.12.
const CLIENT_AUTH: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// commonName, RFC 5280 annex A.1.
const COMMON_NAME: der::oid::ObjectIdentifier = der::oid::ObjectIdentifier::new_unwrap("2.5.4.3");

impl Certificate {
    /// Parses one certificate.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, Refusal> {
        let malformed = |_source| Refusal::from("a certificate is not X.509");
        let parsed = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let issuer = parsed.tbs_certificate().issuer().to_der().map_err(malformed)?;
        let serial = parsed
            .tbs_certificate()
            .serial_number()
            .to_der()
            .map_err(malformed)?;
        let id = sequence(&[&issuer, &serial]);
        Ok(Self {
            der: der.to_vec(),
            parsed,
            id,
        })
    }

    /// Its bytes.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// `IssuerAndSerialNumber` (RFC 5652 §10.2.4), encoded.
    pub(crate) fn id(&self) -> &[u8] {
        &self.id
    }

    /// The subject's public key: for a curve, its point (SEC 1 §2.3.3).
    pub(crate) fn public_key(&self) -> &[u8] {
        self.parsed
            .tbs_certificate()
            .subject_public_key_info()
            .subject_public_key
            .raw_bytes()
    }

    /// The only common name of the subject.
    pub(crate) fn common_name(&self) -> Option<String> {
        let subject = self.parsed.tbs_certificate().subject();
        let mut names = subject.iter().filter(|attribute| attribute.oid == COMMON_NAME);
        let name = names.next()?;
        if names.next().is_some() {
            return None;
        }
        std::str::from_utf8(name.value.value()).ok().map(str::to_owned)
    }

    /// Whether it says that it is for TLS clients.
    pub(crate) fn is_for_tls_clients(&self) -> bool {
        let usage = self.parsed.tbs_certificate().get_extension::<ExtendedKeyUsage>();
        matches!(usage, Ok(Some((_critical, usage))) if usage.0.contains(&CLIENT_AUTH))
    }

    /// Refuses a certificate that cannot seal at `now` for a station of this name under `root`.
    pub(crate) fn check_seal(&self, root: &Self, station: &str, now: Timestamp) -> Result<(), Refusal> {
        self.check_issued_by(root)?;
        self.check_valid(now)?;
        root.check_valid(now)?;
        let certificate = self.parsed.tbs_certificate();
        let usage = certificate.get_extension::<KeyUsage>();
        let seals = matches!(usage, Ok(Some((_critical, usage)))
            if usage.0.contains(KeyUsages::DigitalSignature) && usage.0.contains(KeyUsages::NonRepudiation));
        let other_use = !matches!(certificate.get_extension::<ExtendedKeyUsage>(), Ok(None));
        let is_ca = match certificate.get_extension::<BasicConstraints>() {
            Ok(None) => false,
            Ok(Some((_critical, constraints))) => constraints.ca,
            Err(_malformed) => true,
        };
        if !seals || other_use || is_ca {
            return Err("the seal's certificate is not one for sealing".into());
        }
        if self.common_name().as_deref() != Some(station) {
            return Err(
                "the seal's certificate names another station than the one that sent the parcel".into(),
            );
        }
        Ok(())
    }

    /// RFC 5280 §6.1.3 (a) for a path of one: name and signature (ECDSA P-256 with SHA-256).
    fn check_issued_by(&self, root: &Self) -> Result<(), Refusal> {
        const UNKNOWN: &str = "the seal's certificate was not issued by the station root";
        let (own, issuer) = (self.parsed.tbs_certificate(), root.parsed.tbs_certificate());
        if own.issuer() != issuer.subject() {
            return Err(UNKNOWN.into());
        }
        let mut outer = Reader::new(&self.der, "the seal's certificate");
        let mut parts = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        let signed = parts.one(tag::SEQUENCE)?.whole;
        parts.exactly(oid::ECDSA_SHA256, "is not signed with ECDSA P-256")?;
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, root.public_key())
            .verify(signed, self.parsed.signature().raw_bytes())
            .map_err(|_signature| UNKNOWN.into())
    }

    fn check_valid(&self, now: Timestamp) -> Result<(), Refusal> {
        let validity = self.parsed.tbs_certificate().validity();
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let from = validity.not_before.to_unix_duration().as_secs();
        let until = validity.not_after.to_unix_duration().as_secs();
        if (from..=until).contains(&seconds) {
            Ok(())
        } else {
            Err("the seal's certificate is not valid now".into())
        }
    }
}
