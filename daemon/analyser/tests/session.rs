//! A capture session, as `recueild` and the device host see it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the station played here is a test's helper"
)]

mod station;

use std::io::Read as _;

use recueil_dossier::{FingerPosition, FrameInfo, FrameKind, Guidance, MediaType, PixelFormat, sha256_hex};
use recueil_wire::analyser::{Assessment, FromAnalyser, Pick, PreviewHeader, Task, ToAnalyser};
use recueil_wire::frames::FromHost;
use recueil_wire::read_memory;

use station::{as_preview, begin, finger, frame_info, hello, slap, write};

const RIGHT: Option<FingerPosition> = Some(FingerPosition::RIGHT_SLAP);
const LEFT: Option<FingerPosition> = Some(FingerPosition::LEFT_SLAP);

#[test]
fn a_slap_becomes_fingers_and_the_chosen_ones_pictures() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    station.expect(1, RIGHT, &[]);
    station.submit(1, &info, &pixels);
    let Assessment::Fingers { fingers } = station.finish(1, 1) else {
        panic!()
    };
    let found: Vec<_> = fingers
        .iter()
        .map(|finger| (finger.position.code(), finger.quality))
        .collect();
    assert_eq!(found, [(2, 72), (3, 73), (4, 74), (5, 75)]);

    let picks = [3, 5].map(|code| Pick {
        req: 1,
        position: Some(finger(code)),
        result: 0,
    });
    for (expected, received) in picks.iter().zip(station.keep(&picks)) {
        let FromAnalyser::Kept {
            pick,
            media_type,
            len,
            sha256,
            ppi,
            criteria,
        } = received.message
        else {
            panic!()
        };
        assert_eq!((&pick, media_type, ppi), (expected, MediaType::Png, 500));
        assert!(criteria.iter().all(|criterion| criterion.pass));
        let record = read_memory(&received.fds[0], len, len).unwrap();
        assert_eq!(sha256_hex(&record), sha256);
        assert!(
            rustix::io::pwrite(&received.fds[0], b"x", 0).is_err(),
            "the record cannot be changed"
        );
        let picture = image::load_from_memory_with_format(&record, image::ImageFormat::Png)
            .unwrap()
            .into_luma8();
        assert_eq!(picture.dimensions(), (300, 400));
        let place = u32::from(pick.position.unwrap().code()) - 2;
        let column = picture
            .enumerate_pixels()
            .filter(|(x, ..)| *x == 7)
            .map(|(.., pixel)| pixel.0[0]);
        let source =
            (100..500).map(|y: u32| pixels[usize::try_from(y * 1600 + 50 + place * 380 + 7).unwrap()]);
        assert!(column.eq(source), "pixel for pixel what was captured");
    }
    station.tell(&ToAnalyser::End);
    assert!(station.wait().success());
}

#[test]
fn a_missing_finger_is_not_waited_for() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 5]);
    station.expect(1, RIGHT, &[4]);
    station.submit(1, &info, &pixels);
    assert!(matches!(station.finish(1, 1), Assessment::Fingers { fingers } if fingers.len() == 3));
    station.expect(2, RIGHT, &[]);
    station.submit(2, &info, &pixels);
    assert_eq!(refusal(station.finish(2, 1)), [Guidance::FingersMissing]);
}

#[test]
fn the_same_hand_twice_is_told_from_the_wrong_hand() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    station.expect(1, LEFT, &[]);
    station.submit(1, &info, &pixels);
    let first = refusal(station.finish(1, 1));
    assert!(
        first.contains(&Guidance::WrongHand) && !first.contains(&Guidance::SameHandTwice),
        "{first:?}"
    );
    station.expect(2, RIGHT, &[]);
    station.submit(2, &info, &pixels);
    assert!(matches!(station.finish(2, 1), Assessment::Fingers { .. }));
    station.expect(3, LEFT, &[]);
    station.submit(3, &info, &pixels);
    let third = refusal(station.finish(3, 1));
    assert!(
        third.contains(&Guidance::WrongHand) && third.contains(&Guidance::SameHandTwice),
        "{third:?}"
    );
}

