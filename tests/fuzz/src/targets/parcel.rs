//! The inside of a parcel: ZIP, signed manifest, `dossier.json`, read by the station and by CERT.

use recueil_cert::fuzzing as theirs;
use recueil_seal::fuzzing as ours;
use serde_json::Value;

use super::same;

/// A ZIP: the station writes one form and reads no other, and CERT reads that form as the same entries.
pub fn zip(bytes: &[u8]) {
    match (ours::zip(bytes), theirs::zip(bytes)) {
        (Ok(entries), Ok(their_entries)) => {
            super::reach("zip");
            assert_eq!(entries, their_entries);
            assert_eq!(
                ours::write_zip(&entries).as_deref(),
                Ok(bytes),
                "there is one spelling"
            );
            assert!(entries.len() <= 128);
            for (name, _data) in &entries {
                assert!(
                    !name.starts_with('/') && !name.split('/').any(|part| matches!(part, "" | "." | ".."))
                );
            }
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(refused)) => panic!("CERT would refuse what the station writes: {refused}"),
        (Err(error), Ok(entries)) => {
            // CERT also takes what says that it needs version 2.0, or was made by it.
            let ours = ours::write_zip(&entries);
            assert!(
                ours.as_deref() != Ok(bytes),
                "the station cannot read its own form: {error}"
            );
        }
    }
}

/// A signed manifest, alone and over a container's entries.
pub fn asic_manifest(bytes: &[u8]) {
    const DOSSIER: &[u8] = b"{}";
    /// `printf '{}' | openssl dgst -sha256 -binary | base64`
    const DIGEST: &str = "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=";
    if let Ok(children) = theirs::xml(bytes) {
        assert!(children <= 256);
    }
    let entries: [(&str, &[u8]); 4] = [
        ("mimetype", b"application/vnd.etsi.asic-e+zip"),
        ("dossier.json", DOSSIER),
        ("META-INF/ASiCManifest001.xml", bytes),
        ("META-INF/signature001.p7s", b"0"),
    ];
    let zip = ours::write_zip(&entries).expect("a ZIP is written");
    if let Ok(items) = theirs::container(&zip) {
        super::reach("asic-manifest");
        assert!(items.is_empty());
        let text = std::str::from_utf8(bytes).expect("a manifest is text");
        assert!(
            text.contains(DIGEST) && text.contains("dossier.json"),
            "it covers its entry"
        );
    }
}

/// A container as it comes.
pub fn container(bytes: &[u8]) {
    if let Ok(items) = theirs::container(bytes) {
        super::reach("container");
        let entries = theirs::zip(bytes).expect("a container is a ZIP");
        assert_eq!(items.len() + 4, entries.len());
    }
}

/// `dossier.json`: what the station reads it writes again, and CERT takes it but for its own rules.
pub fn dossier_json(bytes: &[u8]) {
    let theirs = theirs::dossier_json(bytes);
    let Ok(written) = ours::dossier_json(bytes) else {
        return;
    };
    let value: Value = serde_json::from_slice(&written).expect("JSON is written");
    let again = ours::dossier_json(&written).expect("what is written is read");
    let again: Value = serde_json::from_slice(&again).expect("JSON is written");
    assert!(same(&value, &again), "{value} became {again}");
    let taken = theirs::dossier_json(&written);
    if let Some(rule) = own_rule(&value) {
        assert!(taken.is_err(), "CERT's rule: {rule}");
    } else {
        super::reach("dossier-json");
        assert!(taken.is_ok(), "{:?} {value}", taken.err());
    }
    // A member that stands twice is CERT's to refuse; the station never writes one.
    if let Ok((dossier, items)) = theirs {
        assert_eq!(
            value.get("dossier").and_then(Value::as_str).map(str::len),
            Some(36)
        );
        let count = value
            .pointer("/content/items")
            .and_then(Value::as_object)
            .map(serde_json::Map::len);
        assert!(count == Some(items) && !dossier.is_empty());
    }
}

/// What CERT asks of a document beyond its shape, where this one breaks it.
fn own_rule(value: &Value) -> Option<&'static str> {
    let at = |path: &str| value.pointer(path).unwrap_or(&Value::Null);
    let fingers = || {
        let items = at("/content/items")
            .as_object()
            .into_iter()
            .flat_map(|items| items.values());
        let codes = items.filter_map(|item| item.pointer("/content/position")?.as_u64());
        let missing = at("/content/missing_fingers")
            .as_object()
            .into_iter()
            .flat_map(|all| all.keys());
        codes
            .chain(missing.filter_map(|code| code.parse().ok()))
            .any(|code| !(1..=10).contains(&code))
    };
    let items = at("/content/items").as_object();
    let renamed = items.is_some_and(|items| items.iter().any(|(key, item)| item["name"] != key.as_str()));
    let rules = [
        ("schema", at("/schema") != "recueil-dossier-1"),
        ("one dossier", at("/dossier") != at("/content/id")),
        ("no uid", at("/content/owner_uid") != 0),
        ("at most 124 items", items.is_some_and(|items| items.len() > 124)),
        (
            "a deposit has no demande, all else has",
            (at("/content/kind") == "deposit") != at("/content/demande").is_null(),
        ),
        ("items by their names", renamed),
        ("fingers", fingers()),
        ("no surplus", value.pointer("/content/surplus").is_some()),
    ];
    rules
        .into_iter()
        .find(|(_rule, broken)| *broken)
        .map(|(rule, _)| rule)
}
