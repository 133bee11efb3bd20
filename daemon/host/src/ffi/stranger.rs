//! Descriptions of pictures as a stranger may make them, for `tests/fuzz` alone: every number is free, every
//! pointer leads to what its struct says is there.

use recueil_abi as abi;
use recueil_dossier::FingerprintMeta;

use super::meta;
use crate::refusal::Refusal;

/// Most parts made, past what is read.
const PARTS_MAX: u32 = 20;
/// Most segments made; a part may say that it has more only where that alone refuses it.
const SEGMENTS_MAX: u32 = 24;

/// What is read of a description whose numbers come from `number`, one after the other.
pub(crate) fn read_meta(mut number: impl FnMut() -> u32) -> Result<Option<FingerprintMeta>, Refusal> {
    let count = number() % (PARTS_MAX + 1);
    let bites_its_tail = number() % 16 == 1;
    let mut lists = Vec::new();
    let mut parts = Vec::new();
    for _part in 0..count {
        let is_known = !number().is_multiple_of(4);
        let said = number();
        let made = said.min(SEGMENTS_MAX);
        let segments: Box<[abi::rcl_fp_segment]> = (0..made).map(|_index| segment(&mut number)).collect();
        let part = Box::new(abi::rcl_fp_meta {
            h: abi::rcl_struct {
                size: size(&mut number, abi::rcl_fp_meta::SIZE),
                type_: if is_known { abi::RCL_TYPE_FP_META } else { number() },
                next: std::ptr::null(),
            },
            position: number() % 20,
            impression: number(),
            nsegments: said,
            pad_score: number() % 1200,
            pad_verdict: number() % 5,
            reserved: number(),
            segments: if number() % 16 == 1 {
                std::ptr::null()
            } else {
                segments.as_ptr()
            },
        });
        lists.push(segments);
        parts.push(part);
    }
    let mut next: *const abi::rcl_struct = std::ptr::null();
    if bites_its_tail && let Some(first) = parts.first() {
        next = (&raw const **first).cast();
    }
    for part in parts.iter_mut().rev() {
        part.h.next = next;
        next = (&raw const **part).cast();
    }
    let whole = abi::rcl_meta {
        size: size(&mut number, abi::rcl_meta::SIZE),
        next,
        ..abi::rcl_meta::ZERO
    };
    // SAFETY: `whole`, `parts` and `lists` live here, are as large as their types, and each list is as long as its
    // part says, or the part says more than any part may.
    unsafe { meta::read(&raw const whole) }.map(|read| read.fingerprint)
}

/// Mostly the struct's own.
fn size(number: &mut impl FnMut() -> u32, own: u32) -> u32 {
    match number() % 8 {
        0 => number(),
        1 => own.saturating_sub(number() % 64),
        _ => own,
    }
}

fn segment(number: &mut impl FnMut() -> u32) -> abi::rcl_fp_segment {
    abi::rcl_fp_segment {
        position: number() % 16,
        x: number().cast_signed(),
        y: number().cast_signed(),
        w: number(),
        h: number(),
        angle_milli_deg: number().cast_signed(),
        quality: number() % 120,
        quality_alg: number(),
    }
}
