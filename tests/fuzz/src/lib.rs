//! Every parser of outside bytes as a function of bytes, with what must hold of its answer.
//!
//! A target takes any bytes and returns, or panics where a promise is broken: a limit, `parse(write(x)) == x`, the
//! agreement of two readers that share no line. libFuzzer drives them (`cargo xtask fuzz`), and an ordinary test
//! replays `corpus/TARGET` and its seeded mutations (`tests/smoke.rs`). `parsers.toml` says which file's parser is
//! reached by which target; a test holds it against the sources.
//!
//! Invariant: a target needs no network, no service, no privilege, and leaves nothing behind. What is *not* here:
//! stories between processes, which `tests` tells.
//!
//! ```
//! let target = recueil_fuzz::find("number").unwrap();
//! (target.run)(b"https://x.example/VALID12345");
//! ```
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a promise that is broken ends the program: that is what it is for"
)]
#![allow(
    clippy::missing_panics_doc,
    reason = "all of them panic where a promise is broken"
)]

pub mod bytes;
pub mod mutate;
pub mod pki;
pub mod targets;

use targets::{bus, cert, cms, files, parcel, pictures, plugin, rules, session, simulator, wire};

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: of the folder of its corpus, and on the command line.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Mutations in the ordinary test: about half a second's worth.
    pub smoke: u32,
}

const fn target(name: &'static str, run: fn(&[u8]), smoke: u32) -> Target {
    Target { name, run, smoke }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("analyser-session", session::analyser, 200),
    target("asic-manifest", parcel::asic_manifest, 3000),
    target("barcode", pictures::barcode, 60),
    target("blobs-file", files::blobs, 2000),
    target("bus-arguments", bus::arguments, 3000),
    target("bus-door", bus::door, 1000),
    target("bus-head", bus::head, 5000),
    target("bus-names", bus::names, 5000),
    target("cert-answers", cert::answers, 1000),
    target("cert-clocks", cert::clocks, 5000),
    target("cert-requests", cert::requests, 5000),
    target("certificate", cms::certificate, 2000),
    target("cms-attributes", cms::attributes, 300),
    target("cms-envelope", cms::envelope, 5000),
    target("cms-opened", cms::opened, 300),
    target("cms-signature", cms::signature, 1000),
    target("config-courier", rules::config_courier, 1000),
    target("config-hostd", rules::config_hostd, 1000),
    target("config-recueild", rules::config_recueild, 1000),
    target("container", parcel::container, 3000),
    target("document", pictures::document, 60),
    target("dossier-json", parcel::dossier_json, 1000),
    target("draft-json", files::draft, 1000),
    target("face", pictures::face, 40),
    target("fingerprint", pictures::fingerprint, 80),
    target("images", simulator::images, 200),
    target("manifest", rules::manifest, 1000),
    target("names", rules::names, 5000),
    target("number", rules::number, 5000),
    target("plugin-meta", plugin::meta, 3000),
    target("plugin-words", plugin::words, 3000),
    target("pre-demande", files::pre_demande, 1000),
    target("preview", pictures::preview, 80),
    target("procedure", rules::procedure, 500),
    target("profile", rules::profile, 1000),
    target("qr-text", pictures::qr_text, 20),
    target("quarantine-file", files::quarantine, 2000),
    target("receipt", cms::receipt, 1000),
    target("receipt-content", cms::receipt_content, 300),
    target("scenario", simulator::scenario, 3000),
    target("signature", pictures::signature, 60),
    target("store", files::store, 50),
    target("virtual-protocol", simulator::protocol, 3000),
    target("wire-analyser", wire::analyser, 2000),
    target("wire-courier", wire::courier, 2000),
    target("wire-devices", wire::devices, 2000),
    target("wire-frames", wire::frames, 2000),
    target("wire-host", wire::host, 2000),
    target("zip", parcel::zip, 3000),
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Where the seeds of all targets lie.
pub fn corpus() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}
