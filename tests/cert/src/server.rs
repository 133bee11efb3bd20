//! CERT at work: one task that accepts stations, one that ingests, one that takes orders.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{RwLock, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::control;
use crate::desk::Desk;
use crate::error::{At, Error};
use crate::http::{Counter, Dropped};
use crate::keys;
use crate::problem::Problem;

/// Most stations at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
const HEADERS_MAX_BYTES: usize = 16 << 10;
const HEADERS_MAX: usize = 32;

/// How long a station may keep CERT waiting.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For its handshake.
    pub handshake: Duration,
    /// For a request, on a connection that stands.
    pub request: Duration,
    /// For the next bytes of a body.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request: Duration::from_mins(1),
            body: Duration::from_secs(20),
        }
    }
}

/// A CERT that serves, on the runtime it was started on. Dropped, it stops without waiting.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    desk: Arc<Desk>,
    working: Arc<RwLock<()>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves the folder that [`crate::init`] made, on `127.0.0.1` at a free port. One server a folder.
    ///
    /// # Errors
    /// The folder is not one of `init`; the network; the control socket's path is too long (107 bytes).
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        Self::listen(dir, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Serves at `listen`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn listen(dir: &Path, listen: SocketAddr) -> Result<Self, Error> {
        Self::listen_with(dir, listen, Limits::default()).await
    }

    /// Serves at `listen` with limits of its own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn listen_with(dir: &Path, listen: SocketAddr, limits: Limits) -> Result<Self, Error> {
        let tls = TlsAcceptor::from(Arc::new(keys::tls(dir)?));
        let desk = Arc::new(Desk::load(dir)?);
        let listener = TcpListener::bind(listen).await.at(listen.to_string())?;
        let addr = listener.local_addr().at(listen.to_string())?;
        let orders_path = dir.join("control.sock");
        // One left by a server that was killed.
        if orders_path.exists() {
            std::fs::remove_file(&orders_path).at(&orders_path)?;
        }
        let orders = UnixListener::bind(&orders_path).at(&orders_path)?;

        let working = Arc::new(RwLock::new(()));
        let (stop, stopped) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(accept(
                listener,
                tls,
                desk.clone(),
                working.clone(),
                limits,
                stopped.clone(),
            )),
            tokio::spawn(ingest(desk.clone(), working.clone(), stopped.clone())),
            tokio::spawn(control::serve(orders, desk.clone(), stopped)),
        ];
        Ok(Self {
            addr,
            desk,
            working,
            stop,
            tasks,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Does what the control socket does with this line, and gives its answer.
    pub async fn control(&self, line: &str) -> String {
        control::obey(&self.desk, line.as_bytes()).await
    }

    /// Drops every connection, finishes what is being written, and ends.
    pub async fn stop(self) {
        // The tasks hold receivers; when they are gone there is nothing to stop.
        let _nobody = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of CERT failed");
            }
        }
        drop(self.working.write().await);
    }
}

async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    desk: Arc<Desk>,
    working: Arc<RwLock<()>>,
    limits: Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let next = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        match (place, accepted) {
            (Ok(place), Ok((stream, _from))) => {
                let (tls, desk, working) = (tls.clone(), desk.clone(), working.clone());
                connections.spawn(async move {
                    serve(stream, tls, desk, working, limits).await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept");
                // Out of descriptors, most likely: let some connections end.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_closed), _) => break,
        }
    }
    connections.shutdown().await;
}

async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    desk: Arc<Desk>,
    working: Arc<RwLock<()>>,
    limits: Limits,
) {
    if desk.state().orders.silent {
        return;
    }
    let stream = match timeout(limits.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "no handshake"),
        Err(_elapsed) => return,
    };
    let station = station(&stream).filter(|station| desk.keys.knows(station));
    let service = service_fn(move |request| {
        let counter = station.as_deref().map(|station| Counter {
            desk: desk.clone(),
            station: station.into(),
            working: working.clone(),
            idle: limits.body,
        });
        async move {
            match counter {
                Some(counter) => counter.answer(request).await,
                None => Ok::<_, Dropped>(crate::http::refuse(&Problem::NotRegistered)),
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_buf_size(HEADERS_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

/// The station's name, by its TLS certificate, which the handshake verified.
fn station(stream: &tokio_rustls::server::TlsStream<TcpStream>) -> Option<String> {
    let (_stream, connection) = stream.get_ref();
    let certificate = Certificate::parse(connection.peer_certificates()?.first()?).ok()?;
    certificate
        .is_for_tls_clients()
        .then(|| certificate.common_name())
        .flatten()
}

async fn ingest(desk: Arc<Desk>, working: Arc<RwLock<()>>, mut stopped: watch::Receiver<bool>) {
    loop {
        while let Some(id) = desk.next_to_ingest() {
            if *stopped.borrow() {
                return;
            }
            let job = desk.clone();
            let held = working.clone().read_owned().await;
            let done = tokio::task::spawn_blocking(move || {
                let done = job.ingest(&id);
                drop(job);
                drop(held);
                done
            });
            match done.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => desk.give_up(&error),
                Err(error) => {
                    tracing::error!(%error, "ingestion failed");
                    return;
                }
            }
        }
        tokio::select! {
            () = desk.work.notified() => {}
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}
