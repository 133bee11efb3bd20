//! What the applicant filled in on line, as CERT hands it to the station.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::PreDemandeNumber;

/// A pré-demande fetched by its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreDemande {
    /// The number it was asked by.
    pub number: PreDemandeNumber,
    /// `validated`, or `consumed` once deposited; other words are kept as they come.
    pub status: String,
    /// The procedure it was made for, by its id.
    pub procedure: String,
    /// Values by field name of that procedure.
    pub fields: BTreeMap<String, String>,
}

impl PreDemande {
    /// Largest encoded pré-demande, bytes.
    pub const MAX_BYTES: usize = 64 << 10;

    /// Whether it was deposited before: the agent must be warned.
    pub fn is_consumed(&self) -> bool {
        self.status == "consumed"
    }
}
