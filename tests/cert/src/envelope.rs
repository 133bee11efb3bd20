//! Profile CERT-CMS-1, the outside: CMS `AuthEnvelopedData` with one form and no options. The whole structure is
//! judged before any key is used.

use aes_kw::{KeyInit, KwAes256};
use p384::SecretKey;
use p384::elliptic_curve::ecdh::diffie_hellman;
use ring::rand::SecureRandom;
use ring::{aead, agreement, digest};
use zeroize::{Zeroize, Zeroizing};

use crate::certificate::Certificate;
use crate::der::{Element, Reader, element, sequence, set_of, tag};
use crate::error::{Error, Refusal};
use crate::oid;

/// RFC 5084 §3.2 and the profile.
const NONCE_BYTES: usize = 12;
const MAC_BYTES: usize = 16;
/// An uncompressed point of P-384, SEC 1 §2.3.3.
const POINT_BYTES: usize = 97;
/// A wrapped AES-256 key, RFC 3394 §2.2.1.
const WRAPPED_BYTES: usize = 40;
const RECIPIENTS_MAX: usize = 4;

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
/// `[0] IMPLICIT OCTET STRING`, primitive as DER wants it.
const CIPHERTEXT: u8 = 0x80;

/// An envelope of the profile, not yet opened.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    recipients: Vec<Recipient<'a>>,
    nonce: [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
    mac: &'a [u8],
}

#[derive(Debug)]
struct Recipient<'a> {
    point: &'a [u8],
    /// `IssuerAndSerialNumber`, all its bytes.
    id: &'a [u8],
    wrapped: &'a [u8],
}

/// Plain bytes, wiped when they are dropped.
pub(crate) type Plain = Zeroizing<Vec<u8>>;

impl<'a> Envelope<'a> {
    /// Judges the structure of `bytes`.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut outer = Reader::new(bytes, "the parcel");
        let mut info = outer.enter(tag::SEQUENCE)?;
        outer.end()?;
        info.exactly(oid::AUTH_ENVELOPED_DATA, "is not AuthEnvelopedData")?;
        let mut explicit = info.enter(CONTEXT_0)?;
        info.end()?;
        let mut data = Reader::new(explicit.one(tag::SEQUENCE)?.content, "the envelope");
        explicit.end()?;

        data.exactly(&[tag::INTEGER, 1, 0], "is not of version 0")?;
        let recipients = recipients(data.one(tag::SET)?)?;
        let (nonce, ciphertext) = encrypted_content(data.one(tag::SEQUENCE)?)?;
        if data.peek() == Some(CONTEXT_1) {
            return Err("the envelope has authAttrs".into());
        }
        let mac = data.one(tag::OCTET_STRING)?.content;
        if mac.len() != MAC_BYTES {
            return Err("the envelope's tag is not of 16 bytes".into());
        }
        data.end()?;
        Ok(Self {
            recipients,
            nonce,
            ciphertext,
            mac,
        })
    }

    /// Point, id and wrapped key of each recipient; nonce, ciphertext, mac.
    #[expect(clippy::type_complexity, reason = "read in one place")]
    pub(crate) fn parts(&self) -> (Vec<[&'a [u8]; 3]>, [u8; NONCE_BYTES], &'a [u8], &'a [u8]) {
        let recipient = |of: &Recipient<'a>| [of.point, of.id, of.wrapped];
        let recipients = self.recipients.iter().map(recipient).collect();
        (recipients, self.nonce, self.ciphertext, self.mac)
    }

    /// Whether the envelope is for these certificates, each once, and for nobody else.
    pub(crate) fn is_for(&self, certificates: &[&Certificate]) -> bool {
        self.recipients.len() == certificates.len()
            && certificates.iter().all(|certificate| {
                self.recipients
                    .iter()
                    .any(|recipient| recipient.id == certificate.id())
            })
    }

    /// Opens it with one recipient's key.
    pub(crate) fn open(&self, certificate: &Certificate, key: &SecretKey) -> Result<Plain, Refusal> {
        let recipient = self
            .recipients
            .iter()
            .find(|recipient| recipient.id == certificate.id())
            .ok_or("the envelope is not for this recipient")?;
        let point = p384::PublicKey::from_sec1_bytes(recipient.point)
            .map_err(|_not_on_the_curve| "the envelope's ephemeral key is no point of P-384")?;
        let secret = diffie_hellman(key.to_nonzero_scalar(), point.as_affine());
        let kek = key_encryption_key(secret.raw_secret_bytes());
        let mut cek = Zeroizing::new([0_u8; 32]);
        KwAes256::new((&*kek).into())
            .unwrap_key(recipient.wrapped, &mut *cek)
            .map_err(|_integrity| "the envelope's key does not unwrap with the recipient's key")?;

        let key = aead::UnboundKey::new(&aead::AES_256_GCM, &*cek)
            .map_err(|_length| "the envelope's key is not of AES-256")?;
        let mut plain = Zeroizing::new([self.ciphertext, self.mac].concat());
        let opened = aead::LessSafeKey::new(key).open_in_place(
            aead::Nonce::assume_unique_for_key(self.nonce),
            aead::Aad::empty(),
            &mut plain,
        );
        let len = opened
            .map_err(|_tag| "the envelope's content was changed: its tag does not verify")?
            .len();
        plain.truncate(len);
        Ok(plain)
    }
}

