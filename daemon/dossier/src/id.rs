//! Names of things: parsed once at the border, never checked again.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {rule}")]
pub struct IdError {
    what: &'static str,
    rule: &'static str,
}

/// A dossier's identity, a UUID version 7 (RFC 9562), the same from draft to receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DossierId(Uuid);

impl DossierId {
    /// A new identity from the time of opening and ten random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &random).into_uuid())
    }

    /// The sixteen bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for DossierId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for DossierId {
    type Err = IdError;
    /// Reads the 36-character hyphenated lower-case form and no other, so that a file name has one meaning.
    fn from_str(text: &str) -> Result<Self, IdError> {
        let id = Uuid::try_parse(text).ok().map(Self);
        id.filter(|id| id.to_string() == text).ok_or(IdError {
            what: "dossier id",
            rule: "a lower-case hyphenated UUID is needed",
        })
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::try_from(text.to_owned())
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&text) { Ok(Self(text)) } else { Err(IdError { what: $what, rule: $rule }) }
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id!(
    /// The name of an item inside its dossier, and the stem of its file name in the container:
    /// `photo`, `fingerprint-02`, `page-justificatif-domicile-1`, `signature`.
    ItemName, "item name", "1 to 64 characters a-z, 0-9 and '-' are allowed",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
);
text_id!(
    /// Who works: the identity an agent declared, or that of the card's certificate.
    AgentId, "agent identity", "1 to 64 letters, digits, '.', '-', '_' or '@' are needed",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_@".contains(&b))
);
text_id!(
    /// The station's identity as CERT knows it, the common name of its certificates.
    StationId, "station identity", "1 to 64 letters, digits or '-' are needed",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
);
text_id!(
    /// CERT's number of a demande, given with receipt R2; not the pré-demande's number.
    DemandeNumber, "demande number", "6 to 20 digits or capital letters are needed",
    |text| (6..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
);
text_id!(
    /// A pré-demande number: ten capital letters or digits.
    PreDemandeNumber, "pré-demande number", "ten letters or digits are needed",
    |text| text.len() == 10 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
);

impl PreDemandeNumber {
    /// Reads what an agent typed or a QR code held: the number alone, in any case and with blanks around it,
    /// or a URL in which the number is the last path segment or the value of a query parameter.
    ///
    /// The QR code's form is published nowhere, so nothing else in it is trusted: the pré-demande is always
    /// fetched by this number.
    pub fn find_in(text: &str) -> Result<Self, IdError> {
        const RULE: IdError = IdError {
            what: "pré-demande number",
            rule: "ten letters or digits are needed, alone or once in the address of the QR code",
        };
        const TEXT_MAX_BYTES: usize = 2048;
        if text.len() > TEXT_MAX_BYTES {
            return Err(RULE);
        }
        let text = text.trim();
        if let Ok(number) = Self::try_from(text.to_ascii_uppercase()) {
            return Ok(number);
        }
        let Some((scheme, address)) = text.split_once("://") else {
            return Err(RULE);
        };
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(RULE);
        }
        // The host is no place for a number.
        let rest = address.split_once(['/', '?']).map_or("", |(_host, rest)| rest);
        let mut found = rest
            .split(['/', '?', '&', '#'])
            .map(|part| part.split_once('=').map_or(part, |(_key, value)| value))
            .filter(|part| part.bytes().any(|b| b.is_ascii_digit()))
            .filter_map(|part| Self::try_from(part.to_ascii_uppercase()).ok());
        match (found.next(), found.next()) {
            (Some(number), None) => Ok(number),
            _ => Err(RULE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pre_demande_number_is_read_from_what_people_type_and_codes_hold() {
        let number = |text| PreDemandeNumber::find_in(text).map(String::from).ok();
        assert_eq!(number(" valid12345\r\n").as_deref(), Some("VALID12345"));
        assert_eq!(
            number("https://predemande.example/cni/VALID12345").as_deref(),
            Some("VALID12345")
        );
        assert_eq!(
            number("https://x.example/?type=cni&numero=valid12345#top").as_deref(),
            Some("VALID12345")
        );
        assert_eq!(number("https://VALID12345.example/"), None);
        assert_eq!(
            number("https://x.example/VALID12345/VALID54321"),
            None,
            "two numbers are no number"
        );
        assert_eq!(number("VALID1234"), None);
        assert_eq!(number("javascript://x/VALID12345"), None);
        assert_eq!(number(&"A".repeat(5000)), None);
    }

    #[test]
    fn a_dossier_id_has_one_spelling() {
        let id = DossierId::new(Timestamp::UNIX_EPOCH, [0xab; 10]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<DossierId>().is_err());
        assert_eq!(id.to_string().as_bytes()[14], b'7', "version 7");
    }
}
