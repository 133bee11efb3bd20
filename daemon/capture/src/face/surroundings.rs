//! The lid around a print.

use crate::number::{index, real, rounded};

use super::profile::{Profile, Scale, length, less};

/// Where the shadow at an edge is measured: this far from it, over this width, millimetres.
const NEAR_MM: (f64, f64) = (0.12, 0.25);

/// Profiles from the lid to the edge of a print, one for each third of a side.
#[derive(Debug)]
pub(super) struct Surroundings(pub(super) [Profile; 3]);

impl Surroundings {
    /// Whether a step runs along the side further out than `from_px`, even one too faint to be seen on one
    /// normal: two thirds must agree.
    pub(super) fn have_step(&self, from_px: f64, noise: f64, scale: Scale) -> bool {
        let least = (noise * 0.4).max(2.0);
        let [a, b, c] = self.0.each_ref().map(|profile| {
            let places = profile.jumps(least, scale).into_iter().map(|jump| jump.place);
            places
                .filter(|place| real(profile.len()) - place > from_px)
                .collect::<Vec<f64>>()
        });
        let agree = |one: &[f64], other: &[f64]| {
            let close = |place: &f64, near: &f64| (place - near).abs() <= scale.straight * 3.0;
            one.iter()
                .any(|place| other.iter().any(|near| close(place, near)))
        };
        agree(&a, &b) || agree(&b, &c) || agree(&a, &c)
    }

    /// How much the lid at the edge differs from that further out, grey levels, in the least shaded third.
    pub(super) fn shade(&self, scale: Scale) -> f64 {
        let pixels = |mm: f64| index(rounded(scale.mm * mm));
        let shade = |profile: &Profile| {
            let end = profile.len().checked_sub(pixels(NEAR_MM.0))?;
            let near = profile.mean(end.checked_sub(pixels(NEAR_MM.1))?..end)?;
            let far = profile.mean(0..pixels(NEAR_MM.1))?;
            Some(length(less(near, far)))
        };
        self.0.iter().filter_map(shade).fold(f64::INFINITY, f64::min)
    }
}
