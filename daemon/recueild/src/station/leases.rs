//! Who holds which device.

use std::time::Duration;

use jiff::Timestamp;
use recueil_bus::{Caller, Code, DeviceView, Error, Reply};
use recueil_device::lease::Holder;
use recueil_store::Stamp;
use recueil_wire::devices::{Device, DeviceState, Modality};
use tokio_util::sync::CancellationToken;

use super::{Running, Station};
use crate::quotas::too_many;
use crate::shop::Hold;

impl Station {
    pub(super) async fn lease(&mut self, caller: Caller, device: &str, steal: bool) -> Result<(), Error> {
        self.shop.asleep.refuse()?;
        let known = self.shop.capture.devices.get(device);
        if known.is_none_or(|device| device.state == DeviceState::Absent) {
            return Err(Error::new(
                Code::UnknownDevice,
                "there is no such device, or it is unplugged",
            ));
        }
        self.departed.refuse(&caller)?;
        self.sweep_captures().await;
        self.check_leases(&caller, device)?;
        let now = self.since_start();
        let holder = holder(&caller);
        let taken = match self.leases.acquire(device, holder.clone(), now, None) {
            Ok(_) => {
                if let Some(running) = self.captures.get_mut(device) {
                    // Asked for by name, it outlives the capture that runs.
                    running.temporary &= running.holder != holder;
                }
                Ok(())
            }
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
            .map_err(|error| held(&error))?;
        if let Some(running) = self.captures.get(device) {
            running.stop.cancel();
        }
        Ok(())
    }

    pub(super) async fn release(&mut self, caller: &Caller, device: &str) -> Result<(), Error> {
        self.sweep_captures().await;
        if self
            .captures
            .get(device)
            .is_some_and(|running| running.holder == holder(caller))
        {
            let text = "a capture of the caller runs on this device; cancel it first";
            return Err(Error::new(Code::WrongState, text));
        }
        let now = self.since_start();
        let released = self.leases.release(device, &caller.name, now);
        self.show_device(device).await;
        released.map_err(|_not_held| Error::new(Code::WrongState, "the caller does not hold this device"))
    }

    /// Recorded before it is answered. hostd is not waited for here: other callers go on meanwhile.
    pub(super) fn lift_quarantine(&self, caller: &Caller, device: String, reply: Reply<()>) {
        let stamp = Stamp {
            at: Timestamp::now(),
            agent: self.agents.get(&caller.name).map(|working| working.agent.clone()),
            uid: caller.uid,
            answered: None,
        };
        let (devices, storage) = (self.shop.capture.devices.clone(), self.shop.storage.clone());
        tokio::spawn(async move {
            let lift = async {
                devices.lift_quarantine(&device).await?;
                tracing::info!(device, uid = stamp.uid, "quarantine lifted");
                storage
                    .run(move |store| store.record("quarantine-lifted", None, &stamp))
                    .await
            };
            drop(reply.send(lift.await));
        });
    }

    /// The device for one capture: one runs on it at a time, whoever holds the lease.
    pub(super) async fn lease_for_capture(
        &mut self,
        caller: Caller,
        device: String,
        stop: CancellationToken,
    ) -> Result<Hold, Error> {
        self.shop.asleep.refuse()?;
        self.departed.refuse(&caller)?;
        self.sweep_captures().await;
        let now = self.since_start();
        let holder = holder(&caller);
        let lease = self.leases.lease(&device, now);
        let temporary = lease.is_none();
        if lease.is_none_or(|lease| lease.holder == holder) && self.captures.contains_key(&device) {
            let text = "another capture runs on the device or is ending; wait for its end";
            return Err(Error::new(Code::Busy, text));
        }
        let running = self.captures.values();
        let have = running.filter(|running| running.holder.uid == holder.uid).count();
        let max = self.shop.quotas.config.captures;
        too_many(
            have,
            max,
            "captures that run",
            "wait for the end of one or cancel it",
        )?;
        self.check_leases(&caller, &device)?;
        self.leases
            .acquire(&device, holder.clone(), now, None)
            .map_err(|error| held(&error))?;
        let over = CancellationToken::new();
        let suspended = CancellationToken::new();
        let hold = Hold::new(over.clone(), suspended.clone(), self.shop.station.clone());
        let running = Running {
            holder,
            temporary,
            stop,
            suspended,
            over,
        };
        self.captures.insert(device.clone(), running);
        self.show_device(&device).await;
        Ok(hold)
    }

    /// Refuses one lease more than a user may have. One that he has already is no new one.
    fn check_leases(&self, caller: &Caller, device: &str) -> Result<(), Error> {
        let now = self.since_start();
        let devices = self.shop.capture.devices.all();
        let holders = devices
            .iter()
            .filter(|other| other.id != device)
            .filter_map(|other| {
                let lease = self.leases.lease(&other.id, now)?;
                Some(lease.holder.uid)
            });
        let have = holders.filter(|uid| *uid == caller.uid).count();
        let max = self.shop.quotas.config.leases;
        too_many(have, max, "devices", "release one")
    }

    /// Ends the leases of captures that are over.
    pub(super) async fn sweep_captures(&mut self) {
        let over: Vec<_> = self
            .captures
            .extract_if(|_, running| running.over.is_cancelled())
            .collect();
        for (device, running) in over {
            if running.temporary {
                // It may have ended with its holder.
                let name = &running.holder.bus_name;
                drop(self.leases.release(&device, name, self.since_start()));
                self.show_device(&device).await;
            }
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

fn holder(caller: &Caller) -> Holder {
    Holder {
        bus_name: caller.name.clone(),
        uid: caller.uid,
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
