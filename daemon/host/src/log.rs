//! How much of what the plugin says reaches the log: a picture could be spelt out there.

use std::time::{Duration, Instant};

/// Longest line outside captures, bytes.
const LINE_MAX_BYTES: usize = 1024;
/// Most lines a second outside captures.
const LINES_A_SECOND_MAX: u32 = 200;
/// Most lines of one capture, and of what follows it until the next.
const CAPTURE_LINES_MAX: u32 = 20;
/// Longest line of a capture, and longest explanation of a failure, characters.
pub(crate) const SHORT_LINE_MAX_CHARS: usize = 200;

/// `text` on one line, without what moves a terminal's cursor or turns the order of characters.
pub(crate) fn printable(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    for character in text.chars().take(max_chars) {
        let shown = if is_printable(character) { character } else { ' ' };
        if line.len() + shown.len_utf8() > LINE_MAX_BYTES {
            break;
        }
        line.push(shown);
    }
    line
}

fn is_printable(character: char) -> bool {
    // Line and paragraph separators, and the overrides of direction (Unicode Standard Annex 9, section 2).
    let moves = matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !character.is_control() && !moves
}

/// At most so many a second.
#[derive(Debug)]
pub(crate) struct Rate {
    max: u32,
    second: Option<Instant>,
    used: u32,
}

impl Rate {
    /// `max` a second.
    pub(crate) fn new(max: u32) -> Self {
        Self {
            max,
            second: None,
            used: 0,
        }
    }

    /// Takes one, if one is left of the second that `now` is in.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let over = |start: Instant| now.saturating_duration_since(start) >= Duration::from_secs(1);
        if self.second.is_none_or(over) {
            self.second = Some(now);
            self.used = 0;
        }
        let is_left = self.used < self.max;
        if is_left {
            self.used += 1;
        }
        is_left
    }
}

/// How many lines the plugin may still write.
#[derive(Debug)]
pub(crate) struct LogBudget {
    rate: Rate,
    /// None as long as nothing was captured.
    capture_lines: Option<u32>,
    left_out: u32,
}

impl LogBudget {
    pub(crate) fn new() -> Self {
        Self {
            rate: Rate::new(LINES_A_SECOND_MAX),
            capture_lines: None,
            left_out: 0,
        }
    }

    /// A capture begins.
    pub(crate) fn begin_capture(&mut self) {
        self.capture_lines = Some(CAPTURE_LINES_MAX);
        self.left_out = 0;
    }

    /// A capture ended. What the plugin says until the next one is limited as during the one before, since it may
    /// have seen something. Gives the lines that were left out.
    pub(crate) fn end_capture(&mut self) -> u32 {
        std::mem::take(&mut self.left_out)
    }

    /// What of a line may be said; none if no line is left.
    pub(crate) fn take(&mut self, text: &str, now: Instant) -> Option<String> {
        let max_chars = match &mut self.capture_lines {
            None => LINE_MAX_BYTES,
            Some(0) => {
                self.left_out = self.left_out.saturating_add(1);
                return None;
            }
            Some(left) => {
                *left -= 1;
                SHORT_LINE_MAX_CHARS
            }
        };
        self.rate.take(now).then(|| printable(text, max_chars))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_move_the_cursor_or_be_long() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}c", 200), "a [2J b c");
        assert_eq!(printable(&"é".repeat(300), 200).chars().count(), 200);
        assert_eq!(printable(&"é".repeat(2000), 2000).len(), 1024);
    }

    #[test]
    fn outside_captures_a_second_has_two_hundred_lines() {
        let mut budget = LogBudget::new();
        let start = Instant::now();
        let said = |budget: &mut LogBudget, now| (0..300).filter_map(|_| budget.take("x", now)).count();
        assert_eq!(said(&mut budget, start), 200);
        assert_eq!(said(&mut budget, start + Duration::from_millis(999)), 0);
        assert_eq!(said(&mut budget, start + Duration::from_secs(1)), 200);
    }

    #[test]
    fn a_capture_has_twenty_short_lines_and_no_more_come_after_it() {
        let mut budget = LogBudget::new();
        let now = Instant::now();
        let long = "x".repeat(500);
        budget.begin_capture();
        let lines: Vec<_> = (0..30).filter_map(|_| budget.take(&long, now)).collect();
        assert_eq!(lines.len(), 20);
        assert!(lines.iter().all(|line| line.len() == 200));
        assert_eq!(budget.end_capture(), 10);
        assert_eq!(budget.take("after", now), None);
        budget.begin_capture();
        assert!(budget.take("next", now).is_some());
        budget.end_capture();
        assert_eq!(budget.take(&long, now).map(|line| line.len()), Some(200));
    }
}
