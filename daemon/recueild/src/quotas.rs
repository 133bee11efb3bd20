//! What one user may have and cause, so that another finds room.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recueil_bus::{CallLimits, Code, Error};
use serde::Deserialize;

/// The table `[recueild.quotas]`: bounds of each user, by uid.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Calls that are worked on at once.
    pub(crate) calls_at_once: usize,
    /// Calls that wait for their turn.
    pub(crate) calls_waiting: usize,
    /// Calls a second, while other users call too.
    pub(crate) calls_per_second: u32,
    /// Calls that wait for a person's approval.
    pub(crate) approvals: usize,
    /// Agent sessions: connections with an agent at work.
    pub(crate) sessions: usize,
    /// Dossiers in use.
    pub(crate) dossiers_in_use: usize,
    /// Drafts kept on the station.
    pub(crate) drafts: usize,
    /// Drafts opened in an hour.
    pub(crate) drafts_per_hour: u32,
    /// Changes of drafts in an hour: each is a line of the journal for ever.
    pub(crate) changes_per_hour: u32,
    /// Captures that run.
    pub(crate) captures: usize,
    /// Devices held.
    pub(crate) leases: usize,
    /// MiB of pictures given to clients in an hour: memory that only they can give back.
    pub(crate) shown_mib_per_hour: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            calls_at_once: 8,
            calls_waiting: 64,
            calls_per_second: 1000,
            approvals: 64,
            sessions: 32,
            dossiers_in_use: 32,
            drafts: 100,
            drafts_per_hour: 240,
            changes_per_hour: 10_000,
            captures: 8,
            leases: 16,
            shown_mib_per_hour: 1024,
        }
    }
}

/// No quota of a count is above this: lists of drafts and the store have their own bounds near it.
const COUNT_MAX: usize = 200;
/// No quota of a rate is above this.
const RATE_MAX: u32 = 1_000_000;

impl Config {
    /// A quota of nothing locks everybody out, and one without measure is none.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = [
            ("calls_at_once", self.calls_at_once),
            ("calls_waiting", self.calls_waiting),
            ("approvals", self.approvals),
            ("sessions", self.sessions),
            ("dossiers_in_use", self.dossiers_in_use),
            ("drafts", self.drafts),
            ("captures", self.captures),
            ("leases", self.leases),
        ];
        let rates = [
            ("calls_per_second", self.calls_per_second),
            ("drafts_per_hour", self.drafts_per_hour),
            ("changes_per_hour", self.changes_per_hour),
            ("shown_mib_per_hour", self.shown_mib_per_hour),
        ];
        for (name, value) in counts {
            if !(1..=COUNT_MAX).contains(&value) {
                return Err(out_of(name, &value, &COUNT_MAX));
            }
        }
        for (name, value) in rates {
            if !(1..=RATE_MAX).contains(&value) {
                return Err(out_of(name, &value, &RATE_MAX));
            }
        }
        Ok(())
    }

    /// What the bus keeps to.
    pub(crate) fn calls(&self) -> CallLimits {
        CallLimits {
            at_once: self.calls_at_once,
            waiting: self.calls_waiting,
            per_second: self.calls_per_second,
            questions: self.approvals,
        }
    }
}

fn out_of(name: &str, value: &dyn std::fmt::Display, max: &dyn std::fmt::Display) -> String {
    format!("recueild.quotas.{name} is {value}; 1 to {max} are allowed")
}

/// The quotas, and what of the hourly ones is used.
#[derive(Debug)]
pub(crate) struct Quotas {
    pub(crate) config: Config,
    drafts: Mutex<Budget>,
    changes: Mutex<Budget>,
    shown: Mutex<Budget>,
}

/// Bytes that giving a picture costs at least: its line of the journal, its descriptor.
const SHOWN_MIN_BYTES: u64 = 64 << 10;
const HOUR: Duration = Duration::from_hours(1);

impl Quotas {
    pub(crate) fn new(config: Config) -> Self {
        let hourly = |most: u64| Mutex::new(Budget::new(most, HOUR));
        Self {
            drafts: hourly(config.drafts_per_hour.into()),
            changes: hourly(config.changes_per_hour.into()),
            shown: hourly(u64::from(config.shown_mib_per_hour) << 20),
            config,
        }
    }

    /// Counts a draft that is opened.
    pub(crate) fn open_draft(&self, uid: u32) -> Result<(), Error> {
        let max = self.config.drafts_per_hour;
        lock(&self.drafts).spend(uid, 1, Instant::now()).map_err(|wait| {
            let text =
                format!("this user opened {max} drafts within an hour; wait, or use those that are open");
            later(text, wait)
        })
    }

    /// Counts a change of a draft.
    pub(crate) fn change(&self, uid: u32) -> Result<(), Error> {
        let max = self.config.changes_per_hour;
        lock(&self.changes).spend(uid, 1, Instant::now()).map_err(|wait| {
            let text = format!("this user changed drafts {max} times within an hour; wait");
            later(text, wait)
        })
    }

