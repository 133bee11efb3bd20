//! How long drafts last where the clock cannot be relied on.
//!
//! A draft ends at a time of day, by the station's clock. A station that starts with an empty battery believes in
//! another year until the network corrects it, and then every draft of the day would be over at once, with prints
//! that a citizen has just given; a clock that is set back would keep them for a year. So while the machine runs a
//! draft lasts as long as was meant by the clock that nobody sets.
//!
//! While the machine is off nobody counts but the clock. A draft found at a start has the time left that the clock
//! gives it, where the clock can be true; where it stands before the draft's opening it is wrong, and whatever it
//! says once it is set counts, but no draft lasts longer from there than was meant in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use recueil_dossier::DossierId;
use rustix::time::{ClockId, clock_gettime};

/// Time since the machine started, sleep included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SinceBoot(Duration);

impl SinceBoot {
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        Self(Duration::new(seconds, nanos))
    }
}

/// The end of a draft's time.
#[derive(Debug, Clone, Copy)]
struct Term {
    over: SinceBoot,
    /// Not before it either, whatever the clock says.
    whole: bool,
}

/// The drafts' terms; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Lasting(Arc<Mutex<HashMap<DossierId, Term>>>);

/// Drafts remembered; beyond, the clock alone decides.
const LASTING_MAX: usize = 10_000;

impl Lasting {
    /// A draft was opened that is to last so long.
    pub(super) fn opened(&self, id: DossierId, lasts: Duration, now: SinceBoot) {
        self.remember(id, lasts, true, now);
    }

    /// A draft was there at the start.
    pub(super) fn found(
        &self,
        id: DossierId,
        (opened_at, expires_at): (Timestamp, Timestamp),
        clock: Timestamp,
        now: SinceBoot,
    ) {
        let can_be_true = opened_at <= clock;
        let from = clock.max(opened_at);
        self.remember(id, between(from, expires_at), can_be_true, now);
    }

    fn remember(&self, id: DossierId, lasts: Duration, whole: bool, now: SinceBoot) {
        let mut terms = self.terms();
        if terms.len() < LASTING_MAX {
            let over = SinceBoot(now.0.saturating_add(lasts));
            terms.insert(id, Term { over, whole });
        }
    }

    /// What is over, of those that are by the clock and of all others. Each is given until it is forgotten.
    pub(super) fn over(&self, by_the_clock: Vec<DossierId>, now: SinceBoot) -> Vec<DossierId> {
        let mut over = by_the_clock;
        let terms = self.terms();
        over.retain(|id| terms.get(id).is_none_or(|term| !term.whole || term.over <= now));
        let passed = terms.iter().filter(|(_, term)| term.over <= now);
        over.extend(passed.map(|(id, _)| *id));
        over.sort_unstable();
        over.dedup();
        over
    }

    /// It is no draft any more.
    pub(super) fn forget(&self, id: DossierId) {
        self.terms().remove(&id);
    }

    fn terms(&self) -> MutexGuard<'_, HashMap<DossierId, Term>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From one time to a later one.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> DossierId {
        DossierId::new(Timestamp::UNIX_EPOCH, [number; 10])
    }

    fn at(seconds: u64) -> SinceBoot {
        SinceBoot(Duration::from_secs(seconds))
    }

    fn clock(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    /// What is over where the clock says that the draft's time is, and where it says that it is not.
    fn over(lasting: &Lasting, now: SinceBoot) -> [bool; 2] {
        [vec![id(1)], vec![]].map(|by_the_clock| lasting.over(by_the_clock, now) == [id(1)])
    }

    const WHATEVER_THE_CLOCK_SAYS: [bool; 2] = [true, true];
    const AS_THE_CLOCK_SAYS: [bool; 2] = [true, false];
    const NOT_WHATEVER_THE_CLOCK_SAYS: [bool; 2] = [false, false];

    #[test]
    fn a_draft_lasts_as_long_as_was_meant_however_the_clock_is_set() {
        let lasting = Lasting::default();
        lasting.opened(id(1), Duration::from_secs(100), at(1000));
        assert_eq!(over(&lasting, at(1099)), NOT_WHATEVER_THE_CLOCK_SAYS);
        assert_eq!(over(&lasting, at(1100)), WHATEVER_THE_CLOCK_SAYS);
        assert_eq!(
            over(&lasting, at(1100)),
            WHATEVER_THE_CLOCK_SAYS,
            "until it is destroyed"
        );
        lasting.forget(id(1));
        assert_eq!(over(&lasting, at(1100)), AS_THE_CLOCK_SAYS);
    }

    #[test]
    fn a_draft_from_before_the_start_lasts_no_longer_than_was_meant() {
        // Opened at 5000 by the clock, for 100 seconds; 30 are left.
        let lasting = Lasting::default();
        lasting.found(id(1), (clock(5000), clock(5100)), clock(5070), at(10));
        assert_eq!(over(&lasting, at(39)), NOT_WHATEVER_THE_CLOCK_SAYS);
        assert_eq!(over(&lasting, at(40)), WHATEVER_THE_CLOCK_SAYS);
        // Its time was over when the service started.
        lasting.found(id(1), (clock(5000), clock(5100)), clock(9000), at(10));
        assert_eq!(over(&lasting, at(10)), WHATEVER_THE_CLOCK_SAYS);
    }

    #[test]
    fn a_clock_from_before_the_opening_decides_when_it_is_set_and_keeps_no_draft_for_ever() {
        let lasting = Lasting::default();
        lasting.found(id(1), (clock(5000), clock(5100)), clock(0), at(10));
        assert_eq!(over(&lasting, at(109)), AS_THE_CLOCK_SAYS);
        assert_eq!(over(&lasting, at(110)), WHATEVER_THE_CLOCK_SAYS);
    }

    #[test]
    fn the_clock_that_nobody_sets_goes_on() {
        assert!(SinceBoot::now() <= SinceBoot::now());
        assert!(SinceBoot::now() > at(0));
    }
}
