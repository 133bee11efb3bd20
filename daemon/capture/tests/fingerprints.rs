//! Slaps by the virtual reader, and lies that a device might tell.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test may fail and print as it does"
)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use recueil_capture::{FingerprintProfile, Profile, Refusal, fingerprint};
use recueil_dossier::{
    Bounds, FingerPosition, FingerSegment, FingerprintMeta, Frame, FrameInfo, FrameKind, Guidance,
    PixelFormat,
};
use recueil_virtual::compose::hand::{self, Laid, Quality};
use recueil_virtual::images::Images;
use zeroize::Zeroizing;

const RIGHT: [u8; 4] = [2, 3, 4, 5];
const LEFT: [u8; 4] = [7, 8, 9, 10];
const RIGHT_SLAP: FingerPosition = FingerPosition::RIGHT_SLAP;
const LEFT_SLAP: FingerPosition = FingerPosition::LEFT_SLAP;

fn profile() -> FingerprintProfile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml"))
        .unwrap()
        .fingerprint
}

fn position(code: u8) -> FingerPosition {
    FingerPosition::try_from(code).unwrap()
}

fn gray(width: u32, height: u32, pixels: Vec<u8>, segments: Vec<FingerSegment>) -> Frame {
    Frame {
        info: FrameInfo {
            kind: FrameKind::Result,
            format: PixelFormat::Gray8,
            width,
            height,
            stride: width,
            used: u64::try_from(pixels.len()).unwrap(),
            ppi_x_milli: 500_000,
            ppi_y_milli: 500_000,
            sequence: 0,
            page: 0,
            time_ns: 0,
            fingerprint: Some(FingerprintMeta {
                segments,
                ..FingerprintMeta::default()
            }),
        },
        pixels: Zeroizing::new(pixels),
    }
}

/// What the virtual reader gives when these fingers are laid on it.
fn laid(fingers: &[u8], quality: Quality) -> Frame {
    let hands = Images::fixtures().unwrap().hands;
    let slap = hand::lay(
        &hands,
        &Laid {
            fingers,
            seed: 11,
            quality,
        },
    );
    let segments = slap.segments.iter().map(|segment| FingerSegment {
        position: Some(position(segment.position)),
        bounds: Bounds {
            x: segment.x,
            y: segment.y,
            width: segment.width,
            height: segment.height,
        },
        angle_milli_deg: segment.angle_milli_deg,
        quality: segment.quality,
    });
    let segments = segments.collect();
    gray(
        slap.picture.width,
        slap.picture.height,
        slap.picture.pixels,
        segments,
    )
}

fn assess(frame: &Frame, asked: FingerPosition, missing: &[u8]) -> Result<fingerprint::Slap, Refusal> {
    let missing: BTreeSet<_> = missing.iter().map(|code| position(*code)).collect();
    fingerprint::assess(frame, asked, &missing, &profile())
}

fn reasons(frame: &Frame, asked: FingerPosition, missing: &[u8]) -> Vec<Guidance> {
    assess(frame, asked, missing).unwrap_err().guidance
}

/// A good right hand whose frame is changed in one way.
fn refused(change: impl FnOnce(&mut Frame)) -> Refusal {
    let mut frame = laid(&RIGHT, Quality::Good);
    change(&mut frame);
    assess(&frame, RIGHT_SLAP, &[]).unwrap_err()
}

fn segments(frame: &mut Frame) -> &mut Vec<FingerSegment> {
    &mut frame.info.fingerprint.as_mut().unwrap().segments
}

/// As a device does that finds fingers and does not say which.
fn unname(frame: &mut Frame) {
    for segment in segments(frame) {
        segment.position = None;
    }
}

fn fails(refusal: &Refusal, code: &str) -> bool {
    refusal
        .criteria
        .iter()
        .any(|criterion| criterion.code == code && !criterion.pass)
}

