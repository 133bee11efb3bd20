//! The page's JPEG.

use super::Page;
use crate::{Encoded, Error, encoded};

/// A baseline JPEG, grey or in colour, at the profile's quality, with its density.
///
/// # Errors
/// [`Error::Encoding`], for an empty picture.
pub fn encode(page: &Page) -> Result<Encoded, Error> {
    encoded::jpeg(&page.picture, page.jpeg_quality, page.ppi, page.criteria.clone())
}
