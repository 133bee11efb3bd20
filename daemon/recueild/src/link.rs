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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use recueil_wire::Listener;
    use serde::Deserialize;

    use super::*;

    /// A conversation whose answers must come within so many milliseconds.
    struct Talk<const ANSWER_MAX_MS: u64>;

    #[derive(Serialize, Deserialize)]
    struct Said {
        id: u64,
        call: String,
    }

    #[derive(Serialize, Deserialize)]
    enum Heard {
        Answer(u64, String),
        Refusal(u64, String),
        News(String),
    }

    impl<const ANSWER_MAX_MS: u64> Conversation for Talk<ANSWER_MAX_MS> {
        type Request = Said;
        type Call = String;
        type Message = Heard;
        type Answer = String;
        type Failure = String;
        type News = String;

        const ANSWER_MAX: Duration = Duration::from_millis(ANSWER_MAX_MS);

        fn greeting() -> Option<String> {
            Some("hello".to_owned())
        }

        fn request(id: u64, call: String) -> Said {
            Said { id, call }
        }

        fn sort(message: Heard) -> Sorted<String, String, String> {
            match message {
                Heard::Answer(id, answer) => Sorted::Reply(id, Ok(answer)),
                Heard::Refusal(id, why) => Sorted::Reply(id, Err(why)),
                Heard::News(news) => Sorted::News(news),
            }
        }
    }

    type Patient = Talk<60_000>;

    /// The other service, and what the link tells its owner.
    struct Scene<C: Conversation> {
        folder: tempfile::TempDir,
        listener: Option<Listener>,
        link: Link<C>,
        events: mpsc::Receiver<Event<C>>,
        _stop: tokio_util::sync::DropGuard,
    }

    impl<C: Conversation<News = String, Answer = String>> Scene<C> {
        fn begin() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            let listener = Listener::bind(&path, 0o600).unwrap();
            let stop = CancellationToken::new();
            let (sender, events) = mpsc::channel(4);
            let link = Link::keep(path, sender, stop.clone());
            Self {
                folder,
                listener: Some(listener),
                link,
                events,
                _stop: stop.drop_guard(),
            }
        }

        /// The next connection, after its greeting.
        async fn accept(&mut self) -> AsyncSocket {
            let socket = self.listener.as_ref().unwrap().accept(|_| true).await.unwrap();
            let said = next(&socket).await;
            assert_eq!((said.id, said.call.as_str()), (0, "hello"));
            assert_eq!(self.event().await, "up");
            socket
        }

        async fn event(&mut self) -> String {
            match self.events.recv().await.unwrap() {
                LinkEvent::Up => "up".to_owned(),
                LinkEvent::Down => "down".to_owned(),
                LinkEvent::Greeted(answer) => format!("greeted: {answer}"),
                LinkEvent::News(news) => format!("news: {news}"),
            }
        }

        fn ask(&self, call: &str) -> tokio::task::JoinHandle<Answered<C>>
        where
            C: Conversation<Call = String, Failure: Send>,
        {
            let (link, call) = (self.link.clone(), call.to_owned());
            tokio::spawn(async move { link.call(call).await })
        }
    }

    async fn next(socket: &AsyncSocket) -> Said {
        socket.recv::<Said>().await.unwrap().message
    }

    async fn say(socket: &AsyncSocket, heard: Heard) {
        socket.send(&heard, &[]).await.unwrap();
    }

    #[tokio::test]
    async fn each_answer_finds_its_call_whatever_their_order() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        let one = scene.ask("one");
        let first = next(&socket).await;
        let two = scene.ask("two");
        let second = next(&socket).await;
        assert_eq!((first.call.as_str(), second.call.as_str()), ("one", "two"));
        say(&socket, Heard::Answer(999, "nobody asked".into())).await;
        say(&socket, Heard::Refusal(second.id, "no".into())).await;
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        let answer = Heard::Answer(first.id, "yes".into());
        socket.send(&answer, &[pipe.as_fd()]).await.unwrap();
        let (answer, fds) = one.await.unwrap().unwrap();
        assert_eq!((answer.as_str(), fds.len()), ("yes", 1));
        assert!(matches!(two.await.unwrap(), Err(CallError::Refused(why)) if why == "no"));
    }

    #[tokio::test]
    async fn the_answer_to_the_greeting_comes_in_its_place_among_the_news() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        // More than the owner's queue takes, before and after: nobody waits for the answer alone.
        for _ in 0..8 {
            say(&socket, Heard::News("before".into())).await;
        }
        say(&socket, Heard::Answer(0, "all of it".into())).await;
        say(&socket, Heard::News("after".into())).await;
        for _ in 0..8 {
            assert_eq!(scene.event().await, "news: before");
        }
        assert_eq!(scene.event().await, "greeted: all of it");
        assert_eq!(scene.event().await, "news: after");
    }

    #[tokio::test]
    async fn a_lost_service_leaves_no_call_waiting_and_is_found_again() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        let waiting = scene.ask("unanswered");
        next(&socket).await;
        drop(socket);
        assert!(matches!(waiting.await.unwrap(), Err(CallError::Down)));
        assert_eq!(scene.event().await, "down");
        let socket = scene.accept().await;
        let again = scene.ask("again");
        let said = next(&socket).await;
        say(&socket, Heard::Answer(said.id, "here".into())).await;
        assert_eq!(again.await.unwrap().unwrap().0, "here");
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_connection() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        socket.send(&"gibberish", &[]).await.unwrap();
        assert_eq!(scene.event().await, "down");
        scene.accept().await;
    }

    #[tokio::test]
    async fn calls_to_a_service_that_is_not_there_are_refused() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        scene.listener = None;
        std::fs::remove_file(scene.folder.path().join("socket")).unwrap();
        drop(socket);
        assert_eq!(scene.event().await, "down");
        assert!(matches!(
            scene.link.call("anybody".into()).await,
            Err(CallError::Down)
        ));
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
        let mut scene = Scene::<Talk<50>>::begin();
        let socket = scene.accept().await;
        let silence = scene.ask("silence");
        let said = next(&socket).await;
        assert!(matches!(silence.await.unwrap(), Err(CallError::Down)));
        // Late, it disturbs nobody.
        say(&socket, Heard::Answer(said.id, "late".into())).await;
        say(&socket, Heard::News("still talking".into())).await;
        assert_eq!(scene.event().await, "news: still talking");
    }

    #[tokio::test]
    async fn calls_that_wait_for_answers_are_bounded() {
        let mut scene = Scene::<Patient>::begin();
        let socket = scene.accept().await;
        let calls: Vec<_> = (0..PENDING_MAX + 10)
            .map(|number| scene.ask(&number.to_string()))
            .collect();
        let mut said = Vec::new();
        for _ in 0..PENDING_MAX {
            said.push(next(&socket).await);
        }
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        let mut peeked = [0; 1];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        assert_eq!(
            rustix::net::recv(socket.as_fd(), &mut peeked, flags).unwrap_err(),
            rustix::io::Errno::AGAIN,
            "no more is sent than may wait"
        );
        say(&socket, Heard::Answer(said[0].id, "first".into())).await;
        next(&socket).await;
        for call in calls {
            call.abort();
        }
    }
}
