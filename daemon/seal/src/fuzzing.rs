//! The private readers as functions of bytes, for `tests/fuzz` alone. No part of the interface.

use jiff::Timestamp;
use ring::rand::SystemRandom;

use crate::certificate::Certificate;
use crate::{Error, Party, SealingKey, cades, container, envelope, manifest};

/// Name and data of each entry, in the order of the file.
pub type Entries<'a> = Vec<(&'a str, &'a [u8])>;

/// Reads a ZIP of the profile.
pub fn zip(bytes: &[u8]) -> Result<Entries<'_>, Error> {
    let entries = container::read(bytes)?;
    Ok(entries.iter().map(|entry| (entry.name, entry.data)).collect())
}

/// Writes a ZIP of the profile.
pub fn write_zip(entries: &[(&str, &[u8])]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut writer = container::Writer::new(&mut bytes);
    for (name, data) in entries {
        writer.put(name, data)?;
    }
    writer.finish()?;
    Ok(bytes)
}

/// An envelope that was read, not opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Ephemeral point, content of `IssuerAndSerialNumber`, wrapped key, of each recipient.
    pub recipients: Vec<[&'a [u8]; 3]>,
    /// The nonce.
    pub nonce: [u8; 12],
    /// What is encrypted.
    pub content: &'a [u8],
    /// The mac.
    pub mac: [u8; 16],
}

/// Reads an envelope's structure.
pub fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, Error> {
    let read = envelope::Envelope::parse(bytes)?;
    let recipients = read
        .recipients
        .iter()
        .map(|of| [of.ephemeral_point, of.issuer_and_serial, of.wrapped_key]);
    Ok(Envelope {
        recipients: recipients.collect(),
        nonce: read.nonce,
        content: bytes.get(read.content.clone()).unwrap_or_default(),
        mac: read.mac,
    })
}

/// A signature that verifies by the certificate that came with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// What came inside.
    pub content: Option<&'a [u8]>,
    /// The signer's certificate.
    pub certificate: Vec<u8>,
    /// As the attribute says.
    pub signing_time: Timestamp,
}

/// Verifies a signature over `detached`, or over what is inside.
pub fn signature<'a>(cms: &'a [u8], detached: Option<&[u8]>) -> Result<Signed<'a>, Error> {
    let verified = cades::verify(cms, detached, Party::Station)?;
    Ok(Signed {
        content: verified.content,
        certificate: verified.signer.der().to_vec(),
        signing_time: verified.signing_time,
    })
}

/// Signs, detached.
pub fn sign(content: &[u8], key: &SealingKey, at: Timestamp) -> Result<Vec<u8>, Error> {
    cades::sign_detached(content, key, at, &SystemRandom::new())
}

/// What of a certificate others read too.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateParts {
    /// Issuer's name and serial number, each with tag and length.
    pub issuer_and_serial: Vec<u8>,
    /// The point.
    pub public_key: Vec<u8>,
    /// The subject's.
    pub common_name: Option<String>,
}

/// Reads a certificate.
pub fn certificate(der: &[u8]) -> Result<CertificateParts, Error> {
    let read = Certificate::parse(der, Party::Station)?;
    Ok(CertificateParts {
        issuer_and_serial: read.issuer_and_serial()?,
        public_key: read.public_key().to_vec(),
        common_name: read.common_name(),
    })
}

/// Reads `dossier.json` and writes it again.
pub fn dossier_json(json: &[u8]) -> Result<Vec<u8>, Error> {
    let read: manifest::Manifest =
        serde_json::from_slice(json).map_err(|_not_one| Error::SelfCheck("dossier.json cannot be read"))?;
    Ok(read.to_json()?.to_vec())
}
