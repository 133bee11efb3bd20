//! The outside of profile CERT-CMS-1: CMS `AuthEnvelopedData` (RFC 5083, 5084, 5753), written and read.
//!
//! There is one way to write each part, so the reader accepts the writer's form and nothing else; OpenSSL
//! writes the same.

use std::ops::Range;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use ring::rand::SecureRandom;

use crate::agreement::{Key, POINT_LEN, WRAPPED_LEN, WrappingKey};
use crate::asn1::{
    BIT_STRING, CONTEXT_0, CONTEXT_0_PRIMITIVE, CONTEXT_1, INTEGER, OCTET_STRING, Reader, SEQUENCE, SET,
    element, oid, put_header, set_of,
};
use crate::{Error, Recipient};

/// Largest envelope, bytes.
pub(crate) const ENVELOPE_MAX_BYTES: usize = 256 << 20;
/// Most recipients.
pub(crate) const RECIPIENTS_MAX: usize = 4;
pub(crate) const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
/// The mac with its own tag and length.
const MAC_ELEMENT_LEN: usize = TAG_LEN + 2;

/// One `RecipientInfo` that was made.
pub(crate) struct Wrapped {
    /// As it stands in the envelope.
    pub(crate) encoded: Vec<u8>,
    /// Kept for the self-check only.
    pub(crate) wrapping: WrappingKey,
}

impl Wrapped {
    /// The content key for one recipient: a fresh ephemeral key, `KeyAgreeRecipientInfo` (RFC 5652 section 6.2.2).
    fn make(recipient: &Recipient, content_key: &Key, rng: &dyn SecureRandom) -> Result<Self, Error> {
        let (point, wrapping) = WrappingKey::agree(recipient.certificate().public_key(), rng)?;
        let wrapped_key = wrapping.wrap(content_key)?;
        let originator_algorithm = element(SEQUENCE, &[oid::EC_PUBLIC_KEY]);
        let originator_point = element(BIT_STRING, &[&[0], &point]);
        let originator_key = element(CONTEXT_1, &[&originator_algorithm, &originator_point]);
        let issuer_and_serial = element(SEQUENCE, &[&recipient.certificate().issuer_and_serial()?]);
        let encrypted_key = element(
            SEQUENCE,
            &[&issuer_and_serial, &element(OCTET_STRING, &[&wrapped_key])],
        );
        let encoded = element(
            CONTEXT_1,
            &[
                VERSION_3,
                &element(CONTEXT_0, &[&originator_key]),
                &key_encryption_algorithm(),
                &element(SEQUENCE, &[&encrypted_key]),
            ],
        );
        Ok(Self { encoded, wrapping })
    }

    /// The content key for each recipient, in the order in which DER has them in the envelope.
    pub(crate) fn make_all(
        recipients: &[Recipient],
        content_key: &Key,
        rng: &dyn SecureRandom,
    ) -> Result<Vec<Self>, Error> {
        let mut all: Vec<Self> = recipients
            .iter()
            .map(|recipient| Self::make(recipient, content_key, rng))
            .collect::<Result<_, _>>()?;
        all.sort_by(|one, other| one.encoded.cmp(&other.encoded));
        Ok(all)
    }
}

const VERSION_0: &[u8] = &[INTEGER, 1, 0];
const VERSION_3: &[u8] = &[INTEGER, 1, 3];
const ICV_LEN_16: &[u8] = &[INTEGER, 1, 16];

fn key_encryption_algorithm() -> Vec<u8> {
    let wrap = element(SEQUENCE, &[oid::AES_256_WRAP]);
    element(SEQUENCE, &[oid::ECDH_SHA384_KDF, &wrap])
}

/// Everything before the encrypted content. What follows is `content_len` bytes, then [`seal_in_place`]'s mac.
pub(crate) fn header(
    recipients: &[Wrapped],
    nonce: &[u8; NONCE_LEN],
    content_len: usize,
) -> Result<Vec<u8>, Error> {
    let infos = set_of(recipients.iter().map(|wrapped| wrapped.encoded.clone()).collect());
    let parameters = element(SEQUENCE, &[&element(OCTET_STRING, &[nonce]), ICV_LEN_16]);
    let content_encryption = element(SEQUENCE, &[oid::AES_256_GCM, &parameters]);
    // From the inside out, each layer needs only the length of what it encloses.
    let too_large = Error::TooLarge {
        what: "bytes of a parcel",
        max: ENVELOPE_MAX_BYTES,
    };
    let mut open = Vec::new();
    let mut enclosed = content_len;
    let mut prepend = |tag: Option<u8>, before: &[&[u8]], after: usize| -> Option<()> {
        let inner: usize = before.iter().map(|part| part.len()).sum();
        enclosed = enclosed.checked_add(inner)?.checked_add(after)?;
        let mut layer = Vec::new();
        if let Some(tag) = tag {
            put_header(&mut layer, tag, enclosed);
            enclosed = enclosed.checked_add(layer.len())?;
        }
        for part in before {
            layer.extend_from_slice(part);
        }
        open.push(layer);
        Some(())
    };
    let layers = prepend(Some(CONTEXT_0_PRIMITIVE), &[], 0)
        .and_then(|()| prepend(Some(SEQUENCE), &[oid::DATA, &content_encryption], 0))
        .and_then(|()| prepend(Some(SEQUENCE), &[VERSION_0, &infos], MAC_ELEMENT_LEN))
        .and_then(|()| prepend(Some(CONTEXT_0), &[], 0))
        .and_then(|()| prepend(Some(SEQUENCE), &[oid::AUTH_ENVELOPED_DATA], 0));
    if layers.is_none() || enclosed > ENVELOPE_MAX_BYTES {
        return Err(too_large);
    }
    Ok(open.into_iter().rev().flatten().collect())
}

