//! The host, as a plugin sees it.
#![expect(unsafe_code, reason = "calls the host's functions")]

use std::ffi::{CString, c_char};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError, RwLock};

use recueil_abi as abi;

use super::sized;
use crate::{Error, Result, Status};

/// The host: configuration, stored blobs, clock, log. Clones are the same host. After the plugin was destroyed
/// every call fails, so a clone kept too long does no harm.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    raw: *const abi::rcl_host,
    table: abi::rcl_host,
    alive: RwLock<bool>,
}

// SAFETY: the header promises that every host function may be called from any thread, also concurrently.
unsafe impl Send for Inner {}
// SAFETY: as above.
unsafe impl Sync for Inner {}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("abi_minor", &self.0.table.abi_minor)
            .finish_non_exhaustive()
    }
}

impl Host {
    /// Longest configuration value, bytes.
    pub const CONFIG_MAX_BYTES: usize = 64 << 10;
    /// Most bytes stored for one device.
    pub const BLOBS_MAX_BYTES: usize = 256 << 10;

    /// None if it is no host of this major.
    ///
    /// # Safety
    /// `raw` is the host that `create` was given; it stays valid until [`Host::retire`].
    pub(super) unsafe fn adopt(raw: *const abi::rcl_host) -> Option<Self> {
        // SAFETY: the host filled it.
        let table = unsafe { sized::read(raw) }?;
        (table.abi_major == abi::RCL_ABI_MAJOR).then(|| {
            Self(Arc::new(Inner {
                raw,
                table,
                alive: RwLock::new(true),
            }))
        })
    }

