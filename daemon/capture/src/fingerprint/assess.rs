//! From a frame with the device's segments to prints.

use std::collections::BTreeSet;

use recueil_dossier::{Criterion, FingerPosition, FingerSegment, Frame, Guidance};

use super::{Print, Slap, crop, ridges};
use crate::number::{real, rounded};
use crate::refusal::{at_least, at_most, recorded, wrong, wrong_layout};
use crate::{FingerprintProfile, Refusal, View};

/// Largest turn that is put right (BSI TR-03121-3 volume 2, BIP-FP-APP).
const ANGLE_MAX_MILLI_DEG: i32 = 45_000;
/// Smallest side of a box: 5 mm. A child's fingertip is wider.
const SIDE_MIN_INCHES: f64 = 5.0 / 25.4;
/// Part of a box that must lie inside the frame. The rest is padded.
const INSIDE_MIN_PERCENT: f64 = 90.0;
/// Part of the smaller of two boxes that the other may cover. Neighbours touch, two boxes on one finger do
/// not differ.
const OVERLAP_MAX_PERCENT: f64 = 50.0;

/// The prints of the fingers asked, cut out upright.
///
/// `asked` is a slap or one finger; fingers in `missing` are not expected, and refused if they come.
///
/// # Errors
/// Every reason that applies. `fingers-found` among the criteria counts the segments, with the number that
/// was expected as its threshold.
pub fn assess(
    frame: &Frame,
    asked: FingerPosition,
    missing: &BTreeSet<FingerPosition>,
    profile: &FingerprintProfile,
) -> Result<Slap, Refusal> {
    let view = View::<1>::of(frame).ok_or_else(|| wrong_layout(frame))?;
    let expected = expected(asked, missing);
    let mut verdict = Verdict::default();
    verdict.check_resolution(frame, profile);
    let Some(meta) = &frame.info.fingerprint else {
        verdict.refuse(Guidance::DeviceUnsuitable, wrong("no-device-segments", 1.0));
        return Err(verdict.into_refusal());
    };
    verdict.check_hand(asked, meta.position, &meta.segments);
    verdict.check_count(expected.len(), meta.segments.len());
    for segment in &meta.segments {
        verdict.check_box(frame, segment);
    }
    verdict.check_overlaps(&meta.segments);
    let named = verdict.name_fingers(&expected, &meta.segments);
    if verdict.failed() {
        return Err(verdict.into_refusal());
    }
    let ppi = rounded(f64::from(frame.info.ppi_x_milli) / 1000.0);
    let prints: Vec<_> = named
        .into_iter()
        .filter_map(|(position, segment)| {
            let quality = verdict.quality(segment)?;
            let ridge_area_percent = verdict.ridges(view, segment);
            Some(Print {
                position,
                bounds: segment.bounds,
                angle_milli_deg: segment.angle_milli_deg,
                quality,
                ppi,
                ridge_area_percent,
                picture: crop::upright(view, segment),
            })
        })
        .collect();
    if verdict.failed() {
        return Err(verdict.into_refusal());
    }
    Ok(Slap { prints })
}

/// The fingers that should be seen, from left to right in the frame: a right hand lies with its index to the
/// left (ANSI/NIST-ITL 1-2011, figures of positions 13 and 14).
fn expected(asked: FingerPosition, missing: &BTreeSet<FingerPosition>) -> Vec<FingerPosition> {
    let mut fingers = if asked.is_slap() {
        asked.hand().fingers().to_vec()
    } else {
        vec![asked]
    };
    if asked == FingerPosition::LEFT_SLAP {
        fingers.reverse();
    }
    fingers.retain(|finger| !missing.contains(finger));
    fingers
}

/// Reasons as they are found.
#[derive(Default)]
struct Verdict {
    guidance: Vec<Guidance>,
    criteria: Vec<Criterion>,
}

impl Verdict {
    fn refuse(&mut self, guidance: Guidance, criterion: Criterion) {
        if !self.guidance.contains(&guidance) {
            self.guidance.push(guidance);
        }
        self.criteria.push(criterion);
    }

    /// Keeps a criterion, and refuses if it does not pass.
    fn judge(&mut self, guidance: Guidance, criterion: Criterion) {
        if criterion.pass {
            self.criteria.push(criterion);
        } else {
            self.refuse(guidance, criterion);
        }
    }

    fn failed(&self) -> bool {
        !self.guidance.is_empty()
    }

    fn into_refusal(self) -> Refusal {
        Refusal {
            guidance: self.guidance,
            criteria: self.criteria,
        }
    }

    fn check_resolution(&mut self, frame: &Frame, profile: &FingerprintProfile) {
        let nominal = f64::from(profile.ppi);
        let off = |milli: u32| (f64::from(milli) / 1000.0 - nominal).abs() / nominal * 100.0;
        let worst = off(frame.info.ppi_x_milli).max(off(frame.info.ppi_y_milli));
        let criterion = at_most("ppi-deviation-percent", worst, profile.ppi_tolerance_percent);
        self.judge(Guidance::DeviceUnsuitable, criterion);
    }

    /// Whatever the device names must be of the hand that was asked.
    fn check_hand(
        &mut self,
        asked: FingerPosition,
        whole: Option<FingerPosition>,
        segments: &[FingerSegment],
    ) {
        let named = segments
            .iter()
            .filter_map(|segment| segment.position)
            .chain(whole);
        let others = named.filter(|position| position.hand() != asked.hand()).count();
        if others > 0 {
            self.refuse(Guidance::WrongHand, wrong("fingers-of-other-hand", real(others)));
        }
    }

