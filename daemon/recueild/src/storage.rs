//! The store on a thread of its own: its calls wait for the disk. Users take turns at it.

use std::collections::VecDeque;

use recueil_bus::{Code, Error};
use recueil_store::{Entry, Filter, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

type Job = Box<dyn FnOnce(&mut Store) + Send>;
/// For whom a step is done; none is the station itself.
type User = Option<u32>;

/// Steps that may come in while one is done. How many wait in all is bounded by who waits for them: the calls and
/// captures that a user may have at once, and the station.
const JOBS: usize = 128;
/// Dossiers in one page.
const PAGE: usize = 200;

/// The way to the store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Storage {
    jobs: mpsc::Sender<(User, Job)>,
    user: User,
    fatal: CancellationToken,
}

impl Storage {
    /// Takes the store. `fatal` is cancelled when the disk can no longer be trusted.
    pub(crate) fn start(mut store: Store, fatal: CancellationToken) -> std::io::Result<Self> {
        let (jobs, mut receiver) = mpsc::channel(JOBS);
        // A store that ends while it is needed, by a mistake of ours, must not leave a service that keeps nothing.
        let ends = fatal.clone().drop_guard();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let _ends = ends;
                let mut turns = Turns::default();
                while let Some(job) = turns.next(&mut receiver) {
                    job(&mut store);
                }
            })?;
        let user = None;
        Ok(Self { jobs, user, fatal })
    }

    /// The same way, where what this user asks for waits behind his own steps alone, and one of every other's.
    pub(crate) fn of_user(&self, uid: u32) -> Self {
        let user = Some(uid);
        Self { user, ..self.clone() }
    }

    /// Runs one step on the store and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Store) -> Result<T, recueil_store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let stopping = || {
            let text = "the station is stopping; what was accepted is kept; try again when it is back";
            Error::new(Code::Storage, text).with(REASON, "stopping")
        };
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| drop(reply.send(step(store))));
        self.jobs
            .send((self.user, job))
            .await
            .map_err(|_stopped| stopping())?;
        answer
            .await
            .map_err(|_stopped| stopping())?
            .map_err(|error| self.judge(&error))
    }

    fn judge(&self, error: &recueil_store::Error) -> Error {
        if error.is_fatal() {
            let error = chain(error);
            tracing::error!(
                error,
                "the disk cannot be relied on; ending, so that the store is read again"
            );
            self.fatal.cancel();
        }
        store_error(error)
    }
}

/// Steps that wait, by user, the next first. Whoever was served goes to the end.
#[derive(Default)]
struct Turns(VecDeque<(User, VecDeque<Job>)>);

impl Turns {
    /// The next step; none when nobody can ask for one any more.
    fn next(&mut self, incoming: &mut mpsc::Receiver<(User, Job)>) -> Option<Job> {
        while let Ok((user, job)) = incoming.try_recv() {
            self.wait(user, job);
        }
        let Some((user, mut jobs)) = self.0.pop_front() else {
            return incoming.blocking_recv().map(|(_first, job)| job);
        };
        let job = jobs.pop_front();
        if !jobs.is_empty() {
            self.0.push_back((user, jobs));
        }
        job
    }

    fn wait(&mut self, user: User, job: Job) {
        match self.0.iter_mut().find(|(waiting, _)| *waiting == user) {
            Some((_, jobs)) => jobs.push_back(job),
            None => self.0.push_back((user, VecDeque::from([job]))),
        }
    }
}

/// Every dossier that passes the filter, newest first, page by page.
pub(crate) fn all(store: &Store, filter: &Filter) -> Result<Vec<Entry>, recueil_store::Error> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.list(filter, cursor, PAGE)?;
        entries.extend(page.entries);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(entries);
        }
    }
}

