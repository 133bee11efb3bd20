//! What composed pictures promise: the same for the same seed, and true about themselves.

use recueil_plugin_simulator::protocol::{Area, Format};
use recueil_virtual::compose::hand::{self, Laid, Quality};
use recueil_virtual::compose::page::{self, Page};
use recueil_virtual::compose::photo::{self, Count, Lid, Print, Variant};
use recueil_virtual::compose::{Glass, Picture};
use recueil_virtual::images::Images;

const RIGHT: [u8; 4] = [2, 3, 4, 5];
const LEFT: [u8; 4] = [7, 8, 9, 10];

fn laid(fingers: &[u8], seed: u64, quality: Quality) -> Laid<'_> {
    Laid {
        fingers,
        seed,
        quality,
    }
}

fn glass(ppi: u32, area: Area) -> Glass {
    Glass {
        area,
        ppi,
        format: Format::Gray8,
    }
}

fn dark(picture: &Picture) -> impl Fn(i64, i64) -> bool {
    let width = i64::from(picture.width);
    move |x, y| usize::try_from(y * width + x).is_ok_and(|place| picture.pixels[place] < 170)
}

#[test]
fn the_same_seed_gives_the_same_pixels_and_another_seed_does_not() {
    let images = Images::fixtures().unwrap();
    let slap = |seed| hand::lay(&images.hands, &laid(&RIGHT, seed, Quality::Good)).picture;
    assert_eq!(slap(1), slap(1));
    assert_ne!(slap(1), slap(2));

    let portrait = images.portrait(None).unwrap();
    let small = Glass {
        ppi: 150,
        ..photo::GLASS
    };
    let scan = |seed| photo::scan_photo(portrait, seed, &Variant::default(), &small).picture;
    assert_eq!(scan(1), scan(1));
    assert_ne!(scan(1), scan(2));
}

#[test]
fn segments_name_the_fingers_from_left_to_right_and_hold_all_their_ridges() {
    let images = Images::fixtures().unwrap();
    for (seed, (fingers, from_left)) in [
        (RIGHT, [2, 3, 4, 5]),
        (LEFT, [10, 9, 8, 7]),
        (RIGHT, [2, 3, 4, 5]),
        (LEFT, [10, 9, 8, 7]),
    ]
    .into_iter()
    .enumerate()
    {
        let slap = hand::lay(
            &images.hands,
            &laid(&fingers, u64::try_from(seed).unwrap(), Quality::Good),
        );
        let positions: Vec<u8> = slap.segments.iter().map(|segment| segment.position).collect();
        assert_eq!(positions, from_left);

        // Each dark pixel lies in exactly one turned box, and each box is well filled.
        let is_dark = dark(&slap.picture);
        let mut ridges = [0_u32; 4];
        for y in 0..i64::from(slap.picture.height) {
            for x in 0..i64::from(slap.picture.width) {
                if !is_dark(x, y) {
                    continue;
                }
                let owners: Vec<usize> = (0..4)
                    .filter(|index| {
                        let segment = slap.segments[*index];
                        let (w, h) = (f64::from(segment.width), f64::from(segment.height));
                        let dx = f64::from(i32::try_from(x).unwrap()) + 0.5 - f64::from(segment.x) - w / 2.0;
                        let dy = f64::from(i32::try_from(y).unwrap()) + 0.5 - f64::from(segment.y) - h / 2.0;
                        let turn = f64::from(segment.angle_milli_deg).to_radians() / 1000.0;
                        let u = dx * turn.cos() + dy * turn.sin();
                        let v = dy * turn.cos() - dx * turn.sin();
                        u.abs() <= w / 2.0 + 1.0 && v.abs() <= h / 2.0 + 1.0
                    })
                    .collect();
                assert_eq!(owners.len(), 1, "pixel {x},{y} in {owners:?}");
                ridges[owners[0]] += 1;
            }
        }
        for (count, segment) in ridges.iter().zip(&slap.segments) {
            let share = f64::from(*count) / f64::from(segment.width * segment.height);
            assert!((0.2..0.7).contains(&share), "{share} of {segment:?} is dark");
            let right = segment.x + i32::try_from(segment.width).unwrap();
            assert!(segment.x > 0 && right < 1600, "{segment:?} lies on the platen");
        }
    }
}

#[test]
fn one_finger_less_moves_none_of_the_others() {
    let images = Images::fixtures().unwrap();
    let boxes = |fingers: &[u8]| {
        let slap = hand::lay(&images.hands, &laid(fingers, 5, Quality::Good));
        let segments = slap.segments.into_iter();
        segments
            .map(|segment| (segment.position, segment.x, segment.y, segment.angle_milli_deg))
            .collect::<Vec<_>>()
    };
    let all = boxes(&RIGHT);
    assert_eq!(boxes(&[2, 3, 5]), [all[0], all[1], all[3]]);
    assert_eq!(boxes(&[]), []);
}

#[test]
fn a_poor_contact_is_paler_and_the_device_says_so() {
    let images = Images::fixtures().unwrap();
    let measure = |quality| {
        let slap = hand::lay(&images.hands, &laid(&RIGHT, 3, quality));
        let dark = slap.picture.pixels.iter().filter(|level| **level < 120).count();
        let worst = slap.segments.iter().filter_map(|segment| segment.quality).min();
        let best = slap.segments.iter().filter_map(|segment| segment.quality).max();
        (dark, worst.unwrap(), best.unwrap())
    };
    let (good_ink, good_worst, _) = measure(Quality::Good);
    let (poor_ink, _, poor_best) = measure(Quality::Poor);
    assert!(poor_ink * 10 < good_ink, "{poor_ink} of {good_ink}");
    assert!(poor_best < 20 && good_worst > 50);
}

