//! `recueild` and one `recueil-analyser`, on the socket that is the analyser's standard input.
//!
//! The analyser speaks first: [`FromAnalyser::Hello`] with its own pidfd, before it is given any data.
//! [`ToAnalyser::Begin`] brings the profile and the frame socket. Then, for each try:
//! `Expect` → `Start` → (the device captures) → `Finished` → `Assessed`; at last `Keep` → `Kept`, `End`.

use std::collections::BTreeSet;

use recueil_dossier::{Bounds, Criterion, FingerPosition, Guidance, MediaType};
use serde::{Deserialize, Serialize};

use crate::devices::Capabilities;

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Slaps, any number of tries.
    Fingerprints,
    /// A printed photo on a scanner's glass.
    PhotoPrint,
    /// Pages of a document; barcodes on them are read.
    Pages,
    /// A handwritten signature on a scanned sheet.
    Signature,
}

/// What `recueild` says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToAnalyser {
    /// Once. Descriptors: the frame socket, then the profile (sealed memory of `profile_len` bytes, TOML).
    Begin {
        /// What for.
        task: Task,
        /// What the device can, for the size of frames.
        capabilities: Capabilities,
        /// Length of the profile.
        profile_len: u64,
        /// Its SHA-256, hexadecimal; the analyser refuses another.
        profile_sha256: String,
        /// Bytes that one result frame may need.
        result_capacity: u64,
    },
    /// A try is about to be made.
    Expect {
        /// Its number, as in [`crate::devices::Call::Start`].
        req: u64,
        /// For fingerprints: what is asked.
        position: Option<FingerPosition>,
        /// For fingerprints: fingers that will not come.
        missing: BTreeSet<FingerPosition>,
    },
    /// The device says the try is over.
    Finished {
        /// Which.
        req: u64,
        /// Result frames that were submitted.
        results: u32,
    },
    /// Descriptor: a client's end of a stream socket for previews. Replaces the one before.
    AttachPreview,
    /// Encode these records of this session; each is answered by [`FromAnalyser::Kept`].
    Keep {
        /// Which.
        picks: Vec<Pick>,
    },
    /// The session is over: wipe and end.
    End,
}

/// One record to be encoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// The try it came from.
    pub req: u64,
    /// For fingerprints: which finger.
    pub position: Option<FingerPosition>,
    /// For pages: which result of the try, from 0.
    pub result: u32,
}

/// What the analyser says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromAnalyser {
    /// First. Descriptor: a pidfd of the analyser itself.
    Hello {
        /// `recueil-analyser 0.1.0`.
        version: String,
    },
    /// Memory for this try is lent; the device may start.
    Start {
        /// Which try.
        req: u64,
    },
    /// The device may stop; nothing more is needed.
    Stop {
        /// Which try.
        req: u64,
    },
    /// Something for the person at the device.
    Guide {
        /// Which try.
        req: u64,
        /// What.
        guidance: Guidance,
        /// How many, where the guidance counts.
        value: Option<i64>,
    },
    /// The result of one try.
    Assessed {
        /// Which.
        req: u64,
        /// What was found.
        assessment: Assessment,
    },
    /// One encoded record. Descriptor: sealed memory.
    Kept {
        /// Which.
        pick: Pick,
        /// Its encoding.
        media_type: MediaType,
        /// Its length.
        len: u64,
        /// Its SHA-256, hexadecimal.
        sha256: String,
        /// Pixels per inch of the picture.
        ppi: u32,
        /// Measured qualities of this record.
        criteria: Vec<Criterion>,
    },
    /// The session cannot go on; the analyser ends.
    Failed {
        /// Why, without any content.
        text: String,
    },
}

/// What one try gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Assessment {
    /// Not usable, and why; every reason that applies.
    Refused {
        /// Reasons.
        guidance: Vec<Guidance>,
        /// Measured values behind them.
        criteria: Vec<Criterion>,
    },
    /// A slap.
    Fingers {
        /// One a finger found, in the order of positions.
        fingers: Vec<Finger>,
    },
    /// A photo: found, straightened, cut.
    Photo {
        /// Measured values.
        criteria: Vec<Criterion>,
    },
    /// Pages, in their order.
    Pages {
        /// What was read on each.
        pages: Vec<Page>,
    },
    /// A signature.
    Signature {
        /// Measured values.
        criteria: Vec<Criterion>,
    },
}

/// One finger of a slap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finger {
    /// Which.
    pub position: FingerPosition,
    /// Its upright box in the frame, before turning.
    pub bounds: Bounds,
    /// Its turn, thousandths of a degree, clockwise positive.
    pub angle_milli_deg: i32,
    /// Quality 0 to 100: the device's own until there is one of ours.
    pub quality: u8,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// A pré-demande number found in a QR code on it. Nothing else of a code leaves the analyser.
    pub pre_demande: Option<recueil_dossier::PreDemandeNumber>,
}

/// The preview stream: a header before each picture, all little-endian.
///
/// Pixels follow in rows without padding. Fingerprints come at half resolution at most. A client that does
/// not read loses pictures, never order: the newest waits, one is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PreviewHeader {
    /// Pixel width.
    pub width: u32,
    /// Pixel height.
    pub height: u32,
    /// 1 grey 8 bits, 2 RGB 24 bits, 20 JPEG, as `RCL_PIX_*`.
    pub format: u32,
    /// Bytes that follow.
    pub len: u32,
    /// Counts the frames of the device, so a client sees what it missed.
    pub sequence: u32,
}

impl PreviewHeader {
    /// `RCLP`.
    pub const MAGIC: [u8; 4] = *b"RCLP";
    /// Version of this header.
    pub const VERSION: u32 = 1;
    /// Bytes of the encoded header.
    pub const LEN: usize = 32;

    /// The bytes on the stream: magic, version, header length, then the fields in the order above.
    pub fn encode(self) -> [u8; Self::LEN] {
        let words = [
            Self::VERSION,
            32,
            self.width,
            self.height,
            self.format,
            self.len,
            self.sequence,
        ];
        let mut bytes = [0; Self::LEN];
        let (magic, rest) = bytes.split_at_mut(4);
        magic.copy_from_slice(&Self::MAGIC);
        for (place, word) in rest.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads it back; none if it is not a header of this version.
    pub fn decode(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let word = |index: usize| {
            let part = bytes.get(index * 4..index * 4 + 4)?;
            Some(u32::from_le_bytes(part.try_into().ok()?))
        };
        let known = bytes.starts_with(&Self::MAGIC) && word(1)? == Self::VERSION && word(2)? == 32;
        let header = Self {
            width: word(3)?,
            height: word(4)?,
            format: word(5)?,
            len: word(6)?,
            sequence: word(7)?,
        };
        known.then_some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_header_reads_back() {
        let header = PreviewHeader {
            width: 800,
            height: 750,
            format: 1,
            len: 600_000,
            sequence: 3,
        };
        assert_eq!(PreviewHeader::decode(&header.encode()), Some(header));
        assert_eq!(&header.encode()[..12], b"RCLP\x01\0\0\0\x20\0\0\0");
        assert_eq!(PreviewHeader::decode(&[0; 32]), None);
    }
}
