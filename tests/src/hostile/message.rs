//! D-Bus messages written by hand, so that they can be as no library writes them.

use super::Seed;

/// A call, or what passes for one.
#[derive(Debug, Clone, Default)]
pub struct RawCall {
    /// Object.
    pub path: String,
    /// May be left out.
    pub interface: Option<String>,
    /// Method.
    pub member: String,
    /// Bus name, none for the bus's own peer.
    pub destination: String,
    /// Types of the body.
    pub signature: String,
    /// Arguments, see [`Body`].
    pub body: Vec<u8>,
    /// How many descriptors go with it.
    pub fds: u32,
    /// No answer is awaited.
    pub silent: bool,
    /// A signal in place of a call.
    pub signal: bool,
    /// A header field that the specification does not have.
    pub unknown_field: bool,
}

const CALL: u8 = 1;
const SIGNAL: u8 = 4;

impl RawCall {
    /// The message.
    pub fn encode(&self, serial: u32) -> Vec<u8> {
        let mut fields = Body::default();
        if self.unknown_field {
            fields.field(200, "s", |body| body.text("?"));
        }
        fields.field(1, "o", |body| body.text(&self.path));
        if let Some(interface) = &self.interface {
            fields.field(2, "s", |body| body.text(interface));
        }
        fields.field(3, "s", |body| body.text(&self.member));
        if !self.destination.is_empty() {
            fields.field(6, "s", |body| body.text(&self.destination));
        }
        if !self.signature.is_empty() {
            fields.field(8, "g", |body| body.signature(&self.signature));
        }
        if self.fds > 0 {
            fields.field(9, "u", |body| body.number(self.fds));
        }
        let mut message = Body::default();
        let kind = if self.signal { SIGNAL } else { CALL };
        message.bytes.extend([b'l', kind, u8::from(self.silent), 1]);
        message.number(len(&self.body));
        message.number(serial);
        message.number(len(&fields.bytes));
        message.bytes.extend(fields.bytes);
        message.align(8);
        message.bytes.extend_from_slice(&self.body);
        message.bytes
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Arguments, marshalled in little-endian order.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// As they go over the line.
    pub bytes: Vec<u8>,
}

impl Body {
    /// Zeros up to a multiple.
    pub fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    /// `y`.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// `u`, `i`, `b`, `h`.
    pub fn number(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    /// `t`, `x`, `d`.
    pub fn long(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    /// `s`, `o`.
    pub fn text(&mut self, text: &str) {
        self.number(len(text.as_bytes()));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    /// `g`.
    pub fn signature(&mut self, text: &str) {
        self.byte(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }

    /// `a` of what `fill` writes.
    pub fn array(&mut self, align: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.bytes.len() - 4;
        self.align(align);
        let start = self.bytes.len();
        fill(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `v`.
    pub fn variant(&mut self, signature: &str, fill: impl FnOnce(&mut Self)) {
        self.signature(signature);
        fill(self);
    }

    fn field(&mut self, code: u8, signature: &str, fill: impl FnOnce(&mut Self)) {
        self.align(8);
        self.byte(code);
        self.variant(signature, fill);
    }

    /// Random arguments of the types of a method of ours: `s`, `y`, `u` and `a{sv}`.
    pub fn random(&mut self, signature: &str, seed: &mut Seed) {
        let mut rest = signature;
        while let Some(kind) = rest.chars().next() {
            let taken = match kind {
                's' => {
                    self.text(&text(seed));
                    1
                }
                'y' => {
                    self.byte(u8::try_from(seed.below(256)).unwrap_or_default());
                    1
                }
                'u' => {
                    self.number(u32::try_from(seed.draw() >> 32).unwrap_or_default());
                    1
                }
                _ => {
                    self.options(seed);
                    "a{sv}".len()
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    fn options(&mut self, seed: &mut Seed) {
        let count = [0, 1, 2, 5, 300][seed.below(5)];
        self.array(8, |body| {
            for number in 0..count {
                body.align(8);
                match seed.below(3) {
                    0 => body.text(OPTIONS[seed.below(OPTIONS.len())]),
                    1 => body.text(&format!("option-{number}")),
                    _ => body.text(&text(seed)),
                }
                body.random_variant(seed);
            }
        });
    }

    fn random_variant(&mut self, seed: &mut Seed) {
        match seed.below(8) {
            0 => self.variant("b", |body| body.number(1)),
            1 => {
                let value = seed.draw();
                self.variant("t", |body| body.long(value));
            }
            2 => self.variant("ay", |body| body.array(1, |body| body.bytes.extend([0xff; 4000]))),
            // The limit of the specification for variants in variants is 64 levels.
            3 => {
                let depth = seed.below(60);
                for _level in 0..depth {
                    self.signature("v");
                }
                self.variant("y", |body| body.byte(7));
            }
            4 => self.variant("a{sv}", |body| body.array(8, |_empty| {})),
            5 => self.variant("(sa(ddb))", |body| {
                body.align(8);
                body.text("");
                body.array(8, |_empty| {});
            }),
            _ => {
                let text = text(seed);
                self.variant("s", |body| body.text(&text));
            }
        }
    }
}

/// Keys that some method knows.
const OPTIONS: [&str; 6] = ["token", "demande", "steal", "auto-retry", "document", "state"];

/// A text that somebody may type, or nobody.
pub fn text(seed: &mut Seed) -> String {
    const KNOWN: [&str; 12] = [
        "deposit",
        "hand-over",
        "cni-adulte",
        "remise-cni",
        "agent.dupont",
        "empreintes",
        "photo",
        "absent",
        "nom-naissance",
        "0123456789",
        "cancel",
        "../../etc/passwd",
    ];
    match seed.below(6) {
        0 => String::new(),
        1 => "a".repeat(seed.below(300)),
        2 => "é\u{202e}\u{7}%n{}'\";--".repeat(seed.below(20)),
        3 => "x".repeat(4096 + seed.below(20_000)),
        _ => KNOWN[seed.below(KNOWN.len())].to_owned(),
    }
}
