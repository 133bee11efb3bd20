//! A small plugin, written as a vendor would, against the fake host.
#![forbid(unsafe_code)]
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a plugin that panics is what is tested"
)]

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use recueil_plugin::fake::{Cancel, CaptureRequest, DeviceRef};
use recueil_plugin::*;

struct Tiny {
    host: Host,
}

impl Plugin for Tiny {
    type Device = TinyDevice;

    fn create(host: Host) -> Result<Self> {
        match host.config("create")?.as_deref() {
            Some("panic") => panic!("no licence file"),
            Some("fail") => Err(Error::new(Status::LICENCE, "expired").with_vendor_code(77)),
            _ => Ok(Self { host }),
        }
    }

    fn probe(&self, device: &DevRef<'_>) -> Result<Option<DeviceInfo>> {
        Ok((device.usb_vid == 0x1209).then(|| DeviceInfo {
            vendor: "Tiny".into(),
            ..DeviceInfo::default()
        }))
    }

    fn open(&self, device: &DevRef<'_>) -> Result<TinyDevice> {
        let line = device
            .fd
            .map(|fd| fd.try_clone_to_owned())
            .transpose()?
            .map(UnixStream::from);
        let serial = device.serial.to_owned();
        Ok(TinyDevice {
            host: self.host.clone(),
            line,
            serial,
        })
    }
}

struct TinyDevice {
    host: Host,
    line: Option<UnixStream>,
    serial: String,
}

impl Drop for TinyDevice {
    fn drop(&mut self) {
        self.host.log(abi::RCL_LOG_INFO, "closed");
    }
}

impl Device for TinyDevice {
    fn info(&mut self) -> Result<DeviceInfo> {
        Ok(DeviceInfo {
            modalities: Modalities::FINGERPRINT,
            vendor: "Tiny".into(),
            model: "é".repeat(100),
            serial: self.serial.clone(),
            ..DeviceInfo::default()
        })
    }

    fn caps(&mut self) -> Result<Caps> {
        Ok(Caps {
            modalities: Modalities::FINGERPRINT,
            width_max: 20,
            height_max: 10,
            ppi_milli: 500_000,
            formats: vec![Format::GRAY8, Format::JPEG],
            preview: true,
            pad: true,
            ..Caps::default()
        })
    }

    fn capture(&mut self, capture: &Capture<'_>, params: &Params) -> Result<()> {
        let asked = params.fingerprint.unwrap_or_default();
        capture.event(Event::Place(asked.positions.iter().next()));
        match self.host.config("capture")?.as_deref() {
            Some("panic") => panic!("index out of bounds"),
            Some("panic badly") => std::panic::panic_any(PanicsWhenDropped),
            Some("fail") => Err(Error::new(Status::CALIBRATION, "sensor\0dirty").with_vendor_code(-12)),
            Some("wait") => capture.wait(None, Duration::from_mins(1)).map(|_over| ()),
            Some("read the line") => self.read_the_line(capture),
            Some("many segments") => submit(capture, &fingerprint_meta(17)),
            Some("store in a capture") => self.host.store_blob("picture", b"2"),
            Some("jpeg") => {
                let mut frame = capture.frame_compressed(Kind::Result, Format::JPEG, 20, 10, 100)?;
                frame.bytes_mut()[..4].copy_from_slice(&[0xFF, 0xD8, 0xFF, 0xD9]);
                frame.set_used(4)?;
                frame.submit(&Meta::at(500_000))
            }
            Some("hold two results") => {
                let _first = capture.frame(Kind::Result, Format::GRAY8, 20, 10)?;
                capture
                    .frame(Kind::Result, Format::GRAY8, 20, 10)
                    .map(|_second| ())
            }
            Some("forget a frame") => {
                std::mem::forget(capture.frame(Kind::Preview, Format::GRAY8, 20, 10)?);
                Ok(())
            }
            Some("previews") => {
                while let Ok(frame) = capture.frame(Kind::Preview, Format::GRAY8, 20, 10) {
                    frame.submit(&Meta::default())?;
                    if capture.cancelled() {
                        return Err(Status::CANCELLED.into());
                    }
                }
                submit(capture, &fingerprint_meta(1))
            }
            Some("say what was asked") => {
                tracing::info!(missing = asked.missing.bits(), area = ?params.scan.and_then(|scan| scan.area), "asked");
                tracing::debug!("not shown");
                submit(capture, &Meta::default())
            }
            _ => submit(capture, &fingerprint_meta(4)),
        }
    }
}

