//! The conversation with `recueild`, and the wait for whatever comes next.

use std::os::fd::{AsFd, OwnedFd};

use recueil_capture::Profile;
use recueil_dossier::{Frame, FrameKind, PixelFormat, sha256_hex};
use recueil_wire::analyser::{FromAnalyser, Pick, Task, ToAnalyser};
use recueil_wire::devices::Capabilities;
use recueil_wire::frames::BUFFERS_MAX;
use recueil_wire::{Received, Socket, read_memory, sealed_memory};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::Error;
use crate::lent::{Arrived, Lent, Said};
use crate::preview::PreviewStream;
use crate::tries::Tries;

/// Largest profile.
const PROFILE_MAX_BYTES: u64 = 64 << 10;
/// Most messages of the host taken in a row. One that keeps to the contract has each buffer once; another shall
/// not keep `recueild` from being heard.
const MESSAGES_MAX: usize = 2 * BUFFERS_MAX;
/// What items say they were measured by.
const VERSION: &str = concat!("recueil-analyser ", env!("CARGO_PKG_VERSION"));

/// Runs one session to its end. All pixels are wiped when it returns.
///
/// # Errors
/// Why the session could not go on; `recueild` was told, if it is still there. A closed socket is an end like
/// [`ToAnalyser::End`].
pub fn run(socket: OwnedFd) -> Result<(), Error> {
    let recueild = Socket::new(socket);
    let Err(error) = converse(&recueild) else {
        return Ok(());
    };
    if matches!(error, Error::Wire(recueil_wire::Error::Closed)) {
        return Ok(());
    }
    let failed = FromAnalyser::Failed { text: error.text() };
    match recueild.send(&failed, &[]) {
        Ok(()) | Err(recueil_wire::Error::Closed) => Err(error),
        Err(unsent) => Err(Error::Wire(unsent)),
    }
}

fn converse(recueild: &Socket) -> Result<(), Error> {
    let hello = FromAnalyser::Hello {
        version: VERSION.to_owned(),
    };
    let own_pidfd = pidfd_open(getpid(), PidfdFlags::empty())?;
    recueild.send(&hello, &[own_pidfd.as_fd()])?;
    drop(own_pidfd);
    let Received { message, fds } = recueild.recv()?;
    let begin = match message {
        ToAnalyser::Begin {
            task,
            capabilities,
            profile_len,
            profile_sha256,
            result_capacity,
        } => Begin {
            task,
            capabilities,
            profile_len,
            profile_sha256,
            result_capacity,
        },
        ToAnalyser::End => return Ok(()),
        _ => return Err(Error::OutOfOrder("something before the beginning")),
    };
    Session::begin(recueild, begin, fds)?.run()
}

/// The fields of [`ToAnalyser::Begin`].
struct Begin {
    task: Task,
    capabilities: Capabilities,
    profile_len: u64,
    profile_sha256: String,
    result_capacity: u64,
}

/// A session that has begun.
struct Session<'a> {
    recueild: &'a Socket,
    lent: Option<Lent>,
    tries: Tries,
    preview: PreviewStream,
}

enum Next {
    Goes,
    Ends,
}

impl<'a> Session<'a> {
    fn begin(recueild: &'a Socket, begin: Begin, fds: Vec<OwnedFd>) -> Result<Self, Error> {
        let [frame_socket, profile]: [OwnedFd; 2] = fds
            .try_into()
            .map_err(|_others| Error::OutOfOrder("a beginning without its two descriptors"))?;
        let profile = read_memory(profile, begin.profile_len, PROFILE_MAX_BYTES)?;
        if sha256_hex(&profile) != begin.profile_sha256 {
            return Err(Error::OtherProfile);
        }
        let profile = Profile::parse(std::str::from_utf8(&profile).unwrap_or_default())?;
        Ok(Self {
            recueild,
            lent: Some(Lent::new(
                frame_socket,
                &begin.capabilities,
                begin.result_capacity,
            )?),
            tries: Tries::new(begin.task, profile),
            preview: PreviewStream::default(),
        })
    }

    fn run(mut self) -> Result<(), Error> {
        loop {
            let ready = self.wait()?;
            if ready.frames {
                self.take_frames()?;
            }
            if ready.preview {
                self.preview.write();
            }
            if ready.recueild
                && let Some(received) = self.recueild.try_recv()?
                && matches!(self.hear(received)?, Next::Ends)
            {
                return Ok(());
            }
        }
    }

