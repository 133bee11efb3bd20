//! Who waits at the door: a line a user, served in turns. A user with thousands of calls makes nobody wait but
//! himself, and one whose line is full is told so.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Bounds on the calls of one user.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// Being worked on at once, those that wait for a person or for CERT not counted.
    pub at_once: usize,
    /// Waiting for their turn; more are refused.
    pub waiting: usize,
    /// A second, where other users call too.
    pub per_second: u32,
    /// Waiting for the approval of a person.
    pub questions: usize,
}

/// Bytes of waiting calls of one user, and of all programs that have just connected.
const WAITING_MAX_BYTES: usize = 1 << 20;
/// Programs that have just connected and whose user is being asked for.
const NEWCOMERS_MAX: usize = 1024;
/// Users that called within this time share the station.
const SHARING: Duration = Duration::from_secs(2);
/// A user who shares it may have saved up calls for this long.
const SAVED: Duration = Duration::from_millis(100);

/// One call, whole.
pub(super) struct Call {
    pub(super) sender: String,
    pub(super) serial: u32,
    /// Its sender awaits no answer.
    pub(super) silent: bool,
    pub(super) bytes: Vec<u8>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what it says, which may be of a person.
        f.debug_struct("Call")
            .field("sender", &self.sender)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// A call that found no place.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Call);

/// What may be done next.
#[derive(Debug)]
pub(super) enum Next {
    /// This call.
    Call(Call),
    /// Nothing before this time, unless something comes in or is finished.
    At(Instant),
    /// Nothing, unless something comes in or is finished.
    Nothing,
}

#[derive(Debug)]
struct Line {
    waiting: VecDeque<Call>,
    bytes: usize,
    at_once: usize,
    called: Instant,
    /// The next call may begin at this time, where others call too.
    due: Instant,
}

/// A call that was begun.
#[derive(Debug)]
struct Begun {
    uid: u32,
    /// It still counts as one at work.
    counts: bool,
    silent: bool,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Lines {
    limits: CallLimits,
    users: HashMap<String, u32>,
    newcomers: HashMap<String, VecDeque<Call>>,
    newcomers_bytes: usize,
    of_users: HashMap<u32, Line>,
    /// Users with waiting calls, the next first.
    turn: VecDeque<u32>,
    begun: HashMap<String, HashMap<u32, Begun>>,
}

impl Lines {
    pub(super) fn new(limits: CallLimits) -> Self {
        Self {
            limits,
            users: HashMap::new(),
            newcomers: HashMap::new(),
            newcomers_bytes: 0,
            of_users: HashMap::new(),
            turn: VecDeque::new(),
            begun: HashMap::new(),
        }
    }

    /// Takes a call in. Says whether its sender is new, and its user must be asked for.
    pub(super) fn push(&mut self, call: Call, now: Instant) -> Result<bool, Refused> {
        if let Some(uid) = self.users.get(&call.sender).copied() {
            self.stand_in_line(uid, call, now)?;
            return Ok(false);
        }
        let bytes = self.newcomers_bytes + call.bytes.len();
        let count = self.newcomers.len();
        let own = self.newcomers.get(&call.sender).map_or(0, VecDeque::len);
        if bytes > WAITING_MAX_BYTES || own >= self.limits.waiting || (own == 0 && count >= NEWCOMERS_MAX) {
            return Err(Refused(call));
        }
        self.newcomers_bytes = bytes;
        self.newcomers
            .entry(call.sender.clone())
            .or_default()
            .push_back(call);
        Ok(own == 0)
    }

    /// The bus says whose a newcomer is. Gives back what finds no place.
    pub(super) fn introduce(&mut self, sender: &str, uid: Option<u32>, now: Instant) -> Vec<Refused> {
        let Some(waiting) = self.newcomers.remove(sender) else {
            return Vec::new();
        };
        self.newcomers_bytes -= waiting.iter().map(|call| call.bytes.len()).sum::<usize>();
        // One that left before it was introduced awaits nothing.
        let Some(uid) = uid else { return Vec::new() };
        self.users.insert(sender.to_owned(), uid);
        let placed = waiting.into_iter().map(|call| self.stand_in_line(uid, call, now));
        placed.filter_map(Result::err).collect()
    }

    fn stand_in_line(&mut self, uid: u32, call: Call, now: Instant) -> Result<(), Refused> {
        let line = self.of_users.entry(uid).or_insert_with(|| Line {
            waiting: VecDeque::new(),
            bytes: 0,
            at_once: 0,
            called: now,
            due: now.checked_sub(SAVED).unwrap_or(now),
        });
        line.called = now;
        let bytes = line.bytes + call.bytes.len();
        if line.waiting.len() >= self.limits.waiting || bytes > WAITING_MAX_BYTES {
            return Err(Refused(call));
        }
        line.bytes = bytes;
        if line.waiting.is_empty() {
            self.turn.push_back(uid);
        }
        line.waiting.push_back(call);
        Ok(())
    }

