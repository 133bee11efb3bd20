//! `recueild` and `recueil-hostd`, on hostd's socket. hostd accepts the uid of `recueild` alone.
//!
//! A session is one analyser on one device: [`Call::Open`], any number of [`Call::Start`], and
//! [`Call::Close`], which replaces the host and is answered when its pidfd has fired.

use recueil_dossier::{FingerPosition, PixelFormat};
use serde::{Deserialize, Serialize};

use crate::host::{Confinement, Feedback, PluginFailure};

/// A device's name while it is known: `virtual-fp4-SN0001`. Letters, digits, '-', '_'; at most 128.
pub type DeviceId = String;

/// A call by `recueild`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What `recueild` asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// All devices and plugins. Changes after this come as notices.
    List,
    /// Begins a session. The answer brings a descriptor: the analyser's end of the frame socket.
    Open {
        /// Which.
        device: DeviceId,
    },
    /// Starts a capture of the open session. Answered at once; it ends with [`Notice::Captured`].
    Start {
        /// Which device.
        device: DeviceId,
        /// Chosen by `recueild`, grows within a session.
        req: u64,
        /// What is wanted.
        params: CaptureParams,
    },
    /// Cancels a capture. Its end is still told by [`Notice::Captured`], by force after one second.
    Stop {
        /// Which device.
        device: DeviceId,
        /// Which capture.
        req: u64,
    },
    /// LED and beep, outside the order of captures.
    Feedback {
        /// Which device.
        device: DeviceId,
        /// What to show.
        feedback: Feedback,
    },
    /// The machine is about to sleep: every host ends and every device is given back, until [`Call::Wake`] or the
    /// end of this connection. Devices are absent meanwhile.
    Sleep,
    /// The machine is awake: devices are opened again, as they are found.
    Wake,
    /// Ends a session: the host that captured is ended, and answered for when it is gone; a fresh one starts.
    Close {
        /// Which device.
        device: DeviceId,
    },
    /// Gives a device whose plugin failed too often another chance. Durable when it is answered.
    LiftQuarantine {
        /// Which device.
        device: DeviceId,
    },
}

/// What hostd says. Its tag is not `type`, since a notice has one of that name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromHostd {
    /// The answer to one call.
    Reply {
        /// The call's id.
        id: u64,
        /// Its result.
        answer: Result<Answer, Failure>,
    },
    /// News.
    Notice(Notice),
}

/// What calls give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answer {
    /// To [`Call::List`].
    Devices {
        /// Every device known.
        devices: Vec<Device>,
        /// Every plugin folder found, admitted or not.
        plugins: Vec<Plugin>,
        /// What holds the hosts to their limits.
        limits: HostLimits,
    },
    /// To the rest. After [`Call::Close`]: the host's pidfd has fired.
    Done,
}

/// What holds hosts to the memory and threads of their manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostLimits {
    /// A cgroup each, and rlimits.
    Cgroups,
    /// rlimits only: no cgroup is delegated to hostd.
    Rlimits,
}

impl HostLimits {
    /// The words that `status` shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cgroups => "cgroups",
            Self::Rlimits => "rlimits only",
        }
    }
}

/// News that nobody asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Notice {
    /// A device appeared or changed.
    Device {
        /// As it is now.
        device: Box<Device>,
    },
    /// A device is gone from the machine.
    Gone {
        /// Which.
        device: DeviceId,
    },
    /// Progress of a capture.
    Progress {
        /// Which device.
        device: DeviceId,
        /// Which capture.
        req: u64,
        /// `RCL_EV_*`.
        event: u32,
        /// Its value.
        value: i64,
        /// The finger it names.
        position: Option<FingerPosition>,
    },
    /// A capture ended.
    Captured {
        /// Which device.
        device: DeviceId,
        /// Which capture.
        req: u64,
        /// Result frames submitted before the end.
        results: u32,
        /// None if the plugin says it succeeded.
        failure: Option<Failure>,
    },
    /// The host of an open session ended before [`Call::Close`]; the session is over.
    HostEnded {
        /// Which device.
        device: DeviceId,
        /// Why.
        failure: Failure,
    },
}

/// What a device says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// At most 63 characters, printable.
    pub vendor: String,
    /// At most 63 characters, printable.
    pub model: String,
    /// At most 63 characters, printable.
    pub serial: String,
    /// At most 31 characters, printable.
    pub firmware: String,
}

/// What a device can.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// What it captures.
    pub modalities: Vec<Modality>,
    /// Largest frame, pixels.
    pub width_max: u32,
    /// Largest frame, pixels.
    pub height_max: u32,
    /// Native resolution, thousandths of a pixel per inch.
    pub ppi_milli: u32,
    /// Pixel formats it makes, of those known here.
    pub formats: Vec<PixelFormat>,
    /// Whether it makes previews.
    pub preview: bool,
    /// A capture's usual length.
    pub capture_timeout_ms: u32,
}

