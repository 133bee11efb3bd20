//! How a call fails: a status of the contract, and what the vendor says of it.

use recueil_abi as abi;

/// What every method of a plugin gives.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure with the vendor's own code and words, which reach the log and the station software.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Which of the contract's failures.
    pub status: Status,
    /// The vendor's code, 0 if there is none.
    pub vendor_code: i64,
    /// The vendor's words, without personal data; cut at 200 characters by the host. May be empty.
    pub text: String,
}

impl Error {
    /// A failure with words and no vendor code.
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self {
            status,
            vendor_code: 0,
            text: text.into(),
        }
    }

    /// The same with the vendor's code.
    #[must_use]
    pub fn with_vendor_code(self, vendor_code: i64) -> Self {
        Self { vendor_code, ..self }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.status)?;
        if self.vendor_code != 0 {
            write!(f, " (vendor code {})", self.vendor_code)?;
        }
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::new(status, "")
    }
}

/// Input and output on the device's line: a line that hung up is a device that is gone.
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let status = match error.kind() {
            ErrorKind::BrokenPipe
            | ErrorKind::ConnectionReset
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Status::GONE,
            ErrorKind::TimedOut => Status::TIMEOUT,
            ErrorKind::PermissionDenied => Status::ACCESS,
            ErrorKind::OutOfMemory => Status::NO_MEMORY,
            _ if error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error()) => Status::GONE,
            _ => Status::IO,
        };
        let vendor_code = error.raw_os_error().map_or(0, i64::from);
        Self {
            status,
            vendor_code,
            text: error.to_string(),
        }
    }
}

/// A status of the contract (`RCL_OK`, `RCL_E_*`). Numbers that are not known here are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub i32);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $abi:ident, $text:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self(abi::$abi);)*
        }

        impl std::fmt::Display for Status {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match *self {
                    $(Self::$name => f.write_str($text),)*
                    Self(other) => write!(f, "status {other}"),
                }
            }
        }
    };
}

statuses! {
    /// Success.
    OK = RCL_OK, "success";
    /// Any other failure.
    FAILED = RCL_E_FAILED, "failed";
    /// The device cannot do it.
    UNSUPPORTED = RCL_E_UNSUPPORTED, "not supported";
    /// The caller broke a rule of the contract.
    INVALID = RCL_E_INVALID, "invalid call";
    /// Memory is short, or the host lends no more.
    NO_MEMORY = RCL_E_NO_MEMORY, "no memory";
    /// The deadline passed and nothing was presented.
    TIMEOUT = RCL_E_TIMEOUT, "timed out";
    /// The capture was cancelled.
    CANCELLED = RCL_E_CANCELLED, "cancelled";
    /// Somebody else uses the device.
    BUSY = RCL_E_BUSY, "busy";
    /// Unplugged.
    GONE = RCL_E_GONE, "device gone";
    /// The line to the device failed.
    IO = RCL_E_IO, "input or output failed";
    /// Not allowed.
    ACCESS = RCL_E_ACCESS, "access refused";
    /// No free preview frame: leave this one out.
    AGAIN = RCL_E_AGAIN, "no free frame";
    /// The device's firmware will not do.
    FIRMWARE = RCL_E_FIRMWARE, "firmware";
    /// The device needs calibration.
    CALIBRATION = RCL_E_CALIBRATION, "calibration needed";
    /// Paper jam.
    JAM = RCL_E_JAM, "paper jam";
    /// No paper, no card.
    NO_MEDIA = RCL_E_NO_MEDIA, "no paper or card";
    /// The cover is open.
    COVER_OPEN = RCL_E_COVER_OPEN, "cover open";
    /// The device was tampered with.
    TAMPER = RCL_E_TAMPER, "tampered with";
    /// The SDK's licence does not allow it.
    LICENCE = RCL_E_LICENCE, "licence";
    /// The plugin panicked; given by this crate.
    PANIC = RCL_E_PANIC, "the plugin panicked";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_hung_up_is_a_device_that_is_gone() {
        let status = |kind: std::io::ErrorKind| Error::from(std::io::Error::from(kind)).status;
        assert_eq!(status(std::io::ErrorKind::UnexpectedEof), Status::GONE);
        assert_eq!(status(std::io::ErrorKind::TimedOut), Status::TIMEOUT);
        let unplugged = Error::from(std::io::Error::from(rustix::io::Errno::NODEV));
        assert_eq!((unplugged.status, unplugged.vendor_code), (Status::GONE, 19));
    }
}
