//! Frames as a device may give them: what they say of themselves, and their pixels.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::OnceLock;

use qrcode::QrCode;
use recueil_capture::{
    Encoded, FingerprintProfile, PageProfile, PhotoProfile, Refusal, SignatureProfile, barcode, document,
    face, fingerprint, preview, signature,
};
use recueil_dossier::{
    Bounds, Criterion, FingerPosition, FingerSegment, FingerprintMeta, Frame, FrameInfo, FrameKind,
    MediaType, PixelFormat, PreDemandeNumber,
};
use zeroize::Zeroizing;

use super::same;
use crate::bytes::Bytes;

/// Longest side of a drawn frame, pixels: enough for a print at a low resolution, and fast.
const SIDE_MAX_PX: u32 = 320;

/// A frame: its description first, then how its pixels are drawn. It may lie about itself.
pub(super) fn frame(input: &mut Bytes<'_>, ppi: &[u32]) -> Frame {
    let (width, height) = (1 + input.up_to(SIDE_MAX_PX - 1), 1 + input.up_to(SIDE_MAX_PX - 1));
    let (format, depth) = match input.byte() % 5 {
        0 | 1 => (PixelFormat::Gray8, 1),
        2 | 3 => (PixelFormat::Rgb24, 3),
        _ => (PixelFormat::Jpeg, 1),
    };
    let stride = width * depth + input.up_to(8);
    let len = usize::try_from(stride * height).expect("a small frame");
    let listed = ppi
        .get(usize::from(input.byte()) % ppi.len())
        .copied()
        .unwrap_or(0);
    let ppi_x_milli = if input.once_in(8) { input.word() } else { listed };
    let ppi_y_milli = if input.once_in(8) {
        input.word()
    } else {
        ppi_x_milli
    };
    let fingerprint = input.once_in(2).then(|| fingers(input, width, height));
    let mut info = FrameInfo {
        kind: FrameKind::Result,
        format,
        width,
        height,
        stride: if format == PixelFormat::Jpeg { 0 } else { stride },
        used: u64::try_from(len).expect("a small frame"),
        ppi_x_milli,
        ppi_y_milli,
        sequence: 0,
        page: 1,
        time_ns: 1,
        fingerprint,
    };
    match input.byte() {
        1 => info.width = input.word(),
        2 => info.height = input.word(),
        3 => info.stride = input.word(),
        4 => info.used = u64::from(input.word()),
        _ => {}
    }
    let mut pixels = vec![input.byte(); len];
    draw(input, &mut pixels, stride, depth);
    Frame {
        info,
        pixels: Zeroizing::new(pixels),
    }
}

fn fingers(input: &mut Bytes<'_>, width: u32, height: u32) -> FingerprintMeta {
    let position = |code: u8| FingerPosition::try_from(code).ok();
    let count = input.byte() % 6;
    let segment = |input: &mut Bytes<'_>| {
        let wild = input.once_in(8);
        let number = |input: &mut Bytes<'_>, most: u32| {
            if wild { input.word() } else { input.up_to(most) }
        };
        FingerSegment {
            position: position(input.byte() % 16),
            bounds: Bounds {
                x: number(input, width).cast_signed(),
                y: number(input, height).cast_signed(),
                width: number(input, width),
                height: number(input, height),
            },
            angle_milli_deg: number(input, 60_000).cast_signed(),
            quality: (!input.once_in(8)).then(|| input.byte() % 110),
        }
    };
    FingerprintMeta {
        position: position(input.byte() % 16),
        segments: (0..count).map(|_index| segment(input)).collect(),
        pad_score: None,
        pad_attack: None,
    }
}

/// Turned rectangles of one colour or of stripes, and at last whatever is left, byte by byte.
fn draw(input: &mut Bytes<'_>, pixels: &mut [u8], stride: u32, depth: u32) {
    let (stride, depth) = (
        usize::try_from(stride).expect("small"),
        usize::try_from(depth).expect("small"),
    );
    for _shape in 0..input.byte() % 8 {
        let [x, y, half_width, half_height] = [(); 4].map(|()| f64::from(input.up_to(SIDE_MAX_PX)));
        let (sin, cos) = f64::from(input.byte()).to_radians().sin_cos();
        let (level, period) = (input.byte(), input.byte() % 16);
        for (row, line) in pixels.chunks_mut(stride).enumerate() {
            for (column, pixel) in line.chunks_mut(depth).enumerate() {
                let (dx, dy) = (count(column) - x, count(row) - y);
                let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
                let striped = period > 1 && (u + v).rem_euclid(f64::from(period)) * 2.0 < f64::from(period);
                if u.abs() <= half_width && v.abs() <= half_height && !striped {
                    pixel.fill(level);
                }
            }
        }
    }
    let rest = input.take(usize::MAX);
    if !rest.is_empty() && pixels.len() > rest.len() {
        let start = (pixels.len() - rest.len()) / 2;
        for (pixel, byte) in pixels.iter_mut().skip(start).zip(rest) {
            *pixel ^= *byte;
        }
    }
}