impl TinyDevice {
    fn read_the_line(&mut self, capture: &Capture<'_>) -> Result<()> {
        let line = self.line.as_mut().ok_or(Status::GONE)?;
        let fd = std::os::fd::AsFd::as_fd(line);
        if !capture.wait(Some(fd), Duration::from_mins(1))? {
            return Err(Status::TIMEOUT.into());
        }
        let mut frame = capture.frame(Kind::Result, Format::GRAY8, 2, 2)?;
        frame.rows_mut().try_for_each(|row| line.read_exact(row))?;
        frame.submit(&Meta::at(500_000))
    }
}

fn submit(capture: &Capture<'_>, meta: &Meta) -> Result<()> {
    let mut frame = capture.frame(Kind::Result, Format::GRAY8, 20, 10)?;
    for (shade, row) in (0..).zip(frame.rows_mut()) {
        row.fill(shade);
    }
    frame.submit(meta)
}

struct PanicsWhenDropped;
impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("again");
    }
}

fn fingerprint_meta(segments: u32) -> Meta {
    let segment = |index: u32| Segment {
        position: Finger::new(2 + index % 4),
        x: -1,
        y: 2,
        width: 3,
        height: 4,
        angle_milli_deg: -12_500,
        quality: if index == 0 { None } else { Some(80) },
        quality_alg: 0,
    };
    let fingerprint = FingerprintMeta {
        position: Some(Finger::RIGHT_SLAP),
        segments: (0..segments).map(segment).collect(),
        pad_score: Some(12),
        pad_verdict: Some(Verdict::Genuine),
    };
    Meta {
        fingerprint: Some(fingerprint),
        time_ns: 5,
        ..Meta::at(500_000)
    }
}

export_plugin! {
    plugin: Tiny,
    id: "com.example.tiny",
    name: "Tiny",
    vendor: "Example",
    licence: "MIT",
    modalities: Modalities::FINGERPRINT.with(Modalities::SCANNER),
    one_at_a_time: true,
}

fn capture_configured(behaviour: &str) -> (fake::Outcome, fake::Host) {
    capture(behaviour, &CaptureRequest::new(Modalities::FINGERPRINT))
}

fn capture(behaviour: &str, request: &CaptureRequest) -> (fake::Outcome, fake::Host) {
    let host = fake::Host::new().with_config("capture", behaviour);
    let outcome = host
        .open(&RECUEIL_PLUGIN, DeviceRef::default())
        .unwrap()
        .capture(request);
    (outcome, host)
}

#[test]
fn the_entry_gives_the_same_descriptor_each_time() {
    assert_eq!(recueil_plugin_v1(0), recueil_plugin_v1(7));
    assert_eq!(recueil_plugin_v1(0), RECUEIL_PLUGIN.as_ptr());
    let descriptor = RECUEIL_PLUGIN.as_abi();
    assert_eq!(
        (descriptor.abi_major, descriptor.modalities, descriptor.flags),
        (1, 5, 1)
    );
    assert_eq!(descriptor.size, abi::rcl_descriptor::SIZE);
}

#[test]
fn a_device_says_what_it_is_and_can() {
    let host = fake::Host::new();
    let reference = DeviceRef {
        serial: "SN 7".into(),
        ..DeviceRef::default()
    };
    let mut device = host.open(&RECUEIL_PLUGIN, reference).unwrap();
    let info = device.info().unwrap();
    assert_eq!((info.vendor.as_str(), info.serial.as_str()), ("Tiny", "SN 7"));
    assert_eq!(info.model, "é".repeat(31), "cut between characters");
    let caps = device.caps().unwrap();
    assert_eq!(caps.formats, [Format::GRAY8, Format::JPEG]);
    assert!(caps.preview && caps.pad && !caps.led);
    let unsupported = device.feedback(&Feedback {
        led: Led::Good,
        beep_ms: 0,
        beep_hz: 0,
        slot: 0,
    });
    assert_eq!(unsupported.unwrap_err().status, Status::UNSUPPORTED);
    drop(device);
    assert_eq!(host.log(), [(abi::RCL_LOG_INFO, "closed".to_owned())]);
}

