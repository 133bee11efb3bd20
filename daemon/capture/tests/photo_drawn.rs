//! Drawn scans that are harder than a scanner should give: a print is cut right, or refused; never wrong.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of a test may fail and print as it does"
)]

mod glass;

use std::fmt::Write;

use glass::{Glass, Print, Seeded, Shadow, corner_error};
use recueil_capture::{PhotoProfile, Profile, face};
use recueil_dossier::{Guidance, PixelFormat};

/// The largest error of a corner, pixels at 600 ppi: half a millimetre.
const ERROR_MAX_PX: f64 = 12.0;
const SEEDS: std::ops::Range<u64> = 0..8;

fn profile() -> PhotoProfile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml"))
        .unwrap()
        .photo
}

fn any_shadow(random: &mut Seeded) -> Shadow {
    Shadow {
        offset: (random.between(-1.2, 1.2), random.between(-1.2, 1.2)),
        blur_mm: random.between(0.15, 1.0),
        depth: random.between(0.1, 0.5),
    }
}

/// One print, the shadow of which is moved and blurred; `change` makes the kind.
fn check(must_be_found: bool, change: impl Fn(&mut Glass, &mut Seeded)) {
    let profile = profile();
    let (mut table, mut wrong) = (String::new(), 0);
    for seed in SEEDS {
        let mut random = Seeded(seed);
        let middle = (random.between(34.0, 56.0), random.between(34.0, 56.0));
        let print = Print::at(middle, random.between(-15.0, 15.0));
        let mut glass = Glass::with(vec![print], seed);
        glass.shadow = Some(any_shadow(&mut random));
        change(&mut glass, &mut random);
        // The last one drawn lies on top.
        let truth = glass.prints.last().unwrap().corners();
        let (said, right) = match face::find_print(&glass.scan(), &profile) {
            Ok(photo) => {
                let error = corner_error(&photo.corners, &truth);
                (format!("{error:.2} px"), error <= ERROR_MAX_PX)
            }
            Err(refusal) => (
                format!("{:?} {:?}", refusal.guidance, refusal.criteria),
                !must_be_found,
            ),
        };
        writeln!(table, "{seed} {said}").unwrap();
        wrong += u32::from(!right);
    }
    println!("{table}");
    assert_eq!(wrong, 0, "{table}");
}

#[test]
fn a_print_is_found_whatever_shadow_falls_beside_it() {
    check(true, |_glass, _random| {});
}

#[test]
fn a_print_without_a_shadow_is_found() {
    check(true, |glass, _random| glass.shadow = None);
}

#[test]
fn a_white_rim_is_found_on_a_dark_lid() {
    check(true, |glass, random| {
        glass.lid = [38.0, 37.0, 40.0];
        glass.prints[0].border_mm = random.between(0.3, 3.0);
    });
}

#[test]
fn a_print_may_be_a_little_larger_or_smaller() {
    check(true, |glass, random| {
        glass.prints[0].size_mm = (random.between(34.7, 36.4), random.between(44.7, 46.4));
    });
}

#[test]
fn a_white_rim_on_a_lid_of_the_same_white_is_never_cut_off() {
    check(false, |glass, random| {
        glass.lid = [249.0, 249.0, 247.0];
        glass.prints[0].border_mm = random.between(0.2, 1.2);
        if random.unit() < 0.6 {
            glass.shadow = None;
        }
        if random.unit() < 0.6 {
            glass.falloff = (0.0, 0.0);
        }
    });
}

#[test]
fn a_print_on_another_is_never_cut_along_the_other() {
    check(false, |glass, random| {
        let middle = glass.prints[0].middle;
        let aside = (
            middle.0 + random.between(-20.0, 20.0),
            middle.1 + random.between(-20.0, 20.0),
        );
        let mut under = Print::at(aside, random.between(-15.0, 15.0));
        under.background = [200.0, 200.0, 200.0];
        glass.prints.insert(0, under);
    });
}

