//! The plugin, through the real C tables, on devices that are played in this process.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what fails in a helper fails the test"
)]

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use recueil_plugin::{
    Area, Event, Feedback, Finger, FingerprintParams, Fingers, Format, Kind, Led, Modalities, ScanParams,
    Status, Verdict, fake,
};
use recueil_plugin_simulator::RECUEIL_PLUGIN;
use recueil_plugin_simulator::protocol::{self, FromDevice};
use recueil_virtual::compose::Random;
use recueil_virtual::control::Bench;
use recueil_virtual::device::Device;
use recueil_virtual::images::Images;
use recueil_virtual::models;
use recueil_virtual::scenario::Until;

const PATIENCE: Duration = Duration::from_mins(1);

struct Table {
    _dir: tempfile::TempDir,
    bench: Bench,
}

impl Table {
    fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let images = Arc::new(Images::fixtures().unwrap());
        let device =
            |text: &&str| Device::new(models::parse(text).unwrap(), dir.path(), Arc::clone(&images), 1);
        let (bench, _quitting) = Bench::new(models::USUAL.iter().map(device).collect());
        for device in bench.devices() {
            device.plug().unwrap();
        }
        Self { _dir: dir, bench }
    }

    fn device(&self, model: &str) -> &Arc<Device> {
        let mut devices = self.bench.devices().iter();
        devices.find(|device| device.info().model == model).unwrap()
    }

    /// The connected socket, as hostd would hand it over.
    fn reference(&self, model: &str) -> fake::DeviceRef {
        let path = self.device(model).path();
        fake::DeviceRef {
            fd: Some(OwnedFd::from(UnixStream::connect(path).unwrap())),
            path: path.display().to_string(),
            ..fake::DeviceRef::default()
        }
    }

    fn next(&self, model: &str, presentation: &str) {
        let line = format!(r#"{{"command":"next","device":"{model}","presentations":[{presentation}]}}"#);
        let reply = self.bench.answer(&line);
        assert!(reply.ok, "{reply:?}");
    }
}

fn slap(position: Finger, missing: &[u32]) -> fake::CaptureRequest {
    fake::CaptureRequest::new(Modalities::FINGERPRINT).fingerprint(FingerprintParams {
        positions: [position].into_iter().collect(),
        missing: missing.iter().filter_map(|code| Finger::new(*code)).collect(),
        quality_min: 0,
    })
}

fn scan(ppi: u32, area: Option<Area>) -> fake::CaptureRequest {
    let mut request = fake::CaptureRequest::new(Modalities::SCANNER).scan(ScanParams {
        area,
        ..ScanParams::default()
    });
    request.params.ppi_milli = ppi * 1000;
    request.params.deadline = PATIENCE;
    request
}

/// Positions of the result's segments, and what the device took the whole for.
fn seen(outcome: &fake::Outcome) -> (Vec<u8>, Option<u8>) {
    assert_eq!(
        (outcome.status, &outcome.broken_rules),
        (Status::OK, &vec![]),
        "{:?}",
        outcome.failure
    );
    let [result] = outcome.results()[..] else {
        panic!("{} results", outcome.results().len())
    };
    let meta = result.meta.fingerprint.as_ref().unwrap();
    let positions = meta.segments.iter().filter_map(|segment| segment.position);
    (
        positions.map(Finger::code).collect(),
        meta.position.map(Finger::code),
    )
}

#[test]
fn devices_say_who_they_are_and_what_they_can() {
    let table = Table::set();
    let host = fake::Host::new();
    for (model, serial, modalities, size) in [
        ("fp4", "SN0001", Modalities::FINGERPRINT, (1600, 1500)),
        ("cam", "SN0002", Modalities::CAMERA, (1200, 1600)),
        ("flatbed", "SN0003", Modalities::SCANNER, (4961, 7016)),
    ] {
        let announced = host
            .probe(&RECUEIL_PLUGIN, &table.reference(model))
            .unwrap()
            .unwrap();
        assert_eq!(
            (announced.model.as_str(), announced.serial.as_str()),
            (model, serial)
        );
        let mut device = host.open(&RECUEIL_PLUGIN, table.reference(model)).unwrap();
        let info = device.info().unwrap();
        assert_eq!((info.modalities, info.serial.as_str()), (modalities, serial));
        let caps = device.caps().unwrap();
        assert_eq!((caps.width_max, caps.height_max), size);
    }
    assert_eq!(host.broken_rules(), Vec::<String>::new());
}

