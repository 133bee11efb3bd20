//! Files and rows of the services' own.

use std::collections::BTreeMap;
use std::fs;

use recueil_dossier::{Draft, PreDemande, Procedure};
use recueil_fuzz::targets::cms::ENCRYPTED;

use crate::{Result, json, le, opening, position, put, root};

pub(crate) fn write() -> Result {
    let fetched: PreDemande = serde_json::from_slice(ENCRYPTED)?;
    json("pre-demande", "empty", &fetched)?;
    let fields = [
        ("nom-naissance", "SPECIMEN"),
        ("sexe", "F"),
        ("taille", "170"),
        ("date-naissance", "1990-01-01"),
        ("inconnu", "x"),
    ];
    let full = PreDemande {
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..fetched
    };
    json("pre-demande", "full", &full)?;
    json(
        "blobs-file",
        "two",
        &BTreeMap::from([("gain", "00ff"), ("offset", "")]),
    )?;
    let cni = Procedure::parse(&fs::read_to_string(
        root().join("config/procedures/cni-adulte.toml"),
    )?)?;
    let mut draft = Draft::open(&cni, opening("2026AB000042".parse().ok())?);
    draft.take_pre_demande(&cni, full);
    draft.surplus.extend(position(4));
    draft.selection = Some(serde_json::from_str(
        r#"{"choices":[{"position":2,"quality":80,"reason":{"reason":"first-in-order"}},{"position":8,"quality":70,"reason":{"reason":"instead","passed_over":[{"position":7,"why":"bandaged"}]}}]}"#,
    )?);
    json("draft-json", "cni", &draft)?;
    // One change each: a bit of the index, of a row, of an item; a file cut, a file taken away.
    let damage = |file: u8, place: u32, kind: u8, part: &[u8]| {
        [
            vec![0, file],
            place.to_le_bytes().to_vec(),
            vec![kind],
            le(&[u16::try_from(part.len()).unwrap_or(0)]),
            part.to_vec(),
        ]
        .concat()
    };
    put("store", "header", &damage(5, 20, 3, b"\0\xff"))?;
    put("store", "page", &damage(5, 5000, 3, b"draft\0draft"))?;
    put("store", "item", &damage(1, 100, 3, b"x"))?;
    put("store", "cut", &damage(5, 8192, 0, b""))?;
    put("store", "gone", &damage(3, 0, 2, b""))
}
