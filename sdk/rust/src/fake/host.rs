//! The fake host's state and life.
#![expect(unsafe_code, reason = "calls the plugin's C functions")]

use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recueil_abi as abi;

use super::{Cancel, CaptureRequest, CapturedFrame, Device, DeviceRef, functions};
use crate::ffi::sized;
use crate::{Descriptor, DeviceInfo, Error, Event, Format, Modalities, Result, Status};

/// A host in this process. Devices that it opened end before it does.
pub struct Host {
    shared: Arc<Shared>,
    table: Rc<abi::rcl_host>,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("fake::Host")
            .field("broken_rules", &self.broken_rules())
            .finish_non_exhaustive()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A host with no configuration and nothing stored.
    pub fn new() -> Self {
        let shared = Arc::new(Shared::default());
        let table = Rc::new(functions::table(Arc::as_ptr(&shared)));
        Self { shared, table }
    }

    /// The same with a configuration value.
    #[must_use]
    pub fn with_config(self, key: &str, value: &str) -> Self {
        self.state().config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same with bytes stored before.
    #[must_use]
    pub fn with_blob(self, key: &str, bytes: &[u8]) -> Self {
        self.state().blobs.insert(key.to_owned(), bytes.to_owned());
        self
    }

    /// What is stored now.
    pub fn blobs(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().blobs.clone()
    }

    /// Lines of the log, `RCL_LOG_*` and text.
    pub fn log(&self) -> Vec<(i32, String)> {
        self.state().log.clone()
    }

    /// Rules of the contract that were broken so far, in words.
    pub fn broken_rules(&self) -> Vec<String> {
        self.state().broken_rules.clone()
    }

    /// Loads the plugin and asks it whether the device is one of its own.
    ///
    /// # Errors
    /// What the plugin said.
    pub fn probe(
        &self,
        descriptor: &'static Descriptor,
        reference: &DeviceRef,
    ) -> Result<Option<DeviceInfo>> {
        let plugin = LoadedPlugin::create(self, descriptor)?;
        let probe = plugin.functions().probe.ok_or(Status::UNSUPPORTED)?;
        let (path, serial) = texts(reference);
        let raw_reference = raw_reference(reference, &path, &serial);
        let mut info = abi::rcl_devinfo {
            size: abi::rcl_devinfo::SIZE,
            ..abi::rcl_devinfo::ZERO
        };
        // SAFETY: a live plugin; reference and place are valid for the call.
        let status = unsafe { probe(plugin.raw, &raw const raw_reference, &raw mut info) };
        match self.outcome(status)? {
            0 => Ok(None),
            _ => Ok(Some(DeviceInfo::from(&info))),
        }
    }

    /// Loads the plugin and opens the device. The descriptor stays open for as long as the device.
    ///
    /// # Errors
    /// What the plugin said, status, code and text.
    pub fn open(&self, descriptor: &'static Descriptor, reference: DeviceRef) -> Result<Device<'_>> {
        let plugin = LoadedPlugin::create(self, descriptor)?;
        let open = plugin.functions().open.ok_or(Status::UNSUPPORTED)?;
        let (path, serial) = texts(&reference);
        let raw_reference = raw_reference(&reference, &path, &serial);
        let mut device = std::ptr::null_mut();
        // SAFETY: a live plugin; reference and place are valid for the call.
        let status = unsafe { open(plugin.raw, &raw const raw_reference, &raw mut device) };
        self.outcome(status)?;
        if device.is_null() {
            return Err(Error::new(Status::FAILED, "open succeeded without a device"));
        }
        Ok(Device::new(self, plugin, device, reference))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock()
    }

    /// A status of a call outside captures, with what the plugin said of it.
    pub(super) fn outcome(&self, status: abi::rcl_status) -> Result<i32> {
        let said = self.state().failure.take();
        if status >= 0 {
            return Ok(status);
        }
        Err(said
            .filter(|said| said.status.0 == status)
            .unwrap_or_else(|| Status(status).into()))
    }
}

/// What the host's functions work on.
#[derive(Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) config: BTreeMap<String, String>,
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) log: Vec<(i32, String)>,
    pub(super) broken_rules: Vec<String>,
    pub(super) failure: Option<Error>,
    pub(super) running: Option<Running>,
    pub(super) last_req: u64,
    pub(super) last_handle: u64,
    pub(super) has_captured: bool,
}

