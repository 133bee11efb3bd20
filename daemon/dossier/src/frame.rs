//! What a device gave: pixels, and what it said of them.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::FingerPosition;

/// How pixels lie in memory. Numbers are those of `RCL_PIX_*` in `recueil_plugin.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PixelFormat {
    /// One byte a pixel, 0 black.
    Gray8,
    /// Red, green, blue, one byte each.
    Rgb24,
    /// A JPEG file (ISO/IEC 10918-1), `used` bytes long.
    Jpeg,
}

impl PixelFormat {
    /// Bytes a pixel; none for compressed formats.
    pub fn bytes_per_pixel(self) -> Option<u32> {
        match self {
            Self::Gray8 => Some(1),
            Self::Rgb24 => Some(3),
            Self::Jpeg => None,
        }
    }
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameKind {
    /// Shown, never kept.
    Preview,
    /// The picture that the capture was for.
    Result,
}

/// A rectangle in pixels, from the top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    /// Left edge, may lie outside the frame before it is checked.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

/// One finger found by the device's own segmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerSegment {
    /// Which finger the device takes it for; none if it does not say.
    pub position: Option<FingerPosition>,
    /// The upright box around the fingertip, before turning by `angle_milli_deg`.
    pub bounds: Bounds,
    /// Turn of the fingertip about the box's centre, in thousandths of a degree, clockwise positive.
    pub angle_milli_deg: i32,
    /// The device's own quality, 0 to 100, by its own scale; none if it gives none.
    pub quality: Option<u8>,
}

/// What a fingerprint reader said of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintMeta {
    /// What the device takes the whole frame for: a slap (13, 14) or a finger; none if it does not say.
    pub position: Option<FingerPosition>,
    /// At most [`FrameInfo::SEGMENTS_MAX`].
    pub segments: Vec<FingerSegment>,
    /// The device's presentation-attack score, 0 (surely genuine) to 1000 (surely an attack). Relayed, never
    /// computed here (ISO/IEC 30107).
    pub pad_score: Option<u16>,
    /// The device's own verdict: true if it takes the presentation for an attack.
    pub pad_attack: Option<bool>,
}

/// A frame's description. Everything here is the plugin's word until [`FrameInfo::check`] accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameInfo {
    /// Preview or result.
    pub kind: FrameKind,
    /// Layout of the pixels.
    pub format: PixelFormat,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Bytes from one row to the next; 0 for compressed formats.
    pub stride: u32,
    /// Valid bytes.
    pub used: u64,
    /// Resolution in thousandths of a pixel per inch, 0 if unknown.
    pub ppi_x_milli: u32,
    /// Resolution in thousandths of a pixel per inch, 0 if unknown.
    pub ppi_y_milli: u32,
    /// Counts the frames of one capture from 0.
    pub sequence: u32,
    /// Side of a document, from 1; 0 where there are no pages.
    pub page: u32,
    /// Exposure on the monotonic clock, nanoseconds.
    pub time_ns: u64,
    /// What a fingerprint reader adds.
    pub fingerprint: Option<FingerprintMeta>,
}

impl FrameInfo {
    /// Largest width or height, pixels.
    pub const SIDE_MAX_PX: u32 = 32_768;
    /// Largest frame, bytes: an A4 page at 600 dpi in colour is 104 MB.
    pub const FRAME_MAX_BYTES: u64 = 256 << 20;
    /// Finest resolution, thousandths of a pixel per inch: a pixel a micrometre.
    pub const PPI_MAX_MILLI: u32 = 25_400_000;
    /// Most segments in one frame; two hands have ten fingers, more are a lie.
    pub const SEGMENTS_MAX: usize = 16;

    /// Says whether the numbers agree with each other and with `capacity` bytes of memory.
    ///
    /// # Errors
    /// The first rule that is broken, in words.
    pub fn check(&self, capacity: u64) -> Result<(), &'static str> {
        let rows = || {
            let bytes_per_pixel = self.format.bytes_per_pixel()?;
            let row = u64::from(self.width).checked_mul(u64::from(bytes_per_pixel))?;
            let all = u64::from(self.stride).checked_mul(u64::from(self.height))?;
            Some((row, all))
        };
        if self.width == 0 || self.height == 0 {
            return Err("an empty picture");
        }
        if self.width > Self::SIDE_MAX_PX || self.height > Self::SIDE_MAX_PX {
            return Err("a side of more than 32768 pixels");
        }
        if self.used == 0 || self.used > capacity.min(Self::FRAME_MAX_BYTES) {
            return Err("more or fewer bytes than the frame's memory holds");
        }
        if self.format.bytes_per_pixel().is_some() {
            match rows() {
                Some((row, all)) if row <= u64::from(self.stride) && all == self.used => {}
                _ => return Err("rows that do not agree with the bytes used"),
            }
        }
        if self.ppi_x_milli > Self::PPI_MAX_MILLI || self.ppi_y_milli > Self::PPI_MAX_MILLI {
            return Err("a resolution finer than a micrometre");
        }
        if self
            .fingerprint
            .as_ref()
            .is_some_and(|meta| meta.segments.len() > Self::SEGMENTS_MAX)
        {
            return Err("more segments than hands have fingers");
        }
        Ok(())
    }
}

/// A frame copied out of shared memory: what the description says now is true of the bytes for good.
pub struct Frame {
    /// Accepted by [`FrameInfo::check`].
    pub info: FrameInfo,
    /// `info.used` bytes; wiped when dropped.
    pub pixels: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> FrameInfo {
        FrameInfo {
            kind: FrameKind::Result,
            format: PixelFormat::Rgb24,
            width: 10,
            height: 4,
            stride: 32,
            used: 128,
            ppi_x_milli: 300_000,
            ppi_y_milli: 300_000,
            sequence: 0,
            page: 1,
            time_ns: 1,
            fingerprint: None,
        }
    }

    #[test]
    fn a_frame_whose_numbers_disagree_is_refused() {
        assert_eq!(page().check(128), Ok(()));
        let check = |change: fn(&mut FrameInfo)| {
            let mut info = page();
            change(&mut info);
            info.check(128)
        };
        assert!(
            check(|info| info.width = 11).is_err(),
            "a row longer than the stride"
        );
        assert!(check(|info| info.used = 129).is_err(), "more than the memory");
        assert!(check(|info| info.used = 127).is_err(), "less than the rows");
        assert!(check(|info| info.height = 0).is_err());
        assert!(check(|info| info.height = u32::MAX).is_err());
        assert!(check(|info| (info.width, info.stride) = (1, 0)).is_err());
    }
}
