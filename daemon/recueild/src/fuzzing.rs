//! The configuration as it is read, for `tests/fuzz` alone. No part of the interface.

use crate::config::Config;

/// Reads `[station]` and `[recueild]`; the station's identity, and the longest try of a hand in seconds.
pub fn config(text: &str) -> Result<(Option<String>, u32), String> {
    let config = Config::parse(text)?;
    let station = config.station.map(String::from);
    Ok((station, config.recueild.capture.hand_s))
}
