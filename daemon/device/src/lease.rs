//! Who holds which device. A pure table: no clock, no bus.
//!
//! Times are given as durations since any fixed start, the same for all calls. A lease belongs to a bus name,
//! and ends with it; another caller sees the holder, and may take the device over after a delay that was
//! stated to both. Whether a caller is *authorised* to take over is asked of polkit before [`Leases::claim`].

use std::collections::BTreeMap;
use std::time::Duration;

use recueil_wire::devices::DeviceId;

use crate::Error;

/// Most devices that one uid may hold.
pub const LEASES_PER_UID_MAX: usize = 16;

/// Who holds a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The unique name of the connection, as `:1.42`.
    pub bus_name: String,
    /// Its user.
    pub uid: u32,
}

/// One device's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who.
    pub holder: Holder,
    /// Since when.
    pub since: Duration,
    /// When it ends by itself; none for never.
    pub expires: Option<Duration>,
    /// Who will be able to take it over, and when.
    pub claim: Option<Claim>,
}

/// An announced take-over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// By whom.
    pub by: Holder,
    /// From when on [`Leases::take_over`] succeeds.
    pub from: Duration,
}

/// All leases.
#[derive(Debug, Default)]
pub struct Leases {
    leases: BTreeMap<DeviceId, Lease>,
}

impl Leases {
    /// No leases.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leases the device to `holder`, for ever or for `lifetime`. Asked again by the holder, the lease is
    /// renewed: `since` and an announced take-over stay.
    ///
    /// # Errors
    /// [`Error::Held`], [`Error::TooManyLeases`].
    pub fn acquire(
        &mut self,
        device: &str,
        holder: Holder,
        now: Duration,
        lifetime: Option<Duration>,
    ) -> Result<&Lease, Error> {
        self.end_expired(now);
        let expires = lifetime.map(|lifetime| now.saturating_add(lifetime));
        if let Some(lease) = self.leases.get(device)
            && lease.holder != holder
        {
            return Err(Error::Held {
                holder: lease.holder.clone(),
            });
        }
        let held = self
            .leases
            .values()
            .filter(|lease| lease.holder.uid == holder.uid)
            .count();
        if held >= LEASES_PER_UID_MAX && !self.leases.contains_key(device) {
            return Err(Error::TooManyLeases {
                uid: holder.uid,
                held,
            });
        }
        let lease = self.leases.entry(device.to_owned()).or_insert(Lease {
            holder,
            since: now,
            expires,
            claim: None,
        });
        lease.expires = expires;
        Ok(lease)
    }

    /// Ends the caller's lease on the device.
    ///
    /// # Errors
    /// [`Error::NotHeld`].
    pub fn release(&mut self, device: &str, bus_name: &str, now: Duration) -> Result<(), Error> {
        self.end_expired(now);
        match self.leases.get(device) {
            Some(lease) if lease.holder.bus_name == bus_name => {
                self.leases.remove(device);
                Ok(())
            }
            _ => Err(Error::NotHeld),
        }
    }

    /// The device's lease at this time.
    pub fn lease(&self, device: &str, now: Duration) -> Option<&Lease> {
        self.leases.get(device).filter(|lease| lease.lasts(now))
    }

    /// Announces that an authorised caller wants the device, and gives the time from which it may take it.
    /// The first announcement stands: a second caller, or a second try, does not move it.
    ///
    /// # Errors
    /// [`Error::NotHeld`] if there is nothing to take over; [`Error::Held`] if another caller announced first.
    pub fn claim(
        &mut self,
        device: &str,
        by: &Holder,
        now: Duration,
        delay: Duration,
    ) -> Result<Duration, Error> {
        self.end_expired(now);
        let lease = self.leases.get_mut(device).ok_or(Error::NotHeld)?;
        let claim = lease.claim.get_or_insert_with(|| Claim {
            by: by.clone(),
            from: now.saturating_add(delay),
        });
        if claim.by == *by {
            Ok(claim.from)
        } else {
            Err(Error::Held {
                holder: claim.by.clone(),
            })
        }
    }

    /// Takes the device over after the announced delay, without an end. Gives who lost it; none if the lease
    /// had ended meanwhile, in which case the device is leased all the same.
    ///
    /// # Errors
    /// [`Error::TooEarly`] without an announcement of this caller or before its time;
    /// [`Error::TooManyLeases`].
    pub fn take_over(&mut self, device: &str, by: &Holder, now: Duration) -> Result<Option<Holder>, Error> {
        self.end_expired(now);
        let lost = match self.leases.get(device) {
            Some(lease) => match &lease.claim {
                Some(claim) if claim.by == *by && claim.from <= now => self.leases.remove(device),
                _ => return Err(Error::TooEarly),
            },
            None => None,
        };
        match self.acquire(device, by.clone(), now, None) {
            Ok(_) => Ok(lost.map(|lease| lease.holder)),
            Err(error) => {
                // The holder keeps the device when the caller may not have it.
                if let Some(lease) = lost {
                    self.leases.insert(device.to_owned(), lease);
                }
                Err(error)
            }
        }
    }

