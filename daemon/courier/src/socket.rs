//! The conversation with `recueild`.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::courier::{FromCourier, Request};
use recueil_wire::{AsyncSocket, Error, Listener};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::lookups::Reply;

/// Most connections at once; `recueild` needs one, and one more while it restarts.
const CONNECTIONS_MAX: usize = 4;
/// Messages that wait for `recueild` to read; news beyond are dropped, answers wait.
const WAITING_MAX: usize = 256;
/// How long `recueild` may not read before it is taken for dead.
const READING: Duration = Duration::from_secs(10);

/// What connections tell the desk.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A connection is there and wants news.
    Joined(Voice),
    /// It asks something.
    Asked(Request, Voice),
}

/// A way to speak to one connection.
#[derive(Debug, Clone)]
pub(crate) struct Voice(mpsc::Sender<(FromCourier, Option<std::os::fd::OwnedFd>)>);

impl Voice {
    /// Answers a call.
    pub(crate) async fn answer(&self, id: u64, (answer, fd): Reply) {
        if self
            .0
            .send((FromCourier::Reply { id, answer }, fd))
            .await
            .is_err()
        {
            tracing::debug!("recueild went before its answer");
        }
    }

    /// Tells news; whether the connection is still there. Who does not read loses news: `recueild` asks and
    /// looks by itself too.
    pub(crate) fn tell(&self, news: FromCourier) -> bool {
        !matches!(
            self.0.try_send((news, None)),
            Err(mpsc::error::TrySendError::Closed(_))
        )
    }
}

/// Accepts `recueild`, and nobody else, until it is dropped.
pub(crate) async fn serve(
    listener: Listener,
    recueild: u32,
    heard: mpsc::Sender<Heard>,
) -> Result<(), Error> {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(place) = places.clone().acquire_owned().await else {
            return Ok(());
        };
        let socket = listener.accept(|uid| uid == recueild).await?;
        let heard = heard.clone();
        connections.spawn(async move {
            match converse(socket, heard).await {
                Err(Error::Closed) | Ok(()) => {}
                Err(error) => tracing::warn!(%error, "a conversation with recueild ended"),
            }
            drop(place);
        });
    }
}

async fn converse(socket: AsyncSocket, heard: mpsc::Sender<Heard>) -> Result<(), Error> {
    let (voice, mut messages) = mpsc::channel(WAITING_MAX);
    let voice = Voice(voice);
    if heard.send(Heard::Joined(voice.clone())).await.is_err() {
        return Ok(());
    }
    loop {
        tokio::select! {
            received = socket.recv::<Request>() => {
                let request = received?.message;
                if heard.send(Heard::Asked(request, voice.clone())).await.is_err() {
                    return Ok(());
                }
            }
            Some((message, fd)) = messages.recv() => {
                let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
                match timeout(READING, socket.send(&message, &fds)).await {
                    Ok(sent) => sent?,
                    Err(_elapsed) => return Err(Error::Closed),
                }
            }
        }
    }
}
