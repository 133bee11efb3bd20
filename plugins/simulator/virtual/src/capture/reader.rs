//! The four-finger reader.

use std::time::Duration;

use recueil_plugin_simulator::protocol::{self, Event, FailureCode, Format, PictureHeader, Purpose, Segment};

use super::{COMING, Capture, Stop, as_preview};
use crate::compose::hand::{self, Laid, Slap};
use crate::scenario::{FingerName, Lift, Presentation, Says, WhichHand};

/// How long a hand that was lifted early stays away.
const AWAY: Duration = Duration::from_millis(400);

impl Capture<'_> {
    pub(super) fn fingers(&mut self, asked: u8, missing: &[u8]) -> Result<(), Stop> {
        if self.device.info().kind != protocol::Kind::Fingerprint
            || self.request.format == Some(Format::Rgb24)
        {
            return Err(FailureCode::Unsupported.into());
        }
        let came = came(
            self.presentation,
            asked,
            missing,
            self.device.last_hand_is_right(),
        );
        let laid = |fingers| Laid {
            fingers,
            seed: self.seed,
            quality: self.presentation.quality,
        };
        let hands = &self.device.images.hands;
        if came.iter().any(|finger| !hands.0.contains_key(finger)) || came.is_empty() {
            return Err(FailureCode::Unsupported.into());
        }
        self.event(Event::Place { position: asked })?;
        let empty = hand::lay(hands, &laid(&[]));
        let slap = hand::lay(hands, &laid(&came));
        self.wait_for_it(Some(&empty.picture))?;
        if self.presentation.lift != Lift::After {
            self.touch(&slap, &empty, &COMING[..2])?;
            self.event(Event::LiftedEarly)?;
            self.event(Event::Fingers { count: 0 })?;
            self.show(&empty.picture, as_preview)?;
            match self.presentation.lift {
                Lift::ForGood => loop {
                    self.pause(AWAY)?;
                },
                _ => self.pause(AWAY)?,
            }
            self.event(Event::Place { position: asked })?;
        }
        self.touch(&slap, &empty, &COMING)?;
        self.event(Event::Hold)?;
        self.device
            .saw_hand(is_right(came.first().copied().unwrap_or(asked)));
        let says = self.presentation.says;
        let attack = if self.presentation.attack {
            (940, true)
        } else {
            (20, false)
        };
        self.show(&slap.picture, |header| PictureHeader {
            purpose: Purpose::Result,
            position: whole(says, asked, &came),
            segments: slap
                .segments
                .iter()
                .map(|segment| said(says, asked, segment))
                .collect(),
            attack: Some(attack),
            ..header
        })?;
        self.event(Event::Remove { position: asked })
    }

    /// A hand comes down.
    fn touch(&mut self, slap: &Slap, empty: &Slap, steps: &[f64]) -> Result<(), Stop> {
        let count = u8::try_from(slap.segments.len()).unwrap_or(10);
        self.event(Event::Fingers { count })?;
        for step in steps {
            if self.request.preview_fps > 0 {
                self.show(&slap.lighter(empty, *step), as_preview)?;
                self.pause(self.between_previews())?;
            }
        }
        Ok(())
    }
}

fn is_right(position: u8) -> bool {
    matches!(position, 1..=5 | 13)
}

/// The fingers that come, by position.
fn came(presentation: &Presentation, asked: u8, missing: &[u8], last_is_right: Option<bool>) -> Vec<u8> {
    let asked_right = is_right(asked);
    let right = match presentation.hand {
        WhichHand::Asked => asked_right,
        WhichHand::Other => !asked_right,
        WhichHand::Same => last_is_right.unwrap_or(asked_right),
        WhichHand::Right => true,
        WhichHand::Left => false,
    };
    let first = if right { 1 } else { 6 };
    let fingers = match asked {
        1..=10 => vec![first + (asked - 1) % 5],
        _ => (first + 1..first + 5).collect(),
    };
    let comes = |finger: &u8| {
        let held_back = presentation.without.contains(&FingerName::of(*finger));
        !held_back && !missing.contains(finger)
    };
    fingers.into_iter().filter(comes).collect()
}

/// What the device takes the whole picture for.
fn whole(says: Says, asked: u8, came: &[u8]) -> u8 {
    let first = came.first().copied().unwrap_or(asked);
    match says {
        Says::Nothing => 0,
        Says::Asked => asked,
        Says::Shown if asked <= 10 => first,
        Says::Shown if is_right(first) => 13,
        Says::Shown => 14,
    }
}

/// What the device says of one finger.
fn said(says: Says, asked: u8, segment: &Segment) -> Segment {
    let position = match says {
        Says::Nothing => 0,
        Says::Shown => segment.position,
        Says::Asked => (segment.position - 1) % 5 + if is_right(asked) { 1 } else { 6 },
    };
    Segment { position, ..*segment }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(hand: WhichHand) -> Presentation {
        Presentation {
            hand,
            ..Presentation::default()
        }
    }

    #[test]
    fn the_fingers_that_come_follow_the_scenario_and_the_person() {
        assert_eq!(came(&hand(WhichHand::Asked), 13, &[], None), [2, 3, 4, 5]);
        assert_eq!(came(&hand(WhichHand::Asked), 14, &[8], None), [7, 9, 10]);
        assert_eq!(came(&hand(WhichHand::Other), 13, &[2], None), [7, 8, 9, 10]);
        assert_eq!(came(&hand(WhichHand::Same), 14, &[], Some(true)), [2, 3, 4, 5]);
        assert_eq!(came(&hand(WhichHand::Other), 2, &[], None), [7]);
        let three = Presentation {
            without: vec![FingerName::Little],
            ..Presentation::default()
        };
        assert_eq!(came(&three, 13, &[], None), [2, 3, 4]);
    }

    #[test]
    fn a_device_says_what_it_saw_what_was_asked_or_nothing() {
        let left = [7, 8, 9, 10];
        assert_eq!(whole(Says::Shown, 13, &left), 14);
        assert_eq!(whole(Says::Asked, 13, &left), 13);
        assert_eq!(whole(Says::Nothing, 13, &left), 0);
        assert_eq!(whole(Says::Shown, 2, &[7]), 7);
    }
}
