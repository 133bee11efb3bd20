//! What a plugin implements.

use std::os::fd::BorrowedFd;

use crate::{Bus, Caps, Capture, DeviceInfo, Host, Params, Result, Status};

/// A plugin: made once in a process. Calls come from any thread, so state of yours needs a lock.
pub trait Plugin: Send + Sync + Sized + 'static {
    /// An open device.
    type Device: Device;

    /// Makes the plugin; 1 s. No device is touched. Keep `host` if you want its configuration and blobs later.
    fn create(host: Host) -> Result<Self>;

    /// Is this device one of mine? What the descriptors tell of it, or none; 1 s.
    fn probe(&self, _device: &DevRef<'_>) -> Result<Option<DeviceInfo>> {
        Err(Status::UNSUPPORTED.into())
    }

    /// Opens a device; 5 s.
    fn open(&self, device: &DevRef<'_>) -> Result<Self::Device>;
}

/// An open device. Calls come on one thread, one after the other. Dropping it closes it; 2 s.
pub trait Device: Send + 'static {
    /// Who it is; 1 s.
    fn info(&mut self) -> Result<DeviceInfo>;

    /// What it can; 1 s.
    fn caps(&mut self) -> Result<Caps>;

    /// One whole capture: waits for what is presented, submits previews if they are asked for and at least one
    /// result. Must return within a second after [`Capture::cancelled`], and when the deadline is over.
    fn capture(&mut self, capture: &Capture<'_>, params: &Params) -> Result<()>;

    /// Lamp and sound; 1 s.
    fn feedback(&mut self, _feedback: &Feedback) -> Result<()> {
        Err(Status::UNSUPPORTED.into())
    }

    /// Tests itself; `level` 0 is quick, 1 may move parts; 5 s.
    fn self_test(&mut self, _level: u32) -> Result<()> {
        Err(Status::UNSUPPORTED.into())
    }

    /// Asked once, after opening. Only for SDKs that cannot poll [`Capture::cancel_fd`].
    fn canceller(&self) -> Option<Canceller> {
        None
    }
}

/// Makes the capture with this request number return. Called from any thread, also before the capture began
/// and after it ended.
pub type Canceller = Box<dyn Fn(u64) + Send + Sync>;

/// A device handed over by the host.
#[derive(Debug, Clone, Copy)]
pub struct DevRef<'a> {
    /// How it hangs on the machine.
    pub bus: Bus,
    /// The open device; none where the bus has none. It stays the host's; to keep it, clone it
    /// (`try_clone_to_owned`).
    pub fd: Option<BorrowedFd<'a>>,
    /// USB vendor, 0 elsewhere.
    pub usb_vid: u32,
    /// USB product.
    pub usb_pid: u32,
    /// USB interface.
    pub usb_iface: u32,
    /// For messages, not for opening.
    pub path: &'a str,
    /// Serial number as the bus tells it; may be empty.
    pub serial: &'a str,
}

/// A lamp and a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// What the lamp shows.
    pub led: Led,
    /// Length of the sound, milliseconds; 0 none.
    pub beep_ms: u32,
    /// Its pitch.
    pub beep_hz: u32,
    /// Which lamp, 0 the first.
    pub slot: u32,
}

/// What a lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Led {
    /// Nothing.
    Off,
    /// Ready, unused.
    Idle,
    /// Waiting for the person.
    Wait,
    /// Done well.
    Good,
    /// Done badly.
    Fail,
    /// One that is not known here.
    Other(u32),
}

impl From<u32> for Led {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::Off,
            1 => Self::Idle,
            2 => Self::Wait,
            3 => Self::Good,
            4 => Self::Fail,
            other => Self::Other(other),
        }
    }
}

impl From<Led> for u32 {
    fn from(led: Led) -> Self {
        match led {
            Led::Off => 0,
            Led::Idle => 1,
            Led::Wait => 2,
            Led::Good => 3,
            Led::Fail => 4,
            Led::Other(number) => number,
        }
    }
}
