//! The vendor's library: loaded once, never unloaded, called by its function tables.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::{NonNull, null, null_mut};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use recueil_abi as abi;
use recueil_wire::devices::{CaptureParams, Modality};
use recueil_wire::host::{Bus, Feedback, Load};

use super::sized;
use crate::identity;

/// Longest string of a descriptor that is looked at.
const NAME_MAX_BYTES: usize = 256;

/// Why a plugin cannot be used.
#[derive(Debug)]
pub(crate) struct Refused {
    /// As in `FromHost::Failed`.
    pub(crate) stage: &'static str,
    /// `RCL_E_*`.
    pub(crate) status: i32,
    /// In words; empty if only the plugin could say.
    pub(crate) text: String,
}

impl Refused {
    fn new(stage: &'static str, text: impl Into<String>) -> Self {
        Self {
            stage,
            status: abi::RCL_E_INVALID,
            text: text.into(),
        }
    }

    fn status(stage: &'static str, status: i32) -> Self {
        Self {
            stage,
            status,
            text: String::new(),
        }
    }
}

/// A library that is loaded, of which nothing but its constructors was called.
#[derive(Debug)]
pub(crate) struct Loaded(abi::recueil_plugin_v1);

/// A library whose descriptor was accepted.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The plugin's version, as it says.
    pub(crate) version: String,
    create: unsafe extern "C" fn(*const abi::rcl_host, *mut *mut abi::rcl_plugin) -> abi::rcl_status,
}

/// Loads the library behind a descriptor and finds its one symbol.
pub(crate) fn load(library: BorrowedFd<'_>) -> Result<Loaded, Refused> {
    let path = format!("/proc/self/fd/{}", library.as_raw_fd());
    // SAFETY: its constructors run here, in a process that is confined for them. RTLD_NOW: a symbol that is
    // missing is missed now, not in the middle of a capture.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|error| Refused::new("load", in_words(&error)))?;
    // SAFETY: the type is that of the header, which the symbol's name promises.
    let entry = unsafe { library.get::<abi::recueil_plugin_v1>(abi::ENTRY_SYMBOL) }
        .map(|symbol| *symbol)
        .map_err(|error| Refused::new("entry", in_words(&error)))?;
    // Unloading code that has threads or destructors of threads cannot be done soundly: never unloaded.
    std::mem::forget(library);
    Ok(Loaded(entry))
}

impl Loaded {
    /// `[main]` Asks who it is.
    pub(crate) fn entry(&self, plugin_id: &str) -> Result<Entry, Refused> {
        let Self(entry) = self;
        // SAFETY: the contract: pure, callable at any time.
        let descriptor = unsafe { entry(u32::from(abi::RCL_ABI_MINOR)) };
        if descriptor.is_null() {
            return Err(Refused::new("entry", "the plugin refuses this host"));
        }
        // SAFETY: the contract: static data.
        let descriptor = unsafe { sized::read(descriptor) }
            .map_err(|_too_small| Refused::new("entry", "a descriptor smaller than in the first release"))?;
        if descriptor.abi_major != abi::RCL_ABI_MAJOR {
            return Err(Refused::new(
                "entry",
                format!("made for ABI {}", descriptor.abi_major),
            ));
        }
        if descriptor.host_minor_min > u32::from(abi::RCL_ABI_MINOR) {
            let text = format!("needs a host of ABI 1.{} or later", descriptor.host_minor_min);
            return Err(Refused::new("entry", text));
        }
        // SAFETY: the contract: a string.
        let id = unsafe { sized::text(descriptor.id, NAME_MAX_BYTES) }.unwrap_or_default();
        if id != plugin_id {
            return Err(Refused::new("entry", "the plugin's id is not the manifest's"));
        }
        // SAFETY: the contract: a string.
        let version = unsafe { sized::text(descriptor.version, NAME_MAX_BYTES) }.unwrap_or_default();
        let create = descriptor
            .create
            .ok_or_else(|| Refused::new("entry", "the plugin has no create()"))?;
        Ok(Entry { version, create })
    }
}

