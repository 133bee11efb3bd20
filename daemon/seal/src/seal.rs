//! Dossier → Parcel.

use jiff::Timestamp;
use recueil_dossier::{Dossier, Draft, Item, Parcel, StationId, hex, sha256_hex};
use ring::digest::{Digest, SHA256, digest};
use ring::rand::SecureRandom;
use zeroize::Zeroizing;

use crate::agreement::Key;
use crate::container::{self, Writer, zip_len};
use crate::envelope::{self, ENVELOPE_MAX_BYTES, Envelope, NONCE_LEN, RECIPIENTS_MAX, Wrapped};
use crate::manifest::{
    ASIC_MANIFEST_NAME, Clock, DOSSIER_NAME, MIMETYPE, MIMETYPE_NAME, Manifest, SIGNATURE_NAME, asic_manifest,
};
use crate::{Error, Party, Recipient, SealingKey, cades};

/// With what, for whom, when and where a dossier is sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'a> {
    /// This station; the sealing certificate's common name must be the same.
    pub station: &'a StationId,
    /// The number of this parcel in the station's count, which has no holes.
    pub sequence: u64,
    /// The station's time.
    pub now: Timestamp,
    /// How good that time is.
    pub clock: Clock,
    /// Name and version of the sealing program.
    pub application: &'a str,
    /// The station's signing key.
    pub key: &'a SealingKey,
    /// Who can open the parcel: CERT, then its escrow.
    pub recipients: &'a [Recipient],
}

/// Seals a dossier: container, signature, encryption, and a full self-check of the bytes that are returned.
///
/// The dossier is consumed, its items are wiped as they are taken over, so that a large one is not in memory
/// twice; on an error too. Nothing is lost by that: its items are in the store, encrypted, until the caller has
/// made the parcel durable. Once this function has returned, nobody at the station can open the parcel.
///
/// # Errors
/// Before anything else: [`Error::CertificateExpired`] and [`Error::CertificateNotYetValid`] (of a recipient:
/// keep the draft and raise the alarm), [`Error::StationName`], [`Error::Recipients`], [`Error::ItemDamaged`],
/// [`Error::TooLarge`] (124 items, 256 MiB), [`Error::Memory`], [`Error::Randomness`]. After:
/// [`Error::SelfCheck`], which is a defect of the machine or of this program.
pub fn seal(dossier: Dossier, context: &SealContext<'_>, rng: &dyn SecureRandom) -> Result<Parcel, Error> {
    let dossier_id = dossier.content().id;
    let (mut made, manifest, manifest_sha256) = make(dossier, context, rng)?;
    let sha256 = made.self_check(context, &manifest)?;
    Ok(Parcel {
        dossier: dossier_id,
        bytes: std::mem::take(&mut made.envelope),
        sha256,
        manifest_sha256,
        sequence: context.sequence,
    })
}

/// The parcel, not yet checked; what its `dossier.json` says, and the SHA-256 of that.
fn make(
    dossier: Dossier,
    context: &SealContext<'_>,
    rng: &dyn SecureRandom,
) -> Result<(Made, Manifest, String), Error> {
    require_usable(context)?;
    let (content, items) = dossier.into_parts();
    let items = in_manifest_order(&content, items)?;
    let content_key: Key = random(rng)?;
    let nonce: [u8; NONCE_LEN] = *random(rng)?;
    let recipients = Wrapped::make_all(context.recipients, &content_key, rng)?;

    let manifest = manifest(content, context);
    let manifest_json = manifest.to_json()?;
    let of_items = items
        .iter()
        .map(|(item, sha256)| (item.record.file_name(), *sha256));
    let of_dossier = (DOSSIER_NAME.to_owned(), digest(&SHA256, &manifest_json));
    let asic_manifest = asic_manifest(std::iter::once(of_dossier).chain(of_items));
    let signature = cades::sign_detached(asic_manifest.as_bytes(), context.key, context.now, rng)?;
    let small = SmallEntries {
        manifest_json: &manifest_json,
        asic_manifest: asic_manifest.as_bytes(),
        signature: &signature,
    };

    let mut made = Made {
        header: Vec::new(),
        envelope: Zeroizing::default(),
        content_key,
        nonce,
        recipients,
    };
    made.write(&small, items)?;
    let manifest_sha256 = sha256_hex(&manifest_json);
    Ok((made, manifest, manifest_sha256))
}

