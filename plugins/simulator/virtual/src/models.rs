//! The devices that can be played.

use recueil_plugin_simulator::protocol::{Info, Kind};

use crate::Error;
use crate::compose::hand;

/// One of each, with the serial numbers that demos and tests know.
pub const USUAL: [&str; 3] = ["fp4:SN0001", "cam:SN0002", "flatbed:SN0003"];

/// A device from `MODEL:SERIAL`.
///
/// # Errors
/// If there is no such model, or the serial number is not 1 to 32 letters, digits or '-'.
pub fn parse(text: &str) -> Result<Info, Error> {
    let wrong = || Error::Device(text.to_owned());
    let (model, serial) = text.split_once(':').ok_or_else(wrong)?;
    let plain = serial
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    if !plain || !(1..=32).contains(&serial.len()) {
        return Err(wrong());
    }
    let (kind, width_max, height_max, ppi) = match model {
        "fp4" => (Kind::Fingerprint, hand::WIDTH_PX, hand::HEIGHT_PX, hand::PPI),
        "cam" => (Kind::Camera, 1200, 1600, 0),
        // An A4 glass at its native resolution.
        "flatbed" => (Kind::Scanner, 4961, 7016, 600),
        _ => return Err(wrong()),
    };
    Ok(Info {
        kind,
        vendor: "Recueil".into(),
        model: model.into(),
        serial: serial.into(),
        firmware: env!("CARGO_PKG_VERSION").into(),
        width_max,
        height_max,
        ppi,
        previews: kind != Kind::Scanner,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_a_model_and_a_serial_number() {
        for usual in USUAL {
            let info = parse(usual).unwrap();
            assert_eq!(format!("{}:{}", info.model, info.serial), usual);
        }
        for wrong in ["fp4", "fp4:", "fp4:a/b", "fp5:SN1", "fp4:..", ""] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
