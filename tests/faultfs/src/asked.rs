//! What a run of tests is asked for.

use std::io::Write;
use std::str::FromStr;

/// A number that the environment gives (`cargo xtask faults` sets seeds and counts), or this one.
///
/// # Panics
/// It gives something else: a run of another seed than was asked for would show nothing.
#[expect(clippy::panic, reason = "a test may end where it stands")]
pub fn number_from<T: FromStr>(name: &str, otherwise: T) -> T {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_no_number| panic!("{name} is {text:?}, and no number")),
        Err(_unset) => otherwise,
    }
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
