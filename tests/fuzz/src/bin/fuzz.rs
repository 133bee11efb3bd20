//! The program that libFuzzer drives. One for all targets, so that one is built and linked: `RECUEIL_FUZZ_TARGET`
//! names the target.
#![no_main]

use std::sync::OnceLock;

use recueil_fuzz::{Target, find};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    static CHOSEN: OnceLock<&'static Target> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let name = std::env::var("RECUEIL_FUZZ_TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|| panic!("RECUEIL_FUZZ_TARGET={name:?} names no target"))
    });
    (chosen.run)(bytes);
});
