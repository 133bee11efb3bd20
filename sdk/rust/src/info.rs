//! What a device is and can.

use recueil_abi as abi;

/// Kinds of capture, a set of `RCL_MOD_*`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Modalities(pub u32);

impl Modalities {
    /// Fingerprints.
    pub const FINGERPRINT: Self = Self(abi::RCL_MOD_FINGERPRINT);
    /// Live pictures.
    pub const CAMERA: Self = Self(abi::RCL_MOD_CAMERA);
    /// Paper.
    pub const SCANNER: Self = Self(abi::RCL_MOD_SCANNER);

    /// Both sets together; usable in constants, where `|` is not.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// How pixels lie, `RCL_PIX_*`. A host takes the three named here; other numbers are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format(pub u32);

impl Format {
    /// One byte a pixel, 0 is black.
    pub const GRAY8: Self = Self(abi::RCL_PIX_GRAY8);
    /// Red, green, blue, one byte each.
    pub const RGB24: Self = Self(abi::RCL_PIX_RGB24);
    /// One whole JPEG file.
    pub const JPEG: Self = Self(abi::RCL_PIX_JPEG);

    /// Bytes a pixel; none for compressed and reserved formats.
    pub fn bytes_per_pixel(self) -> Option<u32> {
        match self {
            Self::GRAY8 => Some(1),
            Self::RGB24 => Some(3),
            _ => None,
        }
    }
}

/// How a device hangs on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bus {
    /// A usbfs node, its interface claimed already.
    Usb,
    /// A serial line, exclusive; set its speed yourself.
    Serial,
    /// A video node.
    V4l2,
    /// A raw HID node.
    Hidraw,
    /// A connected network socket.
    Network,
    /// A connected Unix stream socket.
    Virtual,
    /// One that is not known here.
    Other(u32),
}

impl From<u32> for Bus {
    fn from(number: u32) -> Self {
        match number {
            abi::RCL_BUS_USB => Self::Usb,
            abi::RCL_BUS_SERIAL => Self::Serial,
            abi::RCL_BUS_V4L2 => Self::V4l2,
            abi::RCL_BUS_HIDRAW => Self::Hidraw,
            abi::RCL_BUS_NETWORK => Self::Network,
            abi::RCL_BUS_VIRTUAL => Self::Virtual,
            other => Self::Other(other),
        }
    }
}

impl From<Bus> for u32 {
    fn from(bus: Bus) -> Self {
        match bus {
            Bus::Usb => abi::RCL_BUS_USB,
            Bus::Serial => abi::RCL_BUS_SERIAL,
            Bus::V4l2 => abi::RCL_BUS_V4L2,
            Bus::Hidraw => abi::RCL_BUS_HIDRAW,
            Bus::Network => abi::RCL_BUS_NETWORK,
            Bus::Virtual => abi::RCL_BUS_VIRTUAL,
            Bus::Other(number) => number,
        }
    }
}

/// What a device says it is. Texts are cut to what the contract holds: 63 bytes, 31 for `firmware` and
/// `hw_rev`, 95 for `unique_id`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What it captures.
    pub modalities: Modalities,
    /// Its maker.
    pub vendor: String,
    /// Its model.
    pub model: String,
    /// Its own serial number, the same after unplugging.
    pub serial: String,
    /// Its firmware's version.
    pub firmware: String,
    /// Its hardware's revision.
    pub hw_rev: String,
    /// Where the serial number is not unique; else empty.
    pub unique_id: String,
}

/// What a device can.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the contract")]
pub struct Caps {
    /// What it captures.
    pub modalities: Modalities,
    /// Largest width of any frame, pixels.
    pub width_max: u32,
    /// Largest height of any frame, pixels.
    pub height_max: u32,
    /// Native resolution, thousandths of a pixel per inch.
    pub ppi_milli: u32,
    /// Formats it makes.
    pub formats: Vec<Format>,
    /// Whether it makes previews.
    pub preview: bool,
    /// Whether it has a lamp to set.
    pub led: bool,
    /// Whether it can beep.
    pub beep: bool,
    /// Whether it detects presentation attacks by itself.
    pub pad: bool,
    /// Whether it decides by itself when the picture is good.
    pub auto_capture: bool,
    /// What a capture usually takes at most, milliseconds.
    pub capture_timeout_ms: u32,
}
