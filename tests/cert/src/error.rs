//! What can go wrong, on CERT's side and on the station's.

use std::path::PathBuf;

/// Why the simulator cannot go on. What is wrong with a *parcel* is a refusal instead: it is answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A certificate or key could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[from] rcgen::Error),
    /// There is a PKI already; it is never overwritten.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// A key or certificate of the folder cannot be used.
    #[error("{}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk, the network.
    #[error("{}", path.display())]
    Io {
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A parcel is not one that CERT can open.
    #[error("not a parcel for this CERT: {0}")]
    Parcel(String),
    /// A signature or an envelope could not be made.
    #[error("cannot {0}")]
    Crypto(&'static str),
    /// A server is at work on this folder already.
    #[error("another CERT serves {}", .0.display())]
    Served(PathBuf),
    /// A file of the store is not what the store writes.
    #[error("{}: not a file of the store", .0.display())]
    Store(PathBuf),
    /// A name that is not allowed.
    #[error("a station's name is 1 to 64 letters, digits or '-'")]
    StationName,
    /// TLS could not be set up from the folder's certificates.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// Names the path beside the system's error.
pub(crate) trait At<T> {
    /// The same result, with the path in its error.
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|source| Error::Io {
            path: path.into(),
            source: source.into(),
        })
    }
}

/// Why a parcel is refused: the reason that the refusal says. It names no value of the dossier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refusal(pub(crate) String);

impl From<Refusal> for Error {
    fn from(Refusal(reason): Refusal) -> Self {
        Self::Parcel(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}