fn count(index: usize) -> f64 {
    f64::from(u32::try_from(index).expect("small"))
}

/// What is told of a frame must reach `recueild`: numbers only, no infinity.
fn told(criteria: &[Criterion]) {
    let written = serde_json::to_value(criteria).expect("criteria are written");
    let read: Vec<Criterion> = serde_json::from_value(written.clone()).expect("what is written is read");
    let again = serde_json::to_value(read).expect("criteria are written");
    assert!(same(&written, &again), "{written}");
}

fn refused<T: Debug>(result: Result<T, Refusal>) -> Option<T> {
    match result {
        Ok(good) => Some(good),
        Err(refusal) => {
            assert!(!refusal.guidance.is_empty(), "no refusal is without a reason");
            told(&refusal.criteria);
            None
        }
    }
}

/// Another's decoder reads what was encoded, as large as it was said to be.
fn readable(encoded: &Encoded, width: u32, height: u32) {
    let magic: &[u8] = match encoded.media_type {
        MediaType::Png => b"\x89PNG\r\n\x1a\n",
        MediaType::Jpeg => b"\xff\xd8\xff",
    };
    assert!(encoded.bytes.starts_with(magic));
    assert_eq!(
        recueil_virtual::fuzzing::portrait(&encoded.bytes),
        Some((width, height))
    );
    told(&encoded.criteria);
}

/// A slap.
pub fn fingerprint(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let profile = FingerprintProfile {
        ppi: 500,
        ppi_tolerance_percent: 1.0,
        preview_divisor: 2,
    };
    let codes = [13, 14, 1, 2, 6, 10];
    let asked = codes.get(usize::from(input.byte()) % codes.len()).copied();
    let asked = FingerPosition::try_from(asked.unwrap_or(13)).expect("a position");
    let missing: BTreeSet<_> = (0..input.byte() % 4)
        .filter_map(|_index| FingerPosition::try_from(input.byte() % 12).ok())
        .collect();
    let frame = frame(&mut input, &[500_000, 500_000, 499_000, 1_000_000, 0]);
    let Some(slap) = refused(fingerprint::assess(&frame, asked, &missing, &profile)) else {
        return;
    };
    super::reach("fingerprint");
    assert!(slap.prints.len() <= 4);
    for print in &slap.prints {
        assert!(print.quality <= 100 && print.ridge_area_percent.is_finite());
        assert!(!missing.contains(&print.position));
        let (width, height) = (print.picture.width(), print.picture.height());
        assert!(
            width <= 2 * SIDE_MAX_PX && height <= 2 * SIDE_MAX_PX,
            "no larger than the frame"
        );
        readable(
            &fingerprint::encode(print).expect("a print is encoded"),
            width,
            height,
        );
    }
}

/// A printed photo on the glass.
pub fn face(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let profile = PhotoProfile {
        print_width_mm: 35.0,
        print_height_mm: 45.0,
        tolerance_mm: 1.0,
        width_px: 31,
        height_px: 40,
        ppi_min: 50,
        tilt_max_deg: 15.0,
    };
    let frame = frame(&mut input, &[75_000, 100_000, 120_000, 60_000, 2_400_000, 0]);
    let Some(photo) = refused(face::find_print(&frame, &profile)) else {
        return;
    };
    super::reach("face");
    assert_eq!((photo.picture.width(), photo.picture.height()), (31, 40));
    assert!(photo.corners.iter().all(|(x, y)| x.is_finite() && y.is_finite()));
    assert!((1..=2400).contains(&photo.ppi));
    told(&photo.criteria);
    readable(&face::encode(&photo).expect("a photo is encoded"), 31, 40);
}

