//! `fr.recueil.Capture1`, one object a capture, answering its holder only.

#![expect(
    clippy::needless_pass_by_value,
    reason = "zbus gives a property's header by value"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use zbus::OwnedFd;
use zbus::interface;
use zbus::message::Header;
use zbus::object_server::SignalEmitter;

use crate::dossier::own;
use crate::gate::{Action, Gate};
use crate::service::ask;
use crate::{Caller, CaptureCommand, CaptureView, Detail, Error};

/// One capture.
pub(crate) struct Capture {
    pub(crate) holder: Caller,
    pub(crate) view: watch::Receiver<CaptureView>,
    pub(crate) commands: mpsc::Sender<CaptureCommand>,
    pub(crate) gate: Arc<Gate>,
}

impl Capture {
    fn read(&self, header: Option<&Header<'_>>) -> Result<CaptureView, Error> {
        if let Some(header) = header {
            own(&self.holder, header)?;
        }
        Ok(self.view.borrow().clone())
    }
}

/// A capture. The daemon runs the workflow; the client shows its state, guidance and results, and offers the
/// commands that are allowed now.
#[interface(
    name = "fr.recueil.Capture1",
    proxy(default_service = "fr.recueil.Station1", visibility = "pub")
)]
impl Capture {
    /// One of the commands in `Allowed`: `retry` (the same again), `use-best` (take the best of the tries),
    /// `cancel`.
    async fn command(&self, #[zbus(header)] header: Header<'_>, command: &str) -> Result<(), Error> {
        own(&self.holder, &header)?;
        let command = command.chars().take(32).collect();
        ask(&self.commands, |reply| CaptureCommand::Command { command, reply }).await
    }

    /// Ends the capture; what was taken is destroyed.
    async fn cancel(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, |reply| CaptureCommand::Command {
            command: "cancel".to_owned(),
            reply,
        })
        .await
    }

    /// A stream socket with previews: a header of 32 bytes (see sdk/dbus/README.md), then the pixels. The
    /// newest picture only; asking again replaces the stream. Needs the right to look.
    async fn preview(&self, #[zbus(header)] header: Header<'_>) -> Result<OwnedFd, Error> {
        own(&self.holder, &header)?;
        self.gate.allow(&header, Action::Look, &[]).await?;
        // While the device is being opened, the stream waits for it.
        self.gate.set_aside(&header);
        Ok(ask(&self.commands, CaptureCommand::Preview).await?.into())
    }

    /// What was found, one dictionary a finger, page or criterion; keys in sdk/dbus/README.md.
    async fn results(
        &self,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<Vec<BTreeMap<String, String>>, Error> {
        own(&self.holder, &header)?;
        ask(&self.commands, CaptureCommand::Results).await
    }

    /// Something for the person at the device: a code, and details by key. Sent to the holder alone.
    #[zbus(signal)]
    pub(crate) async fn guidance(
        emitter: &SignalEmitter<'_>,
        code: &str,
        details: Detail,
    ) -> zbus::Result<()>;

    /// The capture changed; all its properties. Sent to the holder alone.
    #[zbus(signal)]
    pub(crate) async fn changed(emitter: &SignalEmitter<'_>, capture: CaptureView) -> zbus::Result<()>;

    /// `starting`, `capturing`, `analysing`, `waiting`, `storing`, `completed`, `cancelled` or `failed`.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<String, Error> {
        Ok(self.read(header.as_ref())?.state)
    }

    /// Commands allowed now.
    #[zbus(property(emits_changed_signal = "false"))]
    fn allowed(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<Vec<String>, Error> {
        Ok(self.read(header.as_ref())?.allowed)
    }

    /// All properties at once, as `Changed` gives them.
    #[zbus(property(emits_changed_signal = "false"))]
    fn view(&self, #[zbus(header)] header: Option<Header<'_>>) -> Result<CaptureView, Error> {
        self.read(header.as_ref())
    }
}