fn recipients(set: Element<'_>) -> Result<Vec<Recipient<'_>>, Refusal> {
    let mut reader = Reader::new(set.content, "the envelope's recipients");
    let mut recipients = Vec::new();
    let mut before: &[u8] = &[];
    while reader.peek().is_some() {
        let info = reader.one(CONTEXT_1)?;
        if recipients.len() == RECIPIENTS_MAX {
            return Err("the envelope has more than four recipients".into());
        }
        if info.whole <= before {
            return Err("the envelope's recipients are not in the order of DER".into());
        }
        before = info.whole;
        recipients.push(recipient(info)?);
    }
    if recipients.is_empty() {
        return Err("the envelope has no recipient".into());
    }
    Ok(recipients)
}

/// `KeyAgreeRecipientInfo`, RFC 5652 §6.2.2 with RFC 5753 §3.1.1.
fn recipient(info: Element<'_>) -> Result<Recipient<'_>, Refusal> {
    let mut info = Reader::new(info.content, "a recipient of the envelope");
    info.exactly(&[tag::INTEGER, 1, 3], "is not of version 3")?;
    let mut originator = info.enter(CONTEXT_0)?;
    let mut key = originator.enter(CONTEXT_1)?;
    originator.end()?;
    key.exactly(
        oid::EC_PUBLIC_KEY,
        "has an originator key with parameters, or not of id-ecPublicKey",
    )?;
    let point = key.one(tag::BIT_STRING)?.content;
    key.end()?;
    let point = match point.split_first() {
        Some((0, point)) if point.len() == POINT_BYTES && point.first() == Some(&4) => point,
        _ => return Err("a recipient of the envelope has no uncompressed point of P-384".into()),
    };
    if info.peek() == Some(CONTEXT_1) {
        return Err("a recipient of the envelope has ukm".into());
    }
    info.exactly(
        &sequence(&[oid::STD_DH_SHA384_KDF, oid::AES256_WRAP]),
        "has another key agreement than stdDH-sha384kdf with aes256-wrap",
    )?;
    let mut keys = info.enter(tag::SEQUENCE)?;
    info.end()?;
    let mut key = keys.enter(tag::SEQUENCE)?;
    keys.end()?;
    let id = key.one(tag::SEQUENCE)?.whole;
    let wrapped = key.one(tag::OCTET_STRING)?.content;
    key.end()?;
    if wrapped.len() != WRAPPED_BYTES {
        return Err("a recipient of the envelope has no wrapped key of AES-256".into());
    }
    Ok(Recipient { point, id, wrapped })
}

/// `EncryptedContentInfo`, RFC 5652 §6.1, with `GCMParameters`, RFC 5084 §3.2.
fn encrypted_content(info: Element<'_>) -> Result<([u8; NONCE_BYTES], &[u8]), Refusal> {
    let mut info = Reader::new(info.content, "the envelope's content");
    info.exactly(oid::DATA, "is not id-data")?;
    let mut algorithm = info.enter(tag::SEQUENCE)?;
    algorithm.exactly(oid::AES256_GCM, "is not encrypted with AES-256-GCM")?;
    let mut parameters = algorithm.enter(tag::SEQUENCE)?;
    algorithm.end()?;
    let nonce = parameters.one(tag::OCTET_STRING)?.content;
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce)
        .map_err(|_length| Refusal::from("the envelope's nonce is not of 12 bytes"))?;
    if parameters.peek().is_none() {
        return Err("the envelope's ICVlen is not written out".into());
    }
    parameters.exactly(&[tag::INTEGER, 1, 16], "has another ICVlen than 16")?;
    parameters.end()?;
    let ciphertext = info.one(CIPHERTEXT)?.content;
    info.end()?;
    Ok((nonce, ciphertext))
}

/// Seals `plain` to one certificate, as a pré-demande goes to its station.
pub(crate) fn seal(plain: &[u8], to: &Certificate) -> Result<Vec<u8>, Error> {
    seal_to_each(plain, &[to])
}

/// Seals `plain` to certificates of P-384.
pub(crate) fn seal_to_each(plain: &[u8], to: &[&Certificate]) -> Result<Vec<u8>, Error> {
    const FAILED: Error = Error::Crypto("seal an envelope");
    let random = ring::rand::SystemRandom::new();
    let mut cek = Zeroizing::new([0_u8; 32]);
    let mut nonce = [0_u8; NONCE_BYTES];
    random.fill(&mut *cek).map_err(|_random| FAILED)?;
    random.fill(&mut nonce).map_err(|_random| FAILED)?;

    let recipients = to
        .iter()
        .map(|certificate| recipient_info(&random, &cek, certificate).ok_or(FAILED))
        .collect::<Result<Vec<_>, Error>>()?;

    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &*cek).map_err(|_length| FAILED)?;
    let mut ciphertext = plain.to_vec();
    let mac = aead::LessSafeKey::new(key)
        .seal_in_place_separate_tag(
            aead::Nonce::assume_unique_for_key(nonce),
            aead::Aad::empty(),
            &mut ciphertext,
        )
        .map_err(|_length| FAILED)?;

    let parameters = sequence(&[&element(tag::OCTET_STRING, &[&nonce]), &[tag::INTEGER, 1, 16]]);
    let content = sequence(&[
        oid::DATA,
        &sequence(&[oid::AES256_GCM, &parameters]),
        &element(CIPHERTEXT, &[&ciphertext]),
    ]);
    let data = sequence(&[
        &[tag::INTEGER, 1, 0],
        &set_of(tag::SET, recipients),
        &content,
        &element(tag::OCTET_STRING, &[mac.as_ref()]),
    ]);
    Ok(sequence(&[
        oid::AUTH_ENVELOPED_DATA,
        &element(CONTEXT_0, &[&data]),
    ]))
}

