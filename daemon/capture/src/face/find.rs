//! Finding the print.

use recueil_dossier::{Frame, Guidance};

use super::Photo;
use crate::refusal::{ppi, recorded, wrong_layout};
use crate::{PhotoProfile, Refusal, View};

/// Finds the one print on the glass and cuts it out.
///
/// # Errors
/// Every reason that applies.
pub fn find_print(frame: &Frame, _profile: &PhotoProfile) -> Result<Photo, Refusal> {
    let _view = View::<3>::of(frame).ok_or_else(|| wrong_layout(frame))?;
    Err(Refusal::because(
        Guidance::EdgeUnclear,
        vec![recorded("scan-ppi", ppi(frame))],
    ))
}
