//! Fingertips on the platen of a four-finger reader.

use std::collections::BTreeMap;
use std::sync::Arc;

use recueil_plugin_simulator::protocol::{Format, Segment};
use serde::Deserialize;

use super::{Picture, Random, number, random};

/// Width of the platen in pixels: 81 mm at 500 ppi.
pub const WIDTH_PX: u32 = 1600;
/// Height of the platen in pixels: 76 mm at 500 ppi.
pub const HEIGHT_PX: u32 = 1500;
/// Resolution of the platen.
pub const PPI: u32 = 500;

/// The picture of one print, 500 ppi.
#[derive(Debug, Clone)]
pub struct Print {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) pixels: Vec<u8>,
}

/// A fingertip made from a print.
#[derive(Debug, Clone)]
pub struct Finger {
    pub(crate) print: Arc<Print>,
    pub(crate) change: Change,
}

/// How a print is changed so that one print gives several fingers.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Left and right swapped.
    pub mirror: bool,
    /// Turned, clockwise.
    pub turn_deg: f64,
    /// Made wider and higher, 0.5 to 2.
    pub stretch: [f64; 2],
    /// Turned at the core and less and less away from it.
    pub swirl_deg: f64,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            mirror: false,
            turn_deg: 0.0,
            stretch: [1.0, 1.0],
            swirl_deg: 0.0,
        }
    }
}

/// Fingers by ANSI/NIST-ITL position, 1 to 10.
#[derive(Debug, Clone, Default)]
pub struct Hands(pub BTreeMap<u8, Finger>);

/// How good the contact is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quality {
    /// Clear ridges; the device's quality is 58 to 92.
    #[default]
    Good,
    /// Pale and broken ridges, as of dry skin; the device's quality is 6 to 17.
    Poor,
}

/// What lies on the platen.
#[derive(Debug, Clone, Copy)]
pub struct Laid<'a> {
    /// Positions 1 to 10; none is an empty platen.
    pub fingers: &'a [u8],
    /// Decides where exactly they lie.
    pub seed: u64,
    /// How good the contact is.
    pub quality: Quality,
}

/// A picture and the truth about it.
#[derive(Debug, Clone)]
pub struct Slap {
    /// Grey, [`WIDTH_PX`] by [`HEIGHT_PX`], ridges dark.
    pub picture: Picture,
    /// One a finger, from left to right.
    pub segments: Vec<Segment>,
}

impl Slap {
    /// The same hand not yet pressed firmly: `share` 0 is `empty`, the platen before it came, 1 is this.
    pub fn lighter(&self, empty: &Self, share: f64) -> Picture {
        let pairs = self.picture.pixels.iter().zip(&empty.picture.pixels);
        let pixels = pairs.map(|(laid, empty)| {
            let (laid, empty) = (f64::from(*laid), f64::from(*empty));
            number::level(empty + (laid - empty) * share)
        });
        Picture {
            pixels: pixels.collect(),
            ..self.picture.clone()
        }
    }
}

/// Where a fingertip lies: centre, size and turn.
#[derive(Debug, Clone, Copy)]
struct Tip {
    position: u8,
    centre: [f64; 2],
    size: [f64; 2],
    turn_deg: f64,
}

/// A right hand, thumb to little finger, seen through the platen: centre, size, turn. A left hand is its
/// mirror image.
const RIGHT: [([f64; 2], [f64; 2], f64); 5] = [
    ([800.0, 750.0], [360.0, 480.0], 0.0),
    ([265.0, 660.0], [306.0, 440.0], -7.0),
    ([620.0, 540.0], [312.0, 460.0], -2.0),
    ([975.0, 610.0], [304.0, 440.0], 3.0),
    ([1310.0, 800.0], [262.0, 370.0], 9.0),
];

