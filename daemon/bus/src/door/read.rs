//! The half that reads.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::UnixStream;
use zbus::Message;
use zbus::connection::socket::ReadHalf;
use zbus::export::async_trait::async_trait;

use super::head::{Extent, FIXED_LEN, HEAD_MAX_BYTES, Head, Kind, ask_for_reply};
use super::lines::{Call, Next, Refused};
use super::{Door, MESSAGE_MAX_BYTES, too_many};
use crate::{Code, Error};

/// The bus itself, whose signals are the only ones that are listened to.
const BUS: &str = "org.freedesktop.DBus";
/// Bytes that are read at a time.
const CHUNK: usize = 16 << 10;

/// Takes all that comes, and hands on what is next.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<UnixStream>,
    door: Arc<Door>,
    /// What has come and was not looked at.
    come: Vec<u8>,
    /// Bytes still to come of a message that is not kept.
    passing: usize,
    /// Answers and the bus's signals: they wait for nobody.
    first: std::collections::VecDeque<Vec<u8>>,
    /// A call was handed on, and is to be worked on before the next.
    yielding: bool,
}

impl Reader {
    pub(super) fn new(stream: Arc<UnixStream>, door: Arc<Door>) -> Self {
        Self {
            stream,
            door,
            come: Vec::new(),
            passing: 0,
            first: std::collections::VecDeque::new(),
            yielding: false,
        }
    }

    /// Reads what is there without waiting. Read without a place for them, descriptors are closed by the kernel.
    fn take_in(&mut self) -> io::Result<()> {
        let held = self.come.len();
        self.come.resize(held + CHUNK, 0);
        let read = self
            .stream
            .try_read(self.come.get_mut(held..).unwrap_or_default());
        self.come.truncate(held + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => self.sort_out(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks at what has come, and more.
    pub(super) fn hear(&mut self, more: &[u8]) -> io::Result<()> {
        self.come.extend_from_slice(more);
        self.sort_out()
    }

    /// Bytes that have come of a message that is not whole.
    pub(super) fn kept(&self) -> usize {
        self.come.len()
    }

    /// Answers and the bus's signals.
    pub(super) fn take_first(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.first.drain(..)
    }

    /// Looks at every message that has come whole, and at the head of one that will not be kept.
    fn sort_out(&mut self) -> io::Result<()> {
        let mut at = 0;
        loop {
            let pass = self.passing.min(self.come.len() - at);
            self.passing -= pass;
            at += pass;
            let rest = self.come.get(at..).unwrap_or_default();
            if self.passing > 0 || rest.len() < FIXED_LEN {
                break;
            }
            let extent = Extent::read(rest).ok_or(io::ErrorKind::InvalidData)?;
            if extent.head > HEAD_MAX_BYTES {
                // Whose it is stands behind more than anybody needs.
                self.passing = extent.total;
                continue;
            }
            let Some(bytes) = rest.get(..extent.head) else {
                break;
            };
            if extent.total > MESSAGE_MAX_BYTES {
                if let Some(head) = Head::read(bytes) {
                    self.refuse(&head, &too_long());
                }
                self.passing = extent.total;
                continue;
            }
            let Some(bytes) = rest.get(..extent.total) else {
                break;
            };
            if let Some(head) = Head::read(bytes.get(..extent.head).unwrap_or_default()) {
                let bytes = bytes.to_vec();
                self.sort(head, bytes);
            }
            at += extent.total;
        }
        self.come.drain(..at);
        if self.come.is_empty() && self.come.capacity() > 4 * CHUNK {
            self.come = Vec::new();
        }
        Ok(())
    }

    fn sort(&mut self, head: Head, mut bytes: Vec<u8>) {
        match head.kind {
            Kind::Answer => self.first.push_back(bytes),
            Kind::Signal if head.sender == BUS => self.first.push_back(bytes),
            Kind::Call if head.fds > 0 => self.refuse(&head, &no_descriptors()),
            Kind::Call => {
                ask_for_reply(&mut bytes);
                let Head {
                    sender,
                    serial,
                    silent,
                    ..
                } = head;
                let call = Call {
                    sender,
                    serial,
                    silent,
                    bytes,
                };
                let sender = call.sender.clone();
                let pushed = self.door.lines().push(call, Instant::now());
                match pushed {
                    Ok(true) => drop(self.door.newcomers.send(sender)),
                    Ok(false) => {}
                    Err(Refused(call)) => {
                        self.door
                            .refuse(&call.sender, call.serial, call.silent, &too_many());
                    }
                }
            }
            // Nobody has a reason to send us signals but the bus.
            Kind::Signal | Kind::Other => {}
        }
    }

    fn refuse(&self, head: &Head, error: &Error) {
        if head.kind == Kind::Call {
            self.door.refuse(&head.sender, head.serial, head.silent, error);
        }
    }

    /// What zbus gets next.
    async fn next(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if std::mem::take(&mut self.yielding) {
                // All that can go on goes on before this does.
                tokio::task::yield_now().await;
            }
            self.take_in()?;
            if let Some(bytes) = self.first.pop_front() {
                return Ok(bytes);
            }
            let next = self.door.lines().next(Instant::now());
            let due = match next {
                Next::Call(call) => {
                    self.yielding = true;
                    return Ok(call.bytes);
                }
                Next::At(due) => Some(due),
                Next::Nothing => None,
            };
            tokio::select! {
                ready = self.stream.readable() => ready?,
                () = self.door.changed.notified() => {}
                () = until(due) => {}
            }
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn receive_message(
        &mut self,
        seq: u64,
        already_received_bytes: &mut Vec<u8>,
        already_received_fds: &mut Vec<OwnedFd>,
    ) -> zbus::Result<Message> {
        if !already_received_bytes.is_empty() {
            self.hear(&std::mem::take(already_received_bytes))?;
        }
        already_received_fds.clear();
        loop {
            let mut bytes = self.next().await?;
            // zbus reads it as if it came from a socket. What it does not understand is dropped: by its error the
            // connection would end, for everybody.
            match Whole.receive_message(seq, &mut bytes, &mut Vec::new()).await {
                Ok(message) => return Ok(message),
                Err(error) => tracing::warn!(%error, "a message that is not understood was dropped"),
            }
        }
    }

    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|read| (read, Vec::new())),
            }
        }
    }

