//! The plugin's functions, as the host calls them.
#![expect(unsafe_code, reason = "functions that C calls, on pointers that C keeps")]

use std::ffi::{c_char, c_void};
use std::os::fd::BorrowedFd;

use recueil_abi as abi;
use tracing::Dispatch;

use super::guard::guard;
use super::{Host, device, sized};
use crate::log::HostLog;
use crate::{Bus, DevRef, DeviceInfo, Plugin, Status};

/// One plugin; the host sees its first field.
#[repr(C)]
struct State<P> {
    vtable: abi::rcl_plugin,
    host: Host,
    log: Dispatch,
    plugin: P,
}

/// `rcl_descriptor.create`.
///
/// # Safety
/// As the header says: a host of this major, and a place for the plugin.
pub(super) unsafe extern "C" fn create<P: Plugin>(
    host: *const abi::rcl_host,
    out: *mut *mut abi::rcl_plugin,
) -> abi::rcl_status {
    // SAFETY: the host that create is given is valid until destroy, which retires it.
    let Some(host) = (unsafe { Host::adopt(host) }) else {
        return Status::INVALID.0;
    };
    let log = Dispatch::new(HostLog::new(host.clone()));
    let status = guard(&host, &log, 0, || {
        let plugin = P::create(host.clone())?;
        let state = State {
            vtable: vtable::<P>(),
            host: host.clone(),
            log: log.clone(),
            plugin,
        };
        // SAFETY: `out` is a place for a pointer.
        unsafe { out.write(Box::into_raw(Box::new(state)).cast()) };
        Ok(0)
    });
    if status < 0 {
        host.retire();
    }
    status
}

fn vtable<P: Plugin>() -> abi::rcl_plugin {
    abi::rcl_plugin {
        size: abi::rcl_plugin::SIZE,
        destroy: Some(destroy::<P>),
        get_extension: Some(get_extension),
        probe: Some(probe::<P>),
        open: Some(open::<P>),
        ..abi::rcl_plugin::ZERO
    }
}

unsafe extern "C" fn destroy<P: Plugin>(plugin: *mut abi::rcl_plugin) {
    // SAFETY: the pointer that create gave, for the last time.
    let state = unsafe { Box::from_raw(plugin.cast::<State<P>>()) };
    let State {
        host, log, plugin, ..
    } = *state;
    guard(&host, &log, 0, || {
        drop(plugin);
        Ok(0)
    });
    host.retire();
}

unsafe extern "C" fn get_extension(_plugin: *mut abi::rcl_plugin, _id: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn probe<P: Plugin>(
    plugin: *mut abi::rcl_plugin,
    reference: *const abi::rcl_devref,
    out: *mut abi::rcl_devinfo,
) -> abi::rcl_status {
    // SAFETY: the pointer that create gave; the plugin is only ever shared.
    let state = unsafe { &*plugin.cast::<State<P>>() };
    guard(&state.host, &state.log, 0, || {
        // SAFETY: the host's reference is valid for the call.
        let reference = unsafe { device_ref(reference) }.ok_or(Status::INVALID)?;
        let Some(info) = state.plugin.probe(&reference)? else {
            return Ok(0);
        };
        // SAFETY: the host's place says its size.
        let filled = unsafe { sized::write(out, &abi::rcl_devinfo::from(&info)) };
        if filled {
            Ok(1)
        } else {
            Err(Status::INVALID.into())
        }
    })
}

unsafe extern "C" fn open<P: Plugin>(
    plugin: *mut abi::rcl_plugin,
    reference: *const abi::rcl_devref,
    out: *mut *mut abi::rcl_device,
) -> abi::rcl_status {
    // SAFETY: the pointer that create gave; the plugin is only ever shared.
    let state = unsafe { &*plugin.cast::<State<P>>() };
    guard(&state.host, &state.log, 0, || {
        // SAFETY: the host's reference is valid for the call.
        let reference = unsafe { device_ref(reference) }.ok_or(Status::INVALID)?;
        let device = state.plugin.open(&reference)?;
        let raw = device::into_raw(device, state.host.clone(), state.log.clone());
        // SAFETY: `out` is a place for a pointer.
        unsafe { out.write(raw) };
        Ok(0)
    })
}

/// # Safety
/// `raw` is null, or a device reference that is valid for `'a`.
unsafe fn device_ref<'a>(raw: *const abi::rcl_devref) -> Option<DevRef<'a>> {
    // SAFETY: the caller's reference.
    let raw = unsafe { sized::read(raw) }?;
    // SAFETY: the host keeps the descriptor open for longer than the call.
    let fd = (raw.fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(raw.fd) });
    // SAFETY: the host's text.
    let path = unsafe { sized::text(raw.path) };
    // SAFETY: the host's text.
    let serial = unsafe { sized::text(raw.serial) };
    Some(DevRef {
        bus: Bus::from(raw.bus),
        fd,
        usb_vid: raw.usb_vid,
        usb_pid: raw.usb_pid,
        usb_iface: raw.usb_iface,
        path,
        serial,
    })
}

impl From<&DeviceInfo> for abi::rcl_devinfo {
    fn from(info: &DeviceInfo) -> Self {
        let mut raw = Self {
            size: Self::SIZE,
            modalities: info.modalities.0,
            ..Self::ZERO
        };
        sized::fill_text(&mut raw.vendor, &info.vendor);
        sized::fill_text(&mut raw.model, &info.model);
        sized::fill_text(&mut raw.serial, &info.serial);
        sized::fill_text(&mut raw.firmware, &info.firmware);
        sized::fill_text(&mut raw.hw_rev, &info.hw_rev);
        sized::fill_text(&mut raw.unique_id, &info.unique_id);
        raw
    }
}
