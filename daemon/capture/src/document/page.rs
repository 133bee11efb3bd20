//! From a scan to a page, unless nothing is on it.

use recueil_dossier::{Frame, Guidance, PixelFormat};

use super::Page;
use crate::number::{index, rounded};
use crate::picture::luma;
use crate::refusal::{at_least, ppi, recorded, wrong_layout};
use crate::{PageProfile, Raster, Refusal, View};

/// Share of the side, in thousandths, that must differ from the paper. One line of print covers four times
/// as much of an A4 page; dust and the shine of the other side stay below.
const CONTENT_MIN_PERMILLE: f64 = 0.15;
/// How far a pixel must be from the paper's own level. Print that shines through from behind differs by less.
const CONTENT_CONTRAST: u8 = 40;
/// The page is looked at with pixels of about this density, so that noise and dust average out.
const LOOK_PPI: f64 = 100.0;
/// Part of each side left out of the look: the paper's edge and its shadow are no content.
const MARGIN_DIVISOR: u32 = 40;

/// The scan as a page.
///
/// # Errors
/// [`Guidance::BlankPage`]; [`Guidance::DeviceUnsuitable`] for a JPEG frame or an unknown resolution.
pub fn page(frame: &Frame, profile: &PageProfile) -> Result<Page, Refusal> {
    let ppi = ppi(frame);
    let criteria = vec![at_least("scan-ppi", ppi, 1.0)];
    if ppi < 1.0 {
        return Err(Refusal::because(Guidance::DeviceUnsuitable, criteria));
    }
    let divisor = rounded(ppi / LOOK_PPI).max(1);
    let (content, picture) = match frame.info.format {
        PixelFormat::Gray8 => {
            let view = View::<1>::of(frame).ok_or_else(|| wrong_layout(frame))?;
            let content = content_permille(view.reduced(divisor).view(), |[gray]| gray);
            (content, Raster::Gray(view.copied()))
        }
        PixelFormat::Rgb24 => {
            let view = View::<3>::of(frame).ok_or_else(|| wrong_layout(frame))?;
            let content = content_permille(view.reduced(divisor).view(), luma);
            (content, Raster::Rgb(view.copied()))
        }
        PixelFormat::Jpeg => return Err(wrong_layout(frame)),
    };
    let criterion = at_least("content-permille", content, CONTENT_MIN_PERMILLE);
    if !criterion.pass {
        return Err(Refusal::because(Guidance::BlankPage, vec![criterion]));
    }
    Ok(Page {
        width: picture.width(),
        height: picture.height(),
        ppi: rounded(ppi),
        picture,
        jpeg_quality: profile.jpeg_quality,
        criteria: vec![recorded("scan-ppi", ppi), criterion],
    })
}

/// Share of pixels that differ from the most common level, in thousandths.
fn content_permille<const N: usize>(view: View<'_, N>, gray: impl Fn([u8; N]) -> u8) -> f64 {
    let (side, top) = (view.width() / MARGIN_DIVISOR, view.height() / MARGIN_DIVISOR);
    let mut histogram = [0_u32; 256];
    for y in top..view.height() - top {
        let row = view.row(y);
        let inner = row.get(index(side)..row.len() - index(side));
        for pixel in inner.unwrap_or_default() {
            if let Some(count) = histogram.get_mut(usize::from(gray(*pixel))) {
                *count += 1;
            }
        }
    }
    let levels = || histogram.iter().zip(0_u8..=255);
    let Some((_most, paper)) = levels().max_by_key(|(count, _level)| **count) else {
        return 0.0;
    };
    let all: u32 = histogram.iter().sum();
    let content: u32 = levels()
        .filter(|(_count, level)| level.abs_diff(paper) > CONTENT_CONTRAST)
        .map(|(count, _level)| *count)
        .sum();
    if all == 0 {
        0.0
    } else {
        f64::from(content) / f64::from(all) * 1000.0
    }
}
