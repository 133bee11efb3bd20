//! `recueil-hostd` and one `recueil-device-host`, on the socket that is the host's standard input.
//!
//! hostd sends [`ToHost::Load`] first, with the plugin's library and the device as descriptors, and waits
//! for [`FromHost::Ready`]. Calls are answered in their order; captures end with [`FromHost::Captured`].
//! hostd keeps a deadline on each call and kills the host through its pidfd when it passes.

use std::collections::BTreeMap;

use recueil_dossier::FingerPosition;
use serde::{Deserialize, Serialize};

use crate::devices::{Capabilities, CaptureParams, Identity};

/// What hostd asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToHost {
    /// The first message. Descriptors: the library (opened and hashed by hostd), the device, and the memory that
    /// holds what was stored for it, if something was.
    Load(Box<Load>),
    /// Descriptor: the frame socket of the capture session, see [`crate::frames`]. Replaces the one before.
    AttachFrames,
    /// Runs one capture on the device thread.
    Capture {
        /// Chosen by hostd; never used twice by one host.
        req: u64,
        /// What is wanted.
        params: CaptureParams,
    },
    /// Makes the cancel descriptor of that capture readable, and calls the plugin's `cancel` if it has one.
    Cancel {
        /// Which.
        req: u64,
    },
    /// LED and beep.
    Feedback(Feedback),
    /// Closes the device, then the host ends by itself.
    Close,
}

/// All that a host needs before it confines itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The plugin's id as its manifest gives it; the descriptor must say the same.
    pub plugin_id: String,
    /// How the device hangs on the machine.
    pub bus: Bus,
    /// Node or socket the device was opened from, for the plugin's messages only.
    pub path: String,
    /// Serial number, if the bus tells one.
    pub serial: String,
    /// USB vendor and product, 0 elsewhere.
    pub usb_vid: u16,
    /// USB product.
    pub usb_pid: u16,
    /// The plugin's configuration.
    pub config: BTreeMap<String, String>,
    /// What the plugin stored for this device: names and lengths, in the order in which the bytes lie in the third
    /// descriptor.
    pub blobs: Vec<Blob>,
    /// How to confine.
    pub sandbox: Sandbox,
}

/// Where one stored value ends and the next begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// 1 to 64 of a-z, 0-9, '-', '.'.
    pub key: String,
    /// Bytes.
    pub len: u64,
}

/// Most bytes stored for one device, names included.
pub const BLOBS_MAX_BYTES: usize = 256 << 10;
/// Most bytes of a value in one message.
pub const BLOB_PART_MAX_BYTES: usize = 24 << 10;

/// Kinds of buses; numbers in the header are `RCL_BUS_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bus {
    /// A USB device node.
    Usb,
    /// A serial line.
    Serial,
    /// A video node.
    V4l2,
    /// A raw HID node.
    Hidraw,
    /// A device on the network.
    Network,
    /// A socket that `recueil-virtual` offers.
    Virtual,
}

/// How a host confines itself before any of the vendor's code runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sandbox {
    /// Folders that may be read and executed from: system libraries and the plugin's own folder.
    pub read_dirs: Vec<String>,
    /// Highest landlock ABI to use; tests cap it at 2, Debian 12's.
    pub landlock_abi_max: u32,
    /// The administrator named this plugin as one that may run where the sandbox cannot be had.
    pub allow_unsandboxed: bool,
    /// `RLIMIT_AS`, MiB.
    pub memory_mib: u64,
    /// Most threads.
    pub threads: u32,
}

/// LED and beep of a device, meanings as in `rcl_feedback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feedback {
    /// 0 off, 1 idle, 2 wait, 3 good, 4 fail.
    pub led: u32,
    /// Length of a beep, 0 none.
    pub beep_ms: u32,
    /// Pitch of the beep.
    pub beep_hz: u32,
    /// Which lamp; 0 the first.
    pub slot: u32,
}

/// Calls of a plugin on the way to [`FromHost::Ready`], in their order. Each has a limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The library's own constructors. Not told: it begins with the process.
    Load,
    /// The entry, and `create`.
    Create,
    /// `open`.
    Open,
    /// `get_info`.
    Info,
    /// `get_caps`.
    Caps,
}

/// What a host says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromHost {
    /// The plugin is loaded, the device open.
    Ready {
        /// The plugin's version, from its descriptor.
        plugin_version: String,
        /// What the device says it is.
        identity: Identity,
        /// What the device can.
        capabilities: Capabilities,
        /// What confines it.
        confinement: Confinement,
    },
    /// A call of the plugin begins.
    Begins {
        /// Which. Never the same or an earlier one again.
        step: Step,
    },
    /// A call failed for good; the host ends.
    Failed {
        /// Which step: `sandbox`, `load`, `entry`, `create`, `open`, `info`, `caps`; later `threads`.
        stage: String,
        /// The failure.
        failure: PluginFailure,
    },
    /// Progress of a capture.
    Event {
        /// Which capture.
        req: u64,
        /// `RCL_EV_*`; unknown numbers are passed on.
        event: u32,
        /// Its value.
        value: i64,
        /// Positions, where the event names fingers.
        position: Option<FingerPosition>,
    },
    /// A capture ended; exactly one for each `Capture`.
    Captured {
        /// Which.
        req: u64,
        /// Result frames that were submitted.
        results: u32,
        /// Preview frames that were submitted.
        previews: u32,
        /// None if it succeeded.
        failure: Option<PluginFailure>,
        /// The first rule of the contract that the plugin broke in this capture.
        broken_rule: Option<String>,
    },
    /// A line for the log: printable, limited in length and number.
    Log {
        /// `RCL_LOG_*`, clamped to those known.
        level: u32,
        /// The text.
        text: String,
    },
    /// The plugin wants something stored for this device: the next part of a value. Refused once it was asked for a
    /// capture.
    BlobPut {
        /// 1 to 64 of a-z, 0-9, '-', '.'.
        key: String,
        /// At most [`BLOB_PART_MAX_BYTES`] bytes, lower-case hexadecimal.
        part: String,
        /// Whether the value ends with it.
        last: bool,
    },
    /// A host function was called against the rules; the capture goes on if it can.
    Misbehaved {
        /// The rule: its number in the header, and in words.
        rule: String,
    },
}

/// A status of the plugin contract with the vendor's own code and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginFailure {
    /// `RCL_E_*`, below 0.
    pub status: i32,
    /// The vendor's code, 0 if none.
    pub vendor_code: i64,
    /// The vendor's text: printable, at most 200 characters, may be empty.
    pub text: String,
}

/// What holds a host, for `status` and for tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confinement {
    /// Landlock ABI in force, 0 if none.
    pub landlock_abi: u32,
    /// Whether both seccomp filters are in force.
    pub seccomp: bool,
}
