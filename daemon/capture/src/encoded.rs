//! Encoded pictures, and the encoders: ISO/IEC 15948 (PNG) and ISO/IEC 10918-1 (JPEG).

use image::codecs::jpeg::{JpegEncoder, PixelDensity};
use image::{ExtendedColorType, ImageEncoder};
use recueil_dossier::{Criterion, MediaType};
use zeroize::Zeroizing;

use crate::number::rounded;
use crate::{Error, Picture, Raster};

/// One encoded record.
pub struct Encoded {
    /// The file; wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// What it is.
    pub media_type: MediaType,
    /// Pixels per inch, also written into the file.
    pub ppi: u32,
    /// Measured qualities of the record.
    pub criteria: Vec<Criterion>,
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("media_type", &self.media_type)
            .field("ppi", &self.ppi)
            .field("criteria", &self.criteria)
            .finish_non_exhaustive()
    }
}

/// A PNG of 8 bits a channel that says its density (`pHYs`), without which NFIQ 2 and others refuse it.
/// Rows pass through the deflate encoder's window, which is not wiped.
pub(crate) fn png<const N: usize>(
    picture: &Picture<N>,
    ppi: u32,
    criteria: Vec<Criterion>,
) -> Result<Encoded, Error> {
    let color = match N {
        1 => png::ColorType::Grayscale,
        3 => png::ColorType::Rgb,
        _ => return Err(Error::Encoding("neither grey nor RGB")),
    };
    let per_metre = rounded(f64::from(ppi) / 0.0254);
    let mut bytes = Zeroizing::new(Vec::with_capacity(picture.bytes().len() + 4096));
    let mut encoder = png::Encoder::new(&mut *bytes, picture.width(), picture.height());
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder
        .write_header()
        .map_err(|_refused| Error::Encoding("PNG header"))?;
    writer
        .write_image_data(picture.bytes())
        .map_err(|_refused| Error::Encoding("PNG rows"))?;
    writer.finish().map_err(|_refused| Error::Encoding("PNG end"))?;
    Ok(Encoded {
        bytes,
        media_type: MediaType::Png,
        ppi,
        criteria,
    })
}

/// A baseline JPEG that says its density (JFIF). Blocks of 8×8 stay in the encoder's stack frames, which
/// are not wiped.
pub(crate) fn jpeg(
    picture: &Raster,
    quality: u8,
    ppi: u32,
    criteria: Vec<Criterion>,
) -> Result<Encoded, Error> {
    let (bytes, color) = match picture {
        Raster::Gray(gray) => (gray.bytes(), ExtendedColorType::L8),
        Raster::Rgb(rgb) => (rgb.bytes(), ExtendedColorType::Rgb8),
    };
    let density = u16::try_from(ppi).map_err(|_too_large| Error::Encoding("density above 65535"))?;
    // Large enough at once, since growing would leave unwiped copies behind.
    let mut file = Zeroizing::new(Vec::with_capacity(bytes.len() + 4096));
    let mut encoder = JpegEncoder::new_with_quality(&mut *file, quality);
    encoder.set_pixel_density(PixelDensity::dpi(density));
    encoder
        .write_image(bytes, picture.width(), picture.height(), color)
        .map_err(|_refused| Error::Encoding("JPEG"))?;
    Ok(Encoded {
        bytes: file,
        media_type: MediaType::Jpeg,
        ppi,
        criteria,
    })
}
