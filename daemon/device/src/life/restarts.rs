//! When a host that failed is started again: once at once, then after pauses that double, and not at all when
//! it failed too often.
//!
//! A pause has a quarter of it less or more by chance, so that devices which failed together are not started
//! together. What counts towards quarantine is only what the plugin's own code did.

use std::collections::VecDeque;
use std::time::Duration;

use recueil_wire::devices::FailureCode;
use serde::Deserialize;
use tokio::time::Instant;

use crate::Error;

/// What the administrator may change: `[hostd.restart]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestartPolicy {
    /// The pause after the second failure in a row; the first is followed by none.
    pub first_pause_ms: u32,
    /// Pauses double up to this.
    pub pause_max_ms: u32,
    /// After this long in good service a failure counts as the first again.
    pub good_service_s: u32,
    /// Failures within `window_s` after which the device is put into quarantine.
    pub failures_max: u32,
    /// See `failures_max`.
    pub window_s: u32,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            first_pause_ms: 500,
            pause_max_ms: 60_000,
            good_service_s: 60,
            failures_max: 5,
            window_s: 300,
        }
    }
}

impl RestartPolicy {
    /// Refuses what cannot be meant.
    pub(crate) fn check(self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::ConfigValue(format!("[hostd.restart]: {what}")));
        if self.first_pause_ms == 0 || self.first_pause_ms > self.pause_max_ms {
            return wrong("first_pause_ms is 1 to pause_max_ms");
        }
        if !(1..=FAILURES_MAX).contains(&self.failures_max) || self.window_s == 0 {
            return wrong("failures_max is 1 to 1000, window_s 1 or more");
        }
        Ok(())
    }
}

const FAILURES_MAX: u32 = 1000;

/// The failures of one device's hosts.
#[derive(Debug)]
pub(super) struct Restarts {
    policy: RestartPolicy,
    in_a_row: u32,
    /// Those that count, the oldest first.
    failures: VecDeque<Instant>,
}

/// What follows a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Again { after: Duration },
    Quarantine,
}

impl Restarts {
    pub(super) fn new(policy: RestartPolicy) -> Self {
        Self {
            policy,
            in_a_row: 0,
            failures: VecDeque::new(),
        }
    }

