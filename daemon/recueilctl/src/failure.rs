//! Why a verb failed: the station's own failures by their codes, and the few that only arise here.

use std::collections::BTreeMap;
use std::fmt::Display;

use recueil_bus::{Code, Error};
use serde_json::{Value, json};

use crate::exit::Exit;

/// Whose failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Station(Code),
    Own(Own),
}

/// Failures that the bus does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// The call is wrong.
    Usage,
    /// `explain` does not know the code.
    UnknownCode,
    /// The dossier did not come so far in the time given, or cannot any more.
    NotReached,
    /// Ctrl-C or the service manager.
    Interrupted,
}

impl Own {
    pub(crate) const ALL: [Self; 4] = [
        Self::Usage,
        Self::UnknownCode,
        Self::NotReached,
        Self::Interrupted,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::UnknownCode => "unknown-code",
            Self::NotReached => "not-reached",
            Self::Interrupted => "interrupted",
        }
    }
}

/// A failure with what to do.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    pub(crate) text: String,
    pub(crate) details: BTreeMap<String, String>,
}

impl Failure {
    pub(crate) fn own(cause: Own, text: impl Into<String>) -> Self {
        Self {
            cause: Cause::Own(cause),
            text: text.into(),
            details: BTreeMap::new(),
        }
    }

    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Error::new(code, text).into()
    }

    /// There is nobody to talk to.
    pub(crate) fn no_station(why: &dyn Display) -> Self {
        let text = format!("the station cannot be reached ({why}); start it: systemctl start recueild");
        Self::new(Code::Service, text)
    }

    /// It was there when we began.
    pub(crate) fn station_left() -> Self {
        let text = "the station's service ended meanwhile; what it had accepted is kept. Look at `recueilctl status`";
        Self::new(Code::Service, text)
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn code(&self) -> &'static str {
        match self.cause {
            Cause::Station(code) => code.as_str(),
            Cause::Own(own) => own.as_str(),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self.cause {
            Cause::Station(code) => Exit::of(code),
            Cause::Own(Own::Usage) => Exit::Usage,
            Cause::Own(Own::UnknownCode) => Exit::NotFound,
            Cause::Own(Own::NotReached) => Exit::Refused,
            Cause::Own(Own::Interrupted) => Exit::Interrupted,
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "error": { "code": self.code(), "text": self.text, "details": self.details } })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let bus_error = error.details.get("bus-error").map(String::as_str);
        // Failures of the bus itself that say something more precise than that nobody answers.
        let (code, text) = match (error.code, bus_error) {
            (Code::Service, Some("org.freedesktop.DBus.Error.AccessDenied")) => (
                Code::NotAuthorized,
                format!(
                    "the bus does not let this user talk to the station: {}",
                    error.text
                ),
            ),
            (Code::Service, Some("org.freedesktop.DBus.Error.UnknownObject")) => {
                let text = "it is in use elsewhere now, or over: another program of this user took it";
                (Code::NotOwner, text.to_owned())
            }
            (Code::Service, Some("org.freedesktop.DBus.Error.ServiceUnknown")) => {
                return Self::no_station(&"no such service on the bus");
            }
            (code, _) => (code, error.text),
        };
        Self {
            cause: Cause::Station(code),
            text,
            details: error.details,
        }
    }
}