    /// From here on every call fails.
    pub(super) fn retire(&self) {
        *self.0.alive.write().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// The administrator's value for `key`; none if there is none.
    ///
    /// # Errors
    /// `INVALID` for a key with a zero byte, `NO_MEMORY` for a value above [`Host::CONFIG_MAX_BYTES`].
    pub fn config(&self, key: &str) -> Result<Option<String>> {
        let key = c_string(key)?;
        let mut value: Vec<u8> = vec![0; Self::CONFIG_MAX_BYTES];
        let cap = u32::try_from(value.len()).unwrap_or(0);
        let status = self.call(|raw, table| {
            // SAFETY: both texts are valid for the call; the buffer has `cap` bytes.
            table
                .config_get
                .map(|get| unsafe { get(raw, key.as_ptr(), value.as_mut_ptr().cast::<c_char>(), cap) })
        })?;
        let Some(len) = length(i64::from(status), "configuration")? else {
            return Ok(None);
        };
        if len >= value.len() {
            return Err(Error::new(
                Status::NO_MEMORY,
                "a configuration value longer than is read",
            ));
        }
        value.truncate(len);
        String::from_utf8(value)
            .map(Some)
            .map_err(|_not_text| Error::new(Status::INVALID, "a value that is no text"))
    }

    /// What was stored for this device under `key`; none if nothing was.
    ///
    /// # Errors
    /// `INVALID` for a key that is none.
    pub fn blob(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let key = c_string(key)?;
        let mut bytes: Vec<u8> = vec![0; Self::BLOBS_MAX_BYTES];
        let cap = u64::try_from(bytes.len()).unwrap_or(0);
        let len = self.call(|raw, table| {
            // SAFETY: the key is valid for the call; the buffer has `cap` bytes.
            table
                .blob_get
                .map(|get| unsafe { get(raw, key.as_ptr(), bytes.as_mut_ptr().cast(), cap) })
        })?;
        let Some(len) = length(len, "blob")? else {
            return Ok(None);
        };
        bytes.truncate(len);
        Ok(Some(bytes))
    }

    /// Stores bytes for this device.
    ///
    /// # Errors
    /// `ACCESS` once a capture began in this process, `NO_MEMORY` above [`Host::BLOBS_MAX_BYTES`] in all,
    /// `INVALID` for a key that is not 1 to 64 of a-z, 0-9, '-', '.'.
    pub fn store_blob(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let key = c_string(key)?;
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let status = self.call(|raw, table| {
            // SAFETY: key and bytes are valid for the call.
            table
                .blob_put
                .map(|put| unsafe { put(raw, key.as_ptr(), bytes.as_ptr().cast(), len) })
        })?;
        outcome(status, "blob")
    }

    /// The monotonic clock, nanoseconds; 0 if there is none.
    pub fn now_ns(&self) -> u64 {
        // SAFETY: the host's own function on the host.
        self.call(|raw, table| table.now_ns.map(|now_ns| unsafe { now_ns(raw) }))
            .unwrap_or(0)
    }

    /// One line for the log, `RCL_LOG_*`. Plugins use `tracing`, which comes here.
    pub fn log(&self, level: i32, text: &str) {
        let text = lossy_c_string(text);
        // SAFETY: the text is valid for the call.
        let _nobody_listens =
            self.call(|raw, table| table.log.map(|log| unsafe { log(raw, level, text.as_ptr()) }));
    }

    pub(super) fn fail(&self, req: u64, status: Status, error: &Error) {
        let text = lossy_c_string(&error.text);
        let _nobody_listens = self.call(|raw, table| {
            // SAFETY: the text is valid for the call.
            table
                .fail
                .map(|fail| unsafe { fail(raw, req, status.0, error.vendor_code, text.as_ptr()) })
        });
    }

    pub(crate) fn event(&self, req: u64, event: u32, value: i64) {
        let _nobody_listens = self.call(|raw, table| {
            // SAFETY: the detail may be null.
            table
                .event
                .map(|tell| unsafe { tell(raw, req, event, value, std::ptr::null()) })
        });
    }

    /// Borrowed for as long as the capture runs, which is the caller's `'a`.
    ///
    /// # Safety
    /// The capture `req` runs for all of `'a`.
    pub(super) unsafe fn cancel_fd<'a>(&self, req: u64) -> Result<BorrowedFd<'a>> {
        // SAFETY: the host's own function on the host.
        let fd = self.call(|raw, table| table.cancel_fd.map(|cancel_fd| unsafe { cancel_fd(raw, req) }))?;
        if fd < 0 {
            return Err(Error::new(Status::INVALID, "the host gave no cancel descriptor"));
        }
        // SAFETY: the host keeps it open until the capture returned.
        Ok(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    pub(super) fn frame_alloc(&self, req: u64, kind: u32, frame: &mut abi::rcl_frame) -> Result<()> {
        let frame: *mut abi::rcl_frame = frame;
        let status = self.call(|raw, table| {
            let alloc = table.frame_alloc?;
            // SAFETY: the frame says its size and is valid for the call.
            Some(unsafe { alloc(raw, req, kind, frame) })
        })?;
        outcome(status, "frame")
    }

    /// # Safety
    /// `frame` came from [`Host::frame_alloc`] for `req` and is not used again; `meta` and all it points to are
    /// valid for the call.
    pub(super) unsafe fn frame_submit(
        &self,
        req: u64,
        frame: &mut abi::rcl_frame,
        meta: &abi::rcl_meta,
    ) -> Result<()> {
        let frame: *mut abi::rcl_frame = frame;
        let status = self.call(|raw, table| {
            let submit = table.frame_submit?;
            // SAFETY: the caller's frame and meta.
            Some(unsafe { submit(raw, req, frame, meta) })
        })?;
        outcome(status, "frame")
    }

    /// # Safety
    /// `frame` came from [`Host::frame_alloc`] and is not used again.
    pub(super) unsafe fn frame_drop(&self, frame: &mut abi::rcl_frame) {
        let frame: *mut abi::rcl_frame = frame;
        let _nobody_listens = self.call(|raw, table| {
            // SAFETY: the caller's frame.
            table
                .frame_drop
                .map(|drop_frame| unsafe { drop_frame(raw, frame) })
        });
    }

    /// Calls one function of the host; the host cannot be retired meanwhile.
    fn call<R>(&self, f: impl FnOnce(*const abi::rcl_host, &abi::rcl_host) -> Option<R>) -> Result<R> {
        let alive = self.0.alive.read().unwrap_or_else(PoisonError::into_inner);
        if !*alive {
            return Err(Error::new(Status::INVALID, "the plugin is destroyed"));
        }
        f(self.0.raw, &self.0.table)
            .ok_or_else(|| Error::new(Status::UNSUPPORTED, "a host without this function"))
    }
}

fn outcome(status: abi::rcl_status, what: &str) -> Result<()> {
    if status < 0 {
        Err(Error::new(Status(status), format!("{what} refused by the host")))
    } else {
        Ok(())
    }
}

fn length(len: i64, what: &str) -> Result<Option<usize>> {
    match i32::try_from(len) {
        Ok(abi::RCL_E_UNSUPPORTED) => Ok(None),
        Ok(status) if status < 0 => outcome(status, what).map(|()| None),
        _ => Ok(Some(usize::try_from(len).unwrap_or(usize::MAX))),
    }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_zero| Error::new(Status::INVALID, "a text with a zero byte"))
}

fn lossy_c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
