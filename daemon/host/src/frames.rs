//! Frame memory: lent by the analyser, handed to the plugin, given back with a picture in it.
//!
//! Invariant: each buffer has one owner. Messages of the analyser are read when memory is asked for: it lends
//! what a capture needs before hostd is told to start it, so nothing is waited for that was lent in time.

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recueil_abi as abi;
use recueil_dossier::{FrameInfo, FrameKind};
use recueil_wire::frames::{BUFFERS_MAX, FromHost, ToHost};
use recueil_wire::{Received, Socket};
use rustix::fs::SealFlags;

use crate::capture::{Capture, Woken};
use crate::ffi::memory::Slots;
use crate::layout::Layout;
use crate::refusal::{Refusal, UNKNOWN_FRAME};

/// Most messages read at a time: each buffer is lent once and released once between two looks.
const MESSAGES_MAX: usize = 4 * BUFFERS_MAX;

/// What the plugin gets for the asking.
#[derive(Debug)]
pub(crate) struct Grant {
    /// Where it may write.
    pub(crate) data: NonNull<u8>,
    /// How much.
    pub(crate) capacity: u64,
    /// Its name until it is given back; never used twice.
    pub(crate) handle: u64,
}

/// All buffers of the session.
#[derive(Debug)]
pub(crate) struct Frames(Mutex<State>);

#[derive(Debug)]
struct State {
    slots: Slots,
    socket: Option<Arc<Socket>>,
    buffers: Vec<Buffer>,
    /// A thread waits for a result's memory; it alone reads the socket meanwhile.
    is_awaited: bool,
    handles: u64,
}

#[derive(Debug)]
struct Buffer {
    index: u32,
    kind: FrameKind,
    capacity: u64,
    owner: Owner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Host,
    Plugin { handle: u64, req: u64 },
    Analyser,
}

impl Frames {
    pub(crate) fn new(slots: Slots) -> Self {
        Self(Mutex::new(State {
            slots,
            socket: None,
            buffers: Vec::new(),
            is_awaited: false,
            handles: 0,
        }))
    }

    /// Takes a new session's socket; the memory of the one before is unmapped. Not while a capture runs.
    pub(crate) fn attach(&self, socket: OwnedFd) {
        let mut state = self.lock();
        state.detach();
        state.socket = Some(Arc::new(Socket::new(socket)));
    }

    /// Reads what the analyser has said so far, and maps what it lends.
    pub(crate) fn receive(&self) -> Result<(), Refusal> {
        self.lock().receive().map(drop)
    }

    /// Lends memory to the plugin: a preview at once or not at all, a result as soon as there is some.
    pub(crate) fn alloc(
        &self,
        capture: &Capture,
        kind: FrameKind,
        layout: &Layout,
    ) -> Result<Grant, Refusal> {
        let mut state = self.lock();
        loop {
            let socket = state.receive()?;
            if let Some(grant) = state.grant(capture.req, kind, layout)? {
                return Ok(grant);
            }
            if kind == FrameKind::Preview {
                return Err(Refusal::Status(abi::RCL_E_AGAIN));
            }
            if state.is_awaited {
                return Err(Refusal::Status(abi::RCL_E_NO_MEMORY));
            }
            state.is_awaited = true;
            drop(state);
            let woken = capture.wait_for(&socket);
            state = self.lock();
            state.is_awaited = false;
            match woken {
                Ok(Woken::Readable) => {}
                Ok(Woken::Cancelled) => return Err(Refusal::Status(abi::RCL_E_CANCELLED)),
                Ok(Woken::TimedOut) => return Err(Refusal::Status(abi::RCL_E_TIMEOUT)),
                Err(_errno) => return Err(Refusal::Status(abi::RCL_E_FAILED)),
            }
        }
    }

