//! What lies on the disk is AES-256-GCM (NIST SP 800-38D), bound to its place by the additional data.

use recueil_dossier::DossierId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

use crate::Error;

const TAG_LEN: usize = 16;

/// 32 secret bytes that wrap the keys of drafts. Wiped when dropped.
pub struct StorageKey(pub(crate) Key);

impl StorageKey {
    /// Takes the bytes over; the caller's copy is wiped by its own type.
    pub fn new(bytes: &Zeroizing<[u8; 32]>) -> Self {
        Self(Key(bytes.clone()))
    }
}

impl std::fmt::Debug for StorageKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StorageKey")
    }
}

/// What did not open: another key, another place, other bytes.
#[derive(Debug)]
pub(crate) struct Unopened;

/// Where a ciphertext belongs. Opened anywhere else, it fails.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// The text that tells the right storage key from a wrong one.
    Check,
    /// A dossier's key, under the storage key.
    WrappedKey(DossierId),
    /// A draft's data, at one revision.
    Content(DossierId, i64),
    /// An item's payload, at one version.
    Item(DossierId, &'a str, i64),
    /// A remembered answer, under the storage key.
    Answer(u32, &'a str),
}

impl Place<'_> {
    fn aad(self) -> Vec<u8> {
        // Ids and names hold no '|', and what may hold one comes last.
        match self {
            Self::Check => "recueil-store-1|check".to_owned(),
            Self::WrappedKey(id) => format!("recueil-store-1|key|{id}"),
            Self::Content(id, revision) => format!("recueil-store-1|draft|{id}|{revision}"),
            Self::Item(id, name, version) => format!("recueil-store-1|item|{id}|{version}|{name}"),
            Self::Answer(uid, token) => format!("recueil-store-1|answer|{uid}|{token}"),
        }
        .into_bytes()
    }
}

/// A 256-bit key, wiped when dropped.
pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// A fresh random key.
    pub(crate) fn random() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        fill(bytes.as_mut())?;
        Ok(Self(bytes))
    }

    /// This key, readable only under another.
    pub(crate) fn wrapped(&self, under: &Self, place: Place<'_>) -> Result<Vec<u8>, Error> {
        under.seal(place, &mut Zeroizing::new(self.0.to_vec()))
    }

    /// Reads a wrapped key back.
    pub(crate) fn unwrapped(blob: Vec<u8>, under: &Self, place: Place<'_>) -> Result<Self, Unopened> {
        let plain = under.open(place, blob)?;
        let bytes: [u8; 32] = plain.as_slice().try_into().map_err(|_wrong_length| Unopened)?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Encrypts into one blob: nonce, ciphertext, tag. `plain` holds only ciphertext afterwards.
    pub(crate) fn seal(&self, place: Place<'_>, plain: &mut [u8]) -> Result<Vec<u8>, Error> {
        let (nonce, tag) = self.seal_in_place(place, plain)?;
        Ok([nonce.as_slice(), plain, &tag].concat())
    }

    /// Encrypts in place, so that no second buffer ever holds what `plain` held.
    pub(crate) fn seal_in_place(
        &self,
        place: Place<'_>,
        plain: &mut [u8],
    ) -> Result<([u8; NONCE_LEN], [u8; TAG_LEN]), Error> {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce)?;
        let sealed = self.schedule().and_then(|key| {
            key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.aad()), plain)
        });
        let tag = sealed
            .ok()
            .and_then(|tag| <[u8; TAG_LEN]>::try_from(tag.as_ref()).ok());
        // Whatever stopped it, the caller's buffer must not stay plain.
        let tag = tag.ok_or_else(|| {
            plain.zeroize();
            Error::Limit {
                what: "bytes to encrypt",
                max: usize::MAX,
            }
        })?;
        Ok((nonce, tag))
    }

    /// Opens what [`Self::seal`] made.
    pub(crate) fn open(&self, place: Place<'_>, blob: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, Unopened> {
        let mut blob = Zeroizing::new(blob);
        let nonce = blob.get(..NONCE_LEN).ok_or(Unopened)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_length| Unopened)?;
        let key = self.schedule().map_err(|_length| Unopened)?;
        let plain_len = key
            .open_within(nonce, Aad::from(place.aad()), &mut blob, NONCE_LEN..)
            .map_err(|_unspecified| Unopened)?
            .len();
        blob.truncate(plain_len);
        Ok(blob)
    }

    // ring wipes no key schedule; one lives as long as one call, in a process that dumps no core.
    fn schedule(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, self.0.as_slice()).map(LessSafeKey::new)
    }
}

fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    SystemRandom::new()
        .fill(bytes)
        .map_err(|_unspecified| Error::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_opens_only_in_its_place() {
        let id = DossierId::new(jiff::Timestamp::UNIX_EPOCH, [1; 10]);
        let key = Key::random().unwrap();
        let blob = key
            .seal(Place::Item(id, "photo", 3), &mut b"pixels".to_vec())
            .unwrap();
        let open = |place| key.open(place, blob.clone()).ok();
        assert_eq!(open(Place::Item(id, "photo", 3)).unwrap().as_slice(), b"pixels");
        assert!(open(Place::Item(id, "photo", 2)).is_none());
        assert!(open(Place::Item(id, "signature", 3)).is_none());
        assert!(open(Place::Content(id, 3)).is_none());
        assert!(key.open(Place::Check, vec![0; 5]).is_err());
    }

    #[test]
    fn encryption_leaves_nothing_plain_in_the_buffer() {
        let mut plain = vec![7; 4096];
        Key::random().unwrap().seal(Place::Check, &mut plain).unwrap();
        assert!(!plain.windows(8).any(|window| window == [7; 8]));
    }
}