#[test]
fn a_capture_without_a_picture_is_tried_again() {
    let station = begin(Task::Fingerprints);
    station.expect(1, RIGHT, &[]);
    assert_eq!(refusal(station.finish(1, 0)), [Guidance::TryAgain]);
}

#[test]
fn a_try_that_came_to_nothing_leaves_nothing_to_the_next() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 4]);
    station.expect(1, RIGHT, &[]);
    station.submit(1, &info, &pixels);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    station.expect(2, RIGHT, &[]);
    station.submit(2, &info, &pixels);
    assert!(matches!(station.finish(2, 1), Assessment::Fingers { fingers } if fingers.len() == 4));
}

#[test]
fn a_page_is_kept_as_it_lay_and_a_blank_one_is_told() {
    let mut station = begin(Task::Pages);
    let info = frame_info(FrameKind::Result, PixelFormat::Gray8, 800, 1100, 100);
    let blank = vec![245; 800 * 1100];
    let mut written = blank.clone();
    written
        .chunks_mut(800)
        .skip(200)
        .take(30)
        .for_each(|row| row[100..700].fill(20));
    station.expect(1, None, &[]);
    station.submit(1, &info, &written);
    let Assessment::Pages { pages } = station.finish(1, 1) else {
        panic!()
    };
    assert_eq!(
        (pages[0].width, pages[0].height, &pages[0].pre_demande),
        (800, 1100, &None)
    );
    let [kept] = &station.keep(&[Pick {
        req: 1,
        position: None,
        result: 0,
    }])[..] else {
        panic!()
    };
    let FromAnalyser::Kept {
        media_type, len, ppi, ..
    } = &kept.message
    else {
        panic!()
    };
    assert_eq!((*media_type, *ppi), (MediaType::Jpeg, 100));
    let record = read_memory(&kept.fds[0], *len, *len).unwrap();
    let picture = image::load_from_memory(&record).unwrap().into_luma8();
    assert!(picture.get_pixel(400, 215).0[0] < 60 && picture.get_pixel(400, 600).0[0] > 230);

    station.expect(2, None, &[]);
    station.submit(2, &info, &blank);
    assert_eq!(refusal(station.finish(2, 1)), [Guidance::BlankPage]);
}

#[test]
fn a_page_s_code_gives_its_number_and_nothing_else() {
    let code = qrcode::QrCode::new(b"https://example.org/MARTIN/suivi?numero=AB12CD34EF").unwrap();
    let modules: Vec<bool> = code
        .to_colors()
        .iter()
        .map(|color| *color == qrcode::Color::Dark)
        .collect();
    let info = frame_info(FrameKind::Result, PixelFormat::Gray8, 800, 1100, 150);
    let mut page = vec![245; 800 * 1100];
    for (place, _dark) in modules.iter().enumerate().filter(|(_place, dark)| **dark) {
        let (left, top) = (200 + place % code.width() * 6, 300 + place / code.width() * 6);
        page.chunks_mut(800)
            .skip(top)
            .take(6)
            .for_each(|row| row[left..left + 6].fill(10));
    }
    let mut station = begin(Task::Pages);
    station.expect(1, None, &[]);
    station.submit(1, &info, &page);
    let assessment = station.finish(1, 1);
    let Assessment::Pages { pages } = &assessment else {
        panic!()
    };
    assert_eq!(pages[0].pre_demande.as_ref().unwrap().to_string(), "AB12CD34EF");
    assert!(!format!("{assessment:?}").contains("MARTIN"));
}

