//! A second composer of scans, with other physics than the virtual scanner's: drawn portraits, shadows that
//! are moved and blurred copies of the print, a lens that blurs, dust, a lid that is lit unevenly.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a drawing in a test"
)]

use recueil_dossier::{Frame, FrameInfo, FrameKind, PixelFormat};
use zeroize::Zeroizing;

pub(crate) const PPI: f64 = 600.0;
pub(crate) const MM: f64 = PPI / 25.4;

/// A small generator (`SplitMix64`).
pub(crate) struct Seeded(pub u64);

impl Seeded {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        (0..6).map(|_| self.unit()).sum::<f64>() * std::f64::consts::SQRT_2 - 3.0 * std::f64::consts::SQRT_2
    }
}

/// One print on the glass.
#[derive(Clone, Debug)]
pub(crate) struct Print {
    /// Middle, millimetres from the scan's corner.
    pub(crate) middle: (f64, f64),
    pub(crate) turn_deg: f64,
    pub(crate) size_mm: (f64, f64),
    pub(crate) border_mm: f64,
    pub(crate) background: [f64; 3],
}

/// What falls on the lid beside a print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shadow {
    /// Moved by, millimetres.
    pub(crate) offset: (f64, f64),
    /// Standard deviation of its blur, millimetres.
    pub(crate) blur_mm: f64,
    /// Share of light taken.
    pub(crate) depth: f64,
}

/// A glass with things on it.
#[derive(Clone, Debug)]
pub(crate) struct Glass {
    pub(crate) size_mm: (f64, f64),
    pub(crate) lid: [f64; 3],
    /// Share of the lamp's light that is lost towards the right and the bottom.
    pub(crate) falloff: (f64, f64),
    pub(crate) prints: Vec<Print>,
    pub(crate) shadow: Option<Shadow>,
    pub(crate) noise: f64,
    pub(crate) dust: u32,
    pub(crate) seed: u64,
}

impl Print {
    pub(crate) fn at(middle: (f64, f64), turn_deg: f64) -> Self {
        Self {
            middle,
            turn_deg,
            size_mm: (35.0, 45.0),
            border_mm: 0.0,
            background: [176.0, 196.0, 214.0],
        }
    }

    /// Corners in pixels, the middle of the first pixel at (0, 0).
    pub(crate) fn corners(&self) -> [(f64, f64); 4] {
        let (w, h) = (self.size_mm.0 / 2.0, self.size_mm.1 / 2.0);
        let (sin, cos) = self.turn_deg.to_radians().sin_cos();
        [(-w, -h), (w, -h), (w, h), (-w, h)].map(|(u, v)| {
            let x = self.middle.0 + u * cos - v * sin;
            let y = self.middle.1 + u * sin + v * cos;
            (x * MM - 0.5, y * MM - 0.5)
        })
    }

    /// A place on the glass in the print's own millimetres from its middle.
    fn local(&self, x: f64, y: f64) -> (f64, f64) {
        let (sin, cos) = self.turn_deg.to_radians().sin_cos();
        let (dx, dy) = (x - self.middle.0, y - self.middle.1);
        (dx * cos + dy * sin, dy * cos - dx * sin)
    }

    /// Share of a blurred point that is print.
    fn cover(&self, x: f64, y: f64, blur_mm: f64) -> f64 {
        let (u, v) = self.local(x, y);
        let out = (u.abs() - self.size_mm.0 / 2.0).max(v.abs() - self.size_mm.1 / 2.0);
        if out.abs() > 6.0 * blur_mm {
            return f64::from(out < 0.0);
        }
        let edge = |place: f64, half: f64| {
            let step = |distance: f64| 1.0 / (1.0 + (-1.702 * distance / blur_mm).exp());
            step(half - place) * step(half + place)
        };
        edge(u, self.size_mm.0 / 2.0) * edge(v, self.size_mm.1 / 2.0)
    }

