//! Exit codes, in one place: what scripts may rely on.

use std::process::ExitCode;

use recueil_bus::Code;

/// How the program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    Usage,
    NotAllowed,
    NoStation,
    NotFound,
    Refused,
    Device,
    Cert,
    Interrupted,
}

impl Exit {
    const ALL: [Self; 10] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotAllowed,
        Self::NoStation,
        Self::NotFound,
        Self::Refused,
        Self::Device,
        Self::Cert,
        Self::Interrupted,
    ];

    /// The number, and what it says.
    fn row(self) -> (u8, &'static str) {
        match self {
            Self::Done => (0, "done"),
            Self::Failed => (
                1,
                "failed otherwise: storage, sealing, too many requests, cancelled",
            ),
            Self::Usage => (2, "wrong call, or an argument that is not taken"),
            Self::NotAllowed => (3, "not authorised, or somebody else's"),
            Self::NoStation => (4, "the station is not running or does not answer"),
            Self::NotFound => (5, "no such dossier, procedure, step, item, number or code"),
            Self::Refused => (6, "refused in this state: incomplete, wrong state, not yet"),
            Self::Device => (
                7,
                "trouble with a device or its driver: absent, busy, unplugged, no usable picture",
            ),
            Self::Cert => (8, "trouble with CERT, keys or certificates"),
            Self::Interrupted => (
                130,
                "interrupted by a signal; a running capture was cancelled first",
            ),
        }
    }

    pub(crate) fn number(self) -> u8 {
        self.row().0
    }

    /// Of a failure of the contract.
    pub(crate) fn of(code: Code) -> Self {
        match code {
            Code::TooMany | Code::Cancelled | Code::SealFailed | Code::Storage => Self::Failed,
            Code::InvalidArgument => Self::Usage,
            Code::NoAgentSession | Code::NoAuthority | Code::NotAuthorized | Code::NotOwner => {
                Self::NotAllowed
            }
            Code::Service => Self::NoStation,
            Code::UnknownProcedure
            | Code::UnknownDossier
            | Code::UnknownStep
            | Code::UnknownItem
            | Code::CertUnknown => Self::NotFound,
            Code::WrongState | Code::Incomplete => Self::Refused,
            Code::UnknownDevice
            | Code::Busy
            | Code::DeviceGone
            | Code::Suspended
            | Code::DeviceTrouble
            | Code::Unsupported
            | Code::Timeout
            | Code::PluginHung
            | Code::PluginCrashed
            | Code::PluginMisbehaved
            | Code::PluginRefused
            | Code::Quarantined
            | Code::NoSandbox
            | Code::DevicesUnavailable
            | Code::AnalyserEnded => Self::Device,
            Code::NotConfigured | Code::CertUnreachable | Code::CertRefused | Code::CertificateInvalid => {
                Self::Cert
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// The table that `--help` ends with.
pub(crate) fn table() -> String {
    let rows = Exit::ALL.map(|exit| {
        let (number, text) = exit.row();
        format!("{number:>5}  {text}")
    });
    format!("Exit codes:\n{}", rows.join("\n"))
}
