//! The applicant's photo: a paper print on a scanner's glass.

mod encode;
mod find;
mod geometry;
mod lid;
mod outline;
mod profile;
mod side;
mod straighten;
mod surroundings;

pub use encode::encode;
pub use find::find_print;

use recueil_dossier::Criterion;

use crate::Rgb;

/// A print that was found, straightened and cut.
#[derive(Debug)]
pub struct Photo {
    /// Of the profile's size.
    pub picture: Rgb,
    /// The print's corners in the frame, pixels: top left, top right, bottom right, bottom left. The middle of
    /// the first pixel is (0.0, 0.0).
    pub corners: [(f64, f64); 4],
    /// Resolution of `picture`, pixels per inch of the print.
    pub ppi: u32,
    /// What was measured.
    pub criteria: Vec<Criterion>,
}
