//! The straight edges near one side of a print.

use crate::View;
use crate::number::{index, real, rounded};

use super::geometry::{Line, Point};
use super::profile::{Profile, Scale};
use super::surroundings::Surroundings;

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
    /// Share of the side along which there is another edge further out: what is inside a print has some.
    pub(super) clutter: f64,
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
        let least = scale.step_min(noise);
        let all: Vec<Step> = (0..NORMALS)
            .flat_map(|normal| self.steps(view, normal, least, scale))
            .collect();
        let mut steps = all.clone();
        let mut edges = Vec::new();
        while edges.len() < LINES_MAX {
            let Some(start) = self.most_seen(&steps) else {
                break;
            };
            let Some((fit, support)) = fitted(&steps, start, scale) else {
                break;
            };
            steps.retain(|step| (fit.depth_at(step.along) - step.depth).abs() > scale.straight * 2.0);
            if support >= SUPPORT_MIN {
                let clutter = fit.clutter(&all, scale.straight * 3.0);
                edges.push(Edge {
                    line: self.line(fit),
                    support,
                    clutter,
                });
            }
        }
        edges
    }

    /// What lies outside of this side, in thirds of its length. The side must be the print's own edge.
    pub(super) fn surroundings<const N: usize>(&self, view: View<'_, N>) -> Surroundings {
        let part = NORMALS / 3;
        Surroundings([0, 1, 2].map(|third| {
            let normals = third * part..(third + 1) * part;
            let profiles: Vec<_> = normals.map(|normal| self.profile(view, normal).1).collect();
            Profile::middle(&profiles)
        }))
    }

    /// The profile across the side at one normal, from outside inward, and its place from the side's middle.
    fn profile<const N: usize>(&self, view: View<'_, N>, normal: u32) -> (f64, Profile) {
        let (along, inward) = (self.along(), self.along().turned());
        let place = (f64::from(normal) + 0.5) / f64::from(NORMALS) * self.length();
        let start = self.from + along * place - inward * self.outward;
        let pixels = rounded(self.outward + self.inward);
        (
            place - self.length() / 2.0,
            Profile::across(view, start, inward, pixels),
        )
    }

    /// Sharp steps on one normal.
    fn steps<const N: usize>(&self, view: View<'_, N>, normal: u32, least: f64, scale: Scale) -> Vec<Step> {
        let (along, profile) = self.profile(view, normal);
        let jumps = profile.jumps(least, scale).into_iter().take(EDGES_MAX);
        jumps
            .map(|jump| Step {
                normal,
                along,
                depth: jump.place - self.outward,
            })
            .collect()
    }

    /// The line on which most normals have a step, roughly: all slopes are tried, and depths counted.
    fn most_seen(&self, steps: &[Step]) -> Option<Fit> {
        const SLOPES: i32 = 24;
        let bins = index(rounded(f64::midpoint(self.outward, self.inward)))
            + 2 * index(rounded(self.length() * SLOPE_MAX / 4.0))
            + 2;
        let lift = self.outward + self.length() * SLOPE_MAX / 2.0;
        let mut best: Option<(usize, Fit)> = None;
        for turn in -SLOPES..=SLOPES {
            let slope = f64::from(turn) / f64::from(SLOPES) * SLOPE_MAX;
            // A bin is two pixels; a step counts in its own and the next, once a normal.
            let mut seen = vec![(u32::MAX, 0_usize); bins];
            for step in steps {
                let bin = index(rounded(f64::midpoint(step.depth - slope * step.along, lift)));
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

    /// A line across this side as one of the scan.
    fn line(&self, fit: Fit) -> Line {
        let (along, inward) = (self.along(), self.along().turned());
        let length = (1.0 + fit.slope * fit.slope).sqrt();
        Line {
            point: self.from.towards(self.to, 0.5) + inward * fit.depth,
            direction: (along + inward * fit.slope) * (1.0 / length),
        }
    }
}

/// Least squares on the steps near a rough line, narrowed twice; and the share of normals on it.
fn fitted(steps: &[Step], rough: Fit, scale: Scale) -> Option<(Fit, f64)> {
    let mut fit = rough;
    for reach in [3.0, 1.5, 1.0] {
        fit = Fit::through(&nearest(steps, fit, scale.straight * reach))?;
    }
    let near = nearest(steps, fit, scale.straight);
    Some((fit, real(near.len()) / f64::from(NORMALS)))
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

    /// Share of the normals with a step further out than this line by more than `margin`.
    fn clutter(self, steps: &[Step], margin: f64) -> f64 {
        let mut normals: Vec<u32> = steps
            .iter()
            .filter(|step| self.depth_at(step.along) - step.depth > margin)
            .map(|step| step.normal)
            .collect();
        normals.dedup();
        real(normals.len()) / f64::from(NORMALS)
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
