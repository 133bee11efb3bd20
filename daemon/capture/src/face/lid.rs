//! What the scanner's lid looks like, and what on the glass is not lid.

use std::collections::BTreeMap;

use crate::View;
use crate::number::{count, index, real};

use super::geometry::{Point, Quad, smallest_rectangle};

/// The least difference from the lid that is an object, grey levels of the most different channel.
const OBJECT_CONTRAST: f64 = 12.0;

/// The lid as it shows around the objects.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lid<const N: usize> {
    pub(super) color: [f64; N],
    /// Standard deviation of one pixel of the scan, grey levels.
    pub(super) noise: f64,
}

impl<const N: usize> Lid<N> {
    /// Looks at the rim of the scan: its middle value, which one print that reaches over the rim does not
    /// move.
    pub(super) fn measure(view: View<'_, N>, reduced: View<'_, N>) -> Self {
        let rim: Vec<[u8; N]> = rim(reduced, 3);
        let mut color = [0.0; N];
        for (channel, value) in color.iter_mut().enumerate() {
            let mut levels: Vec<u8> = rim
                .iter()
                .filter_map(|pixel| pixel.get(channel).copied())
                .collect();
            *value = f64::from(median(&mut levels));
        }
        Self {
            color,
            noise: noise(view),
        }
    }

    /// How different a pixel is: the most different channel.
    pub(super) fn contrast(&self, pixel: [u8; N]) -> f64 {
        pixel
            .iter()
            .zip(self.color)
            .map(|(level, lid)| (f64::from(*level) - lid).abs())
            .fold(0.0, f64::max)
    }

    /// Whether white paper cannot be told from it.
    pub(super) fn is_light(&self) -> bool {
        self.color.iter().all(|level| *level > 200.0)
    }

    /// Whether a pixel may be lid in shadow: darker in all channels by the same factor.
    pub(super) fn is_shaded(&self, pixel: [u8; N]) -> bool {
        let mut least = f64::INFINITY;
        let mut most = 0.0_f64;
        for (level, lid) in pixel.iter().zip(self.color) {
            let share = f64::from(*level) / lid.max(1.0);
            least = least.min(share);
            most = most.max(share);
        }
        most <= 1.02 && most - least <= 0.05
    }
}

/// The pixels of the outermost rows and columns.
fn rim<const N: usize>(view: View<'_, N>, depth: u32) -> Vec<[u8; N]> {
    let height = view.height();
    let mut pixels = Vec::new();
    for (y, row) in (0..height).zip(view.rows()) {
        if y < depth || y >= height.saturating_sub(depth) {
            pixels.extend_from_slice(row);
        } else {
            pixels.extend(row.iter().take(index(depth)));
            pixels.extend(row.iter().rev().take(index(depth)));
        }
    }
    pixels
}

/// Noise of one pixel, from neighbours in some rows: their differences have √2 times the deviation of one,
/// and a median is not moved by edges.
fn noise<const N: usize>(view: View<'_, N>) -> f64 {
    let step = index((view.height() / 64).max(1));
    let mut differences: Vec<u8> = (0..view.height())
        .step_by(step)
        .flat_map(|y| view.row(y).windows(2).step_by(5))
        .filter_map(|pair| match pair {
            [one, other] => Some(one.first()?.abs_diff(*other.first()?)),
            _ => None,
        })
        .collect();
    // Half a level more, since a median of whole numbers hides what is below.
    (f64::from(median(&mut differences)) + 0.5) / 0.6745 / std::f64::consts::SQRT_2
}

fn median(levels: &mut [u8]) -> u8 {
    if levels.is_empty() {
        return 0;
    }
    let middle = levels.len() / 2;
    *levels.select_nth_unstable(middle).1
}

/// Something on the glass.
#[derive(Debug)]
pub(super) struct Object {
    /// The smallest rectangle around it, in cells of the reduced scan (cell (0, 0) spans 0 to 1).
    pub(super) outline: Quad,
    /// Its cells.
    pub(super) cells: Vec<(u32, u32)>,
}