#[test]
fn a_plugin_knows_its_own_devices() {
    let host = fake::Host::new();
    let ours = DeviceRef {
        bus: Bus::Usb,
        usb_vid: 0x1209,
        ..DeviceRef::default()
    };
    assert_eq!(
        host.probe(&RECUEIL_PLUGIN, &ours).unwrap().unwrap().vendor,
        "Tiny"
    );
    assert_eq!(host.probe(&RECUEIL_PLUGIN, &DeviceRef::default()).unwrap(), None);
}

#[test]
fn a_capture_gives_its_frame_with_all_that_was_said_of_it() {
    let (outcome, host) = capture_configured("");
    assert_eq!(outcome.status, Status::OK);
    assert_eq!(outcome.events, [Event::Place(None)]);
    let [frame] = outcome.results()[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!((frame.width, frame.height, frame.format), (20, 10, Format::GRAY8));
    assert_eq!(frame.pixels[20..40], [1; 20], "rows without what pads them");
    assert_eq!(frame.meta, fingerprint_meta(4));
    assert_eq!(host.broken_rules(), [""; 0]);
}

#[test]
fn a_failure_carries_the_vendors_code_and_words() {
    let (outcome, _host) = capture_configured("fail");
    assert_eq!(outcome.status, Status::CALIBRATION);
    let failure = outcome.failure.unwrap();
    assert_eq!(
        (failure.vendor_code, failure.text.as_str()),
        (-12, "sensor dirty")
    );

    let refused = fake::Host::new().with_config("create", "fail");
    let error = refused.open(&RECUEIL_PLUGIN, DeviceRef::default()).unwrap_err();
    assert_eq!(error, Error::new(Status::LICENCE, "expired").with_vendor_code(77));
}

#[test]
fn a_panic_ends_one_call_and_not_the_host() {
    let host = fake::Host::new().with_config("capture", "panic");
    let mut device = host.open(&RECUEIL_PLUGIN, DeviceRef::default()).unwrap();
    for _time in 0..2 {
        let outcome = device.capture(&CaptureRequest::new(Modalities::FINGERPRINT));
        assert_eq!(outcome.status, Status::PANIC);
        assert_eq!(outcome.failure.unwrap().text, "panicked: index out of bounds");
    }
    let (outcome, _host) = capture_configured("panic badly");
    assert_eq!(
        outcome.status,
        Status::PANIC,
        "its payload panics when dropped, so it is not"
    );

    let panics = fake::Host::new().with_config("create", "panic");
    let error = panics.open(&RECUEIL_PLUGIN, DeviceRef::default()).unwrap_err();
    assert_eq!(error, Error::new(Status::PANIC, "panicked: no licence file"));
}

#[test]
fn a_cancelled_capture_returns_at_once() {
    let request = CaptureRequest::new(Modalities::FINGERPRINT);
    for cancel in [Cancel::AtOnce, Cancel::At(Event::Place(None))] {
        let (outcome, _host) = capture("wait", &request.clone().cancelled(cancel));
        assert_eq!(outcome.status, Status::CANCELLED);
    }
    let (outcome, _host) = capture("previews", &request.cancelled(Cancel::AtFrame(Kind::Preview)));
    assert_eq!((outcome.status, outcome.previews().len()), (Status::CANCELLED, 1));
}

#[test]
fn previews_that_come_too_fast_are_left_out() {
    let request = CaptureRequest {
        previews_max: 3,
        ..CaptureRequest::new(Modalities::FINGERPRINT)
    };
    let (outcome, _host) = capture("previews", &request);
    assert_eq!(
        (outcome.status, outcome.previews().len(), outcome.results().len()),
        (Status::OK, 3, 1)
    );
}

#[test]
fn more_segments_than_hands_have_fingers_are_refused_before_they_leave() {
    let (outcome, host) = capture_configured("many segments");
    assert_eq!(outcome.status, Status::INVALID);
    assert!(outcome.frames.is_empty());
    assert_eq!(host.broken_rules(), [""; 0], "the frame was given back");
}

#[test]
fn nothing_is_stored_once_a_capture_began() {
    let (outcome, host) = capture_configured("store in a capture");
    assert_eq!(outcome.status, Status::ACCESS);
    assert_eq!(host.blobs().into_keys().collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn one_result_is_lent_at_a_time() {
    let (outcome, host) = capture_configured("hold two results");
    assert_eq!(outcome.status, Status::NO_MEMORY);
    assert_eq!(host.broken_rules(), [""; 0]);
}

#[test]
fn the_fake_host_tells_what_a_plugin_forgot() {
    let (outcome, _host) = capture_configured("forget a frame");
    let forgotten = [
        "R4: a frame was neither submitted nor dropped",
        "capture() succeeded without a result",
    ];
    assert_eq!(outcome.broken_rules, forgotten);
}

#[test]
fn a_compressed_picture_is_as_long_as_it_says() {
    let (outcome, _host) = capture_configured("jpeg");
    assert_eq!(outcome.results()[0].pixels, [0xFF, 0xD8, 0xFF, 0xD9]);
}

#[test]
fn what_is_asked_reaches_the_plugin_and_its_log_reaches_the_host() {
    let fingers = |codes: &[u32]| {
        codes
            .iter()
            .filter_map(|code| Finger::new(*code))
            .collect::<Fingers>()
    };
    let asked = FingerprintParams {
        positions: fingers(&[14]),
        missing: fingers(&[8, 10]),
        quality_min: 40,
    };
    let area = Area {
        x_um: 1,
        y_um: 2,
        width_um: 3,
        height_um: 4,
    };
    let scan = ScanParams {
        area: Some(area),
        ..ScanParams::default()
    };
    let request = CaptureRequest::new(Modalities::FINGERPRINT)
        .fingerprint(asked)
        .scan(scan);
    let (outcome, host) = capture("say what was asked", &request);
    assert_eq!(outcome.events, [Event::Place(Some(Finger::LEFT_SLAP))]);
    let said = format!("asked missing={} area={:?}", (1 << 8) | (1 << 10), Some(area));
    assert_eq!(host.log()[0], (abi::RCL_LOG_INFO, said));
    assert_eq!(
        host.log().len(),
        2,
        "DEBUG is not sent unless it is configured; then comes `closed`"
    );
}

#[test]
fn a_plugin_talks_to_its_device_on_the_descriptor_it_was_given() {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let host = fake::Host::new().with_config("capture", "read the line");
    let reference = DeviceRef {
        fd: Some(OwnedFd::from(theirs)),
        ..DeviceRef::default()
    };
    let mut device = host.open(&RECUEIL_PLUGIN, reference).unwrap();
    let request = CaptureRequest::new(Modalities::FINGERPRINT);
    ours.write_all(&[1, 2, 3, 4]).unwrap();
    assert_eq!(device.capture(&request).results()[0].pixels, [1, 2, 3, 4]);
    drop(ours);
    let unplugged = device.capture(&request);
    assert_eq!(unplugged.status, Status::GONE);
    assert!(unplugged.frames.is_empty());
}

#[test]
fn a_host_kept_after_the_plugin_is_destroyed_answers_with_an_error() {
    struct Keeps;
    static KEPT: std::sync::Mutex<Option<Host>> = std::sync::Mutex::new(None);
    impl Plugin for Keeps {
        type Device = TinyDevice;
        fn create(host: Host) -> Result<Self> {
            *KEPT.lock().unwrap() = Some(host);
            Ok(Self)
        }
        fn open(&self, _device: &DevRef<'_>) -> Result<TinyDevice> {
            Err(Status::GONE.into())
        }
    }
    static DESCRIPTOR: Descriptor = Descriptor::new::<Keeps>(Identity {
        id: c"com.example.keeps",
        name: c"Keeps",
        vendor: c"Example",
        version: c"1",
        licence: c"MIT",
        modalities: Modalities::CAMERA,
        one_at_a_time: false,
    });
    let host = fake::Host::new().with_config("key", "value");
    assert_eq!(
        host.open(&DESCRIPTOR, DeviceRef::default()).unwrap_err().status,
        Status::GONE
    );
    let kept = KEPT.lock().unwrap().take().unwrap();
    assert_eq!(kept.config("key").unwrap_err().status, Status::INVALID);
}