/// Length of an envelope with this header and content.
pub(crate) fn total_len(header: &[u8], content_len: usize) -> usize {
    header.len() + content_len + MAC_ELEMENT_LEN
}

/// Encrypts what follows the header, and appends the mac.
pub(crate) fn seal_in_place(
    envelope: &mut Vec<u8>,
    header_len: usize,
    key: &Key,
    nonce: [u8; NONCE_LEN],
) -> Result<(), Error> {
    let content = envelope.get_mut(header_len..).unwrap_or_default();
    let tag = encrypt(content, key, nonce)?;
    put_header(envelope, OCTET_STRING, TAG_LEN);
    envelope.extend_from_slice(&tag);
    Ok(())
}

/// Encrypts in place; gives the mac.
pub(crate) fn encrypt(content: &mut [u8], key: &Key, nonce: [u8; NONCE_LEN]) -> Result<[u8; TAG_LEN], Error> {
    let tag = gcm(key)?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), content)
        .map_err(|_| Error::SelfCheck("encryption"))?;
    tag.as_ref()
        .try_into()
        .map_err(|_| Error::SelfCheck("encryption"))
}

/// Decrypts in place.
///
/// # Errors
/// [`Error::Decryption`]; what the content holds then is of no use.
pub(crate) fn decrypt(
    content: &mut [u8],
    key: &Key,
    nonce: [u8; NONCE_LEN],
    mac: [u8; TAG_LEN],
) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    gcm(key)?
        .open_in_place_separate_tag(nonce, Aad::empty(), Tag::from(mac), content, 0..)
        .map(|_plain| ())
        .map_err(|_| Error::Decryption)
}

fn gcm(key: &Key) -> Result<LessSafeKey, Error> {
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice()).map_err(|_| Error::Decryption)?;
    Ok(LessSafeKey::new(key))
}

/// An envelope that was read, not yet opened.
pub(crate) struct Envelope<'a> {
    pub(crate) recipients: Vec<RecipientInfo<'a>>,
    pub(crate) nonce: [u8; NONCE_LEN],
    /// Where the encrypted content lies in the envelope.
    pub(crate) content: Range<usize>,
    pub(crate) mac: [u8; TAG_LEN],
}

/// One recipient's part.
pub(crate) struct RecipientInfo<'a> {
    pub(crate) ephemeral_point: &'a [u8],
    /// Issuer's name and serial number, each with tag and length.
    pub(crate) issuer_and_serial: &'a [u8],
    pub(crate) wrapped_key: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Reads the profile's one form and no other.
    ///
    /// # Errors
    /// [`Error::Profile`] naming the first deviation; [`Error::TooLarge`].
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > ENVELOPE_MAX_BYTES {
            return Err(Error::TooLarge {
                what: "bytes of an envelope",
                max: ENVELOPE_MAX_BYTES,
            });
        }
        let mut file = Reader::new(bytes);
        let mut content_info = file.enter(SEQUENCE, "a ContentInfo in DER")?;
        file.finish("no byte after the ContentInfo")?;
        content_info.exact(oid::AUTH_ENVELOPED_DATA, "AuthEnvelopedData")?;
        let mut explicit = content_info.enter(CONTEXT_0, "the content of ContentInfo")?;
        content_info.finish("nothing after the content of ContentInfo")?;
        let mut data = explicit.enter(SEQUENCE, "AuthEnvelopedData as a SEQUENCE")?;
        explicit.finish("one AuthEnvelopedData")?;

        data.exact(VERSION_0, "version 0")?;
        if data.is_at(CONTEXT_0) {
            return Err(Error::Profile("no originatorInfo"));
        }
        let infos = data.enter(SET, "recipientInfos")?;
        let recipients = recipient_infos(infos)?;
        let mut encrypted = data.enter(SEQUENCE, "authEncryptedContentInfo")?;
        encrypted.exact(oid::DATA, "contentType id-data")?;
        let nonce = gcm_nonce(encrypted.enter(SEQUENCE, "contentEncryptionAlgorithm")?)?;
        let content = encrypted.read(CONTEXT_0_PRIMITIVE, "the encrypted content in one piece")?;
        encrypted.finish("nothing after the encrypted content")?;
        if data.is_at(CONTEXT_1) {
            return Err(Error::Profile("no authAttrs"));
        }
        let mac = data.read(OCTET_STRING, "mac")?;
        let mac = mac.try_into().map_err(|_| Error::Profile("a mac of 16 bytes"))?;
        if data.is_at(crate::asn1::CONTEXT_2) {
            return Err(Error::Profile("no unauthAttrs"));
        }
        data.finish("nothing after the mac")?;

        // Nothing can follow the mac, so the content ends where the mac's element begins.
        let end = bytes.len().checked_sub(MAC_ELEMENT_LEN);
        let start = end.and_then(|end| end.checked_sub(content.len()));
        let (Some(start), Some(end)) = (start, end) else {
            return Err(Error::Profile("mac"));
        };
        Ok(Self {
            recipients,
            nonce,
            content: start..end,
            mac,
        })
    }
}