    fn can_pass_unix_fd(&self) -> bool {
        true
    }
}

/// A socket on which nothing comes after what is there already.
#[derive(Debug)]
pub(super) struct Whole;

#[async_trait]
impl ReadHalf for Whole {
    async fn recvmsg(&mut self, _buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        Ok((0, Vec::new()))
    }
}

fn too_long() -> Error {
    let text = "a message of at most 64 KiB is taken; every argument has its own limit, far below that";
    Error::new(Code::InvalidArgument, text)
}

fn no_descriptors() -> Error {
    let text = "no method takes a descriptor; call again without one";
    Error::new(Code::InvalidArgument, text)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::num::NonZeroU32;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream as StdStream;

    use tokio::sync::mpsc;
    use zbus::connection::socket::Socket;

    use super::super::{CallLimits, Errands, Guarded};
    use super::*;

    const LIMITS: CallLimits = CallLimits {
        at_once: 8,
        waiting: 4,
        per_second: 1000,
        questions: 8,
    };

    /// The door, the bus's end of its socket, and what the door wants done.
    struct Hall {
        reader: Reader,
        bus: StdStream,
        door: Arc<Door>,
        refusals: mpsc::Receiver<Message>,
    }

    /// One that knows `:1.1` as user 1 and `:1.2` as user 2.
    async fn hall() -> Hall {
        let (bus, ours) = StdStream::pair().unwrap();
        let (door, errands) = Door::new(LIMITS);
        let (reader, _writer) = Guarded::new(ours, Arc::clone(&door)).unwrap().split().take();
        let Errands {
            refusals,
            mut newcomers,
        } = errands;
        let mut hall = Hall {
            reader,
            bus,
            door,
            refusals,
        };
        for (sender, uid) in [(":1.1", 1), (":1.2", 2)] {
            hall.say(&call(sender, 1, 0));
            hall.reader.stream.readable().await.unwrap();
            hall.reader.take_in().unwrap();
            assert_eq!(newcomers.recv().await.as_deref(), Some(sender));
            hall.door.introduce(sender, Some(uid));
            assert_eq!(hall.next().await, (sender.to_owned(), 1));
            hall.door.lines().finish(sender, 1);
        }
        hall
    }

    impl Hall {
        fn say(&mut self, bytes: &[u8]) {
            self.bus.write_all(bytes).unwrap();
        }

        async fn next(&mut self) -> (String, u32) {
            let (mut bytes, mut fds) = (Vec::new(), Vec::new());
            let next = self.reader.receive_message(1, &mut bytes, &mut fds);
            let message = next.await.unwrap();
            let header = message.header();
            let sender = header.sender().unwrap().to_string();
            (sender, header.primary().serial_num().get())
        }

        /// The serial that is refused next, and why.
        fn refused(&mut self) -> (u32, String) {
            let refusal = self.refusals.try_recv().unwrap();
            let header = refusal.header();
            let name = header.error_name().unwrap().to_string();
            (header.reply_serial().unwrap().get(), name)
        }
    }

    fn call(sender: &str, serial: u32, body_len: usize) -> Vec<u8> {
        let call = Message::method_call("/fr/recueil/Station1", "Status")
            .interface("fr.recueil.Station1")
            .sender(sender)
            .serial(NonZeroU32::new(serial).unwrap())
            .build(&vec![7_u8; body_len]);
        call.unwrap().data().to_vec()
    }

    /// The same with a number of descriptors in its head, before all other fields.
    fn with_field(call: &[u8], field: [u8; 8]) -> Vec<u8> {
        let mut bytes = call.to_vec();
        let fields = u32::from_le_bytes(bytes[12..16].try_into().unwrap());
        bytes[12..16].copy_from_slice(&(fields + 8).to_le_bytes());
        bytes.splice(16..16, field);
        bytes
    }

    const TWO_FDS: [u8; 8] = [9, 1, b'u', 0, 2, 0, 0, 0];
    const UNKNOWN: [u8; 8] = [200, 1, b'u', 0, 2, 0, 0, 0];
    const UNREADABLE: [u8; 8] = [200, 1, b'y', 0, 2, 0, 0, 0];

    #[tokio::test]
    async fn a_call_with_descriptors_is_refused_and_they_never_become_ours() {
        let mut hall = hall().await;
        let before = open_descriptors();
        let (pipe, end) = io::pipe().unwrap();
        let bytes = with_field(&call(":1.1", 5, 0), TWO_FDS);
        {
            use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
            let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            let fds = [pipe.as_fd(), end.as_fd()];
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            let parts = [io::IoSlice::new(&bytes)];
            rustix::net::sendmsg(&hall.bus, &parts, &mut control, SendFlags::empty()).unwrap();
        }
        hall.say(&call(":1.2", 6, 10));
        assert_eq!(hall.next().await, (":1.2".to_owned(), 6));
        assert_eq!(hall.refused().0, 5);
        drop((pipe, end));
        assert!(open_descriptors() <= before, "no descriptor came with it");
    }

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[tokio::test]
    async fn what_is_too_long_is_refused_unread_and_what_follows_is_served() {
        let mut hall = hall().await;
        let long = call(":1.1", 5, 1 << 20);
        let then = call(":1.1", 6, 10);
        let Hall { bus, .. } = &mut hall;
        let mut bus = bus.try_clone().unwrap();
        let saying = std::thread::spawn(move || {
            bus.write_all(&long).unwrap();
            bus.write_all(&then).unwrap();
        });
        assert_eq!(hall.next().await, (":1.1".to_owned(), 6));
        saying.join().unwrap();
        let (serial, name) = hall.refused();
        assert_eq!((serial, name.rsplit('.').next()), (5, Some("InvalidArgument")));
        assert!(hall.reader.come.capacity() <= 8 * CHUNK, "it was not kept");
    }

    #[tokio::test]
    async fn what_is_not_understood_is_dropped_and_the_connection_stays() {
        let mut hall = hall().await;
        hall.say(&with_field(&call(":1.1", 5, 10), UNREADABLE));
        hall.say(&with_field(&call(":1.1", 6, 10), UNKNOWN));
        let signal = Message::signal(
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "NameOwnerChanged",
        )
        .sender(":1.1")
        .build(&(":1.2", ":1.2", ""));
        hall.say(signal.unwrap().data());
        hall.say(&call(":1.2", 7, 10));
        assert_eq!(hall.next().await, (":1.2".to_owned(), 7));
        assert!(hall.refusals.try_recv().is_err(), "nobody is answered");
        let mut unknown = with_field(&call(":1.1", 6, 10), UNKNOWN);
        let mut fds = Vec::new();
        let mut whole = Whole;
        let zbus = whole.receive_message(1, &mut unknown, &mut fds);
        assert!(zbus.await.is_err(), "by which it would end the connection");
    }

    #[tokio::test]
    async fn who_calls_without_end_is_refused_and_others_are_served_between() {
        let mut hall = hall().await;
        let flood: Vec<u8> = (1..=60).flat_map(|serial| call(":1.1", serial, 10)).collect();
        hall.say(&flood);
        hall.say(&call(":1.2", 7, 10));
        let mut served = Vec::new();
        while let Ok(next) = tokio::time::timeout(std::time::Duration::from_millis(500), hall.next()).await {
            hall.door.lines().finish(&next.0, next.1);
            served.push(next);
        }
        let place = served.iter().position(|(sender, _)| sender == ":1.2").unwrap();
        assert!(place <= 2, "{served:?}");
        let mut refused = 0;
        while hall.refusals.try_recv().is_ok() {
            refused += 1;
        }
        assert_eq!(served.len() + refused, 61, "every call is answered");
        assert!(refused > 40, "{refused}");
    }
}
