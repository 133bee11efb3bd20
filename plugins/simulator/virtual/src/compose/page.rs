//! Papers on a scanner's glass: pages of a document, a signed sheet, nothing.

use qrcode::{Color, QrCode};

use super::canvas::{coverage, outside};
use super::{Canvas, Glass, Picture, Placement, Random, glyphs, number};

const LID: [f64; 3] = [238.0, 239.0, 238.0];
const PAPER: [f64; 3] = [251.0, 251.0, 249.0];
const INK: [f64; 3] = [32.0, 32.0, 36.0];
const PEN: [f64; 3] = [28.0, 34.0, 104.0];
/// ISO 216 A4, millimetres.
const SIZE_MM: [f64; 2] = [210.0, 297.0];
const MARGIN_MM: f64 = 22.0;
/// Side of a QR code with its quiet zone, and where it stands.
const CODE_MM: f64 = 42.0;
const CODE_AT_MM: [f64; 2] = [148.0, 40.0];

/// Words of forms, none of which says anything of anybody.
const WORDS: [&str; 32] = [
    "LA",
    "DEMANDE",
    "EST",
    "PRESENTEE",
    "AU",
    "GUICHET",
    "DE",
    "LA",
    "MAIRIE",
    "AVEC",
    "LES",
    "PIECES",
    "QUI",
    "SUIVENT",
    "ET",
    "LE",
    "NUMERO",
    "DU",
    "DOSSIER",
    "CETTE",
    "ATTESTATION",
    "NE",
    "VAUT",
    "PAS",
    "TITRE",
    "POUR",
    "UN",
    "AN",
    "SERVICE",
    "COMMUNE",
    "SIGNEE",
    "DATE",
];

/// What stands on a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Its title; capitals, digits and `.,-':/?` are drawn.
    pub title: String,
    /// The text of its QR code (ISO/IEC 18004, level M), if it has one.
    pub code: Option<String>,
}

/// Scans an A4 page, laid as a person lays it: not quite straight.
///
/// # Errors
/// If the text is too long for a QR code.
pub fn scan_page(seed: u64, page: &Page, glass: &Glass) -> Result<Picture, qrcode::types::QrError> {
    let code = page.code.as_ref().map(QrCode::new).transpose()?;
    let mut random = Random::new(seed);
    let (mut canvas, sheet) = lay_paper(&mut random, seed, glass);
    let title: String = page.title.chars().take(48).collect();
    glyphs::write(&mut canvas, &sheet, [MARGIN_MM, 24.0], 4.6, &title, INK);
    let rule = [MARGIN_MM, 32.0, SIZE_MM[0] - MARGIN_MM, 32.6];
    canvas.paint(&sheet, rule, |u, v| {
        (INK, coverage(outside(rule, u, v), sheet.pixel_mm()))
    });
    write_lines(&mut canvas, &sheet, &mut random, code.is_some());
    if let Some(code) = &code {
        print_code(&mut canvas, &sheet, code);
    }
    Ok(canvas.finish(seed, 1.5))
}

/// Scans a white sheet with a signature in the field at its upper left corner, 105 by 60 mm.
pub fn scan_signature(seed: u64, glass: &Glass) -> Picture {
    let mut random = Random::new(seed);
    let (mut canvas, sheet) = lay_paper(&mut random, seed, glass);
    let points = signature(&mut random);
    for pair in points.windows(2) {
        let [[x0, y0, half0], [x1, y1, half1]] = pair else {
            continue;
        };
        let reach = half0.max(*half1) + 0.2;
        let part = [
            x0.min(*x1) - reach,
            y0.min(*y1) - reach,
            x0.max(*x1) + reach,
            y0.max(*y1) + reach,
        ];
        canvas.paint(&sheet, part, |u, v| {
            let (dx, dy) = (x1 - x0, y1 - y0);
            let along = ((u - x0) * dx + (v - y0) * dy) / (dx * dx + dy * dy).max(1e-9);
            let along = along.clamp(0.0, 1.0);
            let away = (u - x0 - along * dx).hypot(v - y0 - along * dy);
            let half = half0 + (half1 - half0) * along;
            (PEN, 0.9 * coverage(away - half, sheet.pixel_mm()))
        });
    }
    canvas.finish(seed, 1.5)
}

/// Scans the lid.
pub fn scan_nothing(seed: u64, glass: &Glass) -> Picture {
    Canvas::new(*glass, LID, seed).finish(seed, 1.5)
}

