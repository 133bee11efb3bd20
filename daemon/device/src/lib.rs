//! `recueil-hostd`: admits plugins, finds devices, starts, limits and kills hosts.
//!
//! Invariant: nothing here ever loads a plugin's code or sees a pixel. A plugin is a folder with a manifest
//! and hashed files ([`manifest`], [`admission`]); a device is an actor with six states, one file a state in
//! `life/`; the vendor's code runs in `recueil-device-host`, at the other end of a socket, and every word
//! that comes back from there is taken for a stranger's.
//!
//! ```text
//! virtual folder ──► hub ──presence──► device actor ──socket──► recueil-device-host
//! recueild ◄──────── hub ◄──reports─── device actor
//! ```
//!
//! What is *not* here: dossiers, keys, the bus. [`lease`] is a pure table that `recueild` uses.

pub mod admission;
pub mod blobs;
mod cgroup;
mod client;
pub mod config;
mod durable;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
pub mod harden;
mod host;
mod hub;
pub mod lease;
mod life;
pub mod manifest;
pub mod quarantine;
mod rate;
mod registry;
mod sha256;
pub mod virtual_bus;

use std::path::PathBuf;

pub use hub::{Hostd, run};
pub use life::{Deadlines, RestartPolicy};
pub use sha256::Sha256;

/// Why hostd, or a part of it, cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process runs as root.
    #[error("recueil-hostd does not run as uid 0: start it as its own user, recueil-host")]
    Root,
    /// The configuration file is not TOML, has no table `[hostd]`, or says something unknown in it.
    #[error("configuration {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value of the configuration cannot be used.
    #[error("configuration: {0}")]
    ConfigValue(String),
    /// A file or folder cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A plugin is not admitted.
    #[error("{what}; {advice}")]
    Refused {
        /// What is wrong, on which file.
        what: String,
        /// What to do.
        advice: String,
    },
    /// A plugin wants more stored than it may, or under a name that it may not use.
    #[error("not stored: {0}")]
    Blob(&'static str),
    /// The socket for `recueild` cannot be had.
    #[error("socket {}", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: recueil_wire::Error,
    },
    /// The system refused.
    #[error("{what}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// The device is leased to somebody else.
    #[error("the device is held by {} (uid {})", holder.bus_name, holder.uid)]
    Held {
        /// Who.
        holder: lease::Holder,
    },
    /// The caller does not hold the device.
    #[error("the device is not held by the caller")]
    NotHeld,
    /// The stated delay before a lease may be taken over has not passed, or none was stated.
    #[error("the lease may not be taken over yet")]
    TooEarly,
    /// One uid holds as many leases as it may.
    #[error("uid {uid} holds {held} devices, as many as one user may")]
    TooManyLeases {
        /// Whose.
        uid: u32,
        /// How many.
        held: usize,
    },
}

impl Error {
    fn refused(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Refused {
            what: what.into(),
            advice: advice.into(),
        }
    }

    fn file(path: impl Into<PathBuf>, source: impl Into<std::io::Error>) -> Self {
        Self::File {
            path: path.into(),
            source: source.into(),
        }
    }

    fn system(what: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::System {
            what,
            source: source.into(),
        }
    }

    /// The error and its causes on one line, for a person.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
