//! The store on a thread of its own: its calls wait for the disk.

use recueil_bus::{Code, Error};
use recueil_store::{Entry, Filter, Store};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Jobs that may wait for the disk.
const JOBS: usize = 128;
/// Dossiers in one page.
const PAGE: usize = 200;

/// The way to the store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Storage {
    jobs: mpsc::Sender<Job>,
    fatal: CancellationToken,
}

impl Storage {
    /// Takes the store. `fatal` is cancelled when the disk can no longer be trusted.
    pub(crate) fn start(mut store: Store, fatal: CancellationToken) -> std::io::Result<Self> {
        let (jobs, mut receiver) = mpsc::channel::<Job>(JOBS);
        // A store that ends while it is needed, by a mistake of ours, must not leave a service that keeps nothing.
        let ends = fatal.clone().drop_guard();
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let _ends = ends;
                while let Some(job) = receiver.blocking_recv() {
                    job(&mut store);
                }
            })?;
        Ok(Self { jobs, fatal })
    }

    /// Runs one step on the store and waits for it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Store) -> Result<T, recueil_store::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let stopping = || {
            Error::new(
                Code::Storage,
                "the station is stopping; what was accepted is kept",
            )
        };
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |store| drop(reply.send(step(store))));
        self.jobs.send(job).await.map_err(|_stopped| stopping())?;
        answer
            .await
            .map_err(|_stopped| stopping())?
            .map_err(|error| self.judge(&error))
    }

    fn judge(&self, error: &recueil_store::Error) -> Error {
        if error.is_fatal() {
            tracing::error!(%error, "the disk cannot be relied on; ending, so that the store is read again");
            self.fatal.cancel();
        }
        store_error(error)
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
        }
        other => {
            tracing::error!(error = %other, "the store refuses");
            Error::new(
                Code::Storage,
                "the disk refuses; what was accepted before is kept; look at free space",
            )
        }
    }
}