/// A side of a paper.
pub fn document(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let profile = PageProfile {
        jpeg_quality: 1 + input.byte() % 100,
    };
    let frame = frame(&mut input, &[100_000, 300_000, 1000, 65_535_000, 0]);
    let Some(page) = refused(document::page(&frame, &profile)) else {
        return;
    };
    super::reach("document");
    assert_eq!((page.width, page.height), (frame.info.width, frame.info.height));
    told(&page.criteria);
    readable(
        &document::encode(&page).expect("a page is encoded"),
        page.width,
        page.height,
    );
}

/// A signature on a sheet.
pub fn signature(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let profile = SignatureProfile {
        ink_min_permille: 0.5,
    };
    let frame = frame(&mut input, &[100_000, 300_000, 1000, 4_000_000_000, 0]);
    let Some(signature) = refused(signature::extract(&frame, &profile)) else {
        return;
    };
    super::reach("signature");
    let (width, height) = (signature.picture.width(), signature.picture.height());
    assert!(width <= frame.info.width && height <= frame.info.height);
    told(&signature.criteria);
    readable(
        &signature::encode(&signature).expect("a signature is encoded"),
        width,
        height,
    );
}

/// What a client is shown.
pub fn preview(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let divisor = input.word() >> (input.byte() % 32);
    let frame = frame(&mut input, &[500_000]);
    let header = [7; 32];
    let mut bytes = Zeroizing::new(header.to_vec());
    let Some(shown) = preview::reduce_into(&frame, divisor, &mut bytes) else {
        return;
    };
    super::reach("preview");
    assert!((1..=frame.info.width).contains(&shown.width));
    assert!((1..=frame.info.height).contains(&shown.height));
    let pixels = bytes.strip_prefix(&header).expect("what was there stays");
    if let Some(depth) = shown.format.bytes_per_pixel() {
        let len = u64::from(shown.width) * u64::from(shown.height) * u64::from(depth);
        assert_eq!(u64::try_from(pixels.len()), Ok(len));
    }
}

/// A page with whatever is on it, looked through for a code.
pub fn barcode(bytes: &[u8]) {
    tolerate_rxing();
    let mut input = Bytes(bytes);
    let frame = frame(&mut input, &[150_000, 300_000, 75_000, 0]);
    super::reach("barcode");
    if let Some(number) = barcode::pre_demande(&frame) {
        assert_eq!(String::from(number).len(), 10);
    }
}

/// A text in a code that another's encoder draws: what is read of it is what the text says.
pub fn qr_text(bytes: &[u8]) {
    /// Pixels a module, and modules of white around.
    const MODULE: u32 = 4;
    const QUIET: u32 = 4;
    tolerate_rxing();
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(code) = QrCode::new(text.as_bytes()) else {
        return;
    };
    let modules = u32::try_from(code.width()).expect("at most 177");
    if modules > 61 {
        return;
    }
    let colors = code.to_colors();
    let side = (modules + 2 * QUIET) * MODULE;
    let dark = |x: u32, y: u32| {
        let module = |place: u32| {
            (place / MODULE)
                .checked_sub(QUIET)
                .filter(|module| *module < modules)
        };
        module(x)
            .zip(module(y))
            .and_then(|(x, y)| colors.get(usize::try_from(y * modules + x).ok()?))
            .is_some_and(|color| *color == qrcode::Color::Dark)
    };
    let pixels = (0..side).flat_map(|y| (0..side).map(move |x| (x, y)));
    let pixels: Vec<u8> = pixels.map(|(x, y)| if dark(x, y) { 0 } else { 255 }).collect();
    let frame = Frame {
        info: FrameInfo {
            kind: FrameKind::Result,
            format: PixelFormat::Gray8,
            width: side,
            height: side,
            stride: side,
            used: u64::from(side) * u64::from(side),
            ppi_x_milli: 150_000,
            ppi_y_milli: 150_000,
            sequence: 0,
            page: 1,
            time_ns: 1,
            fingerprint: None,
        },
        pixels: Zeroizing::new(pixels),
    };
    let read = barcode::pre_demande(&frame);
    let said = PreDemandeNumber::find_in(text).ok();
    if read.is_some() {
        super::reach("qr-text");
    }
    // A code may fail to be read, and bytes beyond ASCII may come back in another alphabet; a number that nobody
    // wrote may not come.
    if text.is_ascii() {
        assert!(read.is_none() || read == said, "{read:?} of {text:?}");
    }
}

/// A panic in rxing is caught by the product and means that there is no code. libFuzzer would end at it.
fn tolerate_rxing() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let in_rxing = panic
                .location()
                .is_some_and(|location| location.file().contains("/rxing-"));
            if !in_rxing {
                before(panic);
            }
        }));
    });
}
