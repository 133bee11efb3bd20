//! The real program between a `recueild` and a device host that are played here.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use recueil_dossier::{
    Bounds, FingerPosition, FingerSegment, FingerprintMeta, FrameInfo, FrameKind, PixelFormat, sha256_hex,
};
use recueil_wire::analyser::{Assessment, FromAnalyser, Pick, Task, ToAnalyser};
use recueil_wire::devices::{Capabilities, Modality};
use recueil_wire::frames::{FromHost, ToHost};
use recueil_wire::{Received, Socket, command_with_socket, sealed_memory, socket_pair};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::sockopt::{Timeout, set_socket_send_buffer_size, set_socket_timeout};

pub(crate) const PROFILE: &str = include_str!("../../../../config/profiles/cni.toml");
/// Slaps of four boxes of 300×400 px.
pub(crate) const WIDTH: u32 = 1600;
pub(crate) const HEIGHT: u32 = 600;
pub(crate) const RESULT_CAPACITY: u64 = 4 << 20;
/// How long anything may take on a loaded machine; nothing waits for it unless it is broken.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Station {
    recueild: Socket,
    host: Option<Socket>,
    pub(crate) buffers: Vec<Buffer>,
    child: Child,
    pidfd: OwnedFd,
}

pub(crate) struct Buffer {
    pub(crate) index: u32,
    pub(crate) kind: FrameKind,
    pub(crate) memory: OwnedFd,
    pub(crate) capacity: u64,
    ours: bool,
}

/// A program that said hello.
pub(crate) fn hello() -> Station {
    let (ours, theirs) = socket_pair().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_recueil-analyser"));
    let child = command_with_socket(program, theirs).spawn().unwrap();
    let recueild = patient(ours);
    let Received { message, mut fds } = recueild.recv::<FromAnalyser>().unwrap();
    assert!(matches!(message, FromAnalyser::Hello { version } if version.starts_with("recueil-analyser ")));
    let pidfd = fds.pop().unwrap();
    Station {
        recueild,
        host: None,
        buffers: Vec::new(),
        child,
        pidfd,
    }
}

/// A session that has begun; the device makes previews.
pub(crate) fn begin(task: Task) -> Station {
    let mut station = hello();
    station.begin(task, &sha256_hex(PROFILE.as_bytes()));
    while station.buffers.len() < 4 {
        station.take_memory();
    }
    station
}

impl Station {
    pub(crate) fn begin(&mut self, task: Task, profile_sha256: &str) {
        let (host, frame_socket) = socket_pair().unwrap();
        let profile = sealed_memory("profile", PROFILE.as_bytes()).unwrap();
        let begin = ToAnalyser::Begin {
            task,
            capabilities: capabilities(),
            profile_len: u64::try_from(PROFILE.len()).unwrap(),
            profile_sha256: profile_sha256.to_owned(),
            result_capacity: RESULT_CAPACITY,
        };
        self.recueild
            .send(&begin, &[frame_socket.as_fd(), profile.as_fd()])
            .unwrap();
        self.host = Some(patient(host));
    }

    pub(crate) fn tell(&self, message: &ToAnalyser) {
        self.recueild.send(message, &[]).unwrap();
    }

    pub(crate) fn hear(&self) -> Received<FromAnalyser> {
        self.recueild.recv().unwrap()
    }

    /// Begins a try for which memory is there.
    pub(crate) fn expect(&self, req: u64, position: Option<FingerPosition>, missing: &[u8]) {
        let missing: BTreeSet<_> = missing.iter().map(|code| finger(*code)).collect();
        self.tell(&ToAnalyser::Expect {
            req,
            position,
            missing,
        });
        let started = self.hear().message;
        assert!(
            matches!(started, FromAnalyser::Start { req: started } if started == req),
            "{started:?}"
        );
    }

    /// The try's assessment; guidance on the way is passed over.
    pub(crate) fn finish(&self, req: u64, results: u32) -> Assessment {
        self.tell(&ToAnalyser::Finished { req, results });
        loop {
            match self.hear().message {
                FromAnalyser::Guide { .. } => {}
                FromAnalyser::Assessed {
                    req: assessed,
                    assessment,
                } if assessed == req => return assessment,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) fn keep(&self, picks: &[Pick]) -> Vec<Received<FromAnalyser>> {
        self.tell(&ToAnalyser::Keep {
            picks: picks.to_vec(),
        });
        picks.iter().map(|_pick| self.hear()).collect()
    }

    pub(crate) fn attach_preview(&self) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        // Smaller than a preview, so that one is on its way until the client reads it.
        set_socket_send_buffer_size(&theirs, 4096).unwrap();
        self.recueild
            .send(&ToAnalyser::AttachPreview, &[theirs.as_fd()])
            .unwrap();
        ours
    }

    /// Fills lent memory and sends it, once there is some.
    pub(crate) fn submit(&mut self, req: u64, info: &FrameInfo, pixels: &[u8]) -> u32 {
        let index = loop {
            if let Some(buffer) = self
                .buffers
                .iter_mut()
                .find(|buffer| buffer.ours && buffer.kind == info.kind)
            {
                write(&buffer.memory, pixels);
                buffer.ours = false;
                break buffer.index;
            }
            self.take_memory();
        };
        self.say(&FromHost::Frame {
            req,
            index,
            info: info.clone(),
        });
        index
    }

    pub(crate) fn say(&self, message: &FromHost) {
        self.host.as_ref().unwrap().send(message, &[]).unwrap();
    }

    /// Waits for memory, new or released.
    pub(crate) fn take_memory(&mut self) {
        let Received { message, mut fds } = self.host.as_ref().unwrap().recv::<ToHost>().unwrap();
        match message {
            ToHost::Buffer {
                index,
                kind,
                capacity,
            } => {
                let memory = fds.pop().unwrap();
                self.buffers.push(Buffer {
                    index,
                    kind,
                    memory,
                    capacity,
                    ours: true,
                });
            }
            ToHost::Release { index } => self.buffers[usize::try_from(index).unwrap()].ours = true,
        }
    }

    /// Waits until this memory is lent again.
    pub(crate) fn take_back(&mut self, index: u32) -> &Buffer {
        let place = usize::try_from(index).unwrap();
        while !self.buffers[place].ours {
            self.take_memory();
        }
        &self.buffers[place]
    }

    pub(crate) fn host_goes(&mut self) {
        self.host = None;
    }

    pub(crate) fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap()
    }

