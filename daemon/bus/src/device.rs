//! `fr.recueil.Device1`, one object a device.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use zbus::OwnedVariant;
use zbus::interface;
use zbus::message::Header;

use crate::gate::{Action, Gate};
use crate::service::ask;
use crate::station::{flag, only};
use crate::{DeviceView, Error, StationCommand};

/// One device.
pub(crate) struct Device {
    pub(crate) view: DeviceView,
    pub(crate) commands: mpsc::Sender<StationCommand>,
    pub(crate) gate: Arc<Gate>,
}

/// A capture device. Its lease ends with the bus name of its holder.
#[interface(
    name = "fr.recueil.Device1",
    proxy(default_service = "fr.recueil.Station1", visibility = "pub")
)]
impl Device {
    /// Takes the device for the caller. Option: `steal` (boolean; needs its own right, and the holder must
    /// have had it for a minute).
    async fn lease(
        &self,
        #[zbus(header)] header: Header<'_>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(), Error> {
        only(&options, &["steal"])?;
        let steal = flag(&options, "steal")?;
        let action = if steal { Action::Steal } else { Action::Collect };
        let caller = self
            .gate
            .allow(&header, action, &[("device", &self.view.id)])
            .await?;
        let device = self.view.id.clone();
        ask(&self.commands, |reply| StationCommand::Lease {
            caller,
            device,
            steal,
            reply,
        })
        .await
    }

    /// Gives the device back.
    async fn release(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let caller = self.gate.caller(&header).await?;
        let device = self.view.id.clone();
        ask(&self.commands, |reply| StationCommand::Release {
            caller,
            device,
            reply,
        })
        .await
    }

    /// Stable name, the same after unplugging.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.view.id.clone()
    }

    /// `absent`, `opening`, `ready`, `in-session` or `faulted`.
    #[zbus(property)]
    fn state(&self) -> String {
        self.view.state.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn vendor(&self) -> String {
        self.view.vendor.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn model(&self) -> String {
        self.view.model.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn serial(&self) -> String {
        self.view.serial.clone()
    }

    /// `fingerprint`, `camera`, `scanner`.
    #[zbus(property)]
    fn modalities(&self) -> Vec<String> {
        self.view.modalities.clone()
    }

    /// The plugin's id.
    #[zbus(property)]
    fn plugin(&self) -> String {
        self.view.plugin.clone()
    }

    /// The plugin's version.
    #[zbus(property)]
    fn plugin_version(&self) -> String {
        self.view.plugin_version.clone()
    }

    /// Why it is faulted and what to do; else empty.
    #[zbus(property)]
    fn trouble(&self) -> String {
        self.view.trouble.clone().unwrap_or_default()
    }

    /// Who holds the lease: whether somebody does, and his uid.
    #[zbus(property)]
    fn holder(&self) -> (bool, u32) {
        (
            self.view.holder_uid.is_some(),
            self.view.holder_uid.unwrap_or_default(),
        )
    }
}
