//! Both hands: tries by the rule, the best of each, the selection, the two records.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use recueil_bus::{CaptureState, Code, Detail, Error};
use recueil_dossier::{
    Content, FingerPosition, FingerprintRule, Guidance, Item, MissingReason, PixelFormat, select,
};
use recueil_wire::analyser::{Assessment, Finger, Pick};
use recueil_wire::devices::{CaptureParams, Modality};

use super::control::Control;
use super::session::{Session, Tried, Try};
use super::{Gift, Gifts, Order, give, item_name, provenance};

/// The best quality there is.
const QUALITY_MAX: u8 = 100;

type Missing = BTreeMap<FingerPosition, MissingReason>;

/// A hand that was taken.
struct Hand {
    req: u64,
    fingers: Vec<Finger>,
}

pub(super) async fn capture(
    session: &mut Session<'_>,
    order: &Order,
    rule: &FingerprintRule,
    missing: Missing,
    gifts: &Gifts,
    control: &mut Control,
) -> Result<(), Error> {
    let limit = Duration::from_secs(u64::from(rule.timeout_s));
    let hands = tokio::time::timeout(limit, all_hands(session, order, rule, &missing, control))
        .await
        .map_err(|_elapsed| Error::new(Code::Timeout, "the session's time is over; begin again"))??;
    let qualities: BTreeMap<FingerPosition, u8> = hands
        .iter()
        .flat_map(|hand| &hand.fingers)
        .map(|finger| (finger.position, finger.quality))
        .collect();
    let selection = select(rule, &qualities, &missing);
    control.enter(CaptureState::Storing, &[]).await;
    let picks = selection.choices.iter().filter_map(|choice| {
        let hand = hands.iter().find(|hand| has(hand, choice.position))?;
        Some(Pick {
            req: hand.req,
            position: Some(choice.position),
            result: 0,
        })
    });
    let picks: Vec<Pick> = picks.collect();
    let kept = if picks.is_empty() {
        Vec::new()
    } else {
        session.keep(picks).await?
    };
    let mut items = Vec::with_capacity(kept.len());
    for record in kept {
        let Some(position) = record.pick.position else {
            continue;
        };
        let name = item_name(&format!("fingerprint-{:02}", position.code()))?;
        let content = Content::Fingerprint {
            position,
            ppi: record.ppi,
        };
        let provenance = provenance(session, order);
        let (media_type, criteria) = (record.media_type, record.criteria);
        items.push(Item::new(
            name,
            &order.step,
            content,
            media_type,
            criteria,
            provenance,
            record.payload,
        ));
    }
    for choice in &selection.choices {
        control.found(BTreeMap::from([
            ("type".to_owned(), "selected".to_owned()),
            ("position".to_owned(), choice.position.code().to_string()),
            ("quality".to_owned(), choice.quality.to_string()),
        ]));
    }
    give(
        gifts,
        Gift::Items {
            items,
            selection: Some(selection),
            surplus: session.taken_and_not_kept(),
        },
    )
    .await
}

fn has(hand: &Hand, position: FingerPosition) -> bool {
    hand.fingers.iter().any(|finger| finger.position == position)
}

async fn all_hands(
    session: &mut Session<'_>,
    order: &Order,
    rule: &FingerprintRule,
    missing: &Missing,
    control: &mut Control,
) -> Result<Vec<Hand>, Error> {
    let mut hands = Vec::new();
    for slap in &rule.slaps {
        if slap
            .hand()
            .fingers()
            .iter()
            .all(|finger| missing.contains_key(finger))
        {
            continue;
        }
        hands.extend(one_hand(session, order, rule, *slap, missing, control).await?);
    }
    Ok(hands)
}

