//! Ten clients at once, each with a bad habit of its own.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{MemfdFlags, Mode, OFlags};

use super::message::{Body, RawCall};
use super::{Line, Seed};
use crate::User;

/// What the ten do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Any method on any object with any arguments.
    Fuzz,
    /// The same, and no answer is awaited.
    Silent,
    /// Calls without end whose answers are never read.
    Deaf,
    /// Calls without end, a hundred awaited at a time.
    Flood,
    /// Arguments as large as the bus lets through.
    Huge,
    /// Descriptors of every kind in every place.
    Descriptors,
    /// Connects, calls once, leaves.
    Fleeting,
    /// Signals that claim to be the bus's.
    Forged,
    /// Headers as the specification does not have them.
    Malformed,
    /// Lists and states, whose answers are long.
    Reader,
}

impl Habit {
    /// All ten.
    pub const ALL: [Self; 10] = [
        Self::Fuzz,
        Self::Silent,
        Self::Deaf,
        Self::Flood,
        Self::Huge,
        Self::Descriptors,
        Self::Fleeting,
        Self::Forged,
        Self::Malformed,
        Self::Reader,
    ];
}

/// Running clients; they end with this value.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    counts: Vec<(Habit, Arc<AtomicU64>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a client a habit. `objects` are paths that it may know.
    pub fn start(bus: &str, user: User, habits: &[Habit], objects: &[String], seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut counts = Vec::new();
        let mut threads = Vec::new();
        for (number, habit) in (0_u64..).zip(habits) {
            let count = Arc::new(AtomicU64::new(0));
            counts.push((*habit, Arc::clone(&count)));
            let mut client = Client {
                habit: *habit,
                bus: bus.to_owned(),
                user,
                objects: objects.to_vec(),
                seed: Seed(seed.wrapping_add(number)),
                sent: count,
            };
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    // The bus may throw such a client out; it comes back.
                    drop(client.misbehave(&stop));
                }
            }));
        }
        Self {
            stop,
            counts,
            threads,
        }
    }

    /// Calls that each has sent.
    pub fn sent(&self) -> Vec<(Habit, u64)> {
        let sent = self.counts.iter();
        sent.map(|(habit, count)| (*habit, count.load(Ordering::Relaxed)))
            .collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

struct Client {
    habit: Habit,
    bus: String,
    user: User,
    objects: Vec<String>,
    seed: Seed,
    sent: Arc<AtomicU64>,
}

/// Calls that wait for their answers at a time; the bus allows 128.
const AWAITED: usize = 100;
/// Just below what the bus lets through.
const HUGE_BYTES: usize = 31 << 20;

impl Client {
    fn misbehave(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut line = Line::connect(&self.bus, self.user)?;
        let on = || !stop.load(Ordering::Relaxed);
        match self.habit {
            Habit::Fuzz => {
                while on() {
                    let calls: Vec<_> = (0..20).map(|_| self.any_call()).collect();
                    let last = self.send(&mut line, &calls)?;
                    line.answer_to(last)?;
                }
            }
            Habit::Silent => {
                while on() {
                    let call = RawCall {
                        silent: true,
                        ..self.any_call()
                    };
                    let calls = vec![call; 30];
                    self.send(&mut line, &calls)?;
                    // The bus's own word paces it: what it sends is not to fill the bus alone.
                    let word = line.send(&bus_call(), &[])?;
                    line.answer_to(word)?;
                }
            }
            Habit::Deaf => {
                for _round in 0..1000 {
                    if !on() {
                        break;
                    }
                    let calls = vec![station("ListPlugins"); 10];
                    self.send(&mut line, &calls)?;
                }
            }
            Habit::Flood => {
                while on() {
                    let calls = vec![station("Outbox"); AWAITED];
                    let last = self.send(&mut line, &calls)?;
                    line.answer_to(last)?;
                }
            }
            Habit::Huge => {
                while on() {
                    let mut body = Body::default();
                    body.text("agent.dupont");
                    let len = HUGE_BYTES >> self.seed.below(8);
                    body.array(8, |body| {
                        body.text("token");
                        body.variant("ay", |body| {
                            body.array(1, |body| body.bytes.resize(body.bytes.len() + len, 1));
                        });
                    });
                    let call = RawCall {
                        signature: "sa{sv}".to_owned(),
                        body: body.bytes,
                        ..station("OpenAgentSession")
                    };
                    let last = self.send(&mut line, &[call])?;
                    line.answer_to(last)?;
                }
            }
            Habit::Descriptors => {
                while on() {
                    for fd in descriptors()? {
                        self.pass(&mut line, fd)?;
                    }
                }
            }
            Habit::Fleeting => {
                let call = self.any_call();
                self.send(&mut line, &[call])?;
            }
            Habit::Forged => {
                while on() {
                    let mut body = Body::default();
                    let victim = format!(":1.{}", self.seed.below(40));
                    for text in [victim.as_str(), victim.as_str(), ""] {
                        body.text(text);
                    }
                    let signal = RawCall {
                        path: "/org/freedesktop/DBus".to_owned(),
                        interface: Some("org.freedesktop.DBus".to_owned()),
                        member: "NameOwnerChanged".to_owned(),
                        destination: NAME.to_owned(),
                        signature: "sss".to_owned(),
                        body: body.bytes,
                        signal: true,
                        ..RawCall::default()
                    };
                    self.send(&mut line, &vec![signal; 20])?;
                    let word = line.send(&bus_call(), &[])?;
                    line.answer_to(word)?;
                }
            }
            Habit::Malformed => {
                while on() {
                    let mut call = self.any_call();
                    match self.seed.below(4) {
                        0 => call.unknown_field = true,
                        1 => call.interface = None,
                        2 => call.path = format!("/{}", "a".repeat(1 + self.seed.below(100_000))),
                        _ => {
                            "u".clone_into(&mut call.signature);
                            call.body = vec![0; 4];
                        }
                    }
                    self.send(&mut line, &[call])?;
                    let word = line.send(&bus_call(), &[])?;
                    line.answer_to(word)?;
                }
            }
            Habit::Reader => {
                while on() {
                    let calls = vec![station("Status"), introspection(), station("ListDrafts")];
                    let last = self.send(&mut line, &calls)?;
                    line.answer_to(last)?;
                }
            }
        }
        Ok(())
    }

    fn send(&self, line: &mut Line, calls: &[RawCall]) -> anyhow::Result<u32> {
        let last = line.send_all(calls)?;
        self.sent
            .fetch_add(u64::try_from(calls.len()).unwrap_or_default(), Ordering::Relaxed);
        Ok(last)
    }

    /// A descriptor as an argument of a method, and in a variant where options are taken.
    fn pass(&mut self, line: &mut Line, fd: OwnedFd) -> anyhow::Result<()> {
        let mut options = Body::default();
        options.text("agent.dupont");
        options.array(8, |body| {
            body.text("token");
            body.variant("h", |body| body.number(0));
        });
        let mut plain = Body::default();
        plain.number(0);
        let (signature, body, member) = if self.seed.below(2) == 0 {
            ("sa{sv}", options.bytes, "OpenAgentSession")
        } else {
            ("h", plain.bytes, "Adopt")
        };
        let call = RawCall {
            signature: signature.to_owned(),
            body,
            fds: 1,
            ..station(member)
        };
        let serial = line.send(&call, &[fd])?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        line.answer_to(serial)?;
        Ok(())
    }

    fn any_call(&mut self) -> RawCall {
        let (interface, member, signature) = METHODS[self.seed.below(METHODS.len())];
        let path = match self.seed.below(4) {
            0 => "/".to_owned(),
            1 => "/fr/recueil/dossier/0000".to_owned(),
            _ if self.objects.is_empty() => ROOT.to_owned(),
            _ => self.objects[self.seed.below(self.objects.len())].clone(),
        };
        let mut body = Body::default();
        body.random(signature, &mut self.seed);
        RawCall {
            path,
            interface: Some(interface.to_owned()),
            member: member.to_owned(),
            destination: NAME.to_owned(),
            signature: signature.to_owned(),
            body: body.bytes,
            ..RawCall::default()
        }
    }
}

const NAME: &str = recueil_bus::NAME;
const ROOT: &str = recueil_bus::ROOT;
const STATION: &str = "fr.recueil.Station1";
const DEVICE: &str = "fr.recueil.Device1";
const DOSSIER: &str = "fr.recueil.Dossier1";
const CAPTURE: &str = "fr.recueil.Capture1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Interfaces, methods, and the types of their arguments.
const METHODS: [(&str, &str, &str); 32] = [
    (STATION, "OpenAgentSession", "sa{sv}"),
    (STATION, "OpenDossier", "ssa{sv}"),
    (STATION, "Adopt", "s"),
    (STATION, "ListDrafts", ""),
    (STATION, "ListDossiers", "a{sv}su"),
    (STATION, "Status", ""),
    (STATION, "Outbox", ""),
    (STATION, "ListPlugins", ""),
    (STATION, "NoSuchMethod", "s"),
    (DEVICE, "Lease", "a{sv}"),
    (DEVICE, "Release", ""),
    (DOSSIER, "Steps", ""),
    (DOSSIER, "Missing", ""),
    (DOSSIER, "SetField", "ss"),
    (DOSSIER, "FetchPreDemande", "s"),
    (DOSSIER, "OpenItem", "s"),
    (DOSSIER, "RemoveItem", "s"),
    (DOSSIER, "StartCapture", "ssa{sv}"),
    (DOSSIER, "ReplaceItem", "ssa{sv}"),
    (DOSSIER, "DeclareMissingFinger", "ys"),
    (DOSSIER, "RecordDecision", "sss"),
    (DOSSIER, "ChangeProcedure", "s"),
    (DOSSIER, "Transfer", "s"),
    (DOSSIER, "Seal", ""),
    (DOSSIER, "Cancel", ""),
    (DOSSIER, "Recepisse", "s"),
    (CAPTURE, "Command", "s"),
    (CAPTURE, "Preview", ""),
    (CAPTURE, "Results", ""),
    (PROPERTIES, "Get", "ss"),
    (PROPERTIES, "GetAll", "s"),
    ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects", ""),
];

fn station(member: &str) -> RawCall {
    RawCall {
        path: ROOT.to_owned(),
        interface: Some(STATION.to_owned()),
        member: member.to_owned(),
        destination: NAME.to_owned(),
        ..RawCall::default()
    }
}

fn introspection() -> RawCall {
    RawCall {
        interface: Some("org.freedesktop.DBus.Introspectable".to_owned()),
        ..station("Introspect")
    }
}

/// Answered by the bus itself.
fn bus_call() -> RawCall {
    let bus = "org.freedesktop.DBus";
    RawCall {
        path: "/org/freedesktop/DBus".to_owned(),
        interface: Some(bus.to_owned()),
        member: "GetId".to_owned(),
        destination: bus.to_owned(),
        ..RawCall::default()
    }
}

/// One of every kind that a process can have.
fn descriptors() -> anyhow::Result<Vec<OwnedFd>> {
    let open = |path: &str, flags: OFlags| rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty());
    let (pipe_end, pipe) = rustix::pipe::pipe()?;
    let (socket, other) = std::os::unix::net::UnixStream::pair()?;
    let unsealed = rustix::fs::memfd_create("unsealed", MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&unsealed, 1 << 30)?;
    Ok(vec![
        pipe_end,
        pipe,
        socket.into(),
        other.into(),
        unsealed,
        open("/", OFlags::DIRECTORY)?,
        open("/", OFlags::PATH)?,
        open("/dev/zero", OFlags::RDWR)?,
        open("/dev/full", OFlags::RDWR)?,
        open("/proc/self/mem", OFlags::RDONLY)?,
        rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)?,
        rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?,
        rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())?,
        std::net::UdpSocket::bind("127.0.0.1:0")?.into(),
    ])
}
