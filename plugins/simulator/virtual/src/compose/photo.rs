//! Printed photos on a scanner's glass.

use image::imageops::{self, FilterType};
use recueil_plugin_simulator::protocol::{Area, Format};
use serde::Deserialize;

use super::canvas::{coverage, outside};
use super::{Canvas, Glass, Picture, Placement, Random, number};

/// Width and height of a print (ANTS: 35×45 mm), millimetres.
pub const PRINT_MM: [f64; 2] = [35.0, 45.0];
/// The part of the glass in which prints are laid, and the area that shows all of it.
pub const AREA: Area = Area {
    x_um: 0,
    y_um: 0,
    width_um: 130_000,
    height_um: 130_000,
};

const BORDER_MM: f64 = 2.0;
const PAPER: [f64; 3] = [250.0, 250.0, 248.0];

/// A photo of a face, to be printed or to stand before the camera.
#[derive(Debug, Clone)]
pub struct Portrait(pub(crate) image::RgbImage);

impl Portrait {
    /// Decodes a JPEG or PNG file.
    ///
    /// # Errors
    /// Whatever the decoder says.
    pub fn decode(file: &[u8]) -> Result<Self, image::ImageError> {
        Ok(Self(image::load_from_memory(file)?.into_rgb8()))
    }

    /// Cut about its centre to the shape wanted and brought to that size.
    pub(crate) fn fitted(&self, width: u32, height: u32) -> image::RgbImage {
        let (have_width, have_height) = self.0.dimensions();
        let cut_width = have_width.min(have_height * width / height.max(1)).max(1);
        let cut_height = have_height.min(have_width * height / width.max(1)).max(1);
        let cut = imageops::crop_imm(
            &self.0,
            (have_width - cut_width) / 2,
            (have_height - cut_height) / 2,
            cut_width,
            cut_height,
        );
        imageops::resize(&*cut, width, height, FilterType::CatmullRom)
    }
}

/// What is behind the prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lid {
    /// A white lid.
    #[default]
    White,
    /// A dark sheet, or a lid left open.
    Dark,
}

/// How the photo was printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Print {
    /// To the edge.
    #[default]
    Plain,
    /// With a white border of 2 mm inside the 35×45 mm.
    Bordered,
    /// To the edge, on a background that is nearly white.
    NearWhite,
}

/// How many prints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Count {
    /// An empty glass.
    None,
    /// One.
    #[default]
    One,
    /// Two, side by side.
    Two,
}

/// Where a print lies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Anywhere in [`AREA`], all of it on the glass.
    #[default]
    Anywhere,
    /// Over the left edge of the glass.
    CutOff,
}

/// One kind of scan. The default is one plain print with a shadow on a white lid.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Variant {
    /// What is behind.
    pub lid: Lid,
    /// How it was printed.
    pub print: Print,
    /// How many.
    pub count: Count,
    /// Where.
    pub place: Place,
    /// Turn in degrees, clockwise positive; none for any from -15 to 15.
    pub turn_deg: Option<f64>,
    /// Whether the print throws a soft shadow on the lid.
    pub shadow: bool,
}

impl Default for Variant {
    fn default() -> Self {
        Self {
            lid: Lid::White,
            print: Print::Plain,
            count: Count::One,
            place: Place::Anywhere,
            turn_deg: None,
            shadow: true,
        }
    }
}

/// The `index`th of a mixed series: six in ten are one visible print, the others a nearly white print, two
/// prints, none, and one over the edge. Its seed is the index.
pub fn series(index: u64) -> Variant {
    let plain = Variant::default();
    match index % 10 {
        3 => Variant {
            print: Print::Bordered,
            ..plain
        },
        4 => Variant {
            lid: Lid::Dark,
            ..plain
        },
        5 => Variant {
            shadow: false,
            ..plain
        },
        6 => Variant {
            print: Print::NearWhite,
            ..plain
        },
        7 => Variant {
            count: Count::Two,
            ..plain
        },
        8 => Variant {
            count: Count::None,
            ..plain
        },
        9 => Variant {
            place: Place::CutOff,
            ..plain
        },
        _ => plain,
    }
}

/// A scan and the truth about it.
#[derive(Debug, Clone)]
pub struct Scan {
    /// What the scanner gives.
    pub picture: Picture,
    /// For each print the corners of the paper, in pixels of the picture: top left, top right, bottom right,
    /// bottom left of the photo as its subject stands. A pixel's centre is at its half.
    pub corners: Vec<[[f64; 2]; 4]>,
}

/// Scans prints of `portrait`. The glass at A4 or [`AREA`], 600 ppi; the lay depends on the seed alone, not on
/// the area or resolution.
pub fn scan_photo(portrait: &Portrait, seed: u64, variant: &Variant, glass: &Glass) -> Scan {
    let mut random = Random::new(seed);
    let lid = match variant.lid {
        Lid::White => 243.0,
        Lid::Dark => 44.0,
    };
    let lid = [lid, lid + 0.8, lid].map(|level| level + random.between(-2.0, 2.0));
    let mut canvas = Canvas::new(*glass, lid, seed);
    let raster = printed(portrait, variant.print, glass);
    let light = random.between(0.0, std::f64::consts::TAU);
    let corners: Vec<_> = lays(&mut random, variant)
        .into_iter()
        .map(|(centre, turn)| {
            let [width, height] = PRINT_MM;
            let sheet = Placement::new(glass, [width / 2.0, height / 2.0], centre, turn);
            if variant.shadow {
                shade(&mut canvas, &sheet, light - turn);
            }
            lay(&mut canvas, &sheet, &raster);
            [[0.0, 0.0], [width, 0.0], [width, height], [0.0, height]].map(|corner| sheet.pixel(corner))
        })
        .collect();
    Scan {
        picture: canvas.finish(seed, 1.6),
        corners,
    }
}

