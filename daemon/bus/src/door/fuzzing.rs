//! What the door makes of bytes from the bus, for `tests/fuzz` alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::net::UnixStream;
use zbus::connection::socket::ReadHalf;
use zbus::message::{Flags, Type};

use super::head::{Extent, Head, Kind, ask_for_reply};
use super::lines::Next;
use super::read::{Reader, Whole};
use super::{CallLimits, Door, Errands};

/// A head as the door or zbus reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRead {
    /// `call`, `answer` or `signal`.
    pub kind: &'static str,
    /// No reply is awaited.
    pub silent: bool,
    /// Of the message.
    pub serial: u32,
    /// Who sent it.
    pub sender: String,
    /// Descriptors that came with it.
    pub fds: u32,
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "call",
        Kind::Answer => "answer",
        Kind::Signal => "signal",
        Kind::Other => "other",
    }
}

/// How long the header and the whole message are, by the door's own reading.
pub fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    Extent::read(bytes).map(|extent| (extent.head, extent.total))
}

/// A message's head by the door's own reading.
pub fn head(bytes: &[u8]) -> Option<HeadRead> {
    let Head {
        kind,
        silent,
        serial,
        sender,
        fds,
    } = Head::read(bytes)?;
    Some(HeadRead {
        kind: name(kind),
        silent,
        serial,
        sender,
        fds,
    })
}

/// A whole message's head by zbus's reading, where it names its sender.
pub fn head_by_zbus(bytes: &[u8]) -> Option<HeadRead> {
    let (mut bytes, mut fds) = (bytes.to_vec(), Vec::new());
    let mut whole = Whole;
    let message = whole.receive_message(0, &mut bytes, &mut fds);
    let message = message.now_or_never()?.ok()?;
    let header = message.header();
    let primary = header.primary();
    Some(HeadRead {
        kind: name(match header.message_type() {
            Type::MethodCall => Kind::Call,
            Type::MethodReturn | Type::Error => Kind::Answer,
            Type::Signal => Kind::Signal,
        }),
        silent: primary.flags().contains(Flags::NO_REPLY_EXPECTED),
        serial: primary.serial_num().get(),
        sender: header.sender()?.to_string(),
        fds: header.unix_fds().unwrap_or(0),
    })
}

/// The same message, asking for an answer.
pub fn asking(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    ask_for_reply(&mut bytes);
    bytes
}

/// What passed the door.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Answers and the bus's signals, in their order.
    pub first: Vec<Vec<u8>>,
    /// Calls with their senders, in the order of their turns.
    pub calls: Vec<(String, Vec<u8>)>,
    /// Serials that are refused, and why.
    pub refused: Vec<(u32, String)>,
    /// The connection ended: what came is no D-Bus.
    pub ended: bool,
    /// Most bytes that were kept of what had not come whole.
    pub kept: usize,
}

/// The station's own limits, as far as they matter to one reader.
const LIMITS: CallLimits = CallLimits {
    at_once: 8,
    waiting: 16,
    per_second: 1000,
    questions: 8,
};

/// Has a stream pass, in these pieces; each sender is a user of its own. Nothing comes on the socket itself.
pub fn pass(socket: &Arc<UnixStream>, pieces: &mut dyn Iterator<Item = &[u8]>) -> Passed {
    let (door, errands) = Door::new(LIMITS);
    let Errands {
        mut refusals,
        mut newcomers,
    } = errands;
    let mut reader = Reader::new(Arc::clone(socket), Arc::clone(&door));
    let mut passed = Passed::default();
    for piece in pieces {
        if reader.hear(piece).is_err() {
            passed.ended = true;
            break;
        }
        passed.kept = passed.kept.max(reader.kept());
    }
    passed.first.extend(reader.take_first());
    let mut users = 1000;
    while let Ok(newcomer) = newcomers.try_recv() {
        door.introduce(&newcomer, Some(users));
        users += 1;
    }
    let mut now = Instant::now();
    loop {
        let next = door.lines().next(now);
        match next {
            Next::Call(call) => {
                door.lines().finish(&call.sender, call.serial);
                passed.calls.push((call.sender, call.bytes));
            }
            Next::At(_due) => now += Duration::from_secs(1),
            Next::Nothing => break,
        }
    }
    while let Ok(refusal) = refusals.try_recv() {
        let header = refusal.header();
        let name = header.error_name().map(ToString::to_string);
        let serial = header.reply_serial().map_or(0, std::num::NonZero::get);
        passed.refused.push((serial, name.unwrap_or_default()));
    }
    passed
}
