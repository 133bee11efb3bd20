//! What the plugin says of a picture: `rcl_meta` and the list of parts behind it.

use recueil_abi as abi;
use recueil_dossier::{Bounds, FingerPosition, FingerSegment, FingerprintMeta};

use super::sized;
use crate::refusal::{NULL, Refusal, TOO_SMALL};

/// Longest list of parts; one longer is a ring or a lie.
const PARTS_MAX: usize = 16;

/// The plain fields, and the parts that are known here.
#[derive(Debug)]
pub(super) struct Meta {
    pub(super) plain: abi::rcl_meta,
    pub(super) fingerprint: Option<FingerprintMeta>,
}

/// Copies all of it.
///
/// # Safety
/// `meta` is NULL or points to an `rcl_meta`, and so do the pointers in it to what the header says.
pub(super) unsafe fn read(meta: *const abi::rcl_meta) -> Result<Meta, Refusal> {
    if meta.is_null() {
        return Err(NULL);
    }
    // SAFETY: the caller's promise.
    let plain = unsafe { sized::read(meta) }.map_err(|_too_small| TOO_SMALL)?;
    let mut fingerprint = None;
    let mut next = plain.next;
    for _part in 0..PARTS_MAX {
        if next.is_null() {
            return Ok(Meta { plain, fingerprint });
        }
        // SAFETY: the caller's promise.
        let head = unsafe { sized::read(next) }.map_err(|_too_small| TOO_SMALL)?;
        if head.type_ == abi::RCL_TYPE_FP_META {
            // SAFETY: its type says that it is one.
            let part =
                unsafe { sized::read::<abi::rcl_fp_meta>(next.cast()) }.map_err(|_too_small| TOO_SMALL)?;
            // SAFETY: the caller's promise.
            let segments = unsafe { segments(&part) }?;
            fingerprint = Some(fingerprint_meta(&part, &segments)?);
        }
        next = head.next;
    }
    Err(Refusal::Broken(4, "a list of more than 16 parts"))
}

/// # Safety
/// `part.segments` points to `part.nsegments` elements if that is not 0.
unsafe fn segments(part: &abi::rcl_fp_meta) -> Result<Vec<abi::rcl_fp_segment>, Refusal> {
    if part.nsegments > abi::RCL_FP_SEGMENTS_MAX {
        return Err(Refusal::Broken(2, "more than 16 segments"));
    }
    if part.nsegments > 0 && part.segments.is_null() {
        return Err(NULL);
    }
    let count = usize::try_from(part.nsegments).unwrap_or(0);
    let mut copies = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: `index` is below the number of elements.
        let element = unsafe { part.segments.add(index) };
        // SAFETY: as above; an element has no invalid values, and need not be aligned.
        copies.push(unsafe { element.read_unaligned() });
    }
    Ok(copies)
}

fn fingerprint_meta(
    part: &abi::rcl_fp_meta,
    segments: &[abi::rcl_fp_segment],
) -> Result<FingerprintMeta, Refusal> {
    let pad_score = match part.pad_score {
        abi::RCL_FP_PAD_SCORE_NONE => None,
        score => Some(
            u16::try_from(score)
                .ok()
                .filter(|score| *score <= 1000)
                .ok_or(Refusal::Broken(4, "an attack score above 1000"))?,
        ),
    };
    let pad_attack = match part.pad_verdict {
        abi::RCL_FP_PAD_GENUINE => Some(false),
        abi::RCL_FP_PAD_ATTACK => Some(true),
        _none_or_not_known => None,
    };
    Ok(FingerprintMeta {
        position: position(part.position)?,
        segments: segments.iter().map(segment).collect::<Result<_, _>>()?,
        pad_score,
        pad_attack,
    })
}

