//! A whole session of the analyser, with a `recueild` that keeps to the protocol or not, and a host that does not.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use recueil_dossier::{FingerPosition, FrameInfo, FrameKind, PixelFormat, sha256_hex};
use recueil_wire::analyser::{FromAnalyser, Pick, Task, ToAnalyser};
use recueil_wire::devices::{Capabilities, Modality};
use recueil_wire::frames::{FromHost, ToHost};
use recueil_wire::{Error, Received, Socket, read_memory, sealed_memory, socket_pair};
use rustix::net::SendFlags;

use crate::bytes::Bytes;

const PROFILE: &str = include_str!("../../../../config/profiles/cni.toml");
/// Memory for a result, bytes.
const RESULT_BYTES: u32 = 64 << 10;
/// Most steps of one story.
const STEPS_MAX: usize = 24;

/// A story: who says what next. It ends when nobody has anything more to say, and so must the analyser.
pub fn analyser(bytes: &[u8]) {
    let mut input = Bytes(bytes);
    let task = match input.byte() % 4 {
        0 => Task::Fingerprints,
        1 => Task::PhotoPrint,
        2 => Task::Pages,
        _ => Task::Signature,
    };
    let (recueild, analyser) = socket_pair().expect("a pair of sockets");
    let (host, frames) = socket_pair().expect("a pair of sockets");
    let session = std::thread::spawn(|| recueil_analyser::run(analyser));
    let mut story = Story {
        recueild: Socket::new(recueild),
        host: host.try_clone().map(Socket::new).expect("a descriptor"),
        raw_host: host,
        lent: Vec::new(),
        clients: Vec::new(),
        over: false,
    };
    story.begin(task, &frames);
    drop(frames);
    let mut steps = 0;
    while !story.over && !input.0.is_empty() && steps < STEPS_MAX {
        story.step(&mut input);
        steps += 1;
    }
    drop(story);
    // Both its sockets are closed, so it ends, well or with an error, but not by a panic.
    let _outcome = session.join().expect("the analyser does not panic");
}

struct Story {
    recueild: Socket,
    host: Socket,
    raw_host: OwnedFd,
    lent: Vec<OwnedFd>,
    clients: Vec<UnixStream>,
    over: bool,
}

impl Story {
    fn begin(&mut self, task: Task, frames: &OwnedFd) {
        assert!(matches!(self.hear(), Some((FromAnalyser::Hello { .. }, fds)) if fds.len() == 1));
        let profile = sealed_memory("profile", PROFILE.as_bytes()).expect("memory");
        let begin = ToAnalyser::Begin {
            task,
            capabilities: Capabilities {
                modalities: vec![Modality::Fingerprint],
                width_max: 64,
                height_max: 64,
                ppi_milli: 500_000,
                formats: vec![PixelFormat::Gray8, PixelFormat::Rgb24, PixelFormat::Jpeg],
                preview: true,
                capture_timeout_ms: 1000,
            },
            profile_len: u64::try_from(PROFILE.len()).expect("small"),
            profile_sha256: sha256_hex(PROFILE.as_bytes()),
            result_capacity: u64::from(RESULT_BYTES),
        };
        self.say(&begin, &[frames.as_fd(), profile.as_fd()]);
        for _buffer in 0..4 {
            match self.host.recv::<ToHost>() {
                Ok(Received {
                    message: ToHost::Buffer { .. },
                    fds,
                }) => self.lent.extend(fds),
                other => panic!("memory is lent first: {other:?}"),
            }
        }
    }

