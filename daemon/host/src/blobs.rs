//! What a plugin stores for its device: calibration and the like. There is no disk; hostd keeps it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use recueil_abi as abi;
use recueil_wire::MESSAGE_MAX_BYTES;

use crate::refusal::Refusal;

/// Under all keys together.
const ALL_MAX_BYTES: usize = 256 << 10;
/// One message carries one value, in hexadecimal, with its key.
const ONE_MAX_BYTES: usize = MESSAGE_MAX_BYTES / 2 - 512;
const KEY_MAX_CHARS: usize = 64;

/// The values of one device.
#[derive(Debug)]
pub(crate) struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// From hexadecimal; none if a value is not.
    pub(crate) fn from_hex(values: BTreeMap<String, String>) -> Option<Self> {
        let decoded = values
            .into_iter()
            .map(|(key, value)| Some((key, from_hex(&value)?)));
        decoded.collect::<Option<_>>().map(Self)
    }

    /// A value.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// Sets a value, and gives it as hexadecimal for hostd.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> Result<String, Refusal> {
        if !is_key(key) {
            return Err(Refusal::Broken("a key that is not 1 to 64 of a-z, 0-9, '-', '.'"));
        }
        let others: usize = self
            .0
            .iter()
            .filter(|(other, _)| *other != key)
            .map(|(_, bytes)| bytes.len())
            .sum();
        if value.len() > ONE_MAX_BYTES || others.saturating_add(value.len()) > ALL_MAX_BYTES {
            return Err(Refusal::Status(abi::RCL_E_NO_MEMORY));
        }
        self.0.insert(key.to_owned(), value.to_vec());
        Ok(to_hex(value))
    }
}

fn is_key(key: &str) -> bool {
    let is_allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=KEY_MAX_CHARS).contains(&key.len()) && key.bytes().all(is_allowed)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        // Writing into a String cannot fail.
        write!(hex, "{byte:02x}").ok();
        hex
    })
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go_as_hexadecimal() {
        let mut blobs = Blobs::from_hex(BTreeMap::from([("dark".to_owned(), "00ff1a".to_owned())])).unwrap();
        assert_eq!(blobs.get("dark"), Some([0, 0xff, 0x1a].as_slice()));
        assert_eq!(blobs.put("flat", &[0xab, 1]), Ok("ab01".to_owned()));
        assert_eq!(blobs.get("flat"), Some([0xab, 1].as_slice()));
        for bad in ["0", "0g", "é0"] {
            assert!(Blobs::from_hex(BTreeMap::from([("dark".to_owned(), bad.to_owned())])).is_none());
        }
    }

    #[test]
    fn a_device_has_256_kib_and_no_more() {
        let mut blobs = Blobs(BTreeMap::new());
        let part = vec![0; 30_000];
        let stored = (0..20)
            .take_while(|number| blobs.put(&format!("part-{number}"), &part).is_ok())
            .count();
        assert_eq!(stored, 8);
        assert!(blobs.put("part-0", &part).is_ok(), "a value may be replaced");
        assert!(blobs.put("Part", &[]).is_err());
        assert!(blobs.put("", &[]).is_err());
        let large = Blobs(BTreeMap::new()).put("one", &vec![0; ONE_MAX_BYTES + 1]);
        assert_eq!(large, Err(Refusal::Status(abi::RCL_E_NO_MEMORY)));
    }
}
