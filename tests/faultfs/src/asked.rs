//! What a run of tests is asked for.

use std::io::Write;
use std::str::FromStr;

/// A number that the environment gives (`cargo xtask faults` sets seeds and counts), or this one.
pub fn number_from<T: FromStr>(name: &str, otherwise: T) -> T {
    let given = std::env::var(name).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(otherwise)
}

/// Whether this machine cannot run a test of a mount, which is said aloud.
pub fn skipped() -> bool {
    let why = crate::missing();
    if let Some(why) = why {
        // A closed terminal is no failure of the test.
        let _closed = writeln!(std::io::stderr(), "skipped: {why}");
    }
    why.is_some()
}