#[test]
fn a_slap_gives_its_four_fingers_upright() {
    for (asked, fingers) in [(RIGHT_SLAP, RIGHT), (LEFT_SLAP, LEFT)] {
        let slap = assess(&laid(&fingers, Quality::Good), asked, &[]).unwrap();
        let found: Vec<u8> = slap.prints.iter().map(|print| print.position.code()).collect();
        assert_eq!(found, fingers, "in the order of positions");
        for print in &slap.prints {
            assert!(print.quality >= 50 && print.ppi == 500);
            let size = (print.picture.width(), print.picture.height());
            assert_eq!(size, (print.bounds.width, print.bounds.height), "never enlarged");
            let ink = print.picture.bytes().iter().filter(|level| **level < 170).count();
            assert!(ink * 5 > print.picture.bytes().len(), "ridges fill the box");
        }
    }
}

#[test]
fn missing_and_surplus_fingers_are_counted() {
    let three = laid(&[2, 3, 5], Quality::Good);
    let refusal = assess(&three, RIGHT_SLAP, &[]).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::FingersMissing]);
    assert_eq!(refusal.value("fingers-found"), Some(3.0));
    assert_eq!(
        assess(&three, RIGHT_SLAP, &[4]).unwrap().prints.len(),
        3,
        "it was said before"
    );
    let four = laid(&RIGHT, Quality::Good);
    assert!(reasons(&four, RIGHT_SLAP, &[4]).contains(&Guidance::TooManyObjects));
    let none = laid(&[], Quality::Good);
    assert_eq!(reasons(&none, RIGHT_SLAP, &[]), [Guidance::FingersMissing]);
}

#[test]
fn one_finger_may_be_asked() {
    let one = laid(&[7], Quality::Good);
    assert_eq!(
        assess(&one, position(7), &[]).unwrap().prints[0].position,
        position(7)
    );
    assert_eq!(reasons(&one, position(8), &[]), [Guidance::TryAgain]);
}

#[test]
fn the_other_hand_is_refused() {
    let left = laid(&LEFT, Quality::Good);
    assert!(reasons(&left, RIGHT_SLAP, &[]).contains(&Guidance::WrongHand));
    let mut unnamed = left;
    unname(&mut unnamed);
    unnamed.info.fingerprint.as_mut().unwrap().position = Some(LEFT_SLAP);
    assert_eq!(reasons(&unnamed, RIGHT_SLAP, &[]), [Guidance::WrongHand]);
}

#[test]
fn fingers_without_names_are_named_by_their_order_on_the_glass() {
    for (asked, fingers) in [(RIGHT_SLAP, RIGHT), (LEFT_SLAP, LEFT)] {
        let named = laid(&fingers, Quality::Good);
        let mut unnamed = laid(&fingers, Quality::Good);
        unname(&mut unnamed);
        segments(&mut unnamed).reverse();
        let places = |frame| {
            let slap: fingerprint::Slap = assess(frame, asked, &[]).unwrap();
            slap.prints
                .iter()
                .map(|print| (print.position, print.bounds))
                .collect::<Vec<_>>()
        };
        assert_eq!(places(&unnamed), places(&named));
    }
    let contradicted = refused(|frame| {
        segments(frame)[0].position = None;
        segments(frame).swap(0, 3);
        let bounds = segments(frame)[1].bounds;
        segments(frame)[1].bounds = segments(frame)[2].bounds;
        segments(frame)[2].bounds = bounds;
    });
    assert!(fails(&contradicted, "positions-against-order"));
}

