//! Parcels made without a line of ours: the JSON by hand, the ZIP here, signature and envelope by openssl.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use super::{STATION, certificate, openssl, sha256};

/// 1×1 PNG, ISO/IEC 15948.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU";
/// The beginning of a JPEG is enough for CERT.
const JPEG: &[u8] = &[
    0xff, 0xd8, 0xff, 0xe0, 0, 16, b'J', b'F', b'I', b'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0xff, 0xd9,
];

/// A parcel to be made, everything open to change.
#[derive(Debug, Clone)]
pub struct Draft {
    pub dossier: Value,
    /// Entries beside the signed ones and `dossier.json`.
    pub items: Vec<(String, Vec<u8>)>,
    station_dir: PathBuf,
}

impl Draft {
    /// A deposit with a photo and a page.
    pub fn new(id: &str, station_dir: &Path) -> Result<Self> {
        let trust = |name: &str| certificate(&station_dir.join("trust").join(name));
        let recipients = [
            sha256(&trust("cert-encryption.crt")?),
            sha256(&trust("escrow.crt")?),
        ];
        let provenance = json!({
            "source": {"vendor": "v", "model": "m", "serial": "s", "plugin": "fr.example", "plugin_version": "1"},
            "agent": "a.gent", "captured_at": "2026-11-24T10:00:00Z", "profile_sha256": sha256(b""), "analyser": "1",
        });
        let item = |name: &str, content: Value, media_type: &str, bytes: &[u8]| {
            json!({
                "name": name, "step": "photo", "content": content, "media_type": media_type,
                "len_bytes": bytes.len(), "sha256": sha256(bytes),
                "criteria": [{"code": "print-width-mm", "value": 35.1, "threshold": 34.0, "pass": true}],
                "provenance": provenance,
            })
        };
        let dossier = json!({
            "schema": "recueil-dossier-1", "dossier": id, "station": STATION, "sequence": 1,
            "sealed_at": "2026-11-24T10:05:00Z", "clock": "synchronised", "recipients": recipients,
            "application": "test 1",
            "content": {
                "id": id, "kind": "deposit", "procedure": {"id": "cni-adulte", "sha256": sha256(b"")},
                "owner_uid": 0, "agent": "a.gent", "opened_at": "2026-11-24T09:50:00Z",
                "expires_at": "2026-11-25T09:50:00Z", "demande": null, "pre_demande": "VALID12345",
                "fields": {
                    "nom-naissance": {"value": "SPECIMEN", "source": "pre-demande"},
                    "taille": {"value": "171", "source": "typed", "corrects": "170"},
                },
                "items": {
                    "photo": item("photo", json!({"type": "face"}), "image/png", PNG),
                    "page-1": item("page-1", json!({"type": "page", "document": "d", "number": 1}), "image/jpeg", JPEG),
                },
                "missing_fingers": {"7": "bandaged"},
                "selection": {"choices": [
                    {"position": 2, "quality": 80, "reason": {"reason": "first-in-order"}},
                    {"position": 8, "quality": 70,
                     "reason": {"reason": "instead", "passed_over": [{"position": 7, "why": "bandaged"}]}},
                ]},
                "decisions": [{"step": "acte-naissance", "verdict": "absent", "reason": "comedec",
                               "agent": "a.gent", "at": "2026-11-24T10:01:00Z"}],
                "destructions": [{"positions": [3, 4, 5], "at": "2026-11-24T10:02:00Z", "method": "processes-ended"}],
            },
        });
        let items = vec![
            ("photo.png".to_owned(), PNG.to_vec()),
            ("page-1.jpg".to_owned(), JPEG.to_vec()),
        ];
        Ok(Self {
            dossier,
            items,
            station_dir: station_dir.to_path_buf(),
        })
    }

    /// A hand-over of a demande's title, with nothing in it.
    pub fn hand_over(id: &str, demande: &str, station_dir: &Path) -> Result<Self> {
        let mut draft = Self::new(id, station_dir)?;
        draft.items.clear();
        let content = &mut draft.dossier["content"];
        content["kind"] = json!("hand-over");
        content["demande"] = json!(demande);
        content["pre_demande"] = Value::Null;
        content["items"] = json!({});
        draft.dossier["sequence"] = json!(2);
        Ok(draft)
    }

    /// The parcel.
    pub fn seal(&self) -> Result<Vec<u8>> {
        self.envelope(&zip(&self.entries()?))
    }

