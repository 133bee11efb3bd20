//! A turned box out of a frame, upright.

use recueil_dossier::FingerSegment;

use crate::picture::levels;
use crate::{Gray, View};

/// White: the ground of a print, and what pads it (BSI TR-03121-3 volume 2, BIP-FP-APP).
const PAPER: [u8; 1] = [255];

/// The segment's box turned back by its angle about its centre, pixel for pixel: nothing is enlarged. Straight
/// boxes are copied, turned ones interpolated between four pixels.
pub(super) fn upright(view: View<'_, 1>, segment: &FingerSegment) -> Gray {
    let bounds = segment.bounds;
    let (left, top) = (i64::from(bounds.x), i64::from(bounds.y));
    if segment.angle_milli_deg == 0 {
        return Gray::from_fn(bounds.width, bounds.height, |x, y| {
            view.pixel(left + i64::from(x), top + i64::from(y))
                .unwrap_or(PAPER)
        });
    }
    let (sin, cos) = (f64::from(segment.angle_milli_deg) / 1000.0)
        .to_radians()
        .sin_cos();
    // Centres of pixels are whole numbers, so the box's centre lies half a pixel before its half width.
    let middle_x = (f64::from(bounds.width) - 1.0) / 2.0;
    let middle_y = (f64::from(bounds.height) - 1.0) / 2.0;
    let (centre_x, centre_y) = (f64::from(bounds.x) + middle_x, f64::from(bounds.y) + middle_y);
    Gray::from_fn(bounds.width, bounds.height, |x, y| {
        let (u, v) = (f64::from(x) - middle_x, f64::from(y) - middle_y);
        levels(view.between(centre_x + u * cos - v * sin, centre_y + u * sin + v * cos, PAPER))
    })
}
