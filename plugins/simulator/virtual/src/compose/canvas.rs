//! A scanner's glass, or the part of it that is wanted, and sheets that lie on it.

use recueil_plugin_simulator::protocol::{Area, Format};

use super::{Picture, number, random};

/// Which part of the glass is wanted, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glass {
    /// The part, micrometres.
    pub area: Area,
    /// Pixels per inch.
    pub ppi: u32,
    /// Grey or colour.
    pub format: Format,
}

impl Glass {
    /// All of an A4 glass (ISO 216).
    pub const A4: Area = Area {
        x_um: 0,
        y_um: 0,
        width_um: 210_000,
        height_um: 297_000,
    };

    /// Pixels per millimetre.
    pub(crate) fn scale(&self) -> f64 {
        f64::from(self.ppi) / 25.4
    }

    /// The channels of one pixel; in grey only the first counts (ITU-R BT.601 weights).
    fn pixel(&self, [red, green, blue]: [f64; 3]) -> [f64; 3] {
        match self.format {
            Format::Gray8 => [0.299 * red + 0.587 * green + 0.114 * blue; 3],
            Format::Rgb24 => [red, green, blue],
        }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        let pixels = |um: u32| number::count(f64::from(um) * f64::from(self.ppi) / 25_400.0).max(1);
        (pixels(self.area.width_um), pixels(self.area.height_um))
    }

    /// The pixel of the whole glass that is the picture's first.
    pub(crate) fn origin(&self) -> (u32, u32) {
        let pixels = |um: u32| number::count(f64::from(um) * f64::from(self.ppi) / 25_400.0);
        (pixels(self.area.x_um), pixels(self.area.y_um))
    }
}

/// How a sheet lies on the glass: its own millimetres, turned clockwise, then moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    scale: f64,
    x: f64,
    y: f64,
    cos: f64,
    sin: f64,
}

impl Placement {
    /// A sheet whose point `pivot` (its own millimetres) lies at `at` (millimetres of the glass), turned by
    /// `turn` radians.
    pub(crate) fn new(glass: &Glass, pivot: [f64; 2], at: [f64; 2], turn: f64) -> Self {
        let (sin, cos) = turn.sin_cos();
        let scale = glass.scale();
        let [u, v] = pivot;
        let (left, top) = glass.origin();
        Self {
            scale,
            x: scale * (at[0] - (u * cos - v * sin)) - f64::from(left),
            y: scale * (at[1] - (u * sin + v * cos)) - f64::from(top),
            cos,
            sin,
        }
    }

    /// Where a point of the sheet lies, in pixels of the picture; a pixel's centre is at its half.
    pub(crate) fn pixel(&self, [u, v]: [f64; 2]) -> [f64; 2] {
        [
            self.x + self.scale * (u * self.cos - v * self.sin),
            self.y + self.scale * (u * self.sin + v * self.cos),
        ]
    }

    fn millimetres(&self, x: f64, y: f64) -> (f64, f64) {
        let (x, y) = ((x - self.x) / self.scale, (y - self.y) / self.scale);
        (x * self.cos + y * self.sin, y * self.cos - x * self.sin)
    }

    /// Millimetres of one pixel.
    pub(crate) fn pixel_mm(&self) -> f64 {
        1.0 / self.scale
    }
}

/// Colour and its opacity, 0 to 1.
pub(crate) type Paint = ([f64; 3], f64);

/// The picture while it is made.
pub(crate) struct Canvas {
    glass: Glass,
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    /// The wanted part of the glass under its lid.
    pub(crate) fn new(glass: Glass, lid: [f64; 3], seed: u64) -> Self {
        let (width, height) = glass.size();
        let (width, height) = (number::size(width), number::size(height));
        let mut canvas = Self {
            glass,
            width,
            height,
            pixels: vec![0; width * height * glass.format.bytes_per_pixel()],
        };
        canvas.fill(lid, seed);
        canvas
    }

    /// The lamp is a little weaker towards one side.
    fn fill(&mut self, lid: [f64; 3], seed: u64) {
        let slope = 4.0 / number::real(self.width);
        let from_left = random::at(seed, 1, 1) & 1 == 0;
        let bytes = self.glass.format.bytes_per_pixel();
        let row: Vec<u8> = (0..self.width)
            .flat_map(|x| {
                let x = if from_left { x } else { self.width - x };
                let dimmed = lid.map(|value| value - slope * number::real(x));
                self.glass
                    .pixel(dimmed)
                    .map(number::level)
                    .into_iter()
                    .take(bytes)
            })
            .collect();
        for line in self.pixels.chunks_exact_mut(row.len().max(1)) {
            line.copy_from_slice(&row);
        }
    }

    /// Paints the part `[left, top, right, bottom]` of a sheet; `paint` is asked for each pixel's centre in
    /// the sheet's millimetres.
    pub(crate) fn paint(&mut self, sheet: &Placement, part: [f64; 4], paint: impl Fn(f64, f64) -> Paint) {
        let [left, top, right, bottom] = part;
        let corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(|at| sheet.pixel(at));
        let low = |axis: usize| corners.iter().map(|at| at[axis]).fold(f64::INFINITY, f64::min);
        let high = |axis: usize| {
            corners
                .iter()
                .map(|at| at[axis])
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let columns = number::floor(low(0))..number::floor(high(0) + 1.0).min(self.width);
        let rows = number::floor(low(1))..number::floor(high(1) + 1.0).min(self.height);
        let bytes = self.glass.format.bytes_per_pixel();
        for y in rows {
            for x in columns.clone() {
                let (u, v) = sheet.millimetres(number::real(x) + 0.5, number::real(y) + 0.5);
                let (colour, opacity) = paint(u, v);
                if opacity <= 0.0 {
                    continue;
                }
                let colour = self.glass.pixel(colour);
                let at = (y * self.width + x) * bytes;
                for (place, value) in self.pixels.iter_mut().skip(at).take(bytes).zip(colour) {
                    let old = f64::from(*place);
                    *place = number::level(old + (value - old) * opacity.min(1.0));
                }
            }
        }
    }

    /// Adds the sensor's noise, which belongs to the place on the glass.
    pub(crate) fn finish(mut self, seed: u64, deviation: f64) -> Picture {
        let (left, top) = self.glass.origin();
        let bytes = self.glass.format.bytes_per_pixel();
        let rows = self.pixels.chunks_exact_mut((self.width * bytes).max(1));
        for (row, y) in rows.zip(u64::from(top)..) {
            for (place, x) in row.chunks_exact_mut(bytes).zip(u64::from(left)..) {
                let noise = random::noise(random::at(seed, x, y));
                for (value, noise) in place.iter_mut().zip(noise) {
                    *value = number::level(f64::from(*value) + noise * deviation);
                }
            }
        }
        Picture {
            width: number::side(self.width),
            height: number::side(self.height),
            format: self.glass.format,
            pixels: self.pixels,
        }
    }
}

/// How much of a pixel a shape covers whose edge is `distance` away, negative inside; both in the same unit
/// as `pixel`, the pixel's side.
pub(crate) fn coverage(distance: f64, pixel: f64) -> f64 {
    (0.5 - distance / pixel).clamp(0.0, 1.0)
}

/// Distance from a point to the rectangle `[left, top, right, bottom]`, negative inside.
pub(crate) fn outside([left, top, right, bottom]: [f64; 4], u: f64, v: f64) -> f64 {
    let (dx, dy) = ((left - u).max(u - right), (top - v).max(v - bottom));
    if dx > 0.0 && dy > 0.0 {
        dx.hypot(dy)
    } else {
        dx.max(dy)
    }
}
