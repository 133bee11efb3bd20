//! The limits on every message.

use super::{
    Event, FromDevice, Info, Message, PICTURE_MAX_BYTES, PictureHeader, Request, SEGMENTS_MAX, SIDE_MAX_PX,
    Segment, Subject, TEXT_MAX_BYTES, ToDevice,
};

/// Longest capture.
const DEADLINE_MAX_MS: u32 = 3_600_000;
/// Most previews a second.
const FPS_MAX: u32 = 60;
/// Finest resolution.
const PPI_MAX: u32 = 4_800;
/// Longest side of a glass: A3 and more.
const GLASS_MAX_UM: u32 = 500_000;
/// Longest beep, highest pitch, last lamp.
const FEEDBACK_MAX: u32 = 20_000;

type Checked = Result<(), &'static str>;

impl Message for ToDevice {
    fn check(&self) -> Checked {
        match self {
            Self::Capture(request) => check_request(request),
            Self::Cancel { .. } => Ok(()),
            Self::Feedback(feedback) => {
                let largest = feedback.beep_ms.max(feedback.beep_hz).max(feedback.slot);
                rule(largest <= FEEDBACK_MAX, "a beep or a lamp out of range")
            }
        }
    }
}

impl Message for FromDevice {
    fn check(&self) -> Checked {
        match self {
            Self::Info(info) => check_info(info),
            Self::Event { event, .. } => check_event(*event),
            Self::Picture { picture, .. } => check_picture(picture),
            Self::Started { .. } | Self::Done { .. } => Ok(()),
        }
    }
}

fn check_request(request: &Request) -> Checked {
    rule(
        request.deadline_ms <= DEADLINE_MAX_MS,
        "a deadline of more than an hour",
    )?;
    rule(request.preview_fps <= FPS_MAX, "more than 60 previews a second")?;
    match &request.subject {
        Subject::Fingers { position, missing } => {
            rule(
                *position != 0 && is_position(*position),
                "an unknown finger position",
            )?;
            rule(missing.len() <= 10, "more missing fingers than hands have")?;
            rule(
                missing.iter().all(|finger| matches!(finger, 1..=10)),
                "a missing finger that is none",
            )
        }
        Subject::Face => Ok(()),
        Subject::Glass { ppi, area } => {
            rule(*ppi <= PPI_MAX, "a resolution out of range")?;
            let Some(area) = area else { return Ok(()) };
            let sides = [area.x_um, area.y_um, area.width_um, area.height_um];
            rule(
                sides.iter().all(|side| *side <= GLASS_MAX_UM),
                "an area larger than any glass",
            )?;
            rule(area.width_um > 0 && area.height_um > 0, "an empty area")
        }
    }
}

fn check_info(info: &Info) -> Checked {
    for text in [&info.vendor, &info.model, &info.serial, &info.firmware] {
        rule(text.len() <= TEXT_MAX_BYTES, "a text that is too long")?;
        rule(
            text.chars().all(|letter| matches!(letter, ' '..='~')),
            "a text that is not printable",
        )?;
    }
    rule(
        is_side(info.width_max) && is_side(info.height_max),
        "a side out of range",
    )?;
    rule(info.ppi <= PPI_MAX, "a resolution out of range")
}

fn check_event(event: Event) -> Checked {
    match event {
        Event::Place { position } | Event::Remove { position } => {
            rule(is_position(position), "an unknown finger position")
        }
        Event::Fingers { count } => rule(count <= 10, "more fingers than hands have"),
        Event::Progress { permille } => rule(permille <= 1000, "more progress than the whole"),
        Event::Hold | Event::LiftedEarly | Event::Media { .. } => Ok(()),
    }
}

fn check_picture(picture: &PictureHeader) -> Checked {
    rule(
        is_side(picture.width) && is_side(picture.height),
        "a side out of range",
    )?;
    rule(
        picture.payload_bytes() <= PICTURE_MAX_BYTES,
        "a picture that is too large",
    )?;
    rule(picture.ppi <= PPI_MAX, "a resolution out of range")?;
    rule(picture.page <= 1000, "a page out of range")?;
    rule(is_position(picture.position), "an unknown finger position")?;
    rule(
        picture.segments.len() <= SEGMENTS_MAX,
        "more segments than hands have fingers",
    )?;
    rule(
        picture.attack.is_none_or(|(score, _verdict)| score <= 1000),
        "an attack score out of range",
    )?;
    picture.segments.iter().try_for_each(check_segment)
}

fn check_segment(segment: &Segment) -> Checked {
    rule(segment.position <= 10, "a segment of no finger")?;
    rule(
        segment.x.abs_diff(0) <= SIDE_MAX_PX && segment.y.abs_diff(0) <= SIDE_MAX_PX,
        "a segment far outside",
    )?;
    rule(
        is_side(segment.width) && is_side(segment.height),
        "a segment's side out of range",
    )?;
    rule(
        segment.angle_milli_deg.abs_diff(0) <= 180_000,
        "a turn of more than half a circle",
    )?;
    rule(
        segment.quality.is_none_or(|quality| quality <= 100),
        "a quality out of range",
    )
}

fn is_position(position: u8) -> bool {
    matches!(position, 0..=10 | 13 | 14)
}

fn is_side(side: u32) -> bool {
    (1..=SIDE_MAX_PX).contains(&side)
}

fn rule(kept: bool, broken: &'static str) -> Checked {
    if kept { Ok(()) } else { Err(broken) }
}
