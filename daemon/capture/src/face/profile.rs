//! What is met on a short way across an edge.
//!
//! A print's edge is a step within two or three pixels; a shadow fades over many. So what counts as an edge
//! is a change that is over a few pixels further on. Texture counts like a colour: where a grey coat ends
//! in a grey shadow, only its weave does.

use crate::View;
use crate::number::{floored, index, real, rounded};

use super::geometry::Point;

/// How much of a step must be over at [`Scale::fade`] pixels from its middle.
const SHARPNESS_MIN: f64 = 0.55;
/// Pixels along the edge that stand for one: noise and the print's own grain average out.
const SPREAD: [f64; 13] = [
    -12.0, -10.0, -8.0, -6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0,
];
/// Weight of texture against colour.
const TEXTURE_WEIGHT: f64 = 2.0;

/// Pixel distances, which grow with the resolution.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Pixels per millimetre.
    pub(super) mm: f64,
    /// Pixels averaged on each side of a step.
    window: usize,
    /// Distance at which a sharp step is over.
    fade: usize,
    /// How far an edge may lie from its line.
    pub(super) straight: f64,
}

impl Scale {
    pub(super) fn at(ppi: f64) -> Self {
        // 600 ppi is where the numbers were found.
        let factor = ppi / 600.0;
        Self {
            mm: ppi / 25.4,
            window: index(rounded(3.0 * factor).max(2)),
            fade: index(rounded(4.0 * factor).max(3)),
            straight: 2.0 * factor,
        }
    }

    /// The smallest step that noise of one pixel does not make.
    pub(super) fn step_min(self, noise: f64) -> f64 {
        let averaged = real(SPREAD.len() * self.window);
        (noise * (2.0 / averaged).sqrt() * 8.0).max(6.0)
    }
}

/// Colour (the first three; grey is the first alone) and texture of one place.
pub(super) type Sample = [f64; 4];

const COLOR: Sample = [1.0, 1.0, 1.0, 0.0];
const TEXTURE: Sample = [0.0, 0.0, 0.0, 1.0];

/// Samples one pixel apart; none where the way leaves the scan.
#[derive(Debug, Clone)]
pub(super) struct Profile(Vec<Option<Sample>>);

/// A sharp step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jump {
    /// Where, pixels from the first sample.
    pub(super) place: f64,
    /// How high, grey levels.
    pub(super) height: f64,
}

impl Profile {
    /// The way from `start` in the direction `inward`, of some pixels.
    pub(super) fn across<const N: usize>(
        view: View<'_, N>,
        start: Point,
        inward: Point,
        pixels: u32,
    ) -> Self {
        // To the left of the way inward lies the way along the edge; the sign does not matter.
        let along = inward.turned();
        Self(
            (0..pixels)
                .map(|t| sample(view, start + inward * f64::from(t), along))
                .collect(),
        )
    }