/// A failure of the store as clients see it.
fn store_error(error: &recueil_store::Error) -> Error {
    use recueil_store::Error as Store;
    match error {
        Store::Unknown { .. } | Store::NoDraft { .. } => Error::new(
            Code::UnknownDossier,
            "there is no such dossier on this station, or it is sealed or ended by now; look at its state",
        ),
        Store::NoItem { .. } => Error::new(
            Code::UnknownItem,
            "the dossier has no such item; look at its items",
        ),
        Store::Limit { what, max } => Error::new(
            Code::TooMany,
            format!("{what}: at most {max} are allowed; use less"),
        ),
        Store::Refused { .. } => Error::new(Code::WrongState, format!("{error}; look at its state again")),
        Store::TokenReused => Error::new(
            Code::InvalidArgument,
            "this client token was used for another call; choose a new one",
        ),
        Store::Damaged { .. } => {
            tracing::error!(%error, "the store holds something damaged");
            Error::new(
                Code::Storage,
                format!("{error}; capture the item again, or cancel the dossier and begin anew"),
            )
            .with(REASON, "item-damaged")
        }
        other => {
            tracing::error!(error = chain(other), "the store refuses");
            let (reason, text) = reason(other);
            Error::new(Code::Storage, text).with(REASON, reason)
        }
    }
}

/// The key of a storage failure's details.
const REASON: &str = "reason";

/// What is wrong with the disk, in a word for programs and in words for people.
fn reason(error: &recueil_store::Error) -> (&'static str, &'static str) {
    use recueil_store::Error as Store;
    use rustix::io::Errno;
    if matches!(error, Store::Full) {
        let text = "the disk is full; what was accepted before is kept; free some space, then try again: drafts that \
                    are open are finished first";
        return ("disk-full", text);
    }
    let errno = match error {
        Store::Io { source, .. } => Errno::from_io_error(source),
        _ => None,
    };
    match errno {
        Some(Errno::ROFS) => (
            "disk-read-only",
            "the disk has become read-only; what was accepted before is kept; the administrator must look at the disk",
        ),
        Some(Errno::MFILE | Errno::NFILE) => (
            "too-many-files",
            "the service has too many files open; what was accepted before is kept; try again in a moment",
        ),
        _ if error.is_fatal() || errno == Some(Errno::IO) => (
            "disk-fails",
            "the disk fails; what was accepted before is kept; try again when the station is back, and have the \
             administrator look at the disk",
        ),
        _ => (
            "refused",
            "the disk refuses; what was accepted before is kept; have the administrator look at the service's log",
        ),
    }
}

