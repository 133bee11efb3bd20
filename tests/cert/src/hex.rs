//! Digests and their spellings.

use std::fmt::Write;

use ring::digest;

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    text(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Lower-case hexadecimal.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

/// Whether this is a SHA-256 as the protocol spells it.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Base64 (RFC 4648 §4) of a SHA-256, as `ds:DigestValue` has it.
pub(crate) fn base64_sha256(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut text = String::new();
    for chunk in digest.as_ref().chunks(3) {
        let mut group = [0_u8; 4];
        for (to, from) in group.iter_mut().skip(1).zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(group);
        for place in 0..=chunk.len() {
            let index = usize::try_from(bits >> (18 - 6 * place) & 0x3f).unwrap_or(0);
            text.push(ALPHABET.get(index).copied().map_or('=', char::from));
        }
        text.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_spelt_as_others_spell_them() {
        // `printf abc | openssl dgst -sha256 -binary | base64`
        assert_eq!(
            super::base64_sha256(b"abc"),
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
        );
        assert!(super::is_sha256(&super::sha256(b"abc")));
        assert!(!super::is_sha256(&super::sha256(b"abc").to_uppercase()));
    }
}
