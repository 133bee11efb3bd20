//! The little DER (ITU-T X.690) that the profile needs.
//!
//! Hand-written rather than derived: in the profile all but a few fields are constants, so they are compared as
//! encoded bytes and there is nothing to interpret. Single-byte tags, definite minimal lengths of at most four
//! bytes, no recursion, nothing copied.

use crate::Error;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
/// `[0] IMPLICIT` of a primitive type.
pub(crate) const CONTEXT_0_PRIMITIVE: u8 = 0x80;
/// `[0]`, constructed.
pub(crate) const CONTEXT_0: u8 = 0xa0;
/// `[1]`, constructed.
pub(crate) const CONTEXT_1: u8 = 0xa1;
/// `[2]`, constructed.
pub(crate) const CONTEXT_2: u8 = 0xa2;
/// `[4]`, constructed.
pub(crate) const CONTEXT_4: u8 = 0xa4;

/// Object identifiers, each with its tag and length.
pub(crate) mod oid {
    /// id-ct-authEnvelopedData, 1.2.840.113549.1.9.16.1.23 (RFC 5083 section 2.1).
    pub(crate) const AUTH_ENVELOPED_DATA: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17";
    /// id-data, 1.2.840.113549.1.7.1 (RFC 5652 section 4).
    pub(crate) const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    /// id-signedData, 1.2.840.113549.1.7.2 (RFC 5652 section 5.1).
    pub(crate) const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    /// id-aes256-GCM, 2.16.840.1.101.3.4.1.46 (RFC 5084 section 3.2).
    pub(crate) const AES_256_GCM: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e";
    /// id-aes256-wrap, 2.16.840.1.101.3.4.1.45 (RFC 3565 section 2.3.2).
    pub(crate) const AES_256_WRAP: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2d";
    /// dhSinglePass-stdDH-sha384kdf-scheme, 1.3.132.1.11.2 (RFC 5753 section 7.1.4).
    pub(crate) const ECDH_SHA384_KDF: &[u8] = b"\x06\x06\x2b\x81\x04\x01\x0b\x02";
    /// id-ecPublicKey, 1.2.840.10045.2.1 (RFC 5480 section 2.1.1).
    pub(crate) const EC_PUBLIC_KEY: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    /// id-sha256, 2.16.840.1.101.3.4.2.1 (RFC 5754 section 2.2).
    pub(crate) const SHA_256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
    /// ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5754 section 3.3).
    pub(crate) const ECDSA_SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    /// id-contentType, 1.2.840.113549.1.9.3 (RFC 5652 section 11.1).
    pub(crate) const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
    /// id-messageDigest, 1.2.840.113549.1.9.4 (RFC 5652 section 11.2).
    pub(crate) const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
    /// id-signingTime, 1.2.840.113549.1.9.5 (RFC 5652 section 11.3).
    pub(crate) const SIGNING_TIME: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05";
    /// id-aa-signingCertificateV2, 1.2.840.113549.1.9.16.2.47 (RFC 5035 section 3).
    pub(crate) const SIGNING_CERTIFICATE_V2: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f";
}

/// Appends tag and length; the caller appends exactly `len` bytes after them.
pub(crate) fn put_header(out: &mut Vec<u8>, tag: u8, len: usize) {
    out.push(tag);
    let bytes = len.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let significant = bytes.get(skip..).unwrap_or_default();
    match significant {
        [] => out.push(0),
        [short] if *short < 0x80 => out.push(*short),
        long => {
            // At most eight.
            out.push(0x80 | u8::try_from(long.len()).unwrap_or(0));
            out.extend_from_slice(long);
        }
    }
}

/// An element of these parts.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(len + 10);
    put_header(&mut out, tag, len);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A SET OF: DER orders the encodings of its members (X.690 section 11.6).
pub(crate) fn set_of(mut members: Vec<Vec<u8>>) -> Vec<u8> {
    members.sort();
    let parts: Vec<&[u8]> = members.iter().map(Vec::as_slice).collect();
    element(SET, &parts)
}

/// Reads elements one after the other. Each call names what it expects, for the error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The content of the next element, which must have this tag.
    pub(crate) fn read(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], Error> {
        let (found, content, _whole) = self.next(what)?;
        if found == tag {
            Ok(content)
        } else {
            Err(Error::Profile(what))
        }
    }

    /// The same, as a reader of the content.
    pub(crate) fn enter(&mut self, tag: u8, what: &'static str) -> Result<Self, Error> {
        self.read(tag, what).map(Self::new)
    }

    /// The next element with its tag and length, which must have this tag.
    pub(crate) fn whole(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], Error> {
        let (found, _content, whole) = self.next(what)?;
        if found == tag {
            Ok(whole)
        } else {
            Err(Error::Profile(what))
        }
    }

    /// The next bytes must be these.
    pub(crate) fn exact(&mut self, bytes: &[u8], what: &'static str) -> Result<(), Error> {
        self.rest = self.rest.strip_prefix(bytes).ok_or(Error::Profile(what))?;
        Ok(())
    }

    /// Whether the next element has this tag.
    pub(crate) fn is_at(&self, tag: u8) -> bool {
        self.rest.first() == Some(&tag)
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may be left.
    pub(crate) fn finish(self, what: &'static str) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Profile(what))
        }
    }

    fn next(&mut self, what: &'static str) -> Result<(u8, &'a [u8], &'a [u8]), Error> {
        let (tag, content, whole, rest) = split_element(self.rest).ok_or(Error::Profile(what))?;
        self.rest = rest;
        Ok((tag, content, whole))
    }
}

type Split<'a> = (u8, &'a [u8], &'a [u8], &'a [u8]);

/// Tag, content, whole element, and what follows it.
fn split_element(bytes: &[u8]) -> Option<Split<'_>> {
    let (&tag, after_tag) = bytes.split_first()?;
    // Tag numbers above 30 take more bytes; the profile has none.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (&first, after_first) = after_tag.split_first()?;
    let (len, body) = if first < 0x80 {
        (usize::from(first), after_first)
    } else {
        let count = usize::from(first & 0x7f);
        // 0x80 is the indefinite length of BER.
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, body) = after_first.split_at_checked(count)?;
        let len = digits.iter().try_fold(0_usize, |len, digit| {
            len.checked_mul(256)?.checked_add(usize::from(*digit))
        })?;
        let is_minimal = len >= 0x80 && digits.first() != Some(&0);
        if !is_minimal {
            return None;
        }
        (len, body)
    };
    let (content, rest) = body.split_at_checked(len)?;
    let whole = bytes.get(..bytes.len().checked_sub(rest.len())?)?;
    Some((tag, content, whole, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_shortest_definite_length_is_read() {
        let reads = |bytes: &[u8]| Reader::new(bytes).read(OCTET_STRING, "").is_ok();
        assert!(reads(&[4, 1, 9]));
        assert!(reads(&[4, 0]));
        assert!(!reads(&[4, 0x81, 1, 9]), "not minimal");
        assert!(!reads(&[4, 0x80, 1, 0, 0]), "indefinite");
        assert!(!reads(&[4, 0x85, 0, 0, 0, 0, 1, 9]), "too long a length");
        assert!(!reads(&[4, 0x82, 0, 0x80]), "leading zero");
        assert!(!reads(&[4, 2, 9]), "cut");
        assert!(!reads(&[5, 1, 9]), "another tag");
        assert!(!reads(&[0x1f, 0x81, 1, 0]), "a long tag");
        assert!(!reads(&[]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(content in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let bytes = element(OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.read(OCTET_STRING, "").unwrap(), &content[..]);
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn no_input_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.next("").is_ok() {}
        }
    }
}
