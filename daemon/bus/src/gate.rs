//! Who may do what: polkit decides, asked from the method's own task and never inside an actor's queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use crate::callers::Callers;
use crate::{Caller, Code, Error};

/// What polkit is asked for. The ids are those of `packaging/polkit/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Open, fill and adopt dossiers, capture, lease devices.
    Collect,
    /// Hand a title over.
    HandOver,
    /// Look at pictures: `OpenItem`, previews.
    Look,
    /// Seal and send.
    Seal,
    /// Take a lease from its holder.
    Steal,
    /// Give a device in quarantine another chance.
    LiftQuarantine,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Collect,
        Self::HandOver,
        Self::Look,
        Self::Seal,
        Self::Steal,
        Self::LiftQuarantine,
    ];

    /// The polkit action id.
    pub fn id(self) -> &'static str {
        match self {
            Self::Collect => "fr.recueil.station1.collect",
            Self::HandOver => "fr.recueil.station1.hand-over",
            Self::Look => "fr.recueil.station1.look",
            Self::Seal => "fr.recueil.station1.seal",
            Self::Steal => "fr.recueil.station1.steal",
            Self::LiftQuarantine => "fr.recueil.station1.lift-quarantine",
        }
    }
}

/// Who decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// polkit on the same bus.
    Polkit,
    /// A list of uids, on a private bus only.
    AllowedUids(Vec<u32>),
}

impl Authority {
    /// The word that `status` shows.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Polkit => "polkit",
            Self::AllowedUids(_) => "allowed users",
        }
    }
}

/// Asks the authority, and knows the callers.
#[derive(Debug)]
pub(crate) struct Gate {
    authority: Authority,
    callers: Callers,
    bus: DBusProxy<'static>,
    polkit: AuthorityProxy<'static>,
    asked: AtomicU64,
    questions: Questions,
}

/// Questions that wait for an answer, by the caller on whose behalf they are asked. One who asks without end
/// is refused before polkit is kept busy with him.
#[derive(Debug, Default)]
struct Questions(Mutex<HashMap<String, usize>>);

/// Questions of one caller that may wait; each can be a person who types a password.
const QUESTIONS_MAX: usize = 16;

impl Questions {
    /// A place for one more, kept until it is dropped.
    fn ask(&self, name: &str) -> Result<Place<'_>, Error> {
        let mut waiting = self.lock();
        let count = waiting.entry(name.to_owned()).or_default();
        if *count >= QUESTIONS_MAX {
            let text = "too many calls of this program wait for an approval; wait for their answers";
            return Err(Error::new(Code::TooMany, text));
        }
        *count += 1;
        Ok(Place {
            questions: self,
            name: name.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question's place.
#[derive(Debug)]
struct Place<'q> {
    questions: &'q Questions,
    name: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.questions.lock();
        if let Some(count) = waiting.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.name);
            }
        }
    }
}

/// A polkit that answers nothing is not waited for to withdraw its question.
const WITHDRAWN_MAX: Duration = Duration::from_secs(2);
/// A person may need this long to type a password.
const ANSWER_MAX: Duration = Duration::from_mins(2);

impl Gate {
    pub(crate) async fn new(connection: &zbus::Connection, authority: Authority) -> zbus::Result<Self> {
        let bus = DBusProxy::new(connection).await?;
        let polkit = AuthorityProxy::new(connection).await?;
        Ok(Self {
            authority,
            callers: Callers::default(),
            bus,
            polkit,
            asked: AtomicU64::new(0),
            questions: Questions::default(),
        })
    }

    /// A name left the bus. polkit withdraws its open questions itself.
    pub(crate) fn forget(&self, name: &str) {
        self.callers.forget(name);
    }

    /// Who calls, without asking for any right.
    pub(crate) async fn caller(&self, header: &Header<'_>) -> Result<Caller, Error> {
        self.callers.identify(&self.bus, header).await
    }

    /// Who calls, if he may do this.
    pub(crate) async fn allow(
        &self,
        header: &Header<'_>,
        action: Action,
        details: &[(&str, &str)],
    ) -> Result<Caller, Error> {
        let caller = self.caller(header).await?;
        match &self.authority {
            Authority::AllowedUids(uids) if uids.contains(&caller.uid) => Ok(caller),
            Authority::AllowedUids(_) => Err(refused(action, false)),
            Authority::Polkit => {
                let _place = self.questions.ask(&caller.name)?;
                self.ask_polkit(header, action, details).await?;
                Ok(caller)
            }
        }
    }

    async fn ask_polkit(
        &self,
        header: &Header<'_>,
        action: Action,
        details: &[(&str, &str)],
    ) -> Result<(), Error> {
        // By bus name: a pid may be another process by the time polkit looks.
        let subject = Subject::new_for_message_header(header)
            .map_err(|_no_sender| Error::new(Code::NotAuthorized, "the bus did not say who calls"))?;
        let details: HashMap<&str, &str> = details.iter().copied().collect();
        let flags = if header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) {
            CheckAuthorizationFlags::ALLOW_USER_INTERACTION
        } else {
            CheckAuthorizationFlags::empty()
        };
        let cancellation = format!("recueil-{}", self.asked.fetch_add(1, Ordering::Relaxed));
        let check = self
            .polkit
            .check_authorization(&subject, action.id(), &details, flags, &cancellation);
        match tokio::time::timeout(ANSWER_MAX, check).await {
            Ok(Ok(answer)) if answer.is_authorized => Ok(()),
            Ok(Ok(answer)) => Err(refused(action, answer.is_challenge)),
            Ok(Err(error)) => {
                tracing::warn!(action = action.id(), %error, "polkit does not answer");
                Err(Error::new(
                    Code::NoAuthority,
                    "polkit does not answer, so nothing privileged is allowed; install and start polkit",
                ))
            }
            Err(_elapsed) => {
                let withdrawn = self.polkit.cancel_check_authorization(&cancellation);
                if !matches!(tokio::time::timeout(WITHDRAWN_MAX, withdrawn).await, Ok(Ok(()))) {
                    tracing::debug!("polkit could not withdraw its question");
                }
                Err(refused(action, true))
            }
        }
    }
}

fn refused(action: Action, interactive_possible: bool) -> Error {
    let text = if interactive_possible {
        "this needs the approval of an authentication agent, and none is present or it was declined; \
         log in at the desk or ask the administrator for a polkit rule"
    } else {
        "this user may not do this; ask the administrator for a polkit rule"
    };
    let mut error = Error::new(Code::NotAuthorized, text);
    error.details = BTreeMap::from([
        ("action".to_owned(), action.id().to_owned()),
        (
            "interactive-possible".to_owned(),
            interactive_possible.to_string(),
        ),
    ]);
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_without_end_is_refused_and_nobody_else() {
        let questions = Questions::default();
        let places: Vec<_> = (0..QUESTIONS_MAX)
            .map(|_| questions.ask(":1.1").unwrap())
            .collect();
        assert_eq!(questions.ask(":1.1").unwrap_err().code, Code::TooMany);
        let other = questions.ask(":1.2").unwrap();
        drop(places);
        assert!(questions.ask(":1.1").is_ok());
        drop(other);
        assert!(questions.lock().is_empty(), "nothing is kept of who asks no more");
    }
}
