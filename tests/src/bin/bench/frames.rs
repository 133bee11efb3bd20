//! A frame of 2.4 MB from a plugin to the analyser, beside the same work in one process.
//!
//! Ours: the plugin in its real, sandboxed host fills memory that we lent as the analyser does; we do what the
//! analyser does with it: copy and wipe ([`LentMemory::take_into`]), lend again. The time runs from the plugin's clock before it fills to ours
//! when the memory is lent again.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use recueil_dossier::{FrameInfo, FrameKind};
use recueil_wire::frames::{FromHost, ToHost};
use recueil_wire::{LentMemory, Socket, socket_pair};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use zeroize::Zeroizing;

use crate::host::{Host, Plugin};
use crate::report::{Goal, Report, Samples, Unit};
use crate::rig::{PATIENCE, Rig, now_ns};

/// Of `tests/rivals/plugin.c`: 1600 x 1500 grey pixels.
pub(crate) const FRAME_BYTES: usize = 2_400_000;
const CAPACITY: u64 = 2_400_000;
const ROUNDS: u64 = 20;
const FRAMES: usize = 25;
/// Of each round, not counted: pages and caches.
const WARMING: usize = 3;
/// The analyser's previews.
const BUFFERS: u32 = 3;

pub(crate) fn run(rig: &mut Rig, report: &mut Report) -> anyhow::Result<()> {
    let users = *rig.users();
    let plugin = Plugin::compile(rig.folders(), &users)?;
    let (mut far_end, device) = UnixStream::pair()?;
    let host = Host::start(&plugin, &users, &device)?;

    let [mut preview, mut kept, mut serial, mut together] = [(); 4].map(|()| Samples::default());
    let [mut arriving, mut taking, mut lending] = [(); 3].map(|()| Samples::default());
    let [mut called, mut called_kept, mut threads] = [(); 3].map(|()| Samples::default());
    let mut in_process = InProcess::new();
    let mut req = 0;
    for _round in 0..ROUNDS {
        let mut analyser = Analyser::attach(&host, FrameKind::Preview, BUFFERS)?;
        req += 1;
        let parts = analyser.one_by_one(&host, &mut far_end, req, Keeping::Nothing)?;
        preview.push_times(parts.iter().map(Parts::whole));
        arriving.push_times(parts.iter().map(|parts| parts.arriving));
        taking.push_times(parts.iter().map(|parts| parts.taking));
        lending.push_times(parts.iter().map(|parts| parts.lending));
        in_process.run(&mut called, Keeping::Nothing);
        between_threads(&mut threads)?;

        let mut analyser = Analyser::attach(&host, FrameKind::Result, 1)?;
        req += 1;
        let parts = analyser.one_by_one(&host, &mut far_end, req, Keeping::All)?;
        kept.push_times(parts.iter().map(Parts::whole));
        in_process.run(&mut called_kept, Keeping::All);

        for (buffers, samples) in [(1, &mut serial), (BUFFERS, &mut together)] {
            let mut analyser = Analyser::attach(&host, FrameKind::Result, buffers)?;
            req += 1;
            samples.push_time(analyser.all_at_once(&host, &mut far_end, req)?);
        }
    }
    let (time, goal) = (Unit::Seconds, Goal::Times(1.3));
    report.compare(
        "2.4 MB, plugin to analyser, copied to the same memory each time / the same work in one process",
        time,
        &preview,
        &called,
        goal,
    );
    for (part, samples) in [
        ("of which the fill, and the message's way", &arriving),
        ("of which the copy and the wipe", &taking),
        ("of which lending again", &lending),
    ] {
        report.alone(part, time, samples, Goal::None);
    }
    report.compare(
        "2.4 MB, the first line / the same work between two threads of one process",
        time,
        &preview,
        &threads,
        Goal::None,
    );
    report.compare(
        "2.4 MB, plugin to analyser, each copy kept in new memory / the same",
        time,
        &kept,
        &called_kept,
        goal,
    );
    report.compare(
        "2.4 MB, a frame's share of 25 without a pause, one buffer / first line's rival",
        time,
        &serial,
        &called,
        goal,
    );
    report.compare(
        "2.4 MB, the same with three buffers / first line's rival",
        time,
        &together,
        &called,
        Goal::None,
    );
    Ok(())
}

/// What happens to the copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// As previews: each takes the place of the one before.
    Nothing,
    /// As results: all are kept to the end.
    All,
}

/// The rival: a call that fills, a copy, a wipe, each of the fastest kind.
pub(crate) struct InProcess {
    picture: Vec<u8>,
    frame: Vec<u8>,
    copy: Vec<u8>,
}

impl InProcess {
    pub(crate) fn new() -> Self {
        Self {
            picture: picture(),
            frame: vec![1; FRAME_BYTES],
            copy: vec![1; FRAME_BYTES],
        }
    }

    /// One round.
    pub(crate) fn run(&mut self, samples: &mut Samples, keeping: Keeping) {
        let mut kept = Vec::new();
        for frame in 0..FRAMES + WARMING {
            let begun = Instant::now();
            fill(&self.picture, &mut self.frame);
            std::hint::black_box(&mut self.frame);
            match keeping {
                Keeping::Nothing => self.copy.copy_from_slice(&self.frame),
                Keeping::All => kept.push(self.frame.clone()),
            }
            std::hint::black_box(&mut self.copy);
            self.frame.fill(0);
            std::hint::black_box(&mut self.frame);
            let time = begun.elapsed();
            if frame >= WARMING {
                samples.push_time(time);
            }
        }
        std::hint::black_box(kept);
    }
}

