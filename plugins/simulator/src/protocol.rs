//! What the plugin and the virtual hardware say to each other on a device's stream socket.
//!
//! A message is 8 bytes (`RCV1`, then the length of the JSON, little-endian), the JSON, and, after
//! [`FromDevice::Picture`] alone, the rows of one picture without padding between them.
//! The device speaks first, with [`FromDevice::Info`]. Each [`ToDevice::Capture`] is answered by `Started`, any
//! number of `Event` and `Picture`, and exactly one `Done`.
//!
//! Both sides take the other for a stranger: lengths are checked before memory is made, unknown fields and
//! words refused, and [`Message::check`] has passed before a message is handed out.

mod check;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// First bytes of each message; the digit is the version.
pub const MAGIC: [u8; 4] = *b"RCV1";
/// Bytes before the JSON.
pub const PRELUDE_BYTES: usize = 8;
/// Longest JSON of one message.
pub const HEADER_MAX_BYTES: usize = 16 << 10;
/// Largest width or height of a picture.
pub const SIDE_MAX_PX: u32 = 32_768;
/// Largest picture: an A4 page at 600 dpi in colour is 104 MB.
pub const PICTURE_MAX_BYTES: u64 = 256 << 20;
/// Most segments beside one picture.
pub const SEGMENTS_MAX: usize = 16;
/// Longest name or text.
pub const TEXT_MAX_BYTES: usize = 63;

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// The first bytes are not [`MAGIC`].
    #[error("bytes that do not begin a message")]
    Magic,
    /// Longer than [`HEADER_MAX_BYTES`].
    #[error("a message of {0} bytes")]
    Length(usize),
    /// Not the JSON of a message.
    #[error("a message that is not understood")]
    Json(#[source] serde_json::Error),
    /// A number or text outside its range.
    #[error("a message with {0}")]
    Value(&'static str),
}

/// Both kinds of messages.
pub trait Message: Serialize + DeserializeOwned {
    /// Says whether every number and text is within the limits of this module.
    fn check(&self) -> Result<(), &'static str>;
}

/// The length of the JSON that follows a prelude.
pub fn json_len(prelude: [u8; PRELUDE_BYTES]) -> Result<usize, Malformed> {
    let [a, b, c, d, length @ ..] = prelude;
    if [a, b, c, d] != MAGIC {
        return Err(Malformed::Magic);
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > HEADER_MAX_BYTES {
        return Err(Malformed::Length(length));
    }
    Ok(length)
}

/// Reads the JSON of one message.
pub fn decode<M: Message>(json: &[u8]) -> Result<M, Malformed> {
    let message: M = serde_json::from_slice(json).map_err(Malformed::Json)?;
    message.check().map_err(Malformed::Value)?;
    Ok(message)
}

/// The bytes of one message; the rows of a picture follow them.
pub fn encode<M: Message>(message: &M) -> Result<Vec<u8>, Malformed> {
    message.check().map_err(Malformed::Value)?;
    let json = serde_json::to_vec(message).map_err(Malformed::Json)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(length.to_le_bytes());
    json_len(bytes.clone().try_into().unwrap_or_default())?;
    bytes.extend(json);
    Ok(bytes)
}

/// What the plugin says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToDevice {
    /// Take a picture.
    Capture(Request),
    /// Stop that capture; it still ends with `Done`. A capture that is over is not an error.
    Cancel {
        /// Which.
        id: u32,
    },
    /// Lamp and sound.
    Feedback(Feedback),
}

/// One capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the plugin, not used before on this connection.
    pub id: u32,
    /// How the pixels shall lie; none as the device likes.
    pub format: Option<Format>,
    /// When the device gives up by itself.
    pub deadline_ms: u32,
    /// Previews a second, 0 none.
    pub preview_fps: u32,
    /// Of what.
    pub subject: Subject,
}

/// What a picture is taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Subject {
    /// A finger or four, by ANSI/NIST-ITL 1-2011 table 12.
    Fingers {
        /// 1 to 10, 13 or 14.
        position: u8,
        /// 1 to 10: fingers that will not be presented.
        missing: Vec<u8>,
    },
    /// Who stands before the camera.
    Face,
    /// What lies on the glass.
    Glass {
        /// Pixels per inch, 0 for the device's own.
        ppi: u32,
        /// None for all of it.
        area: Option<Area>,
    },
}

/// A rectangle on the glass, in micrometres from its top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Area {
    /// Left edge.
    pub x_um: u32,
    /// Top edge.
    pub y_um: u32,
    /// Width.
    pub width_um: u32,
    /// Height.
    pub height_um: u32,
}

/// Lamp and sound, meanings as in `rcl_feedback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// 0 off, 1 idle, 2 wait, 3 good, 4 fail.
    pub led: u32,
    /// Length of a beep, 0 none.
    pub beep_ms: u32,
    /// Its pitch.
    pub beep_hz: u32,
    /// Which lamp, 0 the first.
    pub slot: u32,
}