/// Tries until all fingers are good, then goes on; after the last try, or before on a command, takes the best.
async fn one_hand(
    session: &mut Session<'_>,
    order: &Order,
    rule: &FingerprintRule,
    slap: FingerPosition,
    missing: &Missing,
    control: &mut Control,
) -> Result<Option<Hand>, Error> {
    let mut best: Option<Hand> = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        control.attempt(attempt, rule.attempts, Some(slap)).await;
        control
            .guide(Guidance::Present, detail("position", slap.code()))
            .await;
        let one = Try {
            params: params(session, slap, missing),
            position: Some(slap),
            missing: missing.keys().copied().collect(),
        };
        let Tried { req, assessment } = session.attempt(one, control).await?;
        match assessment {
            Assessment::Fingers { fingers } => {
                check_fingers(&fingers, slap, missing)?;
                for finger in &fingers {
                    control.found(described(finger, req, rule.quality_min));
                }
                let good = fingers.iter().all(|finger| finger.quality >= rule.quality_min);
                let hand = Hand { req, fingers };
                if good {
                    control
                        .guide(Guidance::Accepted, detail("position", slap.code()))
                        .await;
                    control.guide(Guidance::Lift, Detail::new()).await;
                    return Ok(Some(hand));
                }
                control
                    .guide(Guidance::QualityLow, detail("position", slap.code()))
                    .await;
                if best
                    .as_ref()
                    .is_none_or(|best| rank(&hand.fingers) > rank(&best.fingers))
                {
                    best = Some(hand);
                }
            }
            Assessment::Refused { guidance, .. } => {
                for guidance in guidance {
                    control.guide(guidance, detail("position", slap.code())).await;
                }
            }
            _ => {
                return Err(Error::new(
                    Code::AnalyserEnded,
                    "the analyser answered for something else",
                ));
            }
        }
        let exhausted = attempt >= rule.attempts;
        match (order.auto_retry, exhausted, best.is_some()) {
            (true, false, _) => {
                control
                    .guide(Guidance::TryAgain, detail("position", slap.code()))
                    .await;
            }
            (true, true, true) => return Ok(best),
            (_, true, false) => {
                let text = "no usable hand in the tries allowed; declare the fingers that are missing, or begin again";
                return Err(Error::new(Code::Timeout, text).with("position", slap.code().to_string()));
            }
            (false, _, has_best) => {
                let allowed: &[&str] = match (exhausted, has_best) {
                    (true, _) => &["use-best", "cancel"],
                    (false, true) => &["retry", "use-best", "cancel"],
                    (false, false) => &["retry", "cancel"],
                };
                control.enter(CaptureState::Waiting, allowed).await;
                if session.command(control).await? == "use-best" {
                    return Ok(best);
                }
            }
        }
    }
}

/// Each finger of the hand that is not missing, once. The analyser reads hostile pictures; what it says is checked.
fn check_fingers(fingers: &[Finger], slap: FingerPosition, missing: &Missing) -> Result<(), Error> {
    let mut found: Vec<_> = fingers.iter().map(|finger| finger.position).collect();
    found.sort();
    let expected = slap.hand().fingers().into_iter();
    let expected = expected.filter(|finger| !missing.contains_key(finger));
    let is_sound = fingers.iter().all(|finger| finger.quality <= QUALITY_MAX);
    if is_sound && expected.eq(found) {
        return Ok(());
    }
    let text = "the process that reads pictures answered for other fingers than asked; present again";
    Err(Error::new(Code::AnalyserEnded, text))
}

/// The better hand is the one with the better index, then middle, ring, little (BSI TR-03121-3 volume 2,
/// plain fingerprints): fingers come in this order.
fn rank(fingers: &[Finger]) -> (Vec<u8>, Reverse<usize>) {
    let mut fingers: Vec<_> = fingers
        .iter()
        .map(|finger| (finger.position, finger.quality))
        .collect();
    fingers.sort_by_key(|(position, _)| *position);
    (
        fingers.iter().map(|(_, quality)| *quality).collect(),
        Reverse(fingers.len()),
    )
}

