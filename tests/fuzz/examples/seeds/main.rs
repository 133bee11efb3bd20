//! Makes the corpora anew, in `corpus/` and `pki/`: by our writers, by the CERT simulator's, and by other people's
//! tools (openssl, python's zipfile and zlib). `cargo run -p recueil-fuzz --example seeds [TARGET…]`; what it makes is
//! kept in the repository, since keys and signatures differ each time.

mod bus;
mod cert;
mod cms;
mod files;
mod names;
mod parcel;
mod pictures;
mod plugin;
mod rules;
mod sessions;
mod simulator;
mod wire;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use recueil_dossier::{DemandeNumber, FingerPosition, Opening};
use recueil_fuzz::pki::{self, STATION};
use recueil_fuzz::targets::cms::dossier;
use recueil_fuzz::{TARGETS, corpus, find};
use serde::Serialize;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// The targets that are made anew.
static WANTED: LazyLock<Vec<String>> = LazyLock::new(|| match std::env::args().skip(1).collect::<Vec<_>>() {
    none if none.is_empty() => TARGETS.iter().map(|target| target.name.to_owned()).collect(),
    some => some,
});

fn main() -> Result {
    if let Some(unknown) = WANTED.iter().find(|name| find(name).is_none()) {
        return Err(format!("there is no target {unknown}").into());
    }
    if !pki::dir().exists() {
        recueil_cert::init(&pki::dir(), STATION, 36_500)?;
        fs::remove_dir_all(pki::dir().join("pre-demandes"))?;
    }
    for name in &*WANTED {
        let dir = corpus().join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(dir)?;
    }
    wire::write()?;
    sessions::write()?;
    pictures::write()?;
    plugin::write()?;
    rules::write()?;
    names::write()?;
    simulator::write()?;
    bus::write()?;
    cert::write()?;
    cms::write()?;
    parcel::write()?;
    files::write()
}

/// A seed of a target, where that is made anew.
fn put(target: &str, name: &str, bytes: &[u8]) -> Result {
    if WANTED.iter().any(|wanted| wanted == target) {
        fs::write(corpus().join(target).join(name), bytes)?;
    }
    Ok(())
}

fn json(target: &str, name: &str, value: &impl Serialize) -> Result {
    put(target, name, &serde_json::to_vec(value)?)
}

fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no input")?.write_all(input)?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{program} {arguments:?}: {}", output.status).into())
    }
}

fn position(code: u8) -> Option<FingerPosition> {
    FingerPosition::try_from(code).ok()
}

/// The bytes of a story or a frame, as `Bytes` takes them off.
fn le(shorts: &[u16]) -> Vec<u8> {
    shorts.iter().flat_map(|short| short.to_le_bytes()).collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A draft's opening by nobody.
fn opening(demande: Option<DemandeNumber>) -> Result<Opening> {
    Ok(Opening {
        id: dossier(),
        owner_uid: 1000,
        agent: "agent.dupont".parse()?,
        at: pki::now(),
        expires_at: pki::now(),
        demande,
    })
}
