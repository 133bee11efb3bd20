//! What one capture is asked for.

use std::time::Duration;

use crate::{Fingers, Format, Modalities};

/// What one capture is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// What to capture: one modality.
    pub modality: Modalities,
    /// The format wanted; none for the device's own choice.
    pub format: Option<Format>,
    /// The resolution wanted, thousandths of a pixel per inch; 0 native.
    pub ppi_milli: u32,
    /// When the capture must have returned, from its start; the host ends the process a second later.
    pub deadline: Duration,
    /// Previews a second wanted; 0 none.
    pub preview_fps: u32,
    /// What is asked of a fingerprint reader.
    pub fingerprint: Option<FingerprintParams>,
    /// What is asked of a scanner.
    pub scan: Option<ScanParams>,
}

/// What is asked of a fingerprint reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FingerprintParams {
    /// What to capture; a slap stands for its four fingers.
    pub positions: Fingers,
    /// Single fingers that will not be presented; do not wait for them.
    pub missing: Fingers,
    /// 0 to 100 on the device's own scale; 0 as the device likes.
    pub quality_min: u32,
}

/// What is asked of a scanner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanParams {
    /// Where the paper lies: 0 the first source.
    pub source: u32,
    /// Which sides.
    pub sides: Sides,
    /// Most pages; 0 until the feeder is empty.
    pub pages_max: u32,
    /// The part wanted; none for all of it.
    pub area: Option<Area>,
}

/// Sides of a sheet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sides {
    /// The front.
    #[default]
    Front,
    /// The back.
    Back,
    /// Front, then back.
    Both,
}

/// A rectangle in micrometres from the top left corner of the glass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub x_um: i32,
    /// Top edge.
    pub y_um: i32,
    /// Width, above 0.
    pub width_um: i32,
    /// Height, above 0.
    pub height_um: i32,
}