/// The error and its causes on one line.
fn chain(error: &recueil_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use recueil_dossier::{DossierId, Draft, Kind, Opening, Procedure};
    use recueil_store::{Config, Stamp, StorageKey};
    use zeroize::Zeroizing;

    use super::*;

    struct Disk {
        storage: Storage,
        fatal: CancellationToken,
        _folder: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let config = Config {
                state_dir: folder.path().join("state"),
                ready_dir: folder.path().join("ready"),
            };
            let key = StorageKey::new(&Zeroizing::new([7; 32]));
            let store = Store::open(&config, key, Timestamp::now()).unwrap();
            let fatal = CancellationToken::new();
            let storage = Storage::start(store, fatal.clone()).unwrap();
            Self {
                storage,
                fatal,
                _folder: folder,
            }
        }

        async fn fails(&self, error: recueil_store::Error) -> Error {
            self.storage
                .run::<()>(move |_store| Err(error))
                .await
                .unwrap_err()
        }
    }

    fn draft(number: u8) -> Draft {
        let rules = include_str!("../../../config/procedures/cni-adulte.toml");
        let opening = Opening {
            id: DossierId::new(Timestamp::UNIX_EPOCH, [number; 10]),
            owner_uid: 1000,
            agent: "agent.dupont".parse().unwrap(),
            at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::UNIX_EPOCH,
            demande: None,
        };
        Draft::open(&Procedure::parse(rules).unwrap(), opening)
    }

    #[tokio::test]
    async fn a_step_is_answered_with_what_it_gave() {
        let disk = Disk::new();
        let drafts = disk.storage.run(|store| Ok(store.drafts()?.len())).await.unwrap();
        assert_eq!(drafts, 0);
        assert!(!disk.fatal.is_cancelled());
    }

    #[tokio::test]
    async fn users_take_turns_each_in_the_order_of_his_calls() {
        let disk = Disk::new();
        let (begin, may_begin) = std::sync::mpsc::channel::<()>();
        let (done, order) = std::sync::mpsc::channel();
        let mut calls = tokio::task::JoinSet::new();
        let storage = disk.storage.clone();
        calls.spawn(async move { storage.run(move |_store| Ok(may_begin.recv().is_ok())).await });
        for (uid, name) in [(1, 'a'), (1, 'b'), (1, 'c'), (2, 'x'), (1, 'd'), (2, 'y')] {
            let (done, storage) = (done.clone(), disk.storage.of_user(uid));
            calls.spawn(async move { storage.run(move |_store| Ok(done.send(name).is_ok())).await });
        }
        // One thread runs them in this order: after one turn of each, all wait for the first.
        tokio::task::yield_now().await;
        begin.send(()).unwrap();
        while let Some(answer) = calls.join_next().await {
            assert!(answer.unwrap().unwrap());
        }
        assert_eq!(order.try_iter().collect::<String>(), "axbycd");
    }

    #[tokio::test]
    async fn a_disk_that_cannot_keep_what_it_was_given_ends_the_service() {
        for error in [
            recueil_store::Error::Durability {
                what: "a test",
                source: "no".into(),
            },
            recueil_store::Error::Corrupt {
                what: "a test".into(),
            },
        ] {
            let disk = Disk::new();
            assert_eq!(disk.fails(error).await.code, Code::Storage);
            assert!(disk.fatal.is_cancelled());
        }
    }

    #[tokio::test]
    async fn what_the_disk_refuses_without_harm_ends_nothing_and_has_its_own_name() {
        let disk = Disk::new();
        let id = draft(1).id;
        for (error, code) in [
            (recueil_store::Error::Unknown(id), Code::UnknownDossier),
            (recueil_store::Error::NoDraft(id), Code::UnknownDossier),
            (recueil_store::Error::TokenReused, Code::InvalidArgument),
            (recueil_store::Error::Full, Code::Storage),
        ] {
            assert_eq!(disk.fails(error).await.code, code);
        }
        assert!(!disk.fatal.is_cancelled());
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_disk_has_a_name() {
        let disk = Disk::new();
        let io = |errno: rustix::io::Errno| recueil_store::Error::Io {
            what: "a test",
            source: errno.into(),
        };
        for (error, reason) in [
            (recueil_store::Error::Full, "disk-full"),
            (io(rustix::io::Errno::ROFS), "disk-read-only"),
            (io(rustix::io::Errno::MFILE), "too-many-files"),
            (io(rustix::io::Errno::IO), "disk-fails"),
            (io(rustix::io::Errno::PERM), "refused"),
        ] {
            assert_eq!(disk.fails(error).await.details["reason"], reason);
        }
        assert!(!disk.fatal.is_cancelled());
        let lost = recueil_store::Error::Durability {
            what: "a test",
            source: "no".into(),
        };
        assert_eq!(disk.fails(lost).await.details["reason"], "disk-fails");
    }

    #[tokio::test]
    async fn a_store_that_ends_by_a_mistake_ends_the_service() {
        let disk = Disk::new();
        let died = disk.storage.run::<()>(|_store| panic!("a mistake")).await;
        assert_eq!(died.unwrap_err().code, Code::Storage);
        disk.fatal.cancelled().await;
    }

    #[tokio::test]
    async fn more_than_a_page_is_read_whole() {
        let disk = Disk::new();
        let listed = disk.storage.run(|store| {
            for number in 0..=200 {
                store.create_draft(&draft(number), &Stamp::station(Timestamp::UNIX_EPOCH))?;
            }
            all(store, &Filter::default())
        });
        let listed = listed.await.unwrap();
        assert_eq!(listed.len(), 201);
        assert!(listed.iter().all(|entry| entry.kind == Kind::Deposit));
        let ids: std::collections::BTreeSet<_> = listed.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), 201, "each once");
    }
}
