//! Pages, codes and signatures on the virtual scanner's glass.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test may fail and print as it does"
)]

use recueil_capture::{Profile, barcode, document, preview, signature};
use recueil_dossier::{Frame, FrameInfo, FrameKind, Guidance, MediaType, PixelFormat};
use recueil_plugin_simulator::protocol::{Area, Format};
use recueil_virtual::compose::page::{self, Page};
use recueil_virtual::compose::{Glass, Picture};
use zeroize::Zeroizing;

const NUMBER: &str = "VALID12345";
/// Where the virtual signer signs.
const SIGNED: Area = Area {
    x_um: 0,
    y_um: 0,
    width_um: 105_000,
    height_um: 60_000,
};

fn profile() -> Profile {
    Profile::parse(include_str!("../../../config/profiles/cni.toml")).unwrap()
}

fn glass(ppi: u32, area: Area, format: Format) -> Glass {
    Glass { area, ppi, format }
}

fn frame(picture: Picture, ppi: u32) -> Frame {
    let (format, bytes) = match picture.format {
        Format::Gray8 => (PixelFormat::Gray8, 1),
        Format::Rgb24 => (PixelFormat::Rgb24, 3),
    };
    Frame {
        info: FrameInfo {
            kind: FrameKind::Result,
            format,
            width: picture.width,
            height: picture.height,
            stride: picture.width * bytes,
            used: u64::try_from(picture.pixels.len()).unwrap(),
            ppi_x_milli: ppi * 1000,
            ppi_y_milli: ppi * 1000,
            sequence: 0,
            page: 1,
            time_ns: 0,
            fingerprint: None,
        },
        pixels: Zeroizing::new(picture.pixels),
    }
}

fn scanned(seed: u64, code: Option<&str>, ppi: u32, format: Format) -> Frame {
    let page = Page {
        title: "RECAPITULATIF".to_owned(),
        code: code.map(str::to_owned),
    };
    let picture = page::scan_page(seed, &page, &glass(ppi, Glass::A4, format)).unwrap();
    frame(picture, ppi)
}

#[test]
fn a_page_becomes_a_jpeg_that_another_decoder_reads() {
    for (format, channels) in [(Format::Gray8, 1), (Format::Rgb24, 3)] {
        let scan = scanned(1, None, 150, format);
        let page = document::page(&scan, &profile().page).unwrap();
        let file = document::encode(&page).unwrap();
        assert_eq!((file.media_type, file.ppi), (MediaType::Jpeg, 150));
        // JFIF: version, unit "inch", density both ways (ITU-T T.871, 10.1).
        assert_eq!(file.bytes[6..11], *b"JFIF\0");
        assert_eq!(file.bytes[13..18], [1, 0, 150, 0, 150]);
        let read = image::load_from_memory(&file.bytes).unwrap();
        assert_eq!((read.width(), read.height()), (page.width, page.height));
        assert_eq!(read.color().channel_count(), channels);
        let off: u64 = read
            .as_bytes()
            .iter()
            .zip(scan.pixels.iter())
            .map(|(a, b)| u64::from(a.abs_diff(*b)))
            .sum();
        let mean = off / u64::try_from(scan.pixels.len()).unwrap();
        assert!(mean < 4, "mean error {mean}");
        assert!(file.bytes.len() * 4 < scan.pixels.len(), "and it is smaller");
    }
}

#[test]
fn a_side_with_nothing_on_it_is_refused() {
    let nothing = page::scan_nothing(3, &glass(150, Glass::A4, Format::Gray8));
    let refusal = document::page(&frame(nothing, 150), &profile().page).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::BlankPage]);
    assert!(refusal.value("content-permille") < Some(0.15));
}

#[test]
fn a_resolution_that_no_file_can_say_is_refused_before_the_page_is_accepted() {
    let mut scan = scanned(1, None, 150, Format::Gray8);
    let most = FrameInfo::PPI_MAX_MILLI;
    for (ppi_milli, accepted) in [(most, true), (most + 1, false), (u32::MAX, false)] {
        (scan.info.ppi_x_milli, scan.info.ppi_y_milli) = (ppi_milli, ppi_milli);
        match document::page(&scan, &profile().page) {
            Ok(page) => assert!(accepted && document::encode(&page).is_ok(), "{ppi_milli}"),
            Err(refusal) => {
                let reason = if accepted {
                    Guidance::BlankPage
                } else {
                    Guidance::DeviceUnsuitable
                };
                assert_eq!(refusal.guidance, [reason], "{ppi_milli}");
            }
        }
    }
}

#[test]
fn a_single_line_on_a_page_is_kept() {
    let mut scan = frame(page::scan_nothing(3, &glass(300, Glass::A4, Format::Gray8)), 300);
    // Forty strokes of 2 by 0.3 mm: one short line of print.
    let width = usize::try_from(scan.info.width).unwrap();
    for stroke in 0..40 {
        for row in 1700..1724 {
            let start = row * width + 400 + stroke * 25;
            scan.pixels[start..start + 4].fill(30);
        }
    }
    assert!(document::page(&scan, &profile().page).is_ok());
}

