//! Finding the one print on the glass.
//!
//! First on a reduced scan: what differs from the lid is an object, and one object of a print's size is
//! wanted. Then on the full scan, near the object's sides: sharp straight edges, four of which must make a
//! rectangle of the print's size. What cannot be proved is refused with the reason; nothing is guessed, since
//! a photo cut wrong by a millimetre is a wrong photo on a title for ten years.

use recueil_dossier::{Criterion, Frame, Guidance, PixelFormat};

use super::Photo;
use super::geometry::{Point, Quad};
use super::lid::{Lid, Object, objects};
use super::outline::{self, EVIDENCE_MEAN_MIN, EVIDENCE_MIN, Finding, Outline, SKEW_MAX_DEG};
use super::profile::Scale;
use super::straighten::straighten;
use crate::number::{real, rounded};
use crate::refusal::{at_least, at_most, within, wrong, wrong_layout};
use crate::{PhotoProfile, Picture, Refusal, Rgb, View};

/// Density of the reduced scan.
const LOOK_PPI: f64 = 75.0;
/// Pieces smaller than this are dust, square millimetres.
const DUST_MM2: f64 = 4.0;
/// Most pieces looked at, the largest first: a glass full of crumbs must not take minutes.
const PIECES_MAX: usize = 64;
/// An object's rectangle is at least this large, square millimetres; a print has 1575.
const OBJECT_MIN_MM2: f64 = 300.0;
/// Resolutions along and across the scan may differ by this, per cent: more would be another print's shape.
const ASPECT_MAX_PERCENT: f64 = 0.5;
/// No scanner has more; a device that says so would only make the search long.
const PPI_MAX: f64 = 2400.0;
/// Foreign matter around the print that may be there, square millimetres: more is a second print beneath.
const BESIDE_MAX_MM2: f64 = 60.0;
/// What the measurement itself may err by, degrees.
const TILT_ERROR_DEG: f64 = 0.25;

/// Finds the one print on the glass, straightens it and cuts it out at the profile's size, always smaller
/// than it was scanned.
///
/// # Errors
/// Every reason that applies: no print, several, one cut off, tilted, of another size, or with an edge that
/// cannot be told from the lid; [`Guidance::DeviceUnsuitable`] for a JPEG frame, or a resolution that is too
/// low or not the same both ways.
pub fn find_print(frame: &Frame, profile: &PhotoProfile) -> Result<Photo, Refusal> {
    let refused = || wrong_layout(frame);
    match frame.info.format {
        PixelFormat::Gray8 => find(
            View::<1>::of(frame).ok_or_else(refused)?,
            frame,
            profile,
            |[gray]| [gray; 3],
        ),
        PixelFormat::Rgb24 => find(
            View::<3>::of(frame).ok_or_else(refused)?,
            frame,
            profile,
            |pixel| pixel,
        ),
        PixelFormat::Jpeg => Err(refused()),
    }
}

