//! How a picture that the plugin asks memory for would lie in it.

use recueil_abi as abi;
use recueil_dossier::{FrameInfo, PixelFormat};

use crate::refusal::Refusal;

/// A layout whose numbers agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// 0 for compressed formats.
    pub(crate) stride: u32,
    /// Bytes that must be there.
    pub(crate) bytes: u64,
}

/// `RCL_PIX_*` as a format, of those that this release takes.
pub(crate) fn pixel_format(number: u32) -> Option<PixelFormat> {
    match number {
        abi::RCL_PIX_GRAY8 => Some(PixelFormat::Gray8),
        abi::RCL_PIX_RGB24 => Some(PixelFormat::Rgb24),
        abi::RCL_PIX_JPEG => Some(PixelFormat::Jpeg),
        _ => None,
    }
}

impl Layout {
    /// What `rcl_frame` asks for, its fields marked "in".
    pub(crate) fn of(asked: &abi::rcl_frame) -> Result<Self, Refusal> {
        let format = pixel_format(asked.pixfmt).ok_or(Refusal::Status(abi::RCL_E_UNSUPPORTED))?;
        let sides = 1..=FrameInfo::SIDE_MAX_PX;
        if !sides.contains(&asked.width) || !sides.contains(&asked.height) {
            return Err(Refusal::Broken(
                4,
                "a frame of no size, or of more than 32768 pixels a side",
            ));
        }
        let Some(bytes_per_pixel) = format.bytes_per_pixel() else {
            return Ok(Self {
                stride: 0,
                bytes: asked.capacity,
            });
        };
        let row = asked.width.saturating_mul(bytes_per_pixel);
        let stride = if asked.stride == 0 { row } else { asked.stride };
        if stride < row {
            return Err(Refusal::Broken(4, "a stride shorter than a row"));
        }
        Ok(Self {
            stride,
            bytes: u64::from(stride).saturating_mul(u64::from(asked.height)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> abi::rcl_frame {
        abi::rcl_frame {
            pixfmt: abi::RCL_PIX_RGB24,
            width: 10,
            height: 4,
            ..abi::rcl_frame::ZERO
        }
    }

    #[test]
    fn a_layout_is_refused_when_it_cannot_hold_the_picture() {
        let bytes = |change: fn(&mut abi::rcl_frame)| {
            let mut frame = asked();
            change(&mut frame);
            Layout::of(&frame).map(|layout| (layout.stride, layout.bytes))
        };
        assert_eq!(bytes(|_| ()), Ok((30, 120)));
        assert_eq!(bytes(|frame| frame.stride = 64), Ok((64, 256)));
        assert!(bytes(|frame| frame.stride = 29).is_err());
        assert!(bytes(|frame| frame.width = 0).is_err());
        assert!(bytes(|frame| frame.height = 32_769).is_err());
        assert_eq!(
            bytes(|frame| frame.pixfmt = abi::RCL_PIX_NV12),
            Err(Refusal::Status(abi::RCL_E_UNSUPPORTED))
        );
        assert_eq!(
            bytes(|frame| (frame.pixfmt, frame.capacity) = (abi::RCL_PIX_JPEG, 900)),
            Ok((0, 900))
        );
        assert_eq!(
            bytes(|frame| (frame.height, frame.stride) = (32_768, u32::MAX)),
            Ok((u32::MAX, u64::from(u32::MAX) * 32_768))
        );
    }
}
