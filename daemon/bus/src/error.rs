//! Every failure that a client can act on has its own name; the text says what to do.

use std::collections::BTreeMap;
use std::fmt;

use zbus::message::{Header, Message};
use zbus::names::ErrorName;
use zbus::{DBusError, OwnedVariant, Variant};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal;)*) => {
        /// Names of failures. On the bus `fr.recueil.Station1.Error.` and the variant's name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The kebab-case code in the error's body.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The D-Bus error name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!("fr.recueil.Station1.Error.", stringify!($variant)),)* }
            }
        }
    };
}

codes! {
    /// The agent session is unknown or was never opened.
    NoAgentSession = "no-agent-session";
    /// No polkit answers, so nothing privileged is allowed.
    NoAuthority = "no-authority";
    /// polkit or the list of allowed users says no.
    NotAuthorized = "not-authorized";
    /// The dossier or capture is somebody else's.
    NotOwner = "not-owner";
    /// There are too many requests, dossiers or captures of this caller.
    TooMany = "too-many";
    /// An argument is not what the method takes.
    InvalidArgument = "invalid-argument";
    /// There is no such procedure.
    UnknownProcedure = "unknown-procedure";
    /// There is no such dossier.
    UnknownDossier = "unknown-dossier";
    /// The procedure has no such step, paper or field.
    UnknownStep = "unknown-step";
    /// The dossier has no such item.
    UnknownItem = "unknown-item";
    /// There is no such device, or it is not plugged in.
    UnknownDevice = "unknown-device";
    /// The dossier or the capture is in a state that does not allow this.
    WrongState = "wrong-state";
    /// The dossier lacks something; `details` says what.
    Incomplete = "incomplete";
    /// Another caller holds the device.
    Busy = "busy";
    /// The capture was cancelled.
    Cancelled = "cancelled";
    /// The machine goes to sleep.
    Suspended = "suspended";
    /// The device was unplugged.
    DeviceGone = "device-gone";
    /// The device has a trouble of its own: jam, cover, paper, calibration.
    DeviceTrouble = "device-trouble";
    /// The device cannot do this.
    Unsupported = "unsupported";
    /// Nothing usable was presented in time.
    Timeout = "timeout";
    /// The driver did not answer in time and was ended.
    PluginHung = "plugin-hung";
    /// The driver crashed.
    PluginCrashed = "plugin-crashed";
    /// The driver broke its contract.
    PluginMisbehaved = "plugin-misbehaved";
    /// The driver failed too often and is not started any more.
    Quarantined = "quarantined";
    /// The driver is not admitted.
    PluginRefused = "plugin-refused";
    /// This machine cannot confine the driver.
    NoSandbox = "no-sandbox";
    /// The device service does not answer.
    DevicesUnavailable = "devices-unavailable";
    /// The process that reads pictures ended; the hand or page must be presented again.
    AnalyserEnded = "analyser-ended";
    /// No CERT, key or certificate is configured.
    NotConfigured = "not-configured";
    /// CERT cannot be reached.
    CertUnreachable = "cert-unreachable";
    /// CERT does not know the number.
    CertUnknown = "cert-unknown";
    /// CERT refuses the station or answers outside the protocol.
    CertRefused = "cert-refused";
    /// A certificate does not allow sealing now; the draft is kept.
    CertificateInvalid = "certificate-invalid";
    /// Sealing failed its own check; the draft is kept.
    SealFailed = "seal-failed";
    /// A client's only: the service is not there, or the bus refuses.
    Service = "service";
    /// The disk refuses; what was accepted before is kept.
    Storage = "storage";
}

/// A failure as it goes over the bus: body `(s text, s code, a{sv} details)`.
#[derive(Debug, Clone)]
pub struct Error {
    /// Which.
    pub code: Code,
    /// What happened and what to do, in English; never personal data.
    pub text: String,
    /// More, by key.
    pub details: BTreeMap<String, String>,
}

impl Error {
    /// A failure without details.
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            details: BTreeMap::new(),
        }
    }

    /// The same with one detail more.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// The service is stopping, or an actor's queue is full.
    pub(crate) fn overloaded() -> Self {
        Self::new(
            Code::TooMany,
            "the station has too many requests waiting; try again in a moment",
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.text)
    }
}

impl std::error::Error for Error {}

impl DBusError for Error {
    fn create_reply(&self, msg: &Header<'_>) -> zbus::Result<Message> {
        let details: BTreeMap<&str, Variant<'_>> = self
            .details
            .iter()
            .map(|(key, value)| (key.as_str(), Variant::from(value.as_str())))
            .collect();
        Message::error(msg, self.name()).build(&(self.text.as_str(), self.code.as_str(), details))
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.code.name())
    }

    fn description(&self) -> Option<&str> {
        Some(&self.text)
    }
}

/// On the client's side: a failure of the contract by its name, anything else as [`Code::Service`].
impl From<zbus::Error> for Error {
    fn from(error: zbus::Error) -> Self {
        of_contract(&error).unwrap_or_else(|| match error {
            zbus::Error::MethodError(name, text, _) => {
                let text = format!("{name}: {}", text.unwrap_or_default());
                Self::new(Code::Service, text).with("bus-error", name.as_str())
            }
            // As reading a property fails.
            zbus::Error::FDO(error) => match *error {
                zbus::fdo::Error::ZBus(error) => error.into(),
                error => {
                    let text = format!("the station's bus: {error}");
                    Self::new(Code::Service, text).with("bus-error", error.name().as_str())
                }
            },
            other => Self::new(Code::Service, format!("the station's bus: {other}")),
        })
    }
}

fn of_contract(error: &zbus::Error) -> Option<Error> {
    let zbus::Error::MethodError(name, _, message) = error else {
        return None;
    };
    let code = Code::ALL
        .iter()
        .copied()
        .find(|code| code.name() == name.as_str())?;
    let body = message.body();
    let (text, _code, details): (String, String, BTreeMap<String, OwnedVariant>) = body.deserialize().ok()?;
    let details = details
        .into_iter()
        .filter_map(|(key, value)| Some((key, String::try_from(value).ok()?)));
    Some(Error {
        code,
        text,
        details: details.collect(),
    })
}
