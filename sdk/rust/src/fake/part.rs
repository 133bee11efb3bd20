//! Lists of parts, written for the plugin and read from it.
#![expect(unsafe_code, reason = "reads what the plugin points to")]

use recueil_abi as abi;

use crate::ffi::sized;
use crate::{Finger, FingerprintMeta, Meta, Params, Segment, Sides, Verdict};

/// The params of one capture as C structs. They point to each other, so they stay where they are.
pub(super) struct Parts<'p> {
    params: &'p Params,
    fingerprint: Option<Box<abi::rcl_fp_params>>,
    scan: Option<Box<abi::rcl_scan_params>>,
}

impl<'p> Parts<'p> {
    pub(super) fn of(params: &'p Params) -> Self {
        let fingerprint = params.fingerprint.map(|asked| {
            Box::new(abi::rcl_fp_params {
                h: head(
                    abi::rcl_fp_params::SIZE,
                    abi::RCL_TYPE_FP_PARAMS,
                    std::ptr::null(),
                ),
                positions: asked.positions.bits(),
                missing: asked.missing.bits(),
                min_quality: asked.quality_min,
                reserved: 0,
            })
        });
        let after = fingerprint
            .as_ref()
            .map_or(std::ptr::null(), |part| (&raw const part.h).cast());
        let scan = params.scan.map(|asked| {
            let area = asked.area;
            Box::new(abi::rcl_scan_params {
                h: head(abi::rcl_scan_params::SIZE, abi::RCL_TYPE_SCAN_PARAMS, after),
                source: asked.source,
                sides: match asked.sides {
                    Sides::Front => 1,
                    Sides::Back => 2,
                    Sides::Both => 3,
                },
                max_pages: asked.pages_max,
                reserved: 0,
                x_um: area.map_or(0, |area| area.x_um),
                y_um: area.map_or(0, |area| area.y_um),
                w_um: area.map_or(0, |area| area.width_um),
                h_um: area.map_or(0, |area| area.height_um),
            })
        });
        Self {
            params,
            fingerprint,
            scan,
        }
    }

    /// Valid for as long as the parts.
    pub(super) fn params(&self) -> abi::rcl_params {
        let fingerprint = self
            .fingerprint
            .as_deref()
            .map(|part| std::ptr::from_ref(part).cast());
        let scan = self.scan.as_deref().map(|part| std::ptr::from_ref(part).cast());
        abi::rcl_params {
            size: abi::rcl_params::SIZE,
            modality: self.params.modality.0,
            pixfmt: self.params.format.map_or(0, |format| format.0),
            ppi_milli: self.params.ppi_milli,
            deadline_ms: u32::try_from(self.params.deadline.as_millis()).unwrap_or(u32::MAX),
            preview_fps: self.params.preview_fps,
            flags: 0,
            reserved: 0,
            next: scan.or(fingerprint).unwrap_or(std::ptr::null()),
        }
    }
}

fn head(size: u32, type_: u32, next: *const abi::rcl_struct) -> abi::rcl_struct {
    abi::rcl_struct { size, type_, next }
}

/// What a plugin said of a frame; none if it broke a rule of the contract.
///
/// # Safety
/// `raw` is null, or a meta with its parts as the header describes them.
pub(super) unsafe fn meta(raw: *const abi::rcl_meta) -> Option<Meta> {
    // SAFETY: the caller's meta.
    let raw = unsafe { sized::read(raw) }?;
    // SAFETY: a part of this type is of this struct.
    let part = unsafe { sized::find::<abi::rcl_fp_meta>(raw.next, abi::RCL_TYPE_FP_META) };
    let fingerprint = match part {
        None => None,
        // SAFETY: the caller's part.
        Some(part) => Some(unsafe { fingerprint(&part) }?),
    };
    Some(Meta {
        ppi_x_milli: raw.ppi_x_milli,
        ppi_y_milli: raw.ppi_y_milli,
        sequence: raw.sequence,
        page: raw.page,
        time_ns: raw.t_ns,
        fingerprint,
    })
}

/// # Safety
/// `part.segments` points to as many segments as it says, if they are no more than allowed.
unsafe fn fingerprint(part: &abi::rcl_fp_meta) -> Option<FingerprintMeta> {
    if part.nsegments > abi::RCL_FP_SEGMENTS_MAX || (part.nsegments > 0 && part.segments.is_null()) {
        return None;
    }
    let mut segments = Vec::new();
    for index in 0..usize::try_from(part.nsegments).ok()? {
        let place = part.segments.wrapping_add(index);
        // SAFETY: within the plugin's array.
        let segment = unsafe { place.read() };
        segments.push(Segment::from(segment));
    }
    Some(FingerprintMeta {
        position: Finger::new(part.position),
        segments,
        pad_score: (part.pad_score <= 1000).then_some(part.pad_score),
        pad_verdict: match part.pad_verdict {
            abi::RCL_FP_PAD_GENUINE => Some(Verdict::Genuine),
            abi::RCL_FP_PAD_ATTACK => Some(Verdict::Attack),
            _ => None,
        },
    })
}
