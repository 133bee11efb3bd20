//! The contact sheet: what the client saw and was given, on one picture.

use std::path::Path;

use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};
use recueil_tests::Captured;

const WIDTH: u32 = 1600;
const CELL: u32 = 400;
const GAP: u32 = 10;
const BOX: Rgb<u8> = Rgb([0, 120, 60]);

/// Cells in rows.
pub(crate) struct Sheet {
    cells: Vec<RgbImage>,
}

impl Sheet {
    pub(crate) fn new() -> Self {
        Self { cells: Vec::new() }
    }

    /// The last preview of each hand with the boxes that the capture found on it.
    pub(crate) fn hands(&mut self, hands: &Captured) {
        let mut tries: Vec<&str> = hands
            .results
            .iter()
            .filter_map(|result| result.get("try").map(String::as_str))
            .collect();
        tries.dedup();
        let number = |result: &std::collections::BTreeMap<String, String>, key: &str| {
            result
                .get(key)
                .and_then(|text| text.parse::<i64>().ok())
                .unwrap_or_default()
        };
        let per_try = hands.previews.len() / tries.len().max(1);
        for (index, one) in tries.iter().enumerate() {
            let last = ((index + 1) * per_try).saturating_sub(1);
            let Some((width, height, pixels)) = hands.previews.get(last) else {
                continue;
            };
            let Some(grey) = image::GrayImage::from_raw(*width, *height, pixels.clone()) else {
                continue;
            };
            let mut picture = image::DynamicImage::ImageLuma8(grey).to_rgb8();
            // Previews come at half the resolution that boxes are given in.
            for finger in hands
                .results
                .iter()
                .filter(|result| result.get("try").is_some_and(|of| of == one))
            {
                let side = |key: &str| number(finger, key) / 2;
                frame(&mut picture, side("x"), side("y"), side("width"), side("height"));
            }
            self.add(&picture);
        }
    }

    /// An item as it was given.
    pub(crate) fn item(&mut self, _name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.add(&image::load_from_memory(bytes)?.to_rgb8());
        Ok(())
    }

    fn add(&mut self, picture: &RgbImage) {
        let room = CELL - 2 * GAP;
        let (width, height) = picture.dimensions();
        let scale = f64::from(room) / f64::from(width.max(height).max(1));
        let fit = |side: u32| round(f64::from(side) * scale).clamp(1, room);
        self.cells
            .push(resize(picture, fit(width), fit(height), FilterType::Triangle));
    }

    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let columns = WIDTH / CELL;
        let count = u32::try_from(self.cells.len())?;
        let mut sheet =
            RgbImage::from_pixel(WIDTH, count.div_ceil(columns).max(1) * CELL, Rgb([245, 245, 240]));
        for (index, cell) in (0u32..).zip(&self.cells) {
            let (x, y) = ((index % columns) * CELL + GAP, (index / columns) * CELL + GAP);
            overlay(&mut sheet, cell, i64::from(x), i64::from(y));
        }
        Ok(sheet.save(path)?)
    }
}

fn frame(picture: &mut RgbImage, x: i64, y: i64, width: i64, height: i64) {
    let mut dot = |x: i64, y: i64| {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && let Some(pixel) = picture.get_pixel_mut_checked(x, y)
        {
            *pixel = BOX;
        }
    };
    for thick in 0..3 {
        for step in 0..width {
            dot(x + step, y + thick);
            dot(x + step, y + height - thick);
        }
        for step in 0..height {
            dot(x + thick, y + step);
            dot(x + width - thick, y + step);
        }
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a thumbnail"
)]
fn round(value: f64) -> u32 {
    value.round() as u32
}
