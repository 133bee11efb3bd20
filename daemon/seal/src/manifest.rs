//! What the container says of itself: `dossier.json`, and the `ASiCManifest` that the signature is over.

use std::fmt::Write as _;
use std::io;

use jiff::Timestamp;
use recueil_dossier::{DossierId, Draft, StationId, hex};
use ring::digest::Digest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Error;
use crate::container::Entry;

pub(crate) const MIMETYPE_NAME: &str = "mimetype";
pub(crate) const MIMETYPE: &[u8] = b"application/vnd.etsi.asic-e+zip";
pub(crate) const DOSSIER_NAME: &str = "dossier.json";
pub(crate) const ASIC_MANIFEST_NAME: &str = "META-INF/ASiCManifest001.xml";
pub(crate) const SIGNATURE_NAME: &str = "META-INF/signature001.p7s";
const SCHEMA: &str = "recueil-dossier-1";

/// How good the station's clock was at sealing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Set by the network or by a receiver.
    Synchronised,
    /// Not known to be right.
    Unsynchronised,
}

/// `dossier.json` (tests/cert/PROTOCOL.md).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    schema: String,
    dossier: DossierId,
    station: StationId,
    sequence: u64,
    sealed_at: Timestamp,
    clock: Clock,
    recipients: Vec<String>,
    application: String,
    content: Draft,
}

impl Manifest {
    pub(crate) fn new(
        content: Draft,
        station: &StationId,
        sequence: u64,
        (sealed_at, clock): (Timestamp, Clock),
        recipients: Vec<String>,
        application: &str,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            dossier: content.id,
            station: station.clone(),
            sequence,
            sealed_at,
            clock,
            recipients,
            application: application.to_owned(),
            // A station's uids mean nothing to CERT.
            content: Draft {
                owner_uid: 0,
                ..content
            },
        }
    }

    /// As JSON, in a buffer that never moved: growing would leave copies that nobody wipes.
    pub(crate) fn to_json(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        const WHAT: Error = Error::SelfCheck("dossier.json cannot be written");
        let mut counter = Counter(0);
        serde_json::to_writer(&mut counter, self).map_err(|_| WHAT)?;
        let mut json = Zeroizing::new(Vec::with_capacity(counter.0));
        serde_json::to_writer(&mut *json, self).map_err(|_| WHAT)?;
        Ok(json)
    }

    /// Reads `dossier.json` back and compares it with what was to be written and with the entries beside it.
    /// Measured qualities are left to the digest: a decimal number does not come back to the last bit.
    pub(crate) fn self_check(&self, json: &[u8], items: &[(Entry<'_>, Digest)]) -> Result<(), Error> {
        let read: Self =
            serde_json::from_slice(json).map_err(|_| Error::SelfCheck("dossier.json cannot be read"))?;
        let head = |of: &Self| {
            let sealed = (of.sealed_at, of.clock, of.sequence);
            (of.schema.clone(), of.dossier, of.station.clone(), sealed)
        };
        let is_same = head(self) == head(&read)
            && self.recipients == read.recipients
            && self.application == read.application
            && read.content.id == read.dossier
            && read.content.owner_uid == 0;
        if !is_same {
            return Err(Error::SelfCheck("dossier.json says something else"));
        }
        let mut records = read.content.items.values();
        let has_entry = |(entry, sha256): &(Entry<'_>, Digest)| {
            records.next().is_some_and(|record| {
                record.file_name() == entry.name
                    && usize::try_from(record.len_bytes) == Ok(entry.data.len())
                    && record.sha256 == hex(sha256.as_ref())
            })
        };
        let are_all_there = items.iter().all(has_entry) && records.next().is_none();
        if are_all_there {
            Ok(())
        } else {
            Err(Error::SelfCheck("the entries are not those of dossier.json"))
        }
    }
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The `ASiCManifest` (ETSI EN 319 162-1 annex A.4) over these files (name, SHA-256).
///
/// Names are those of [`crate::container`], so nothing needs escaping.
pub(crate) fn asic_manifest<N: AsRef<str>>(files: impl Iterator<Item = (N, Digest)>) -> String {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n",
    );
    // Writing to a String cannot fail.
    let _infallible = writeln!(
        xml,
        "<asic:SigReference URI=\"{SIGNATURE_NAME}\" MimeType=\"application/pkcs7-signature\"/>"
    );
    for (name, sha256) in files {
        let (name, sha256) = (name.as_ref(), base64(sha256.as_ref()));
        let _infallible = writeln!(
            xml,
            "<asic:DataObjectReference URI=\"{name}\">\
             <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
             <ds:DigestValue>{sha256}</ds:DigestValue></asic:DataObjectReference>"
        );
    }
    xml.push_str("</asic:ASiCManifest>\n");
    xml
}

/// Standard base64 (RFC 4648 section 4), as `ds:DigestValue` has it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = (0..3).fold(0_u32, |bits, at| {
                (bits << 8) | u32::from(chunk.get(at).copied().unwrap_or(0))
            });
            [18, 12, 6, 0].into_iter().enumerate().map(move |(at, shift)| {
                let index = usize::try_from((bits >> shift) & 0x3f).unwrap_or(0);
                let digit = ALPHABET.get(index).copied().map_or('=', char::from);
                if at <= chunk.len() { digit } else { '=' }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn base64_gives_the_published_texts() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
