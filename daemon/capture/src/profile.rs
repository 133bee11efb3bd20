//! What a picture is measured against: `config/profiles/*.toml`.

use serde::Deserialize;

use crate::Error;

/// A profile. Values are checked when it is parsed, so nobody checks them again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Version of this file's shape: 1.
    pub profile: u32,
    /// Its name.
    pub id: String,
    /// A printed photo.
    pub photo: PhotoProfile,
    /// Fingerprints.
    pub fingerprint: FingerprintProfile,
    /// Pages of documents.
    pub page: PageProfile,
    /// Handwritten signatures.
    pub signature: SignatureProfile,
}

/// A photo printed on paper and scanned.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhotoProfile {
    /// Width of the print, millimetres.
    pub print_width_mm: f64,
    /// Height of the print, millimetres.
    pub print_height_mm: f64,
    /// How much either may differ, millimetres.
    pub tolerance_mm: f64,
    /// Width of the encoded picture.
    pub width_px: u32,
    /// Height of the encoded picture.
    pub height_px: u32,
    /// Lowest resolution of the scan, pixels per inch.
    pub ppi_min: u32,
    /// Largest turn of the print on the glass, degrees either way.
    pub tilt_max_deg: f64,
}

/// Fingerprints.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FingerprintProfile {
    /// Resolution, pixels per inch.
    pub ppi: u32,
    /// How much it may differ, per cent.
    pub ppi_tolerance_percent: f64,
    /// A preview goes to a client at this fraction of the width and height.
    pub preview_divisor: u32,
}

/// Pages.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageProfile {
    /// Quality of the JPEG, 1 to 100.
    pub jpeg_quality: u8,
}

/// Signatures.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignatureProfile {
    /// Smallest share of ink, in thousandths of the scanned area.
    pub ink_min_permille: f64,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`Error::ProfileShape`] for what is not such a file, an unknown key included;
    /// [`Error::ProfileValue`] for an impossible value.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let profile: Self = toml::from_str(text).map_err(Error::ProfileShape)?;
        let Self {
            photo,
            fingerprint,
            page,
            signature,
            ..
        } = &profile;
        let side = |mm: f64| (5.0..=500.0).contains(&mm);
        let pixels = |px: u32| (16..=8192).contains(&px);
        let rules = [
            ("profile", profile.profile == 1, "1, the only version known"),
            ("photo.print_width_mm", side(photo.print_width_mm), "5 to 500"),
            ("photo.print_height_mm", side(photo.print_height_mm), "5 to 500"),
            (
                "photo.tolerance_mm",
                photo.tolerance_mm > 0.0 && photo.tolerance_mm * 4.0 < photo.print_width_mm,
                "more than 0 and less than a quarter of the print's width",
            ),
            ("photo.width_px", pixels(photo.width_px), "16 to 8192"),
            ("photo.height_px", pixels(photo.height_px), "16 to 8192"),
            (
                "photo.ppi_min",
                (50..=4800).contains(&photo.ppi_min),
                "50 to 4800",
            ),
            (
                "photo.tilt_max_deg",
                (0.0..=40.0).contains(&photo.tilt_max_deg),
                "0 to 40",
            ),
            (
                "fingerprint.ppi",
                (250..=2000).contains(&fingerprint.ppi),
                "250 to 2000",
            ),
            (
                "fingerprint.ppi_tolerance_percent",
                (0.0..=10.0).contains(&fingerprint.ppi_tolerance_percent),
                "0 to 10",
            ),
            (
                "fingerprint.preview_divisor",
                (2..=32).contains(&fingerprint.preview_divisor),
                "2 to 32: a preview is never a whole fingerprint",
            ),
            (
                "page.jpeg_quality",
                (1..=100).contains(&page.jpeg_quality),
                "1 to 100",
            ),
            (
                "signature.ink_min_permille",
                (0.0..1000.0).contains(&signature.ink_min_permille),
                "0 to 1000",
            ),
        ];
        match rules.into_iter().find(|(_key, holds, _rule)| !holds) {
            Some((key, _holds, rule)) => Err(Error::ProfileValue { key, rule }),
            None => Ok(profile),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CNI: &str = include_str!("../../../config/profiles/cni.toml");

    #[test]
    fn the_shipped_profile_is_valid() {
        let profile = Profile::parse(CNI).unwrap();
        assert_eq!(profile.id, "cni");
        assert_eq!(profile.fingerprint.ppi, 500);
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        let unknown = CNI.replace("[signature]", "[signature]\nsharpness = 3");
        assert!(matches!(Profile::parse(&unknown), Err(Error::ProfileShape(_))));
        let missing = CNI.replace("ppi_min = 590", "");
        assert!(matches!(Profile::parse(&missing), Err(Error::ProfileShape(_))));
        for (from, to) in [
            ("profile = 1", "profile = 2"),
            ("tolerance_mm = 1.5", "tolerance_mm = nan"),
            ("tolerance_mm = 1.5", "tolerance_mm = 20.0"),
            ("jpeg_quality = 85", "jpeg_quality = 0"),
            ("preview_divisor = 2", "preview_divisor = 1"),
            ("width_px = 622", "width_px = 4000000"),
        ] {
            let text = CNI.replace(from, to);
            assert_ne!(text, CNI, "{from} stands in the profile");
            assert!(
                matches!(Profile::parse(&text), Err(Error::ProfileValue { .. })),
                "{to}"
            );
        }
    }
}
