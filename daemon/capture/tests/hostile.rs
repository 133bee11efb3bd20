//! Frames of any size and content, with any word of the device on them: an answer comes, whichever.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test may fail and print as it does"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use recueil_capture::{Profile, barcode, document, face, fingerprint, preview, signature};
use recueil_dossier::{FingerPosition, FingerprintMeta, Frame, FrameInfo, FrameKind, PixelFormat};
use zeroize::Zeroizing;

fn profile() -> Profile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml")).unwrap()
}

fn format() -> impl Strategy<Value = PixelFormat> {
    prop_oneof![
        Just(PixelFormat::Gray8),
        Just(PixelFormat::Rgb24),
        Just(PixelFormat::Jpeg)
    ]
}

fn resolution() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(600_000),
        Just(500_000),
        Just(300_000),
        Just(2_400_000),
        any::<u32>()
    ]
}

/// Squares of noise on an even ground, which is what edges and codes are made of.
fn content(seed: u32, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let [level, run, ..] = next();
        let run = usize::from(run) % (1 + usize::from(seed.to_le_bytes()[1]));
        bytes.extend(std::iter::repeat_n(level, run + 1));
    }
    bytes.truncate(len);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_breaks_anything(
        (width, height) in prop_oneof![(1..900_u32, 1..900_u32), (1..4_u32, 1..3000_u32), (1..3000_u32, 1..4_u32)],
        format in format(),
        pad in 0..5_u32,
        (x, y) in (resolution(), resolution()),
        same in any::<bool>(),
        seed in any::<u32>(),
        short in 0..20_usize,
        divisor in any::<u32>(),
    ) {
        let stride = width * format.bytes_per_pixel().unwrap_or(0) + pad;
        let len = usize::try_from(stride * height).unwrap().max(40);
        let frame = Frame {
            info: FrameInfo {
                kind: FrameKind::Result,
                format,
                width,
                height,
                stride,
                used: u64::from(stride) * u64::from(height),
                ppi_x_milli: x,
                ppi_y_milli: if same { x } else { y },
                sequence: 0,
                page: 1,
                time_ns: 0,
                fingerprint: Some(FingerprintMeta::default()),
            },
            // Now and then fewer bytes than were promised.
            pixels: Zeroizing::new(content(seed, if short == 0 { len / 2 } else { len })),
        };
        let profile = profile();
        if let Ok(photo) = face::find_print(&frame, &profile.photo) {
            prop_assert_eq!((photo.picture.width(), photo.picture.height()), (622, 800));
        }
        if let Ok(page) = document::page(&frame, &profile.page) {
            // Density beyond 65535 cannot be written; nothing else may fail.
            prop_assert!(document::encode(&page).is_ok() || page.ppi > 65_535);
        }
        if let Ok(found) = signature::extract(&frame, &profile.signature) {
            prop_assert!(found.bounds.width <= width && found.bounds.height <= height);
            signature::encode(&found).unwrap();
        }
        let mut shown = Zeroizing::default();
        if let Some(preview) = preview::reduce_into(&frame, divisor, &mut shown) {
            prop_assert!(preview.width <= width && preview.height <= height);
            prop_assert!(u64::try_from(shown.len()).unwrap() <= frame.info.used);
        }
        let _whichever = barcode::pre_demande(&frame);
        let none = BTreeSet::new();
        let slap = fingerprint::assess(&frame, FingerPosition::RIGHT_SLAP, &none, &profile.fingerprint);
        prop_assert!(slap.is_err(), "four fingers without a segment");
    }
}
