//! Finding the ink.

use recueil_dossier::{Bounds, Frame, Guidance, PixelFormat};

use super::Signature;
use crate::number::{count, index, real, rounded};
use crate::refusal::{at_least, ppi, recorded, wrong_layout};
use crate::{Gray, Refusal, SignatureProfile, View};

/// How much darker than the paper ink is, grey levels.
const INK_CONTRAST: u8 = 48;
/// White space left around the ink, millimetres.
const MARGIN_MM: f64 = 2.0;
/// Ink in a row or column that counts, millimetres: a speck of dust does not.
const STROKE_MIN_MM: f64 = 0.25;

/// The part of the scan that holds ink.
///
/// # Errors
/// [`Guidance::BlankPage`] if there is less ink than the profile asks; [`Guidance::PrintCutOff`] if ink
/// reaches the rim of the scan, so that part of the signature may lie beyond; [`Guidance::DeviceUnsuitable`]
/// for a JPEG frame or an unknown resolution.
pub fn extract(frame: &Frame, profile: &SignatureProfile) -> Result<Signature, Refusal> {
    let ppi = ppi(frame);
    if ppi < 1.0 {
        let criteria = vec![at_least("scan-ppi", ppi, 1.0)];
        return Err(Refusal::because(Guidance::DeviceUnsuitable, criteria));
    }
    let refused = || wrong_layout(frame);
    let gray = match frame.info.format {
        PixelFormat::Gray8 => View::<1>::of(frame).ok_or_else(refused)?.copied(),
        PixelFormat::Rgb24 => View::<3>::of(frame).ok_or_else(refused)?.gray(),
        PixelFormat::Jpeg => return Err(refused()),
    };
    let ink = Ink::measure(&gray);
    let criterion = at_least("ink-permille", ink.permille, profile.ink_min_permille);
    let stroke = rounded(STROKE_MIN_MM / 25.4 * ppi).max(1);
    let found = ink.extent(stroke).filter(|_extent| criterion.pass);
    let Some((columns, rows)) = found else {
        return Err(Refusal::because(Guidance::BlankPage, vec![criterion]));
    };
    let rim = |(first, last): (u32, u32), limit: u32| first.min(limit.saturating_sub(last + 1));
    let to_rim = rim(columns, gray.width()).min(rim(rows, gray.height()));
    let whole = at_least("ink-to-rim-px", f64::from(to_rim), 1.0);
    if !whole.pass {
        return Err(Refusal::because(Guidance::PrintCutOff, vec![criterion, whole]));
    }
    let margin = rounded(MARGIN_MM / 25.4 * ppi);
    let (x, width) = widened(columns, margin, gray.width());
    let (y, height) = widened(rows, margin, gray.height());
    let view = gray.view();
    let picture = Gray::from_fn(width, height, |dx, dy| {
        view.pixel(i64::from(x + dx), i64::from(y + dy)).unwrap_or([255])
    });
    Ok(Signature {
        bounds: Bounds {
            x: i32::try_from(x).unwrap_or(i32::MAX),
            y: i32::try_from(y).unwrap_or(i32::MAX),
            width,
            height,
        },
        ppi: rounded(ppi),
        picture,
        criteria: vec![recorded("scan-ppi", ppi), criterion],
    })
}

/// First and last place, widened within the sheet, as start and length.
fn widened((first, last): (u32, u32), margin: u32, limit: u32) -> (u32, u32) {
    let start = first.saturating_sub(margin);
    let end = last.saturating_add(margin + 1).min(limit);
    (start, end - start)
}

/// Ink by column and by row.
struct Ink {
    columns: Vec<u32>,
    rows: Vec<u32>,
    permille: f64,
}

impl Ink {
    fn measure(gray: &Gray) -> Self {
        let mut histogram = [0_u32; 256];
        for [level] in gray.pixels() {
            if let Some(count) = histogram.get_mut(usize::from(*level)) {
                *count += 1;
            }
        }
        let paper = histogram
            .iter()
            .zip(0_u8..=255)
            .max_by_key(|(count, _level)| **count);
        let darkest = paper
            .map_or(0, |(_most, level)| level)
            .saturating_sub(INK_CONTRAST);
        let mut columns = vec![0; index(gray.width())];
        let mut rows = Vec::with_capacity(index(gray.height()));
        for row in gray.view().rows() {
            let mut in_row = 0;
            for (column, [level]) in columns.iter_mut().zip(row) {
                let ink = u32::from(*level < darkest);
                *column += ink;
                in_row += ink;
            }
            rows.push(in_row);
        }
        let ink: u32 = rows.iter().sum();
        let permille = f64::from(ink) / real(gray.pixels().len()) * 1000.0;
        Self {
            columns,
            rows,
            permille,
        }
    }

    /// First and last column and row with at least `stroke` pixels of ink.
    fn extent(&self, stroke: u32) -> Option<((u32, u32), (u32, u32))> {
        let extent = |counts: &[u32]| {
            let first = counts.iter().position(|ink| *ink >= stroke)?;
            let last = counts.iter().rposition(|ink| *ink >= stroke)?;
            Some((count(first), count(last)))
        };
        Some((extent(&self.columns)?, extent(&self.rows)?))
    }
}
