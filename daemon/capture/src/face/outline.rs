//! From straight edges to the print's outline, and the proof that it is one.

use crate::{PhotoProfile, View};

use super::geometry::Quad;
use super::lid::Lid;
use super::profile::Scale;
use super::side::{Edge, Search};

/// Share of each side along which its edge must be seen. Where a grey coat meets a grey shadow it is not.
pub(super) const EVIDENCE_MIN: f64 = 0.55;
/// Share that must be seen in the mean of the four sides.
pub(super) const EVIDENCE_MEAN_MIN: f64 = 0.65;
/// Share of each side along which something else may lie outside: dust, not a weaker edge.
const CLUTTER_MAX: f64 = 0.15;
/// How far sides may be from parallel and square, degrees.
pub(super) const SKEW_MAX_DEG: f64 = 1.0;
/// How far an edge is looked for inside and outside the rough outline, millimetres. The rough outline holds
/// the shadows too, so the edge lies further in than out.
const INWARD_MM: f64 = 6.0;
const OUTWARD_MM: f64 = 2.5;
/// Around the outline the lid must be free of steps up to this distance, millimetres: a paper's white rim on
/// a white lid shows only there.
const CLEAR_MM: f64 = 3.0;

/// A rim this wide is not missed: the corners of a photo cut along it stay within half a millimetre.
const HIDDEN_RIM_MAX_MM: f64 = 0.35;
/// How much darker than the lid a shadow is that proves an edge, grey levels.
const SHADE_MIN: f64 = 6.0;

/// A print's outline and how sure it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outline {
    pub(super) quad: Quad,
    /// The least seen side: share of its length.
    pub(super) evidence: f64,
    /// The same for all four sides.
    pub(super) mean_evidence: f64,
    /// The largest departure from parallel and square, degrees.
    pub(super) skew_deg: f64,
}

/// What the edges around one object are.
#[derive(Debug)]
pub(super) enum Finding {
    /// Four edges of the right size and shape.
    Print(Outline),
    /// Four edges of another size.
    OtherSize(Outline),
    /// A print lying on its side.
    OnItsSide(Outline),
    /// At least one side cannot be seen; the share of it that can.
    Unclear(f64),
}

/// Looks for the print's edges near a rough outline (full scan, pixels).
pub(super) fn find<const N: usize>(
    view: View<'_, N>,
    lid: &Lid<N>,
    rough: &Quad,
    scale: Scale,
    profile: &PhotoProfile,
) -> Finding {
    let third = rough.width().min(rough.height()) / 3.0;
    let sides = searches(rough, OUTWARD_MM * scale.mm, (INWARD_MM * scale.mm).min(third))
        .map(|search| search.edges(view, lid.noise, scale));
    // What lies within other edges is the picture, not the paper.
    let outer = sides.map(|mut edges| {
        edges.retain(|edge| edge.clutter <= CLUTTER_MAX);
        edges
    });
    let most_seen = |edges: &Vec<Edge>| edges.iter().map(|edge| edge.support).fold(0.0, f64::max);
    let weakest = outer.iter().map(most_seen).fold(1.0, f64::min);
    let clear = outer.map(|mut edges| {
        edges.retain(|edge| edge.support >= EVIDENCE_MIN);
        edges
    });
    let outlines = outlines(&clear);
    let fits = |wanted: (f64, f64)| {
        let close = |px: f64, mm: f64| (px / scale.mm - mm).abs() <= profile.tolerance_mm;
        outlines
            .iter()
            .filter(move |outline| {
                close(outline.quad.width(), wanted.0) && close(outline.quad.height(), wanted.1)
            })
            .filter(|outline| outline.skew_deg <= SKEW_MAX_DEG)
            .max_by(|one, other| one.area().total_cmp(&other.area()))
    };
    let (width, height) = (profile.print_width_mm, profile.print_height_mm);
    if let Some(outline) = fits((width, height)) {
        return Finding::Print(*outline);
    }
    if let Some(outline) = fits((height, width)) {
        return Finding::OnItsSide(*outline);
    }
    outlines
        .first()
        .map_or(Finding::Unclear(weakest), |outline| Finding::OtherSize(*outline))
}

impl Outline {
    fn new(edges: [&Edge; 4]) -> Option<Self> {
        let [top, right, bottom, left] = edges.map(|edge| edge.line);
        let quad = Quad([
            left.meet(top)?,
            top.meet(right)?,
            right.meet(bottom)?,
            bottom.meet(left)?,
        ]);
        let square = |angle: f64| (std::f64::consts::FRAC_PI_2 - angle).abs();
        let skew = [
            top.angle_to(bottom),
            left.angle_to(right),
            square(top.angle_to(left)),
            square(bottom.angle_to(right)),
        ]
        .into_iter()
        .fold(0.0, f64::max);
        let mean_evidence = edges.iter().map(|edge| edge.support).sum::<f64>() / 4.0;
        let evidence = edges.into_iter().map(|edge| edge.support).fold(1.0, f64::min);
        Some(Self {
            quad,
            evidence,
            mean_evidence,
            skew_deg: skew.to_degrees(),
        })
    }

    fn area(&self) -> f64 {
        self.quad.width() * self.quad.height()
    }

    /// Whether it lies so near the scan's rim that a part may be beyond.
    pub(super) fn is_near_rim<const N: usize>(&self, view: View<'_, N>, scale: Scale) -> bool {
        let (right, bottom) = (f64::from(view.width()), f64::from(view.height()));
        let least = INWARD_MM * scale.mm;
        self.quad.0.iter().any(|corner| {
            corner
                .x
                .min(corner.y)
                .min(right - corner.x)
                .min(bottom - corner.y)
                < least
        })
    }

    /// Whether what was found is the paper's own edge all around, as far as the lid can tell.
    pub(super) fn is_papers_edge<const N: usize>(
        &self,
        view: View<'_, N>,
        lid: &Lid<N>,
        scale: Scale,
        profile: &PhotoProfile,
    ) -> bool {
        let sides = searches(&self.quad, CLEAR_MM * scale.mm, 0.0).map(|side| side.surroundings(view));
        if sides
            .iter()
            .any(|side| side.have_step(HIDDEN_RIM_MAX_MM * scale.mm, lid.noise, scale))
        {
            return false;
        }
        // A paper's white rim cannot be seen on a white lid where it throws no shadow: what looks like a print
        // that is a little small may be the picture within the rim.
        let bare = sides.map(|side| side.shade(scale) < SHADE_MIN);
        let [top, right, bottom, left] = bare.map(|bare| bare && lid.is_light());
        let short = |px: f64, mm: f64| mm - px / scale.mm > HIDDEN_RIM_MAX_MM;
        let narrow = short(self.quad.width(), profile.print_width_mm);
        let low = short(self.quad.height(), profile.print_height_mm);
        !(narrow && (left || right) || low && (top || bottom))
    }
}

/// All rectangles that the edges make.
fn outlines([top, right, bottom, left]: &[Vec<Edge>; 4]) -> Vec<Outline> {
    let mut found = Vec::new();
    for top in top {
        for right in right {
            for bottom in bottom {
                for left in left {
                    found.extend(Outline::new([top, right, bottom, left]));
                }
            }
        }
    }
    found
}

/// One search a side: top, right, bottom, left.
fn searches(quad: &Quad, outward: f64, inward: f64) -> [Search; 4] {
    let [a, b, c, d] = quad.0;
    [(a, b), (b, c), (c, d), (d, a)].map(|(from, to)| Search {
        from,
        to,
        outward,
        inward,
    })
}
