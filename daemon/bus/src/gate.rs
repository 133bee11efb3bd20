//! Who may do what: polkit decides, asked from the method's own task and never inside an actor's queue.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zbus::fdo::DBusProxy;
use zbus::message::{Flags, Header};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use crate::callers::Callers;
use crate::door::Door;
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
    callers: Arc<Callers>,
    door: Arc<Door>,
    bus: DBusProxy<'static>,
    polkit: AuthorityProxy<'static>,
    asked: AtomicU64,
    questions: Questions,
}

/// Questions that wait for an answer, by the program and the user on whose behalf they are asked. One who asks
/// without end is refused before polkit is kept busy with him.
#[derive(Debug)]
struct Questions {
    waiting: Mutex<Waiting>,
    /// Of one user.
    of_user_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    of_program: HashMap<String, usize>,
    of_user: HashMap<u32, usize>,
}

/// Questions of one program that may wait; each can be a person who types a password.
const QUESTIONS_MAX: usize = 16;

impl Questions {
    fn new(of_user_max: usize) -> Self {
        Self {
            waiting: Mutex::default(),
            of_user_max,
        }
    }

    /// A place for one more, kept until it is dropped.
    fn ask(&self, caller: &Caller) -> Result<Place<'_>, Error> {
        let mut waiting = self.lock();
        let of_program = waiting.of_program.get(&caller.name).copied().unwrap_or_default();
        let of_user = waiting.of_user.get(&caller.uid).copied().unwrap_or_default();
        if of_program >= QUESTIONS_MAX || of_user >= self.of_user_max {
            let text = "too many calls of this program or user wait for an approval; wait for their answers";
            return Err(Error::new(Code::TooMany, text));
        }
        waiting.of_program.insert(caller.name.clone(), of_program + 1);
        waiting.of_user.insert(caller.uid, of_user + 1);
        Ok(Place {
            questions: self,
            caller: caller.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question's place.
#[derive(Debug)]
struct Place<'q> {
    questions: &'q Questions,
    caller: Caller,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.questions.lock();
        take_one(&mut waiting.of_program, &self.caller.name);
        take_one(&mut waiting.of_user, &self.caller.uid);
    }
}

fn take_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A polkit that answers nothing is not waited for to withdraw its question.
const WITHDRAWN_MAX: Duration = Duration::from_secs(2);
/// A person may need this long to type a password.
const ANSWER_MAX: Duration = Duration::from_mins(2);

impl Gate {
    pub(crate) async fn new(
        connection: &zbus::Connection,
        authority: Authority,
        door: Arc<Door>,
        callers: Arc<Callers>,
        questions_max: usize,
    ) -> zbus::Result<Self> {
        let bus = DBusProxy::new(connection).await?;
        let polkit = AuthorityProxy::new(connection).await?;
        Ok(Self {
            authority,
            callers,
            door,
            bus,
            polkit,
            asked: AtomicU64::new(0),
            questions: Questions::new(questions_max),
        })
    }

    /// A name left the bus. polkit withdraws its open questions itself.
    pub(crate) fn forget(&self, name: &str) {
        self.callers.forget(name);
        self.door.forget(name);
    }

    /// The call waits for a device or another service from now on, and not for us.
    pub(crate) fn set_aside(&self, header: &Header<'_>) {
        self.door.set_aside(header);
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
                let _place = self.questions.ask(&caller)?;
                self.door.set_aside(header);
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

    fn caller(name: &str, uid: u32) -> Caller {
        Caller {
            name: name.to_owned(),
            uid,
        }
    }

    #[test]
    fn who_asks_without_end_is_refused_and_nobody_else() {
        let questions = Questions::new(1000);
        let places: Vec<_> = (0..QUESTIONS_MAX)
            .map(|_| questions.ask(&caller(":1.1", 1)).unwrap())
            .collect();
        assert_eq!(questions.ask(&caller(":1.1", 1)).unwrap_err().code, Code::TooMany);
        let other = questions.ask(&caller(":1.2", 1)).unwrap();
        drop(places);
        assert!(questions.ask(&caller(":1.1", 1)).is_ok());
        drop(other);
        let waiting = questions.lock();
        assert!(
            waiting.of_program.is_empty() && waiting.of_user.is_empty(),
            "nothing is kept of who asks no more"
        );
    }

    #[test]
    fn a_user_with_many_programs_is_refused_too() {
        let questions = Questions::new(20);
        let of = |program: usize| caller(&format!(":1.{program}"), 1);
        let places: Vec<_> = (0..20)
            .map(|program| questions.ask(&of(program)).unwrap())
            .collect();
        assert_eq!(questions.ask(&of(20)).unwrap_err().code, Code::TooMany);
        assert!(questions.ask(&caller(":1.99", 2)).is_ok());
        drop(places);
        assert!(questions.ask(&of(20)).is_ok());
    }
}
