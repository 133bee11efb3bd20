//! One capture as the hardware makes it.

mod reader;
mod scanner;

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use recueil_plugin_simulator::protocol::{
    self, Event, Failure, FailureCode, Format, FromDevice, PictureHeader, Purpose, Request, Subject, ToDevice,
};

use crate::compose::{Picture, face};
use crate::device::{Device, left};
use crate::line::Broken;
use crate::scenario::Presentation;

/// Steps of a hand that comes: how firmly it lies on each preview.
const COMING: [f64; 4] = [0.0, 0.35, 0.75, 1.0];
/// Why a capture stops before its picture.
enum Stop {
    Failed(Failure),
    Broken(Broken),
}

impl From<FailureCode> for Stop {
    fn from(code: FailureCode) -> Self {
        Self::Failed(Failure { code, vendor_code: 0 })
    }
}

impl From<Broken> for Stop {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.into())
    }
}

/// Makes one capture, from `Started` to `Done`.
pub(crate) fn run(
    device: &Device,
    stream: &UnixStream,
    inbox: &Receiver<ToDevice>,
    request: &Request,
) -> Result<(), Broken> {
    let (presentation, seed) = device.begin();
    let mut capture = Capture {
        device,
        stream,
        inbox,
        request,
        presentation: &presentation,
        seed,
        end: Instant::now() + Duration::from_millis(u64::from(request.deadline_ms)),
    };
    let outcome = capture.run();
    device.end();
    let failure = match outcome {
        Ok(()) => None,
        Err(Stop::Failed(failure)) => Some(failure),
        Err(Stop::Broken(broken)) => return Err(broken),
    };
    capture.say(&FromDevice::Done {
        id: request.id,
        failure,
    })
}

struct Capture<'a> {
    device: &'a Device,
    stream: &'a UnixStream,
    inbox: &'a Receiver<ToDevice>,
    request: &'a Request,
    presentation: &'a Presentation,
    seed: u64,
    end: Instant,
}

impl Capture<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        self.say(&FromDevice::Started {
            id: self.request.id,
            fault: self.presentation.fault,
        })?;
        match &self.request.subject {
            Subject::Fingers { position, missing } => self.fingers(*position, missing),
            Subject::Face => self.face(),
            Subject::Glass { ppi, area } => self.glass(*ppi, *area),
        }
    }

    fn face(&mut self) -> Result<(), Stop> {
        let info = self.device.info();
        let portrait = self.device.images.portrait(self.presentation.portrait.as_deref());
        let portrait = portrait
            .filter(|_| info.kind == protocol::Kind::Camera)
            .ok_or(FailureCode::Unsupported)?;
        self.event(Event::Place { position: 0 })?;
        let (width, height) = (info.width_max, info.height_max);
        let preview = face::frame(portrait, self.seed, width / 2, height / 2);
        self.wait_for_it(Some(&preview))?;
        for _ in COMING {
            if self.request.preview_fps > 0 {
                self.show(&preview, as_preview)?;
                self.pause(self.between_previews())?;
            }
        }
        self.event(Event::Hold)?;
        let picture = face::frame(portrait, self.seed, width, height);
        let picture = match self.request.format {
            Some(Format::Gray8) => picture.into_gray(),
            _ => picture,
        };
        self.show(&picture, |header| PictureHeader {
            purpose: Purpose::Result,
            ..header
        })
    }

    /// Nothing is presented for a while; then the device may fail instead.
    fn wait_for_it(&mut self, idle: Option<&Picture>) -> Result<(), Stop> {
        let until = Instant::now() + Duration::from_millis(u64::from(self.presentation.wait_ms));
        while !left(until).is_zero() {
            match idle {
                Some(picture) if self.request.preview_fps > 0 => {
                    self.show(picture, as_preview)?;
                    self.pause(self.between_previews().min(left(until)))?;
                }
                _ => self.pause(left(until))?,
            }
        }
        match self.presentation.error {
            None => Ok(()),
            Some(code) => Err(Stop::Failed(Failure {
                code,
                vendor_code: self.presentation.vendor_code,
            })),
        }
    }

    fn between_previews(&self) -> Duration {
        Duration::from_secs(1) / self.request.preview_fps.max(1)
    }

    /// Lets time pass; the only place where a cancel and the deadline are seen.
    fn pause(&self, time: Duration) -> Result<(), Stop> {
        let until = Instant::now() + time;
        loop {
            match self.inbox.recv_timeout(left(until.min(self.end))) {
                Ok(ToDevice::Cancel { id }) if id == self.request.id => {
                    return Err(FailureCode::Cancelled.into());
                }
                Ok(ToDevice::Cancel { .. }) => {}
                Ok(ToDevice::Feedback(feedback)) => self.device.feel(&feedback),
                Ok(ToDevice::Capture(_)) => return Err(Stop::Broken(Broken::Order)),
                Err(RecvTimeoutError::Timeout) if left(self.end).is_zero() => {
                    return Err(FailureCode::Timeout.into());
                }
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }

    fn show(&self, picture: &Picture, describe: impl Fn(PictureHeader) -> PictureHeader) -> Result<(), Stop> {
        let header = describe(PictureHeader {
            purpose: Purpose::Preview,
            format: picture.format,
            width: picture.width,
            height: picture.height,
            ppi: self.device.info().ppi,
            page: 0,
            position: 0,
            segments: Vec::new(),
            attack: None,
        });
        if header.purpose == Purpose::Preview && self.request.preview_fps == 0 {
            return Ok(());
        }
        self.say(&FromDevice::Picture {
            id: self.request.id,
            picture: Box::new(header),
        })?;
        let mut stream = self.stream;
        Ok(stream.write_all(&picture.pixels)?)
    }

    fn event(&self, event: Event) -> Result<(), Stop> {
        let id = self.request.id;
        Ok(self.say(&FromDevice::Event { id, event })?)
    }

    fn say(&self, message: &FromDevice) -> Result<(), Broken> {
        let mut stream = self.stream;
        Ok(stream.write_all(&protocol::encode(message)?)?)
    }
}

/// A preview is a picture of which the device says nothing.
fn as_preview(header: PictureHeader) -> PictureHeader {
    header
}
