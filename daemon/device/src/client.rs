//! The connection of `recueild`.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use recueil_wire::AsyncSocket;
use recueil_wire::devices::{FromHostd, Request};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Messages that may wait for a slow `recueild`: several seconds of guidance from every device. Beyond it
/// the connection is closed, and every session with it, rather than that memory grows or a device waits.
const QUEUE_MAX: usize = 256;

/// Dropped, it ends the connection and every session that was opened over it.
#[derive(Debug)]
pub(crate) struct Client {
    /// Tells connections apart: an answer to one must not reach the next.
    pub(crate) number: u64,
    socket: Arc<AsyncSocket>,
    queue: mpsc::Sender<(FromHostd, Option<OwnedFd>)>,
    gone: CancellationToken,
    writer: JoinHandle<()>,
}

impl Client {
    pub(crate) fn new(socket: AsyncSocket, number: u64) -> Self {
        let socket = Arc::new(socket);
        let gone = CancellationToken::new();
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let writer = tokio::spawn(write(socket.clone(), waiting, gone.clone()));
        Self {
            number,
            socket,
            queue,
            gone,
            writer,
        }
    }

    /// Waits for the next call; none when the connection is over. Cancel safe.
    pub(crate) async fn hear(&self) -> Option<Request> {
        tokio::select! {
            () = self.gone.cancelled() => None,
            received = self.socket.recv::<Request>() => match received {
                Ok(received) => Some(received.message),
                Err(recueil_wire::Error::Closed) => None,
                Err(error) => {
                    warn!(%error, "recueild said something else than its protocol");
                    None
                }
            },
        }
    }

    /// Puts a message into the queue. If it is full, the connection is over.
    pub(crate) fn say(&self, message: FromHostd, fd: Option<OwnedFd>) {
        if self.queue.try_send((message, fd)).is_err() && !self.gone.is_cancelled() {
            warn!("recueild does not read its messages: closing its connection");
            self.gone.cancel();
        }
    }

    /// Cancelled when the connection is over.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.gone.cancel();
        self.writer.abort();
    }
}

async fn write(
    socket: Arc<AsyncSocket>,
    mut waiting: mpsc::Receiver<(FromHostd, Option<OwnedFd>)>,
    gone: CancellationToken,
) {
    while let Some((message, fd)) = waiting.recv().await {
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        if let Err(error) = socket.send(&message, &fds).await {
            if !matches!(error, recueil_wire::Error::Closed) {
                warn!(%error, "recueild cannot be told");
            }
            gone.cancel();
            return;
        }
    }
}