    /// A drawn face: background, hair, head, shoulders, eyes.
    fn color(&self, x: f64, y: f64) -> [f64; 3] {
        let (u, v) = self.local(x, y);
        let inner = (
            self.size_mm.0 / 2.0 - self.border_mm,
            self.size_mm.1 / 2.0 - self.border_mm,
        );
        if u.abs() > inner.0 || v.abs() > inner.1 {
            return [249.0, 249.0, 247.0];
        }
        let oval =
            |cx: f64, cy: f64, rx: f64, ry: f64| ((u - cx) / rx).powi(2) + ((v - cy) / ry).powi(2) <= 1.0;
        if oval(-4.0, -2.0, 1.4, 0.7) || oval(4.0, -2.0, 1.4, 0.7) {
            [40.0, 30.0, 30.0]
        } else if oval(0.0, 1.0, 9.5, 13.5) {
            [214.0 - 2.0 * u, 172.0 - 2.0 * u, 148.0 - 2.0 * u]
        } else if oval(0.0, -3.0, 11.5, 14.5) {
            let strand = 12.0 * (u * 9.0).sin();
            [70.0 + strand, 48.0 + strand, 36.0 + strand]
        } else if oval(0.0, 26.0, 19.0, 14.0) {
            [38.0, 44.0, 70.0]
        } else {
            self.background
        }
    }
}

impl Glass {
    pub(crate) fn with(prints: Vec<Print>, seed: u64) -> Self {
        Self {
            size_mm: (90.0, 90.0),
            lid: [241.0, 241.0, 239.0],
            falloff: (0.02, 0.01),
            prints,
            shadow: Some(Shadow {
                offset: (0.6, 0.9),
                blur_mm: 0.35,
                depth: 0.35,
            }),
            noise: 2.5,
            dust: 12,
            seed,
        }
    }

    fn color(&self, x: f64, y: f64) -> [f64; 3] {
        let light = 1.0 - self.falloff.0 * (x / self.size_mm.0) - self.falloff.1 * (y / self.size_mm.1);
        let mut color = self.lid.map(|level| level * light);
        for print in &self.prints {
            if let Some(shadow) = self.shadow {
                let taken =
                    shadow.depth * print.cover(x - shadow.offset.0, y - shadow.offset.1, shadow.blur_mm);
                color = color.map(|level| level * (1.0 - taken));
            }
            let share = print.cover(x, y, 0.03);
            if share > 0.001 {
                let ink = print.color(x, y);
                for (level, ink) in color.iter_mut().zip(ink) {
                    *level += (ink - *level) * share;
                }
            }
        }
        color
    }

    /// The scan, as the device would give it.
    pub(crate) fn scan(&self) -> Frame {
        let (width, height) = ((self.size_mm.0 * MM) as usize, (self.size_mm.1 * MM) as usize);
        let mut random = Seeded(self.seed ^ 0x5eed);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let color = self.color((x as f64 + 0.5) / MM, (y as f64 + 0.5) / MM);
                let noise = random.normal() * self.noise;
                pixels.extend(color.map(|level| (level + noise + random.between(-0.5, 0.5)).round() as u8));
            }
        }
        for _speck in 0..self.dust {
            let (cx, cy) = (
                random.between(0.0, width as f64),
                random.between(0.0, height as f64),
            );
            let (radius, long) = (random.between(1.0, 6.0), random.between(1.0, 5.0));
            for y in (cy - radius).max(0.0) as usize..((cy + radius) as usize).min(height) {
                for x in (cx - radius * long).max(0.0) as usize..((cx + radius * long) as usize).min(width) {
                    let at = (y * width + x) * 3;
                    pixels[at..at + 3]
                        .iter_mut()
                        .for_each(|level| *level = level.wrapping_add(128) / 2 + 30);
                }
            }
        }
        frame_rgb(width as u32, height as u32, pixels)
    }
}

/// A colour frame at 600 ppi.
pub(crate) fn frame_rgb(width: u32, height: u32, pixels: Vec<u8>) -> Frame {
    Frame {
        info: FrameInfo {
            kind: FrameKind::Result,
            format: PixelFormat::Rgb24,
            width,
            height,
            stride: width * 3,
            used: pixels.len() as u64,
            ppi_x_milli: 600_000,
            ppi_y_milli: 600_000,
            sequence: 0,
            page: 1,
            time_ns: 0,
            fingerprint: None,
        },
        pixels: Zeroizing::new(pixels),
    }
}

/// The largest distance between corners, pixels.
pub(crate) fn corner_error(found: &[(f64, f64); 4], truth: &[(f64, f64); 4]) -> f64 {
    found
        .iter()
        .zip(truth)
        .map(|(a, b)| (a.0 - b.0).hypot(a.1 - b.1))
        .fold(0.0, f64::max)
}
