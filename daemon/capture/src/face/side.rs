//! The straight, sharp edges near one side of a print.
//!
//! A print's edge is a step within two or three pixels; a shadow fades over many. So what counts as an edge
//! is a change that is over a few pixels further on.

use crate::View;
use crate::number::{floored, index, real, rounded};

use super::geometry::{Line, Point};

/// Lines across a side along which edges are looked for.
const NORMALS: u32 = 128;
/// Most edges kept on one of them: beyond, it is texture.
const EDGES_MAX: usize = 24;
/// Most lines kept for one side.
const LINES_MAX: usize = 8;
/// Largest turn of an edge against the rough side, as a slope: 6°.
const SLOPE_MAX: f64 = 0.105;
/// A line with edges on a smaller share of the normals is no line.
const SUPPORT_MIN: f64 = 0.25;
/// How much of a step must be over at `Scale::fade` pixels from its middle.
const SHARPNESS_MIN: f64 = 0.55;

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
}

/// Where to look: from one rough corner to the next, with the print to the right of that way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) from: Point,
    pub(super) to: Point,
    /// Pixels looked at on the outer side.
    pub(super) outward: f64,
    /// Pixels looked at on the inner side.
    pub(super) inward: f64,
}

/// A straight edge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) line: Line,
    /// Share of the side along which it is seen.
    pub(super) support: f64,
    /// Its distance inward from the rough side's middle, pixels.
    pub(super) depth: f64,
}

/// A step on one normal.
#[derive(Debug, Clone, Copy)]
struct Step {
    /// Which normal.
    normal: u32,
    /// Where along the side, pixels from its middle.
    along: f64,
    /// How far inward, pixels.
    depth: f64,
}

impl Search {
    fn length(&self) -> f64 {
        self.from.distance(self.to).max(1.0)
    }

    fn along(&self) -> Point {
        (self.to - self.from) * (1.0 / self.length())
    }

    /// Straight edges, those seen along most of the side first.
    pub(super) fn edges<const N: usize>(&self, view: View<'_, N>, noise: f64, scale: Scale) -> Vec<Edge> {
        let least = step_min(noise, scale);
        let mut steps: Vec<Step> = (0..NORMALS)
            .flat_map(|normal| self.steps(view, normal, least, scale))
            .collect();
        let mut edges = Vec::new();
        while edges.len() < LINES_MAX {
            let Some(start) = self.most_seen(&steps) else {
                break;
            };
            let Some((fit, edge)) = self.fitted(&steps, start, scale) else {
                break;
            };
            steps.retain(|step| (fit.depth_at(step.along) - step.depth).abs() > scale.straight * 2.0);
            if edge.support >= SUPPORT_MIN {
                edges.push(edge);
            }
        }
        edges
    }

    /// What lies outside of this side, in thirds of its length. The side must be the print's own edge.
    pub(super) fn surroundings<const N: usize>(&self, view: View<'_, N>) -> Surroundings<N> {
        let part = NORMALS / 3;
        Surroundings([0, 1, 2].map(|third| {
            let normals = third * part..(third + 1) * part;
            let profiles: Vec<_> = normals.map(|normal| self.profile(view, normal).1).collect();
            middle(&profiles)
        }))
    }

    /// The profile across the side at one normal, from outside inward; none where it leaves the scan.
    fn profile<const N: usize>(&self, view: View<'_, N>, normal: u32) -> (f64, Vec<Option<[f64; N]>>) {
        // Seven pixels along the side, two apart, stand for one: noise and texture average out.
        const SPREAD: [f64; 7] = [-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0];
        let (along, inward) = (self.along(), self.along().turned());
        let place = (f64::from(normal) + 0.5) / f64::from(NORMALS) * self.length();
        let base = self.from + along * place;
        let profile = (0..rounded(self.outward + self.inward))
            .map(|t| {
                let at = base + inward * (f64::from(t) - self.outward);
                let mut sum = [0.0; N];
                for offset in SPREAD {
                    let point = at + along * offset;
                    let pixel = view.pixel(floored(point.x + 0.5), floored(point.y + 0.5))?;
                    for (total, level) in sum.iter_mut().zip(pixel) {
                        *total += f64::from(level);
                    }
                }
                Some(sum.map(|total| total / real(SPREAD.len())))
            })
            .collect();
        (place - self.length() / 2.0, profile)
    }

    /// Sharp steps on one normal.
    fn steps<const N: usize>(&self, view: View<'_, N>, normal: u32, least: f64, scale: Scale) -> Vec<Step> {
        let (along, profile) = self.profile(view, normal);
        let mut found: Vec<Step> = sharp_steps(&profile, least, scale)
            .into_iter()
            .map(|(t, _height)| Step {
                normal,
                along,
                depth: t - self.outward,
            })
            .collect();
        found.truncate(EDGES_MAX);
        found
    }

