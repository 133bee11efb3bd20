//! What a device says of itself, and what it is asked for: the contract's numbers as our types, and back.

use recueil_abi as abi;
use recueil_dossier::{FingerPosition, FrameInfo, PixelFormat};
use recueil_wire::devices::{Capabilities, CaptureParams, Identity, Modality};

use crate::layout::pixel_format;
use crate::log::printable;

/// Room in `rcl_devinfo`, without the closing 0.
const NAME_MAX_CHARS: usize = 63;
const VERSION_MAX_CHARS: usize = 31;
/// A capture that takes longer than an hour is a mistake in a driver.
const CAPTURE_TIMEOUT_MAX_MS: u32 = 3_600_000;

/// The strings of `rcl_devinfo`, as they came.
#[derive(Debug)]
pub(crate) struct Info {
    pub(crate) vendor: String,
    pub(crate) model: String,
    pub(crate) serial: String,
    pub(crate) firmware: String,
}

impl From<Info> for Identity {
    fn from(info: Info) -> Self {
        Self {
            vendor: printable(&info.vendor, NAME_MAX_CHARS),
            model: printable(&info.model, NAME_MAX_CHARS),
            serial: printable(&info.serial, NAME_MAX_CHARS),
            firmware: printable(&info.firmware, VERSION_MAX_CHARS),
        }
    }
}

/// What of `rcl_caps` is known here; none if nothing is that a capture could be made of.
pub(crate) fn capabilities(caps: &abi::rcl_caps) -> Option<Capabilities> {
    let modalities: Vec<Modality> = [Modality::Fingerprint, Modality::Camera, Modality::Scanner]
        .into_iter()
        .filter(|modality| caps.modalities & modality_bit(*modality) != 0)
        .collect();
    let formats: Vec<PixelFormat> = (0..u32::BITS)
        .filter(|bit| caps.pixfmts & (1 << bit) != 0)
        .filter_map(pixel_format)
        .collect();
    let sides = 1..=FrameInfo::SIDE_MAX_PX;
    let is_usable = !modalities.is_empty()
        && !formats.is_empty()
        && sides.contains(&caps.max_width)
        && sides.contains(&caps.max_height);
    is_usable.then_some(Capabilities {
        modalities,
        width_max: caps.max_width,
        height_max: caps.max_height,
        ppi_milli: caps.ppi_milli,
        formats,
        preview: caps.flags & abi::RCL_CAP_PREVIEW != 0,
        capture_timeout_ms: caps.capture_timeout_ms.min(CAPTURE_TIMEOUT_MAX_MS),
    })
}

/// What a capture is asked for, without the part of its modality.
pub(crate) fn params(wanted: &CaptureParams) -> abi::rcl_params {
    abi::rcl_params {
        size: abi::rcl_params::SIZE,
        modality: modality_bit(wanted.modality),
        pixfmt: match wanted.format {
            None => 0,
            Some(PixelFormat::Gray8) => abi::RCL_PIX_GRAY8,
            Some(PixelFormat::Rgb24) => abi::RCL_PIX_RGB24,
            Some(PixelFormat::Jpeg) => abi::RCL_PIX_JPEG,
        },
        ppi_milli: wanted.ppi_milli,
        deadline_ms: wanted.deadline_ms,
        preview_fps: wanted.preview_fps,
        ..abi::rcl_params::ZERO
    }
}

/// The part for fingerprints.
pub(crate) fn finger_params(wanted: &CaptureParams) -> abi::rcl_fp_params {
    let bit = |position: &FingerPosition| 1 << u32::from(position.code());
    abi::rcl_fp_params {
        h: abi::rcl_struct {
            size: abi::rcl_fp_params::SIZE,
            type_: abi::RCL_TYPE_FP_PARAMS,
            ..abi::rcl_struct::ZERO
        },
        positions: wanted.position.iter().map(bit).sum(),
        missing: wanted
            .missing
            .iter()
            .fold(0, |missing, position| missing | bit(position)),
        ..abi::rcl_fp_params::ZERO
    }
}

/// The part for scanners: one side from the first source.
pub(crate) fn scan_params(wanted: &CaptureParams) -> abi::rcl_scan_params {
    let micrometres = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    let mut params = abi::rcl_scan_params {
        h: abi::rcl_struct {
            size: abi::rcl_scan_params::SIZE,
            type_: abi::RCL_TYPE_SCAN_PARAMS,
            ..abi::rcl_struct::ZERO
        },
        sides: 1,
        ..abi::rcl_scan_params::ZERO
    };
    if let Some(area) = wanted.area_um {
        params.x_um = micrometres(area.x);
        params.y_um = micrometres(area.y);
        params.w_um = micrometres(area.width);
        params.h_um = micrometres(area.height);
    }
    params
}

fn modality_bit(modality: Modality) -> u32 {
    match modality {
        Modality::Fingerprint => abi::RCL_MOD_FINGERPRINT,
        Modality::Camera => abi::RCL_MOD_CAMERA,
        Modality::Scanner => abi::RCL_MOD_SCANNER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> abi::rcl_caps {
        abi::rcl_caps {
            modalities: abi::RCL_MOD_FINGERPRINT | abi::RCL_MOD_CARD | 1 << 31,
            max_width: 1600,
            max_height: 1500,
            ppi_milli: 500_000,
            pixfmts: 1 << abi::RCL_PIX_GRAY8 | 1 << abi::RCL_PIX_NV12 | 1 << 31,
            flags: abi::RCL_CAP_PREVIEW,
            ..abi::rcl_caps::ZERO
        }
    }

    #[test]
    fn of_what_a_device_can_the_known_part_is_told() {
        let told = capabilities(&caps()).unwrap();
        assert_eq!(told.modalities, [Modality::Fingerprint]);
        assert_eq!(told.formats, [PixelFormat::Gray8]);
        assert!(told.preview);
        let check = |change: fn(&mut abi::rcl_caps)| {
            let mut caps = caps();
            change(&mut caps);
            capabilities(&caps)
        };
        assert_eq!(check(|caps| caps.modalities = abi::RCL_MOD_CARD), None);
        assert_eq!(check(|caps| caps.pixfmts = 0), None);
        assert_eq!(check(|caps| caps.max_width = 0), None);
        assert_eq!(check(|caps| caps.max_height = 32_769), None);
    }

    #[test]
    fn fingers_are_bits_by_their_codes() {
        let wanted = CaptureParams {
            modality: Modality::Fingerprint,
            format: None,
            ppi_milli: 0,
            deadline_ms: 1,
            preview_fps: 0,
            position: Some(FingerPosition::RIGHT_SLAP),
            missing: vec![FingerPosition::RIGHT_INDEX, FingerPosition::RIGHT_INDEX],
            area_um: None,
        };
        let params = finger_params(&wanted);
        assert_eq!((params.positions, params.missing), (1 << 13, 1 << 2));
    }
}
