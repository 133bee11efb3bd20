//! Memory lent to the device host, and what comes back in it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use recueil_dossier::{FrameInfo, FrameKind, PixelFormat};
use recueil_wire::devices::Capabilities;
use recueil_wire::frames::{FromHost, ToHost};
use recueil_wire::{LentMemory, Socket};
use zeroize::Zeroizing;

use crate::Error;

/// One is shown, one waits, one is written.
const PREVIEWS: u32 = 3;
/// Rows may be padded to this.
const STRIDE_ALIGN: u64 = 64;

/// The frame socket and the memory lent on it. All of it is wiped when dropped.
pub(crate) struct Lent {
    socket: Socket,
    buffers: Vec<Buffer>,
    /// Where a preview was copied to, for the next one.
    spare: Zeroizing<Vec<u8>>,
}

struct Buffer {
    memory: LentMemory,
    kind: FrameKind,
    capacity: u64,
    with_host: bool,
}

/// What the host said.
pub(crate) enum Said {
    /// A frame came.
    Frame(Box<Arrived>),
    /// Memory came back.
    Unused,
    /// Nothing more for now.
    Nothing,
}

/// A frame that came: its description agrees with itself and with the memory it lies in.
pub(crate) struct Arrived {
    pub(crate) req: u64,
    pub(crate) info: FrameInfo,
    index: u32,
}

impl Lent {
    /// Makes the memory and lends it.
    pub(crate) fn new(
        socket: OwnedFd,
        capabilities: &Capabilities,
        result_capacity: u64,
    ) -> Result<Self, Error> {
        if !(1..=FrameInfo::FRAME_MAX_BYTES).contains(&result_capacity) {
            return Err(Error::OutOfOrder("a result size that no frame may have"));
        }
        let mut lent = Self {
            socket: Socket::new(socket),
            buffers: Vec::new(),
            spare: Zeroizing::default(),
        };
        lent.lend(FrameKind::Result, result_capacity)?;
        if capabilities.preview {
            let capacity = preview_capacity(capabilities);
            (0..PREVIEWS).try_for_each(|_index| lent.lend(FrameKind::Preview, capacity))?;
        }
        Ok(lent)
    }

    fn lend(&mut self, kind: FrameKind, capacity: u64) -> Result<(), Error> {
        let memory = LentMemory::new("recueil-frame", capacity)?;
        let index = u32::try_from(self.buffers.len()).unwrap_or(u32::MAX);
        let message = ToHost::Buffer {
            index,
            kind,
            capacity,
        };
        self.socket.send(&message, &[memory.as_fd()]).map_err(host_gone)?;
        self.buffers.push(Buffer {
            memory,
            kind,
            capacity,
            with_host: true,
        });
        Ok(())
    }

    /// What the host said next. Memory that comes back unused is lent again.
    ///
    /// # Errors
    /// What the host or the plugin did wrong; [`Error::HostGone`].
    pub(crate) fn next(&mut self) -> Result<Said, Error> {
        let received = self.socket.try_recv::<FromHost>().map_err(host_gone)?;
        match received.map(|received| received.message) {
            None => Ok(Said::Nothing),
            Some(FromHost::Frame { req, index, info }) => {
                let buffer = self.returned(index)?;
                if buffer.kind != info.kind {
                    return Err(Error::Frame("a preview in a result's memory, or the reverse"));
                }
                info.check(buffer.capacity).map_err(Error::Frame)?;
                Ok(Said::Frame(Box::new(Arrived { req, info, index })))
            }
            Some(FromHost::Unused { index }) => {
                self.returned(index)?;
                self.release(index)?;
                Ok(Said::Unused)
            }
        }
    }

    /// Takes an arrived frame's bytes out of the memory, which is left wiped, and lends it again.
    pub(crate) fn take(&mut self, arrived: &Arrived) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut pixels = std::mem::take(&mut self.spare);
        let buffer = self.buffer(arrived.index)?;
        buffer.memory.take_into(&mut pixels, arrived.info.used)?;
        self.lend_again(arrived.index)?;
        Ok(pixels)
    }

    /// Gives a copy back that is not needed any more.
    pub(crate) fn reuse(&mut self, pixels: Zeroizing<Vec<u8>>) {
        self.spare = pixels;
    }

    /// Wipes an arrived frame unread, and lends the memory again.
    pub(crate) fn pass_over(&mut self, arrived: &Arrived) -> Result<(), Error> {
        self.release(arrived.index)
    }

    fn release(&mut self, index: u32) -> Result<(), Error> {
        // The whole of it: a plugin may have written more than it says.
        self.buffer(index)?.memory.wipe()?;
        self.lend_again(index)
    }

    fn lend_again(&mut self, index: u32) -> Result<(), Error> {
        self.buffer(index)?.with_host = true;
        match self
            .socket
            .send(&ToHost::Release { index }, &[])
            .map_err(host_gone)
        {
            // One that is gone needs no memory; its end is seen when it is listened to.
            Err(Error::HostGone) => Ok(()),
            sent => sent,
        }
    }

    fn returned(&mut self, index: u32) -> Result<&mut Buffer, Error> {
        let buffer = self.buffer(index)?;
        if !std::mem::take(&mut buffer.with_host) {
            return Err(Error::BufferNotLent);
        }
        Ok(buffer)
    }

    fn buffer(&mut self, index: u32) -> Result<&mut Buffer, Error> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.buffers.get_mut(index).ok_or(Error::BufferNotLent)
    }
}

impl AsFd for Lent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn host_gone(error: recueil_wire::Error) -> Error {
    match error {
        recueil_wire::Error::Closed => Error::HostGone,
        other => Error::Wire(other),
    }
}

/// Room for the device's largest frame in its widest format.
fn preview_capacity(capabilities: &Capabilities) -> u64 {
    let bytes_per_pixel = capabilities.formats.iter().map(|format| match format {
        PixelFormat::Gray8 => 1,
        PixelFormat::Rgb24 | PixelFormat::Jpeg => 3,
    });
    let row = u64::from(capabilities.width_max) * bytes_per_pixel.max().unwrap_or(3);
    let stride = row.next_multiple_of(STRIDE_ALIGN);
    let all = stride.saturating_mul(u64::from(capabilities.height_max));
    all.clamp(1, FrameInfo::FRAME_MAX_BYTES)
}