    fn check_count(&mut self, expected: usize, found: usize) {
        let criterion = Criterion {
            code: "fingers-found".to_owned(),
            value: real(found),
            threshold: Some(real(expected)),
            pass: found == expected,
        };
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => self.refuse(Guidance::FingersMissing, criterion),
            std::cmp::Ordering::Equal => self.criteria.push(criterion),
            std::cmp::Ordering::Greater => self.refuse(Guidance::TooManyObjects, criterion),
        }
    }

    fn check_box(&mut self, frame: &Frame, segment: &FingerSegment) {
        let bounds = segment.bounds;
        let side = f64::from(bounds.width.min(bounds.height));
        let least = SIDE_MIN_INCHES * f64::from(frame.info.ppi_x_milli) / 1000.0;
        self.judge_quietly(at_least("segment-side-px", side, least));
        let inside = covered(bounds.x, bounds.width, 0, frame.info.width)
            * covered(bounds.y, bounds.height, 0, frame.info.height);
        self.judge_quietly(at_least(
            "segment-inside-percent",
            inside * 100.0,
            INSIDE_MIN_PERCENT,
        ));
        let turn = f64::from(segment.angle_milli_deg) / 1000.0;
        let most = f64::from(ANGLE_MAX_MILLI_DEG) / 1000.0;
        self.judge_quietly(at_most("segment-angle-deg", turn.abs(), most));
    }

    /// For rules that a sound device keeps: only a breach is told.
    fn judge_quietly(&mut self, criterion: Criterion) {
        if !criterion.pass {
            self.refuse(Guidance::TryAgain, criterion);
        }
    }

    fn check_overlaps(&mut self, segments: &[FingerSegment]) {
        for (index, one) in segments.iter().enumerate() {
            for other in segments.iter().skip(index + 1) {
                let (a, b) = (one.bounds, other.bounds);
                let (small, large) = if area(one) <= area(other) { (a, b) } else { (b, a) };
                let share = covered(small.x, small.width, large.x, large.width)
                    * covered(small.y, small.height, large.y, large.height);
                self.judge_quietly(at_most(
                    "segments-overlap-percent",
                    share * 100.0,
                    OVERLAP_MAX_PERCENT,
                ));
            }
        }
    }

    /// Gives each segment its finger: the device's word where it agrees with the order on the glass, the
    /// order where it says nothing.
    fn name_fingers<'s>(
        &mut self,
        expected: &[FingerPosition],
        segments: &'s [FingerSegment],
    ) -> Vec<(FingerPosition, &'s FingerSegment)> {
        let named: Vec<_> = segments.iter().filter_map(|segment| segment.position).collect();
        let distinct: BTreeSet<_> = named.iter().copied().collect();
        if distinct.len() < named.len() {
            let twice = real(named.len() - distinct.len());
            self.refuse(Guidance::TryAgain, wrong("positions-given-twice", twice));
        }
        let strange = distinct
            .iter()
            .filter(|position| !expected.contains(position))
            .count();
        if strange > 0 {
            self.refuse(Guidance::TryAgain, wrong("fingers-not-asked", real(strange)));
        }
        if segments.len() != expected.len() {
            return Vec::new();
        }
        let mut fingers: Vec<_> = if named.len() == segments.len() {
            named.into_iter().zip(segments).collect()
        } else {
            let mut from_left: Vec<_> = segments.iter().collect();
            from_left
                .sort_by_key(|segment| i64::from(segment.bounds.x) * 2 + i64::from(segment.bounds.width));
            expected.iter().copied().zip(from_left).collect()
        };
        let contradicted = fingers
            .iter()
            .filter(|(position, segment)| segment.position.is_some_and(|named| named != *position))
            .count();
        if contradicted > 0 {
            self.refuse(
                Guidance::TryAgain,
                wrong("positions-against-order", real(contradicted)),
            );
        }
        fingers.sort_by_key(|(position, _segment)| *position);
        fingers
    }

    /// The device's quality; a device that gives none cannot be gated.
    fn quality(&mut self, segment: &FingerSegment) -> Option<u8> {
        let quality = segment.quality.filter(|quality| *quality <= 100);
        match quality {
            Some(quality) => self.criteria.push(recorded("device-quality", f64::from(quality))),
            None => self.refuse(Guidance::DeviceUnsuitable, wrong("no-device-quality", 1.0)),
        }
        quality
    }

    fn ridges(&mut self, view: View<'_, 1>, segment: &FingerSegment) -> f64 {
        let percent = ridges::area_percent(view, segment.bounds);
        self.judge(
            Guidance::QualityLow,
            at_least("ridge-area-percent", percent, ridges::AREA_MIN_PERCENT),
        );
        percent
    }
}

fn area(segment: &FingerSegment) -> u64 {
    u64::from(segment.bounds.width) * u64::from(segment.bounds.height)
}

/// Share of the stretch at `start` that lies within the stretch at `other_start`.
fn covered(start: i32, len: u32, other_start: i32, other_len: u32) -> f64 {
    if len == 0 {
        return 0.0;
    }
    let (start, other_start) = (f64::from(start), f64::from(other_start));
    let low = start.max(other_start);
    let high = (start + f64::from(len)).min(other_start + f64::from(other_len));
    (high - low).max(0.0) / f64::from(len)
}