fn segment(from: &abi::rcl_fp_segment) -> Result<FingerSegment, Refusal> {
    let position = position(from.position)?;
    if position.is_some_and(FingerPosition::is_slap) {
        return Err(Refusal::Broken(4, "a segment that is a whole slap"));
    }
    let quality = match from.quality {
        abi::RCL_FP_QUALITY_NONE => None,
        quality => Some(
            u8::try_from(quality)
                .ok()
                .filter(|quality| *quality <= 100)
                .ok_or(Refusal::Broken(4, "a quality above 100"))?,
        ),
    };
    Ok(FingerSegment {
        position,
        bounds: Bounds {
            x: from.x,
            y: from.y,
            width: from.w,
            height: from.h,
        },
        angle_milli_deg: from.angle_milli_deg,
        quality,
    })
}

fn position(code: u32) -> Result<Option<FingerPosition>, Refusal> {
    if code == 0 {
        return Ok(None);
    }
    u8::try_from(code)
        .ok()
        .and_then(|code| FingerPosition::try_from(code).ok())
        .map(Some)
        .ok_or(Refusal::Broken(4, "a finger position that does not exist"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element() -> abi::rcl_fp_segment {
        abi::rcl_fp_segment {
            position: 7,
            x: -3,
            y: 4,
            w: 5,
            h: 6,
            angle_milli_deg: -1500,
            quality: 80,
            quality_alg: 0,
        }
    }

    fn head<T>(size: u32, type_: u32, next: *const T) -> abi::rcl_struct {
        abi::rcl_struct {
            size,
            type_,
            next: next.cast(),
        }
    }

    fn check(change: fn(&mut abi::rcl_fp_segment, &mut abi::rcl_fp_meta)) -> Result<Meta, Refusal> {
        let mut element = element();
        let mut part = abi::rcl_fp_meta {
            h: head::<u8>(abi::rcl_fp_meta::SIZE, abi::RCL_TYPE_FP_META, std::ptr::null()),
            position: 14,
            nsegments: 1,
            pad_score: abi::RCL_FP_PAD_SCORE_NONE,
            pad_verdict: abi::RCL_FP_PAD_GENUINE,
            ..abi::rcl_fp_meta::ZERO
        };
        change(&mut element, &mut part);
        part.segments = &raw const element;
        let stranger = head(16, 0x1234_5678, &raw const part);
        let meta = abi::rcl_meta {
            size: abi::rcl_meta::SIZE,
            page: 2,
            next: &raw const stranger,
            ..abi::rcl_meta::ZERO
        };
        // SAFETY: all of it lives on this stack frame.
        unsafe { read(&raw const meta) }
    }

    #[test]
    fn known_parts_are_read_and_strangers_passed_over() {
        let meta = check(|_, _| ()).unwrap();
        assert_eq!(meta.plain.page, 2);
        let fingerprint = meta.fingerprint.unwrap();
        assert_eq!(fingerprint.position, Some(FingerPosition::LEFT_SLAP));
        assert_eq!(fingerprint.pad_score, None);
        assert_eq!(fingerprint.pad_attack, Some(false));
        let segment = fingerprint.segments.first().unwrap();
        assert_eq!(segment.position, Some(FingerPosition::LEFT_INDEX));
        assert_eq!((segment.bounds.x, segment.angle_milli_deg), (-3, -1500));
        assert_eq!(segment.quality, Some(80));
    }

    #[test]
    fn what_cannot_be_true_is_refused() {
        assert!(check(|element, _| element.position = 11).is_err());
        assert!(check(|element, _| element.position = 13).is_err());
        assert!(check(|element, _| element.quality = 101).is_err());
        assert!(check(|_, part| part.nsegments = 17).is_err());
        assert!(check(|_, part| part.pad_score = 1001).is_err());
        assert!(check(|_, part| part.position = 263).is_err());
        assert!(check(|_, part| part.h.size = 47).is_err());
        assert!(
            check(|_, part| part.pad_verdict = 9).is_ok(),
            "a verdict of a later release"
        );
    }

    #[test]
    fn a_list_that_bites_its_tail_ends() {
        let mut ring = head::<u8>(16, 1, std::ptr::null());
        ring.next = &raw const ring;
        let meta = abi::rcl_meta {
            size: abi::rcl_meta::SIZE,
            next: &raw const ring,
            ..abi::rcl_meta::ZERO
        };
        // SAFETY: all of it lives on this stack frame.
        assert!(unsafe { read(&raw const meta) }.is_err());
    }
}