#[test]
fn a_right_hand_comes_with_previews_events_and_four_segments() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    let mut request = slap(Finger::RIGHT_SLAP, &[]);
    request.params.preview_fps = 50;
    let outcome = device.capture(&request);
    assert_eq!(seen(&outcome), (vec![2, 3, 4, 5], Some(13)));

    let result = outcome.results()[0];
    assert_eq!(
        (result.width, result.height, result.format),
        (1600, 1500, Format::GRAY8)
    );
    assert_eq!(result.pixels.len(), 1600 * 1500);
    assert_eq!(result.meta.ppi_x_milli, 500_000);
    let meta = result.meta.fingerprint.as_ref().unwrap();
    assert!(meta.segments.iter().all(|segment| segment.quality >= Some(58)));
    assert_eq!(meta.pad_verdict, Some(Verdict::Genuine));

    assert_eq!(outcome.previews().len(), 4);
    let sequences: Vec<u32> = outcome.frames.iter().map(|frame| frame.meta.sequence).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4]);
    let slap = Some(Finger::RIGHT_SLAP);
    let expected = [
        Event::Place(slap),
        Event::Fingers(4),
        Event::Hold,
        Event::Remove(slap),
    ];
    assert_eq!(outcome.events, expected);
}

#[test]
fn previews_are_left_out_when_nobody_reads_them() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    let mut request = slap(Finger::LEFT_SLAP, &[]);
    request.params.preview_fps = 50;
    request.previews_max = 1;
    let outcome = device.capture(&request);
    assert_eq!(seen(&outcome), (vec![10, 9, 8, 7], Some(14)));
    assert_eq!(outcome.previews().len(), 1);
    assert_eq!(
        outcome.results()[0].meta.sequence,
        4,
        "the gap tells of those left out"
    );
}

