//! What the host makes of what a plugin says, as functions, for `tests/fuzz` alone. No part of the interface.

use recueil_abi as abi;
use recueil_dossier::FingerprintMeta;
use recueil_wire::devices::{Capabilities, Identity};
use recueil_wire::host::Blob;

use crate::blobs::Blobs;
use crate::identity::{Info, capabilities as known};
use crate::layout::Layout;
use crate::{ffi, log};

/// What is read of a picture's description made of these numbers; none if it is refused.
pub fn meta(number: impl FnMut() -> u32) -> Option<Option<FingerprintMeta>> {
    ffi::stranger::read_meta(number).ok()
}

/// What of a device's abilities is known.
pub fn capabilities(caps: &abi::rcl_caps) -> Option<Capabilities> {
    known(caps)
}

/// Stride and bytes of the memory that is asked for.
pub fn layout(asked: &abi::rcl_frame) -> Option<(u32, u64)> {
    Layout::of(asked).ok().map(|layout| (layout.stride, layout.bytes))
}

/// A device's words about itself, tamed.
pub fn identity(text: &str) -> Identity {
    Info {
        vendor: text.to_owned(),
        model: text.to_owned(),
        serial: text.to_owned(),
        firmware: text.to_owned(),
    }
    .into()
}

/// A line, tamed.
pub fn line(text: &str, max_chars: usize) -> String {
    log::printable(text, max_chars)
}

/// Stored values by their names and lengths; the bytes that the plugin gets back for each, and how many messages
/// storing it again would take.
pub fn blobs(table: &[Blob], bytes: &[u8]) -> Option<Vec<(Vec<u8>, Option<usize>)>> {
    let mut blobs = Blobs::take_apart(table, bytes)?;
    let keys = table.iter().map(|blob| blob.key.as_str());
    let values = keys.map(|key| {
        let value = blobs.get(key).unwrap_or_default().to_vec();
        let parts = blobs.put(key, &value).ok().map(|parts| parts.len());
        (value, parts)
    });
    Some(values.collect())
}
