//! The photo's PNG: lossless, since only one lossy step is allowed on the way to the chip, and it is CERT's.

use super::Photo;
use crate::{Encoded, Error, encoded};

/// An RGB PNG of the profile's size.
///
/// # Errors
/// [`Error::Encoding`], for an empty picture.
pub fn encode(photo: &Photo) -> Result<Encoded, Error> {
    encoded::png(&photo.picture, photo.ppi, photo.criteria.clone())
}
