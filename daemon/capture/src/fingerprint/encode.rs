//! A finger's PNG. WSQ takes its place when there is a certified encoder.

use super::Print;
use super::ridges::AREA_MIN_PERCENT;
use crate::refusal::{at_least, recorded};
use crate::{Encoded, Error, encoded};

/// A grey PNG of 8 bits with its density.
///
/// # Errors
/// [`Error::Encoding`], for an empty picture.
pub fn encode(print: &Print) -> Result<Encoded, Error> {
    let criteria = vec![
        recorded("device-quality", f64::from(print.quality)),
        at_least("ridge-area-percent", print.ridge_area_percent, AREA_MIN_PERCENT),
    ];
    encoded::png(&print.picture, print.ppi, criteria)
}