    /// A host failed that was in service for `served`; `chance` is any number.
    pub(super) fn failed(
        &mut self,
        code: FailureCode,
        served: Option<Duration>,
        now: Instant,
        chance: u8,
    ) -> Next {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        if served.is_some_and(|served| served >= seconds(self.policy.good_service_s)) {
            self.in_a_row = 0;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        if is_the_plugins_doing(code) {
            self.failures.push_back(now);
            let window = seconds(self.policy.window_s);
            while self
                .failures
                .front()
                .is_some_and(|then| now.duration_since(*then) > window)
            {
                self.failures.pop_front();
            }
            if self.failures.len() >= usize::try_from(self.policy.failures_max).unwrap_or(usize::MAX) {
                return Next::Quarantine;
            }
        }
        let doublings = match self.in_a_row.checked_sub(2) {
            Some(doublings) => doublings,
            // Trying again at once what was refused would give the same.
            None if is_refusal(code) => 0,
            None => {
                return Next::Again {
                    after: Duration::ZERO,
                };
            }
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let pause_ms = self
            .policy
            .first_pause_ms
            .saturating_mul(factor)
            .min(self.policy.pause_max_ms);
        // Between 3/4 and 5/4 of it, in steps of 1/512.
        let pause = Duration::from_millis(pause_ms.into());
        Next::Again {
            after: pause * (384 + u32::from(chance)) / 512,
        }
    }

    /// Somebody has plugged the device in again: no pause that runs is to be sat out. What counts still counts.
    pub(super) fn plugged_in(&mut self) {
        self.in_a_row = 0;
    }

    /// Somebody has lifted the quarantine.
    pub(super) fn forgive(&mut self) {
        self.in_a_row = 0;
        self.failures.clear();
    }

    pub(super) fn policy(&self) -> RestartPolicy {
        self.policy
    }
}

/// Its code ended, hung, or broke the contract. What the device, the files or the machine did is not its doing.
fn is_the_plugins_doing(code: FailureCode) -> bool {
    matches!(
        code,
        FailureCode::PluginCrashed | FailureCode::PluginHung | FailureCode::PluginMisbehaved
    )
}

fn is_refusal(code: FailureCode) -> bool {
    matches!(code, FailureCode::PluginRefused | FailureCode::NoSandbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDDLE: u8 = 128;

    fn pauses_ms(restarts: &mut Restarts, code: FailureCode, count: usize) -> Vec<u128> {
        let now = Instant::now();
        (0..count)
            .map(|_| match restarts.failed(code, None, now, MIDDLE) {
                Next::Again { after } => after.as_millis(),
                Next::Quarantine => panic!("quarantine"),
            })
            .collect()
    }

    #[tokio::test]
    async fn the_first_restart_is_at_once_and_pauses_double_up_to_the_limit() {
        let policy = RestartPolicy {
            failures_max: 100,
            pause_max_ms: 3_000,
            ..RestartPolicy::default()
        };
        let mut restarts = Restarts::new(policy);
        let crashes = pauses_ms(&mut restarts, FailureCode::PluginCrashed, 6);
        assert_eq!(crashes, [0, 500, 1_000, 2_000, 3_000, 3_000]);
        // The counter cannot run over.
        restarts.in_a_row = u32::MAX - 1;
        let late = pauses_ms(&mut restarts, FailureCode::PluginCrashed, 3);
        assert_eq!(late, [3_000; 3]);
        restarts.plugged_in();
        assert_eq!(pauses_ms(&mut restarts, FailureCode::PluginCrashed, 2), [0, 500]);
    }

    #[tokio::test]
    async fn pauses_differ_by_chance_by_a_quarter_at_most() {
        for (chance, pause_ms) in [(0, 375), (MIDDLE, 500), (255, 624)] {
            let mut restarts = Restarts::new(RestartPolicy::default());
            restarts.in_a_row = 1;
            let next = restarts.failed(FailureCode::DeviceError, None, Instant::now(), chance);
            let Next::Again { after } = next else {
                panic!("{next:?}")
            };
            assert_eq!(after.as_millis(), pause_ms);
        }
    }

    #[tokio::test]
    async fn good_service_makes_the_next_failure_the_first_again() {
        let mut restarts = Restarts::new(RestartPolicy::default());
        pauses_ms(&mut restarts, FailureCode::DeviceError, 4);
        let now = Instant::now();
        let mut after = |served_s| {
            let served = Some(Duration::from_secs(served_s));
            restarts.failed(FailureCode::DeviceError, served, now, MIDDLE)
        };
        let pause = |ms| Next::Again {
            after: Duration::from_millis(ms),
        };
        assert_eq!(after(59), pause(4_000));
        assert_eq!(after(60), pause(0));
        assert_eq!(after(1), pause(500));
    }

    #[tokio::test]
    async fn so_many_failures_in_the_window_and_no_fewer_mean_quarantine() {
        let mut restarts = Restarts::new(RestartPolicy::default());
        let begun = Instant::now();
        let mut at = |seconds, code| {
            let now = begun + Duration::from_secs(seconds);
            restarts.failed(code, None, now, MIDDLE) == Next::Quarantine
        };
        assert!(!at(0, FailureCode::PluginCrashed));
        assert!(!at(100, FailureCode::PluginHung));
        assert!(!at(200, FailureCode::PluginMisbehaved));
        for _ in 0..10 {
            assert!(!at(250, FailureCode::DeviceError), "not the plugin's doing");
            assert!(!at(250, FailureCode::PluginRefused), "not the plugin's doing");
        }
        assert!(!at(300, FailureCode::PluginCrashed));
        // The first is out of the window by now.
        assert!(!at(301, FailureCode::PluginCrashed));
        assert!(at(302, FailureCode::PluginCrashed));
        restarts.forgive();
        assert!(!{
            let now = begun + Duration::from_secs(303);
            restarts.failed(FailureCode::PluginCrashed, None, now, MIDDLE) == Next::Quarantine
        });
    }

    #[tokio::test]
    async fn what_was_refused_is_not_tried_again_at_once() {
        let mut restarts = Restarts::new(RestartPolicy::default());
        let refusals = pauses_ms(&mut restarts, FailureCode::PluginRefused, 3);
        assert_eq!(refusals, [500, 500, 1_000]);
    }
}