#[test]
fn what_a_device_says_is_checked() {
    let refusal = refused(|frame| frame.info.ppi_y_milli = 506_000);
    assert!(fails(&refusal, "ppi-deviation-percent"));
    assert_eq!(refusal.guidance, [Guidance::DeviceUnsuitable]);
    let refusal = refused(|frame| frame.info.ppi_x_milli = 0);
    assert!(fails(&refusal, "ppi-deviation-percent"), "unknown is not right");
    let refusal = refused(|frame| frame.info.fingerprint = None);
    assert!(fails(&refusal, "no-device-segments"));
    let refusal = refused(|frame| segments(frame)[1].quality = None);
    assert!(fails(&refusal, "no-device-quality"));
    let refusal = refused(|frame| segments(frame)[1].quality = Some(255));
    assert!(fails(&refusal, "no-device-quality"));
    let refusal = refused(|frame| segments(frame)[2].angle_milli_deg = 45_001);
    assert!(fails(&refusal, "segment-angle-deg"));
    let refusal = refused(|frame| segments(frame)[2].angle_milli_deg = i32::MIN);
    assert!(fails(&refusal, "segment-angle-deg"));
    let refusal = refused(|frame| segments(frame)[0].bounds.x = -200);
    assert!(fails(&refusal, "segment-inside-percent"));
    let refusal = refused(|frame| segments(frame)[0].bounds.width = u32::MAX);
    assert!(fails(&refusal, "segment-inside-percent"));
    let refusal = refused(|frame| segments(frame)[0].bounds.height = 20);
    assert!(fails(&refusal, "segment-side-px"));
    let refusal = refused(|frame| segments(frame)[3].position = Some(position(2)));
    assert!(fails(&refusal, "positions-given-twice"));
    let refusal = refused(|frame| segments(frame)[1].bounds = segments(frame)[0].bounds);
    assert!(fails(&refusal, "segments-overlap-percent"));
    let refusal = refused(|frame| segments(frame)[0].position = Some(position(1)));
    assert!(
        fails(&refusal, "fingers-not-asked"),
        "a thumb is none of the four"
    );
    let refusal = refused(|frame| frame.info.used -= 1);
    assert_eq!(
        refusal.guidance,
        [Guidance::DeviceUnsuitable],
        "rows that are not there"
    );
}

#[test]
fn a_colour_picture_is_refused() {
    let refusal = refused(|frame| {
        frame.info.format = PixelFormat::Rgb24;
        frame.info.width = 500;
    });
    assert!(fails(&refusal, "bytes-per-pixel"));
}

#[test]
fn a_box_without_ridges_is_refused() {
    let refusal = refused(|frame| {
        let noise = (0_u8..251)
            .cycle()
            .map(|place| 225 + place.wrapping_mul(181) % 16);
        let len = frame.pixels.len();
        frame.pixels = Zeroizing::new(noise.take(len).collect());
    });
    assert!(fails(&refusal, "ridge-area-percent"));
    assert_eq!(refusal.guidance, [Guidance::QualityLow]);
}

#[test]
fn the_quality_of_a_poor_print_is_passed_on() {
    match assess(&laid(&RIGHT, Quality::Poor), RIGHT_SLAP, &[]) {
        Ok(slap) => assert!(slap.prints.iter().all(|print| print.quality < 20)),
        Err(refusal) => assert_eq!(refusal.guidance, [Guidance::QualityLow]),
    }
}

/// Stripes of nine pixels, turned clockwise by an angle about the middle of the frame.
fn stripes(turn_deg: f64) -> Vec<u8> {
    let (sin, cos) = turn_deg.to_radians().sin_cos();
    let middle = 199.5;
    (0..400 * 400)
        .map(|at| {
            let (x, y) = (f64::from(at % 400) - middle, f64::from(at / 400) - middle);
            let across = x * cos + y * sin;
            let level = 128.0 + 100.0 * (across / 9.0 * std::f64::consts::TAU).sin();
            format!("{level:.0}").parse().unwrap()
        })
        .collect()
}

#[test]
fn a_turned_box_is_turned_back_about_its_centre() {
    let bounds = Bounds {
        x: 120,
        y: 100,
        width: 160,
        height: 200,
    };
    let crop = |turn_deg: f64, angle_milli_deg| {
        let segment = FingerSegment {
            position: None,
            bounds,
            angle_milli_deg,
            quality: Some(80),
        };
        let frame = gray(400, 400, stripes(turn_deg), vec![segment]);
        assess(&frame, position(2), &[]).unwrap().prints.remove(0)
    };
    let straight = crop(0.0, 0);
    for (turn_deg, milli) in [(20.0, 20_000), (-33.5, -33_500), (45.0, 45_000)] {
        let turned = crop(turn_deg, milli);
        let pairs = turned.picture.bytes().iter().zip(straight.picture.bytes());
        let worst = pairs.map(|(a, b)| a.abs_diff(*b)).max();
        // Interpolation flattens stripes of nine pixels by a few levels.
        assert!(worst < Some(16), "{turn_deg}°: {worst:?}");
    }
}