/// The dynamic linker's own words: they name the symbol or the file that is missing.
fn in_words(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

impl Entry {
    /// `[main]`
    pub(crate) fn create(&self, host: *const abi::rcl_host) -> Result<Plugin, Refused> {
        let mut made = null_mut();
        // SAFETY: the contract: `host` is valid for the life of the process, `made` is ours.
        let status = unsafe { (self.create)(host, &raw mut made) };
        if status < 0 {
            return Err(Refused::status("create", status));
        }
        let this = NonNull::new(made)
            .ok_or_else(|| Refused::new("create", "create() succeeded and gave nothing"))?;
        // SAFETY: the contract: made by create(), the plugin's until destroy().
        let table = unsafe { sized::read(this.as_ptr().cast_const()) }.map_err(|_too_small| {
            Refused::new("create", "an rcl_plugin smaller than in the first release")
        })?;
        Ok(Plugin { this, table })
    }
}

/// What `create` made.
#[derive(Debug)]
pub(crate) struct Plugin {
    this: NonNull<abi::rcl_plugin>,
    table: abi::rcl_plugin,
}

impl Plugin {
    /// What the device thread needs to open the device.
    pub(crate) fn opener(&self) -> Opener {
        Opener {
            this: self.this,
            open: self.table.open,
        }
    }

    /// `[main]` The last call.
    pub(crate) fn destroy(self) {
        if let Some(destroy) = self.table.destroy {
            // SAFETY: the contract: made by create(), every device is closed, nothing is called after it.
            unsafe { destroy(self.this.as_ptr()) };
        }
    }
}

/// The part of the plugin that is called on the device thread.
#[derive(Debug)]
pub(crate) struct Opener {
    this: NonNull<abi::rcl_plugin>,
    open: Option<
        unsafe extern "C" fn(
            *mut abi::rcl_plugin,
            *const abi::rcl_devref,
            *mut *mut abi::rcl_device,
        ) -> abi::rcl_status,
    >,
}

// SAFETY: the contract lets open() be called on the device thread.
unsafe impl Send for Opener {}

impl Opener {
    /// `[dev]`
    pub(crate) fn open(&self, reference: &DeviceRef) -> Result<Device, Refused> {
        let open = self
            .open
            .ok_or_else(|| Refused::new("open", "the plugin has no open()"))?;
        let mut made = null_mut();
        let raw = reference.raw();
        // SAFETY: the contract: `raw` and its strings live during the call, `made` is ours.
        let status = unsafe { open(self.this.as_ptr(), &raw const raw, &raw mut made) };
        if status < 0 {
            return Err(Refused::status("open", status));
        }
        let this =
            NonNull::new(made).ok_or_else(|| Refused::new("open", "open() succeeded and gave nothing"))?;
        // SAFETY: the contract: made by open(), the plugin's until close().
        let table = unsafe { sized::read(this.as_ptr().cast_const()) }
            .map_err(|_too_small| Refused::new("open", "an rcl_device smaller than in the first release"))?;
        Ok(Device { this, table })
    }
}

/// A device as it is handed over.
#[derive(Debug)]
pub(crate) struct DeviceRef {
    bus: u32,
    fd: RawFd,
    usb_vid: u32,
    usb_pid: u32,
    path: CString,
    serial: CString,
}

impl DeviceRef {
    /// `fd` stays open as long as the process lives.
    pub(crate) fn new(load: &Load, fd: RawFd) -> Self {
        let text = |text: &str| CString::new(text).unwrap_or_default();
        Self {
            bus: match load.bus {
                Bus::Usb => abi::RCL_BUS_USB,
                Bus::Serial => abi::RCL_BUS_SERIAL,
                Bus::V4l2 => abi::RCL_BUS_V4L2,
                Bus::Hidraw => abi::RCL_BUS_HIDRAW,
                Bus::Network => abi::RCL_BUS_NETWORK,
                Bus::Virtual => abi::RCL_BUS_VIRTUAL,
            },
            fd,
            usb_vid: load.usb_vid.into(),
            usb_pid: load.usb_pid.into(),
            path: text(&load.path),
            serial: text(&load.serial),
        }
    }

    fn raw(&self) -> abi::rcl_devref {
        abi::rcl_devref {
            size: abi::rcl_devref::SIZE,
            bus: self.bus,
            fd: self.fd,
            usb_vid: self.usb_vid,
            usb_pid: self.usb_pid,
            usb_iface: 0,
            path: CStr::as_ptr(&self.path),
            serial: CStr::as_ptr(&self.serial),
        }
    }
}

/// What `open` made.
#[derive(Debug)]
pub(crate) struct Device {
    this: NonNull<abi::rcl_device>,
    table: abi::rcl_device,
}

// SAFETY: made and used on the device thread; only its canceller goes to another.
unsafe impl Send for Device {}

impl Device {
    /// `[dev]`
    pub(crate) fn info(&self) -> Result<identity::Info, Refused> {
        let get_info = self
            .table
            .get_info
            .ok_or_else(|| Refused::new("info", "the device has no get_info()"))?;
        let mut info = abi::rcl_devinfo {
            size: abi::rcl_devinfo::SIZE,
            ..abi::rcl_devinfo::ZERO
        };
        // SAFETY: the contract: `info` is ours, and as large as it says.
        let status = unsafe { get_info(self.this.as_ptr(), &raw mut info) };
        if status < 0 {
            return Err(Refused::status("info", status));
        }
        Ok(identity::Info {
            vendor: sized::field(&info.vendor),
            model: sized::field(&info.model),
            serial: sized::field(&info.serial),
            firmware: sized::field(&info.firmware),
        })
    }

    /// `[dev]`
    pub(crate) fn caps(&self) -> Result<abi::rcl_caps, Refused> {
        let get_caps = self
            .table
            .get_caps
            .ok_or_else(|| Refused::new("caps", "the device has no get_caps()"))?;
        let mut caps = abi::rcl_caps {
            size: abi::rcl_caps::SIZE,
            ..abi::rcl_caps::ZERO
        };
        // SAFETY: the contract: `caps` is ours, and as large as it says.
        let status = unsafe { get_caps(self.this.as_ptr(), &raw mut caps) };
        if status < 0 {
            return Err(Refused::status("caps", status));
        }
        Ok(caps)
    }

    /// `[dev]` Blocks.
    pub(crate) fn capture(&self, req: u64, wanted: &CaptureParams) -> abi::rcl_status {
        let Some(capture) = self.table.capture else {
            return abi::RCL_E_UNSUPPORTED;
        };
        let mut params = identity::params(wanted);
        let fingers = identity::finger_params(wanted);
        let area = identity::scan_params(wanted);
        params.next = match wanted.modality {
            Modality::Fingerprint => (&raw const fingers).cast(),
            Modality::Scanner => (&raw const area).cast(),
            Modality::Camera => null(),
        };
        // SAFETY: the contract: `params` and its part live during the call.
        unsafe { capture(self.this.as_ptr(), req, &raw const params) }
    }

    /// `[dev]` None if the device has nothing to show.
    pub(crate) fn feedback(&self, wanted: Feedback) -> Option<abi::rcl_status> {
        let feedback = self.table.feedback?;
        let raw = abi::rcl_feedback {
            size: abi::rcl_feedback::SIZE,
            led: wanted.led,
            beep_ms: wanted.beep_ms,
            beep_hz: wanted.beep_hz,
            slot: wanted.slot,
        };
        // SAFETY: the contract: `raw` lives during the call.
        Some(unsafe { feedback(self.this.as_ptr(), &raw const raw) })
    }

    /// For the main thread.
    pub(crate) fn canceller(&self) -> Canceller {
        Canceller {
            this: self.this,
            cancel: self.table.cancel,
        }
    }

    /// `[dev]` The last call.
    pub(crate) fn close(self) {
        if let Some(close) = self.table.close {
            // SAFETY: the contract: made by open(), nothing is called after it; the main thread drops its
            // canceller before it asks for this.
            unsafe { close(self.this.as_ptr()) };
        }
    }
}

/// Makes a capture return, for SDKs that cannot poll.
#[derive(Debug)]
pub(crate) struct Canceller {
    this: NonNull<abi::rcl_device>,
    cancel: Option<unsafe extern "C" fn(*mut abi::rcl_device, u64)>,
}

// SAFETY: the contract lets cancel() be called from any thread until close().
unsafe impl Send for Canceller {}

impl Canceller {
    /// `[any]`
    pub(crate) fn cancel(&self, req: u64) {
        if let Some(cancel) = self.cancel {
            // SAFETY: the contract: the device is open.
            unsafe { cancel(self.this.as_ptr(), req) };
        }
    }
}
