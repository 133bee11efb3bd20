//! Pixels in memory that is wiped, and safe ways to read them.

use recueil_dossier::Frame;
use zeroize::Zeroizing;

use crate::number::{floored, index, level};

/// A picture of `N` bytes a pixel in rows without padding. Wiped when dropped.
pub struct Picture<const N: usize> {
    width: u32,
    height: u32,
    pixels: Zeroizing<Vec<[u8; N]>>,
}

/// One byte a pixel, 0 black.
pub type Gray = Picture<1>;
/// Red, green, blue.
pub type Rgb = Picture<3>;

/// A picture that is grey or in colour.
#[derive(Debug)]
pub enum Raster {
    /// Grey.
    Gray(Gray),
    /// In colour.
    Rgb(Rgb),
}

impl Raster {
    /// Width in pixels.
    pub fn width(&self) -> u32 {
        match self {
            Self::Gray(gray) => gray.width(),
            Self::Rgb(rgb) => rgb.width(),
        }
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        match self {
            Self::Gray(gray) => gray.height(),
            Self::Rgb(rgb) => rgb.height(),
        }
    }
}

impl<const N: usize> std::fmt::Debug for Picture<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture<{N}>({}×{})", self.width, self.height)
    }
}

impl<const N: usize> Picture<N> {
    /// A picture whose pixels are asked one by one, in rows.
    pub fn from_fn(width: u32, height: u32, mut pixel: impl FnMut(u32, u32) -> [u8; N]) -> Self {
        let mut pixels = Zeroizing::new(Vec::with_capacity(index(width).saturating_mul(index(height))));
        for y in 0..height {
            pixels.extend((0..width).map(|x| pixel(x, y)));
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// All bytes, row after row.
    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_flattened()
    }

    /// All pixels, row after row.
    pub fn pixels(&self) -> &[[u8; N]] {
        &self.pixels
    }

    /// The picture as it is read.
    pub fn view(&self) -> View<'_, N> {
        View {
            width: self.width,
            height: self.height,
            stride: index(self.width) * N,
            bytes: self.bytes(),
        }
    }
}

/// A rectangle of pixels that lies elsewhere: in a [`Frame`] or a [`Picture`].
#[derive(Clone, Copy)]
pub struct View<'a, const N: usize> {
    width: u32,
    height: u32,
    stride: usize,
    bytes: &'a [u8],
}

impl<const N: usize> std::fmt::Debug for View<'_, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "View<{N}>({}×{})", self.width, self.height)
    }
}

impl<'a, const N: usize> View<'a, N> {
    /// A frame's pixels; none if they are not `N` bytes each, or its description does not agree with them.
    pub fn of(frame: &'a Frame) -> Option<Self> {
        let info = &frame.info;
        let capacity = u64::try_from(frame.pixels.len()).ok()?;
        info.check(capacity).ok()?;
        (info.format.bytes_per_pixel()? == u32::try_from(N).ok()?).then_some(Self {
            width: info.width,
            height: info.height,
            stride: index(info.stride),
            bytes: &frame.pixels,
        })
    }

    /// Width in pixels.
    pub fn width(self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(self) -> u32 {
        self.height
    }

    /// One row; empty below the last.
    pub fn row(self, y: u32) -> &'a [[u8; N]] {
        let start = index(y).saturating_mul(self.stride);
        let end = start.saturating_add(index(self.width) * N);
        let bytes = if y < self.height {
            self.bytes.get(start..end)
        } else {
            None
        };
        bytes.unwrap_or_default().as_chunks().0
    }

