//! CERT, outside the guest: it keeps what it was sent whatever happens to the station.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::run::succeed;
use crate::vm::names;

/// A running CERT; it ends with this value.
pub(crate) struct Cert {
    child: Child,
    dir: PathBuf,
    port: u16,
}

/// Dossiers that one run may open; each wants a pré-demande of its own.
const PRE_DEMANDES: u32 = 500;

impl Cert {
    /// A new one in `dir`, with a station enrolled.
    pub(crate) fn start(program: &Path, dir: &Path) -> anyhow::Result<Self> {
        if dir.exists() {
            std::fs::remove_dir_all(dir)?;
        }
        std::fs::create_dir_all(dir.parent().context("a folder above")?)?;
        let mut init = Command::new(program);
        succeed(init.arg("init").arg(dir).args(["--station", "mairie-demo-1"]))?;
        let known = "VALID12345";
        let text = std::fs::read_to_string(dir.join(format!("pre-demandes/{known}.json")))?;
        for number in 0..PRE_DEMANDES {
            let number = format!("VM{number:08}");
            let path = dir.join(format!("pre-demandes/{number}.json"));
            std::fs::write(path, text.replace(known, &number))?;
        }
        let mut serve = Command::new(program);
        serve
            .arg("serve")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = serve.spawn()?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("a pipe was asked for")?).read_line(&mut ready)?;
        let port = ready
            .rsplit_once(':')
            .map(|(_, rest)| rest.trim_matches(|c: char| !c.is_ascii_digit()));
        let port = port.and_then(|port| port.parse().ok());
        let cert = Self {
            child,
            dir: dir.to_owned(),
            port: port.unwrap_or(0),
        };
        anyhow::ensure!(cert.port != 0, "CERT does not say where it listens: {ready}");
        Ok(cert)
    }

    /// Where it listens, on this machine.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What the station got at its enrolment.
    pub(crate) fn station(&self) -> PathBuf {
        self.dir.join("station")
    }

    /// The dossiers it opened, verified and ingested.
    pub(crate) fn ingested(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(names(&self.dir.join("store/ingested"), ".json")?
            .into_iter()
            .collect())
    }

    /// How many demandes it made of them.
    pub(crate) fn demandes(&self) -> anyhow::Result<usize> {
        Ok(names(&self.dir.join("store/demandes"), ".json")?.len())
    }
}

impl Drop for Cert {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
