//! Which call is disturbed, and how.

use std::fmt;

use rustix::io::Errno;

use crate::log::Call;

/// On which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It has no effect.
    Before,
    /// It has its effect, and its caller is not told.
    After,
}

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It fails, without an effect.
    Fail(Errno),
    /// It fails, and so does every later one that the plan is for.
    FailOn(Errno),
    /// Its caller's process is killed.
    Kill(Moment),
    /// It waits until the test lets it go on; others go on meanwhile.
    Hold(Moment),
    /// The power goes: this and every later call, of anybody, fails with `EIO`, until the cut is made.
    Cut,
}

/// The n-th call of some, and what happens to it.
pub struct Plan {
    pub(crate) concerned: Box<dyn Fn(&Call) -> bool + Send>,
    pub(crate) calls_left: usize,
    pub(crate) action: Action,
    pub(crate) met: Option<Call>,
    pub(crate) refused: usize,
}

impl Plan {
    /// At the call number `nth` (from 1) of those that are `concerned`.
    pub fn new(nth: usize, action: Action, concerned: impl Fn(&Call) -> bool + Send + 'static) -> Self {
        Self {
            concerned: Box::new(concerned),
            calls_left: nth,
            action,
            met: None,
            refused: 0,
        }
    }

    /// What happens to this call.
    pub(crate) fn at(&mut self, call: &Call) -> Option<Action> {
        let action = self.chosen(call);
        if matches!(action, Some(Action::Fail(_) | Action::FailOn(_))) {
            self.refused += 1;
        }
        action
    }

    fn chosen(&mut self, call: &Call) -> Option<Action> {
        if !(self.concerned)(call) {
            return None;
        }
        if self.met.is_some() {
            return matches!(self.action, Action::FailOn(_)).then_some(self.action);
        }
        self.calls_left = self.calls_left.saturating_sub(1);
        if self.calls_left > 0 {
            return None;
        }
        self.met = Some(call.clone());
        Some(self.action)
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("calls_left", &self.calls_left)
            .field("action", &self.action)
            .field("met", &self.met)
            .finish_non_exhaustive()
    }
}
