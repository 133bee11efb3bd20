//! Who holds which device.

use std::time::Duration;

use recueil_bus::{Caller, Code, DeviceView, Error};
use recueil_device::lease::Holder;
use recueil_wire::devices::{Device, DeviceState, Modality};

use super::Station;
use crate::shop::CaptureLease;

impl Station {
    pub(super) async fn lease(&mut self, caller: Caller, device: &str, steal: bool) -> Result<(), Error> {
        let known = self.shop.capture.devices.get(device);
        if known.is_none_or(|device| device.state == DeviceState::Absent) {
            return Err(Error::new(
                Code::UnknownDevice,
                "there is no such device, or it is unplugged",
            ));
        }
        let now = self.since_start();
        let holder = Holder {
            bus_name: caller.name,
            uid: caller.uid,
        };
        let taken = match self.leases.acquire(device, holder.clone(), now, None) {
            Ok(_) => Ok(()),
            Err(error) if !steal => Err(held(&error)),
            Err(_held) => self.steal(device, &holder, now),
        };
        self.show_device(device).await;
        taken
    }

    fn steal(&mut self, device: &str, thief: &Holder, now: Duration) -> Result<(), Error> {
        let from = self
            .leases
            .claim(device, thief, now, self.settings.steal_after)
            .map_err(|error| held(&error))?;
        if from > now {
            let text = "the take-over is announced to the holder; call again when the delay is over";
            let seconds = from.saturating_sub(now).as_millis().div_ceil(1000);
            return Err(Error::new(Code::Busy, text).with("seconds", seconds.to_string()));
        }
        self.leases
            .take_over(device, thief, now)
            .map(drop)
            .map_err(|error| held(&error))
    }

    pub(super) async fn release(&mut self, caller: &Caller, device: &str) -> Result<(), Error> {
        let now = self.since_start();
        let released = self.leases.release(device, &caller.name, now);
        self.show_device(device).await;
        released.map_err(|_not_held| Error::new(Code::WrongState, "the caller does not hold this device"))
    }

    pub(super) async fn lease_for_capture(
        &mut self,
        caller: Caller,
        device: String,
    ) -> Result<CaptureLease, Error> {
        let now = self.since_start();
        let holder = Holder {
            bus_name: caller.name.clone(),
            uid: caller.uid,
        };
        let temporary = self.leases.lease(&device, now).is_none();
        self.leases
            .acquire(&device, holder, now, None)
            .map_err(|error| held(&error))?;
        self.show_device(&device).await;
        Ok(CaptureLease {
            device,
            caller,
            temporary,
        })
    }

    pub(super) async fn capture_over(&mut self, lease: CaptureLease) {
        if lease.temporary {
            // It may have ended with its holder.
            drop(
                self.leases
                    .release(&lease.device, &lease.caller.name, self.since_start()),
            );
            self.show_device(&lease.device).await;
        }
    }

    pub(super) async fn end_leases(&mut self, name: &str) {
        // Take-overs that it announced end too; what did not change is not told again.
        self.leases.end_all(name);
        for device in self.shop.capture.devices.all() {
            self.show(&device).await;
        }
    }

    pub(super) async fn show_device(&self, id: &str) {
        if let Some(device) = self.shop.capture.devices.get(id) {
            self.show(&device).await;
        }
    }

    /// A lease outlives unplugging, so it is shown of an absent device too.
    pub(super) async fn show(&self, device: &Device) {
        let lease = self.leases.lease(&device.id, self.since_start());
        let mut view = device_view(device);
        view.holder_uid = lease.map(|lease| lease.holder.uid);
        view.held_s = lease.map(|lease| self.since_start().saturating_sub(lease.since).as_secs());
        view.claimant_uid = lease.and_then(|lease| Some(lease.claim.as_ref()?.by.uid));
        if let Err(error) = self.shop.service.show_device(view).await {
            tracing::warn!(%error, "a device could not be shown on the bus");
        }
    }
}

fn held(error: &recueil_device::Error) -> Error {
    match error {
        recueil_device::Error::Held { holder } => {
            let text = "another program holds the device; wait, or ask for it with the option `steal`";
            Error::new(Code::Busy, text).with("holder-uid", holder.uid.to_string())
        }
        other => Error::new(Code::TooMany, other.to_string()),
    }
}

fn device_view(device: &Device) -> DeviceView {
    let identity = device.identity.as_ref();
    let modalities = device
        .capabilities
        .as_ref()
        .map(|can| can.modalities.clone())
        .unwrap_or_default();
    DeviceView {
        id: device.id.clone(),
        state: device.state.as_str().to_owned(),
        vendor: identity
            .map(|identity| identity.vendor.clone())
            .unwrap_or_default(),
        model: identity
            .map(|identity| identity.model.clone())
            .unwrap_or_default(),
        serial: identity
            .map(|identity| identity.serial.clone())
            .unwrap_or_default(),
        modalities: modalities
            .into_iter()
            .map(Modality::as_str)
            .map(str::to_owned)
            .collect(),
        plugin: device.plugin.clone(),
        plugin_version: device.plugin_version.clone(),
        trouble: device.failure.as_ref().map(|failure| failure.text.clone()),
        ..DeviceView::default()
    }
}
