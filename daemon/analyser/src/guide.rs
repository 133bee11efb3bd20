//! What a preview tells the person at the reader, by the device's own segments.

use std::collections::BTreeSet;

use recueil_dossier::{FingerPosition, FingerprintMeta, Guidance};

/// Guidance, and how many fingers are seen where it counts them.
pub(crate) type Guide = (Guidance, Option<i64>);

/// None where the device says nothing of fingers.
pub(crate) fn guide(
    meta: Option<&FingerprintMeta>,
    asked: FingerPosition,
    missing: &BTreeSet<FingerPosition>,
) -> Option<Guide> {
    let meta = meta?;
    let named = meta.segments.iter().filter_map(|segment| segment.position);
    if named
        .chain(meta.position)
        .any(|position| position.hand() != asked.hand())
    {
        return Some((Guidance::WrongHand, None));
    }
    let expected = if asked.is_slap() {
        let fingers = asked.hand().fingers();
        fingers.iter().filter(|finger| !missing.contains(finger)).count()
    } else {
        1
    };
    let seen = meta.segments.len();
    let count = i64::try_from(seen).ok();
    Some(match seen {
        0 => (Guidance::Present, None),
        seen if seen < expected => (Guidance::FingersMissing, count),
        seen if seen > expected => (Guidance::TooManyObjects, count),
        _ => (Guidance::Hold, None),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recueil_dossier::{Bounds, FingerSegment};

    fn seen(positions: &[u8]) -> FingerprintMeta {
        let segment = |code: &u8| FingerSegment {
            position: FingerPosition::try_from(*code).ok(),
            bounds: Bounds {
                x: 0,
                y: 0,
                width: 1,
                height: 1,
            },
            angle_milli_deg: 0,
            quality: None,
        };
        FingerprintMeta {
            segments: positions.iter().map(segment).collect(),
            ..FingerprintMeta::default()
        }
    }

    #[test]
    fn a_preview_says_what_is_missing() {
        let check = |positions: &[u8], missing: &[u8], expected: Guide| {
            let missing = missing
                .iter()
                .filter_map(|code| FingerPosition::try_from(*code).ok())
                .collect();
            let guided = guide(Some(&seen(positions)), FingerPosition::RIGHT_SLAP, &missing);
            assert_eq!(guided, Some(expected), "{positions:?}");
        };
        check(&[], &[], (Guidance::Present, None));
        check(&[2, 3, 4], &[], (Guidance::FingersMissing, Some(3)));
        check(&[2, 3, 4], &[5], (Guidance::Hold, None));
        check(&[2, 3, 4, 5], &[], (Guidance::Hold, None));
        check(&[2, 3, 4, 5, 5], &[], (Guidance::TooManyObjects, Some(5)));
        check(&[7, 8, 9, 10], &[], (Guidance::WrongHand, None));
        assert_eq!(guide(None, FingerPosition::RIGHT_SLAP, &BTreeSet::new()), None);
    }
}
