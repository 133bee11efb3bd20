//! Sixty scans by the virtual scanner: real portraits printed at 35×45 mm, on its glass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test may fail and print as it does"
)]

use std::fmt::Write;

use recueil_capture::{PhotoProfile, Profile, face};
use recueil_dossier::{Frame, FrameInfo, FrameKind, Guidance, PixelFormat};
use recueil_virtual::compose::Picture;
use recueil_virtual::compose::photo::{self, Count, Place, Print, Variant};
use recueil_virtual::images::Images;
use zeroize::Zeroizing;

/// The largest error of a corner, pixels at 600 ppi: half a millimetre.
const ERROR_MAX_PX: f64 = 12.0;

fn profile() -> PhotoProfile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml"))
        .unwrap()
        .photo
}

fn frame(picture: Picture) -> Frame {
    Frame {
        info: FrameInfo {
            kind: FrameKind::Result,
            format: PixelFormat::Rgb24,
            width: picture.width,
            height: picture.height,
            stride: picture.width * 3,
            used: u64::try_from(picture.pixels.len()).unwrap(),
            ppi_x_milli: 600_000,
            ppi_y_milli: 600_000,
            sequence: 0,
            page: 1,
            time_ns: 0,
            fingerprint: None,
        },
        pixels: Zeroizing::new(picture.pixels),
    }
}

/// The reason that must be among those given; none where the print must be found.
fn reason(variant: &Variant) -> Option<Guidance> {
    match (variant.count, variant.place, variant.print) {
        (Count::None, ..) => Some(Guidance::NoPrintFound),
        (Count::Two, ..) => Some(Guidance::SeveralPrints),
        (_, Place::CutOff, _) => Some(Guidance::PrintCutOff),
        (_, _, Print::NearWhite) => Some(Guidance::EdgeUnclear),
        _ => None,
    }
}

fn check(seeds: impl Iterator<Item = u64>) {
    let images = Images::fixtures().unwrap();
    let portraits: Vec<_> = images.portraits.values().collect();
    let profile = profile();
    let (mut table, mut wrong) = (String::new(), String::new());
    for seed in seeds {
        let variant = photo::series(seed);
        let portrait = portraits[usize::try_from(seed / 10).unwrap() % portraits.len()];
        let scan = photo::scan_photo(portrait, seed, &variant, &photo::GLASS);
        let kind = format!(
            "{:?} {:?} {:?} {:?}",
            variant.lid, variant.print, variant.count, variant.place
        );
        let frame = frame(scan.picture);
        let (said, right) = match face::find_print(&frame, &profile) {
            Ok(photo) => {
                // The composer counts from a pixel's corner, we from its middle.
                let off = |found: (f64, f64), truth: [f64; 2]| {
                    (found.0 + 0.5 - truth[0]).hypot(found.1 + 0.5 - truth[1])
                };
                let truth = scan.corners.first().copied().unwrap_or([[f64::INFINITY; 2]; 4]);
                let error = photo
                    .corners
                    .into_iter()
                    .zip(truth)
                    .map(|(f, t)| off(f, t))
                    .fold(0.0, f64::max);
                let single = scan.corners.len() == 1 && variant.place == Place::Anywhere;
                (format!("{error:.2} px"), single && error <= ERROR_MAX_PX)
            }
            Err(refusal) => {
                let right = reason(&variant).is_some_and(|reason| refusal.guidance.contains(&reason));
                (format!("{:?} {:?}", refusal.guidance, refusal.criteria), right)
            }
        };
        writeln!(table, "{seed:2} {kind:34} {said}").unwrap();
        if !right {
            writeln!(wrong, "{seed:2} {kind:34} {said}").unwrap();
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{wrong}");
}

// Two halves, so that the machine's cores share them.
#[test]
fn a_print_is_cut_right_or_refused_with_its_reason_even_seeds() {
    check((0..60).step_by(2));
}

#[test]
fn a_print_is_cut_right_or_refused_with_its_reason_odd_seeds() {
    check((1..60).step_by(2));
}
