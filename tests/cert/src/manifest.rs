//! `dossier.json`, in types of CERT's own: what it must hold, and that it agrees with itself.
#![expect(
    dead_code,
    reason = "much is read only to be sure that it is there and of this shape"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use crate::error::Refusal;

/// Largest `dossier.json`.
const MAX_BYTES: usize = 4 << 20;
/// Most items, so that the ZIP keeps its 128 entries.
const ITEMS_MAX: usize = 124;

/// A dossier as the station sealed it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    schema: String,
    pub(crate) dossier: String,
    pub(crate) station: String,
    pub(crate) sequence: u64,
    pub(crate) sealed_at: Timestamp,
    clock: Clock,
    pub(crate) recipients: Vec<String>,
    application: String,
    pub(crate) content: Content,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Clock {
    Synchronised,
    Unsynchronised,
}

/// Kinds of dossiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Deposit,
    Complement,
    HandOver,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Content {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    procedure: Procedure,
    owner_uid: u32,
    agent: String,
    opened_at: Timestamp,
    expires_at: Timestamp,
    pub(crate) demande: Option<String>,
    pub(crate) pre_demande: Option<String>,
    fields: Unique<Field>,
    pub(crate) items: Unique<Item>,
    missing_fingers: Unique<String>,
    selection: Option<Selection>,
    decisions: Vec<Decision>,
    destructions: Vec<Destruction>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Procedure {
    id: String,
    sha256: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    value: String,
    source: String,
    #[serde(default)]
    corrects: Option<String>,
}

/// One record of the dossier.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    name: String,
    step: String,
    content: ItemContent,
    media_type: MediaType,
    len_bytes: u64,
    sha256: String,
    criteria: Vec<Criterion>,
    provenance: Provenance,
}

#[derive(Debug, serde::Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
enum ItemContent {
    Fingerprint { position: u8, ppi: u32 },
    Face {},
    Page { document: String, number: u32 },
    Signature {},
}

#[derive(Debug, Clone, Copy, serde::Deserialize)]
enum MediaType {
    #[serde(rename = "image/png")]
    Png,
    #[serde(rename = "image/jpeg")]
    Jpeg,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Criterion {
    code: String,
    value: f64,
    threshold: Option<f64>,
    pass: bool,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Provenance {
    source: Source,
    agent: String,
    captured_at: Timestamp,
    profile_sha256: String,
    analyser: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    vendor: String,
    model: String,
    serial: String,
    plugin: String,
    plugin_version: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Selection {
    choices: Vec<Choice>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    position: u8,
    quality: u8,
    reason: ChoiceReason,
}

#[derive(Debug, serde::Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case", deny_unknown_fields)]
enum ChoiceReason {
    FirstInOrder {},
    Instead { passed_over: Vec<PassedOver> },
    Best {},
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct PassedOver {
    position: u8,
    why: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Decision {
    step: String,
    verdict: String,
    reason: String,
    agent: String,
    at: Timestamp,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Destruction {
    positions: Vec<u8>,
    at: Timestamp,
    method: String,
}

impl Manifest {
    /// Reads the manifest and holds it against itself.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_BYTES {
            return Err("dossier.json is larger than 4 MiB".into());
        }
        // serde_json's text may quote a value, which no refusal may: line and column say enough.
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Refusal(format!(
                "dossier.json is not of recueil-dossier-1: line {line}, column {column}"
            ))
        })?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), Refusal> {
        let content = &self.content;
        if self.schema != "recueil-dossier-1" {
            return Err("dossier.json is of another schema than recueil-dossier-1".into());
        }
        if self.dossier != content.id {
            return Err("dossier.json names two dossiers".into());
        }
        if content.owner_uid != 0 {
            return Err("dossier.json tells a uid of the station".into());
        }
        if content.items.0.len() > ITEMS_MAX {
            return Err("dossier.json has more than 124 items".into());
        }
        if (content.kind == Kind::Deposit) != content.demande.is_none() {
            return Err("dossier.json: a deposit names no demande, every other kind does".into());
        }
        if content.items.0.iter().any(|(key, item)| *key != item.name) {
            return Err("dossier.json has an item under another name than its own".into());
        }
        let fingers = content.items.0.values().filter_map(|item| match item.content {
            ItemContent::Fingerprint { position, .. } => Some(position),
            _ => None,
        });
        let missing = content.missing_fingers.0.keys();
        let codes = fingers.chain(missing.map(|code| code.parse().unwrap_or(0)));
        // ANSI/NIST-ITL 1-2011, table 12: the ten fingers, one by one.
        if !codes.into_iter().all(|code| (1..=10).contains(&code)) {
            return Err("dossier.json names a finger that nobody has".into());
        }
        Ok(())
    }
}

impl Item {
    /// Its entry in the container.
    pub(crate) fn file_name(&self) -> String {
        let extension = match self.media_type {
            MediaType::Png => "png",
            MediaType::Jpeg => "jpg",
        };
        format!("{}.{extension}", self.name)
    }

    /// Holds the record against the bytes of its entry.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), Refusal> {
        // ISO/IEC 15948 §5.2; ISO/IEC 10918-1 annex B.1.1.3 (SOI, then a marker).
        let magic: &[u8] = match self.media_type {
            MediaType::Png => b"\x89PNG\r\n\x1a\n",
            MediaType::Jpeg => &[0xff, 0xd8, 0xff],
        };
        let name = &self.name;
        if u64::try_from(bytes.len()) != Ok(self.len_bytes) {
            return Err(format!("item {name} has another length than dossier.json says").into());
        }
        if crate::hex::sha256(bytes) != self.sha256 {
            return Err(format!("item {name} has another digest than dossier.json says").into());
        }
        if !bytes.starts_with(magic) {
            return Err(format!("item {name} is not of its media type").into());
        }
        Ok(())
    }
}

/// A JSON object in which no member stands twice.
#[derive(Debug)]
pub(crate) struct Unique<V>(pub(crate) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Unique<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
            type Value = Unique<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Unique(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}
