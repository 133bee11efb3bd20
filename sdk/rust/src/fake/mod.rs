//! A host in the same process, for a plugin's own tests: plain memory instead of shared, no sandbox, no deadline.
//!
//! It calls the plugin through the real C tables, checks what the contract lets it check, and hands out what the
//! plugin gave. The conformance of a finished plugin is tested by other means.
//!
//! ```no_run
//! # use recueil_plugin::{fake, Descriptor, Event, Modalities, Status};
//! # fn test(plugin: &'static Descriptor) {
//! let host = fake::Host::new().with_config("line", "9600");
//! let mut device = host.open(plugin, fake::DeviceRef::default()).unwrap();
//! let request = fake::CaptureRequest::new(Modalities::CAMERA).cancelled(fake::Cancel::At(Event::Hold));
//! assert_eq!(device.capture(&request).status, Status::CANCELLED);
//! # }
//! ```

mod device;
mod frames;
mod functions;
mod host;
mod part;

use std::os::fd::OwnedFd;
use std::time::Duration;

pub use device::Device;
pub use host::Host;

use crate::{
    Bus, Error, Event, FingerprintParams, Format, Kind, Meta, Modalities, Params, ScanParams, Status,
};

/// A device to hand over; by default one on the virtual bus without a descriptor.
#[derive(Debug)]
pub struct DeviceRef {
    /// How it hangs on the machine.
    pub bus: Bus,
    /// The open device.
    pub fd: Option<OwnedFd>,
    /// USB vendor.
    pub usb_vid: u32,
    /// USB product.
    pub usb_pid: u32,
    /// USB interface.
    pub usb_iface: u32,
    /// For messages.
    pub path: String,
    /// Serial number.
    pub serial: String,
}

impl Default for DeviceRef {
    fn default() -> Self {
        let text = String::new;
        Self {
            bus: Bus::Virtual,
            fd: None,
            usb_vid: 0,
            usb_pid: 0,
            usb_iface: 0,
            path: text(),
            serial: text(),
        }
    }
}

/// One capture to run.
#[derive(Debug, Clone)]
pub struct CaptureRequest {
    /// What is asked.
    pub params: Params,
    /// When it is cancelled.
    pub cancel: Cancel,
    /// Previews lent before `RCL_E_AGAIN`.
    pub previews_max: u32,
}

impl CaptureRequest {
    /// A capture of this modality, 10 s, no previews, never cancelled.
    pub fn new(modality: Modalities) -> Self {
        let params = Params {
            modality,
            format: None,
            ppi_milli: 0,
            deadline: Duration::from_secs(10),
            preview_fps: 0,
            fingerprint: None,
            scan: None,
        };
        Self {
            params,
            cancel: Cancel::Never,
            previews_max: u32::MAX,
        }
    }

    /// The same with what is asked of a fingerprint reader.
    #[must_use]
    pub fn fingerprint(mut self, fingerprint: FingerprintParams) -> Self {
        self.params.fingerprint = Some(fingerprint);
        self
    }

    /// The same with what is asked of a scanner.
    #[must_use]
    pub fn scan(mut self, scan: ScanParams) -> Self {
        self.params.scan = Some(scan);
        self
    }

    /// The same, cancelled at some time.
    #[must_use]
    pub fn cancelled(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }
}

/// When a capture is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// Never.
    Never,
    /// Before it begins.
    AtOnce,
    /// When the plugin says this.
    At(Event),
    /// When the plugin submits a frame of this kind.
    AtFrame(Kind),
}

/// What a capture gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What `capture()` returned.
    pub status: Status,
    /// What the plugin said of its failure.
    pub failure: Option<Error>,
    /// Accepted frames, in order.
    pub frames: Vec<CapturedFrame>,
    /// Events, in order.
    pub events: Vec<Event>,
    /// Rules of the contract that were broken during the capture, in words.
    pub broken_rules: Vec<String>,
}

impl Outcome {
    /// The result frames.
    pub fn results(&self) -> Vec<&CapturedFrame> {
        self.frames
            .iter()
            .filter(|frame| frame.kind == Kind::Result)
            .collect()
    }

    /// The preview frames.
    pub fn previews(&self) -> Vec<&CapturedFrame> {
        self.frames
            .iter()
            .filter(|frame| frame.kind == Kind::Preview)
            .collect()
    }
}

/// A frame that the fake host accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct CapturedFrame {
    /// Preview or result.
    pub kind: Kind,
    /// Layout of the pixels.
    pub format: Format,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Rows without padding, or the bytes of a compressed picture.
    pub pixels: Vec<u8>,
    /// What the plugin said of it.
    pub meta: Meta,
}

impl std::fmt::Debug for CapturedFrame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} {}x{} {:?} {:?}",
            self.kind, self.width, self.height, self.format, self.meta
        )
    }
}
