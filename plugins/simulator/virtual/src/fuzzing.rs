//! The readers of the image folder as functions of bytes, for `tests/fuzz` alone.

use crate::compose::photo::Portrait;
use crate::images;

/// Width, height and count of bytes of a print.
pub fn pgm(file: &[u8]) -> Option<(usize, usize, usize)> {
    let print = images::pgm(file)?;
    Some((print.width, print.height, print.pixels.len()))
}

/// Width and height of a photo.
pub fn portrait(file: &[u8]) -> Option<(u32, u32)> {
    Portrait::decode(file)
        .ok()
        .map(|portrait| portrait.0.dimensions())
}

/// Whether this is an `images.toml`.
pub fn index(text: &str) -> bool {
    toml::from_str::<images::Index>(text).is_ok()
}