/// Kinds of capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Modality {
    /// `RCL_MOD_FINGERPRINT`.
    Fingerprint,
    /// `RCL_MOD_CAMERA`.
    Camera,
    /// `RCL_MOD_SCANNER`.
    Scanner,
}

impl Modality {
    /// The name on the bus and in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::Camera => "camera",
            Self::Scanner => "scanner",
        }
    }
}

/// What one capture is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureParams {
    /// What to capture.
    pub modality: Modality,
    /// The format wanted; none for the device's own.
    pub format: Option<PixelFormat>,
    /// The resolution wanted, thousandths of a pixel per inch; 0 for the device's own.
    pub ppi_milli: u32,
    /// When the capture must be over, counted from its start.
    pub deadline_ms: u32,
    /// Previews a second; 0 for none.
    pub preview_fps: u32,
    /// For fingerprints: a slap or a finger.
    pub position: Option<FingerPosition>,
    /// For fingerprints: fingers that will not be presented.
    pub missing: Vec<FingerPosition>,
    /// For scanners: the area in micrometres, from the top left corner of the glass; none for all of it.
    pub area_um: Option<AreaUm>,
}

/// A rectangle on a scanner's glass, micrometres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AreaUm {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// One device as hostd knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Stable by serial number: the same after unplugging.
    pub id: DeviceId,
    /// Where its life stands.
    pub state: DeviceState,
    /// The plugin that drives it.
    pub plugin: String,
    /// The plugin's version.
    pub plugin_version: String,
    /// What the device says it is; none before it was opened once.
    pub identity: Option<Identity>,
    /// What it can; none before it was opened once.
    pub capabilities: Option<Capabilities>,
    /// What confines its host.
    pub confinement: Option<Confinement>,
    /// Why it is faulted or in quarantine.
    pub failure: Option<Failure>,
}

/// The life of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Known, not on the machine now.
    Absent,
    /// Its host is starting.
    Opening,
    /// Its host waits.
    Ready,
    /// A session is open.
    InSession,
    /// Its host failed and is started again after a pause; the failure says why.
    Faulted,
    /// Its plugin failed too often and is not started any more; the failure says why and what to do.
    Quarantined,
}

impl DeviceState {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Absent,
        Self::Opening,
        Self::Ready,
        Self::InSession,
        Self::Faulted,
        Self::Quarantined,
    ];

    /// The name on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Opening => "opening",
            Self::Ready => "ready",
            Self::InSession => "in-session",
            Self::Faulted => "faulted",
            Self::Quarantined => "quarantined",
        }
    }
}

/// One plugin folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugin {
    /// From the manifest; the folder's name if that could not be read.
    pub id: String,
    /// From the manifest, may be empty.
    pub name: String,
    /// From the manifest, may be empty.
    pub version: String,
    /// None if it is admitted; else why not, and what to do.
    pub refused: Option<String>,
}

/// A failure, named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Which.
    pub code: FailureCode,
    /// For the log and the error's text: what happened, on what.
    pub text: String,
    /// The plugin's own words, if it gave any.
    pub plugin: Option<PluginFailure>,
}

/// Names of failures; each is an error on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// No such device, or not on the machine now.
    NoDevice,
    /// The device has a session already.
    Busy,
    /// There is no session, or no such capture.
    NoSession,
    /// It was cancelled.
    Cancelled,
    /// The device was unplugged.
    DeviceGone,
    /// The plugin says the time is over.
    Timeout,
    /// The plugin passed its deadline and was killed.
    PluginHung,
    /// The plugin's process ended by a signal or by itself.
    PluginCrashed,
    /// The plugin broke the contract.
    PluginMisbehaved,
    /// The plugin is not admitted or cannot be loaded.
    PluginRefused,
    /// The plugin failed too often: nothing is tried until the quarantine is lifted.
    Quarantined,
    /// There is no quarantine to lift.
    NotQuarantined,
    /// hostd's disk refuses.
    Storage,
    /// The sandbox cannot be had on this machine.
    NoSandbox,
    /// The device cannot do what is asked.
    Unsupported,
    /// The device reports an error of its own: jam, cover, calibration, input or output.
    DeviceError,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_reads_back() {
        let gone = Notice::Gone {
            device: "virtual-fp4-SN1".into(),
        };
        let text = serde_json::to_string(&FromHostd::Notice(gone.clone())).unwrap();
        match serde_json::from_str(&text).unwrap() {
            FromHostd::Notice(notice) => assert_eq!(notice, gone),
            other @ FromHostd::Reply { .. } => panic!("{other:?}"),
        }
    }
}
