//! The private readers as functions of bytes, for `tests/fuzz` alone.

use std::path::Path;

use jiff::Timestamp;

use crate::cades;
use crate::certificate::Certificate as Read;
use crate::container;
use crate::control;
use crate::envelope;
use crate::http;
use crate::judge;
use crate::keys::Keys;
use crate::manifest;
use crate::xml;
use crate::zip;

/// Why not, in words.
pub type Refused = String;

/// Name and data of each entry, in the order of the file.
pub fn zip(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, Refused> {
    let entries = zip::parse(bytes).map_err(|refusal| refusal.0)?;
    Ok(entries.iter().map(|entry| (entry.name, entry.bytes)).collect())
}

/// An envelope that was read, not opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Ephemeral point, `IssuerAndSerialNumber` with tag and length, wrapped key, of each recipient.
    pub recipients: Vec<[&'a [u8]; 3]>,
    /// The nonce.
    pub nonce: [u8; 12],
    /// What is encrypted.
    pub content: &'a [u8],
    /// The mac.
    pub mac: &'a [u8],
}

/// Reads an envelope's structure.
pub fn envelope(bytes: &[u8]) -> Result<Envelope<'_>, Refused> {
    let read = envelope::Envelope::parse(bytes).map_err(|refusal| refusal.0)?;
    let (recipients, nonce, content, mac) = read.parts();
    Ok(Envelope {
        recipients,
        nonce,
        content,
        mac,
    })
}

/// Verifies a detached signature; the signer's certificate.
pub fn signature(cms: &[u8], content: &[u8]) -> Result<Vec<u8>, Refused> {
    let signer = cades::verify_detached(cms, content).map_err(|refusal| refusal.0)?;
    Ok(signer.der().to_vec())
}

/// What of a certificate the station reads too.
#[derive(Debug)]
pub struct Certificate {
    /// `IssuerAndSerialNumber` with tag and length.
    pub id: Vec<u8>,
    /// The point.
    pub public_key: Vec<u8>,
    /// The subject's.
    pub common_name: Option<String>,
}

/// Reads a certificate.
pub fn certificate(der: &[u8]) -> Result<Certificate, Refused> {
    let read = Read::parse(der).map_err(|refusal| refusal.0)?;
    Ok(Certificate {
        id: read.id().to_vec(),
        public_key: read.public_key().to_vec(),
        common_name: read.common_name(),
    })
}

/// Judges a container; the names that it holds beside what each has.
pub fn container(bytes: &[u8]) -> Result<Vec<&str>, Refused> {
    let read = container::Container::parse(bytes).map_err(|refusal| refusal.0)?;
    Ok(read.items.keys().copied().collect())
}

/// Reads a signed manifest's XML; the count of its elements below the root.
pub fn xml(bytes: &[u8]) -> Result<usize, Refused> {
    Ok(xml::parse(bytes).map_err(|refusal| refusal.0)?.children.len())
}

/// Reads `dossier.json`; its dossier and the count of its items.
pub fn dossier_json(bytes: &[u8]) -> Result<(String, usize), Refused> {
    let read = manifest::Manifest::parse(bytes).map_err(|refusal| refusal.0)?;
    Ok((read.dossier, read.content.items.0.len()))
}

/// Reads what a path, a query and a body of a request hold; how many of the three are of the protocol.
pub fn request(text: &str) -> usize {
    http::readable(text)
}

/// Whether a line is an order.
pub fn order(line: &[u8]) -> bool {
    control::is_order(line)
}

/// A CERT's keys.
#[derive(Debug)]
pub struct Cert(Keys);

impl Cert {
    /// Reads those that [`crate::init`] made.
    pub fn load(dir: &Path) -> Result<Self, crate::Error> {
        Keys::load(dir).map(Self)
    }

    /// Opens and judges a parcel.
    pub fn judge(&self, parcel: &[u8], dossier: &str, station: &str, now: Timestamp) -> Result<(), Refused> {
        judge::judge(parcel, dossier, station, &self.0, now)
            .map(drop)
            .map_err(|refusal| refusal.0)
    }

    /// Opens a parcel.
    pub fn open(&self, parcel: &[u8]) -> Result<Vec<u8>, Refused> {
        let envelope = envelope::Envelope::parse(parcel).map_err(|refusal| refusal.0)?;
        let plain = envelope.open(&self.0.encryption, &self.0.encryption_key);
        Ok(plain.map_err(|refusal| refusal.0)?.to_vec())
    }

    /// Signs what CERT says, attached.
    pub fn sign(&self, content: &[u8], now: Timestamp) -> Result<Vec<u8>, crate::Error> {
        cades::sign(content, &self.0.receipt, &self.0.receipt_key, now)
    }

    /// Encrypts to a station.
    pub fn seal_to(&self, station: &str, plain: &[u8]) -> Result<Vec<u8>, crate::Error> {
        envelope::seal(plain, &self.0.station_encryption(station)?)
    }

    /// Encrypts as a parcel is: to CERT and its escrow.
    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, crate::Error> {
        envelope::seal_to_each(plain, &[&self.0.encryption, &self.0.escrow])
    }
}
