//! A line between a station and CERT that fails by order. It sees ciphertext, as any line does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the station to CERT.
    Up,
    /// From CERT to the station.
    Down,
}

/// How a connection ends where it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both ends see an orderly end of the stream.
    Closed,
    /// Both ends see a reset.
    Reset,
    /// Neither end sees anything: bytes are no longer carried.
    Silent,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// They are carried to CERT.
    Carry,
    /// They are carried one byte after the other towards the station, with this pause.
    Trickle(Duration),
    /// They are reset.
    Refuse,
    /// They stand, and nothing is carried.
    Hold,
}

/// A line on loopback. It ends with this value.
#[derive(Debug)]
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Counts the times that all connections were dropped.
    dropped: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    to: SocketAddr,
    manner: Manner,
    cut: Option<Cut>,
    /// Every connection is cut so.
    each: Option<Cut>,
    /// Bytes carried since the last count, up and down.
    carried: [u64; 2],
    cuts: u64,
}

#[derive(Debug, Clone, Copy)]
struct Cut {
    way: Way,
    left: u64,
    end: End,
}

impl Proxy {
    /// A line to `to`.
    ///
    /// # Errors
    /// The network.
    pub async fn start(to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                to,
                manner: Manner::Carry,
                cut: None,
                each: None,
                carried: [0; 2],
                cuts: 0,
            }),
            dropped: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self {
            addr,
            shared,
            accepting,
        })
    }

    /// The station's end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where new connections lead.
    pub fn lead_to(&self, to: SocketAddr) {
        self.shared.state().to = to;
    }

    /// What becomes of new connections.
    pub fn treat(&self, manner: Manner) {
        self.shared.state().manner = manner;
    }

    /// After `after` more bytes this way, whatever connection carries them, all connections end so, once.
    pub fn cut(&self, way: Way, after: u64, end: End) {
        self.shared.state().cut = Some(Cut {
            way,
            left: after,
            end,
        });
    }

    /// Every new connection ends so after `after` bytes this way.
    pub fn cut_each(&self, way: Way, after: u64, end: End) {
        self.shared.state().each = Some(Cut {
            way,
            left: after,
            end,
        });
    }

    /// Takes the cut back that has not come yet, and what each connection would suffer. Whether one had not come.
    pub fn mend(&self) -> bool {
        let state = &mut self.shared.state();
        state.each = None;
        state.cut.take().is_some()
    }

    /// Drops every connection that stands.
    pub fn drop_all(&self) {
        self.shared.dropped.send_modify(|count| *count += 1);
    }

    /// Bytes carried since the last count, up and down.
    pub fn count(&self) -> (u64, u64) {
        let [up, down] = std::mem::take(&mut self.shared.state().carried);
        (up, down)
    }

    /// Cuts that came.
    pub fn cuts(&self) -> u64 {
        self.shared.state().cuts
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.drop_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How many of `len` bytes are still carried this way, and how the connection ends after them. `own` is what
    /// this connection suffers.
    fn carry(&mut self, way: Way, len: usize, own: &mut Option<Cut>) -> (usize, Option<End>) {
        let (mut kept, mut end) = (len, None);
        for cut in [own, &mut self.cut] {
            let Some(here) = cut.as_mut().filter(|cut| cut.way == way) else {
                continue;
            };
            let left = usize::try_from(here.left).unwrap_or(usize::MAX);
            if left <= kept {
                (kept, end) = (left, Some(here.end));
                *cut = None;
                self.cuts += 1;
            } else {
                here.left -= u64::try_from(kept).unwrap_or(0);
            }
        }
        let [up, down] = &mut self.carried;
        let carried = if way == Way::Up { up } else { down };
        *carried += u64::try_from(kept).unwrap_or(0);
        (kept, end)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((station, _from)) => {
                connections.spawn(carry(station, shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the line cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn carry(station: TcpStream, shared: Arc<Shared>) {
    let mut dropped = shared.dropped.subscribe();
    dropped.mark_unchanged();
    let (to, manner, each) = {
        let state = shared.state();
        (state.to, state.manner, state.each)
    };
    match manner {
        Manner::Refuse => return reset(&station),
        // The other end is gone when this value is, or when all are dropped.
        Manner::Hold => return drop(dropped.changed().await),
        Manner::Carry | Manner::Trickle(_) => {}
    }
    let Ok(cert) = TcpStream::connect(to).await else {
        return reset(&station);
    };
    let pause = match manner {
        Manner::Trickle(pause) => Some(pause),
        _ => None,
    };
    // Small answers are not kept back for more; a line without it is only slower.
    let _slower = (station.set_nodelay(true), cert.set_nodelay(true));
    let (mut from_station, mut to_station) = station.into_split();
    let (mut from_cert, mut to_cert) = cert.into_split();
    let up = pump(Way::Up, &mut from_station, &mut to_cert, None, each, &shared);
    let down = pump(Way::Down, &mut from_cert, &mut to_station, pause, each, &shared);
    let end = tokio::select! {
        end = up => end,
        end = down => end,
        _ = dropped.changed() => End::Closed,
    };
    match end {
        End::Closed => {}
        End::Reset => {
            if let Ok(station) = to_station.reunite(from_station) {
                reset(&station);
            }
            if let Ok(cert) = to_cert.reunite(from_cert) {
                reset(&cert);
            }
        }
        End::Silent => drop(dropped.changed().await),
    }
}

/// Carries one way until it ends or is cut.
async fn pump(
    way: Way,
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    pause: Option<Duration>,
    mut each: Option<Cut>,
    shared: &Shared,
) -> End {
    let mut buffer = vec![0_u8; if pause.is_some() { 1 } else { 16 << 10 }];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else {
            return End::Closed;
        };
        let (kept, end) = shared.state().carry(way, read, &mut each);
        if to
            .write_all(buffer.get(..kept).unwrap_or_default())
            .await
            .is_err()
        {
            return End::Closed;
        }
        if let Some(end) = end {
            // All others too: a line is one.
            if end != End::Silent {
                shared.dropped.send_modify(|count| *count += 1);
            }
            return end;
        }
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

fn reset(stream: &TcpStream) {
    // Without it the end is an orderly one.
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "no reset");
    }
}