fn refusal(glass: &Glass) -> Vec<Guidance> {
    face::find_print(&glass.scan(), &profile()).unwrap_err().guidance
}

#[test]
fn what_is_wrong_with_the_lay_is_named() {
    let straight = Print::at((45.0, 45.0), 0.0);
    let one = |print: Print| Glass::with(vec![print], 1);
    let turned = |deg: f64| Print {
        turn_deg: deg,
        ..straight.clone()
    };
    assert!(face::find_print(&one(turned(15.0)).scan(), &profile()).is_ok());
    assert_eq!(refusal(&one(turned(18.0))), [Guidance::PrintTilted]);
    assert!(refusal(&one(turned(90.0))).contains(&Guidance::PrintTilted));
    let large = Print {
        size_mm: (40.0, 50.0),
        ..straight.clone()
    };
    assert_eq!(refusal(&one(large)), [Guidance::PrintWrongSize]);
    let over = Print {
        middle: (16.5, 45.0),
        ..straight
    };
    assert_eq!(refusal(&one(over)), [Guidance::PrintCutOff]);
    assert_eq!(refusal(&Glass::with(Vec::new(), 1)), [Guidance::NoPrintFound]);
}

#[test]
fn a_scan_that_would_have_to_be_enlarged_is_refused() {
    let mut frame = Glass::with(vec![Print::at((45.0, 45.0), 3.0)], 1).scan();
    frame.info.ppi_x_milli = 300_000;
    frame.info.ppi_y_milli = 300_000;
    let refusal = face::find_print(&frame, &profile()).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::DeviceUnsuitable]);
    assert_eq!(refusal.value("scan-ppi"), Some(300.0));
    frame.info.ppi_x_milli = 600_000;
    frame.info.ppi_y_milli = 610_000;
    assert!(
        face::find_print(&frame, &profile()).is_err(),
        "not the same resolution both ways"
    );
}

#[test]
fn a_grey_scan_gives_the_same_corners_as_one_in_colour() {
    let color = Glass::with(vec![Print::at((45.0, 45.0), -6.0)], 2).scan();
    let mut gray = Glass::with(Vec::new(), 2).scan();
    gray.info.format = PixelFormat::Gray8;
    gray.info.stride = gray.info.width;
    let green = color.pixels.iter().skip(1).step_by(3).copied();
    gray.pixels = green.collect::<Vec<_>>().into();
    gray.info.used = u64::try_from(gray.pixels.len()).unwrap();
    let [color, gray] = [color, gray].map(|frame| face::find_print(&frame, &profile()).unwrap());
    assert!(corner_error(&color.corners, &gray.corners) < 2.0);
}

#[test]
fn the_picture_shows_the_print_straight_and_encodes_at_its_size() {
    let print = Print::at((45.0, 45.0), 11.0);
    let photo = face::find_print(&Glass::with(vec![print], 3).scan(), &profile()).unwrap();
    let file = face::encode(&photo).unwrap();
    let read = image::load_from_memory(&file.bytes).unwrap().into_rgb8();
    assert_eq!(read.dimensions(), (622, 800));
    // 622 pixels show 35 mm.
    assert!(file.ppi.abs_diff(451) <= 2, "{}", file.ppi);
    // The drawn eyes, 4 mm to each side of the middle and 2 mm above it.
    let dark = |x_mm: f64, y_mm: f64| {
        let place = |mm: f64| u32::try_from(rounded(mm * 622.0 / 35.0)).unwrap();
        read.get_pixel(place(17.5 + x_mm), place(22.5 + y_mm))
            .0
            .iter()
            .all(|level| *level < 70)
    };
    assert!(dark(-4.0, -2.0) && dark(4.0, -2.0), "eyes where they were drawn");
    assert!(!dark(0.0, -2.0), "and not between");
    let corner = read.get_pixel(2, 2).0;
    assert!(
        corner[2] > corner[0] + 20,
        "the background, not the lid, to the corner: {corner:?}"
    );
}

fn rounded(value: f64) -> i64 {
    format!("{value:.0}").parse().unwrap()
}