    /// The next call, of the user who has waited for his turn longest among those who may begin one.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        let sharing = self
            .of_users
            .values()
            .filter(|line| now.duration_since(line.called) < SHARING)
            .count()
            > 1;
        let mut earliest: Option<Instant> = None;
        for _turn in 0..self.turn.len() {
            let Some(uid) = self.turn.pop_front() else { break };
            let Some(line) = self.of_users.get_mut(&uid) else {
                continue;
            };
            if line.at_once >= self.limits.at_once {
                self.turn.push_back(uid);
                continue;
            }
            if sharing && line.due > now {
                earliest = Some(earliest.map_or(line.due, |other| other.min(line.due)));
                self.turn.push_back(uid);
                continue;
            }
            let Some(call) = line.waiting.pop_front() else {
                continue;
            };
            line.bytes -= call.bytes.len();
            line.at_once += 1;
            let pause = Duration::from_secs(1) / self.limits.per_second.max(1);
            line.due = line.due.max(now.checked_sub(SAVED).unwrap_or(now)) + pause;
            if !line.waiting.is_empty() {
                self.turn.push_back(uid);
            }
            let begun = Begun {
                uid,
                counts: true,
                silent: call.silent,
            };
            self.begun
                .entry(call.sender.clone())
                .or_default()
                .insert(call.serial, begun);
            return Next::Call(call);
        }
        earliest.map_or(Next::Nothing, Next::At)
    }

    /// A call that was begun waits for somebody else from now on; it makes nobody wait.
    pub(super) fn set_aside(&mut self, sender: &str, serial: u32) {
        let begun = self
            .begun
            .get_mut(sender)
            .and_then(|calls| calls.get_mut(&serial));
        if let Some(begun) = begun
            && std::mem::take(&mut begun.counts)
            && let Some(line) = self.of_users.get_mut(&begun.uid)
        {
            line.at_once = line.at_once.saturating_sub(1);
        }
    }

    /// Whether the answer to a call is to be sent.
    pub(super) fn is_awaited(&self, sender: &str, serial: u32) -> bool {
        let begun = self.begun.get(sender).and_then(|calls| calls.get(&serial));
        begun.is_none_or(|begun| !begun.silent)
    }

    /// A call is answered.
    pub(super) fn finish(&mut self, sender: &str, serial: u32) {
        self.set_aside(sender, serial);
        if let Some(calls) = self.begun.get_mut(sender) {
            calls.remove(&serial);
            if calls.is_empty() {
                self.begun.remove(sender);
            }
        }
    }