    /// Counts a picture that is given to a client.
    pub(crate) fn show(&self, uid: u32, len_bytes: u64) -> Result<(), Error> {
        let max = self.config.shown_mib_per_hour;
        let cost = len_bytes.max(SHOWN_MIN_BYTES);
        lock(&self.shown)
            .spend(uid, cost, Instant::now())
            .map_err(|wait| {
                let text =
                    format!("this user was given {max} MiB of pictures within an hour; keep what was given");
                later(text, wait)
            })
    }
}

/// One thing more than a quota of a count allows.
pub(crate) fn too_many(have: usize, max: usize, what: &str, do_this: &str) -> Result<(), Error> {
    if have < max {
        return Ok(());
    }
    let text = format!("this user has {max} {what}, the most that one user may have; {do_this}");
    Err(Error::new(Code::TooMany, text))
}

fn later(text: String, wait: Duration) -> Error {
    let seconds = wait.as_millis().div_ceil(1000);
    Error::new(Code::TooMany, text).with("seconds", seconds.to_string())
}

fn lock(budget: &Mutex<Budget>) -> MutexGuard<'_, Budget> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What users spend of something that comes back evenly with time.
#[derive(Debug)]
struct Budget {
    most: u64,
    over: Duration,
    spent: HashMap<u32, Spent>,
}

#[derive(Debug, Clone, Copy)]
struct Spent {
    amount: u64,
    at: Instant,
}

impl Budget {
    fn new(most: u64, over: Duration) -> Self {
        Self {
            most,
            over,
            spent: HashMap::new(),
        }
    }

    /// Spends, or says how long to wait.
    fn spend(&mut self, uid: u32, cost: u64, now: Instant) -> Result<(), Duration> {
        // What is more than all of it can be had by who has all of it.
        let cost = cost.min(self.most);
        let before = self
            .spent
            .get(&uid)
            .copied()
            .unwrap_or(Spent { amount: 0, at: now });
        let back = self.back_after(now.duration_since(before.at));
        // What has come back in part counts on from its time.
        let (amount, at) = match before.amount.saturating_sub(back) {
            0 => (0, now),
            amount if back == 0 => (amount, before.at),
            amount => (amount, now),
        };
        let after = amount.saturating_add(cost);
        if after > self.most {
            self.spent.insert(uid, Spent { amount, at });
            return Err(self.time_of(after - self.most));
        }
        self.spent.insert(uid, Spent { amount: after, at });
        // Users who have all of theirs are not remembered.
        if amount == 0 {
            let over = self.over;
            self.spent.retain(|_, spent| now.duration_since(spent.at) < over);
        }
        Ok(())
    }

    fn back_after(&self, elapsed: Duration) -> u64 {
        let back = u128::from(self.most) * elapsed.as_millis() / self.over.as_millis().max(1);
        u64::try_from(back).unwrap_or(u64::MAX)
    }

    fn time_of(&self, amount: u64) -> Duration {
        let wait = u128::from(amount) * self.over.as_millis() / u128::from(self.most.max(1));
        Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_by_each_user_and_comes_back() {
        let now = Instant::now();
        let mut budget = Budget::new(10, HOUR);
        for _ in 0..10 {
            budget.spend(1, 1, now).unwrap();
        }
        assert_eq!(budget.spend(1, 1, now), Err(HOUR / 10));
        budget.spend(2, 10, now).unwrap();
        budget.spend(1, 1, now + HOUR / 10).unwrap();
        assert!(budget.spend(1, 1, now + HOUR / 10).is_err());
        budget.spend(1, 9, now + HOUR).unwrap();
        assert!(budget.spend(1, 2, now + HOUR).is_err());
    }

    #[test]
    fn who_asks_in_vain_waits_no_longer_for_it() {
        let now = Instant::now();
        let mut budget = Budget::new(10, HOUR);
        budget.spend(1, 10, now).unwrap();
        for second in 1..360 {
            assert!(budget.spend(1, 1, now + Duration::from_secs(second)).is_err());
        }
        budget.spend(1, 1, now + HOUR / 10).unwrap();
    }

    #[test]
    fn a_user_is_forgotten_when_all_has_come_back() {
        let now = Instant::now();
        let mut budget = Budget::new(10, HOUR);
        for uid in 0..100 {
            budget.spend(uid, 1, now).unwrap();
        }
        budget.spend(200, 1, now + HOUR).unwrap();
        assert_eq!(budget.spent.len(), 1);
    }

    #[test]
    fn what_is_too_much_says_so_and_what_to_do() {
        let quotas = Quotas::new(Config {
            shown_mib_per_hour: 1,
            ..Config::default()
        });
        quotas.show(1, 1 << 20).unwrap();
        let refused = quotas.show(1, 1).unwrap_err();
        assert_eq!(refused.code, Code::TooMany);
        assert_eq!(refused.details["seconds"], "225");
        assert!(too_many(2, 3, "drafts", "seal some").is_ok());
        assert!(
            too_many(3, 3, "drafts", "seal some")
                .unwrap_err()
                .text
                .contains("seal some")
        );
    }
}
