//! A client's preview stream: the newest picture waits, one is on its way, nothing waits for the client.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use recueil_capture::preview::Preview;
use recueil_dossier::PixelFormat;
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

    /// Shows a picture as soon as the client takes it; one that still waits is dropped for it.
    pub(crate) fn show(&mut self, preview: &Preview, sequence: u32) {
        if let Some(sending) = Sending::new(preview, sequence) {
            self.waiting = Some(sending);
            self.write();
        }
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
                    if sending.rest().is_empty() {
                        self.on_its_way = None;
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
    fn new(preview: &Preview, sequence: u32) -> Option<Self> {
        let header = PreviewHeader {
            width: preview.width,
            height: preview.height,
            format: match preview.format {
                PixelFormat::Gray8 => 1,
                PixelFormat::Rgb24 => 2,
                PixelFormat::Jpeg => 20,
            },
            len: u32::try_from(preview.pixels.len()).ok()?,
            sequence,
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(PreviewHeader::LEN + preview.pixels.len()));
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&preview.pixels);
        Some(Self { bytes, written: 0 })
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }
}
