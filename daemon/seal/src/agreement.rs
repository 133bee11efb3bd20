//! From an ECDH secret to the content key: ANSI X9.63 KDF with SHA-384, then AES-256 key wrap.

use aes_kw::{KeyInit, KwAes256};
use ring::agreement::{self, ECDH_P384, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::SecureRandom;
use zeroize::Zeroizing;

use crate::asn1::{CONTEXT_2, OCTET_STRING, SEQUENCE, element, oid};
use crate::{Error, OpeningKey, Party};

pub(crate) const KEY_LEN: usize = 32;
pub(crate) const WRAPPED_LEN: usize = KEY_LEN + aes_kw::IV_LEN;
/// An uncompressed point on P-384.
pub(crate) const POINT_LEN: usize = 97;

/// A key that is wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; KEY_LEN]>;

/// A key that wraps a content key for one recipient.
pub(crate) struct WrappingKey(Key);

impl WrappingKey {
    /// A fresh ephemeral key's public point, and what was agreed with the recipient's public point.
    pub(crate) fn agree(recipient: &[u8], rng: &dyn SecureRandom) -> Result<(Vec<u8>, Self), Error> {
        let ephemeral = EphemeralPrivateKey::generate(&ECDH_P384, rng).map_err(|_| Error::Randomness)?;
        let point = ephemeral.compute_public_key().map_err(|_| Error::Randomness)?;
        let recipient = UnparsedPublicKey::new(&ECDH_P384, recipient);
        let key =
            agreement::agree_ephemeral(ephemeral, &recipient, derive).map_err(|_| Error::CertificateUse {
                party: Party::Recipient,
                what: "its key is no point of P-384",
            })?;
        Ok((point.as_ref().to_vec(), Self(key)))
    }

    /// What the sender agreed with us, from the ephemeral point in the envelope.
    pub(crate) fn agreed(key: &OpeningKey, point: &[u8]) -> Result<Self, Error> {
        let point = p384::PublicKey::from_sec1_bytes(point)
            .map_err(|_| Error::Profile("an ephemeral key that is a point of P-384"))?;
        let secret = key.secret()?.diffie_hellman(&point);
        Ok(Self(derive(secret.raw_secret_bytes())))
    }

    pub(crate) fn wrap(&self, content_key: &Key) -> Result<[u8; WRAPPED_LEN], Error> {
        let mut wrapped = [0; WRAPPED_LEN];
        KwAes256::new((&*self.0).into())
            .wrap_key(content_key.as_slice(), &mut wrapped)
            .map_err(|_| Error::SelfCheck("key wrap"))?;
        Ok(wrapped)
    }

    /// # Errors
    /// [`Error::Decryption`]: another key, or altered.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Result<Key, Error> {
        let mut content_key = Key::default();
        let unwrapped = KwAes256::new((&*self.0).into())
            .unwrap_key(wrapped, content_key.as_mut_slice())
            .map(<[u8]>::len);
        match unwrapped {
            Ok(KEY_LEN) => Ok(content_key),
            _ => Err(Error::Decryption),
        }
    }
}

/// ECC-CMS-SharedInfo (RFC 5753 section 7.2): the wrap algorithm, no ukm, the wrapping key's length in bits.
fn shared_info() -> Vec<u8> {
    const KEY_BITS: [u8; 4] = [0, 0, 1, 0];
    let algorithm = element(SEQUENCE, &[oid::AES_256_WRAP]);
    let length = element(CONTEXT_2, &[&element(OCTET_STRING, &[&KEY_BITS])]);
    element(SEQUENCE, &[&algorithm, &length])
}

fn derive(secret: &[u8]) -> Key {
    x963_kdf_sha384(secret, &shared_info())
}

/// ANSI X9.63 KDF with SHA-384 (SEC 1 section 3.6.1): 32 bytes need one round only.
fn x963_kdf_sha384(secret: &[u8], shared_info: &[u8]) -> Key {
    const COUNTER: [u8; 4] = [0, 0, 0, 1];
    let mut hash = ring::digest::Context::new(&ring::digest::SHA384);
    hash.update(secret);
    hash.update(&COUNTER);
    hash.update(shared_info);
    let digest = hash.finish();
    let mut key = Key::default();
    key.iter_mut()
        .zip(digest.as_ref())
        .for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// NIST CAVP, `ansx963_2001.rsp`, SHA-384, shared secret 192 bits; the first 32 bytes of K1.
    #[test]
    fn x963_kdf_gives_the_published_keys() {
        let check = |secret: &str, shared_info: &str, key: &str| {
            let derived = x963_kdf_sha384(&bytes(secret), &bytes(shared_info));
            assert_eq!(derived.as_slice(), bytes(key));
        };
        check(
            "d8554db1b392cd55c3fe957bed76af09c13ac2a9392f88f6",
            "",
            "671a46aada145162f8ddf1ca586a1cda7c3d7e0ab223098c68cc7d81e27c1e6b",
        );
        check(
            "c051fd22539c9de791d6c43a854b8f80a6bf70190050854a",
            "1317504aa34759bb4c931e3b78201945",
            "cf6a84434734ac6949e1d7976743277be789906908ad3ca3a8923da7f476abbe",
        );
    }

    /// RFC 3394 section 4.6: 256 bits of key data with a 256-bit KEK.
    #[test]
    fn key_wrap_gives_the_published_bytes() {
        let key = |hex: &str| Key::new(bytes(hex).try_into().unwrap());
        let wrapping = WrappingKey(key(
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        ));
        let content_key = key("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f");
        let mut wrapped = wrapping.wrap(&content_key).unwrap();
        assert_eq!(
            wrapped.to_vec(),
            bytes("28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21")
        );
        assert_eq!(wrapping.unwrap(&wrapped).unwrap(), content_key);
        wrapped[3] ^= 1;
        assert_eq!(wrapping.unwrap(&wrapped), Err(Error::Decryption));
        assert_eq!(wrapping.unwrap(&wrapped[..24]), Err(Error::Decryption));
    }
}