    /// The connection is gone: ends its leases and its announcements. Gives the devices that became free.
    pub fn end_all(&mut self, bus_name: &str) -> Vec<DeviceId> {
        for lease in self.leases.values_mut() {
            lease.claim.take_if(|claim| claim.by.bus_name == bus_name);
        }
        self.remove(|lease| lease.holder.bus_name == bus_name)
    }

    /// Ends what has run out by now. Gives the devices that became free.
    pub fn end_expired(&mut self, now: Duration) -> Vec<DeviceId> {
        self.remove(|lease| !lease.lasts(now))
    }

    fn remove(&mut self, ended: impl Fn(&Lease) -> bool) -> Vec<DeviceId> {
        self.leases
            .extract_if(.., |_, lease| ended(lease))
            .map(|(device, _)| device)
            .collect()
    }
}

impl Lease {
    fn lasts(&self, now: Duration) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FP: &str = "virtual-fp4-1";

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn caller(number: u32) -> Holder {
        Holder {
            bus_name: format!(":1.{number}"),
            uid: 1000 + number,
        }
    }

    #[test]
    fn a_device_has_one_holder_whom_all_can_see() {
        let mut leases = Leases::new();
        leases.acquire(FP, caller(1), at(10), None).unwrap();
        match leases.acquire(FP, caller(2), at(11), None) {
            Err(Error::Held { holder }) => assert_eq!(holder, caller(1)),
            other => panic!("{other:?}"),
        }
        let lease = leases.lease(FP, at(11)).unwrap();
        assert_eq!((&lease.holder, lease.since), (&caller(1), at(10)));
    }

    #[test]
    fn only_the_holder_releases() {
        let mut leases = Leases::new();
        leases.acquire(FP, caller(1), at(0), None).unwrap();
        assert!(matches!(leases.release(FP, ":1.2", at(1)), Err(Error::NotHeld)));
        leases.release(FP, ":1.1", at(1)).unwrap();
        assert!(leases.lease(FP, at(1)).is_none());
        assert!(matches!(leases.release(FP, ":1.1", at(1)), Err(Error::NotHeld)));
        leases.acquire(FP, caller(2), at(1), None).unwrap();
    }

    #[test]
    fn a_lease_with_an_end_ends_unless_it_is_renewed() {
        let mut leases = Leases::new();
        leases.acquire(FP, caller(1), at(0), Some(at(10))).unwrap();
        leases.acquire(FP, caller(1), at(5), Some(at(10))).unwrap();
        assert_eq!(leases.lease(FP, at(14)).unwrap().since, at(0));
        assert!(leases.lease(FP, at(15)).is_none());
        assert_eq!(leases.end_expired(at(15)), [FP]);
        leases.acquire(FP, caller(2), at(15), None).unwrap();
    }

    #[test]
    fn a_vanished_caller_holds_and_wants_nothing() {
        let mut leases = Leases::new();
        leases.acquire(FP, caller(1), at(0), None).unwrap();
        leases.acquire("camera", caller(1), at(0), None).unwrap();
        leases.acquire("scanner", caller(2), at(0), None).unwrap();
        leases.claim("scanner", &caller(1), at(0), at(5)).unwrap();
        assert_eq!(leases.end_all(":1.1"), ["camera", FP]);
        assert!(leases.lease("scanner", at(0)).unwrap().claim.is_none());
    }

    #[test]
    fn a_device_is_taken_over_after_the_stated_delay_and_not_before() {
        let mut leases = Leases::new();
        leases.acquire(FP, caller(1), at(0), None).unwrap();
        assert!(matches!(
            leases.take_over(FP, &caller(2), at(100)),
            Err(Error::TooEarly)
        ));
        assert_eq!(leases.claim(FP, &caller(2), at(100), at(30)).unwrap(), at(130));
        assert_eq!(leases.claim(FP, &caller(2), at(120), at(30)).unwrap(), at(130));
        assert!(matches!(
            leases.claim(FP, &caller(3), at(120), at(0)),
            Err(Error::Held { .. })
        ));
        assert!(matches!(
            leases.take_over(FP, &caller(3), at(130)),
            Err(Error::TooEarly)
        ));
        assert!(matches!(
            leases.take_over(FP, &caller(2), at(129)),
            Err(Error::TooEarly)
        ));
        assert_eq!(
            leases.take_over(FP, &caller(2), at(130)).unwrap(),
            Some(caller(1))
        );
        assert_eq!(leases.lease(FP, at(130)).unwrap().holder, caller(2));
        assert!(matches!(leases.release(FP, ":1.1", at(131)), Err(Error::NotHeld)));
    }

    #[test]
    fn one_user_cannot_hold_every_device() {
        let mut leases = Leases::new();
        for number in 0..LEASES_PER_UID_MAX {
            leases
                .acquire(&format!("d{number}"), caller(1), at(0), None)
                .unwrap();
        }
        leases.acquire("d0", caller(1), at(1), None).unwrap();
        assert!(matches!(
            leases.acquire("one-more", caller(1), at(1), None),
            Err(Error::TooManyLeases { uid: 1001, held: 16 })
        ));
        leases.acquire(FP, caller(2), at(1), None).unwrap();
        leases.claim(FP, &caller(1), at(1), at(0)).unwrap();
        assert!(leases.take_over(FP, &caller(1), at(1)).is_err());
        assert_eq!(leases.lease(FP, at(1)).unwrap().holder, caller(2));
    }
}