fn recipient_info(random: &dyn SecureRandom, cek: &[u8; 32], certificate: &Certificate) -> Option<Vec<u8>> {
    let ephemeral = agreement::EphemeralPrivateKey::generate(&agreement::ECDH_P384, random).ok()?;
    let own = ephemeral.compute_public_key().ok()?;
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P384, certificate.public_key());
    let kek = agreement::agree_ephemeral(ephemeral, &peer, key_encryption_key).ok()?;
    let mut wrapped = [0_u8; WRAPPED_BYTES];
    KwAes256::new((&*kek).into()).wrap_key(cek, &mut wrapped).ok()?;

    let point = element(tag::BIT_STRING, &[&[0], own.as_ref()]);
    let originator = element(CONTEXT_0, &[&element(CONTEXT_1, &[oid::EC_PUBLIC_KEY, &point])]);
    let key = sequence(&[certificate.id(), &element(tag::OCTET_STRING, &[&wrapped])]);
    Some(element(
        CONTEXT_1,
        &[
            &[tag::INTEGER, 1, 3],
            &originator,
            &sequence(&[oid::STD_DH_SHA384_KDF, oid::AES256_WRAP]),
            &sequence(&[&key]),
        ],
    ))
}

/// ANSI X9.63 KDF (SEC 1 §3.6.1) with SHA-384, one round, over the secret and `ECC-CMS-SharedInfo`
/// (RFC 5753 §7.2) for a key of 256 bits.
fn key_encryption_key(secret: &[u8]) -> Zeroizing<[u8; 32]> {
    let bits = element(0xa2, &[&[tag::OCTET_STRING, 4, 0, 0, 1, 0]]);
    let info = sequence(&[oid::AES256_WRAP, &bits]);
    let mut input = Zeroizing::new([secret, &1_u32.to_be_bytes(), &info].concat());
    let digest = digest::digest(&digest::SHA384, &input);
    input.zeroize();
    let mut key = Zeroizing::new([0_u8; 32]);
    for (byte, from) in key.iter_mut().zip(digest.as_ref()) {
        *byte = *from;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    /// The structures of CMS are malleable: openssl opens envelopes whose versions or identifiers were changed. The
    /// profile leaves one spelling, so that each change is seen.
    #[test]
    fn no_byte_of_an_envelope_can_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        crate::init(dir.path(), "MAIRIE-1", 2).unwrap();
        let keys = Keys::load(dir.path()).unwrap();
        let sealed = seal(b"plain", &keys.encryption).unwrap();
        let open = |bytes: &[u8]| Envelope::parse(bytes)?.open(&keys.encryption, &keys.encryption_key);

        assert_eq!(open(&sealed).unwrap().as_slice(), b"plain");
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1 << (place % 8);
            assert!(open(&changed).is_err(), "byte {place}");
            assert!(open(&sealed[..place]).is_err(), "cut at {place}");
        }
    }
}
