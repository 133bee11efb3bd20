//! An open device, and its captures.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use recueil_plugin::{
    Caps, Capture, Device, DeviceInfo, Error, Event, Feedback, Finger, FingerprintMeta, Format, Kind, Meta,
    Modalities, Params, Result, Segment, Sides, Status, Verdict,
};

use crate::link::{Link, Patience};
use crate::protocol::{
    self, FailureCode, Fault, FromDevice, Info, PictureHeader, Purpose, Request, Subject, ToDevice,
};

/// How long a device may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(2);
/// How long to wait for the end of a capture that was cancelled; the contract gives a second.
const TIDYING: Duration = Duration::from_millis(200);
/// For a plugin that ignores its cancel and its deadline.
const STUBBORN: Duration = Duration::from_hours(1);

/// A device that `recueil-virtual` plays.
#[derive(Debug)]
pub struct SimulatedDevice {
    link: Link,
    info: Info,
    last_id: u32,
}

impl SimulatedDevice {
    pub(crate) fn open(socket: BorrowedFd<'_>) -> Result<Self> {
        let mut link = Link::new(socket.try_clone_to_owned()?);
        match link.next(&Patience::of(INTRODUCTION))? {
            FromDevice::Info(info) => Ok(Self {
                link,
                info,
                last_id: 0,
            }),
            _ => Err(Error::new(Status::IO, "the device does not say who it is")),
        }
    }
}

impl Device for SimulatedDevice {
    fn info(&mut self) -> Result<DeviceInfo> {
        Ok(DeviceInfo {
            modalities: modality(self.info.kind),
            vendor: self.info.vendor.clone(),
            model: self.info.model.clone(),
            serial: self.info.serial.clone(),
            firmware: self.info.firmware.clone(),
            ..DeviceInfo::default()
        })
    }

    fn caps(&mut self) -> Result<Caps> {
        let is_reader = self.info.kind == protocol::Kind::Fingerprint;
        let formats = if is_reader {
            vec![Format::GRAY8]
        } else {
            vec![Format::RGB24, Format::GRAY8]
        };
        Ok(Caps {
            modalities: modality(self.info.kind),
            width_max: self.info.width_max,
            height_max: self.info.height_max,
            ppi_milli: self.info.ppi * 1000,
            formats,
            preview: self.info.previews,
            led: true,
            beep: true,
            pad: is_reader,
            auto_capture: true,
            capture_timeout_ms: 30_000,
        })
    }

    fn capture(&mut self, capture: &Capture<'_>, params: &Params) -> Result<()> {
        self.last_id = self.last_id.wrapping_add(1);
        let request = request(self.last_id, self.info.kind, params)?;
        self.link.send(&ToDevice::Capture(request))?;
        let patience = Patience {
            cancel: Some(capture.cancel_fd()),
            until: Instant::now() + params.deadline,
        };
        let mut run = Run {
            id: self.last_id,
            capture,
            patience,
            link: &mut self.link,
            frames: 0,
            results: 0,
        };
        match run.until_done() {
            Ended::Done(outcome) => outcome,
            Ended::Stopped(stop) if stop.status == Status::GONE => {
                capture.event(Event::DeviceGone);
                Err(stop)
            }
            Ended::Stopped(stop) => {
                run.tidy();
                Err(stop)
            }
        }
    }

    fn feedback(&mut self, feedback: &Feedback) -> Result<()> {
        self.link.send(&ToDevice::Feedback(protocol::Feedback {
            led: feedback.led.into(),
            beep_ms: feedback.beep_ms,
            beep_hz: feedback.beep_hz,
            slot: feedback.slot,
        }))
    }

    fn self_test(&mut self, _level: u32) -> Result<()> {
        Ok(())
    }
}

/// One capture on the line.
struct Run<'a> {
    id: u32,
    capture: &'a Capture<'a>,
    patience: Patience<'a>,
    link: &'a mut Link,
    frames: u32,
    results: u32,
}

/// How a capture ends.
enum Ended {
    /// The device said so.
    Done(Result<()>),
    /// We stopped it; the device has still to say so.
    Stopped(Error),
}