/// The rival with the plugin's work on a thread of its own, as a driver's is: what the way between two processors
/// costs without any process border. The frame goes to and fro by ownership.
fn between_threads(samples: &mut Samples) -> anyhow::Result<()> {
    let (to_driver, asked) = sync_channel::<Vec<u8>>(1);
    let (to_reader, filled) = sync_channel::<(Instant, Vec<u8>)>(1);
    let driver = std::thread::spawn(move || {
        let picture = picture();
        for mut frame in asked {
            let begun = Instant::now();
            fill(&picture, &mut frame);
            if to_reader.send((begun, frame)).is_err() {
                return;
            }
        }
    });
    let mut copy = vec![1; FRAME_BYTES];
    let mut frame = vec![1; FRAME_BYTES];
    for number in 0..FRAMES + WARMING {
        to_driver.send(frame)?;
        let begun;
        (begun, frame) = filled.recv()?;
        copy.copy_from_slice(&frame);
        std::hint::black_box(&mut copy);
        frame.fill(0);
        std::hint::black_box(&mut frame);
        if number >= WARMING {
            samples.push_time(begun.elapsed());
        }
    }
    drop(to_driver);
    driver
        .join()
        .map_err(|_panic| anyhow::anyhow!("the driver's thread failed"))
}

fn picture() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(FRAME_BYTES).collect()
}

/// What the plugin does. A call, as a plugin's would be.
#[inline(never)]
fn fill(picture: &[u8], frame: &mut [u8]) {
    frame.copy_from_slice(picture);
}

/// Where the time of a frame went.
struct Parts {
    arriving: Duration,
    taking: Duration,
    lending: Duration,
}

impl Parts {
    fn whole(&self) -> Duration {
        self.arriving + self.taking + self.lending
    }
}

/// The analyser's part on the frame socket.
struct Analyser {
    socket: Socket,
    buffers: Vec<LentMemory>,
}

impl Analyser {
    /// Begins a session and lends memory.
    fn attach(host: &Host, kind: FrameKind, buffers: u32) -> anyhow::Result<Self> {
        let (ours, theirs) = socket_pair()?;
        set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
        host.attach_frames(&theirs)?;
        let mut analyser = Self {
            socket: Socket::new(ours),
            buffers: Vec::new(),
        };
        for index in 0..buffers {
            let memory = LentMemory::new("bench", CAPACITY)?;
            let lent = ToHost::Buffer {
                index,
                kind,
                capacity: CAPACITY,
            };
            analyser.socket.send(&lent, &[memory.as_fd()])?;
            analyser.buffers.push(memory);
        }
        Ok(analyser)
    }

    /// Frames asked for one by one: the time of each.
    fn one_by_one(
        &mut self,
        host: &Host,
        device: &mut UnixStream,
        req: u64,
        keeping: Keeping,
    ) -> anyhow::Result<Vec<Parts>> {
        let (mut times, mut kept) = (Vec::new(), Vec::new());
        let mut copy = Zeroizing::default();
        host.capture(req)?;
        for frame in 0..FRAMES + WARMING {
            let asked: &[u8] = if keeping == Keeping::All { b"r" } else { b"p" };
            device.write_all(asked)?;
            let (index, info) = self.frame()?;
            let arriving = Duration::from_nanos(now_ns().saturating_sub(info.time_ns));
            let begun = Instant::now();
            self.buffer(index)?.take_into(&mut copy, info.used)?;
            let taking = begun.elapsed();
            self.lend_again(index)?;
            let lending = begun.elapsed().saturating_sub(taking);
            if frame >= WARMING {
                times.push(Parts {
                    arriving,
                    taking,
                    lending,
                });
            }
            match keeping {
                Keeping::All => kept.push(std::mem::take(&mut copy)),
                Keeping::Nothing => drop(the_plugins_clock(device)?),
            }
        }
        end(host, device)?;
        Ok(times)
    }

    /// Frames without a pause: the time of all, shared out.
    fn all_at_once(&mut self, host: &Host, device: &mut UnixStream, req: u64) -> anyhow::Result<Duration> {
        let mut copy = Zeroizing::default();
        device.write_all(&[b'r'; FRAMES + WARMING])?;
        host.capture(req)?;
        let mut begun = Instant::now();
        for frame in 0..FRAMES + WARMING {
            let (index, info) = self.frame()?;
            self.buffer(index)?.take_into(&mut copy, info.used)?;
            self.lend_again(index)?;
            if frame + 1 == WARMING {
                begun = Instant::now();
            }
        }
        let all = begun.elapsed();
        end(host, device)?;
        Ok(all / u32::try_from(FRAMES)?)
    }

    fn frame(&self) -> anyhow::Result<(u32, FrameInfo)> {
        match self.socket.recv::<FromHost>()?.message {
            FromHost::Frame { index, info, .. } => {
                info.check(CAPACITY).map_err(anyhow::Error::msg)?;
                Ok((index, info))
            }
            unused @ FromHost::Unused { .. } => bail!("{unused:?}"),
        }
    }

    fn buffer(&mut self, index: u32) -> anyhow::Result<&mut LentMemory> {
        let buffer = self.buffers.get_mut(usize::try_from(index)?);
        buffer.context("a buffer that was not lent")
    }

    fn lend_again(&self, index: u32) -> anyhow::Result<()> {
        Ok(self.socket.send(&ToHost::Release { index }, &[])?)
    }
}

/// What the plugin sends after a preview: its clock before it filled the frame.
pub(crate) fn the_plugins_clock(device: &mut UnixStream) -> anyhow::Result<u64> {
    use std::io::Read;
    let mut bytes = [0; 8];
    device.read_exact(&mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

/// Ends the capture.
pub(crate) fn end(host: &Host, device: &mut UnixStream) -> anyhow::Result<()> {
    device.write_all(b"q")?;
    host.captured()
}