    /// Gives a picture to the analyser, described by `describe`. The plugin's part in the memory ends in every
    /// case.
    pub(crate) fn submit(
        &self,
        capture: &Capture,
        handle: u64,
        describe: impl FnOnce(FrameKind) -> Result<FrameInfo, Refusal>,
    ) -> Result<FrameKind, Refusal> {
        let returned = self.lock().take(handle)?;
        let described = if returned.req == capture.req {
            describe(returned.kind)
        } else {
            Err(Refusal::Broken(
                10,
                "a frame submitted for another capture than it was allocated for",
            ))
        };
        let checked = described.and_then(|info| match info.check(returned.capacity) {
            Ok(()) => Ok(info),
            Err(rule) => Err(Refusal::Broken(4, rule)),
        });
        match checked {
            Ok(info) => {
                let message = FromHost::Frame {
                    req: capture.req,
                    index: returned.index,
                    info,
                };
                self.send(&returned.socket, &message)?;
                Ok(returned.kind)
            }
            Err(refusal) => {
                self.send_unused(&returned)?;
                Err(refusal)
            }
        }
    }

    /// Gives memory back unused.
    pub(crate) fn drop_frame(&self, handle: u64) -> Result<(), Refusal> {
        let returned = self.lock().take(handle)?;
        self.send_unused(&returned)
    }

    /// Takes from the plugin what it still holds when a capture has returned.
    pub(crate) fn take_back(&self) {
        let held: Vec<u64> = {
            let state = self.lock();
            let handles = state.buffers.iter().filter_map(|buffer| match buffer.owner {
                Owner::Plugin { handle, .. } => Some(handle),
                Owner::Host | Owner::Analyser => None,
            });
            handles.collect()
        };
        for handle in held {
            // A plugin's thread may give it back meanwhile, and the analyser may be gone: both are fine.
            self.drop_frame(handle).ok();
        }
    }

    fn send_unused(&self, returned: &Returned) -> Result<(), Refusal> {
        let message = FromHost::Unused {
            index: returned.index,
        };
        self.send(&returned.socket, &message)
    }

