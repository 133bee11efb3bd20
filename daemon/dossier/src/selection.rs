//! Which two of the presented fingers are recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{FingerPosition, FingerprintRule, Hand, MissingReason, SelectionOrder};

/// One chosen finger and why it is this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Which.
    pub position: FingerPosition,
    /// Its quality.
    pub quality: u8,
    /// Why not a finger before it in the order.
    pub reason: ChoiceReason,
}

/// Why a finger was chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum ChoiceReason {
    /// It is the first in the legal order.
    FirstInOrder,
    /// The fingers before it in the order could not be had.
    Instead {
        /// The fingers before it.
        passed_over: Vec<PassedOver>,
    },
    /// It has the best quality.
    Best,
}

/// A finger that could not be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PassedOver {
    /// Which.
    pub position: FingerPosition,
    /// Why.
    pub why: MissingReason,
}

/// The outcome: none, one or two fingers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// At most as many as the rule says.
    pub choices: Vec<Choice>,
}

/// Selects by the rule among fingers of known quality (0 to 100).
///
/// Legal order (décret n° 55-1397, art. 4-3; décret n° 2005-1726, art. 6-1): for each hand its index; if that
/// is impossible, the middle then the ring finger of the same hand or, failing that, of the other hand. A
/// finger is impossible when it is missing or its quality is below `quality_min`.
pub fn select(
    rule: &FingerprintRule,
    qualities: &BTreeMap<FingerPosition, u8>,
    missing: &BTreeMap<FingerPosition, MissingReason>,
) -> Selection {
    let good = |position: FingerPosition| {
        qualities
            .get(&position)
            .copied()
            .filter(|quality| *quality >= rule.quality_min)
    };
    let mut choices: Vec<Choice> = Vec::new();
    match rule.order {
        SelectionOrder::Legal => {
            for hand in [Hand::Right, Hand::Left] {
                let own = hand.fingers().into_iter().take(3);
                // The other hand's index is its own first choice, so only its middle and ring can stand in.
                let other = hand.other().fingers().into_iter().skip(1).take(2);
                let mut passed_over = Vec::new();
                for position in own.chain(other) {
                    let taken = choices.iter().any(|choice| choice.position == position);
                    let reserved =
                        position.hand() != hand && own_choice(position.hand(), good) == Some(position);
                    match good(position) {
                        Some(quality) if !taken && !reserved => {
                            let reason = if passed_over.is_empty() {
                                ChoiceReason::FirstInOrder
                            } else {
                                ChoiceReason::Instead { passed_over }
                            };
                            choices.push(Choice {
                                position,
                                quality,
                                reason,
                            });
                            break;
                        }
                        Some(_taken) => {}
                        None => {
                            let why = missing.get(&position).copied().unwrap_or(MissingReason::Quality);
                            passed_over.push(PassedOver { position, why });
                        }
                    }
                }
            }
        }
        SelectionOrder::Best => {
            let mut ranked: Vec<_> = qualities
                .keys()
                .filter_map(|position| Some((*position, good(*position)?)))
                .collect();
            ranked.sort_by_key(|(position, quality)| (std::cmp::Reverse(*quality), *position));
            choices.extend(ranked.into_iter().map(|(position, quality)| Choice {
                position,
                quality,
                reason: ChoiceReason::Best,
            }));
        }
    }
    choices.truncate(rule.select);
    Selection { choices }
}

/// The finger that a hand gives for itself, which must not be lent to the other hand.
fn own_choice(hand: Hand, good: impl Fn(FingerPosition) -> Option<u8>) -> Option<FingerPosition> {
    hand.fingers()
        .into_iter()
        .take(3)
        .find(|position| good(*position).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(order: SelectionOrder) -> FingerprintRule {
        FingerprintRule {
            slaps: vec![FingerPosition::RIGHT_SLAP, FingerPosition::LEFT_SLAP],
            attempts: 3,
            select: 2,
            order,
            quality_min: 20,
            timeout_s: 900,
        }
    }

    fn chosen(qualities: &[(u8, u8)], missing: &[(u8, MissingReason)]) -> Vec<u8> {
        let position = |code: u8| FingerPosition::try_from(code).unwrap();
        let qualities = qualities
            .iter()
            .map(|(code, quality)| (position(*code), *quality))
            .collect();
        let missing = missing
            .iter()
            .map(|(code, why)| (position(*code), *why))
            .collect();
        let selection = select(&rule(SelectionOrder::Legal), &qualities, &missing);
        selection
            .choices
            .iter()
            .map(|choice| choice.position.code())
            .collect()
    }

    #[test]
    fn both_index_fingers_come_first_even_if_others_are_better() {
        assert_eq!(chosen(&[(2, 30), (3, 90), (7, 21), (8, 99)], &[]), [2, 7]);
    }

    #[test]
    fn the_same_hands_middle_then_ring_stand_in() {
        assert_eq!(
            chosen(&[(3, 50), (4, 90), (7, 50)], &[(2, MissingReason::Amputated)]),
            [3, 7]
        );
        assert_eq!(chosen(&[(2, 19), (3, 10), (4, 60), (7, 50)], &[]), [4, 7]);
    }

    #[test]
    fn the_other_hand_helps_without_losing_its_own() {
        assert_eq!(chosen(&[(7, 50), (8, 60), (9, 70)], &[]), [8, 7]);
        assert_eq!(chosen(&[(2, 50), (3, 60)], &[]), [2, 3]);
        assert_eq!(
            chosen(&[(8, 60), (9, 70)], &[]),
            [9, 8],
            "8 is the left hand's own choice"
        );
        assert_eq!(chosen(&[(4, 60)], &[]), [4]);
        assert!(
            chosen(&[(5, 90), (10, 90)], &[]).is_empty(),
            "little fingers are not in the order"
        );
    }

    #[test]
    fn a_selection_reads_back_from_json() {
        let passed_over = vec![PassedOver {
            position: FingerPosition::RIGHT_INDEX,
            why: MissingReason::Quality,
        }];
        let reason = ChoiceReason::Instead { passed_over };
        let choice = Choice {
            position: FingerPosition::LEFT_INDEX,
            quality: 60,
            reason,
        };
        let selection = Selection {
            choices: vec![choice],
        };
        let json = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&json).unwrap(), selection);
    }

    #[test]
    fn a_stand_in_says_who_was_passed_over_and_why() {
        let qualities = BTreeMap::from([(FingerPosition::try_from(3).unwrap(), 50)]);
        let missing = BTreeMap::from([(FingerPosition::RIGHT_INDEX, MissingReason::Bandaged)]);
        let selection = select(&rule(SelectionOrder::Legal), &qualities, &missing);
        assert_eq!(selection.choices.len(), 1);
        let passed_over = vec![PassedOver {
            position: FingerPosition::RIGHT_INDEX,
            why: MissingReason::Bandaged,
        }];
        assert_eq!(selection.choices[0].reason, ChoiceReason::Instead { passed_over });
    }

    #[test]
    fn best_two_is_an_option_of_the_procedure() {
        let qualities: BTreeMap<_, _> = [(2, 30), (3, 90), (8, 91)]
            .map(|(c, q)| (FingerPosition::try_from(c).unwrap(), q))
            .into();
        let selection = select(&rule(SelectionOrder::Best), &qualities, &BTreeMap::new());
        let codes: Vec<_> = selection
            .choices
            .iter()
            .map(|choice| choice.position.code())
            .collect();
        assert_eq!(codes, [8, 3]);
    }
}
