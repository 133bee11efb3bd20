//! Fingers of a slap, by the device's own segmentation.
//!
//! The device is believed about where fingers are and how good they are, and about nothing that can be
//! checked: how many, which hand, whether a box lies in the frame and holds ridges.

mod assess;
mod crop;
mod encode;
mod ridges;

pub use assess::assess;
pub use encode::encode;

use recueil_dossier::{Bounds, FingerPosition};

use crate::Gray;

/// What one presentation gave.
#[derive(Debug)]
pub struct Slap {
    /// One a finger, in the order of positions: exactly the fingers that were asked.
    pub prints: Vec<Print>,
}

/// One finger.
#[derive(Debug)]
pub struct Print {
    /// Which.
    pub position: FingerPosition,
    /// Its upright box in the frame, before turning.
    pub bounds: Bounds,
    /// The turn of the fingertip about the box's centre, thousandths of a degree, clockwise positive.
    pub angle_milli_deg: i32,
    /// The device's own quality, 0 to 100.
    pub quality: u8,
    /// Pixels per inch, rounded.
    pub ppi: u32,
    /// Share of the box that holds ridges, per cent.
    pub ridge_area_percent: f64,
    /// The box turned upright, never enlarged; white where it reached out of the frame.
    pub picture: Gray,
}