impl Object {
    /// Whether it reaches the rim of a scan of this many cells.
    pub(super) fn touches_rim(&self, width: u32, height: u32) -> bool {
        self.cells
            .iter()
            .any(|(x, y)| *x == 0 || *y == 0 || x + 1 >= width || y + 1 >= height)
    }

    /// Area of the rectangle, cells.
    pub(super) fn area(&self) -> f64 {
        self.outline.width() * self.outline.height()
    }

    /// Whether most of it lies within another's rectangle, as a photo does within the shadow around its white
    /// rim.
    pub(super) fn lies_within(&self, other: &Self) -> bool {
        let inside = self.cells.iter().filter(|(x, y)| {
            let middle = Point::new(f64::from(*x) + 0.5, f64::from(*y) + 0.5);
            other.outline.holds(middle, 0.0)
        });
        inside.count() * 2 > self.cells.len()
    }

    /// Both as one, if their common rectangle is accepted; else this one as it was.
    pub(super) fn joined(mut self, other: Self, fits: impl Fn(&Quad) -> bool) -> Result<Self, Self> {
        let own = self.cells.len();
        self.cells.extend(other.cells);
        match outline(&self.cells) {
            Some(outline) if fits(&outline) => Ok(Self {
                outline,
                cells: self.cells,
            }),
            _ => {
                self.cells.truncate(own);
                Err(self)
            }
        }
    }
}

/// What differs from the lid, in connected pieces of at least `cells_min` cells, the largest first.
pub(super) fn objects<const N: usize>(reduced: View<'_, N>, lid: &Lid<N>, cells_min: f64) -> Vec<Object> {
    let (width, height) = (index(reduced.width()), index(reduced.height()));
    let least = OBJECT_CONTRAST.max(lid.noise * 2.0);
    let mut open: Vec<bool> = reduced
        .rows()
        .flat_map(|row| row.iter().map(|pixel| lid.contrast(*pixel) >= least))
        .collect();
    let mut found = Vec::new();
    for start in 0..width * height {
        if !open.get(start).copied().unwrap_or(false) {
            continue;
        }
        let cells = flood(&mut open, width, start);
        if real(cells.len()) >= cells_min
            && let Some(outline) = outline(&cells)
        {
            found.push(Object { outline, cells });
        }
    }
    found.sort_by_key(|object| std::cmp::Reverse(object.cells.len()));
    found
}

/// Takes one connected piece out of the mask. Neighbours are the eight around a cell.
fn flood(open: &mut [bool], width: usize, start: usize) -> Vec<(u32, u32)> {
    let mut cells = Vec::new();
    let mut waiting = vec![start];
    if let Some(cell) = open.get_mut(start) {
        *cell = false;
    }
    while let Some(at) = waiting.pop() {
        let (x, y) = (at % width, at / width);
        cells.push((count(x), count(y)));
        for near_y in y.saturating_sub(1)..=y + 1 {
            for near_x in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                let near = near_y * width + near_x;
                if let Some(cell) = open.get_mut(near)
                    && std::mem::take(cell)
                {
                    waiting.push(near);
                }
            }
        }
    }
    cells
}

/// The smallest rectangle around cells. Only the ends of each row can be corners.
fn outline(cells: &[(u32, u32)]) -> Option<Quad> {
    let mut ends: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for (x, y) in cells {
        let (left, right) = ends.entry(*y).or_insert((*x, *x));
        *left = (*left).min(*x);
        *right = (*right).max(*x);
    }
    let corners = ends.into_iter().flat_map(|(y, (left, right))| {
        let (left, right) = (f64::from(left), f64::from(right) + 1.0);
        [(left, 0.0), (right, 0.0), (left, 1.0), (right, 1.0)]
            .map(|(x, down)| Point::new(x, f64::from(y) + down))
    });
    smallest_rectangle(&corners.collect::<Vec<_>>())
}