    fn step(&mut self, input: &mut Bytes<'_>) {
        match input.byte() % 10 {
            0 => self.say_raw(input),
            1 | 2 => {
                let code = [13, 14, 2, 0].get(usize::from(input.byte() % 4)).copied();
                let expect = ToAnalyser::Expect {
                    req: u64::from(input.byte()),
                    position: code.and_then(|code| FingerPosition::try_from(code).ok()),
                    missing: BTreeSet::new(),
                };
                self.say(&expect, &[]);
                self.await_answer(1);
            }
            3 => {
                let finished = ToAnalyser::Finished {
                    req: u64::from(input.byte()),
                    results: u32::from(input.byte() % 3),
                };
                self.say(&finished, &[]);
                self.await_answer(1);
            }
            4 => {
                let pick = |input: &mut Bytes<'_>| Pick {
                    req: u64::from(input.byte()),
                    position: FingerPosition::try_from(input.byte() % 12).ok(),
                    result: u32::from(input.byte() % 3),
                };
                let picks: Vec<_> = (0..=input.byte() % 3).map(|_index| pick(input)).collect();
                let count = picks.len();
                self.say(&ToAnalyser::Keep { picks }, &[]);
                self.await_answer(count);
            }
            5 => {
                let (client, given) = UnixStream::pair().expect("a pair of sockets");
                self.say(&ToAnalyser::AttachPreview, &[given.as_fd()]);
                if input.once_in(2) {
                    self.clients.push(client);
                }
            }
            6 | 7 => self.frame(input),
            8 => {
                let unused = FromHost::Unused {
                    index: u32::from(input.byte() % 6),
                };
                // A host that is not listened to any more has nobody to tell.
                let _gone = self.host.send(&unused, &[]);
            }
            _ => {
                let part = input.part();
                if !part.is_empty() {
                    let _gone =
                        rustix::net::send(&self.raw_host, part, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
                }
            }
        }
        while let Ok(Some(_released)) = self.host.try_recv::<ToHost>() {}
    }

    /// A frame in memory that may not be lent, said to be what it may not be.
    fn frame(&self, input: &mut Bytes<'_>) {
        let index = input.byte() % 5;
        let (width, height) = (1 + input.up_to(80), 1 + input.up_to(80));
        let format = match input.byte() % 4 {
            0 | 1 => PixelFormat::Gray8,
            2 => PixelFormat::Rgb24,
            _ => PixelFormat::Jpeg,
        };
        let depth = format.bytes_per_pixel().unwrap_or(1);
        let info = FrameInfo {
            kind: if index == 0 {
                FrameKind::Result
            } else {
                FrameKind::Preview
            },
            format,
            width,
            height,
            stride: if format == PixelFormat::Jpeg {
                0
            } else {
                width * depth
            },
            used: u64::from(width * depth * height) + u64::from(input.once_in(16)),
            ppi_x_milli: 500_000,
            ppi_y_milli: 500_000,
            sequence: u32::from(input.byte()),
            page: 1,
            time_ns: 1,
            fingerprint: None,
        };
        if let Some(memory) = self.lent.get(usize::from(index)) {
            let pixels = input.part();
            let _sealed = rustix::io::pwrite(memory, pixels, 0);
        }
        let frame = FromHost::Frame {
            req: u64::from(input.byte()),
            index: u32::from(index),
            info,
        };
        let _gone = self.host.send(&frame, &[]);
    }

    fn say(&mut self, message: &ToAnalyser, fds: &[std::os::fd::BorrowedFd<'_>]) {
        if self.recueild.send(message, fds).is_err() {
            self.over = true;
        }
    }

    fn say_raw(&mut self, input: &mut Bytes<'_>) {
        let part = input.part();
        if !part.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let _gone = rustix::net::send(self.recueild.as_fd(), part, flags);
        }
    }

    /// Waits for so many answers, or for the end. Guidance comes between.
    fn await_answer(&mut self, count: usize) {
        let mut answers = 0;
        while answers < count {
            match self.hear() {
                None => return,
                Some((FromAnalyser::Guide { .. }, _)) => {}
                Some((FromAnalyser::Kept { len, sha256, .. }, fds)) => {
                    super::reach("analyser-session");
                    let memory = fds.first().expect("a record is memory");
                    let record = read_memory(memory, len, 1 << 20).expect("as long as was said");
                    assert_eq!(sha256_hex(&record), sha256);
                    answers += 1;
                }
                Some(_) => answers += 1,
            }
        }
    }

    fn hear(&mut self) -> Option<(FromAnalyser, Vec<OwnedFd>)> {
        match self.recueild.recv::<FromAnalyser>() {
            Ok(Received {
                message: FromAnalyser::Failed { text },
                ..
            }) => {
                assert!(text.len() <= 400, "{text}");
                self.over = true;
                None
            }
            Ok(received) => Some((received.message, received.fds)),
            Err(Error::Closed) => {
                self.over = true;
                None
            }
            Err(other) => panic!("what the analyser says is understood: {other}"),
        }
    }
}
