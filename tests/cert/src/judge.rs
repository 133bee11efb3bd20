//! Whether CERT takes a parcel: everything about the bytes themselves, from the envelope to each item. Pure, given
//! the keys and the time; what CERT remembers of other dossiers is held against it by `desk`.

use jiff::Timestamp;

use crate::cades;
use crate::container::Container;
use crate::envelope::Envelope;
use crate::error::Refusal;
use crate::hex;
use crate::keys::Keys;
use crate::manifest::{Kind, Manifest};

/// What CERT keeps in its head of a parcel that it could read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    /// SHA-256 of `dossier.json`.
    pub(crate) manifest_sha256: String,
    pub(crate) sequence: u64,
    pub(crate) kind: Kind,
    pub(crate) demande: Option<String>,
    pub(crate) pre_demande: Option<String>,
}

/// Opens and judges `parcel`, announced as `dossier` by `station`.
pub(crate) fn judge(
    parcel: &[u8],
    dossier: &str,
    station: &str,
    keys: &Keys,
    now: Timestamp,
) -> Result<Judged, Refusal> {
    let envelope = Envelope::parse(parcel)?;
    if !envelope.is_for(&[&keys.encryption, &keys.escrow]) {
        return Err("the envelope is not for this CERT and its escrow".into());
    }
    let plain = envelope.open(&keys.encryption, &keys.encryption_key)?;

    let container = Container::parse(&plain)?;
    let signer = cades::verify_detached(container.signature, container.signed)?;
    signer.check_seal(&keys.station_root, station, now)?;

    let manifest = Manifest::parse(container.dossier)?;
    if manifest.dossier != dossier {
        return Err("the parcel holds another dossier than the one that was announced".into());
    }
    if manifest.station != station {
        return Err("dossier.json names another station than the one that sent the parcel".into());
    }
    let recipients = [&keys.encryption, &keys.escrow].map(|certificate| hex::sha256(certificate.der()));
    if manifest.recipients != recipients {
        return Err("dossier.json names other recipients than the envelope".into());
    }
    check_items(&manifest, &container)?;
    Ok(Judged {
        manifest_sha256: hex::sha256(container.dossier),
        sequence: manifest.sequence,
        kind: manifest.content.kind,
        demande: manifest.content.demande,
        pre_demande: manifest.content.pre_demande,
    })
}

fn check_items(manifest: &Manifest, container: &Container<'_>) -> Result<(), Refusal> {
    let items = &manifest.content.items.0;
    for item in items.values() {
        let bytes = container
            .items
            .get(item.file_name().as_str())
            .ok_or("dossier.json has an item that the container lacks")?;
        item.check(bytes)?;
    }
    // Names of items are unique, so as many entries as items are the same ones.
    if items.len() == container.items.len() {
        Ok(())
    } else {
        Err("the container has an entry that dossier.json does not know".into())
    }
}