#[test]
fn a_scenario_decides_which_fingers_come_and_how() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    let mut capture = |presentation: &str, asked| {
        table.next("fp4", presentation);
        device.capture(&slap(asked, &[]))
    };
    let (right, left) = (Finger::RIGHT_SLAP, Finger::LEFT_SLAP);
    let three = capture(r#"{"without":["little"]}"#, right);
    assert_eq!(seen(&three), (vec![2, 3, 4], Some(13)), "three of four");
    assert_eq!(three.events[1], Event::Fingers(3));
    assert_eq!(
        seen(&capture(r#"{"hand":"other"}"#, right)),
        (vec![10, 9, 8, 7], Some(14)),
        "the wrong hand"
    );
    assert_eq!(seen(&capture("{}", right)), (vec![2, 3, 4, 5], Some(13)));
    assert_eq!(
        seen(&capture(r#"{"hand":"same"}"#, left)),
        (vec![2, 3, 4, 5], Some(13)),
        "the same hand twice"
    );
    let disguised = capture(r#"{"hand":"right","says":"asked"}"#, left);
    assert_eq!(
        seen(&disguised),
        (vec![7, 8, 9, 10], Some(14)),
        "the device is deceived"
    );

    let poor = capture(r#"{"quality":"poor"}"#, right);
    let meta = poor.results()[0].meta.fingerprint.clone().unwrap();
    assert!(meta.segments.iter().all(|segment| segment.quality < Some(20)));

    let early = capture(r#"{"lift":"early"}"#, right);
    assert!(early.events.contains(&Event::LiftedEarly));
    assert_eq!(seen(&early).1, Some(13), "the hand came back");

    let attack = capture(r#"{"attack":true}"#, right);
    let meta = attack.results()[0].meta.fingerprint.clone().unwrap();
    assert_eq!(meta.pad_verdict, Some(Verdict::Attack));
}

#[test]
fn missing_fingers_are_not_waited_for_and_a_single_finger_can_be_asked() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    assert_eq!(
        seen(&device.capture(&slap(Finger::LEFT_SLAP, &[8]))),
        (vec![10, 9, 7], Some(14))
    );
    let index = Finger::new(2).unwrap();
    assert_eq!(seen(&device.capture(&slap(index, &[]))), (vec![2], Some(2)));
}

#[test]
fn a_cancelled_capture_returns_at_once_and_the_line_stays_in_step() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    let mut request = slap(Finger::RIGHT_SLAP, &[]);
    request.params.preview_fps = 50;
    request.params.deadline = PATIENCE;
    for cancel in [
        fake::Cancel::AtOnce,
        fake::Cancel::At(Event::Place(Some(Finger::RIGHT_SLAP))),
        fake::Cancel::AtFrame(Kind::Preview),
        fake::Cancel::At(Event::Hold),
    ] {
        table.next("fp4", "{}");
        let begun = Instant::now();
        let outcome = device.capture(&request.clone().cancelled(cancel));
        assert_eq!(outcome.status, Status::CANCELLED, "{cancel:?}");
        assert!(begun.elapsed() < PATIENCE / 2, "{cancel:?}");
        assert_eq!(outcome.broken_rules, Vec::<String>::new());
        assert_eq!(
            seen(&device.capture(&slap(Finger::LEFT_SLAP, &[]))).1,
            Some(14),
            "after {cancel:?}"
        );
    }
    // Nobody comes for an hour.
    table.next("fp4", r#"{"wait_ms":3600000}"#);
    let nobody = request.cancelled(fake::Cancel::AtFrame(Kind::Preview));
    assert_eq!(device.capture(&nobody).status, Status::CANCELLED);
    assert!(table.device("fp4").wait_until(Until::Idle, PATIENCE));
}

#[test]
fn a_plugin_can_be_made_to_ignore_its_cancel() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    table.next("fp4", r#"{"fault":"ignore-cancel"}"#);
    let place = Event::Place(Some(Finger::RIGHT_SLAP));
    let request = slap(Finger::RIGHT_SLAP, &[]).cancelled(fake::Cancel::At(place));
    assert_eq!(device.capture(&request).status, Status::OK);
    assert_eq!(
        device.capture(&request).status,
        Status::CANCELLED,
        "and does so once"
    );
}

#[test]
fn a_cancel_inside_a_large_picture_leaves_the_line_in_step() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("flatbed")).unwrap();
    let cancelled = scan(300, None).cancelled(fake::Cancel::At(Event::Progress(900)));
    assert_eq!(device.capture(&cancelled).status, Status::CANCELLED);
    let outcome = device.capture(&scan(75, None));
    assert_eq!(outcome.status, Status::OK, "{:?}", outcome.failure);
    assert_eq!(
        (outcome.results()[0].width, outcome.results()[0].height),
        (620, 877)
    );
}

#[test]
fn when_nothing_is_presented_the_deadline_ends_the_capture() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    table.next("fp4", r#"{"lift":"for-good"}"#);
    let mut request = slap(Finger::RIGHT_SLAP, &[]);
    request.params.deadline = Duration::from_millis(50);
    assert_eq!(device.capture(&request).status, Status::TIMEOUT);
    assert_eq!(seen(&device.capture(&slap(Finger::RIGHT_SLAP, &[]))).1, Some(13));
}

#[test]
fn a_device_that_goes_away_in_a_capture_is_gone_and_comes_back_with_its_serial_number() {
    let table = Table::set();
    let host = fake::Host::new();
    let reader = Arc::clone(table.device("fp4"));
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    table.next("fp4", r#"{"wait_ms":3600000}"#);
    let unplugging = std::thread::spawn({
        let reader = Arc::clone(&reader);
        move || {
            assert!(reader.wait_until(Until::Capturing, PATIENCE));
            reader.unplug().unwrap();
        }
    });
    let mut request = slap(Finger::RIGHT_SLAP, &[]);
    request.params.deadline = PATIENCE;
    let outcome = device.capture(&request);
    unplugging.join().unwrap();
    assert_eq!(outcome.status, Status::GONE);
    assert_eq!(outcome.events.last(), Some(&Event::DeviceGone));
    assert!(!reader.path().exists());
    assert_eq!(device.capture(&request).status, Status::GONE, "for good");

    assert!(table.bench.answer(r#"{"command":"back","device":"fp4"}"#).ok);
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    assert_eq!(device.info().unwrap().serial, "SN0001");
    assert_eq!(seen(&device.capture(&slap(Finger::RIGHT_SLAP, &[]))).1, Some(13));
}

#[test]
fn the_scanner_honours_area_and_resolution() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("flatbed")).unwrap();
    let a4 = device.capture(&scan(600, None));
    assert_eq!(a4.status, Status::OK, "{:?}", a4.failure);
    let page = a4.results()[0];
    assert_eq!(
        (page.width, page.height, page.format),
        (4961, 7016, Format::RGB24)
    );
    assert_eq!((page.meta.ppi_x_milli, page.meta.page), (600_000, 1));
    assert_eq!(page.pixels.len(), 4961 * 7016 * 3);
    drop(a4);

    let card = Area {
        x_um: 10_000,
        y_um: 20_000,
        width_um: 85_600,
        height_um: 53_980,
    };
    let mut request = scan(300, Some(card));
    request.params.format = Some(Format::GRAY8);
    let card = device.capture(&request);
    let card = card.results()[0];
    assert_eq!((card.width, card.height, card.format), (1011, 638, Format::GRAY8));

    let outside = Area {
        x_um: 200_000,
        y_um: 0,
        width_um: 20_000,
        height_um: 20_000,
    };
    assert_eq!(
        device.capture(&scan(300, Some(outside))).status,
        Status::UNSUPPORTED
    );
    assert_eq!(
        device.capture(&scan(1200, None)).status,
        Status::UNSUPPORTED,
        "larger than the caps"
    );
    assert_eq!(device.capture(&scan(50, None)).status, Status::UNSUPPORTED);
}

#[test]
fn the_glass_holds_what_the_scenario_lays_on_it() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("flatbed")).unwrap();
    table.next(
        "flatbed",
        r#"{"glass":{"kind":"page","title":"RECAPITULATIF","code":"ABCD123456"}}"#,
    );
    let mut request = scan(200, None);
    request.params.format = Some(Format::GRAY8);
    let outcome = device.capture(&request);
    let page = outcome.results()[0];
    let kind = Some(rxing::BarcodeFormat::QR_CODE);
    let found = rxing::helpers::detect_in_luma(page.pixels.clone(), page.width, page.height, kind);
    assert_eq!(found.unwrap().getText(), "ABCD123456");

    table.next("flatbed", r#"{"glass":{"kind":"nothing"}}"#);
    let empty = device.capture(&request);
    assert!(empty.events.contains(&Event::Media(false)));
    assert!(empty.results()[0].pixels.iter().all(|level| *level > 200));
}

#[test]
fn errors_of_the_device_keep_their_name_and_number() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("flatbed")).unwrap();
    for (error, status) in [
        ("jam", Status::JAM),
        ("cover-open", Status::COVER_OPEN),
        ("no-media", Status::NO_MEDIA),
        ("calibration", Status::CALIBRATION),
        ("io", Status::IO),
    ] {
        table.next("flatbed", &format!(r#"{{"error":"{error}","vendor_code":-7}}"#));
        let outcome = device.capture(&scan(75, None));
        assert_eq!(
            (outcome.status, outcome.failure.unwrap().vendor_code),
            (status, -7)
        );
    }
    assert_eq!(device.capture(&scan(75, None)).status, Status::OK);
}

#[test]
fn the_camera_shows_a_face_and_the_lamp_is_seen() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut device = host.open(&RECUEIL_PLUGIN, table.reference("cam")).unwrap();
    let mut request = fake::CaptureRequest::new(Modalities::CAMERA);
    request.params.preview_fps = 60;
    let outcome = device.capture(&request);
    assert_eq!(outcome.status, Status::OK, "{:?}", outcome.failure);
    let face = outcome.results()[0];
    assert_eq!(
        (face.width, face.height, face.format),
        (1200, 1600, Format::RGB24)
    );
    assert_eq!((outcome.previews()[0].width, outcome.previews().len()), (600, 4));

    device
        .feedback(&Feedback {
            led: Led::Good,
            beep_ms: 100,
            beep_hz: 880,
            slot: 0,
        })
        .unwrap();
    // A capture after it, so that the device has read it.
    assert_eq!(device.capture(&request).status, Status::OK);
    let status = table.device("cam").status();
    assert_eq!((status.led, status.beeps, status.captures), (3, 1, 2));
}

#[test]
fn a_device_cannot_do_what_it_is_not() {
    let table = Table::set();
    let host = fake::Host::new();
    let mut reader = host.open(&RECUEIL_PLUGIN, table.reference("fp4")).unwrap();
    assert_eq!(reader.capture(&scan(300, None)).status, Status::UNSUPPORTED);
    let mut both = slap(Finger::RIGHT_SLAP, &[]);
    both.params.fingerprint = Some(FingerprintParams {
        positions: Fingers::from_bits(3 << 13),
        ..FingerprintParams::default()
    });
    assert_eq!(reader.capture(&both).status, Status::UNSUPPORTED);
    let mut colour = slap(Finger::RIGHT_SLAP, &[]);
    colour.params.format = Some(Format::RGB24);
    assert_eq!(reader.capture(&colour).status, Status::UNSUPPORTED);
    let thumb = Finger::new(1).unwrap();
    assert_eq!(
        reader.capture(&slap(thumb, &[])).status,
        Status::UNSUPPORTED,
        "no picture of one"
    );
}

#[test]
fn damage_on_the_line_ends_a_capture_and_nothing_else() {
    let picture = protocol::PictureHeader {
        purpose: protocol::Purpose::Result,
        format: protocol::Format::Gray8,
        width: 40,
        height: 30,
        ppi: 500,
        page: 0,
        position: 13,
        segments: vec![],
        attack: Some((20, false)),
    };
    let message = |message: &FromDevice| protocol::encode(message).unwrap();
    let introduction = message(&FromDevice::Info(models::parse("fp4:SN1").unwrap()));
    let started = message(&FromDevice::Started { id: 1, fault: None });
    let picture = message(&FromDevice::Picture {
        id: 1,
        picture: Box::new(picture),
    });
    let done = message(&FromDevice::Done { id: 1, failure: None });
    let whole = [&started[..], &picture, &[128; 1200], &done].concat();

    let host = fake::Host::new();
    let capture = |transcript: &[u8]| {
        use std::io::Write as _;
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&introduction).unwrap();
        theirs.write_all(transcript).unwrap();
        // Hung up for writing only, so that the plugin's own message finds its way.
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        let reference = fake::DeviceRef {
            fd: Some(ours.into()),
            ..fake::DeviceRef::default()
        };
        let mut device = host.open(&RECUEIL_PLUGIN, reference).unwrap();
        device.capture(&slap(Finger::RIGHT_SLAP, &[]))
    };
    assert_eq!(capture(&whole).status, Status::OK);
    let mut random = Random::new(1);
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        let place = usize::try_from(random.bits()).unwrap() % bytes.len();
        let bit = random.bits() % 9;
        if bit == 8 {
            bytes.truncate(place);
        } else {
            bytes[place] ^= 1 << bit;
        }
        let outcome = capture(&bytes);
        *statuses.entry(outcome.status.0).or_insert(0) += 1;
        if outcome.status == Status::OK {
            let pixels = outcome.results()[0].pixels.len();
            assert!(pixels > 0, "a result that is none");
        }
    }
    assert!(!statuses.contains_key(&Status::PANIC.0), "{statuses:?}");
    assert!(
        statuses[&Status::GONE.0] > 50 && statuses[&Status::IO.0] > 50,
        "{statuses:?}"
    );
    assert_eq!(host.broken_rules(), Vec::<String>::new());
}

/// A device that says `bytes` and then waits for the other side to hang up.
fn stranger(bytes: Vec<u8>) -> fake::DeviceRef {
    use std::io::{Read as _, Write as _};
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    std::thread::spawn(move || {
        let _hung_up = theirs.write_all(&bytes);
        let _hung_up = theirs.read_to_end(&mut Vec::new());
    });
    fake::DeviceRef {
        fd: Some(ours.into()),
        ..fake::DeviceRef::default()
    }
}

#[test]
fn a_stranger_on_the_line_is_refused_without_harm() {
    let host = fake::Host::new();
    let opened = |bytes: Vec<u8>| host.open(&RECUEIL_PLUGIN, stranger(bytes)).map(|_device| ());
    assert_eq!(
        opened(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()).unwrap_err().status,
        Status::IO
    );
    assert_eq!(
        opened(b"RCV1\xff\xff\xff\xff".to_vec()).unwrap_err().status,
        Status::IO
    );
    let done = protocol::encode(&FromDevice::Done { id: 1, failure: None }).unwrap();
    assert_eq!(
        opened(done).unwrap_err().status,
        Status::IO,
        "not an introduction"
    );

    let info = |rest: &[u8]| {
        let mut bytes = protocol::encode(&FromDevice::Info(models::parse("fp4:SN1").unwrap())).unwrap();
        bytes.extend(rest);
        bytes
    };
    let captured = |rest: &[u8]| {
        let mut device = host.open(&RECUEIL_PLUGIN, stranger(info(rest))).unwrap();
        device.capture(&slap(Finger::RIGHT_SLAP, &[])).status
    };
    assert_eq!(captured(&info(b"")), Status::IO, "an introduction twice");
    assert_eq!(captured(b"garbage!"), Status::IO);
    let success = protocol::encode(&FromDevice::Done { id: 1, failure: None }).unwrap();
    assert_eq!(captured(&success), Status::FAILED, "success without a picture");
    assert_eq!(host.broken_rules(), Vec::<String>::new());
}