impl Run<'_> {
    fn until_done(&mut self) -> Ended {
        loop {
            match self.step() {
                Ok(None) => {}
                Ok(Some(outcome)) => return Ended::Done(outcome),
                Err(stop) => return Ended::Stopped(stop),
            }
        }
    }

    /// One message. What belongs to a capture that was stopped before is passed over.
    fn step(&mut self) -> Result<Option<Result<()>>> {
        match self.link.next(&self.patience)? {
            FromDevice::Started { id, fault } if id == self.id => self.suffer(fault),
            FromDevice::Event { id, event } if id == self.id => self.capture.event(told(event)),
            FromDevice::Picture { id, picture } if id == self.id => self.take(&picture)?,
            FromDevice::Done { id, failure } if id == self.id => return Ok(Some(self.outcome(failure))),
            FromDevice::Info(_) => return Err(Error::new(Status::IO, "the device says twice who it is")),
            _ => {}
        }
        Ok(None)
    }

    fn take(&mut self, picture: &PictureHeader) -> Result<()> {
        let kind = match picture.purpose {
            Purpose::Preview => Kind::Preview,
            Purpose::Result => Kind::Result,
        };
        let format = match picture.format {
            protocol::Format::Gray8 => Format::GRAY8,
            protocol::Format::Rgb24 => Format::RGB24,
        };
        let sequence = self.frames;
        self.frames += 1;
        let mut frame = match self.capture.frame(kind, format, picture.width, picture.height) {
            // The reader is slower than the device: this one is left out.
            Err(error) if kind == Kind::Preview && error.status == Status::AGAIN => return Ok(()),
            frame => frame?,
        };
        self.link.read_rows(&mut frame, &self.patience)?;
        frame.submit(&Meta {
            sequence,
            page: picture.page,
            fingerprint: fingerprint(picture),
            ..Meta::at(picture.ppi * 1000)
        })?;
        self.results += u32::from(kind == Kind::Result);
        Ok(())
    }

    fn outcome(&self, failure: Option<protocol::Failure>) -> Result<()> {
        match failure {
            Some(failure) => Err(Error::from(status(failure.code)).with_vendor_code(failure.vendor_code)),
            None if self.results == 0 => Err(Error::new(Status::FAILED, "the device gave no picture")),
            None => Ok(()),
        }
    }

    /// Tells the device to stop, and waits a moment for its word; a later capture would pass it over.
    fn tidy(&mut self) {
        if self.link.send(&ToDevice::Cancel { id: self.id }).is_err() {
            return;
        }
        let patience = Patience::of(TIDYING);
        while let Ok(message) = self.link.next(&patience) {
            if matches!(message, FromDevice::Done { id, .. } if id == self.id) {
                return;
            }
        }
    }

    /// Does wrong because the scenario says so.
    fn suffer(&mut self, fault: Option<Fault>) {
        match fault {
            None => {}
            Some(Fault::IgnoreCancel) => self.patience = Patience::of(STUBBORN),
            Some(Fault::Hang) => loop {
                std::thread::sleep(STUBBORN);
            },
            Some(Fault::Crash) => std::process::abort(),
        }
    }
}

fn modality(kind: protocol::Kind) -> Modalities {
    match kind {
        protocol::Kind::Fingerprint => Modalities::FINGERPRINT,
        protocol::Kind::Camera => Modalities::CAMERA,
        protocol::Kind::Scanner => Modalities::SCANNER,
    }
}

fn request(id: u32, kind: protocol::Kind, params: &Params) -> Result<Request> {
    if params.modality != modality(kind) {
        return Err(Status::UNSUPPORTED.into());
    }
    let format = match params.format {
        None => None,
        Some(Format::GRAY8) => Some(protocol::Format::Gray8),
        Some(Format::RGB24) => Some(protocol::Format::Rgb24),
        Some(_) => return Err(Status::UNSUPPORTED.into()),
    };
    if !params.ppi_milli.is_multiple_of(1000) {
        return Err(Error::new(
            Status::UNSUPPORTED,
            "a resolution that is no whole number",
        ));
    }
    let ppi = params.ppi_milli / 1000;
    let subject = match kind {
        protocol::Kind::Fingerprint => fingers(ppi, params)?,
        protocol::Kind::Camera => Subject::Face,
        protocol::Kind::Scanner => glass(ppi, params)?,
    };
    Ok(Request {
        id,
        format,
        deadline_ms: u32::try_from(params.deadline.as_millis())
            .unwrap_or(u32::MAX)
            .min(3_600_000),
        preview_fps: params.preview_fps.min(60),
        subject,
    })
}

