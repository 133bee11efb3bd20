use std::path::{Path, PathBuf};

/// Why the courier cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is not one.
    #[error("configuration {path}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value of the configuration cannot be used.
    #[error("configuration [courier] {key}: {rule}")]
    ConfigValue {
        /// The key.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// A file or folder cannot be used.
    #[error("{path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A receipt, or the name of a parcel, may not be on the disk. The process ends: after a failed fsync nothing is certain until the
    /// disk is looked at again.
    #[error("cannot make a receipt or a parcel's name durable")]
    Durability(#[source] std::io::Error),
    /// The process is root.
    #[error("recueil-courier refuses to run as root: start it as its own user, recueil-courier")]
    Root,
    /// The socket for `recueild`.
    #[error("the socket for recueild")]
    Socket(#[from] recueil_wire::Error),
    /// The system refused.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Keys or certificates cannot be used for TLS.
    #[error("the TLS key and certificate do not go together, or one cannot be read")]
    Tls(#[source] rustls::Error),
}

impl Error {
    pub(crate) fn file(path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::File {
            path: path.into(),
            source: source.into(),
        }
    }

    pub(crate) fn system(what: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::System {
            what,
            source: source.into(),
        }
    }

    /// The error and its causes on one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}
