//! What a camera sees.

use recueil_plugin_simulator::protocol::Format;

use super::photo::Portrait;
use super::{Picture, number, random};

/// One frame of the camera, with the sensor's noise.
pub fn frame(portrait: &Portrait, seed: u64, width: u32, height: u32) -> Picture {
    let mut pixels = portrait.fitted(width.max(1), height.max(1)).into_raw();
    for (pixel, place) in pixels.chunks_exact_mut(3).zip(0_u64..) {
        for (value, noise) in pixel.iter_mut().zip(random::noise(random::at(seed, place, 0))) {
            *value = number::level(f64::from(*value) + noise * 1.8);
        }
    }
    Picture {
        width: width.max(1),
        height: height.max(1),
        format: Format::Rgb24,
        pixels,
    }
}