    /// The line on which most normals have a step, roughly: all slopes are tried, and depths counted.
    fn most_seen(&self, steps: &[Step]) -> Option<Fit> {
        const SLOPES: i32 = 24;
        let bins = index(rounded((self.outward + self.inward) / 2.0))
            + 2 * index(rounded(self.length() * SLOPE_MAX / 4.0))
            + 2;
        let lift = self.outward + self.length() * SLOPE_MAX / 2.0;
        let mut best: Option<(usize, Fit)> = None;
        for turn in -SLOPES..=SLOPES {
            let slope = f64::from(turn) / f64::from(SLOPES) * SLOPE_MAX;
            // A bin is two pixels; a step counts in its own and the next, once a normal.
            let mut seen = vec![(u32::MAX, 0_usize); bins];
            for step in steps {
                let bin = index(rounded((step.depth - slope * step.along + lift) / 2.0));
                for near in [bin, bin + 1] {
                    if let Some((last, times)) = seen.get_mut(near)
                        && *last != step.normal
                    {
                        *last = step.normal;
                        *times += 1;
                    }
                }
            }
            let fullest = seen
                .iter()
                .enumerate()
                .max_by_key(|(_bin, (_last, times))| *times);
            if let Some((bin, (_last, times))) = fullest
                && best.is_none_or(|(most, _fit)| *times > most)
            {
                best = Some((
                    *times,
                    Fit {
                        depth: real(bin) * 2.0 - 1.0 - lift,
                        slope,
                    },
                ));
            }
        }
        best.filter(|(times, _fit)| real(*times) >= SUPPORT_MIN * f64::from(NORMALS))
            .map(|(_times, fit)| fit)
    }

    /// Least squares on the steps near a rough line, narrowed twice.
    fn fitted(&self, steps: &[Step], rough: Fit, scale: Scale) -> Option<(Fit, Edge)> {
        let mut fit = rough;
        for reach in [3.0, 1.5, 1.0] {
            fit = Fit::through(&nearest(steps, fit, scale.straight * reach))?;
        }
        let near = nearest(steps, fit, scale.straight);
        let (along, inward) = (self.along(), self.along().turned());
        let middle = self.from.towards(self.to, 0.5);
        let length = (1.0 + fit.slope * fit.slope).sqrt();
        let line = Line {
            point: middle + inward * fit.depth,
            direction: (along + inward * fit.slope) * (1.0 / length),
        };
        let support = real(near.len()) / f64::from(NORMALS);
        Some((
            fit,
            Edge {
                line,
                support,
                depth: fit.depth,
            },
        ))
    }
}

/// Profiles from the lid to the edge of a print, one for each third of a side.
#[derive(Debug)]
pub(super) struct Surroundings<const N: usize>([Vec<Option<[f64; N]>>; 3]);

impl<const N: usize> Surroundings<N> {
    /// Whether a step runs along the side further out than `from_px`, even one too faint to be seen on one
    /// normal: two thirds must agree.
    pub(super) fn have_step(&self, from_px: f64, noise: f64, scale: Scale) -> bool {
        let least = (noise * 0.4).max(2.0);
        let [a, b, c] = self.0.each_ref().map(|profile| {
            let mut steps = sharp_steps(profile, least, scale);
            steps.retain(|(t, _height)| real(profile.len()) - t > from_px);
            steps
        });
        let agree = |one: &[(f64, f64)], other: &[(f64, f64)]| {
            let close = |t: f64, near: f64| (t - near).abs() <= scale.straight * 3.0;
            one.iter()
                .any(|(t, _)| other.iter().any(|(near, _)| close(*t, *near)))
        };
        agree(&a, &b) || agree(&b, &c) || agree(&a, &c)
    }

    /// How much the lid's level at the edge differs from that further out, in the least shaded third.
    pub(super) fn shade(&self, scale: Scale) -> f64 {
        let shade = |profile: &Vec<Option<[f64; N]>>| {
            let window = index(rounded(scale.mm * 0.25));
            let gap = index(rounded(scale.mm * 0.12));
            let end = profile.len().checked_sub(gap)?;
            let near = mean(profile.get(end.checked_sub(window)?..end)?)?;
            let far = mean(profile.get(..window)?)?;
            let mut step = near;
            for (level, other) in step.iter_mut().zip(far) {
                *level -= other;
            }
            Some(length(step) / real(N).sqrt())
        };
        self.0.iter().filter_map(shade).fold(f64::INFINITY, f64::min)
    }
}

/// The smallest step that noise does not make.
fn step_min(noise: f64, scale: Scale) -> f64 {
    let averaged = real(7 * scale.window);
    (noise * (2.0 / averaged).sqrt() * 6.0).max(6.0)
}

