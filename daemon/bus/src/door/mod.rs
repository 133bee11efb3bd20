//! The door: all that comes from the bus passes it before zbus sees it.
//!
//! Calls wait in a line for each user and are handed on in turns, one when the one before has been worked on, so
//! that whoever calls without end makes himself wait. What no method takes is refused unread: descriptors, which
//! the kernel closes before they are ours, and messages longer than any argument. What is no message that we
//! know is dropped, where zbus would end the connection.

pub(crate) mod fuzzing;
mod head;
mod lines;
mod read;
mod write;

use std::num::NonZeroU32;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use zbus::connection::socket::{Socket, Split};
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::BusName;
use zbus::{Connection, DBusError, Message};

use self::lines::{Lines, Refused};
use self::read::Reader;
use self::write::Writer;
use crate::callers::Callers;
use crate::{Code, Error};

pub use self::lines::CallLimits;

/// Longest message that is read, bytes; the longest argument of any method has 4 KiB, and what the bus and polkit
/// answer is short.
const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// Refusals that may wait to be sent; who causes more gets no answer to some.
const REFUSALS: usize = 1024;
/// Pause between refusals. Who is refused waits for it, so that refusing costs little however much there is to
/// refuse.
const REFUSAL_PAUSE: Duration = Duration::from_millis(1);
/// Bytes that may wait in the kernel for the bus to read them. What is there already cannot be overtaken.
const UNSENT_MAX_BYTES: usize = 16 << 10;

/// Who waits, shared by the halves of the socket and the methods.
#[derive(Debug)]
pub(crate) struct Door {
    lines: Mutex<Lines>,
    /// Something may be next: a call was finished or a newcomer introduced.
    changed: Notify,
    refusals: mpsc::Sender<Message>,
    newcomers: mpsc::UnboundedSender<String>,
}

/// What the door needs done once there is a connection.
#[derive(Debug)]
pub(crate) struct Errands {
    refusals: mpsc::Receiver<Message>,
    newcomers: mpsc::UnboundedReceiver<String>,
}

impl Door {
    pub(crate) fn new(limits: CallLimits) -> (Arc<Self>, Errands) {
        let (refusals, refused) = mpsc::channel(REFUSALS);
        // As many at once as `Lines` has newcomers.
        let (newcomers, unknown) = mpsc::unbounded_channel();
        let door = Self {
            lines: Mutex::new(Lines::new(limits)),
            changed: Notify::new(),
            refusals,
            newcomers,
        };
        let errands = Errands {
            refusals: refused,
            newcomers: unknown,
        };
        (Arc::new(door), errands)
    }

    /// A call waits for a person or for CERT from now on, and counts no longer as one that is worked on.
    pub(crate) fn set_aside(&self, header: &Header<'_>) {
        let serial = header.primary().serial_num().get();
        if let Some(sender) = header.sender() {
            self.lines().set_aside(sender.as_str(), serial);
            self.changed.notify_one();
        }
    }

    /// A name left the bus.
    pub(crate) fn forget(&self, name: &str) {
        self.lines().forget(name);
        self.changed.notify_one();
    }

    fn introduce(&self, name: &str, uid: Option<u32>) {
        let unplaced = self.lines().introduce(name, uid, Instant::now());
        for Refused(call) in unplaced {
            self.refuse(&call.sender, call.serial, call.silent, &too_many());
        }
        self.changed.notify_one();
    }

    /// Answers a call that goes no further.
    fn refuse(&self, sender: &str, serial: u32, silent: bool, error: &Error) {
        if silent {
            return;
        }
        // One that finds no place costs its sender an answer, and nobody else anything.
        if let Ok(place) = self.refusals.try_reserve()
            && let Some(refusal) = refusal(sender, serial, error)
        {
            place.send(refusal);
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Errands {
    /// Sends refusals and asks whose newcomers are, until the connection ends.
    pub(crate) fn run(
        self,
        connection: &Connection,
        bus: DBusProxy<'static>,
        door: &Arc<Door>,
        callers: &Arc<Callers>,
    ) {
        let Self {
            mut refusals,
            mut newcomers,
        } = self;
        let sending = connection.clone();
        tokio::spawn(async move {
            while let Some(refusal) = refusals.recv().await {
                if sending.send(&refusal).await.is_err() {
                    return;
                }
                tokio::time::sleep(REFUSAL_PAUSE).await;
            }
        });
        let (door, callers) = (Arc::clone(door), Arc::clone(callers));
        tokio::spawn(async move {
            while let Some(name) = newcomers.recv().await {
                let uid = match BusName::try_from(name.as_str()) {
                    Ok(bus_name) => bus.get_connection_unix_user(bus_name).await.ok(),
                    Err(_invalid) => None,
                };
                if let Some(uid) = uid {
                    callers.learn(&name, uid);
                }
                door.introduce(&name, uid);
            }
        });
    }
}

/// The connection's socket, with the door in it.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: Arc<UnixStream>,
    door: Arc<Door>,
}

impl Guarded {
    /// Takes a socket that is connected to the bus.
    pub(crate) fn new(stream: StdStream, door: Arc<Door>) -> std::io::Result<Self> {
        stream.set_nonblocking(true)?;
        rustix::net::sockopt::set_socket_send_buffer_size(stream.as_fd(), UNSENT_MAX_BYTES)?;
        let stream = Arc::new(UnixStream::from_std(stream)?);
        Ok(Self { stream, door })
    }
}

impl Socket for Guarded {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let Self { stream, door } = self;
        let reader = Reader::new(Arc::clone(&stream), Arc::clone(&door));
        Split::new(reader, Writer::new(stream, door))
    }
}

fn too_many() -> Error {
    Error::new(
        Code::TooMany,
        "too many calls of this user wait for their answers; wait for some before calling again",
    )
}

/// An error for a call of which only sender and serial were looked at.
fn refusal(sender: &str, serial: u32, error: &Error) -> Option<Message> {
    let call = Message::method_call("/", "Refused")
        .sender(sender)
        .serial(NonZeroU32::new(serial)?)
        .build(&())
        .ok()?;
    error.create_reply(&call.header()).ok()
}
