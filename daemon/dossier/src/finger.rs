//! Fingers by their ANSI/NIST-ITL codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Friction ridge position code (ANSI/NIST-ITL 1-2011, table 12; ISO/IEC 19794-4 table 5): 1 to 10 single
/// fingers from the right thumb to the left little finger, 13 and 14 the four fingers of a hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct FingerPosition(u8);

/// Left or right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hand {
    /// Codes 1 to 5 and 13.
    Right,
    /// Codes 6 to 10 and 14.
    Left,
}

impl Hand {
    /// Its code as a four-finger slap.
    pub fn slap(self) -> FingerPosition {
        match self {
            Self::Right => FingerPosition::RIGHT_SLAP,
            Self::Left => FingerPosition::LEFT_SLAP,
        }
    }

    /// Its four fingers without the thumb, index first.
    pub fn fingers(self) -> [FingerPosition; 4] {
        match self {
            Self::Right => [2, 3, 4, 5].map(FingerPosition),
            Self::Left => [7, 8, 9, 10].map(FingerPosition),
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Right => Self::Left,
            Self::Left => Self::Right,
        }
    }
}

impl FingerPosition {
    /// Right index.
    pub const RIGHT_INDEX: Self = Self(2);
    /// Left index.
    pub const LEFT_INDEX: Self = Self(7);
    /// Right four fingers.
    pub const RIGHT_SLAP: Self = Self(13);
    /// Left four fingers.
    pub const LEFT_SLAP: Self = Self(14);

    /// The code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Which hand.
    pub fn hand(self) -> Hand {
        if matches!(self.0, 1..=5 | 13) {
            Hand::Right
        } else {
            Hand::Left
        }
    }

    /// Whether this is four fingers at once.
    pub fn is_slap(self) -> bool {
        self.0 > 10
    }
}

impl TryFrom<u8> for FingerPosition {
    type Error = &'static str;
    fn try_from(code: u8) -> Result<Self, Self::Error> {
        match code {
            1..=10 | 13 | 14 => Ok(Self(code)),
            _ => Err("finger position codes are 1 to 10, 13 and 14 (ANSI/NIST-ITL 1-2011, table 12)"),
        }
    }
}

impl From<FingerPosition> for u8 {
    fn from(position: FingerPosition) -> Self {
        position.0
    }
}

impl fmt::Display for FingerPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            1 => "right thumb",
            2 => "right index",
            3 => "right middle",
            4 => "right ring",
            5 => "right little",
            6 => "left thumb",
            7 => "left index",
            8 => "left middle",
            9 => "left ring",
            10 => "left little",
            13 => "right four fingers",
            _ => "left four fingers",
        };
        f.write_str(name)
    }
}

/// Why a finger is not captured. `Amputated` and `Bandaged` are `XX` and `UP` of ANSI/NIST-ITL field 14.018.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// For good.
    Amputated,
    /// Cannot be presented now: bandage, plaster.
    Bandaged,
    /// A passing inability of another kind.
    Temporary,
    /// Presented, but no usable print could be had in the attempts allowed.
    Quality,
}