    /// What it says when it cannot go on, and that it does not.
    pub(crate) fn failure(mut self) -> String {
        let text = loop {
            match self.hear().message {
                FromAnalyser::Failed { text } => break text,
                FromAnalyser::Guide { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert!(!self.wait().success());
        text
    }

    /// Closes the control socket, and waits for the end.
    pub(crate) fn hang_up(mut self) -> (ExitStatus, Vec<Buffer>) {
        let (unused, _peer) = socket_pair().unwrap();
        drop(std::mem::replace(&mut self.recueild, Socket::new(unused)));
        (self.wait(), std::mem::take(&mut self.buffers))
    }

    /// Waits for the end, by the pidfd that the program gave.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let limit = Timespec::try_from(PATIENCE).unwrap();
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        assert_eq!(
            rustix::event::poll(&mut fds, Some(&limit)),
            Ok(1),
            "the program goes on"
        );
        self.child.wait().unwrap()
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        // A failed test leaves nothing running; one that passed has nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn finger(code: u8) -> FingerPosition {
    FingerPosition::try_from(code).unwrap()
}

/// A slap whose boxes hold stripes as wide as ridges, and its description.
pub(crate) fn slap(codes: &[u8]) -> (FrameInfo, Vec<u8>) {
    let mut pixels = vec![255; usize::try_from(WIDTH * HEIGHT).unwrap()];
    let mut segments = Vec::new();
    for (place, code) in (0_u32..).zip(codes) {
        let (left, top) = (50 + place * 380, 100);
        for y in top..top + 400 {
            for x in left..left + 300 {
                // Shifted by position, so that no two fingers are the same picture.
                let dark = (x + y + u32::from(*code)) % 10 < 5;
                pixels[usize::try_from(y * WIDTH + x).unwrap()] = if dark { 40 } else { 200 };
            }
        }
        segments.push(FingerSegment {
            position: Some(finger(*code)),
            bounds: Bounds {
                x: left.try_into().unwrap(),
                y: 100,
                width: 300,
                height: 400,
            },
            angle_milli_deg: 0,
            quality: Some(70 + code),
        });
    }
    let fingerprint = Some(FingerprintMeta {
        segments,
        ..FingerprintMeta::default()
    });
    let info = FrameInfo {
        fingerprint,
        ..frame_info(FrameKind::Result, PixelFormat::Gray8, WIDTH, HEIGHT, 500)
    };
    (info, pixels)
}

pub(crate) fn frame_info(
    kind: FrameKind,
    format: PixelFormat,
    width: u32,
    height: u32,
    ppi: u32,
) -> FrameInfo {
    let stride = width * format.bytes_per_pixel().unwrap();
    FrameInfo {
        kind,
        format,
        width,
        height,
        stride,
        used: u64::from(stride) * u64::from(height),
        ppi_x_milli: ppi * 1000,
        ppi_y_milli: ppi * 1000,
        sequence: 0,
        page: 0,
        time_ns: 1,
        fingerprint: None,
    }
}

pub(crate) fn as_preview(mut info: FrameInfo, sequence: u32) -> FrameInfo {
    info.kind = FrameKind::Preview;
    info.sequence = sequence;
    info
}

pub(crate) fn write(memory: &OwnedFd, bytes: &[u8]) {
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(memory, &bytes[done..], u64::try_from(done).unwrap()).unwrap();
    }
}

fn capabilities() -> Capabilities {
    Capabilities {
        modalities: vec![Modality::Fingerprint],
        width_max: WIDTH,
        height_max: HEIGHT,
        ppi_milli: 500_000,
        formats: vec![PixelFormat::Gray8],
        preview: true,
        capture_timeout_ms: 10_000,
    }
}

fn patient(fd: OwnedFd) -> Socket {
    set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE)).unwrap();
    Socket::new(fd)
}