/// Lays fingers on the platen and takes its picture. A finger that `hands` does not have is left out.
pub fn lay(hands: &Hands, laid: &Laid<'_>) -> Slap {
    let mut random = Random::new(laid.seed);
    let mut levels = platen(laid.seed);
    let mut tips = tips(&mut random, laid);
    tips.retain(|tip| hands.0.contains_key(&tip.position));
    tips.sort_by(|left, right| left.centre[0].total_cmp(&right.centre[0]));
    let segments = tips.iter().map(|tip| segment(&mut random, tip, laid.quality));
    let segments = segments.collect();
    for tip in &tips {
        if let Some(finger) = hands.0.get(&tip.position) {
            press(&mut levels, tip, finger, laid);
        }
    }
    let pixels = levels
        .iter()
        .zip(0_u64..)
        .map(|(level, place)| number::level(level + 2.2 * random::noise(random::at(laid.seed, place, 0))[0]));
    Slap {
        picture: Picture {
            width: WIDTH_PX,
            height: HEIGHT_PX,
            format: Format::Gray8,
            pixels: pixels.collect(),
        },
        segments,
    }
}

/// An even, light field, a little darker towards the corners, with traces of earlier hands.
fn platen(seed: u64) -> Vec<f64> {
    let (width, height) = (number::size(WIDTH_PX), number::size(HEIGHT_PX));
    let half = [number::real(width) / 2.0, number::real(height) / 2.0];
    let traces: Vec<f64> = (0..=height / 8)
        .flat_map(|y| (0..=width / 8).map(move |x| (x, y)))
        .map(|(x, y)| random::hills(seed, number::real(x) / 9.0, number::real(y) / 9.0))
        .collect();
    let columns = width / 8 + 1;
    let mut levels = Vec::with_capacity(width * height);
    for y in 0..height {
        let dy = number::real(y) / half[1] - 1.0;
        for x in 0..width {
            let dx = number::real(x) / half[0] - 1.0;
            let trace = traces.get(y / 8 * columns + x / 8).copied().unwrap_or_default();
            levels.push(238.0 - 5.0 * (dx * dx + dy * dy) + 1.2 * trace);
        }
    }
    levels
}

fn tips(random: &mut Random, laid: &Laid<'_>) -> Vec<Tip> {
    let middle = f64::from(WIDTH_PX) / 2.0;
    let shift = [random.between(-30.0, 30.0), random.between(-110.0, 150.0)];
    let lean = random.between(-3.0, 3.0);
    let single = laid.fingers.len() == 1;
    let mut tips = Vec::new();
    for position in 1..=10_u8 {
        // Each finger draws its own lay, so that one less moves none of the others.
        let own = [random.between(-7.0, 7.0), random.between(-9.0, 9.0)];
        let turn = random.between(-2.0, 2.0);
        let place = usize::from((position - 1) % 5);
        let Some((centre, size, fan)) = RIGHT.get(place).filter(|_| laid.fingers.contains(&position)) else {
            continue;
        };
        let side = if position > 5 { -1.0 } else { 1.0 };
        let x = if single { 0.0 } else { (centre[0] - middle) * side };
        let centre = [middle + x, centre[1]];
        tips.push(Tip {
            position,
            centre: [centre[0] + shift[0] + own[0], centre[1] + shift[1] + own[1]],
            size: *size,
            turn_deg: fan * side + lean + turn,
        });
    }
    tips
}

fn segment(random: &mut Random, tip: &Tip, quality: Quality) -> Segment {
    let [width, height] = tip.size;
    let quality = match quality {
        Quality::Good => random.between(58.0, 92.99),
        Quality::Poor => random.between(6.0, 17.99),
    };
    Segment {
        position: tip.position,
        x: number::nearest(tip.centre[0] - width / 2.0),
        y: number::nearest(tip.centre[1] - height / 2.0),
        width: number::count(width),
        height: number::count(height),
        angle_milli_deg: number::nearest(tip.turn_deg * 1000.0),
        quality: u8::try_from(number::floor(quality)).ok(),
    }
}

