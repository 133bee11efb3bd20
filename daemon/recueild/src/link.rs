//! A lasting conversation with another service: calls with answers, news between them, reconnected when lost.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use recueil_wire::{AsyncSocket, Received};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// One conversation's types.
pub(crate) trait Conversation: Send + 'static {
    type Request: Serialize + Send + Sync;
    type Call: Send + 'static;
    type Message: DeserializeOwned + Send;
    type Answer: Send + 'static;
    type Failure: Send + 'static;
    type News: Send + 'static;

    /// Longest wait for an answer. The other side keeps shorter deadlines of its own.
    const ANSWER_MAX: Duration;

    /// What is asked first on each new connection. Its answer comes among the news, in its place: nobody waits
    /// for it who must take the news in meanwhile.
    fn greeting() -> Option<Self::Call>;
    fn request(id: u64, call: Self::Call) -> Self::Request;
    fn sort(message: Self::Message) -> Sorted<Self::Answer, Self::Failure, Self::News>;
}

/// What a message is.
pub(crate) enum Sorted<Answer, Failure, News> {
    Reply(u64, Result<Answer, Failure>),
    News(News),
}

/// What happens on a link besides answers.
#[derive(Debug)]
pub(crate) enum LinkEvent<News, Answer> {
    /// Connected, for the first time or again: whatever was known is old.
    Up,
    /// The answer to the greeting.
    Greeted(Answer),
    /// The other service is gone; its answers will not come.
    Down,
    News(News),
}

/// Why a call has no answer.
#[derive(Debug)]
pub(crate) enum CallError<Failure> {
    /// The other service said so.
    Refused(Failure),
    /// The other service is not there, or went away.
    Down,
}

type Answered<C> =
    Result<(<C as Conversation>::Answer, Vec<OwnedFd>), CallError<<C as Conversation>::Failure>>;

struct Pending<C: Conversation> {
    call: C::Call,
    answer: oneshot::Sender<Answered<C>>,
}

/// The caller's end; cheap to clone.
pub(crate) struct Link<C: Conversation>(mpsc::Sender<Pending<C>>);

impl<C: Conversation> Clone for Link<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Calls that may wait to be sent.
const QUEUE: usize = 64;
/// Calls that may wait for their answers.
const PENDING_MAX: usize = 256;
/// How often a lost service is looked for.
const RETRY: Duration = Duration::from_millis(200);
/// The call that greets.
const GREETING: u64 = 0;

type Event<C> = LinkEvent<<C as Conversation>::News, <C as Conversation>::Answer>;

impl<C: Conversation> Link<C> {
    /// Keeps a connection to the socket at `path` until `stop`.
    pub(crate) fn keep(path: PathBuf, events: mpsc::Sender<Event<C>>, stop: CancellationToken) -> Self {
        let (sender, calls) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = run::<C>(path, calls, events) => {}
            }
        });
        Self(sender)
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn call(&self, call: C::Call) -> Answered<C> {
        let (answer, wait) = oneshot::channel();
        self.0
            .send(Pending { call, answer })
            .await
            .map_err(|_stopped| CallError::Down)?;
        match tokio::time::timeout(C::ANSWER_MAX, wait).await {
            Ok(answer) => answer.map_err(|_stopped| CallError::Down)?,
            Err(_elapsed) => {
                tracing::warn!("a service did not answer in time");
                Err(CallError::Down)
            }
        }
    }
}

async fn run<C: Conversation>(
    path: PathBuf,
    mut calls: mpsc::Receiver<Pending<C>>,
    events: mpsc::Sender<Event<C>>,
) {
    loop {
        if let Ok(socket) = AsyncSocket::connect(&path) {
            if events.send(LinkEvent::Up).await.is_err() {
                return;
            }
            match converse::<C>(&socket, &mut calls, &events).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(socket = %path.display(), %error, "a service is gone"),
            }
            drop(socket);
            if events.send(LinkEvent::Down).await.is_err() {
                return;
            }
        }
        // Calls made meanwhile are refused rather than kept waiting. The pause is for one that comes and goes too.
        let refuse = async {
            while let Some(pending) = calls.recv().await {
                drop(pending.answer.send(Err(CallError::Down)));
            }
        };
        if tokio::time::timeout(RETRY, refuse).await.is_ok() {
            return;
        }
    }
}

/// Returns well when nobody asks or listens any more.
async fn converse<C: Conversation>(
    socket: &AsyncSocket,
    calls: &mut mpsc::Receiver<Pending<C>>,
    events: &mpsc::Sender<Event<C>>,
) -> Result<(), recueil_wire::Error> {
    let mut waiting: HashMap<u64, oneshot::Sender<Answered<C>>> = HashMap::new();
    let mut id = GREETING;
    if let Some(greeting) = C::greeting() {
        socket.send(&C::request(GREETING, greeting), &[]).await?;
    }
    let outcome = loop {
        tokio::select! {
            pending = calls.recv(), if waiting.len() < PENDING_MAX => {
                let Some(Pending { call, answer }) = pending else { break Ok(()) };
                id += 1;
                if waiting.len() + 1 == PENDING_MAX {
                    // Whoever gave up leaves his place.
                    waiting.retain(|_, caller| !caller.is_closed());
                }
                waiting.insert(id, answer);
                if let Err(error) = socket.send(&C::request(id, call), &[]).await {
                    break Err(error);
                }
            }
            received = socket.recv::<C::Message>() => {
                let Received { message, fds } = match received {
                    Ok(received) => received,
                    Err(error) => break Err(error),
                };
                match C::sort(message) {
                    Sorted::Reply(GREETING, Ok(answer)) => {
                        if events.send(LinkEvent::Greeted(answer)).await.is_err() {
                            break Ok(());
                        }
                    }
                    Sorted::Reply(id, answer) => {
                        if let Some(caller) = waiting.remove(&id) {
                            let answer = answer.map(|answer| (answer, fds)).map_err(CallError::Refused);
                            // A caller that gave up is no error.
                            drop(caller.send(answer));
                        }
                    }
                    Sorted::News(news) => {
                        if events.send(LinkEvent::News(news)).await.is_err() {
                            break Ok(());
                        }
                    }
                }
            }
        }
    };
    for (_id, caller) in waiting {
        drop(caller.send(Err(CallError::Down)));
    }
    outcome
}