    /// The middle of some profiles, place by place: a speck of dust on a few of them does not show.
    pub(super) fn middle(profiles: &[Self]) -> Self {
        let len = profiles.iter().map(|profile| profile.0.len()).min().unwrap_or(0);
        let at = |t: usize| {
            let samples: Option<Vec<Sample>> = profiles
                .iter()
                .map(|profile| profile.0.get(t).copied().flatten())
                .collect();
            middle(&samples?)
        };
        Self((0..len).map(at).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mean of some of its samples.
    pub(super) fn mean(&self, range: std::ops::Range<usize>) -> Option<Sample> {
        let samples = self.0.get(range).filter(|samples| !samples.is_empty())?;
        let mut sum = [0.0; 4];
        for sample in samples {
            for (total, value) in sum.iter_mut().zip((*sample)?) {
                *total += value;
            }
        }
        Some(sum.map(|total| total / real(samples.len())))
    }

    /// The samples from `t` on, less those before.
    fn step(&self, t: usize, window: usize) -> Option<Sample> {
        let before = self.mean(t.checked_sub(window)?..t)?;
        Some(less(self.mean(t..t + window)?, before))
    }

    /// Its sharp steps of at least some height, highest first: those of colour and those of texture, which a
    /// shadow's slope does not hide.
    pub(super) fn jumps(&self, least: f64, scale: Scale) -> Vec<Jump> {
        let steps: Vec<Option<Sample>> = (0..self.0.len()).map(|t| self.step(t, scale.window)).collect();
        let part = |keep: Sample| {
            let kept = steps.iter().map(|step| step.map(|step| product(step, keep)));
            jumps(&kept.collect::<Vec<_>>(), least, scale)
        };
        let mut found = part(COLOR);
        for jump in part(TEXTURE) {
            if found
                .iter()
                .all(|other| (other.place - jump.place).abs() > scale.straight)
            {
                found.push(jump);
            }
        }
        found.sort_by(|one, other| other.height.total_cmp(&one.height));
        found
    }
}

fn jumps(steps: &[Option<Sample>], least: f64, scale: Scale) -> Vec<Jump> {
    let step = |t: usize| steps.get(t).copied().flatten();
    let mut found = Vec::new();
    for t in scale.fade..steps.len().saturating_sub(scale.fade) {
        let (Some(before), Some(here), Some(after)) = (step(t - 1), step(t), step(t + 1)) else {
            continue;
        };
        let (low, height, high) = (length(before), length(here), length(after));
        if height < least || height < low || height <= high {
            continue;
        }
        // What goes on in the same direction further out or in is a fading shadow, not this step.
        let beyond = [t - scale.fade, t + scale.fade]
            .into_iter()
            .filter_map(step)
            .map(|near| part_along(near, here))
            .fold(0.0, f64::max);
        let own = height - beyond;
        if own >= least && own >= height * SHARPNESS_MIN {
            let bend = low + high - 2.0 * height;
            let shift = if bend < -1e-9 {
                (low - high) / (2.0 * bend)
            } else {
                0.0
            };
            // A step between two pixels is half a pixel before the second.
            found.push(Jump {
                place: real(t) - 0.5 + shift,
                height: own,
            });
        }
    }
    found
}

/// Mean and spread of the pixels along the edge at one place.
fn sample<const N: usize>(view: View<'_, N>, at: Point, along: Point) -> Option<Sample> {
    let n = real(SPREAD.len());
    let mut sum = [0.0; N];
    let mut squares = 0.0;
    for offset in SPREAD {
        let point = at + along * offset;
        let pixel = view
            .pixel(floored(point.x + 0.5), floored(point.y + 0.5))?
            .map(f64::from);
        for (total, level) in sum.iter_mut().zip(pixel) {
            *total += level;
            squares += level * level;
        }
    }
    let mean_squares: f64 = sum.iter().map(|total| (total / n) * (total / n)).sum();
    let variance = (squares / n - mean_squares).max(0.0) / real(N);
    let mut sample = [0.0; 4];
    for (value, total) in sample.iter_mut().take(3).zip(sum) {
        *value = total / n;
    }
    let [.., texture] = &mut sample;
    *texture = variance.sqrt() * TEXTURE_WEIGHT;
    Some(sample)
}

fn middle(samples: &[Sample]) -> Option<Sample> {
    let mut middle = [0.0; 4];
    for (channel, value) in middle.iter_mut().enumerate() {
        let mut values: Vec<f64> = samples
            .iter()
            .filter_map(|sample| sample.get(channel).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        *value = values.get(values.len() / 2).copied()?;
    }
    Some(middle)
}

fn product(mut one: Sample, other: Sample) -> Sample {
    for (value, factor) in one.iter_mut().zip(other) {
        *value *= factor;
    }
    one
}

/// The difference of two samples.
pub(super) fn less(mut one: Sample, other: Sample) -> Sample {
    for (value, other) in one.iter_mut().zip(other) {
        *value -= other;
    }
    one
}

/// Height of a step over all channels.
pub(super) fn length(step: Sample) -> f64 {
    step.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The part of one step that goes the way of another.
fn part_along(step: Sample, way: Sample) -> f64 {
    step.iter().zip(way).map(|(a, b)| a * b).sum::<f64>() / length(way).max(1e-9)
}
