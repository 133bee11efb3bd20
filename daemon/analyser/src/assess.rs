//! From the frames of one try to what is said of them, and to the records that may be kept.

use std::collections::BTreeSet;

use recueil_capture::{Encoded, Profile, Raster, Refusal, barcode, document, face, fingerprint, signature};
use recueil_dossier::{FingerPosition, Frame, Guidance};
use recueil_wire::analyser::{Assessment, Finger, Page, Pick, Task};

use crate::Error;

/// What one try gave that can be encoded. Wiped when dropped.
pub(crate) enum Records {
    /// A slap.
    Fingers(Vec<fingerprint::Print>),
    /// One photo.
    Photo(Box<face::Photo>),
    /// Pages in their order.
    Pages(Vec<document::Page>),
    /// One signature.
    Signature(Box<signature::Signature>),
}

/// The fingers asked of one try.
pub(crate) struct Asked<'a> {
    pub(crate) position: Option<FingerPosition>,
    pub(crate) missing: &'a BTreeSet<FingerPosition>,
}

/// Assesses the results of one try. Of several results only pages use all, the others the last.
pub(crate) fn assess(
    task: &Task,
    results: &[Frame],
    asked: &Asked<'_>,
    profile: &Profile,
) -> Result<(Assessment, Records), Refusal> {
    let last = results.last().ok_or_else(nothing_came)?;
    match task {
        Task::Fingerprints => fingers(last, asked, profile),
        Task::PhotoPrint => {
            let photo = face::find_print(last, &profile.photo)?;
            let criteria = photo.criteria.clone();
            Ok((Assessment::Photo { criteria }, Records::Photo(Box::new(photo))))
        }
        Task::Pages => pages(results, profile),
        Task::Signature => {
            let signature = signature::extract(last, &profile.signature)?;
            let criteria = signature.criteria.clone();
            Ok((
                Assessment::Signature { criteria },
                Records::Signature(Box::new(signature)),
            ))
        }
    }
}

fn fingers(frame: &Frame, asked: &Asked<'_>, profile: &Profile) -> Result<(Assessment, Records), Refusal> {
    let position = asked.position.ok_or_else(nothing_came)?;
    let slap = fingerprint::assess(frame, position, asked.missing, &profile.fingerprint)?;
    let fingers = slap.prints.iter().map(|print| Finger {
        position: print.position,
        bounds: print.bounds,
        angle_milli_deg: print.angle_milli_deg,
        quality: print.quality,
    });
    let fingers = fingers.collect();
    Ok((Assessment::Fingers { fingers }, Records::Fingers(slap.prints)))
}

/// One page that is refused refuses the try: the pages of a try are one job of the scanner.
fn pages(results: &[Frame], profile: &Profile) -> Result<(Assessment, Records), Refusal> {
    let mut said = Vec::new();
    let mut pages = Vec::new();
    for frame in results {
        let page = document::page(frame, &profile.page)?;
        said.push(Page {
            width: page.width,
            height: page.height,
            pre_demande: barcode::pre_demande(frame),
        });
        pages.push(page);
    }
    Ok((Assessment::Pages { pages: said }, Records::Pages(pages)))
}

/// A capture that succeeded without a picture.
fn nothing_came() -> Refusal {
    Refusal {
        guidance: vec![Guidance::TryAgain],
        criteria: Vec::new(),
    }
}

impl Records {
    /// Encodes one of them.
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] if there is none such.
    pub(crate) fn encode(&self, pick: &Pick) -> Result<Encoded, Error> {
        let none = || Error::OutOfOrder("a record that the try did not give");
        let first = pick.result == 0 && pick.position.is_none();
        let encoded = match self {
            Self::Fingers(prints) => {
                let print = prints.iter().find(|print| Some(print.position) == pick.position);
                fingerprint::encode(print.ok_or_else(none)?)
            }
            Self::Pages(pages) => {
                let index = usize::try_from(pick.result).unwrap_or(usize::MAX);
                document::encode(pages.get(index).ok_or_else(none)?)
            }
            Self::Photo(photo) if first => face::encode(photo),
            Self::Signature(signature) if first => signature::encode(signature),
            Self::Photo(_) | Self::Signature(_) => return Err(none()),
        };
        Ok(encoded?)
    }

    /// Bytes of pixels held.
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Self::Fingers(prints) => prints.iter().map(|print| print.picture.bytes().len()).sum(),
            Self::Photo(photo) => photo.picture.bytes().len(),
            Self::Pages(pages) => pages.iter().map(|page| raster_len(&page.picture)).sum(),
            Self::Signature(signature) => signature.picture.bytes().len(),
        }
    }
}

fn raster_len(raster: &Raster) -> usize {
    match raster {
        Raster::Gray(gray) => gray.bytes().len(),
        Raster::Rgb(rgb) => rgb.bytes().len(),
    }
}