/// Places and heights of the sharp steps of a profile, strongest first.
fn sharp_steps<const N: usize>(profile: &[Option<[f64; N]>], least: f64, scale: Scale) -> Vec<(f64, f64)> {
    let steps: Vec<Option<[f64; N]>> = (0..profile.len())
        .map(|t| step_at(profile, t, scale.window))
        .collect();
    let height = |t: usize| steps.get(t).copied().flatten().map(|step| length(step));
    let mut found = Vec::new();
    for t in scale.fade..profile.len().saturating_sub(scale.fade) {
        let (Some(before), Some(here), Some(after)) = (height(t - 1), height(t), height(t + 1)) else {
            continue;
        };
        if here < least || here < before || here <= after {
            continue;
        }
        let Some(Some(step)) = steps.get(t) else { continue };
        // What goes on in the same direction further out or in is a fading shadow, not this step.
        let beyond = [t - scale.fade, t + scale.fade]
            .into_iter()
            .filter_map(|near| steps.get(near).copied().flatten())
            .map(|near| along(near, *step))
            .fold(0.0, f64::max);
        let own = here - beyond;
        if own >= least && own >= here * SHARPNESS_MIN {
            let bend = before + after - 2.0 * here;
            let shift = if bend < -1e-9 {
                (before - after) / (2.0 * bend)
            } else {
                0.0
            };
            // A step between two pixels is half a pixel before the second.
            found.push((real(t) - 0.5 + shift, own));
        }
    }
    found.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    found
}

/// Mean of the `window` pixels from `t` on, less the mean of those before.
fn step_at<const N: usize>(profile: &[Option<[f64; N]>], t: usize, window: usize) -> Option<[f64; N]> {
    let before = mean(profile.get(t.checked_sub(window)?..t)?)?;
    let mut after = mean(profile.get(t..t + window)?)?;
    for (level, other) in after.iter_mut().zip(before) {
        *level -= other;
    }
    Some(after)
}

fn mean<const N: usize>(pixels: &[Option<[f64; N]>]) -> Option<[f64; N]> {
    let mut sum = [0.0; N];
    for pixel in pixels {
        for (total, level) in sum.iter_mut().zip((*pixel)?) {
            *total += level;
        }
    }
    Some(sum.map(|total| total / real(pixels.len())))
}

/// The middle of profiles, place by place and channel by channel: a speck of dust on a few of them does not
/// show. None where one of them leaves the scan.
fn middle<const N: usize>(profiles: &[Vec<Option<[f64; N]>>]) -> Vec<Option<[f64; N]>> {
    let len = profiles.iter().map(Vec::len).min().unwrap_or(0);
    (0..len)
        .map(|t| {
            let pixels: Option<Vec<[f64; N]>> = profiles
                .iter()
                .map(|profile| profile.get(t).copied().flatten())
                .collect();
            let pixels = pixels?;
            let mut middle = [0.0; N];
            for (channel, value) in middle.iter_mut().enumerate() {
                let mut levels: Vec<f64> = pixels
                    .iter()
                    .filter_map(|pixel| pixel.get(channel).copied())
                    .collect();
                let half = levels.len() / 2;
                levels.sort_by(f64::total_cmp);
                *value = levels.get(half).copied()?;
            }
            Some(middle)
        })
        .collect()
}

/// Height of a step over all channels.
fn length<const N: usize>(step: [f64; N]) -> f64 {
    step.iter().map(|level| level * level).sum::<f64>().sqrt()
}

/// The part of one step that goes the way of another.
fn along<const N: usize>(step: [f64; N], way: [f64; N]) -> f64 {
    step.iter().zip(way).map(|(a, b)| a * b).sum::<f64>() / length(way).max(1e-9)
}

/// A line across a side: depth in its middle, and slope.
#[derive(Debug, Clone, Copy)]
struct Fit {
    depth: f64,
    slope: f64,
}

impl Fit {
    fn depth_at(&self, along: f64) -> f64 {
        self.depth + self.slope * along
    }

    fn through(steps: &[Step]) -> Option<Self> {
        let n = real(steps.len());
        if steps.len() < 8 {
            return None;
        }
        let mean_along = steps.iter().map(|step| step.along).sum::<f64>() / n;
        let mean_depth = steps.iter().map(|step| step.depth).sum::<f64>() / n;
        let spread = steps
            .iter()
            .map(|step| (step.along - mean_along).powi(2))
            .sum::<f64>();
        let common = steps
            .iter()
            .map(|step| (step.along - mean_along) * (step.depth - mean_depth))
            .sum::<f64>();
        if spread < 1.0 {
            return None;
        }
        let slope = common / spread;
        Some(Self {
            depth: mean_depth - slope * mean_along,
            slope,
        })
    }
}

/// For each normal its step nearest to a line, if within reach.
fn nearest(steps: &[Step], fit: Fit, reach: f64) -> Vec<Step> {
    let mut by_normal: Vec<Option<Step>> = vec![None; index(NORMALS)];
    let off = |step: &Step| (fit.depth_at(step.along) - step.depth).abs();
    for step in steps.iter().filter(|step| off(step) <= reach) {
        if let Some(place) = by_normal.get_mut(index(step.normal))
            && place.is_none_or(|held| off(step) < off(&held))
        {
            *place = Some(*step);
        }
    }
    by_normal.into_iter().flatten().collect()
}
