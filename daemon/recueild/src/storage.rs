//! The store on a thread of its own: its calls wait for the disk.

use recueil_bus::{Code, Error};
use recueil_store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

type Job = Box<dyn FnOnce(&mut Store) + Send>;

/// Jobs that may wait for the disk.
const JOBS: usize = 128;

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
        std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
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
        if matches!(error, recueil_store::Error::Durability { .. }) {
            tracing::error!(%error, "the disk failed to make data durable; ending, so that the store is read again");
            self.fatal.cancel();
        }
        store_error(error)
    }
}

/// A failure of the store as clients see it.
fn store_error(error: &recueil_store::Error) -> Error {
    use recueil_store::Error as Store;
    match error {
        Store::Unknown { .. } | Store::NoDraft { .. } => Error::new(
            Code::UnknownDossier,
            "there is no such dossier on this station, or it is sealed by now",
        ),
        Store::NoItem { .. } => Error::new(Code::UnknownItem, "the dossier has no such item"),
        Store::Limit { .. } => Error::new(Code::TooMany, error.to_string()),
        Store::Refused { .. } => Error::new(Code::WrongState, error.to_string()),
        other => {
            tracing::error!(error = %other, "the store refuses");
            Error::new(
                Code::Storage,
                "the disk refuses; what was accepted before is kept; look at free space",
            )
        }
    }
}
