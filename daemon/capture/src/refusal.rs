//! Why a frame is not usable.

use recueil_dossier::{Criterion, Frame, Guidance};

/// Every reason that applies, and the measured values behind them.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What the person at the device can do.
    pub guidance: Vec<Guidance>,
    /// What was measured; those that do not pass are the reasons.
    pub criteria: Vec<Criterion>,
}

impl Refusal {
    /// A refusal for one reason.
    pub(crate) fn because(guidance: Guidance, criteria: Vec<Criterion>) -> Self {
        Self {
            guidance: vec![guidance],
            criteria,
        }
    }

    /// The value of a criterion: `fingers-found` counts what [`Guidance::FingersMissing`] is about.
    pub fn value(&self, code: &str) -> Option<f64> {
        self.criteria
            .iter()
            .find(|criterion| criterion.code == code)
            .map(|criterion| criterion.value)
    }
}

/// A value that must be at least `threshold`.
pub(crate) fn at_least(code: &str, value: f64, threshold: f64) -> Criterion {
    Criterion {
        code: code.to_owned(),
        value,
        threshold: Some(threshold),
        pass: value >= threshold,
    }
}

/// A value that must be at most `threshold`.
pub(crate) fn at_most(code: &str, value: f64, threshold: f64) -> Criterion {
    Criterion {
        code: code.to_owned(),
        value,
        threshold: Some(threshold),
        pass: value <= threshold,
    }
}

/// A value that must be `wanted` but for a tolerance; the threshold told is the nearer bound.
pub(crate) fn within(code: &str, value: f64, wanted: f64, tolerance: f64) -> Criterion {
    if value < wanted {
        at_least(code, value, wanted - tolerance)
    } else {
        at_most(code, value, wanted + tolerance)
    }
}

/// A value that is only recorded.
pub(crate) fn recorded(code: &str, value: f64) -> Criterion {
    Criterion {
        code: code.to_owned(),
        value,
        threshold: None,
        pass: true,
    }
}

/// A fact that must not be: its value says how much of it there is.
pub(crate) fn wrong(code: &str, value: f64) -> Criterion {
    Criterion {
        code: code.to_owned(),
        value,
        threshold: Some(0.0),
        pass: false,
    }
}

/// The smaller of a frame's two resolutions in pixels per inch, 0 if unknown.
pub(crate) fn ppi(frame: &Frame) -> f64 {
    f64::from(frame.info.ppi_x_milli.min(frame.info.ppi_y_milli)) / 1000.0
}

/// A frame whose layout is not one of those that the function reads.
pub(crate) fn wrong_layout(frame: &Frame) -> Refusal {
    let bytes_per_pixel = frame.info.format.bytes_per_pixel().unwrap_or(0);
    Refusal::because(
        Guidance::DeviceUnsuitable,
        vec![wrong("bytes-per-pixel", f64::from(bytes_per_pixel))],
    )
}