fn lay_paper(random: &mut Random, seed: u64, glass: &Glass) -> (Canvas, Placement) {
    let mut canvas = Canvas::new(*glass, LID, seed);
    let [width, height] = SIZE_MM;
    let shift = [random.between(-0.6, 0.6), random.between(-0.6, 0.6)];
    let at = [width / 2.0 + shift[0], height / 2.0 + shift[1]];
    let turn = random.between(-0.4_f64, 0.4).to_radians();
    let sheet = Placement::new(glass, [width / 2.0, height / 2.0], at, turn);
    let paper = [0.0, 0.0, width, height];
    canvas.paint(&sheet, [-2.0, -2.0, width + 2.0, height + 2.0], |u, v| {
        let distance = outside(paper, u, v);
        if distance > sheet.pixel_mm() {
            ([0.0; 3], 0.15 * (-distance / 0.4).exp())
        } else {
            (PAPER, coverage(distance, sheet.pixel_mm()))
        }
    });
    (canvas, sheet)
}

fn write_lines(canvas: &mut Canvas, sheet: &Placement, random: &mut Random, beside_code: bool) {
    let height = 2.1;
    let mut top = 42.0;
    let mut left_in_paragraph = 0;
    while top < 265.0 {
        if left_in_paragraph == 0 {
            left_in_paragraph = number::count(random.between(3.0, 7.0));
            top += 5.0;
        }
        let narrow = beside_code && top < CODE_AT_MM[1] + CODE_MM + 4.0;
        let right = if narrow {
            CODE_AT_MM[0] - 4.0
        } else {
            SIZE_MM[0] - MARGIN_MM
        };
        let room = right - MARGIN_MM;
        let room = if left_in_paragraph == 1 {
            room * random.between(0.3, 0.8)
        } else {
            room
        };
        glyphs::write(
            canvas,
            sheet,
            [MARGIN_MM, top],
            height,
            &line(random, room, height),
            INK,
        );
        left_in_paragraph -= 1;
        top += 4.6;
    }
}

fn line(random: &mut Random, room: f64, height: f64) -> String {
    let mut line = String::new();
    while let Some(word) = random.pick(&WORDS) {
        let longer = format!("{line}{word} ");
        if glyphs::width_mm(&longer, height) > room {
            break;
        }
        line = longer;
    }
    line
}

/// Four modules of quiet zone on each side (ISO/IEC 18004, 6.3.8).
fn print_code(canvas: &mut Canvas, sheet: &Placement, code: &QrCode) {
    let modules = code.width();
    let dark = code.to_colors();
    let side = CODE_MM / number::real(modules + 8);
    let [left, top] = CODE_AT_MM;
    canvas.paint(sheet, [left, top, left + CODE_MM, top + CODE_MM], |u, v| {
        let (column, row) = ((u - left) / side - 4.0, (v - top) / side - 4.0);
        let all = 0.0..number::real(modules);
        let inside = all.contains(&column) && all.contains(&row);
        let module = dark.get(number::floor(row) * modules + number::floor(column));
        let black = inside && module == Some(&Color::Dark);
        (INK, if black { 1.0 } else { 0.0 })
    });
}

/// Points of a pen's way and half its width there: uneven loops, then a stroke back under them.
fn signature(random: &mut Random) -> Vec<[f64; 3]> {
    let loops = random.between(5.0, 7.4);
    let heights: Vec<f64> = (0..8).map(|_| random.between(6.0, 16.0)).collect();
    let slow = [random.between(0.0, 6.0), random.between(0.8, 1.7)];
    let (length, lean) = (random.between(50.0, 66.0), random.between(0.25, 0.55));
    let [x0, y0] = [random.between(16.0, 22.0), random.between(26.0, 36.0)];
    let name = (0..=500).map(|step| {
        let t = f64::from(step) / 500.0;
        let phase = t * loops * std::f64::consts::TAU + 0.9 * (slow[0] + t * 9.0).sin();
        let height = height_at(&heights, t * loops);
        let fading = 1.0 - 0.65 * t;
        let y = height * fading * (phase.cos() - 1.0) / 2.0 + slow[1] * (slow[0] + 7.0 * t).sin();
        let x = t * length + (2.0 + 0.35 * height) * fading * phase.sin() - lean * y;
        [x0 + x, y0 + y, 0.42 + 0.16 * phase.sin().abs()]
    });
    let mut points: Vec<[f64; 3]> = name.collect();
    let [end_x, end_y, _] = points.last().copied().unwrap_or([x0, y0, 0.3]);
    points.extend((0..=120).map(|step| {
        let t = f64::from(step) / 120.0;
        let x = -length * 0.85 * t + 5.0 * (t * std::f64::consts::PI).sin();
        let y = 7.0 * t + 4.0 * (t * 2.6).sin();
        [end_x + x, end_y + y, 0.50 - 0.24 * t]
    }));
    points
}

/// Between the heights of two loops.
fn height_at(heights: &[f64], place: f64) -> f64 {
    let at = |index: usize| heights.get(index).copied().unwrap_or(5.0);
    let (index, part) = (number::floor(place), place - place.floor());
    at(index) + (at(index + 1) - at(index)) * part
}
