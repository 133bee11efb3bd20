//! `fr.recueil.Device1`, one object a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use zbus::fdo::ObjectManagerProxy;
use zbus::interface;
use zbus::message::Header;
use zbus::{Connection, OwnedVariant};

use crate::gate::{Action, Gate};
use crate::service::ask;
use crate::station::{flag, only};
use crate::{DeviceView, Error, NAME, ROOT, StationCommand};

/// One device.
pub(crate) struct Device {
    pub(crate) id: String,
    /// Under a lock of its own: zbus's lock on the object is held by calls that wait for polkit, and a device
    /// must be shown meanwhile.
    view: Mutex<DeviceView>,
    pub(crate) commands: mpsc::Sender<StationCommand>,
    pub(crate) gate: Arc<Gate>,
}

impl Device {
    pub(crate) fn new(view: DeviceView, commands: mpsc::Sender<StationCommand>, gate: Arc<Gate>) -> Self {
        Self {
            id: view.id.clone(),
            view: Mutex::new(view),
            commands,
            gate,
        }
    }

    /// Takes the news; gives what was known before.
    pub(crate) fn replace(&self, view: DeviceView) -> DeviceView {
        std::mem::replace(&mut *self.view(), view)
    }

    fn view(&self) -> MutexGuard<'_, DeviceView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A capture device. Its lease ends with the bus name of its holder.
#[interface(
    name = "fr.recueil.Device1",
    proxy(default_service = "fr.recueil.Station1", visibility = "pub")
)]
impl Device {
    /// Takes the device for the caller, until `Release` or until he leaves the bus. Option: `steal` (boolean;
    /// needs its own right): the first call announces the take-over to the holder by `Claimant` and is refused as
    /// busy with the `seconds` to wait, a call after them takes the device.
    async fn lease(
        &self,
        #[zbus(header)] header: Header<'_>,
        options: HashMap<String, OwnedVariant>,
    ) -> Result<(), Error> {
        only(&options, &["steal"])?;
        let steal = flag(&options, "steal")?;
        let action = if steal { Action::Steal } else { Action::Collect };
        let caller = self.gate.allow(&header, action, &[("device", &self.id)]).await?;
        let device = self.id.clone();
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
        let device = self.id.clone();
        ask(&self.commands, |reply| StationCommand::Release {
            caller,
            device,
            reply,
        })
        .await
    }

    /// Starts the driver again of a device whose `State` is `quarantined`. Needs a right of its own, usually an
    /// administrator's; recorded in the audit journal. A lease is neither needed nor given.
    async fn lift_quarantine(&self, #[zbus(header)] header: Header<'_>) -> Result<(), Error> {
        let details = [("device", self.id.as_str())];
        let caller = self.gate.allow(&header, Action::LiftQuarantine, &details).await?;
        let device = self.id.clone();
        ask(&self.commands, |reply| StationCommand::LiftQuarantine {
            caller,
            device,
            reply,
        })
        .await
    }

    /// Stable name, the same after unplugging.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> String {
        self.id.clone()
    }

    /// `absent`, `opening`, `ready`, `in-session`, `faulted` (its driver failed and is started again after a pause)
    /// or `quarantined` (it failed too often: not until `LiftQuarantine`, or until another driver is installed).
    #[zbus(property)]
    fn state(&self) -> String {
        self.view().state.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn vendor(&self) -> String {
        self.view().vendor.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn model(&self) -> String {
        self.view().model.clone()
    }

    /// What the device says; may be empty.
    #[zbus(property)]
    fn serial(&self) -> String {
        self.view().serial.clone()
    }

    /// `fingerprint`, `camera`, `scanner`.
    #[zbus(property)]
    fn modalities(&self) -> Vec<String> {
        self.view().modalities.clone()
    }

    /// The plugin's id.
    #[zbus(property)]
    fn plugin(&self) -> String {
        self.view().plugin.clone()
    }

    /// The plugin's version.
    #[zbus(property)]
    fn plugin_version(&self) -> String {
        self.view().plugin_version.clone()
    }

    /// Why it is faulted or in quarantine, and what to do; else empty.
    #[zbus(property)]
    fn trouble(&self) -> String {
        self.view().trouble.clone().unwrap_or_default()
    }

    /// Who holds the lease: whether somebody does, and his uid.
    #[zbus(property)]
    fn holder(&self) -> (bool, u32) {
        known(self.view().holder_uid)
    }

    /// Who announced to take the device from its holder: whether somebody did, and his uid.
    #[zbus(property)]
    fn claimant(&self) -> (bool, u32) {
        known(self.view().claimant_uid)
    }
}

/// D-Bus knows no absent value.
fn known(uid: Option<u32>) -> (bool, u32) {
    (uid.is_some(), uid.unwrap_or_default())
}

/// All devices that the station knows, by id, in one call. How long a lease is held is not told.
pub async fn devices(connection: &Connection) -> Result<Vec<DeviceView>, Error> {
    let objects = ObjectManagerProxy::new(connection, NAME, ROOT).await?;
    let objects = objects.get_managed_objects().await.map_err(zbus::Error::from)?;
    let devices = objects.into_values().flatten();
    let devices = devices.filter(|(interface, _)| interface.as_str() == "fr.recueil.Device1");
    let mut devices: Vec<_> = devices.filter_map(|(_, properties)| shown(properties)).collect();
    devices.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(devices)
}

fn shown(mut properties: HashMap<String, OwnedVariant>) -> Option<DeviceView> {
    let mut text = |name| {
        properties
            .remove(name)
            .and_then(|value| String::try_from(value).ok())
    };
    let view = DeviceView {
        id: text("Id")?,
        state: text("State")?,
        vendor: text("Vendor")?,
        model: text("Model")?,
        serial: text("Serial")?,
        plugin: text("Plugin")?,
        plugin_version: text("PluginVersion")?,
        trouble: text("Trouble").filter(|trouble| !trouble.is_empty()),
        ..DeviceView::default()
    };
    let (held, uid) = <(bool, u32)>::try_from(properties.remove("Holder")?).ok()?;
    let (claimed, claimant) = <(bool, u32)>::try_from(properties.remove("Claimant")?).ok()?;
    Some(DeviceView {
        modalities: properties.remove("Modalities")?.try_into().ok()?,
        holder_uid: held.then_some(uid),
        claimant_uid: claimed.then_some(claimant),
        ..view
    })
}
