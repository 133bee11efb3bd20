//! The client that bad luck comes to: a program of its own in all that matters. It reads its connection only while
//! it is asked something, and can be ended at any moment, in the middle of a call too.

use std::future::Future;
use std::pin::Pin;

use anyhow::Context;
use recueil_bus::Address;
use recueil_tests::Client;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// What a client does when it is asked.
pub(crate) type Work<'c, T> = Pin<Box<dyn Future<Output = anyhow::Result<T>> + 'c>>;
type Job = Box<dyn for<'c> FnOnce(&'c mut Client) -> Pin<Box<dyn Future<Output = ()> + 'c>> + Send>;

/// The client; killed with this value.
pub(crate) struct Subject {
    jobs: mpsc::UnboundedSender<Job>,
    killed: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// An answer that is awaited.
pub(crate) type Pending<T> = oneshot::Receiver<anyhow::Result<T>>;

impl Subject {
    /// Connects and begins to work as this agent.
    pub(crate) async fn connect(address: Address, agent: &'static str) -> anyhow::Result<Self> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        let killed = CancellationToken::new();
        let (ready, connected) = oneshot::channel();
        let stop = killed.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            let connect = runtime.block_on(Client::connect(&address, agent));
            let mut client = match connect {
                Ok(client) => {
                    drop(ready.send(Ok(())));
                    client
                }
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Nothing turns this runtime between two jobs: nothing is read then.
            while let Some(job) = inbox.blocking_recv() {
                runtime.block_on(async {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = job(&mut client) => {}
                    }
                });
                if stop.is_cancelled() {
                    break;
                }
            }
            // The socket is closed as the kernel closes it: no farewell.
            runtime.shutdown_background();
        });
        connected.await.context("the client's thread ended")??;
        Ok(Self {
            jobs,
            killed,
            thread: Some(thread),
        })
    }

    /// Asks it something; the answer is awaited elsewhere.
    pub(crate) fn begin<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, T> + Send + 'static,
    ) -> anyhow::Result<Pending<T>> {
        let (answer, pending) = oneshot::channel();
        let job: Job = Box::new(move |client| {
            let work = work(client);
            Box::pin(async move { drop(answer.send(work.await)) })
        });
        self.jobs.send(job).ok().context("the client is dead")?;
        Ok(pending)
    }

    /// Asks it something and waits for the answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Client) -> Work<'c, T> + Send + 'static,
    ) -> anyhow::Result<T> {
        self.begin(work)?.await.context("the client was killed")?
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.killed.cancel();
        let (jobs, _closed) = mpsc::unbounded_channel();
        self.jobs = jobs;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