#[test]
fn what_reaches_out_of_the_frame_is_padded_with_white() {
    let bounds = Bounds {
        x: -10,
        y: 100,
        width: 160,
        height: 200,
    };
    let segment = FingerSegment {
        position: None,
        bounds,
        angle_milli_deg: 0,
        quality: Some(80),
    };
    let frame = gray(400, 400, stripes(0.0), vec![segment]);
    let print = assess(&frame, position(2), &[]).unwrap().prints.remove(0);
    let row = &print.picture.bytes()[..160];
    assert!(row[..10].iter().all(|level| *level == 255));
    assert_eq!(row[10..], frame.pixels[400 * 100..][..150]);
}

/// A reader of PNG that is nobody's encoder: Python's zlib, and the format as ISO/IEC 15948 writes it.
const READ_PNG: &str = r"
import struct, sys, zlib
data = sys.stdin.buffer.read()
assert data[:8] == b'\x89PNG\r\n\x1a\n'
at, chunks = 8, {}
while at < len(data):
    length, kind = struct.unpack('>I4s', data[at:at + 8])
    body = data[at + 8:at + 8 + length]
    assert struct.unpack('>I', data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body)
    chunks[kind] = chunks.get(kind, b'') + body
    at += 12 + length
width, height, depth, color, _, _, interlaced = struct.unpack('>IIBBBBB', chunks[b'IHDR'])
assert (depth, interlaced) == (8, 0) and color in (0, 2)
bpp = 3 if color == 2 else 1
raw, above = zlib.decompress(chunks[b'IDAT']), bytes(width * bpp)
out = bytearray()
def paeth(a, b, c):
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
for y in range(height):
    kind, *line = raw[y * (width * bpp + 1):(y + 1) * (width * bpp + 1)]
    for x in range(len(line)):
        a = line[x - bpp] if x >= bpp else 0
        c = above[x - bpp] if x >= bpp else 0
        b = above[x]
        line[x] = (line[x] + [0, a, b, (a + b) // 2, paeth(a, b, c)][kind]) & 255
    out += bytes(line)
    above = line
print(width, height, color, *struct.unpack('>IIB', chunks[b'pHYs']), zlib.crc32(bytes(out)))
";

#[test]
fn another_reader_gets_the_same_pixels_and_the_density() {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let slap = assess(&laid(&RIGHT, Quality::Good), RIGHT_SLAP, &[]).unwrap();
    let print = &slap.prints[3];
    let file = fingerprint::encode(print).unwrap();
    let mut python = Command::new("python3")
        .args(["-c", READ_PNG])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(&file.bytes).unwrap();
    let said = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    let (width, height) = (print.picture.width(), print.picture.height());
    // 500 pixels an inch are 19685 a metre.
    let crc = crc32(print.picture.bytes());
    assert_eq!(said.trim(), format!("{width} {height} 0 19685 19685 1 {crc}"));
    assert!(
        file.criteria
            .iter()
            .any(|criterion| criterion.code == "device-quality")
    );
}

/// The checksum of ISO/IEC 15948, annex D.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _bit| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

proptest! {
    /// Whatever boxes a device sends, the answer is prints of exactly the fingers asked, or a reason.
    #[test]
    fn no_box_breaks_it(
        boxes in prop::collection::vec(
            (any::<i32>(), -300..700_i32, 0..600_u32, any::<u32>(), any::<i32>(), any::<Option<u8>>(), 0..12_u8, any::<bool>()),
            0..16,
        ),
    ) {
        let segments = boxes.into_iter().map(|(far, near, width, height, turn, quality, code, sane)| FingerSegment {
            position: FingerPosition::try_from(code).ok(),
            bounds: if sane {
                Bounds { x: near, y: near / 2, width, height: height % 400 }
            } else {
                Bounds { x: far, y: near, width: height, height: width }
            },
            angle_milli_deg: if sane { turn % 50_000 } else { turn },
            quality,
        });
        let frame = gray(400, 400, stripes(10.0), segments.collect());
        match assess(&frame, RIGHT_SLAP, &[]) {
            Ok(slap) => prop_assert_eq!(slap.prints.len(), 4),
            Err(refusal) => {
                prop_assert!(!refusal.guidance.is_empty());
                prop_assert!(refusal.criteria.iter().any(|criterion| !criterion.pass));
            }
        }
    }
}