fn fingers(ppi: u32, params: &Params) -> Result<Subject> {
    let asked = params.fingerprint.unwrap_or_default();
    let mut positions = asked.positions.iter();
    let (Some(position), None) = (positions.next(), positions.next()) else {
        return Err(Error::new(
            Status::UNSUPPORTED,
            "one slap or one finger at a time",
        ));
    };
    if !matches!(ppi, 0 | 500) {
        return Err(Error::new(
            Status::UNSUPPORTED,
            "500 pixels per inch and no other",
        ));
    }
    Ok(Subject::Fingers {
        position: position.code(),
        missing: asked
            .missing
            .iter()
            .filter(|finger| !finger.is_slap())
            .map(Finger::code)
            .collect(),
    })
}

fn glass(ppi: u32, params: &Params) -> Result<Subject> {
    let scan = params.scan.unwrap_or_default();
    if scan.sides != Sides::Front || scan.source != 0 {
        return Err(Error::new(
            Status::UNSUPPORTED,
            "a flatbed sees the front of a page",
        ));
    }
    let side = |um: i32| u32::try_from(um).map_err(|_negative| Error::from(Status::INVALID));
    let area = match scan.area {
        None => None,
        Some(area) => Some(protocol::Area {
            x_um: side(area.x_um)?,
            y_um: side(area.y_um)?,
            width_um: side(area.width_um)?,
            height_um: side(area.height_um)?,
        }),
    };
    Ok(Subject::Glass { ppi, area })
}

fn told(event: protocol::Event) -> Event {
    let finger = |position: u8| Finger::new(u32::from(position));
    match event {
        protocol::Event::Place { position } => Event::Place(finger(position)),
        protocol::Event::Remove { position } => Event::Remove(finger(position)),
        protocol::Event::Fingers { count } => Event::Fingers(u32::from(count)),
        protocol::Event::Hold => Event::Hold,
        protocol::Event::LiftedEarly => Event::LiftedEarly,
        protocol::Event::Progress { permille } => Event::Progress(u32::from(permille)),
        protocol::Event::Media { present } => Event::Media(present),
    }
}

fn fingerprint(picture: &PictureHeader) -> Option<FingerprintMeta> {
    let attack = picture.attack?;
    Some(FingerprintMeta {
        position: Finger::new(u32::from(picture.position)),
        segments: picture.segments.iter().map(segment).collect(),
        pad_score: Some(u32::from(attack.0)),
        pad_verdict: Some(if attack.1 {
            Verdict::Attack
        } else {
            Verdict::Genuine
        }),
    })
}

fn segment(segment: &protocol::Segment) -> Segment {
    Segment {
        position: Finger::new(u32::from(segment.position)),
        x: segment.x,
        y: segment.y,
        width: segment.width,
        height: segment.height,
        angle_milli_deg: segment.angle_milli_deg,
        quality: segment.quality.map(u32::from),
        quality_alg: 0,
    }
}

fn status(code: FailureCode) -> Status {
    match code {
        FailureCode::Cancelled => Status::CANCELLED,
        FailureCode::Timeout => Status::TIMEOUT,
        FailureCode::Unsupported => Status::UNSUPPORTED,
        FailureCode::Jam => Status::JAM,
        FailureCode::CoverOpen => Status::COVER_OPEN,
        FailureCode::NoMedia => Status::NO_MEDIA,
        FailureCode::Calibration => Status::CALIBRATION,
        FailureCode::Tamper => Status::TAMPER,
        FailureCode::Io => Status::IO,
        FailureCode::Failed => Status::FAILED,
    }
}
