//! What a client is shown while a capture runs.

use recueil_dossier::{Frame, PixelFormat};
use zeroize::Zeroizing;

use crate::View;

/// A picture to be shown and thrown away.
pub struct Preview {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Layout of `pixels`.
    pub format: PixelFormat,
    /// Rows without padding, or a JPEG file. Wiped when dropped.
    pub pixels: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Preview {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Preview")
            .field("width", &self.width)
            .field("height", &self.height)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// A frame at a fraction of its width and height, each pixel a mean of what it stands for. A JPEG passes as
/// it came: it is the camera's own preview, and decoding it is the client's risk to take. None for a frame
/// whose description does not agree with its pixels, and for a fingerprint that cannot be made smaller.
pub fn reduce(frame: &Frame, divisor: u32) -> Option<Preview> {
    let info = &frame.info;
    let (width, height, bytes) = match info.format {
        PixelFormat::Gray8 => {
            let picture = View::<1>::of(frame)?.reduced(divisor);
            (picture.width(), picture.height(), picture.bytes().to_vec())
        }
        PixelFormat::Rgb24 => {
            let picture = View::<3>::of(frame)?.reduced(divisor);
            (picture.width(), picture.height(), picture.bytes().to_vec())
        }
        PixelFormat::Jpeg if info.fingerprint.is_some() => return None,
        PixelFormat::Jpeg => {
            info.check(u64::try_from(frame.pixels.len()).ok()?).ok()?;
            let used = usize::try_from(info.used).ok()?;
            (info.width, info.height, frame.pixels.get(..used)?.to_vec())
        }
    };
    Some(Preview {
        width,
        height,
        format: info.format,
        pixels: Zeroizing::new(bytes),
    })
}
