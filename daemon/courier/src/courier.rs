//! The courier's life: what it opens, and the loop that wakes the desk.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use recueil_wire::{Listener, watch};
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::cert::{Endpoint, Line};
use crate::desk::Desk;
use crate::files::Folders;
use crate::socket::serve;
use crate::{Config, Error, lanes};

/// A courier whose socket listens.
#[derive(Debug)]
pub struct Courier {
    config: Config,
    endpoint: Option<Endpoint>,
    folders: Arc<Folders>,
    listener: Listener,
    ready: Option<AsyncFd<OwnedFd>>,
}

impl Courier {
    /// Reads keys, opens folders and listens. Inside a tokio runtime.
    ///
    /// # Errors
    /// A folder, key or certificate that cannot be used; the socket's place.
    pub fn bind(config: Config) -> Result<Self, Error> {
        let endpoint = Endpoint::load(&config)?;
        let folders = Arc::new(Folders::open(&config.ready_dir, &config.state_dir)?);
        let ready = match watched(&folders) {
            Ok(ready) => Some(ready),
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be watched; it is looked into once a minute");
                None
            }
        };
        // Who connects is known by uid; the folder decides who may try.
        let listener = Listener::bind(&config.socket, 0o666)?;
        Ok(Self {
            config,
            endpoint,
            folders,
            listener,
            ready,
        })
    }
}

fn watched(folders: &Folders) -> std::io::Result<AsyncFd<OwnedFd>> {
    let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
    let changes =
        inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE | inotify::WatchFlags::DELETE;
    inotify::add_watch(&fd, folders.ready_path(), changes)?;
    watch(fd)
}

/// Lane events that wait for the desk; lanes wait beyond.
const EVENTS_MAX: usize = 64;
/// The outbox is looked into this often whatever the watch says.
const ROUND: Duration = Duration::from_mins(1);

/// Carries parcels until `shutdown` is ready. What is under way then is given up where it stands: every step
/// can be cut and repeated.
///
/// # Errors
/// [`Error::Durability`], or the socket for `recueild` failed.
pub async fn run(courier: Courier, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let Courier {
        config,
        endpoint,
        folders,
        listener,
        ready,
    } = courier;
    let (events, mut happened) = mpsc::channel(EVENTS_MAX);
    let (voices, mut heard) = mpsc::channel(EVENTS_MAX);
    let (sender, send_jobs) = mpsc::channel(1);
    let (asker, ask_jobs) = mpsc::channel(1);
    let mut lanes = JoinSet::new();
    if let Some(endpoint) = &endpoint {
        let line = || Line::new(endpoint.clone());
        lanes.spawn(lanes::send(
            line(),
            folders.clone(),
            config.chunk_bytes,
            send_jobs,
            events.clone(),
        ));
        lanes.spawn(lanes::ask(line(), folders.clone(), ask_jobs, events.clone()));
    }
    tracing::info!(station = config.station, configured = endpoint.is_some(), "ready");
    let recueild = config.recueild.uid();
    let mut desk = Desk::new(config, endpoint, folders, events, sender, asker);
    desk.look()?;
    let mut round = tokio::time::interval_at(Instant::now() + ROUND, ROUND);
    round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let accepting = serve(listener, recueild, voices);
    tokio::pin!(shutdown, accepting);
    loop {
        desk.give_work();
        let next = desk.next_turn();
        tokio::select! {
            () = &mut shutdown => return Ok(()),
            ended = &mut accepting => return Ok(ended?),
            Some(heard) = heard.recv() => desk.hear(heard)?,
            Some(event) = happened.recv() => desk.learn(event)?,
            () = changed(ready.as_ref()) => desk.look()?,
            _ = round.tick() => desk.look()?,
            () = until(next) => {}
        }
    }
}

async fn until(when: Option<Instant>) {
    match when {
        Some(when) => sleep_until(when).await,
        None => std::future::pending().await,
    }
}

/// Waits until something happened in the outbox, and forgets what: the outbox itself says.
async fn changed(ready: Option<&AsyncFd<OwnedFd>>) {
    let Some(ready) = ready else {
        return std::future::pending().await;
    };
    let mut space = [std::mem::MaybeUninit::uninit(); 4096];
    match ready.readable().await {
        Ok(mut guard) => {
            let mut reader = inotify::Reader::new(ready.get_ref(), &mut space);
            while reader.next().is_ok() {}
            guard.clear_ready();
        }
        Err(error) => {
            tracing::warn!(%error, "the outbox is no longer watched");
            std::future::pending::<()>().await;
        }
    }
}
