//! ASiC-E with `CAdES` (ETSI EN 319 162-1): which entries there must be, and that the signed manifest covers them.

use std::collections::BTreeMap;

use crate::error::Refusal;
use crate::hex::base64_sha256;
use crate::xml::{self, Element};
use crate::zip;

const MIMETYPE: &[u8] = b"application/vnd.etsi.asic-e+zip";
const MANIFEST: &str = "META-INF/ASiCManifest001.xml";
const SIGNATURE: &str = "META-INF/signature001.p7s";
const DOSSIER: &str = "dossier.json";
const ASIC: &str = "http://uri.etsi.org/02918/v1.2.1#";
const XMLDSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// A container whose signed manifest covers every entry; the signature itself is not yet verified.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) dossier: &'a [u8],
    /// Entries beside `dossier.json`, by name.
    pub(crate) items: BTreeMap<&'a str, &'a [u8]>,
    pub(crate) signed: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Container<'a> {
    /// Judges the ZIP and the manifest.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let entries = zip::parse(bytes)?;
        match entries.first() {
            Some(first) if first.name == "mimetype" && first.bytes == MIMETYPE => {}
            _ => return Err("the container does not begin with its mimetype".into()),
        }
        let mut items: BTreeMap<&str, &[u8]> = entries
            .iter()
            .skip(1)
            .map(|entry| (entry.name, entry.bytes))
            .collect();
        let mut take = |name: &str| {
            items
                .remove(name)
                .ok_or_else(|| Refusal(format!("the container lacks {name}")))
        };
        let (signed, signature) = (take(MANIFEST)?, take(SIGNATURE)?);
        if items.keys().any(|name| name.starts_with("META-INF/")) {
            return Err("the container has more in META-INF than the profile".into());
        }
        check_manifest(&xml::parse(signed)?, &items)?;
        let dossier = items.remove(DOSSIER).ok_or("the container lacks dossier.json")?;
        Ok(Self {
            dossier,
            items,
            signed,
            signature,
        })
    }
}

/// The manifest lists each entry once, with its digest, and no other.
fn check_manifest(root: &Element<'_>, entries: &BTreeMap<&str, &[u8]>) -> Result<(), Refusal> {
    const FORM: &str = "the container's manifest is not of the profile";
    let mut members = root.children.iter();
    let reference = members
        .next()
        .filter(|element| element.is(ASIC, "SigReference"))
        .ok_or(FORM)?;
    let names_signature = reference.attribute("URI") == Some(SIGNATURE)
        && matches!(
            reference.attribute("MimeType"),
            None | Some("application/pkcs7-signature")
        );
    if !root.is(ASIC, "ASiCManifest")
        || !root.attributes.is_empty()
        || !names_signature
        || !has_only(reference, &["URI", "MimeType"])
        || !reference.children.is_empty()
        || !reference.text.is_empty()
    {
        return Err(FORM.into());
    }

    let mut listed = Vec::new();
    for object in members {
        let [method, value] = object.children.as_slice() else {
            return Err(FORM.into());
        };
        let well_formed = object.is(ASIC, "DataObjectReference")
            && has_only(object, &["URI", "MimeType"])
            && method.is(XMLDSIG, "DigestMethod")
            && method.attribute("Algorithm") == Some(SHA256)
            && has_only(method, &["Algorithm"])
            && method.children.is_empty()
            && method.text.is_empty()
            && value.is(XMLDSIG, "DigestValue")
            && value.attributes.is_empty()
            && value.children.is_empty();
        let name = object.attribute("URI").filter(|_uri| well_formed).ok_or(FORM)?;
        let bytes = entries
            .get(name)
            .ok_or("the container's manifest lists an entry that is not there")?;
        if base64_sha256(bytes) != value.text {
            return Err(format!("entry {name} has another digest than the container's manifest says").into());
        }
        if listed.contains(&name) {
            return Err("the container's manifest lists an entry twice".into());
        }
        listed.push(name);
    }
    if listed.len() == entries.len() {
        Ok(())
    } else {
        Err("the container has an entry that its manifest does not list".into())
    }
}

fn has_only(element: &Element<'_>, names: &[&str]) -> bool {
    element
        .attributes
        .iter()
        .all(|(name, _value)| names.contains(name))
}