fn require_usable(context: &SealContext<'_>) -> Result<(), Error> {
    const APPLICATION_MAX_BYTES: usize = 128;
    if context.application.len() > APPLICATION_MAX_BYTES {
        return Err(Error::TooLarge {
            what: "bytes of the application's name",
            max: APPLICATION_MAX_BYTES,
        });
    }
    context.key.require_usable(context.station, context.now)?;
    if context.recipients.is_empty() || context.recipients.len() > RECIPIENTS_MAX {
        return Err(Error::Recipients);
    }
    let mut seen = std::collections::BTreeSet::new();
    for recipient in context.recipients {
        recipient.certificate().require_valid_at(context.now)?;
        if !seen.insert(recipient.sha256()) {
            return Err(Error::Recipients);
        }
    }
    Ok(())
}

/// The items in the order of their names, which is that of `dossier.json`, each still as its record says; with
/// their SHA-256.
fn in_manifest_order(content: &Draft, mut items: Vec<Item>) -> Result<Vec<(Item, Digest)>, Error> {
    /// Beside the items there are four entries.
    const ITEMS_MAX: usize = container::ENTRIES_MAX - 4;
    if items.len() > ITEMS_MAX {
        return Err(Error::TooLarge {
            what: "items of a dossier",
            max: ITEMS_MAX,
        });
    }
    items.sort_by(|one, other| one.record.name.cmp(&other.record.name));
    let checked = |item: Item| {
        let record = &item.record;
        let sha256 = digest(&SHA256, &item.payload);
        let is_intact = content.items.get(&record.name) == Some(record)
            && usize::try_from(record.len_bytes) == Ok(item.payload.len())
            && record.sha256 == hex(sha256.as_ref());
        if is_intact {
            Ok((item, sha256))
        } else {
            let name = record.name.to_string();
            Err(Error::ItemDamaged { name })
        }
    };
    items.into_iter().map(checked).collect()
}

/// The recipients as the context has them, CERT first; in the envelope they have the order of DER.
fn manifest(content: Draft, context: &SealContext<'_>) -> Manifest {
    let recipients = context.recipients.iter().map(Recipient::sha256).collect();
    Manifest::new(
        content,
        context.station,
        context.sequence,
        (context.now, context.clock),
        recipients,
        context.application,
    )
}

fn random<const LEN: usize>(rng: &dyn SecureRandom) -> Result<Zeroizing<[u8; LEN]>, Error> {
    let mut bytes = Zeroizing::new([0; LEN]);
    rng.fill(bytes.as_mut_slice()).map_err(|_| Error::Randomness)?;
    Ok(bytes)
}

/// The entries that are made here, not captured.
struct SmallEntries<'a> {
    manifest_json: &'a [u8],
    asic_manifest: &'a [u8],
    signature: &'a [u8],
}

/// A parcel being made. Its keys, and plain bytes that an error leaves behind, are wiped when it is dropped.
struct Made {
    header: Vec<u8>,
    envelope: Zeroizing<Vec<u8>>,
    content_key: Key,
    nonce: [u8; NONCE_LEN],
    recipients: Vec<Wrapped>,
}

impl Made {
    /// Writes header and container into one buffer of the final length, wiping each item once it is in there,
    /// and encrypts in place.
    fn write(&mut self, small: &SmallEntries<'_>, items: Vec<(Item, Digest)>) -> Result<(), Error> {
        let too_large = Error::TooLarge {
            what: "bytes of a parcel",
            max: ENVELOPE_MAX_BYTES,
        };
        let names: Vec<String> = items.iter().map(|(item, _)| item.record.file_name()).collect();
        let lens = items.iter().map(|(item, _)| item.payload.len());
        let entries = [
            (MIMETYPE_NAME, MIMETYPE.len()),
            (DOSSIER_NAME, small.manifest_json.len()),
            (ASIC_MANIFEST_NAME, small.asic_manifest.len()),
            (SIGNATURE_NAME, small.signature.len()),
        ]
        .into_iter()
        .chain(names.iter().map(String::as_str).zip(lens));
        let content_len = zip_len(entries).ok_or(too_large)?;
        self.header = envelope::header(&self.recipients, &self.nonce, content_len)?;
        let len_bytes = envelope::total_len(&self.header, content_len);
        self.envelope
            .try_reserve_exact(len_bytes)
            .map_err(|_| Error::Memory { len_bytes })?;

        self.envelope.extend_from_slice(&self.header);
        let mut zip = Writer::new(&mut self.envelope);
        zip.put(MIMETYPE_NAME, MIMETYPE)?;
        zip.put(DOSSIER_NAME, small.manifest_json)?;
        for ((item, _), name) in items.into_iter().zip(&names) {
            zip.put(name, &item.payload)?;
        }
        zip.put(ASIC_MANIFEST_NAME, small.asic_manifest)?;
        zip.put(SIGNATURE_NAME, small.signature)?;
        zip.finish()?;
        let header_len = self.header.len();
        envelope::seal_in_place(&mut self.envelope, header_len, &self.content_key, self.nonce)?;
        if self.envelope.len() == len_bytes {
            Ok(())
        } else {
            Err(Error::SelfCheck("length"))
        }
    }

