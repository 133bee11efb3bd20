//! What CERT encrypts to this station, opened: a pré-demande.

use zeroize::Zeroizing;

use crate::agreement::WrappingKey;
use crate::envelope::{Envelope, decrypt};
use crate::{Error, OpeningKey};

/// Opens an envelope of profile CERT-CMS-1 made for `key`'s certificate; the content is wiped when dropped.
///
/// It proves nothing about who made the envelope: anybody can encrypt to a certificate. That comes from the
/// connection that it came through.
///
/// # Errors
/// [`Error::TooLarge`] above `max_bytes` (of the envelope), [`Error::Profile`] naming a deviation,
/// [`Error::NotForUs`], [`Error::Decryption`].
pub fn open_envelope(cms: &[u8], key: &OpeningKey, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    if cms.len() > max_bytes {
        return Err(Error::TooLarge {
            what: "bytes of an envelope",
            max: max_bytes,
        });
    }
    let envelope = Envelope::parse(cms)?;
    let ours = key.certificate().issuer_and_serial()?;
    let mine = envelope
        .recipients
        .iter()
        .find(|recipient| recipient.issuer_and_serial == ours)
        .ok_or(Error::NotForUs)?;
    let content_key = WrappingKey::agreed(key, mine.ephemeral_point)?.unwrap(mine.wrapped_key)?;
    let encrypted = cms.get(envelope.content.clone()).ok_or(Error::Decryption)?;
    let mut content = Zeroizing::new(encrypted.to_vec());
    decrypt(&mut content, &content_key, envelope.nonce, envelope.mac)?;
    Ok(content)
}
