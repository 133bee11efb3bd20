//! What a plugin stores for its device: calibration and the like. There is no disk; hostd keeps it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use recueil_abi as abi;
use recueil_wire::host::{BLOB_PART_MAX_BYTES, BLOBS_MAX_BYTES, Blob, FromHost};

use crate::refusal::Refusal;

const KEY_MAX_CHARS: usize = 64;

/// The values of one device.
#[derive(Debug)]
pub(crate) struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Takes them apart as hostd put them together; none if they are not as long as was said.
    pub(crate) fn take_apart(table: &[Blob], mut bytes: &[u8]) -> Option<Self> {
        let mut values = BTreeMap::new();
        for blob in table {
            let (value, rest) = bytes.split_at_checked(usize::try_from(blob.len).ok()?)?;
            values.insert(blob.key.clone(), value.to_vec());
            bytes = rest;
        }
        bytes.is_empty().then_some(Self(values))
    }

    /// A value.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// Sets a value, and gives it in parts for hostd.
    pub(crate) fn put(&mut self, key: &str, value: &[u8]) -> Result<Vec<FromHost>, Refusal> {
        if !is_key(key) {
            return Err(Refusal::Broken(
                4,
                "a key that is not 1 to 64 of a-z, 0-9, '-', '.'",
            ));
        }
        let others = self.0.iter().filter(|(other, _)| *other != key);
        let others: usize = others.map(|(other, bytes)| other.len() + bytes.len()).sum();
        let all = others.saturating_add(key.len()).saturating_add(value.len());
        if all > BLOBS_MAX_BYTES {
            return Err(Refusal::Status(abi::RCL_E_NO_MEMORY));
        }
        self.0.insert(key.to_owned(), value.to_vec());
        let mut parts: Vec<_> = value.chunks(BLOB_PART_MAX_BYTES).collect();
        let end = parts.pop().unwrap_or_default();
        let part = |bytes: &[u8], last| FromHost::BlobPut {
            key: key.to_owned(),
            part: to_hex(bytes),
            last,
        };
        let mut messages: Vec<_> = parts.into_iter().map(|bytes| part(bytes, false)).collect();
        messages.push(part(end, true));
        Ok(messages)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(key: &str, len: u64) -> Blob {
        Blob {
            key: key.to_owned(),
            len,
        }
    }

    #[test]
    fn values_come_in_one_memory_and_go_in_parts() {
        let table = [blob("dark", 3), blob("empty", 0), blob("flat", 1)];
        let mut blobs = Blobs::take_apart(&table, &[0, 0xff, 0x1a, 7]).unwrap();
        assert_eq!(blobs.get("dark"), Some([0, 0xff, 0x1a].as_slice()));
        assert_eq!(blobs.get("empty"), Some([].as_slice()));
        for bytes in [&[0, 0xff, 0x1a][..], &[0, 0xff, 0x1a, 7, 8]] {
            assert!(
                Blobs::take_apart(&table, bytes).is_none(),
                "not as long as was said"
            );
        }
        assert!(Blobs::take_apart(&[blob("dark", u64::MAX)], &[]).is_none());

        let long = vec![0xab; BLOB_PART_MAX_BYTES + 1];
        let mut said = Vec::new();
        for message in blobs.put("flat", &long).unwrap() {
            let FromHost::BlobPut { key, part, last } = message else {
                panic!("{message:?}")
            };
            assert_eq!(key, "flat");
            said.push((part.len(), last));
        }
        assert_eq!(said, [(2 * BLOB_PART_MAX_BYTES, false), (2, true)]);
        assert_eq!(blobs.put("none", &[]).unwrap().len(), 1);
    }

    #[test]
    fn a_device_has_256_kib_names_included_and_no_more() {
        let mut blobs = Blobs(BTreeMap::new());
        assert!(blobs.put("one", &vec![0; BLOBS_MAX_BYTES - 2]).is_err());
        assert!(blobs.put("one", &vec![0; BLOBS_MAX_BYTES - 3]).is_ok());
        let full = blobs.put("b", &[]).map(drop);
        assert_eq!(full, Err(Refusal::Status(abi::RCL_E_NO_MEMORY)));
        assert!(blobs.put("one", &[]).is_ok(), "a value may be replaced");
        assert!(blobs.put("b", &[1]).is_ok());
        assert!(blobs.put("Part", &[]).is_err());
        assert!(blobs.put("", &[]).is_err());
    }
}