    /// All entries, signed.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let mut covered = vec![("dossier.json".to_owned(), self.dossier.to_string().into_bytes())];
        covered.extend(self.items.clone());
        let manifest = manifest(&covered)?;
        let signature = self.sign(manifest.as_bytes(), "seal")?;
        let mut entries = vec![Entry::new("mimetype", b"application/vnd.etsi.asic-e+zip")];
        entries.extend(covered.iter().map(|(name, bytes)| Entry::new(name, bytes)));
        entries.push(Entry::new("META-INF/ASiCManifest001.xml", manifest.as_bytes()));
        entries.push(Entry::new("META-INF/signature001.p7s", &signature));
        Ok(entries)
    }

    /// CAdES-B by one of the station's keys.
    pub fn sign(&self, bytes: &[u8], key: &str) -> Result<Vec<u8>> {
        self.sign_with(bytes, key, &["-cades", "-nosmimecap"])
    }

    /// CMS with other options of openssl.
    pub fn sign_with(&self, bytes: &[u8], key: &str, options: &[&str]) -> Result<Vec<u8>> {
        let signer = self.station_dir.join(format!("{key}.crt"));
        let key = self.station_dir.join(format!("{key}.key"));
        let signer = signer.to_string_lossy().into_owned();
        let mut arguments = vec![
            "cms", "-sign", "-binary", "-outform", "DER", "-md", "sha256", "-signer", &signer,
        ];
        arguments.extend(options);
        arguments.push("-inkey");
        openssl(&arguments, &[&key], bytes)
    }

    /// To CERT and its escrow.
    pub fn envelope(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let trust = self.station_dir.join("trust");
        envelope(
            plain,
            &[&trust.join("cert-encryption.crt"), &trust.join("escrow.crt")],
        )
    }
}

/// `AuthEnvelopedData` by openssl.
pub fn envelope(plain: &[u8], recipients: &[&Path]) -> Result<Vec<u8>> {
    let mut arguments = ["cms", "-encrypt", "-binary", "-outform", "DER", "-aes-256-gcm"]
        .map(String::from)
        .to_vec();
    for recipient in recipients {
        let recipient = recipient.to_string_lossy().into_owned();
        arguments.extend([
            "-recip".to_owned(),
            recipient,
            "-keyopt".to_owned(),
            "ecdh_kdf_md:sha384".to_owned(),
        ]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    openssl(&arguments, &[], plain)
}

/// The `ASiCManifest` over these entries.
pub fn manifest(covered: &[(String, Vec<u8>)]) -> Result<String> {
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<asic:ASiCManifest xmlns:asic=\"http://uri.etsi.org/02918/v1.2.1#\" \
         xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\">\n<asic:SigReference MimeType=\"application/pkcs7-signature\" \
         URI=\"META-INF/signature001.p7s\"/>\n",
    );
    for (name, bytes) in covered {
        let digest = openssl(&["dgst", "-sha256", "-binary"], &[], bytes)?;
        let digest = openssl(&["base64", "-A"], &[], &digest)?;
        let digest = String::from_utf8(digest)?;
        writeln!(
            xml,
            "<asic:DataObjectReference URI=\"{name}\"><ds:DigestMethod \
             Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/><ds:DigestValue>{digest}</ds:DigestValue>\
             </asic:DataObjectReference>"
        )?;
    }
    xml.push_str("</asic:ASiCManifest>\n");
    Ok(xml)
}

/// A ZIP entry; `extra` only to break the profile.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    pub bytes: Vec<u8>,
    pub extra: Vec<u8>,
}

impl Entry {
    pub fn new(name: &str, bytes: &[u8]) -> Self {
        Self {
            name: name.to_owned(),
            bytes: bytes.to_vec(),
            extra: Vec::new(),
        }
    }
}

/// A ZIP of the profile, APPNOTE 6.3 §4.3.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let offset = long(out.len());
        let mut head = Vec::new();
        head.extend([10, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        head.extend(crc32(&entry.bytes).to_le_bytes());
        head.extend(long(entry.bytes.len()));
        head.extend(long(entry.bytes.len()));
        head.extend(short(entry.name.len()));
        head.extend(short(entry.extra.len()));

        out.extend(b"PK\x03\x04");
        out.extend(&head);
        out.extend(entry.name.as_bytes());
        out.extend(&entry.extra);
        out.extend(&entry.bytes);

        directory.extend(b"PK\x01\x02\x0a\0");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(entry.name.as_bytes());
        directory.extend(&entry.extra);
    }
    let offset = long(out.len());
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(short(entries.len()));
    out.extend(short(entries.len()));
    out.extend(long(directory.len()));
    out.extend(offset);
    out.extend([0, 0]);
    out
}

fn short(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes()
}

fn long(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

/// CRC-32 bit by bit; python's zipfile judges it in a test.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