/// What the device says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromDevice {
    /// First, once.
    Info(Info),
    /// A capture began.
    Started {
        /// Which.
        id: u32,
        /// What the scenario makes the plugin do wrong.
        fault: Option<Fault>,
    },
    /// Something for the person at the device.
    Event {
        /// Of which capture.
        id: u32,
        /// What.
        event: Event,
    },
    /// A picture; its rows follow.
    Picture {
        /// Of which capture.
        id: u32,
        /// What it is.
        picture: Box<PictureHeader>,
    },
    /// A capture is over.
    Done {
        /// Which.
        id: u32,
        /// None if it succeeded.
        failure: Option<Failure>,
    },
}

/// Who the device is and what it can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// Which kind.
    pub kind: Kind,
    /// At most [`TEXT_MAX_BYTES`], as the other texts.
    pub vendor: String,
    /// `fp4`, `cam`, `flatbed`.
    pub model: String,
    /// The same after the device went away and came back.
    pub serial: String,
    /// Version of its firmware.
    pub firmware: String,
    /// Largest width of any picture.
    pub width_max: u32,
    /// Largest height of any picture.
    pub height_max: u32,
    /// Native resolution in pixels per inch, 0 where there is none.
    pub ppi: u32,
    /// Whether it makes previews.
    pub previews: bool,
}

/// Kinds of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A four-finger reader.
    Fingerprint,
    /// A camera.
    Camera,
    /// A flatbed scanner.
    Scanner,
}

/// What a plugin can be made to do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Go on as if nobody had cancelled.
    IgnoreCancel,
    /// Never return.
    Hang,
    /// End the process by `abort`.
    Crash,
}

/// What a device tells during a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Event {
    /// Put it there: the position asked, 0 where there is none.
    Place {
        /// 0, 1 to 10, 13, 14.
        position: u8,
    },
    /// Take it away.
    Remove {
        /// 0, 1 to 10, 13, 14.
        position: u8,
    },
    /// So many fingers are seen.
    Fingers {
        /// 0 to 10.
        count: u8,
    },
    /// Seen: keep still.
    Hold,
    /// Taken away before the picture was taken.
    LiftedEarly,
    /// How much of the picture is taken.
    Progress {
        /// 0 to 1000.
        permille: u16,
    },
    /// Whether something lies on the glass.
    Media {
        /// True if so.
        present: bool,
    },
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Shown, never kept.
    Preview,
    /// What the capture is for.
    Result,
}

/// How pixels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// One byte a pixel, 0 black.
    Gray8,
    /// Red, green, blue, one byte each.
    Rgb24,
}

impl Format {
    /// Bytes of one pixel.
    pub fn bytes_per_pixel(self) -> usize {
        match self {
            Self::Gray8 => 1,
            Self::Rgb24 => 3,
        }
    }
}

/// A picture without its pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureHeader {
    /// Preview or result.
    pub purpose: Purpose,
    /// How the pixels lie.
    pub format: Format,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// Pixels per inch, 0 if there is no such thing.
    pub ppi: u32,
    /// Side of a document from 1, else 0.
    pub page: u32,
    /// What the device takes the whole picture for: 0 if it does not say, 1 to 10, 13, 14.
    pub position: u8,
    /// Its own segmentation.
    pub segments: Vec<Segment>,
    /// Its own presentation-attack score, 0 (genuine) to 1000 (attack), and verdict: true is an attack.
    pub attack: Option<(u16, bool)>,
}

impl PictureHeader {
    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        usize::try_from(self.width)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.format.bytes_per_pixel())
    }

    /// Bytes that follow the message.
    pub fn payload_bytes(&self) -> u64 {
        u64::try_from(self.row_bytes())
            .unwrap_or(u64::MAX)
            .saturating_mul(u64::from(self.height))
    }
}

/// One fingertip as vendors' kits give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// 1 to 10, 0 if the device does not say.
    pub position: u8,
    /// Left edge of the upright box around the fingertip, before it is turned about its centre.
    pub x: i32,
    /// Top edge of it.
    pub y: i32,
    /// Width of it.
    pub width: u32,
    /// Height of it.
    pub height: u32,
    /// Turn of the fingertip about the box's centre, clockwise positive, thousandths of a degree.
    pub angle_milli_deg: i32,
    /// 0 to 100, none if the device gives none.
    pub quality: Option<u8>,
}

/// Why a capture failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub code: FailureCode,
    /// A number of the device's own.
    pub vendor_code: i64,
}

/// Names of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// The plugin asked for it.
    Cancelled,
    /// Nothing was presented in time.
    Timeout,
    /// The device cannot do what is asked.
    Unsupported,
    /// Paper is stuck.
    Jam,
    /// The cover is open.
    CoverOpen,
    /// The feeder is empty.
    NoMedia,
    /// It must be calibrated first.
    Calibration,
    /// Someone opened it.
    Tamper,
    /// Its own line to the sensor failed.
    Io,
    /// Anything else.
    Failed,
}