    fn wait(&self) -> Result<Ready, Error> {
        let of = |fd, flags| PollFd::from_borrowed_fd(fd, flags);
        let idle = PollFlags::empty();
        let recueild = of(self.recueild.as_fd(), PollFlags::IN);
        let frames = self.lent.as_ref().map_or_else(
            || of(self.recueild.as_fd(), idle),
            |lent| of(lent.as_fd(), PollFlags::IN),
        );
        let preview = self.preview.wants_to_write().map_or_else(
            || of(self.recueild.as_fd(), idle),
            |client| of(client, PollFlags::OUT),
        );
        let mut all = [recueild, frames, preview];
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut all, None))?;
        let [recueild, frames, preview] = all.map(|fd| !fd.revents().is_empty());
        Ok(Ready {
            recueild,
            frames,
            preview,
        })
    }

    fn hear(&mut self, received: Received<ToAnalyser>) -> Result<Next, Error> {
        match received.message {
            ToAnalyser::Begin { .. } => return Err(Error::OutOfOrder("a second beginning")),
            ToAnalyser::Expect {
                req,
                position,
                missing,
            } => {
                // What a try before left behind is taken away first, so that it is not mistaken for this one's.
                self.take_frames()?;
                if self.lent.is_none() {
                    return Err(Error::HostGone);
                }
                self.tries.begin(req, position, missing)?;
                self.recueild.send(&FromAnalyser::Start { req }, &[])?;
            }
            ToAnalyser::Finished { req, results } => {
                // The host sent its frames before it said that the try is over, so all have arrived.
                self.take_frames()?;
                let assessment = self.tries.finish(req, results)?;
                self.recueild
                    .send(&FromAnalyser::Assessed { req, assessment }, &[])?;
            }
            ToAnalyser::AttachPreview => {
                let [client]: [OwnedFd; 1] = received
                    .fds
                    .try_into()
                    .map_err(|_others| Error::OutOfOrder("a preview without its stream"))?;
                self.preview.attach(client);
            }
            ToAnalyser::Keep { picks } => picks.into_iter().try_for_each(|pick| self.keep(pick))?,
            ToAnalyser::End => return Ok(Next::Ends),
        }
        Ok(Next::Goes)
    }

    /// Takes what the host has sent. A host that is gone lends nothing any more; what it gave stays.
    fn take_frames(&mut self) -> Result<(), Error> {
        for _message in 0..MESSAGES_MAX {
            let Some(lent) = &mut self.lent else {
                return Ok(());
            };
            match lent.next() {
                Ok(Said::Frame(arrived)) => self.take_frame(*arrived)?,
                Ok(Said::Unused) => {}
                Ok(Said::Nothing) => return Ok(()),
                Err(Error::HostGone) => self.lent = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_frame(&mut self, arrived: Arrived) -> Result<(), Error> {
        let Some(lent) = &mut self.lent else {
            return Ok(());
        };
        if self.tries.running_req() != Some(arrived.req) {
            return Err(Error::FrameOfAnotherTry);
        }
        if arrived.info.kind == FrameKind::Result {
            self.tries.has_room(&arrived.info)?;
            let pixels = lent.take(&arrived)?;
            self.tries.add_result(arrived.info, pixels);
            return Ok(());
        }
        // A reader's own compressed preview could not be made smaller, so no client sees it.
        let shown = !(self.tries.is_fingerprints() && arrived.info.format == PixelFormat::Jpeg);
        if shown && self.preview.is_attached() {
            let pixels = lent.take(&arrived)?;
            let frame = Frame {
                info: arrived.info.clone(),
                pixels,
            };
            self.preview.show(&frame, self.tries.preview_divisor());
            lent.reuse(frame.pixels);
            return self.guide(&arrived);
        }
        lent.pass_over(&arrived)?;
        self.guide(&arrived)
    }

    fn guide(&mut self, arrived: &Arrived) -> Result<(), Error> {
        if let Some((guidance, value)) = self.tries.guide(&arrived.info) {
            let req = arrived.req;
            let guide = FromAnalyser::Guide { req, guidance, value };
            self.recueild.send(&guide, &[])?;
        }
        Ok(())
    }

    fn keep(&self, pick: Pick) -> Result<(), Error> {
        let encoded = self.tries.encode(&pick)?;
        let memory = sealed_memory("recueil-record", &encoded.bytes)?;
        let kept = FromAnalyser::Kept {
            pick,
            media_type: encoded.media_type,
            len: u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX),
            sha256: sha256_hex(&encoded.bytes),
            ppi: encoded.ppi,
            criteria: encoded.criteria,
        };
        Ok(self.recueild.send(&kept, &[memory.as_fd()])?)
    }
}

/// Which sockets have something.
struct Ready {
    recueild: bool,
    frames: bool,
    preview: bool,
}
