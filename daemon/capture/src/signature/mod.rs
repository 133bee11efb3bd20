//! A handwritten signature on a scanned sheet.

mod encode;
mod extract;

pub use encode::encode;
pub use extract::extract;

use recueil_dossier::{Bounds, Criterion};

use crate::Gray;

/// The ink that was found, with a margin.
#[derive(Debug)]
pub struct Signature {
    /// Where it lies in the frame, margin included.
    pub bounds: Bounds,
    /// Pixels per inch.
    pub ppi: u32,
    /// Grey, as scanned.
    pub picture: Gray,
    /// What was measured.
    pub criteria: Vec<Criterion>,
}
