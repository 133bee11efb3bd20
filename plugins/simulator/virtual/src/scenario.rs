//! What devices shall show, as words that tests and demos write.
//!
//! A scenario is a list of [`Command`]s: one JSON object a line, in a file at the start, or on the control
//! socket while devices run. Each capture takes the next [`Presentation`] of its device's queue, or the
//! device's default one.

use recueil_plugin_simulator::protocol::{FailureCode, Fault};
use serde::{Deserialize, Serialize};

use crate::compose::hand::Quality;
use crate::compose::photo::Variant;

/// Longest line of a scenario or of the control socket.
pub const LINE_MAX_BYTES: usize = 64 << 10;
/// Longest wait.
pub const WAIT_MAX_MS: u32 = 3_600_000;
/// Most presentations that wait in a queue.
pub const QUEUE_MAX: usize = 1000;

/// One line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Appends to a device's queue.
    Next {
        /// `MODEL`, or `MODEL.SERIAL` where there are several.
        device: String,
        /// One a capture.
        presentations: Vec<Presentation>,
    },
    /// Sets what is shown when the queue is empty.
    Default {
        /// Which device.
        device: String,
        /// What.
        presentation: Box<Presentation>,
    },
    /// Empties the queue and forgets the default.
    Clear {
        /// Which device.
        device: String,
    },
    /// Unplugs: the socket vanishes, connections break.
    Away {
        /// Which device.
        device: String,
        /// Come back by itself after so long; none stays away until `back`.
        #[serde(default)]
        for_ms: Option<u32>,
    },
    /// Plugs in again, with the same serial number.
    Back {
        /// Which device.
        device: String,
    },
    /// Answers when the device is in that state.
    Await {
        /// Which device.
        device: String,
        /// The state.
        until: Until,
        /// How long at most.
        timeout_ms: u32,
    },
    /// Tells how devices stand.
    Status,
    /// Unplugs everything and ends the program.
    Quit,
}

/// States that [`Command::Await`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Somebody is connected.
    Connected,
    /// A capture runs.
    Capturing,
    /// No capture runs.
    Idle,
    /// Nobody is connected.
    Disconnected,
}

/// The answer to one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Whether it was done.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// To `status`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<DeviceStatus>,
}

/// How a device stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceStatus {
    /// `MODEL.SERIAL`.
    pub device: String,
    /// Unplugged.
    pub away: bool,
    /// Open connections.
    pub connections: usize,
    /// Presentations that wait.
    pub queued: usize,
    /// Whether a capture runs.
    pub capturing: bool,
    /// Captures that ended, well or not.
    pub captures: u64,
    /// What the lamp shows, as in `rcl_feedback`.
    pub led: u32,
    /// Beeps so far.
    pub beeps: u64,
}

/// What happens at a device during one capture. Each field stands for itself; those that the device does not
/// know are passed over.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Presentation {
    /// Nothing happens for so long; at most an hour.
    pub wait_ms: u32,
    /// The device reports this error instead of a picture.
    pub error: Option<FailureCode>,
    /// With the device's own number.
    pub vendor_code: i64,
    /// What the plugin is made to do wrong.
    pub fault: Option<Fault>,
    /// Decides where things lie; none lets the captures of a device differ.
    pub seed: Option<u64>,
    /// Reader: which hand comes.
    pub hand: WhichHand,
    /// Reader: fingers of it that do not come.
    pub without: Vec<FingerName>,
    /// Reader: how good the contact is.
    pub quality: Quality,
    /// Reader: when the hand is lifted.
    pub lift: Lift,
    /// Reader: what the device takes the hand for.
    pub says: Says,
    /// Reader: the device takes it for a presentation attack.
    pub attack: bool,
    /// Scanner: what lies on the glass; none is a page of text.
    pub glass: Option<Lying>,
    /// Camera: who stands before it, by the name in `images.toml`.
    pub portrait: Option<String>,
}

/// A hand by its relation to what was asked, or by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhichHand {
    /// What was asked.
    #[default]
    Asked,
    /// The wrong one.
    Other,
    /// The one that this device saw last.
    Same,
    /// The right one.
    Right,
    /// The left one.
    Left,
}

/// A finger of any hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FingerName {
    /// Position 1 or 6.
    Thumb,
    /// Position 2 or 7.
    Index,
    /// Position 3 or 8.
    Middle,
    /// Position 4 or 9.
    Ring,
    /// Position 5 or 10.
    Little,
}