    fn send(&self, socket: &Socket, message: &FromHost) -> Result<(), Refusal> {
        socket.send(message, &[]).map_err(|_gone| {
            self.lock().detach();
            GONE
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const GONE: Refusal = Refusal::NoReader("the analyser is gone");

/// A buffer on its way to the analyser.
struct Returned {
    socket: Arc<Socket>,
    index: u32,
    kind: FrameKind,
    capacity: u64,
    req: u64,
}

impl State {
    /// Ends the session on this side. Memory that the plugin holds stays mapped until the next one begins.
    fn detach(&mut self) {
        self.socket = None;
        let slots = &mut self.slots;
        self.buffers.retain(|buffer| {
            if matches!(buffer.owner, Owner::Plugin { .. }) {
                return true;
            }
            // If it stays mapped, the analyser's memory lives on until this process ends; nothing else depends on it.
            slots
                .unmap(usize::try_from(buffer.index).unwrap_or(BUFFERS_MAX))
                .ok();
            false
        });
    }

    fn receive(&mut self) -> Result<Arc<Socket>, Refusal> {
        let socket = self.socket.clone().ok_or(GONE)?;
        if self.is_awaited {
            return Ok(socket);
        }
        for _message in 0..MESSAGES_MAX {
            let taken = match socket.try_recv::<ToHost>() {
                Ok(None) => break,
                Ok(Some(received)) => self.take_message(&received),
                Err(recueil_wire::Error::Closed) => Err("the analyser is gone"),
                Err(_not_understood) => Err("a message on the frame socket that is not understood"),
            };
            if let Err(rule) = taken {
                self.detach();
                return Err(Refusal::NoReader(rule));
            }
        }
        Ok(socket)
    }

    fn take_message(&mut self, received: &Received<ToHost>) -> Result<(), &'static str> {
        match received.message {
            ToHost::Buffer {
                index,
                kind,
                capacity,
            } => {
                let [memory] = received.fds.as_slice() else {
                    return Err("a buffer without its memory");
                };
                let slot = usize::try_from(index).unwrap_or(BUFFERS_MAX);
                if slot >= BUFFERS_MAX || self.buffers.iter().any(|buffer| buffer.index == index) {
                    return Err("a buffer with a number that is not free");
                }
                check_memory(memory, capacity)?;
                self.slots
                    .map(slot, memory.as_fd(), capacity)
                    .map_err(|_errno| "a buffer that cannot be mapped")?;
                self.buffers.push(Buffer {
                    index,
                    kind,
                    capacity,
                    owner: Owner::Host,
                });
            }
            ToHost::Release { index } => {
                let released = self
                    .buffers
                    .iter_mut()
                    .find(|buffer| buffer.index == index && buffer.owner == Owner::Analyser)
                    .ok_or("a release of a buffer that the analyser has not")?;
                released.owner = Owner::Host;
            }
        }
        Ok(())
    }

    fn grant(&mut self, req: u64, kind: FrameKind, layout: &Layout) -> Result<Option<Grant>, Refusal> {
        let is_held = |buffer: &Buffer| matches!(buffer.owner, Owner::Plugin { .. });
        let fits = |buffer: &Buffer| layout.bytes <= buffer.capacity;
        let mut of_kind = self.buffers.iter_mut().filter(|buffer| buffer.kind == kind);
        let (mut any, mut any_fits, mut second, mut free) = (false, false, false, None);
        for buffer in of_kind.by_ref() {
            any = true;
            any_fits |= fits(buffer);
            second |= kind == FrameKind::Result && is_held(buffer);
            if free.is_none() && buffer.owner == Owner::Host && fits(buffer) {
                free = Some(buffer);
            }
        }
        if second || (any && !any_fits) {
            return Err(Refusal::Status(abi::RCL_E_NO_MEMORY));
        }
        let Some(buffer) = free else {
            return Ok(None);
        };
        let slot = usize::try_from(buffer.index).unwrap_or(BUFFERS_MAX);
        let data = self
            .slots
            .address(slot)
            .ok_or(Refusal::Status(abi::RCL_E_FAILED))?;
        self.handles += 1;
        buffer.owner = Owner::Plugin {
            handle: self.handles,
            req,
        };
        Ok(Some(Grant {
            data,
            capacity: buffer.capacity,
            handle: self.handles,
        }))
    }

    /// Takes a buffer from the plugin, for the analyser.
    fn take(&mut self, wanted: u64) -> Result<Returned, Refusal> {
        let found = self.buffers.iter_mut().find_map(|buffer| match buffer.owner {
            Owner::Plugin { handle, req } if handle == wanted => Some((buffer, req)),
            _ => None,
        });
        let (buffer, req) = found.ok_or(UNKNOWN_FRAME)?;
        buffer.owner = Owner::Analyser;
        Ok(Returned {
            socket: self.socket.clone().ok_or(GONE)?,
            index: buffer.index,
            kind: buffer.kind,
            capacity: buffer.capacity,
            req,
        })
    }
}

/// Memory whose pages could vanish would end this process when the plugin writes there.
fn check_memory(memory: &OwnedFd, capacity: u64) -> Result<(), &'static str> {
    let kept = SealFlags::SHRINK | SealFlags::GROW;
    let seals = rustix::fs::fcntl_get_seals(memory).map_err(|_errno| "a buffer that is not sealed memory")?;
    if !seals.contains(kept) {
        return Err("a buffer that could shrink");
    }
    if seals.contains(SealFlags::WRITE) {
        return Err("a buffer that cannot be written");
    }
    let size = rustix::fs::fstat(memory)
        .ok()
        .and_then(|stat| u64::try_from(stat.st_size).ok());
    if capacity == 0 || capacity > FrameInfo::FRAME_MAX_BYTES || size.is_none_or(|size| size < capacity) {
        return Err("a buffer that is not as large as was said");
    }
    Ok(())
}
