//! The flatbed.

use std::time::Duration;

use recueil_plugin_simulator::protocol::{
    self, Area, Event, FailureCode, Format, PICTURE_MAX_BYTES, PictureHeader, Purpose,
};

use super::{Capture, Stop};
use crate::compose::page::{self, Page};
use crate::compose::{Glass, Picture, photo};
use crate::scenario::Lying;

/// Resolutions of the flatbed.
const SCAN_PPI: std::ops::RangeInclusive<u32> = 75..=1200;
impl Capture<'_> {
    pub(super) fn glass(&mut self, ppi: u32, area: Option<Area>) -> Result<(), Stop> {
        let glass = Glass {
            area: area.unwrap_or(Glass::A4),
            ppi: if ppi == 0 { self.device.info().ppi } else { ppi },
            format: self.request.format.unwrap_or(Format::Rgb24),
        };
        if !self.can_scan(&glass) {
            return Err(FailureCode::Unsupported.into());
        }
        self.wait_for_it(None)?;
        let lying = self.presentation.glass.as_ref();
        self.event(Event::Media {
            present: lying != Some(&Lying::Nothing),
        })?;
        self.event(Event::Progress { permille: 100 })?;
        let picture = match lying {
            Some(Lying::Nothing) => page::scan_nothing(self.seed, &glass),
            Some(Lying::Signature) => page::scan_signature(self.seed, &glass),
            Some(Lying::Photo(variant)) => {
                let portrait = self.device.images.portrait(self.presentation.portrait.as_deref());
                let portrait = portrait.ok_or(FailureCode::Unsupported)?;
                photo::scan_photo(portrait, self.seed, variant, &glass).picture
            }
            Some(Lying::Page { title, code }) => self.page(title, code.clone(), &glass)?,
            None => self.page("ATTESTATION", None, &glass)?,
        };
        // A cancel that came meanwhile.
        self.pause(Duration::ZERO)?;
        self.event(Event::Progress { permille: 900 })?;
        self.show(&picture, |header| PictureHeader {
            purpose: Purpose::Result,
            ppi: glass.ppi,
            page: 1,
            ..header
        })
    }

    fn page(&self, title: &str, code: Option<String>, glass: &Glass) -> Result<Picture, Stop> {
        let page = Page {
            title: title.to_owned(),
            code,
        };
        page::scan_page(self.seed, &page, glass).map_err(|_too_long| FailureCode::Failed.into())
    }

    fn can_scan(&self, glass: &Glass) -> bool {
        let info = self.device.info();
        let area = glass.area;
        let (width, height) = glass.size();
        let bytes = u64::from(width) * u64::from(height) * 3;
        info.kind == protocol::Kind::Scanner
            && SCAN_PPI.contains(&glass.ppi)
            && area.x_um.saturating_add(area.width_um) <= Glass::A4.width_um
            && area.y_um.saturating_add(area.height_um) <= Glass::A4.height_um
            && width <= info.width_max
            && height <= info.height_max
            && bytes <= PICTURE_MAX_BYTES
    }
}