#[test]
fn a_frame_that_cannot_be_a_page_is_refused() {
    let mut unknown = scanned(1, None, 75, Format::Gray8);
    unknown.info.ppi_x_milli = 0;
    let refusal = document::page(&unknown, &profile().page).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::DeviceUnsuitable]);
    let mut short = scanned(1, None, 75, Format::Gray8);
    short.pixels = Zeroizing::new(vec![0; 100]);
    assert!(document::page(&short, &profile().page).is_err());
    assert!(signature::extract(&short, &profile().signature).is_err());
    assert_eq!(barcode::pre_demande(&short), None);
    assert!(preview::reduce_into(&short, 2, &mut Zeroizing::default()).is_none());
}

#[test]
fn the_number_is_read_from_a_page_at_any_usual_resolution() {
    let address = format!("https://predemande.example/cni/{NUMBER}");
    for (seed, ppi, format) in [
        (1, 300, Format::Gray8),
        (2, 300, Format::Rgb24),
        (3, 200, Format::Gray8),
    ] {
        for text in [NUMBER, &address] {
            let found = barcode::pre_demande(&scanned(seed, Some(text), ppi, format));
            assert_eq!(
                found.map(String::from).as_deref(),
                Some(NUMBER),
                "{ppi} ppi, {text}"
            );
        }
    }
}

#[test]
fn the_number_is_read_however_the_page_lies() {
    let mut scan = scanned(4, Some(NUMBER), 200, Format::Gray8);
    scan.pixels.reverse();
    assert!(barcode::pre_demande(&scan).is_some(), "upside down");
}

#[test]
fn a_code_that_is_not_a_number_gives_nothing() {
    for text in ["https://example.org/", "bonjour", "javascript://x/VALID12345"] {
        assert_eq!(
            barcode::pre_demande(&scanned(5, Some(text), 200, Format::Gray8)),
            None,
            "{text}"
        );
    }
    assert_eq!(
        barcode::pre_demande(&scanned(5, None, 200, Format::Gray8)),
        None,
        "no code"
    );
}

#[test]
fn a_signature_is_cut_out_with_a_margin() {
    for seed in 0..6 {
        let picture = page::scan_signature(seed, &glass(300, SIGNED, Format::Gray8));
        let scan = frame(picture, 300);
        let found = signature::extract(&scan, &profile().signature).unwrap();
        assert!(
            found.bounds.width > 500 && found.bounds.height > 100,
            "{:?}",
            found.bounds
        );
        let file = signature::encode(&found).unwrap();
        let read = image::load_from_memory(&file.bytes).unwrap().into_luma8();
        assert_eq!(
            (read.width(), read.height()),
            (found.bounds.width, found.bounds.height)
        );
        let dark = |x: u32, y: u32| read.get_pixel(x, y).0[0] < 150;
        let rim = (0..read.width()).any(|x| dark(x, 3) || dark(x, read.height() - 4))
            || (0..read.height()).any(|y| dark(3, y) || dark(read.width() - 4, y));
        assert!(!rim, "no ink within the margin");
        let ink = read.pixels().filter(|level| level.0[0] < 150).count();
        let all = scan.pixels.iter().filter(|level| **level < 150).count();
        assert!(ink * 100 >= all * 99, "{ink} of {all} dark pixels are inside");
    }
}

#[test]
fn a_signature_that_is_cut_by_the_scans_rim_is_refused() {
    let narrow = Area {
        width_um: 60_000,
        ..SIGNED
    };
    let scan = frame(page::scan_signature(1, &glass(300, narrow, Format::Gray8)), 300);
    let refusal = signature::extract(&scan, &profile().signature).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::PrintCutOff]);
    assert_eq!(refusal.value("ink-to-rim-px"), Some(0.0), "{refusal:?}");
}

#[test]
fn a_sheet_without_a_signature_is_refused() {
    let blank = frame(page::scan_nothing(1, &glass(300, SIGNED, Format::Rgb24)), 300);
    let refusal = signature::extract(&blank, &profile().signature).unwrap_err();
    assert_eq!(refusal.guidance, [Guidance::BlankPage]);
    assert_eq!(refusal.criteria[0].code, "ink-permille");
}

#[test]
fn a_preview_is_the_mean_of_what_it_stands_for() {
    let picture = Picture {
        width: 5,
        height: 3,
        format: Format::Rgb24,
        pixels: (0..45).map(|value| value * 5).collect(),
    };
    let mut shown = Zeroizing::new(b"header".to_vec());
    let preview = preview::reduce_into(&frame(picture, 100), 2, &mut shown).unwrap();
    assert_eq!(
        (preview.width, preview.height, preview.format),
        (2, 1, PixelFormat::Rgb24)
    );
    // Pixels 0, 1, 5 and 6 make the first: (0 + 15 + 75 + 90) / 4.
    assert_eq!(shown[..], *b"header\x2d\x32\x37\x4b\x50\x55");
}

#[test]
fn a_fingerprint_that_comes_as_jpeg_is_not_shown() {
    let picture = Picture {
        width: 4,
        height: 4,
        format: Format::Gray8,
        pixels: vec![7; 16],
    };
    let mut jpeg = frame(picture, 500);
    jpeg.info.format = PixelFormat::Jpeg;
    jpeg.info.stride = 0;
    let mut shown = Zeroizing::default();
    assert!(preview::reduce_into(&jpeg, 2, &mut shown).is_some());
    assert_eq!(shown[..], [7; 16], "a camera's passes as it came");
    jpeg.info.fingerprint = Some(recueil_dossier::FingerprintMeta::default());
    assert!(preview::reduce_into(&jpeg, 2, &mut shown).is_none());
}