/// Darkens the field where the ridges of one fingertip touch.
fn press(levels: &mut [f64], tip: &Tip, finger: &Finger, laid: &Laid<'_>) {
    let (width, height) = (number::size(WIDTH_PX), number::size(HEIGHT_PX));
    let reach = tip.size[0].hypot(tip.size[1]) / 2.0 + 4.0;
    let span = |centre: f64, limit: usize| {
        number::floor(centre - reach)..number::floor(centre + reach + 1.0).min(limit)
    };
    let (sin, cos) = tip.turn_deg.to_radians().sin_cos();
    let seed = laid.seed ^ u64::from(tip.position);
    for y in span(tip.centre[1], height) {
        for x in span(tip.centre[0], width) {
            let dx = number::real(x) + 0.5 - tip.centre[0];
            let dy = number::real(y) + 0.5 - tip.centre[1];
            let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
            let touch = contact(tip, seed, u, v) * wear(laid.quality, seed, u, v);
            if touch <= 0.0 {
                continue;
            }
            let darkness = finger.ridge(u, v) * touch;
            if let Some(level) = levels.get_mut(y * width + x) {
                *level -= darkness * (*level - 34.0);
            }
        }
    }
}

/// How well skin touches: 1 inside the fingertip, 0 outside, broken along the edge.
fn contact(tip: &Tip, seed: u64, u: f64, v: f64) -> f64 {
    let [width, height] = tip.size;
    let (a, b) = (2.0 * u.abs() / width, 2.0 * v.abs() / height);
    // The tip is round, the end towards the joint flatter.
    let power = if v < 0.0 { 2.3 } else { 3.2 };
    let edge = (a.powf(power) + b.powf(power)).powf(1.0 / power);
    if edge >= 1.0 {
        return 0.0;
    }
    let ragged = edge + 0.05 * random::hills(seed, u / 11.0, v / 11.0);
    ((0.99 - ragged) / 0.07).clamp(0.0, 1.0)
}

/// Dry skin touches here and there.
fn wear(quality: Quality, seed: u64, u: f64, v: f64) -> f64 {
    match quality {
        Quality::Good => 1.0,
        Quality::Poor => {
            let patch = random::hills(seed ^ 0x0b, u / 26.0, v / 26.0);
            let grain = random::hills(seed ^ 0x0c, u / 3.0, v / 3.0);
            0.42 * ((patch + 0.8 * grain + 0.35) / 0.5).clamp(0.0, 1.0)
        }
    }
}

impl Finger {
    /// How dark the print is at a place counted from the fingertip's centre, 0 to 1.
    fn ridge(&self, u: f64, v: f64) -> f64 {
        let change = &self.change;
        let u = if change.mirror { -u } else { u };
        let swirl = change.swirl_deg * (-(u * u + v * v) / (2.0 * 130.0 * 130.0)).exp();
        let (sin, cos) = (change.turn_deg + swirl).to_radians().sin_cos();
        let (u, v) = (u * cos + v * sin, v * cos - u * sin);
        let x = u / change.stretch[0] + number::real(self.print.width) / 2.0;
        // The generator's prints end some 50 rows above the lower edge.
        let y = v / change.stretch[1] + number::real(self.print.height) / 2.0 - 28.0;
        self.print.ink(x, y)
    }
}

impl Print {
    /// Darkness between pixels' centres, 0 to 1; none outside the picture.
    fn ink(&self, x: f64, y: f64) -> f64 {
        let (x, y) = (x - 0.5, y - 0.5);
        if x < 0.0 || y < 0.0 {
            return 0.0;
        }
        let (column, row) = (number::floor(x), number::floor(y));
        if column + 1 >= self.width || row + 1 >= self.height {
            return 0.0;
        }
        let at = |dx: usize, dy: usize| {
            let value = self.pixels.get((row + dy) * self.width + column + dx);
            255.0 - f64::from(value.copied().unwrap_or(255))
        };
        let (u, v) = (x - x.floor(), y - y.floor());
        let upper = at(0, 0) + (at(1, 0) - at(0, 0)) * u;
        let lower = at(0, 1) + (at(1, 1) - at(0, 1)) * u;
        (upper + (lower - upper) * v) / 255.0
    }
}