fn find<const N: usize>(
    view: View<'_, N>,
    frame: &Frame,
    profile: &PhotoProfile,
    color: impl Fn([u8; N]) -> [u8; 3],
) -> Result<Photo, Refusal> {
    let (ppi, resolution) = resolution(frame, profile)?;
    let scale = Scale::at(ppi);
    let look = Look::at(view, ppi);
    let lid = Lid::measure(view, look.reduced.view());
    let object = only_object(&look, &lid, profile)?;
    let rough = object.outline.map(|cell| look.full(cell));
    let cut_off = object.touches_rim(look.reduced.width(), look.reduced.height());
    let (outline, mut verdict) = match outline::find(view, &lid, &rough, scale, profile) {
        Finding::Print(outline) => (outline, Verdict::of(&outline, scale, profile)),
        Finding::OnItsSide(outline) => {
            let tilt = 90.0 - outline.quad.tilt().to_degrees().abs();
            let criterion = at_most("tilt-deg", tilt, profile.tilt_max_deg);
            return Err(Refusal::because(
                Guidance::PrintTilted,
                vec![resolution, criterion],
            ));
        }
        Finding::OtherSize(outline) => {
            let mut verdict = Verdict::of(&outline, scale, profile);
            verdict.refuse_if(cut_off, Guidance::PrintCutOff);
            let smaller = outline.quad.width() < profile.print_width_mm * scale.mm;
            verdict.refuse_if(smaller && lid.is_light(), Guidance::EdgeUnclear);
            return Err(verdict.into_refusal(resolution));
        }
        Finding::Unclear(evidence) => {
            let area = rough.width() * rough.height() / scale.mm / scale.mm;
            let most = (profile.print_width_mm + profile.print_height_mm / 5.0) * profile.print_height_mm;
            let guidance = if cut_off {
                Guidance::PrintCutOff
            } else if area > most {
                Guidance::SeveralPrints
            } else {
                Guidance::EdgeUnclear
            };
            let evidence = at_least("edge-evidence", evidence, EVIDENCE_MIN);
            return Err(Refusal::because(guidance, vec![resolution, evidence]));
        }
    };
    verdict.refuse_if(cut_off && outline.is_near_rim(view, scale), Guidance::PrintCutOff);
    verdict.refuse_if(
        !outline.is_papers_edge(view, &lid, scale, profile),
        Guidance::EdgeUnclear,
    );
    verdict.judge(
        Guidance::SeveralPrints,
        look.beside(&object, &lid, &outline, scale),
    );
    if verdict.failed() {
        return Err(verdict.into_refusal(resolution));
    }
    let straight = straighten(view, &outline.quad, profile);
    let pixels = straight.view();
    let picture = Rgb::from_fn(straight.width(), straight.height(), |x, y| {
        pixels.pixel(i64::from(x), i64::from(y)).map_or([255; 3], &color)
    });
    let width_inches = outline.quad.width() / ppi;
    Ok(Photo {
        picture,
        corners: outline.quad.0.map(|corner| (corner.x, corner.y)),
        ppi: rounded(f64::from(profile.width_px) / width_inches),
        criteria: std::iter::once(resolution).chain(verdict.criteria).collect(),
    })
}

/// The scan's resolution, if it serves.
fn resolution(frame: &Frame, profile: &PhotoProfile) -> Result<(f64, Criterion), Refusal> {
    let (x, y) = (
        f64::from(frame.info.ppi_x_milli),
        f64::from(frame.info.ppi_y_milli),
    );
    let ppi = x.min(y) / 1000.0;
    let enough = at_least("scan-ppi", ppi, f64::from(profile.ppi_min));
    let aspect = at_most(
        "scan-aspect-percent",
        (x - y).abs() / x.max(1.0) * 100.0,
        ASPECT_MAX_PERCENT,
    );
    // A print at this resolution must have more pixels than the picture cut from it.
    let side = |mm: f64, px: u32| (mm - profile.tolerance_mm) / 25.4 * ppi >= f64::from(px);
    let smaller =
        side(profile.print_width_mm, profile.width_px) && side(profile.print_height_mm, profile.height_px);
    if ppi > PPI_MAX {
        let criterion = at_most("scan-ppi", ppi, PPI_MAX);
        return Err(Refusal::because(Guidance::DeviceUnsuitable, vec![criterion]));
    }
    if enough.pass && aspect.pass && smaller {
        return Ok((ppi, enough));
    }
    let mut criteria = vec![enough, aspect];
    if !smaller {
        criteria.push(wrong("enlarged", 1.0));
    }
    Err(Refusal::because(Guidance::DeviceUnsuitable, criteria))
}

/// The scan, reduced for a first look.
struct Look<const N: usize> {
    reduced: Picture<N>,
    divisor: f64,
    cell_mm: f64,
}

impl<const N: usize> Look<N> {
    fn at(view: View<'_, N>, ppi: f64) -> Self {
        let divisor = rounded(ppi / LOOK_PPI).max(1);
        Self {
            reduced: view.reduced(divisor),
            divisor: f64::from(divisor),
            cell_mm: f64::from(divisor) * 25.4 / ppi,
        }
    }

    /// A place in cells, whose first begins at 0, as a place in the scan, whose first pixel has its middle at 0.
    fn full(&self, cell: Point) -> Point {
        Point::new(cell.x * self.divisor - 0.5, cell.y * self.divisor - 0.5)
    }

    /// What lies around the print that is neither lid nor its shadow.
    fn beside(&self, object: &Object, lid: &Lid<N>, outline: &Outline, scale: Scale) -> Criterion {
        let view = self.reduced.view();
        let strange = object.cells.iter().filter(|(x, y)| {
            let middle = Point::new(f64::from(*x) + 0.5, f64::from(*y) + 0.5);
            let pixel = view.pixel(i64::from(*x), i64::from(*y));
            !outline.quad.holds(self.full(middle), scale.mm)
                && pixel.is_some_and(|pixel| !lid.is_shaded(pixel))
        });
        at_most(
            "beside-mm2",
            real(strange.count()) * self.cell_mm * self.cell_mm,
            BESIDE_MAX_MM2,
        )
    }
}