    /// Reads the envelope as CERT will: outside, keys, content, container, digests, signature. Gives its SHA-256.
    ///
    /// The content is decrypted in place and encrypted again under the same key and nonce, which gives the same
    /// bytes, as the same mac shows: what was checked is what is returned, without a second copy in memory.
    fn self_check(&mut self, context: &SealContext<'_>, manifest: &Manifest) -> Result<String, Error> {
        // The recipients' points cannot be checked otherwise: the ephemeral keys are gone.
        if !self.envelope.starts_with(&self.header) {
            return Err(Error::SelfCheck("the header"));
        }
        let read = Envelope::parse(&self.envelope)?;
        let (content, nonce, mac) = (read.content.clone(), read.nonce, read.mac);
        let content_key = self.unwrapped(&read, context.recipients)?;
        let plain = self
            .envelope
            .get_mut(content)
            .ok_or(Error::SelfCheck("the content's place"))?;
        envelope::decrypt(plain, &content_key, nonce, mac)?;
        check_container(plain, context, manifest)?;
        let mac_again = envelope::encrypt(plain, &content_key, nonce)?;
        if mac_again == mac {
            Ok(sha256_hex(&self.envelope))
        } else {
            Err(Error::SelfCheck("the content changed while it was checked"))
        }
    }

    /// The content key as each recipient's part gives it; they must agree.
    fn unwrapped(&self, read: &Envelope<'_>, recipients: &[Recipient]) -> Result<Key, Error> {
        let has_part = |recipient: &Recipient| {
            let ours = recipient.certificate().issuer_and_serial().unwrap_or_default();
            read.recipients.iter().any(|part| part.issuer_and_serial == ours)
        };
        if read.recipients.len() != recipients.len() || !recipients.iter().all(has_part) {
            return Err(Error::SelfCheck("the recipients"));
        }
        for (part, made) in read.recipients.iter().zip(&self.recipients) {
            if made.wrapping.unwrap(part.wrapped_key)? != self.content_key {
                return Err(Error::SelfCheck("a recipient's key"));
            }
        }
        Ok(self.content_key.clone())
    }
}

/// The container as CERT reads it.
fn check_container(zip: &[u8], context: &SealContext<'_>, manifest: &Manifest) -> Result<(), Error> {
    let entries = container::read(zip)?;
    let [mimetype, data @ .., asic, signature] = entries.as_slice() else {
        return Err(Error::SelfCheck("the container's entries"));
    };
    let names = [mimetype.name, asic.name, signature.name];
    if names != [MIMETYPE_NAME, ASIC_MANIFEST_NAME, SIGNATURE_NAME] || mimetype.data != MIMETYPE {
        return Err(Error::SelfCheck("the container's entries"));
    }
    let digests: Vec<_> = data
        .iter()
        .map(|entry| (*entry, digest(&SHA256, entry.data)))
        .collect();
    let expected = asic_manifest(digests.iter().map(|(entry, sha256)| (entry.name, *sha256)));
    if asic.data != expected.as_bytes() {
        return Err(Error::SelfCheck("a digest of the ASiCManifest"));
    }
    let verified = cades::verify(signature.data, Some(asic.data), Party::Station)?;
    if verified.signer.der() != context.key.certificate_der() {
        return Err(Error::SelfCheck("the signer"));
    }
    match digests.as_slice() {
        [(dossier, _), items @ ..] if dossier.name == DOSSIER_NAME => {
            manifest.self_check(dossier.data, items)
        }
        _ => Err(Error::SelfCheck("the container's entries")),
    }
}

#[cfg(test)]
mod tests;