    /// All rows, from the top.
    pub fn rows(self) -> impl DoubleEndedIterator<Item = &'a [[u8; N]]> {
        (0..self.height).map(move |y| self.row(y))
    }

    /// One pixel; none outside.
    pub fn pixel(self, x: i64, y: i64) -> Option<[u8; N]> {
        let (x, y) = (usize::try_from(x).ok()?, u32::try_from(y).ok()?);
        self.row(y).get(x).copied()
    }

    /// The channels between four pixels, where pixel (0, 0) has its middle at (0.0, 0.0). `outside` stands
    /// for pixels beyond the edge.
    pub fn between(self, x: f64, y: f64, outside: [u8; N]) -> [f64; N] {
        let (left, top) = (floored(x), floored(y));
        let (right_share, low_share) = (x - x.floor(), y - y.floor());
        let at = |dx: i64, dy: i64| {
            self.pixel(left.saturating_add(dx), top.saturating_add(dy))
                .unwrap_or(outside)
                .map(f64::from)
        };
        let mix = |a: [f64; N], b: [f64; N], share: f64| {
            let mut mixed = a;
            for (value, other) in mixed.iter_mut().zip(b) {
                *value += (other - *value) * share;
            }
            mixed
        };
        let upper = mix(at(0, 0), at(1, 0), right_share);
        let lower = mix(at(0, 1), at(1, 1), right_share);
        mix(upper, lower, low_share)
    }

    /// A copy at a fraction of the width and height, each pixel the mean of `divisor`² pixels. Pixels of an
    /// incomplete last column or row are left out, unless nothing would remain. The divisor is at most 2048, so
    /// that sums stay within 32 bits.
    pub fn reduced(self, divisor: u32) -> Picture<N> {
        let (width, height) = self.reduced_size(divisor);
        let mut pixels = Zeroizing::new(Vec::with_capacity(index(width).saturating_mul(index(height))));
        self.reduce(divisor, |row| pixels.extend_from_slice(row));
        Picture {
            width,
            height,
            pixels,
        }
    }

    /// Width and height of [`Self::reduced`].
    pub(crate) fn reduced_size(self, divisor: u32) -> (u32, u32) {
        let divisor = self.fitting(divisor);
        (self.width / divisor, self.height / divisor)
    }

    /// The rows of [`Self::reduced`], from the top.
    pub(crate) fn reduce(self, divisor: u32, mut each: impl FnMut(&[[u8; N]])) {
        let divisor = self.fitting(divisor);
        let (width, height) = self.reduced_size(divisor);
        // What previews ask for many times a second goes without a division a pixel.
        if divisor == 1 {
            return self.rows().for_each(each);
        }
        let mut row = Zeroizing::new(vec![[0; N]; index(width)]);
        let mut sums = Zeroizing::new(vec![[0_u32; N]; if divisor == 2 { 0 } else { index(width) }]);
        for y in 0..height {
            if divisor == 2 {
                halve(self.row(2 * y), self.row(2 * y + 1), &mut row);
            } else {
                sums.fill([0; N]);
                for y in y * divisor..(y + 1) * divisor {
                    add_groups(self.row(y), divisor, &mut sums);
                }
                divide(&sums, divisor, &mut row);
            }
            each(&row);
        }
    }

    /// A divisor that leaves a pixel, and sums within 32 bits.
    fn fitting(self, divisor: u32) -> u32 {
        divisor.clamp(1, self.width.min(self.height).clamp(1, 2048))
    }

    /// A copy of the whole.
    pub fn copied(self) -> Picture<N> {
        let mut pixels = Zeroizing::new(Vec::with_capacity(
            index(self.width).saturating_mul(index(self.height)),
        ));
        for row in self.rows() {
            pixels.extend_from_slice(row);
        }
        Picture {
            width: self.width,
            height: self.height,
            pixels,
        }
    }
}

/// The mean of two by two pixels of two rows.
fn halve<const N: usize>(upper: &[[u8; N]], lower: &[[u8; N]], halved: &mut [[u8; N]]) {
    let pairs = upper.as_chunks::<2>().0.iter().zip(lower.as_chunks::<2>().0);
    for (mean, ([a, b], [c, d])) in halved.iter_mut().zip(pairs) {
        for ((((mean, a), b), c), d) in mean.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            let sum = u16::from(*a) + u16::from(*b) + u16::from(*c) + u16::from(*d) + 2;
            let [low, _] = (sum / 4).to_le_bytes();
            *mean = low;
        }
    }
}

/// Adds to each sum its `divisor` pixels of one row.
fn add_groups<const N: usize>(row: &[[u8; N]], divisor: u32, sums: &mut [[u32; N]]) {
    for (sum, group) in sums.iter_mut().zip(row.chunks_exact(index(divisor))) {
        for pixel in group {
            for (total, value) in sum.iter_mut().zip(pixel) {
                *total += u32::from(*value);
            }
        }
    }
}

/// The rounded mean of sums of `divisor`² pixels.
fn divide<const N: usize>(sums: &[[u32; N]], divisor: u32, means: &mut [[u8; N]]) {
    let area = divisor.saturating_mul(divisor);
    for (mean, sum) in means.iter_mut().zip(sums) {
        *mean = sum.map(|total| u8::try_from((total + area / 2) / area).unwrap_or(u8::MAX));
    }
}

impl View<'_, 3> {
    /// A grey copy by the luma weights of ITU-R BT.601.
    pub fn gray(self) -> Gray {
        let mut pixels = Zeroizing::new(Vec::with_capacity(
            index(self.width).saturating_mul(index(self.height)),
        ));
        for row in self.rows() {
            pixels.extend(row.iter().map(|pixel| [luma(*pixel)]));
        }
        Picture {
            width: self.width,
            height: self.height,
            pixels,
        }
    }
}

/// Luma of ITU-R BT.601, in whole numbers.
pub(crate) fn luma([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    u8::try_from((sum + 500) / 1000).unwrap_or(u8::MAX)
}

/// Channels rounded to levels.
pub(crate) fn levels<const N: usize>(channels: [f64; N]) -> [u8; N] {
    channels.map(level)
}
