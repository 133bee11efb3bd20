//! Reading one number. Nothing else that a code says leaves this function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use recueil_dossier::{Frame, PixelFormat, PreDemandeNumber};
use rxing::common::HybridBinarizer;
use rxing::qrcode::QRCodeReader;
use rxing::{BinaryBitmap, DecodeHints, Luma8Source, RXingResult, Reader};

use crate::number::rounded;
use crate::refusal::ppi;
use crate::{Gray, View};

/// Densities at which a code is looked for: the first is fast and enough for a code printed with modules of
/// half a millimetre, the second reads the finest that a printer makes.
const LOOK_PPI: [f64; 2] = [150.0, 300.0];
/// Most pixels that the decoder is given.
const PIXELS_MAX: u64 = 40 << 20;

/// The number in a QR code on the page; none if there is no code, or none of its form.
///
/// The decoder is another's code on a stranger's paper: a panic in it counts as no code. It keeps a black and
/// white copy of the page and the code's text in memory that is not wiped.
pub fn pre_demande(frame: &Frame) -> Option<PreDemandeNumber> {
    let ppi = ppi(frame).max(1.0);
    let mut divisors: Vec<_> = LOOK_PPI.iter().map(|look| rounded(ppi / look).max(1)).collect();
    divisors.dedup();
    divisors.into_iter().find_map(|divisor| {
        let gray = match frame.info.format {
            PixelFormat::Gray8 => View::<1>::of(frame)?.reduced(divisor),
            PixelFormat::Rgb24 => View::<3>::of(frame)?.reduced(divisor).view().gray(),
            PixelFormat::Jpeg => return None,
        };
        let text = read(&gray)?;
        PreDemandeNumber::find_in(text.getText()).ok()
    })
}

fn read(gray: &Gray) -> Option<RXingResult> {
    if u64::from(gray.width()) * u64::from(gray.height()) > PIXELS_MAX {
        return None;
    }
    let decode = || {
        let source = Luma8Source::new_with_slice(gray.bytes(), gray.width(), gray.height()).ok()?;
        let hints = DecodeHints {
            TryHarder: Some(true),
            ..DecodeHints::default()
        };
        let mut bitmap = BinaryBitmap::new(HybridBinarizer::new(source));
        QRCodeReader.decode_with_hints(&mut bitmap, &hints).ok()
    };
    catch_unwind(AssertUnwindSafe(decode)).ok().flatten()
}
