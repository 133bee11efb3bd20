//! Whether a box holds ridges at all.

use recueil_dossier::Bounds;

use crate::View;
use crate::number::{index, real};

/// A box with ridges on less of its area than this holds no finger.
pub(super) const AREA_MIN_PERCENT: f64 = 12.0;
/// Side of the squares looked at: about two ridges at 500 ppi, whose period is 9 to 10 pixels.
const SQUARE_PX: u32 = 20;
/// Standard deviation of grey levels above which a square holds ridges. Sensor noise stays below 8; the
/// palest usable prints have 15 and more.
const CONTRAST_MIN: f64 = 12.0;

/// Share of a box's squares that hold ridges, per cent.
pub(super) fn area_percent(view: View<'_, 1>, bounds: Bounds) -> f64 {
    let columns = bounds.width / SQUARE_PX;
    let rows = bounds.height / SQUARE_PX;
    let squares = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    let with_ridges = squares
        .filter(|(column, row)| {
            let left = i64::from(bounds.x) + i64::from(column * SQUARE_PX);
            let top = i64::from(bounds.y) + i64::from(row * SQUARE_PX);
            deviation(view, left, top) >= CONTRAST_MIN
        })
        .count();
    let all = index(columns) * index(rows);
    if all == 0 {
        0.0
    } else {
        real(with_ridges) / real(all) * 100.0
    }
}

/// Standard deviation of one square; 0 where it leaves the frame.
fn deviation(view: View<'_, 1>, left: i64, top: i64) -> f64 {
    let Ok(start) = usize::try_from(left) else {
        return 0.0;
    };
    let (mut sum, mut squares, mut n) = (0.0, 0.0, 0_u32);
    for y in top..top + i64::from(SQUARE_PX) {
        let row = u32::try_from(y).map(|y| view.row(y)).unwrap_or_default();
        for [level] in row.get(start..).unwrap_or_default().iter().take(index(SQUARE_PX)) {
            let level = f64::from(*level);
            sum += level;
            squares += level * level;
            n += 1;
        }
    }
    if n < SQUARE_PX * SQUARE_PX {
        return 0.0;
    }
    let n = f64::from(n);
    (squares / n - (sum / n) * (sum / n)).max(0.0).sqrt()
}