    /// A program left the bus: what it still waited for is dropped.
    pub(super) fn forget(&mut self, sender: &str) {
        if let Some(waiting) = self.newcomers.remove(sender) {
            self.newcomers_bytes -= waiting.iter().map(|call| call.bytes.len()).sum::<usize>();
        }
        for serial in self
            .begun
            .get(sender)
            .map(|calls| calls.keys().copied().collect::<Vec<_>>())
            .unwrap_or_default()
        {
            self.finish(sender, serial);
        }
        let Some(uid) = self.users.remove(sender) else {
            return;
        };
        if let Some(line) = self.of_users.get_mut(&uid) {
            line.waiting.retain(|call| call.sender != sender);
            line.bytes = line.waiting.iter().map(|call| call.bytes.len()).sum();
            if line.waiting.is_empty() {
                self.turn.retain(|other| *other != uid);
            }
        }
        if !self.users.values().any(|other| *other == uid) {
            self.of_users.remove(&uid);
            self.turn.retain(|other| *other != uid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallLimits = CallLimits {
        at_once: 2,
        waiting: 4,
        per_second: 100,
        questions: 4,
    };

    fn call(sender: &str, serial: u32) -> Call {
        Call {
            sender: sender.to_owned(),
            serial,
            silent: false,
            bytes: vec![0; 100],
        }
    }

    /// Lines with two programs of user 1 and one of user 2.
    fn lines(now: Instant) -> Lines {
        let mut lines = Lines::new(LIMITS);
        for (sender, uid) in [(":1.1", 1), (":1.2", 1), (":1.3", 2)] {
            assert!(
                lines.push(call(sender, 0), now).unwrap(),
                "its user is not known yet"
            );
            assert!(lines.introduce(sender, Some(uid), now).is_empty());
        }
        while let Next::Call(call) = lines.next(now) {
            lines.finish(&call.sender, call.serial);
        }
        lines
    }

    fn next(lines: &mut Lines, now: Instant) -> Option<(String, u32)> {
        match lines.next(now) {
            Next::Call(call) => Some((call.sender, call.serial)),
            Next::At(_) | Next::Nothing => None,
        }
    }

    #[test]
    fn users_are_served_in_turns_however_many_calls_one_has() {
        let now = Instant::now();
        let mut lines = lines(now);
        let now = now + SHARING / 2;
        for serial in 1..=4 {
            lines.push(call(":1.1", serial), now).unwrap();
        }
        lines.push(call(":1.3", 1), now).unwrap();
        assert_eq!(next(&mut lines, now), Some((":1.1".to_owned(), 1)));
        assert_eq!(next(&mut lines, now), Some((":1.3".to_owned(), 1)));
        assert_eq!(next(&mut lines, now), Some((":1.1".to_owned(), 2)));
        assert_eq!(next(&mut lines, now), None, "two at once are enough");
        assert!(lines.is_awaited(":1.1", 1));
        lines.finish(":1.1", 1);
        assert_eq!(next(&mut lines, now), Some((":1.1".to_owned(), 3)));
    }

    #[test]
    fn a_line_that_is_full_refuses_its_user_and_nobody_else() {
        let now = Instant::now();
        let mut lines = lines(now);
        for serial in 1..=4 {
            lines.push(call(":1.1", serial), now).unwrap();
        }
        assert!(lines.push(call(":1.2", 5), now).is_err(), "the same user's");
        assert!(lines.push(call(":1.3", 1), now).is_ok());
        let large = Call {
            bytes: vec![0; WAITING_MAX_BYTES],
            ..call(":1.3", 2)
        };
        assert!(lines.push(large, now).is_err());
    }

    #[test]
    fn what_waits_for_a_person_makes_nobody_wait() {
        let now = Instant::now();
        let mut lines = lines(now);
        for serial in 1..=3 {
            lines.push(call(":1.1", serial), now).unwrap();
        }
        let now = now + SHARING * 2;
        assert!(next(&mut lines, now).is_some() && next(&mut lines, now).is_some());
        assert_eq!(next(&mut lines, now), None);
        lines.set_aside(":1.1", 1);
        lines.set_aside(":1.1", 1);
        assert_eq!(next(&mut lines, now), Some((":1.1".to_owned(), 3)));
        lines.push(call(":1.1", 4), now).unwrap();
        lines.finish(":1.1", 1);
        assert_eq!(next(&mut lines, now), None, "it was counted out once");
    }

    #[test]
    fn a_user_is_slowed_down_only_while_others_call() {
        let start = Instant::now();
        let mut lines = lines(start);
        let alone = start + SHARING * 2;
        for serial in 1..100 {
            lines.push(call(":1.1", serial), alone).unwrap();
            assert_eq!(next(&mut lines, alone), Some((":1.1".to_owned(), serial)));
            lines.finish(":1.1", serial);
        }
        lines.push(call(":1.3", 1), alone).unwrap();
        assert!(next(&mut lines, alone).is_some());
        lines.push(call(":1.1", 100), alone).unwrap();
        let Next::At(due) = lines.next(alone) else {
            panic!("a hundred calls in no time are more than its share");
        };
        assert!(due > alone);
        assert_eq!(next(&mut lines, due), Some((":1.1".to_owned(), 100)));
    }

    #[test]
    fn nothing_is_kept_of_who_left() {
        let now = Instant::now();
        let mut lines = lines(now);
        lines.push(call(":1.9", 1), now).unwrap();
        for serial in 1..=3 {
            lines.push(call(":1.1", serial), now).unwrap();
        }
        assert!(next(&mut lines, now).is_some());
        for sender in [":1.1", ":1.2", ":1.3", ":1.9"] {
            lines.forget(sender);
        }
        assert!(lines.users.is_empty() && lines.of_users.is_empty() && lines.turn.is_empty());
        assert!(lines.begun.is_empty() && lines.newcomers.is_empty());
        assert_eq!(lines.newcomers_bytes, 0);
    }

    #[test]
    fn a_call_without_an_answer_counts_until_it_is_done() {
        let now = Instant::now();
        let mut lines = lines(now);
        let silent = Call {
            silent: true,
            ..call(":1.1", 7)
        };
        lines.push(silent, now).unwrap();
        assert!(next(&mut lines, now).is_some());
        assert_eq!(lines.of_users[&1].at_once, 1);
        assert!(!lines.is_awaited(":1.1", 7));
        lines.finish(":1.1", 7);
        assert_eq!(lines.of_users[&1].at_once, 0);
    }
}
