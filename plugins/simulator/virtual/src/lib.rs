//! `recueil-virtual` plays the hardware of the simulator plugin.
//!
//! It alone reads a folder of real images ([`images`]), and a scenario that can be changed while it runs
//! ([`scenario`]). What devices show is made by [`compose`], from a seed. Each device is a Unix stream socket
//! ([`device`]) that speaks `recueil_plugin_simulator::protocol`.
//!
//! Nothing of the service is known here, and the service knows nothing of this.
//!
//! ```no_run
//! use std::path::Path;
//! use std::sync::Arc;
//! use recueil_virtual::{device::Device, images::Images, models};
//!
//! # fn main() -> Result<(), recueil_virtual::Error> {
//! let images = Arc::new(Images::load(Path::new("tests/fixtures/images"))?);
//! let reader = Device::new(models::parse("fp4:SN0001")?, Path::new("/tmp/sockets"), images, 1);
//! reader.plug()?;
//! # Ok(())
//! # }
//! ```

mod capture;
pub mod compose;
pub mod control;
pub mod device;
#[doc(hidden)]
pub mod fuzzing;
pub mod images;
mod line;
pub mod models;
pub mod scenario;

use std::path::PathBuf;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// `images.toml` is not understood.
    #[error("cannot understand {path}")]
    Index {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
    /// A picture cannot be decoded.
    #[error("cannot decode {path}")]
    Image {
        /// Which.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A file is not what it should be.
    #[error("{path}: {problem}")]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// A socket cannot be made, or nobody answers on it.
    #[error("socket {path}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A device that is asked for does not exist.
    #[error("no device {0:?}: fp4, cam and flatbed, each with a serial number of letters, digits and '-'")]
    Device(String),
    /// A line of a scenario is not understood.
    #[error("{path} line {line}: {problem}")]
    Scenario {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}
