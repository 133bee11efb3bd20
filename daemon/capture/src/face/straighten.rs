//! Cutting the print out: straight, and smaller.

use crate::number::rounded;
use crate::picture::levels;
use crate::{PhotoProfile, Picture, View};

use super::geometry::{Point, Quad};

/// How far inside the edge the cut lies, pixels of the scan: the edge's own pixels are half lid.
const INSET_PX: f64 = 1.0;

/// The print at the profile's size. Each pixel is the mean of a grid of places in its area, close enough that
/// no pixel of the scan is left out; the grid reaches a little into the neighbours, which is the filter.
pub(super) fn straighten<const N: usize>(
    view: View<'_, N>,
    quad: &Quad,
    profile: &PhotoProfile,
) -> Picture<N> {
    let (width, height) = (f64::from(profile.width_px), f64::from(profile.height_px));
    let inset_x = INSET_PX / quad.width();
    let inset_y = INSET_PX / quad.height();
    let [top_left, top_right, bottom_right, bottom_left] = quad.0;
    let place = |u: f64, v: f64| -> Point {
        let across = inset_x + u * (1.0 - 2.0 * inset_x);
        let down = inset_y + v * (1.0 - 2.0 * inset_y);
        let (upper, lower) = (
            top_left.towards(top_right, across),
            bottom_left.towards(bottom_right, across),
        );
        upper.towards(lower, down)
    };
    let ratio = (quad.width() / width).max(quad.height() / height);
    let grid = rounded(ratio * 1.5).clamp(2, 12);
    let share = 1.0 / f64::from(grid);
    let offsets: Vec<f64> = (0..grid).map(|step| (f64::from(step) + 0.5) * share).collect();
    Picture::from_fn(profile.width_px, profile.height_px, |x, y| {
        let mut sum = [0.0; N];
        for dy in &offsets {
            for dx in &offsets {
                let at = place((f64::from(x) + dx) / width, (f64::from(y) + dy) / height);
                for (total, level) in sum.iter_mut().zip(view.between(at.x, at.y, [255; N])) {
                    *total += level;
                }
            }
        }
        levels(sum.map(|total| total * share * share))
    })
}