impl State {
    pub(super) fn broken(&mut self, rule: impl Into<String>) {
        self.broken_rules.push(rule.into());
    }
}

/// The capture that runs.
pub(super) struct Running {
    pub(super) req: u64,
    pub(super) cancel_fd: OwnedFd,
    pub(super) cancel: Cancel,
    pub(super) previews_left: u32,
    pub(super) lent: HashMap<u64, Lent>,
    pub(super) frames: Vec<CapturedFrame>,
    pub(super) events: Vec<Event>,
}

impl Running {
    pub(super) fn new(req: u64, request: &CaptureRequest) -> Result<Self> {
        let flags = rustix::event::EventfdFlags::CLOEXEC;
        let running = Self {
            req,
            cancel_fd: rustix::event::eventfd(0, flags).map_err(std::io::Error::from)?,
            cancel: request.cancel,
            previews_left: request.previews_max,
            lent: HashMap::new(),
            frames: Vec::new(),
            events: Vec::new(),
        };
        if request.cancel == Cancel::AtOnce {
            running.cancel_now();
        }
        Ok(running)
    }

    /// Makes the cancel descriptor readable. A second time does no harm.
    pub(super) fn cancel_now(&self) {
        let _full = rustix::io::write(&self.cancel_fd, &1_u64.to_ne_bytes());
    }
}

/// Memory that the plugin has now.
pub(super) struct Lent {
    pub(super) kind: crate::Kind,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) stride: u32,
    pub(super) capacity: u64,
    pub(super) memory: Vec<Page>,
}

/// Frames begin on pages, as in the real host.
#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub(super) struct Page(pub(super) [u8; 4096]);

/// A created plugin; dropping it destroys it.
pub(super) struct LoadedPlugin {
    raw: *mut abi::rcl_plugin,
    /// The plugin calls the host until it is destroyed.
    _table: Rc<abi::rcl_host>,
    _shared: Arc<Shared>,
}

impl LoadedPlugin {
    fn create(host: &Host, descriptor: &'static Descriptor) -> Result<Self> {
        let create = descriptor.as_abi().create.ok_or(Status::UNSUPPORTED)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the table outlives the plugin, which holds it.
        let status = unsafe { create(Rc::as_ptr(&host.table), &raw mut raw) };
        host.outcome(status)?;
        if raw.is_null() {
            return Err(Error::new(Status::FAILED, "create succeeded without a plugin"));
        }
        Ok(Self {
            raw,
            _table: Rc::clone(&host.table),
            _shared: Arc::clone(&host.shared),
        })
    }

    fn functions(&self) -> abi::rcl_plugin {
        // SAFETY: a live plugin says its size.
        unsafe { sized::read(self.raw) }.unwrap_or(abi::rcl_plugin::ZERO)
    }
}

impl Drop for LoadedPlugin {
    fn drop(&mut self) {
        if let Some(destroy) = self.functions().destroy {
            // SAFETY: a live plugin whose devices are closed; the last call.
            unsafe { destroy(self.raw) };
        }
    }
}

fn texts(reference: &DeviceRef) -> (CString, CString) {
    let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
    (text(&reference.path), text(&reference.serial))
}

fn raw_reference(reference: &DeviceRef, path: &CString, serial: &CString) -> abi::rcl_devref {
    abi::rcl_devref {
        size: abi::rcl_devref::SIZE,
        bus: reference.bus.into(),
        fd: reference.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd),
        usb_vid: reference.usb_vid,
        usb_pid: reference.usb_pid,
        usb_iface: reference.usb_iface,
        path: path.as_ptr(),
        serial: serial.as_ptr(),
    }
}

impl From<&abi::rcl_devinfo> for DeviceInfo {
    fn from(raw: &abi::rcl_devinfo) -> Self {
        Self {
            modalities: Modalities(raw.modalities),
            vendor: sized::field_text(&raw.vendor),
            model: sized::field_text(&raw.model),
            serial: sized::field_text(&raw.serial),
            firmware: sized::field_text(&raw.firmware),
            hw_rev: sized::field_text(&raw.hw_rev),
            unique_id: sized::field_text(&raw.unique_id),
        }
    }
}