impl FingerName {
    /// The name of a single finger, 1 to 10.
    pub fn of(position: u8) -> Self {
        match position {
            2 | 7 => Self::Index,
            3 | 8 => Self::Middle,
            4 | 9 => Self::Ring,
            5 | 10 => Self::Little,
            _ => Self::Thumb,
        }
    }
}

/// When a hand is lifted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lift {
    /// After the picture.
    #[default]
    After,
    /// Before it; then it is put down again, and stays.
    Early,
    /// Before it, and it does not come back.
    ForGood,
}

/// What the device's own software takes a hand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Says {
    /// What it is.
    #[default]
    Shown,
    /// What was asked, whatever came.
    Asked,
    /// It does not say.
    Nothing,
}

/// What lies on the glass.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Lying {
    /// Nothing.
    Nothing,
    /// An A4 page.
    Page {
        /// Its title.
        #[serde(default)]
        title: String,
        /// The text of its QR code.
        #[serde(default)]
        code: Option<String>,
    },
    /// One or two printed photos.
    Photo(Variant),
    /// A sheet with a signature.
    Signature,
}

/// Reads one line.
///
/// # Errors
/// What is wrong with it, in words.
pub fn parse(line: &str) -> Result<Command, String> {
    if line.len() > LINE_MAX_BYTES {
        return Err("a line of more than 64 KiB".into());
    }
    let command: Command = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let waits_too_long = |presentation: &Presentation| presentation.wait_ms > WAIT_MAX_MS;
    let too_long = match &command {
        Command::Next { presentations, .. } => {
            presentations.len() > QUEUE_MAX || presentations.iter().any(waits_too_long)
        }
        Command::Default { presentation, .. } => waits_too_long(presentation),
        Command::Away { for_ms, .. } => for_ms.is_some_and(|wait| wait > WAIT_MAX_MS),
        Command::Await { timeout_ms, .. } => *timeout_ms > WAIT_MAX_MS,
        _ => false,
    };
    if too_long {
        return Err("a wait of more than an hour, or more than 1000 presentations".into());
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compose::photo::{Count, Lid};

    fn next(presentation: &str) -> Result<Presentation, String> {
        let line = format!(r#"{{"command":"next","device":"fp4","presentations":[{presentation}]}}"#);
        match parse(&line)? {
            Command::Next { presentations, .. } => Ok(presentations[0].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_story_can_be_told() {
        assert_eq!(next("{}").unwrap(), Presentation::default());
        assert_eq!(next(r#"{"hand":"other"}"#).unwrap().hand, WhichHand::Other);
        assert_eq!(next(r#"{"hand":"same"}"#).unwrap().hand, WhichHand::Same);
        assert_eq!(
            next(r#"{"without":["little"]}"#).unwrap().without,
            [FingerName::Little]
        );
        assert_eq!(next(r#"{"quality":"poor"}"#).unwrap().quality, Quality::Poor);
        assert_eq!(next(r#"{"lift":"early"}"#).unwrap().lift, Lift::Early);
        assert_eq!(next(r#"{"wait_ms":500}"#).unwrap().wait_ms, 500);
        assert_eq!(
            next(r#"{"fault":"ignore-cancel"}"#).unwrap().fault,
            Some(Fault::IgnoreCancel)
        );
        assert_eq!(next(r#"{"fault":"hang"}"#).unwrap().fault, Some(Fault::Hang));
        assert_eq!(next(r#"{"fault":"crash"}"#).unwrap().fault, Some(Fault::Crash));
        assert_eq!(next(r#"{"error":"jam"}"#).unwrap().error, Some(FailureCode::Jam));
        let glass = |json: &str| next(&format!(r#"{{"glass":{json}}}"#)).unwrap().glass.unwrap();
        assert_eq!(
            glass(r#"{"kind":"page","code":"ABC"}"#),
            Lying::Page {
                title: String::new(),
                code: Some("ABC".into())
            }
        );
        let Lying::Photo(variant) = glass(r#"{"kind":"photo","count":"two","lid":"dark","turn_deg":7.5}"#)
        else {
            panic!("a photo")
        };
        assert_eq!(
            (variant.count, variant.lid, variant.turn_deg),
            (Count::Two, Lid::Dark, Some(7.5))
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(next(r#"{"hands":"other"}"#).is_err());
        assert!(next(r#"{"hand":"third"}"#).is_err());
        assert!(next(r#"{"glass":{"kind":"photo","colour":"red"}}"#).is_err());
        assert!(next(r#"{"wait_ms":3600001}"#).is_err());
        assert!(parse(r#"{"command":"dance"}"#).is_err());
        assert!(parse("").is_err());
    }
}
