//! What the daemon tells the person at the device, as codes that a client turns into words or pictures.

use serde::{Deserialize, Serialize};

/// One piece of guidance. The code on the bus is the kebab-case name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guidance {
    /// Present the hand, finger, page or face.
    Present,
    /// Keep still.
    Hold,
    /// Take it away; the capture is over, or the device must be empty first.
    Lift,
    /// Lifted before the picture was taken: present again.
    LiftedTooEarly,
    /// Fewer fingers than asked; the value says how many were seen.
    FingersMissing,
    /// More objects than fingers asked.
    TooManyObjects,
    /// The other hand was asked.
    WrongHand,
    /// This hand was given before.
    SameHandTwice,
    /// A print is below its threshold: press a little, dry or moisten the finger, present again.
    QualityLow,
    /// No print of a photo was found on the glass.
    NoPrintFound,
    /// More than one print of a photo lies on the glass.
    SeveralPrints,
    /// The print's edge cannot be told from the lid: put a darker sheet behind it.
    EdgeUnclear,
    /// The print or the signature reaches over the edge of what was scanned.
    PrintCutOff,
    /// The print is not 35×45 mm.
    PrintWrongSize,
    /// The print lies too far from straight.
    PrintTilted,
    /// The page holds nothing.
    BlankPage,
    /// The device's picture is not of the kind that the profile asks for (layout, resolution, no segments or
    /// quality of its own): trying again will not help, another device or setting will.
    DeviceUnsuitable,
    /// A try was good and is kept.
    Accepted,
    /// A try was not good enough; another follows.
    TryAgain,
}

impl Guidance {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Present,
        Self::Hold,
        Self::Lift,
        Self::LiftedTooEarly,
        Self::FingersMissing,
        Self::TooManyObjects,
        Self::WrongHand,
        Self::SameHandTwice,
        Self::QualityLow,
        Self::NoPrintFound,
        Self::SeveralPrints,
        Self::EdgeUnclear,
        Self::PrintCutOff,
        Self::PrintWrongSize,
        Self::PrintTilted,
        Self::BlankPage,
        Self::DeviceUnsuitable,
        Self::Accepted,
        Self::TryAgain,
    ];

    /// The code used on the bus and in logs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Hold => "hold",
            Self::Lift => "lift",
            Self::LiftedTooEarly => "lifted-too-early",
            Self::FingersMissing => "fingers-missing",
            Self::TooManyObjects => "too-many-objects",
            Self::WrongHand => "wrong-hand",
            Self::SameHandTwice => "same-hand-twice",
            Self::QualityLow => "quality-low",
            Self::NoPrintFound => "no-print-found",
            Self::SeveralPrints => "several-prints",
            Self::EdgeUnclear => "edge-unclear",
            Self::PrintCutOff => "print-cut-off",
            Self::PrintWrongSize => "print-wrong-size",
            Self::PrintTilted => "print-tilted",
            Self::BlankPage => "blank-page",
            Self::DeviceUnsuitable => "device-unsuitable",
            Self::Accepted => "accepted",
            Self::TryAgain => "try-again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_the_name_that_serde_gives_and_none_is_left_out() {
        let mut listed = Vec::new();
        for guidance in Guidance::ALL {
            let name = serde_json::to_value(guidance).unwrap();
            assert_eq!(name, guidance.code());
            listed.push(guidance.code());
        }
        // serde names every variant there is when it is given one that is not.
        let told = serde_json::from_str::<Guidance>("\"none\"")
            .unwrap_err()
            .to_string();
        let known = told.matches('`').count() / 2 - 1;
        assert_eq!(known, listed.len(), "{told}");
    }
}
