//! Write a capture device's plugin for Recueil in safe Rust.
//!
//! Implement [`Plugin`] and [`Device`], name them in [`export_plugin!`], build a `cdylib`; the crate may say
//! `#![forbid(unsafe_code)]`. The contract itself, with its rules, threads and deadlines, is the C header
//! `recueil_plugin.h`; this crate keeps its rules for you where a compiler can.
//!
//! Invariant: no panic and no reference crosses the ABI. Every function that the host calls is guarded: a panic
//! becomes `RCL_E_PANIC`. What is *not* here: any access to devices; bring the crate you like, or plain reads
//! and writes on [`DevRef::fd`].
//!
//! ```
//! #![forbid(unsafe_code)]
//! use recueil_plugin::*;
//!
//! struct Grey;
//! impl Plugin for Grey {
//!     type Device = GreyDevice;
//!     fn create(_host: Host) -> Result<Self> { Ok(Grey) }
//!     fn open(&self, _device: &DevRef<'_>) -> Result<GreyDevice> { Ok(GreyDevice) }
//! }
//!
//! struct GreyDevice;
//! impl Device for GreyDevice {
//!     fn info(&mut self) -> Result<DeviceInfo> {
//!         Ok(DeviceInfo { modalities: Modalities::SCANNER, model: "Grey 1".into(), ..DeviceInfo::default() })
//!     }
//!     fn caps(&mut self) -> Result<Caps> {
//!         Ok(Caps { modalities: Modalities::SCANNER, width_max: 4, height_max: 3, formats: vec![Format::GRAY8], ..Caps::default() })
//!     }
//!     fn capture(&mut self, capture: &Capture<'_>, _params: &Params) -> Result<()> {
//!         let mut frame = capture.frame(Kind::Result, Format::GRAY8, 4, 3)?;
//!         frame.rows_mut().for_each(|row| row.fill(128));
//!         frame.submit(&Meta { page: 1, ..Meta::default() })
//!     }
//! }
//!
//! export_plugin! {
//!     plugin: Grey,
//!     id: "com.example.grey",
//!     name: "Example Grey",
//!     vendor: "Example",
//!     licence: "MIT",
//!     modalities: Modalities::SCANNER,
//! }
//!
//! // In the plugin's own tests:
//! let host = fake::Host::new();
//! let mut device = host.open(&RECUEIL_PLUGIN, fake::DeviceRef::default()).unwrap();
//! let outcome = device.capture(&fake::CaptureRequest::new(Modalities::SCANNER));
//! assert_eq!(outcome.status, Status::OK);
//! assert_eq!(outcome.results()[0].pixels, [128; 12]);
//! ```

#[cfg(panic = "abort")]
compile_error!("a plugin must unwind: with panic = \"abort\" one panic ends the host instead of one call");

mod capture;
mod device;
mod error;
mod export;
pub mod fake;
mod ffi;
mod finger;
mod info;
mod log;
mod meta;
mod params;

pub use capture::{Capture, Event, Kind, Move};
pub use device::{Canceller, DevRef, Device, Feedback, Led, Plugin};
pub use error::{Error, Result, Status};

#[doc(hidden)]
pub use ffi::c_str as __c_str;
pub use ffi::{Descriptor, Frame, Host, Identity};
pub use finger::{Finger, Fingers};
pub use info::{Bus, Caps, DeviceInfo, Format, Modalities};
pub use meta::{FingerprintMeta, Meta, Segment, Verdict};
pub use params::{Area, FingerprintParams, Params, ScanParams, Sides};

pub use recueil_abi as abi;
