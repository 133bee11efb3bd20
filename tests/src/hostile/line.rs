//! A connection to the bus without a library.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{Uid, geteuid, getuid};
use rustix::thread::set_thread_res_uid;

use super::message::RawCall;
use crate::User;

/// What came back for one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of which call.
    pub serial: u32,
    /// The error's name; none where it is no error.
    pub error: Option<String>,
}

/// The connection.
#[derive(Debug)]
pub struct Line {
    stream: UnixStream,
    serial: u32,
    come: Vec<u8>,
}

/// The bus answers within this time, on a loaded machine too.
const WAIT_MAX: Duration = Duration::from_mins(1);

impl Line {
    /// Connects as another user, where we may: the thread is that user for the moment of connecting.
    pub fn connect(bus: &str, user: User) -> anyhow::Result<Self> {
        let path = bus
            .split(',')
            .next()
            .and_then(|one| one.strip_prefix("unix:path="));
        let path = Path::new(path.context("a bus at a path")?);
        if geteuid().is_root() {
            set_thread_res_uid(None, Uid::from_raw(user.0), None)?;
        }
        let greeted = Self::greet(path);
        set_thread_res_uid(None, getuid(), None)?;
        greeted
    }

    fn greet(path: &Path) -> anyhow::Result<Self> {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(WAIT_MAX))?;
        let uid = geteuid().as_raw().to_string();
        // Digits in hexadecimal: "0" is 30.
        let hex: String = uid.chars().flat_map(|digit| ['3', digit]).collect();
        let mut say = |text: &str, wanted: &str| -> anyhow::Result<()> {
            stream.write_all(text.as_bytes())?;
            let mut answer = [0; 512];
            let read = stream.read(&mut answer)?;
            let answer = String::from_utf8_lossy(answer.get(..read).unwrap_or_default()).into_owned();
            anyhow::ensure!(answer.starts_with(wanted), "the bus answers {answer:?}");
            Ok(())
        };
        say(&format!("\0AUTH EXTERNAL {hex}\r\n"), "OK")?;
        say("NEGOTIATE_UNIX_FD\r\n", "AGREE_UNIX_FD")?;
        stream.write_all(b"BEGIN\r\n")?;
        let mut line = Self {
            stream,
            serial: 0,
            come: Vec::new(),
        };
        let bus = "org.freedesktop.DBus";
        let hello = line.send(
            &RawCall {
                path: "/org/freedesktop/DBus".to_owned(),
                interface: Some(bus.to_owned()),
                member: "Hello".to_owned(),
                destination: bus.to_owned(),
                ..RawCall::default()
            },
            &[],
        )?;
        let answer = line.answer_to(hello)?;
        anyhow::ensure!(answer.error.is_none(), "the bus refuses: {answer:?}");
        Ok(line)
    }

    /// Sends one call whole, waiting for the bus to read; gives its serial.
    pub fn send(&mut self, call: &RawCall, fds: &[OwnedFd]) -> anyhow::Result<u32> {
        self.serial += 1;
        let bytes = call.encode(self.serial);
        self.write(&bytes, fds)?;
        Ok(self.serial)
    }

    /// Sends many calls as one write; gives the serial of the last.
    pub fn send_all(&mut self, calls: &[RawCall]) -> anyhow::Result<u32> {
        let mut bytes = Vec::new();
        for call in calls {
            self.serial += 1;
            bytes.extend(call.encode(self.serial));
        }
        self.write(&bytes, &[])?;
        Ok(self.serial)
    }

    fn write(&mut self, mut bytes: &[u8], fds: &[OwnedFd]) -> anyhow::Result<()> {
        // Descriptors go with the first byte.
        let mut fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
        while !bytes.is_empty() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !fds.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(&fds));
            }
            let sent = rustix::net::sendmsg(
                &self.stream,
                &[IoSlice::new(bytes)],
                &mut control,
                SendFlags::NOSIGNAL,
            )?;
            fds.clear();
            bytes = bytes.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads until a call is answered.
    pub fn answer_to(&mut self, serial: u32) -> anyhow::Result<Answer> {
        let deadline = Instant::now() + WAIT_MAX;
        while Instant::now() < deadline {
            if let Some(answer) = self.answer()?
                && answer.serial == serial
            {
                return Ok(answer);
            }
        }
        bail!("call {serial} is not answered")
    }

    /// Reads the answers that are there, without waiting.
    pub fn answers_there(&mut self) -> anyhow::Result<Vec<Answer>> {
        self.stream.set_nonblocking(true)?;
        let mut answers = Vec::new();
        let outcome = loop {
            match self.answer() {
                Ok(answer) => answers.extend(answer),
                Err(error) => break error,
            }
        };
        self.stream.set_nonblocking(false)?;
        match outcome.downcast_ref::<std::io::Error>() {
            Some(error) if error.kind() == ErrorKind::WouldBlock => Ok(answers),
            _ => Err(outcome),
        }
    }

    /// The next message, if it is an answer.
    pub fn answer(&mut self) -> anyhow::Result<Option<Answer>> {
        self.fill(16)?;
        let number = |bytes: &[u8], at: usize| -> anyhow::Result<usize> {
            let four = bytes.get(at..at + 4).context("a number")?;
            Ok(usize::try_from(u32::from_le_bytes(four.try_into()?))?)
        };
        let head = 16 + number(&self.come, 12)?;
        let total = head.next_multiple_of(8) + number(&self.come, 4)?;
        self.fill(total)?;
        let message: Vec<u8> = self.come.drain(..total).collect();
        let (mut serial, mut error) = (None, None);
        let mut at = 16;
        while at < head {
            at = at.next_multiple_of(8);
            let (code, kind) = (message[at], message[at + 2]);
            at = (at + 4).next_multiple_of(if kind == b'g' { 1 } else { 4 });
            match kind {
                b'u' => {
                    if code == 5 {
                        serial = u32::try_from(number(&message, at)?).ok();
                    }
                    at += 4;
                }
                b'g' => at += usize::from(message[at]) + 2,
                _ => {
                    let len = number(&message, at)?;
                    if code == 4 {
                        let text = message.get(at + 4..at + 4 + len).context("a text")?;
                        error = Some(String::from_utf8_lossy(text).into_owned());
                    }
                    at += 4 + len + 1;
                }
            }
        }
        Ok(serial.map(|serial| Answer { serial, error }))
    }

    fn fill(&mut self, len: usize) -> anyhow::Result<()> {
        let mut chunk = [0; 16 << 10];
        while self.come.len() < len {
            let read = self.stream.read(&mut chunk)?;
            anyhow::ensure!(read > 0, "the bus closed the connection");
            self.come.extend_from_slice(&chunk[..read]);
        }
        Ok(())
    }
}
