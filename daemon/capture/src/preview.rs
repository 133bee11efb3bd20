//! What a client is shown while a capture runs.

use recueil_dossier::{Frame, PixelFormat};
use zeroize::Zeroizing;

use crate::View;
use crate::number::index;

/// How a shown picture's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows without padding, or a JPEG file.
    pub format: PixelFormat,
}

/// Puts behind what `bytes` holds a frame at a fraction of its width and height, each pixel a mean of what it
/// stands for. A JPEG passes as it came: it is the camera's own preview, and decoding it is the client's risk to
/// take. None for a frame whose description does not agree with its pixels, and for a fingerprint that cannot be
/// made smaller.
///
/// `bytes` is the caller's to use again: what is asked for many times a second costs no new memory.
pub fn reduce_into(frame: &Frame, divisor: u32, bytes: &mut Zeroizing<Vec<u8>>) -> Option<Shown> {
    let info = &frame.info;
    let (width, height) = match info.format {
        PixelFormat::Gray8 => reduce_view(View::<1>::of(frame)?, divisor, bytes),
        PixelFormat::Rgb24 => reduce_view(View::<3>::of(frame)?, divisor, bytes),
        PixelFormat::Jpeg if info.fingerprint.is_some() => return None,
        PixelFormat::Jpeg => {
            info.check(u64::try_from(frame.pixels.len()).ok()?).ok()?;
            let file = frame.pixels.get(..usize::try_from(info.used).ok()?)?;
            make_room(bytes, file.len());
            bytes.extend_from_slice(file);
            (info.width, info.height)
        }
    };
    Some(Shown {
        width,
        height,
        format: info.format,
    })
}

fn reduce_view<const N: usize>(
    view: View<'_, N>,
    divisor: u32,
    bytes: &mut Zeroizing<Vec<u8>>,
) -> (u32, u32) {
    let (width, height) = view.reduced_size(divisor);
    make_room(
        bytes,
        index(width).saturating_mul(index(height)).saturating_mul(N),
    );
    view.reduce(divisor, |row| bytes.extend_from_slice(row.as_flattened()));
    (width, height)
}

/// Growing in place would leave an unwiped copy behind.
fn make_room(bytes: &mut Zeroizing<Vec<u8>>, more: usize) {
    let wanted = bytes.len().saturating_add(more);
    if bytes.capacity() < wanted {
        let mut larger = Zeroizing::new(Vec::with_capacity(wanted));
        larger.extend_from_slice(bytes);
        *bytes = larger;
    }
}
