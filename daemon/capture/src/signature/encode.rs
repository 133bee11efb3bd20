//! The signature's PNG.

use super::Signature;
use crate::{Encoded, Error, encoded};

/// A grey PNG of 8 bits with its density.
///
/// # Errors
/// [`Error::Encoding`], for an empty picture.
pub fn encode(signature: &Signature) -> Result<Encoded, Error> {
    encoded::png(&signature.picture, signature.ppi, signature.criteria.clone())
}
