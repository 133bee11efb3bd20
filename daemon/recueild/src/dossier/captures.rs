//! The captures of one dossier: at most one runs, and the last few can still be asked about.

use std::collections::VecDeque;

use tokio_util::sync::CancellationToken;

/// Captures that are over and can still be asked about, of one dossier.
const LINGERING_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Captures {
    /// What ends each, the newest last.
    stops: VecDeque<CancellationToken>,
    /// Cancelled when the newest is over.
    over: Option<CancellationToken>,
}

impl Captures {
    /// What is cancelled when the running capture is over; none where none runs.
    pub(super) fn running(&self) -> Option<CancellationToken> {
        self.over.clone().filter(|over| !over.is_cancelled())
    }

    /// Takes a new one in. The oldest of too many is forgotten.
    pub(super) fn add(&mut self, stop: CancellationToken, over: CancellationToken) {
        self.stops.push_back(stop);
        self.over = Some(over);
        if self.stops.len() > LINGERING_MAX
            && let Some(oldest) = self.stops.pop_front()
        {
            oldest.cancel();
        }
    }

    /// Cancels the one that runs.
    pub(super) fn cancel(&self) {
        if self.running().is_some()
            && let Some(newest) = self.stops.back()
        {
            newest.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> CancellationToken {
        CancellationToken::new()
    }

    #[test]
    fn a_capture_runs_until_its_hold_is_dropped() {
        let (mut captures, stop, over) = (Captures::default(), token(), token());
        assert!(captures.running().is_none());
        let hold = over.clone().drop_guard();
        captures.add(stop.clone(), over);
        assert!(captures.running().is_some());
        captures.cancel();
        assert!(stop.is_cancelled());
        assert!(
            captures.running().is_some(),
            "cancelled, it still ends its processes"
        );
        drop(hold);
        assert!(captures.running().is_none());
    }

    #[test]
    fn only_the_last_captures_can_still_be_asked_about() {
        let mut captures = Captures::default();
        let stops: Vec<_> = (0..10).map(|_| token()).collect();
        for stop in &stops {
            let over = token();
            over.cancel();
            captures.add(stop.clone(), over);
        }
        let ended: Vec<_> = stops.iter().map(CancellationToken::is_cancelled).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 2);
        assert!(ended.starts_with(&[true, true]));
        captures.cancel();
        assert!(
            !stops[9].is_cancelled(),
            "one that is over is not cancelled but asked about"
        );
    }
}
