//! The head of a message, read before anything is kept of it. Written for bytes that anybody may have sent: the
//! bus daemon checks the form of messages, and this does not rely on it.

/// Bytes before the fields of the header (D-Bus specification, "Message Format").
pub(super) const FIXED_LEN: usize = 16;
/// Longest header that is looked at, bytes. Ours have 200; the bus allows 64 MiB.
pub(super) const HEAD_MAX_BYTES: usize = 8 << 10;
/// Longest message that the bus specification knows, bytes.
const MESSAGE_MAX_BYTES: usize = 128 << 20;
/// Where the flags are, and the one that says that no reply is awaited.
const FLAGS_AT: usize = 2;
const NO_REPLY_EXPECTED: u8 = 1;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Answer,
    Signal,
    Other,
}

/// Lengths that the first bytes of a message tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Header with its padding.
    pub(super) head: usize,
    /// All of it.
    pub(super) total: usize,
}

/// What the door looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) silent: bool,
    pub(super) serial: u32,
    /// As the bus says.
    pub(super) sender: String,
    /// Descriptors that came with it.
    pub(super) fds: u32,
}

impl Extent {
    /// None where the bytes are no D-Bus message, after which nothing on the line can be understood.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let order = Order::read(bytes)?;
        let body = order.u32_at(bytes, 4)?;
        let fields = order.u32_at(bytes, 12)?;
        let head = FIXED_LEN.checked_add(fields)?.checked_next_multiple_of(8)?;
        let total = head.checked_add(body)?;
        (total <= MESSAGE_MAX_BYTES).then_some(Self { head, total })
    }
}

impl Head {
    /// None where it has no sender or holds what we do not know: the bus names every sender.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let order = Order::read(bytes)?;
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 | 3 => Kind::Answer,
            4 => Kind::Signal,
            _ => Kind::Other,
        };
        let silent = bytes.get(FLAGS_AT)? & NO_REPLY_EXPECTED != 0;
        let serial = u32::try_from(order.u32_at(bytes, 8)?).ok()?;
        let end = FIXED_LEN.checked_add(order.u32_at(bytes, 12)?)?;
        let mut fields = Fields {
            bytes: bytes.get(..end)?,
            at: FIXED_LEN,
            order,
        };
        let (mut sender, mut fds) = (None, 0);
        while fields.at < end {
            match fields.next()? {
                (SENDER, Value::Text(name)) => sender = Some(name),
                (UNIX_FDS, Value::Number(count)) => fds = count,
                _ => {}
            }
        }
        let sender = sender.filter(|name| name.len() <= NAME_MAX_BYTES)?.to_owned();
        Some(Self {
            kind,
            silent,
            serial,
            sender,
            fds,
        })
    }
}

/// Has the message answered whatever its sender said of it; whoever writes answers leaves that one out.
pub(super) fn ask_for_reply(bytes: &mut [u8]) {
    if let Some(flags) = bytes.get_mut(FLAGS_AT) {
        *flags &= !NO_REPLY_EXPECTED;
    }
}

/// Codes of fields.
const SENDER: u8 = 7;
const UNIX_FDS: u8 = 9;
/// Longest name on a bus, bytes.
const NAME_MAX_BYTES: usize = 255;

enum Value<'a> {
    Text(&'a str),
    Number(u32),
}

/// Byte order of a message.
#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? {
            b'l' => Some(Self::Little),
            b'B' => Some(Self::Big),
            _ => None,
        }
    }

    fn u32_at(self, bytes: &[u8], at: usize) -> Option<usize> {
        let four = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        let number = match self {
            Self::Little => u32::from_le_bytes(four),
            Self::Big => u32::from_be_bytes(four),
        };
        usize::try_from(number).ok()
    }
}

struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    order: Order,
}

impl<'a> Fields<'a> {
    /// The next field: a code, and a variant of one of the types that the specification has for fields.
    fn next(&mut self) -> Option<(u8, Value<'a>)> {
        self.align(8)?;
        let code = self.byte()?;
        let signature_len = self.byte()?;
        let kind = self.byte()?;
        if (signature_len, self.byte()?) != (1, 0) {
            return None;
        }
        let value = match kind {
            b's' | b'o' => {
                let len = self.number()?;
                Value::Text(self.text(len)?)
            }
            b'g' => {
                let len = usize::from(self.byte()?);
                Value::Text(self.text(len)?)
            }
            b'u' => Value::Number(u32::try_from(self.number()?).ok()?),
            _ => return None,
        };
        Some((code, value))
    }

    fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(to)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<usize> {
        self.align(4)?;
        let number = self.order.u32_at(self.bytes, self.at)?;
        self.at += 4;
        Some(number)
    }

    fn text(&mut self, len: usize) -> Option<&'a str> {
        let end = self.at.checked_add(len)?;
        let text = std::str::from_utf8(self.bytes.get(self.at..end)?).ok()?;
        // Behind it is a zero.
        self.at = end.checked_add(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use zbus::Message;
    use zbus::message::Flags;

    use super::*;

    fn call() -> Message {
        Message::method_call("/fr/recueil/Station1", "Status")
            .interface("fr.recueil.Station1")
            .sender(":1.42")
            .serial(std::num::NonZeroU32::new(99).unwrap())
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&("text", 7_u32))
            .unwrap()
    }

    #[test]
    fn a_head_is_read_as_zbus_writes_it() {
        let call = call();
        let bytes: &[u8] = call.data();
        let extent = Extent::read(bytes).unwrap();
        assert_eq!(extent.total, bytes.len());
        assert_eq!(bytes[extent.head..].len(), 4 + 5 + 3 + 4);
        let head = Head::read(&bytes[..extent.head]).unwrap();
        let expected = Head {
            kind: Kind::Call,
            silent: true,
            serial: 99,
            sender: ":1.42".to_owned(),
            fds: 0,
        };
        assert_eq!(head, expected);
        let mut bytes = bytes.to_vec();
        ask_for_reply(&mut bytes);
        assert!(!Head::read(&bytes).unwrap().silent);
    }

    #[test]
    fn any_bytes_are_a_head_or_none_and_never_a_panic() {
        let whole: Vec<u8> = call().data().to_vec();
        for cut in 0..whole.len() {
            drop((Extent::read(&whole[..cut]), Head::read(&whole[..cut])));
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                drop((Extent::read(&bytes), Head::read(&bytes)));
            }
        }
        assert_eq!(Extent::read(b"HTTP/1.1 200 OK\r\n"), None);
        let mut huge = whole;
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Extent::read(&huge), None);
    }
}
