//! What is in a parcel, for tests that compare two.

use std::collections::BTreeMap;
use std::path::Path;

use crate::container::Container;
use crate::envelope::Envelope;
use crate::error::Error;
use crate::keys::Keys;

/// Opens a parcel with the keys of the CERT in `dir`: `dossier.json` and the items, by their names.
///
/// # Errors
/// There is no CERT; the parcel is not for it.
pub fn open(dir: &Path, parcel: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let keys = Keys::load(dir)?;
    let plain = Envelope::parse(parcel)?.open(&keys.encryption, &keys.encryption_key)?;
    let container = Container::parse(&plain)?;
    let items = container
        .items
        .iter()
        .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    let dossier = ("dossier.json".to_owned(), container.dossier.to_vec());
    Ok(items.chain([dossier]).collect())
}