/// Centre (millimetres of the glass) and turn (radians) of each print.
fn lays(random: &mut Random, variant: &Variant) -> Vec<([f64; 2], f64)> {
    let mut turn = || {
        let any = random.between(-15.0, 15.0);
        variant.turn_deg.unwrap_or(any).to_radians()
    };
    let turns = [turn(), turn()];
    // Half the diagonal of a print, and 4 mm to the edge.
    let near = 32.5;
    let far = f64::from(AREA.width_um) / 1000.0 - near;
    let y = random.between(near, far);
    match (variant.count, variant.place) {
        (Count::None, _) => vec![],
        (Count::One, Place::Anywhere) => vec![([random.between(near, far), y], turns[0])],
        (Count::One, Place::CutOff) => vec![([random.between(-4.0, 12.0), y], turns[0])],
        (Count::Two, _) => {
            let second = random.between(near, far);
            vec![([near, y], turns[0]), ([far, second], turns[1])]
        }
    }
}

/// The print as the scanner sees it lying straight.
fn printed(portrait: &Portrait, print: Print, glass: &Glass) -> image::RgbImage {
    let pixels = |mm: f64| number::count(mm * glass.scale()).max(1);
    let [width, height] = PRINT_MM;
    match print {
        Print::Plain => portrait.fitted(pixels(width), pixels(height)),
        Print::NearWhite => whitened(portrait.fitted(pixels(width), pixels(height))),
        Print::Bordered => {
            let inner = portrait.fitted(pixels(width - 2.0 * BORDER_MM), pixels(height - 2.0 * BORDER_MM));
            let paper = image::Rgb(PAPER.map(number::level));
            let mut sheet = image::RgbImage::from_pixel(pixels(width), pixels(height), paper);
            let border = i64::from(pixels(BORDER_MM));
            imageops::replace(&mut sheet, &inner, border, border);
            sheet
        }
    }
}

/// Brings what has the background's colour near to white.
fn whitened(mut photo: image::RgbImage) -> image::RgbImage {
    let background = photo
        .get_pixel(photo.width() / 20, photo.height() / 20)
        .0
        .map(f64::from);
    for pixel in photo.pixels_mut() {
        let values = pixel.0.map(f64::from);
        let distance: f64 = values
            .iter()
            .zip(background)
            .map(|(value, behind)| (value - behind).powi(2))
            .sum();
        let share = (-distance / (2.0 * 28.0 * 28.0)).exp();
        let white = [247.0, 247.0, 246.0];
        for (place, (value, white)) in pixel.0.iter_mut().zip(values.into_iter().zip(white)) {
            *place = number::level(value + (white - value) * share);
        }
    }
    photo
}

/// A print is a quarter of a millimetre thick: the lamp throws its shadow to one side, and the lid that does
/// not touch the glass beside it is a little darker all around.
fn shade(canvas: &mut Canvas, sheet: &Placement, light: f64) {
    let [width, height] = PRINT_MM;
    let reach = 3.0;
    let (sin, cos) = light.sin_cos();
    canvas.paint(sheet, [-reach, -reach, width + reach, height + reach], |u, v| {
        let distance = outside([0.0, 0.0, width, height], u, v);
        if distance < 0.0 {
            return ([0.0; 3], 0.0);
        }
        let (du, dv) = (u - u.clamp(0.0, width), v - v.clamp(0.0, height));
        let length = du.hypot(dv).max(1e-6);
        let side = ((du * cos + dv * sin) / length).max(0.0);
        ([0.0; 3], (0.08 + 0.30 * side) * (-distance / 0.45).exp())
    });
}

fn lay(canvas: &mut Canvas, sheet: &Placement, raster: &image::RgbImage) {
    let [width, height] = PRINT_MM;
    let columns = f64::from(raster.width());
    let rows = f64::from(raster.height());
    let paper = [0.0, 0.0, width, height];
    let pixel = sheet.pixel_mm();
    canvas.paint(sheet, [-pixel, -pixel, width + pixel, height + pixel], |u, v| {
        let colour = sample(raster, u / width * columns, v / height * rows);
        (colour, coverage(outside(paper, u, v), pixel))
    });
}

/// The colour between pixels' centres; beyond the edge it is the edge's.
pub(crate) fn sample(raster: &image::RgbImage, x: f64, y: f64) -> [f64; 3] {
    let (x, y) = ((x - 0.5).max(0.0), (y - 0.5).max(0.0));
    let right = raster.width().saturating_sub(1);
    let bottom = raster.height().saturating_sub(1);
    let (column, row) = (number::side(number::floor(x)), number::side(number::floor(y)));
    let at = |dx: u32, dy: u32| {
        let pixel = raster.get_pixel((column + dx).min(right), (row + dy).min(bottom));
        pixel.0.map(f64::from)
    };
    let (u, v) = ((x - x.floor()), (y - y.floor()));
    let corners = [at(0, 0), at(1, 0), at(0, 1), at(1, 1)];
    let weights = [(1.0 - u) * (1.0 - v), u * (1.0 - v), (1.0 - u) * v, u * v];
    let mut colour = [0.0; 3];
    for (corner, weight) in corners.iter().zip(weights) {
        for (sum, value) in colour.iter_mut().zip(corner) {
            *sum += value * weight;
        }
    }
    colour
}

/// A glass of [`AREA`] at 600 ppi in colour.
pub const GLASS: Glass = Glass {
    area: AREA,
    ppi: 600,
    format: Format::Rgb24,
};
