//! What applicants filled in on line, as CERT keeps it: one JSON file each, to be edited by hand if one wants.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::error::Error;

/// A pré-demande; sent to the station as this JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreDemande {
    pub(crate) number: String,
    #[serde(default = "validated")]
    pub(crate) status: String,
    pub(crate) procedure: String,
    pub(crate) fields: BTreeMap<String, String>,
}

fn validated() -> String {
    "validated".to_owned()
}

/// Ten capital letters or digits; safe as a file name too.
pub(crate) fn is_number(text: &str) -> bool {
    text.len() == 10
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

impl PreDemande {
    /// The one of this number.
    pub(crate) fn load(dir: &Path, number: &str) -> Result<Option<Self>, Error> {
        if is_number(number) {
            disk::read_json(&path(dir, number))
        } else {
            Ok(None)
        }
    }

    /// Writes it, in place of what was there.
    pub(crate) fn store(&self, dir: &Path) -> Result<(), Error> {
        disk::write_json(&path(dir, &self.number), self)
    }
}

fn path(dir: &Path, number: &str) -> PathBuf {
    dir.join("pre-demandes").join(format!("{number}.json"))
}

/// A citizen who does not exist, with every field of `config/procedures/cni-adulte.toml`.
pub(crate) fn write_specimen(dir: &Path) -> Result<(), Error> {
    let fields = [
        ("motif", "renouvellement"),
        ("nom-naissance", "SPECIMEN"),
        ("nom-usage", "SPECIMEN"),
        ("prenoms", "Camille Dominique"),
        ("sexe", "F"),
        ("date-naissance", "1990-01-01"),
        ("commune-naissance", "PARIS"),
        ("pays-naissance", "FRANCE"),
        ("taille", "170"),
        ("couleur-yeux", "marron"),
        ("adresse", "1 rue de l'Exemple"),
        ("code-postal", "00000"),
        ("commune", "EXEMPLE"),
        ("courriel", "camille.specimen@example.org"),
        ("telephone", "0100000000"),
        ("empreintes-90-jours", "non"),
    ];
    let specimen = PreDemande {
        number: "VALID12345".to_owned(),
        status: validated(),
        procedure: "cni-adulte".to_owned(),
        fields: fields
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    disk::make_dir(&dir.join("pre-demandes"))?;
    specimen.store(dir)
}
