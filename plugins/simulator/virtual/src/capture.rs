//! One capture as the hardware makes it.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use recueil_plugin_simulator::protocol::{
    self, Area, Event, Failure, FailureCode, Format, FromDevice, PICTURE_MAX_BYTES, PictureHeader, Purpose,
    Request, Segment, Subject, ToDevice,
};

use crate::compose::hand::{self, Laid, Slap};
use crate::compose::page::{self, Page};
use crate::compose::{Glass, Picture, face, photo};
use crate::device::{Device, left};
use crate::line::Broken;
use crate::scenario::{FingerName, Lift, Lying, Presentation, Says, WhichHand};

/// Resolutions of the flatbed.
const SCAN_PPI: std::ops::RangeInclusive<u32> = 75..=1200;
/// Steps of a hand that comes: how firmly it lies on each preview.
const COMING: [f64; 4] = [0.0, 0.35, 0.75, 1.0];
/// How long a hand that was lifted early stays away.
const AWAY: Duration = Duration::from_millis(400);

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

    fn fingers(&mut self, asked: u8, missing: &[u8]) -> Result<(), Stop> {
        if self.device.info().kind != protocol::Kind::Fingerprint
            || self.request.format == Some(Format::Rgb24)
        {
            return Err(FailureCode::Unsupported.into());
        }
        let came = came(
            self.presentation,
            asked,
            missing,
            self.device.last_hand_is_right(),
        );
        let laid = |fingers| Laid {
            fingers,
            seed: self.seed,
            quality: self.presentation.quality,
        };
        let hands = &self.device.images.hands;
        if came.iter().any(|finger| !hands.0.contains_key(finger)) || came.is_empty() {
            return Err(FailureCode::Unsupported.into());
        }
        self.event(Event::Place { position: asked })?;
        let empty = hand::lay(hands, &laid(&[]));
        let slap = hand::lay(hands, &laid(&came));
        self.wait_for_it(Some(&empty.picture))?;
        if self.presentation.lift != Lift::After {
            self.touch(&slap, &empty, &COMING[..2])?;
            self.event(Event::LiftedEarly)?;
            self.event(Event::Fingers { count: 0 })?;
            self.show(&empty.picture, as_preview)?;
            match self.presentation.lift {
                Lift::ForGood => loop {
                    self.pause(AWAY)?;
                },
                _ => self.pause(AWAY)?,
            }
            self.event(Event::Place { position: asked })?;
        }
        self.touch(&slap, &empty, &COMING)?;
        self.event(Event::Hold)?;
        self.device
            .saw_hand(is_right(came.first().copied().unwrap_or(asked)));
        let says = self.presentation.says;
        let attack = if self.presentation.attack {
            (940, true)
        } else {
            (20, false)
        };
        self.show(&slap.picture, |header| PictureHeader {
            purpose: Purpose::Result,
            position: whole(says, asked, &came),
            segments: slap
                .segments
                .iter()
                .map(|segment| said(says, asked, segment))
                .collect(),
            attack: Some(attack),
            ..header
        })?;
        self.event(Event::Remove { position: asked })
    }

    /// A hand comes down.
    fn touch(&mut self, slap: &Slap, empty: &Slap, steps: &[f64]) -> Result<(), Stop> {
        let count = u8::try_from(slap.segments.len()).unwrap_or(10);
        self.event(Event::Fingers { count })?;
        for step in steps {
            if self.request.preview_fps > 0 {
                self.show(&slap.lighter(empty, *step), as_preview)?;
                self.pause(self.between_previews())?;
            }
        }
        Ok(())
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

    fn glass(&mut self, ppi: u32, area: Option<Area>) -> Result<(), Stop> {
        let glass = Glass {
            area: area.unwrap_or(Glass::A4),
            ppi: if ppi == 0 { self.device.info().ppi } else { ppi },
            format: self.request.format.unwrap_or(Format::Rgb24),
        };
        if !self.can_scan(&glass) {
            return Err(FailureCode::Unsupported.into());
        }
        self.wait_for_it(None)?;
        let lying = self.presentation.glass.as_ref();
        self.event(Event::Media {
            present: lying != Some(&Lying::Nothing),
        })?;
        self.event(Event::Progress { permille: 100 })?;
        let picture = match lying {
            Some(Lying::Nothing) => page::scan_nothing(self.seed, &glass),
            Some(Lying::Signature) => page::scan_signature(self.seed, &glass),
            Some(Lying::Photo(variant)) => {
                let portrait = self.device.images.portrait(self.presentation.portrait.as_deref());
                let portrait = portrait.ok_or(FailureCode::Unsupported)?;
                photo::scan_photo(portrait, self.seed, variant, &glass).picture
            }
            Some(Lying::Page { title, code }) => self.page(title, code.clone(), &glass)?,
            None => self.page("ATTESTATION", None, &glass)?,
        };
        // A cancel that came meanwhile.
        self.pause(Duration::ZERO)?;
        self.event(Event::Progress { permille: 900 })?;
        self.show(&picture, |header| PictureHeader {
            purpose: Purpose::Result,
            ppi: glass.ppi,
            page: 1,
            ..header
        })
    }

    fn page(&self, title: &str, code: Option<String>, glass: &Glass) -> Result<Picture, Stop> {
        let page = Page {
            title: title.to_owned(),
            code,
        };
        page::scan_page(self.seed, &page, glass).map_err(|_too_long| FailureCode::Failed.into())
    }

    fn can_scan(&self, glass: &Glass) -> bool {
        let info = self.device.info();
        let area = glass.area;
        let (width, height) = glass.size();
        let bytes = u64::from(width) * u64::from(height) * 3;
        info.kind == protocol::Kind::Scanner
            && SCAN_PPI.contains(&glass.ppi)
            && area.x_um.saturating_add(area.width_um) <= Glass::A4.width_um
            && area.y_um.saturating_add(area.height_um) <= Glass::A4.height_um
            && width <= info.width_max
            && height <= info.height_max
            && bytes <= PICTURE_MAX_BYTES
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

fn is_right(position: u8) -> bool {
    matches!(position, 1..=5 | 13)
}

/// The fingers that come, by position.
fn came(presentation: &Presentation, asked: u8, missing: &[u8], last_is_right: Option<bool>) -> Vec<u8> {
    let asked_right = is_right(asked);
    let right = match presentation.hand {
        WhichHand::Asked => asked_right,
        WhichHand::Other => !asked_right,
        WhichHand::Same => last_is_right.unwrap_or(asked_right),
        WhichHand::Right => true,
        WhichHand::Left => false,
    };
    let first = if right { 1 } else { 6 };
    let fingers = match asked {
        1..=10 => vec![first + (asked - 1) % 5],
        _ => (first + 1..first + 5).collect(),
    };
    let comes = |finger: &u8| {
        let held_back = presentation.without.contains(&FingerName::of(*finger));
        !held_back && !missing.contains(finger)
    };
    fingers.into_iter().filter(comes).collect()
}

/// What the device takes the whole picture for.
fn whole(says: Says, asked: u8, came: &[u8]) -> u8 {
    let first = came.first().copied().unwrap_or(asked);
    match says {
        Says::Nothing => 0,
        Says::Asked => asked,
        Says::Shown if asked <= 10 => first,
        Says::Shown if is_right(first) => 13,
        Says::Shown => 14,
    }
}

/// What the device says of one finger.
fn said(says: Says, asked: u8, segment: &Segment) -> Segment {
    let position = match says {
        Says::Nothing => 0,
        Says::Shown => segment.position,
        Says::Asked => (segment.position - 1) % 5 + if is_right(asked) { 1 } else { 6 },
    };
    Segment { position, ..*segment }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand(hand: WhichHand) -> Presentation {
        Presentation {
            hand,
            ..Presentation::default()
        }
    }

    #[test]
    fn the_fingers_that_come_follow_the_scenario_and_the_person() {
        assert_eq!(came(&hand(WhichHand::Asked), 13, &[], None), [2, 3, 4, 5]);
        assert_eq!(came(&hand(WhichHand::Asked), 14, &[8], None), [7, 9, 10]);
        assert_eq!(came(&hand(WhichHand::Other), 13, &[2], None), [7, 8, 9, 10]);
        assert_eq!(came(&hand(WhichHand::Same), 14, &[], Some(true)), [2, 3, 4, 5]);
        assert_eq!(came(&hand(WhichHand::Other), 2, &[], None), [7]);
        let three = Presentation {
            without: vec![FingerName::Little],
            ..Presentation::default()
        };
        assert_eq!(came(&three, 13, &[], None), [2, 3, 4]);
    }

    #[test]
    fn a_device_says_what_it_saw_what_was_asked_or_nothing() {
        let left = [7, 8, 9, 10];
        assert_eq!(whole(Says::Shown, 13, &left), 14);
        assert_eq!(whole(Says::Asked, 13, &left), 13);
        assert_eq!(whole(Says::Nothing, 13, &left), 0);
        assert_eq!(whole(Says::Shown, 2, &[7]), 7);
    }
}
