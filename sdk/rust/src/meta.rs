//! What a device says of a frame.

use crate::{Error, Finger, Result, Status};
use recueil_abi as abi;

/// What goes with a submitted frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Resolution across, thousandths of a pixel per inch, 0 not known.
    pub ppi_x_milli: u32,
    /// Resolution down, thousandths of a pixel per inch, 0 not known.
    pub ppi_y_milli: u32,
    /// Counts the frames of one capture from 0.
    pub sequence: u32,
    /// Scanners: the side, from 1; else 0.
    pub page: u32,
    /// Exposure, [`crate::Host::now_ns`]; 0 lets this crate put the time of submitting.
    pub time_ns: u64,
    /// What a fingerprint reader adds.
    pub fingerprint: Option<FingerprintMeta>,
}

impl Meta {
    /// Of a picture with square pixels.
    pub fn at(ppi_milli: u32) -> Self {
        Self {
            ppi_x_milli: ppi_milli,
            ppi_y_milli: ppi_milli,
            ..Self::default()
        }
    }

    /// Whether the contract can carry it.
    ///
    /// # Errors
    /// `INVALID`: too many segments, or a number out of its range.
    pub(crate) fn check(&self) -> Result<()> {
        let Some(fingerprint) = &self.fingerprint else {
            return Ok(());
        };
        if fingerprint.segments.len() > FingerprintMeta::SEGMENTS_MAX {
            return Err(Error::new(
                Status::INVALID,
                "more segments than the contract allows",
            ));
        }
        if fingerprint.pad_score.is_some_and(|score| score > 1000) {
            return Err(Error::new(Status::INVALID, "an attack score above 1000"));
        }
        if fingerprint
            .segments
            .iter()
            .any(|segment| segment.quality.is_some_and(|quality| quality > 100))
        {
            return Err(Error::new(Status::INVALID, "a segment's quality above 100"));
        }
        if fingerprint
            .segments
            .iter()
            .any(|segment| segment.position.is_some_and(Finger::is_slap))
        {
            return Err(Error::new(Status::INVALID, "a segment is one finger"));
        }
        Ok(())
    }
}

/// What a fingerprint reader says of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FingerprintMeta {
    /// What the whole frame shows: a slap or one finger; none if the device does not say.
    pub position: Option<Finger>,
    /// Fingers found, at most [`FingerprintMeta::SEGMENTS_MAX`].
    pub segments: Vec<Segment>,
    /// The device's own presentation-attack score, 0 surely genuine to 1000 surely an attack (ISO/IEC 30107).
    pub pad_score: Option<u32>,
    /// The device's own verdict.
    pub pad_verdict: Option<Verdict>,
}

impl FingerprintMeta {
    /// Most segments.
    pub const SEGMENTS_MAX: usize = 16;
}

/// One finger found by the device's own segmentation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Segment {
    /// Which finger (1 to 10); none if the device does not say.
    pub position: Option<Finger>,
    /// Left edge of the upright box around the fingertip, before turning; pixels.
    pub x: i32,
    /// Top edge.
    pub y: i32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
    /// Turn of the fingertip about the box's centre, clockwise, thousandths of a degree.
    pub angle_milli_deg: i32,
    /// 0 to 100 on the device's own scale; none if it gives none.
    pub quality: Option<u32>,
    /// CBEFF product id of the quality algorithm, 0 not known.
    pub quality_alg: u32,
}

/// A device's own verdict on a presentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A living finger.
    Genuine,
    /// An attack.
    Attack,
}

impl From<Segment> for abi::rcl_fp_segment {
    fn from(segment: Segment) -> Self {
        Self {
            position: segment.position.map_or(0, |finger| u32::from(finger.code())),
            x: segment.x,
            y: segment.y,
            w: segment.width,
            h: segment.height,
            angle_milli_deg: segment.angle_milli_deg,
            quality: segment.quality.unwrap_or(abi::RCL_FP_QUALITY_NONE),
            quality_alg: segment.quality_alg,
        }
    }
}

impl From<abi::rcl_fp_segment> for Segment {
    fn from(segment: abi::rcl_fp_segment) -> Self {
        Self {
            position: Finger::new(segment.position),
            x: segment.x,
            y: segment.y,
            width: segment.w,
            height: segment.h,
            angle_milli_deg: segment.angle_milli_deg,
            quality: (segment.quality != abi::RCL_FP_QUALITY_NONE).then_some(segment.quality),
            quality_alg: segment.quality_alg,
        }
    }
}
