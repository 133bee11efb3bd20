//! What a parcel holds, so that two can be compared.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::ensure;
use serde_json::Value;

/// `dossier.json` and the items.
#[derive(Debug)]
pub(super) struct Contents(BTreeMap<String, Vec<u8>>);

/// What differs from one dossier to the next.
const OWN: [&str; 4] = ["dossier", "id", "sequence", "clock"];

impl Contents {
    /// Opens a parcel with CERT's key.
    pub(super) fn open(cert: &Path, parcel: &Path) -> anyhow::Result<Self> {
        let mut opened = recueil_cert::open(cert, &std::fs::read(parcel)?)?;
        if let Some(dossier) = opened.get_mut("dossier.json") {
            let mut value: Value = serde_json::from_slice(dossier)?;
            forget(&mut value);
            *dossier = serde_json::to_vec_pretty(&value)?;
        }
        Ok(Self(opened))
    }

    /// # Errors
    /// What differs.
    pub(super) fn must_equal(&self, other: &Self) -> anyhow::Result<()> {
        for (name, bytes) in &self.0 {
            let now = other.0.get(name).map(Vec::as_slice).unwrap_or_default();
            ensure!(
                now == bytes,
                "{name} is {} and was undisturbed {}",
                String::from_utf8_lossy(now),
                String::from_utf8_lossy(bytes),
            );
        }
        ensure!(self.0.len() == other.0.len(), "{:?}", other.0.keys());
        Ok(())
    }
}

/// Takes ids and times out.
fn forget(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let is_time = key == "at" || key.ends_with("_at") || key.ends_with("time");
                if is_time || OWN.contains(&key.as_str()) {
                    *value = Value::Null;
                } else {
                    forget(value);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        _ => {}
    }
}
