//! Before the machine sleeps captures end, and every device is given back; leases stay. Afterwards the devices are
//! taken again as they are then found.
//!
//! Nothing is waited for here: each step is taken when the one before is seen to be done, and logind's own limit
//! is what ends the wait if one hangs.

use recueil_bus::{Sleep, SleepLock};
use recueil_wire::devices::DeviceState;

use super::Station;

/// On the way to sleep.
pub(super) struct Sleeping {
    /// Keeps the machine awake until it is dropped.
    lock: Option<SleepLock>,
    /// hostd was told, which it is once captures are over.
    told: bool,
}

impl Station {
    pub(super) async fn hear_sleep(&mut self, news: Sleep) {
        match news {
            Sleep::Near(lock) => {
                tracing::info!("the machine is about to sleep: captures end, devices are given back");
                self.shop.asleep.set(true);
                self.sleeping = Some(Sleeping { lock, told: false });
                for running in self.captures.values() {
                    running.suspended.cancel();
                    running.stop.cancel();
                }
                self.sweep_captures().await;
            }
            Sleep::Awake => {
                self.shop.asleep.set(false);
                if self.sleeping.take().is_some() {
                    tracing::info!("the machine is awake: devices are taken again");
                    self.tell_hostd(false);
                }
            }
        }
    }

    /// hostd is another one, or its connection is: it does not know that the machine is about to sleep.
    pub(super) fn sleep_anew(&mut self) {
        if let Some(sleeping) = &mut self.sleeping {
            sleeping.told = false;
        }
    }

    /// Takes the next step, if the one before is done.
    pub(super) fn let_sleep(&mut self) {
        let Some(sleeping) = &mut self.sleeping else {
            return;
        };
        if self.captures.is_empty() && !sleeping.told && self.hostd_up {
            sleeping.told = true;
            self.tell_hostd(true);
            return;
        }
        let devices = self.shop.capture.devices.all();
        let away = devices.iter().all(|device| device.state == DeviceState::Absent);
        if self.captures.is_empty() && away && sleeping.lock.take().is_some() {
            tracing::info!("the machine may sleep");
        }
    }

    fn tell_hostd(&self, asleep: bool) {
        let devices = self.shop.capture.devices.clone();
        // It answers in a moment, or not at all.
        tokio::spawn(async move { devices.sleep(asleep).await });
    }
}
