//! A client's preview stream: the newest picture waits, one is on its way, nothing waits for the client.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use recueil_capture::preview::reduce_into;
use recueil_dossier::{Frame, PixelFormat};
use recueil_wire::analyser::PreviewHeader;
use rustix::io::Errno;
use rustix::net::{SendFlags, SocketType};
use zeroize::Zeroizing;

/// At most one client's stream.
#[derive(Default)]
pub(crate) struct PreviewStream {
    client: Option<OwnedFd>,
    on_its_way: Option<Sending>,
    waiting: Option<Sending>,
    /// Memory of one that is not needed any more, for the next.
    spare: Zeroizing<Vec<u8>>,
}

/// A header and pixels, partly written.
struct Sending {
    bytes: Zeroizing<Vec<u8>>,
    written: usize,
}

impl PreviewStream {
    /// Takes a client's end in place of the one before. Anything but a stream socket is dropped.
    pub(crate) fn attach(&mut self, client: OwnedFd) {
        let is_stream = rustix::net::sockopt::socket_type(&client) == Ok(SocketType::STREAM);
        *self = Self {
            client: is_stream.then_some(client),
            ..Self::default()
        };
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.client.is_some()
    }

    /// The client's end, if something is to be written to it.
    pub(crate) fn wants_to_write(&self) -> Option<BorrowedFd<'_>> {
        self.on_its_way.as_ref()?;
        self.client.as_ref().map(AsFd::as_fd)
    }

    /// Shows a frame, made smaller, as soon as the client takes it; one that still waits is dropped for it.
    pub(crate) fn show(&mut self, frame: &Frame, divisor: u32) {
        let dropped = self.waiting.take().map(|waiting| waiting.bytes);
        let memory = dropped.unwrap_or_else(|| std::mem::take(&mut self.spare));
        self.waiting = Sending::new(frame, divisor, memory);
        self.write();
    }

    /// Writes what the client takes now.
    pub(crate) fn write(&mut self) {
        while let Some(client) = &self.client {
            if self.on_its_way.is_none() {
                self.on_its_way = self.waiting.take();
            }
            let Some(sending) = &mut self.on_its_way else {
                return;
            };
            match rustix::net::send(client, sending.rest(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(written) => {
                    sending.written += written;
                    if sending.rest().is_empty()
                        && let Some(sent) = self.on_its_way.take()
                    {
                        self.spare = sent.bytes;
                    }
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // The client is gone, or broken in a way that is its own.
                Err(_gone) => *self = Self::default(),
            }
        }
    }
}

impl Sending {
    /// In `bytes`, whatever they held. None if there is nothing to show.
    fn new(frame: &Frame, divisor: u32, mut bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        bytes.clear();
        bytes.extend_from_slice(&[0; PreviewHeader::LEN]);
        let shown = reduce_into(frame, divisor, &mut bytes)?;
        let (place, pixels) = bytes.split_first_chunk_mut()?;
        let header = PreviewHeader {
            width: shown.width,
            height: shown.height,
            format: match shown.format {
                PixelFormat::Gray8 => 1,
                PixelFormat::Rgb24 => 2,
                PixelFormat::Jpeg => 20,
            },
            len: u32::try_from(pixels.len()).ok()?,
            sequence: frame.info.sequence,
        };
        *place = header.encode();
        Some(Self { bytes, written: 0 })
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }
}
