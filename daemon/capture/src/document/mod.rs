//! One side of a paper.

mod encode;
mod page;

pub use encode::encode;
pub use page::page;

use recueil_dossier::Criterion;

use crate::Raster;

/// A scanned side that is not blank.
#[derive(Debug)]
pub struct Page {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels per inch.
    pub ppi: u32,
    /// As scanned: grey or in colour.
    pub picture: Raster,
    /// Quality it will be encoded with.
    pub jpeg_quality: u8,
    /// What was measured.
    pub criteria: Vec<Criterion>,
}