#[test]
fn memory_is_zero_when_it_is_lent_again_and_when_the_session_ends() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    station.expect(1, RIGHT, &[]);
    for info in [info.clone(), as_preview(info, 1)] {
        let index = station.submit(1, &info, &pixels);
        let buffer = station.take_back(index);
        let bytes = read_memory(&buffer.memory, buffer.capacity, buffer.capacity).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{:?}", info.kind);
    }
    for buffer in &station.buffers {
        write(&buffer.memory, &pixels);
    }
    let (status, buffers) = station.hang_up();
    assert!(
        status.success(),
        "a recueild that is gone is an end like any other"
    );
    for buffer in buffers {
        let bytes = read_memory(&buffer.memory, buffer.capacity, buffer.capacity).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_reader_s_previews_come_in_order_at_half_size_with_guidance() {
    let mut station = begin(Task::Fingerprints);
    let mut client = station.attach_preview();
    station.expect(1, RIGHT, &[]);
    let guided = [
        (&[2_u8, 3][..], Guidance::FingersMissing, Some(2)),
        (&[2, 3, 4, 5], Guidance::Hold, None),
    ];
    for (sequence, (codes, expected, count)) in (0..).zip(guided) {
        let (info, pixels) = slap(codes);
        station.submit(1, &as_preview(info, sequence), &pixels);
        let heard = station.hear().message;
        let FromAnalyser::Guide { guidance, value, .. } = heard else {
            panic!("{heard:?}")
        };
        assert_eq!((guidance, value), (expected, count));
        let (header, picture) = next_preview(&mut client);
        assert_eq!(
            (header.width, header.height, header.format, header.sequence),
            (800, 300, 1, sequence)
        );
        assert_eq!(picture.len(), 800 * 300);
        assert_eq!(picture[0], 255);
        assert!(
            (40..=200).contains(&picture[60 * 800 + 100]),
            "a mean of ridges and valleys"
        );
    }
}

#[test]
fn a_client_that_does_not_read_loses_pictures_and_delays_nobody() {
    let mut station = begin(Task::Fingerprints);
    let mut client = station.attach_preview();
    station.expect(1, RIGHT, &[]);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    for sequence in 0..40 {
        let index = station.submit(1, &as_preview(info.clone(), sequence), &pixels);
        station.take_back(index);
    }
    station.submit(1, &info, &pixels);
    assert!(matches!(station.finish(1, 1), Assessment::Fingers { .. }));
    let shown: Vec<u32> = [(); 2].map(|()| next_preview(&mut client).0.sequence).to_vec();
    assert_eq!(shown, [0, 39], "the one on its way, then the newest");
}

#[test]
fn a_client_that_goes_away_is_forgotten() {
    let mut station = begin(Task::Fingerprints);
    drop(station.attach_preview());
    station.expect(1, RIGHT, &[]);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    for sequence in 0..3 {
        station.submit(1, &as_preview(info.clone(), sequence), &pixels);
    }
    let mut client = station.attach_preview();
    station.tell(&ToAnalyser::Expect {
        req: 2,
        position: RIGHT,
        missing: [].into(),
    });
    while !matches!(station.hear().message, FromAnalyser::Start { req: 2 }) {}
    station.submit(2, &as_preview(info.clone(), 7), &pixels);
    assert_eq!(next_preview(&mut client).0.sequence, 7);
}

#[test]
fn a_profile_other_than_the_one_announced_is_refused() {
    let mut station = hello();
    station.begin(Task::Fingerprints, &sha256_hex(b"another"));
    assert_eq!(station.failure(), "a profile other than the one announced");
}

#[test]
fn requests_out_of_order_are_refused_by_name() {
    let station = hello();
    station.tell(&ToAnalyser::Finished { req: 1, results: 0 });
    assert_eq!(
        station.failure(),
        "a request out of order: something before the beginning"
    );

    let station = begin(Task::Fingerprints);
    station.tell(&ToAnalyser::Keep {
        picks: vec![Pick {
            req: 1,
            position: None,
            result: 0,
        }],
    });
    assert_eq!(
        station.failure(),
        "a request out of order: a record of a try that was not accepted"
    );

    let station = begin(Task::Pages);
    station.tell(&ToAnalyser::Expect {
        req: 1,
        position: RIGHT,
        missing: [].into(),
    });
    assert!(
        station
            .failure()
            .starts_with("a request out of order: a position where none")
    );
}

#[test]
fn a_frame_that_lies_ends_the_session_by_name() {
    let check = |change: fn(&mut FrameInfo), expected: &str| {
        let station = begin(Task::Fingerprints);
        station.expect(1, RIGHT, &[]);
        let (mut info, pixels) = slap(&[2, 3, 4, 5]);
        change(&mut info);
        // The result's memory whatever the frame says of its kind.
        write(&station.buffers[0].memory, &pixels);
        station.say(&FromHost::Frame {
            req: 1,
            index: station.buffers[0].index,
            info,
        });
        assert_eq!(
            station.failure(),
            format!("a frame that is not as it says: {expected}")
        );
    };
    check(
        |info| info.used = station::RESULT_CAPACITY + 1,
        "more or fewer bytes than the frame's memory holds",
    );
    check(
        |info| info.width += 1,
        "rows that do not agree with the bytes used",
    );
    check(|info| info.height = u32::MAX, "a side of more than 32768 pixels");
    check(|info| info.width = 0, "an empty picture");
    check(
        |info| info.kind = FrameKind::Preview,
        "a preview in a result's memory, or the reverse",
    );
    let many = |info: &mut FrameInfo| {
        let meta = info.fingerprint.as_mut().unwrap();
        meta.segments = vec![meta.segments[0]; 17];
    };
    check(many, "more segments than hands have fingers");
}

#[test]
fn a_host_that_breaks_the_order_ends_the_session_by_name() {
    let (info, pixels) = slap(&[2, 3, 4, 5]);

    let mut station = begin(Task::Fingerprints);
    station.submit(1, &info, &pixels);
    assert_eq!(station.failure(), "a frame of another try", "before any try");

    let mut station = begin(Task::Fingerprints);
    station.expect(1, RIGHT, &[]);
    station.submit(7, &info, &pixels);
    assert_eq!(station.failure(), "a frame of another try");

    let station = begin(Task::Fingerprints);
    station.expect(1, RIGHT, &[]);
    station.say(&FromHost::Unused { index: 4 });
    assert_eq!(station.failure(), "a frame in memory that was not lent");

    let mut station = begin(Task::Fingerprints);
    station.expect(1, RIGHT, &[]);
    station.submit(1, &info, &pixels);
    station.tell(&ToAnalyser::Finished { req: 1, results: 2 });
    assert_eq!(station.failure(), "1 results of the 2 that were said");

    let mut station = begin(Task::Fingerprints);
    station.expect(1, RIGHT, &[]);
    for _result in 0..9 {
        station.submit(1, &info, &pixels);
    }
    assert_eq!(station.failure(), "more pictures than one session may hold");
}

#[test]
fn what_was_captured_outlives_the_device_host() {
    let mut station = begin(Task::Fingerprints);
    let (info, pixels) = slap(&[2, 3, 4, 5]);
    station.expect(1, RIGHT, &[]);
    let index = station.submit(1, &info, &pixels);
    station.take_back(index);
    station.host_goes();
    assert!(matches!(station.finish(1, 1), Assessment::Fingers { .. }));
    station.tell(&ToAnalyser::Expect {
        req: 2,
        position: RIGHT,
        missing: [].into(),
    });
    assert_eq!(station.failure(), "the device host is gone");
}

#[test]
fn it_leaves_no_core_dump() {
    let station = hello();
    let limits = station.limits();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(),
        ["0", "0"]
    );
}

#[test]
fn started_by_hand_it_says_why_not() {
    let program = env!("CARGO_BIN_EXE_recueil-analyser");
    let output = std::process::Command::new(program)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("started by the service that it belongs to")
    );
}

fn refusal(assessment: Assessment) -> Vec<Guidance> {
    match assessment {
        Assessment::Refused { guidance, .. } => guidance,
        other => panic!("{other:?}"),
    }
}

fn next_preview(client: &mut std::os::unix::net::UnixStream) -> (PreviewHeader, Vec<u8>) {
    let mut header = [0; PreviewHeader::LEN];
    client.read_exact(&mut header).unwrap();
    let header = PreviewHeader::decode(&header).unwrap();
    let mut picture = vec![0; usize::try_from(header.len).unwrap()];
    client.read_exact(&mut picture).unwrap();
    (header, picture)
}