/// The object that may be the print. Parts of one print that the lid's colour separates are put together.
fn only_object<const N: usize>(
    look: &Look<N>,
    lid: &Lid<N>,
    profile: &PhotoProfile,
) -> Result<Object, Refusal> {
    let mm = look.cell_mm;
    let fits = |quad: &Quad| {
        let (width, height) = (quad.width() * mm, quad.height() * mm);
        let (narrow, wide) = (width.min(height), width.max(height));
        let (least, most) = (
            profile.print_width_mm.min(profile.print_height_mm),
            profile.print_width_mm.max(profile.print_height_mm),
        );
        narrow <= least + profile.tolerance_mm && wide <= most + profile.tolerance_mm
    };
    let found = objects(look.reduced.view(), lid, DUST_MM2 / mm / mm);
    let mut pieces = found.into_iter().take(PIECES_MAX);
    let none = || Refusal::because(Guidance::NoPrintFound, vec![at_least("prints-found", 0.0, 1.0)]);
    let mut print = pieces.next().ok_or_else(none)?;
    let mut others = 0;
    for piece in pieces {
        let area = piece.area() * mm * mm;
        let nested = piece.lies_within(&print) || print.lies_within(&piece);
        match print.joined(piece, |quad| nested || fits(quad)) {
            Ok(joined) => print = joined,
            Err(alone) => {
                print = alone;
                others += usize::from(area >= OBJECT_MIN_MM2);
            }
        }
    }
    if print.area() * mm * mm < OBJECT_MIN_MM2 {
        return Err(none());
    }
    if others > 0 {
        let criterion = at_most("prints-found", real(others + 1), 1.0);
        return Err(Refusal::because(Guidance::SeveralPrints, vec![criterion]));
    }
    Ok(print)
}

/// Reasons as they are found.
struct Verdict {
    guidance: Vec<Guidance>,
    criteria: Vec<Criterion>,
}

impl Verdict {
    /// What an outline alone tells.
    fn of(outline: &Outline, scale: Scale, profile: &PhotoProfile) -> Self {
        let mut verdict = Self {
            guidance: Vec::new(),
            criteria: Vec::new(),
        };
        let tilt = outline.quad.tilt().to_degrees();
        verdict.judge(
            Guidance::PrintTilted,
            at_most("tilt-deg", tilt.abs(), profile.tilt_max_deg + TILT_ERROR_DEG),
        );
        let size = |code, px: f64, mm: f64| within(code, px / scale.mm, mm, profile.tolerance_mm);
        let (width, height) = (outline.quad.width(), outline.quad.height());
        verdict.judge(
            Guidance::PrintWrongSize,
            size("print-width-mm", width, profile.print_width_mm),
        );
        verdict.judge(
            Guidance::PrintWrongSize,
            size("print-height-mm", height, profile.print_height_mm),
        );
        verdict.judge(
            Guidance::EdgeUnclear,
            at_least("edge-evidence", outline.evidence, EVIDENCE_MIN),
        );
        verdict.judge(
            Guidance::EdgeUnclear,
            at_least("edge-evidence-mean", outline.mean_evidence, EVIDENCE_MEAN_MIN),
        );
        verdict.judge(
            Guidance::PrintWrongSize,
            at_most("skew-deg", outline.skew_deg, SKEW_MAX_DEG),
        );
        verdict
    }

    fn refuse_if(&mut self, wrong: bool, guidance: Guidance) {
        if wrong && !self.guidance.contains(&guidance) {
            self.guidance.push(guidance);
        }
    }

    fn judge(&mut self, guidance: Guidance, criterion: Criterion) {
        self.refuse_if(!criterion.pass, guidance);
        self.criteria.push(criterion);
    }

    fn failed(&self) -> bool {
        !self.guidance.is_empty()
    }

    fn into_refusal(self, resolution: Criterion) -> Refusal {
        Refusal {
            guidance: self.guidance,
            criteria: std::iter::once(resolution).chain(self.criteria).collect(),
        }
    }
}