fn recipient_infos(mut infos: Reader<'_>) -> Result<Vec<RecipientInfo<'_>>, Error> {
    let mut recipients = Vec::with_capacity(RECIPIENTS_MAX);
    let mut previous: &[u8] = &[];
    while !infos.is_empty() {
        if recipients.len() == RECIPIENTS_MAX {
            return Err(Error::Profile("at most four recipients"));
        }
        let encoded = infos.whole(CONTEXT_1, "KeyAgreeRecipientInfo")?;
        if encoded <= previous {
            return Err(Error::Profile("recipients in the order of DER, each once"));
        }
        previous = encoded;
        recipients.push(recipient_info(encoded)?);
    }
    if recipients.is_empty() {
        return Err(Error::Profile("a recipient"));
    }
    Ok(recipients)
}

fn recipient_info(encoded: &[u8]) -> Result<RecipientInfo<'_>, Error> {
    let mut info = Reader::new(encoded).enter(CONTEXT_1, "KeyAgreeRecipientInfo")?;
    info.exact(VERSION_3, "KeyAgreeRecipientInfo of version 3")?;
    let mut originator = info.enter(CONTEXT_0, "originator")?;
    let mut originator_key = originator.enter(CONTEXT_1, "originatorKey")?;
    originator.finish("one originator")?;
    let mut algorithm = originator_key.enter(SEQUENCE, "the originator's algorithm")?;
    algorithm.exact(oid::EC_PUBLIC_KEY, "originator id-ecPublicKey")?;
    algorithm.finish("no parameters of the originator's algorithm")?;
    let point = originator_key.read(BIT_STRING, "the originator's point")?;
    originator_key.finish("nothing after the originator's point")?;
    let ephemeral_point = point
        .strip_prefix(&[0])
        .filter(|point| point.len() == POINT_LEN && point.first() == Some(&4))
        .ok_or(Error::Profile("an uncompressed point of P-384"))?;
    if info.is_at(CONTEXT_1) {
        return Err(Error::Profile("no ukm"));
    }
    info.exact(
        &key_encryption_algorithm(),
        "dhSinglePass-stdDH-sha384kdf with id-aes256-wrap, no parameters",
    )?;
    let mut keys = info.enter(SEQUENCE, "recipientEncryptedKeys")?;
    info.finish("nothing after recipientEncryptedKeys")?;
    let mut key = keys.enter(SEQUENCE, "a recipientEncryptedKey")?;
    keys.finish("one recipientEncryptedKey")?;
    let issuer_and_serial = key.read(SEQUENCE, "issuerAndSerialNumber")?;
    let mut parts = Reader::new(issuer_and_serial);
    parts.read(SEQUENCE, "the issuer's name")?;
    parts.read(INTEGER, "the serial number")?;
    parts.finish("nothing after the serial number")?;
    let wrapped_key = key.read(OCTET_STRING, "encryptedKey")?;
    key.finish("nothing after encryptedKey")?;
    if wrapped_key.len() != WRAPPED_LEN {
        return Err(Error::Profile("an encryptedKey of 40 bytes"));
    }
    Ok(RecipientInfo {
        ephemeral_point,
        issuer_and_serial,
        wrapped_key,
    })
}

/// `GCMParameters` (RFC 5084 section 3.2).
fn gcm_nonce(mut algorithm: Reader<'_>) -> Result<[u8; NONCE_LEN], Error> {
    algorithm.exact(oid::AES_256_GCM, "id-aes256-GCM")?;
    let mut parameters = algorithm.enter(SEQUENCE, "GCMParameters")?;
    algorithm.finish("nothing after GCMParameters")?;
    let nonce = parameters.read(OCTET_STRING, "the nonce")?;
    let nonce = nonce
        .try_into()
        .map_err(|_| Error::Profile("a nonce of 12 bytes"))?;
    parameters.exact(ICV_LEN_16, "ICVlen 16, written out")?;
    parameters.finish("nothing after ICVlen")?;
    Ok(nonce)
}

#[cfg(test)]
mod tests;