fn params(session: &Session<'_>, slap: FingerPosition, missing: &Missing) -> CaptureParams {
    let of_this_hand: BTreeSet<_> = slap.hand().fingers().into_iter().collect();
    CaptureParams {
        modality: Modality::Fingerprint,
        format: Some(PixelFormat::Gray8),
        ppi_milli: 0,
        deadline_ms: session.config().hand_s.saturating_mul(1000),
        preview_fps: session.config().preview_fps,
        position: Some(slap),
        missing: missing
            .keys()
            .filter(|finger| of_this_hand.contains(finger))
            .copied()
            .collect(),
        area_um: None,
    }
}

fn detail(key: &str, value: u8) -> Detail {
    Detail::from([(key.to_owned(), value.to_string())])
}

fn described(finger: &Finger, req: u64, threshold: u8) -> BTreeMap<String, String> {
    let bounds = finger.bounds;
    [
        ("type", "finger".to_owned()),
        ("try", req.to_string()),
        ("position", finger.position.code().to_string()),
        ("quality", finger.quality.to_string()),
        ("quality-min", threshold.to_string()),
        ("x", bounds.x.to_string()),
        ("y", bounds.y.to_string()),
        ("width", bounds.width.to_string()),
        ("height", bounds.height.to_string()),
        ("angle-milli-deg", finger.angle_milli_deg.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

#[cfg(test)]
mod tests {
    use recueil_dossier::Bounds;

    use super::*;

    fn position(code: u8) -> FingerPosition {
        FingerPosition::try_from(code).unwrap()
    }

    fn fingers(of: &[(u8, u8)]) -> Vec<Finger> {
        let finger = |(code, quality): &(u8, u8)| Finger {
            position: position(*code),
            bounds: Bounds {
                x: 0,
                y: 0,
                width: 1,
                height: 1,
            },
            angle_milli_deg: 0,
            quality: *quality,
        };
        of.iter().map(finger).collect()
    }

    #[test]
    fn the_better_hand_has_the_better_index_then_middle_ring_and_little() {
        let best = rank(&fingers(&[(2, 50), (3, 10), (4, 10), (5, 10)]));
        assert!(best > rank(&fingers(&[(2, 49), (3, 90), (4, 90), (5, 90)])));
        assert!(best < rank(&fingers(&[(2, 50), (3, 11), (4, 0), (5, 0)])));
        assert_eq!(
            best,
            rank(&fingers(&[(5, 10), (4, 10), (3, 10), (2, 50)])),
            "whatever their order"
        );
        assert!(best > rank(&[]));
    }

    #[test]
    fn only_the_fingers_that_were_asked_for_are_taken() {
        let right = FingerPosition::RIGHT_SLAP;
        let nobody = Missing::new();
        let good = [(2, 1), (3, 100), (4, 50), (5, 0)];
        check_fingers(&fingers(&good), right, &nobody).unwrap();
        for bad in [
            &[][..],
            &good[..3],
            &[(7, 1), (8, 1), (9, 1), (10, 1)],
            &[(2, 1), (3, 1), (4, 1), (4, 1)],
            &[(2, 1), (3, 1), (4, 1), (5, 1), (7, 1)],
            &[(2, 101), (3, 1), (4, 1), (5, 1)],
        ] {
            let refused = check_fingers(&fingers(bad), right, &nobody).unwrap_err();
            assert_eq!(refused.code, Code::AnalyserEnded, "{bad:?}");
        }
    }

    #[test]
    fn a_declared_finger_is_not_to_come() {
        let missing = Missing::from([(position(3), MissingReason::Bandaged)]);
        let right = FingerPosition::RIGHT_SLAP;
        check_fingers(&fingers(&[(2, 1), (4, 1), (5, 1)]), right, &missing).unwrap();
        check_fingers(&fingers(&[(2, 1), (3, 1), (4, 1), (5, 1)]), right, &missing).unwrap_err();
    }
}