#[test]
fn corners_are_where_the_print_ends() {
    let images = Images::fixtures().unwrap();
    let portrait = images.portrait(None).unwrap();
    for seed in 0..6 {
        let variant = Variant {
            lid: Lid::Dark,
            print: Print::Bordered,
            shadow: false,
            ..Variant::default()
        };
        let scan = photo::scan_photo(portrait, seed, &variant, &photo::GLASS);
        let gray = scan.picture.into_gray();
        let [top_left, top_right, bottom_right, bottom_left] = scan.corners[0];
        let middle = [0, 1].map(|axis| f64::midpoint(top_left[axis], bottom_right[axis]));
        let level = |[x, y]: [f64; 2]| {
            let (x, y) = (format!("{x:.0}"), format!("{y:.0}"));
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            gray.pixels[y * usize::try_from(gray.width).unwrap() + x]
        };
        for corner in [top_left, top_right, bottom_right, bottom_left] {
            let towards = |share: f64| {
                [
                    corner[0] + (middle[0] - corner[0]) * share,
                    corner[1] + (middle[1] - corner[1]) * share,
                ]
            };
            // 6 pixels inside is white border, 6 pixels outside dark lid.
            assert!(level(towards(6.0 / 673.0)) > 220, "seed {seed}, inside");
            assert!(level(towards(-6.0 / 673.0)) < 70, "seed {seed}, outside");
        }
        let side = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        assert!((side(top_left, top_right) - 35.0 / 25.4 * 600.0).abs() < 0.01);
        assert!((side(top_left, bottom_left) - 45.0 / 25.4 * 600.0).abs() < 0.01);
        let turn = (top_right[1] - top_left[1])
            .atan2(top_right[0] - top_left[0])
            .to_degrees();
        assert!(turn.abs() <= 15.0);
    }
}

#[test]
fn each_kind_of_the_series_has_the_prints_it_says() {
    let images = Images::fixtures().unwrap();
    let portrait = images.portrait(None).unwrap();
    let small = Glass {
        ppi: 75,
        ..photo::GLASS
    };
    for index in 0..20 {
        let variant = photo::series(index);
        let scan = photo::scan_photo(portrait, index, &variant, &small);
        let expected = match variant.count {
            Count::None => 0,
            Count::One => 1,
            Count::Two => 2,
        };
        assert_eq!(scan.corners.len(), expected);
        let (width, height) = (f64::from(scan.picture.width), f64::from(scan.picture.height));
        let whole = scan.corners.iter().flatten().all(|[x, y]| {
            let (x, y) = (*x, *y);
            (0.0..width).contains(&x) && (0.0..height).contains(&y)
        });
        assert_eq!(whole, variant.place == photo::Place::Anywhere);
    }
}

#[test]
fn a_part_of_the_glass_shows_the_same_as_the_whole() {
    let images = Images::fixtures().unwrap();
    let portrait = images.portrait(None).unwrap();
    let whole = photo::scan_photo(portrait, 4, &Variant::default(), &glass(254, photo::AREA));
    let part = Area {
        x_um: 10_000,
        y_um: 20_000,
        width_um: 60_000,
        height_um: 50_000,
    };
    let part = photo::scan_photo(portrait, 4, &Variant::default(), &glass(254, part));
    let [x, y] = whole.corners[0][0];
    let [part_x, part_y] = part.corners[0][0];
    assert!((x - part_x - 100.0).abs() < 1e-6 && (y - part_y - 200.0).abs() < 1e-6);
    // The lamp's slope is drawn over the part that is scanned, so levels may differ a little.
    let row = |picture: &Picture, x: usize, y: usize| {
        let width = usize::try_from(picture.width).unwrap();
        picture.pixels[y * width + x..y * width + x + 500].to_vec()
    };
    let pairs = row(&whole.picture, 100, 500)
        .into_iter()
        .zip(row(&part.picture, 0, 300));
    assert!(pairs.into_iter().all(|(whole, part)| whole.abs_diff(part) <= 6));
}

#[test]
fn an_a4_page_is_read_by_somebody_elses_decoder() {
    let text = "https://passeport.ants.gouv.fr/predemande?numero=ABCD123456";
    let page = Page {
        title: "RECAPITULATIF DE PRE-DEMANDE".into(),
        code: Some(text.into()),
    };
    for (ppi, size) in [(150, (1240, 1754)), (200, (1654, 2339)), (300, (2480, 3508))] {
        let picture = page::scan_page(9, &page, &glass(ppi, Glass::A4)).unwrap();
        assert_eq!((picture.width, picture.height), size);
        let found = rxing::helpers::detect_in_luma(
            picture.pixels,
            picture.width,
            picture.height,
            Some(rxing::BarcodeFormat::QR_CODE),
        );
        assert_eq!(found.unwrap().getText(), text, "at {ppi} ppi");
    }
}

#[test]
fn a_text_that_no_code_can_hold_is_refused() {
    let page = Page {
        title: String::new(),
        code: Some("x".repeat(4000)),
    };
    assert!(page::scan_page(1, &page, &glass(75, Glass::A4)).is_err());
}

#[test]
fn a_signature_is_ink_on_white_and_an_empty_glass_is_not() {
    let ink = |picture: &Picture| {
        let dark = picture.pixels.iter().filter(|level| **level < 128).count();
        1000 * dark / picture.pixels.len()
    };
    let glass = glass(150, Glass::A4);
    for seed in 0..8 {
        let permille = ink(&page::scan_signature(seed, &glass));
        assert!((2..12).contains(&permille), "{permille} of seed {seed}");
    }
    assert_eq!(ink(&page::scan_nothing(1, &glass)), 0);
}
