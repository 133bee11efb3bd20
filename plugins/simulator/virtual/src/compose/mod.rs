//! Pictures made from real images, the same for the same seed, with the truth about what they show.
//!
//! | module | makes | tells |
//! |---|---|---|
//! | [`hand`] | what a four-finger reader sees | the box, turn and quality of each fingertip |
//! | [`photo`] | 35×45 mm prints on a scanner's glass | the corners of each print |
//! | [`page`] | A4 pages with a QR code, sheets with a signature | |
//! | [`face`] | what a camera sees | |
//!
//! Nothing here reads files or clocks; randomness comes from the seed alone.

mod canvas;
pub mod face;
mod glyphs;
pub mod hand;
mod number;
pub mod page;
pub mod photo;
mod random;

pub use canvas::Glass;
pub(crate) use canvas::{Canvas, Placement};
pub use random::Random;

use recueil_plugin_simulator::protocol::Format;

/// Rows of pixels from top to bottom without padding.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How a pixel lies in memory.
    pub format: Format,
    /// `width * height` pixels.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// The picture as a PNG file.
    ///
    /// # Errors
    /// Whatever the encoder says.
    pub fn to_png(&self) -> Result<Vec<u8>, image::ImageError> {
        let mut file = std::io::Cursor::new(Vec::new());
        let colour = match self.format {
            Format::Gray8 => image::ExtendedColorType::L8,
            Format::Rgb24 => image::ExtendedColorType::Rgb8,
        };
        image::write_buffer_with_format(
            &mut file,
            &self.pixels,
            self.width,
            self.height,
            colour,
            image::ImageFormat::Png,
        )?;
        Ok(file.into_inner())
    }

    /// The same in grey (ITU-R BT.601 weights).
    #[must_use]
    pub fn into_gray(self) -> Self {
        if self.format == Format::Gray8 {
            return self;
        }
        let gray = self.pixels.chunks_exact(3).map(|pixel| match pixel {
            [red, green, blue] => {
                let sum = 299 * u32::from(*red) + 587 * u32::from(*green) + 114 * u32::from(*blue);
                u8::try_from((sum + 500) / 1000).unwrap_or(u8::MAX)
            }
            _ => 0,
        });
        Self {
            format: Format::Gray8,
            pixels: gray.collect(),
            ..self
        }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picture")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}
