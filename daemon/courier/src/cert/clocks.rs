//! This station's clock beside CERT's. Nothing is ordered or decided by either; a difference is told, since
//! certificates will not be accepted one day because of it.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

/// A smaller difference is the line's.
const TOLD_S: i64 = 60;

/// How far the clocks are apart, by the `Date` of CERT's last answer (RFC 9110 §6.6.1).
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    /// Seconds by which this station's clock is ahead of CERT's.
    ahead_s: AtomicI64,
}

impl Clocks {
    /// Takes note of the date of an answer. One that is not a date says nothing.
    pub(crate) fn note(&self, date: Option<&str>, now: Timestamp) {
        let parser = jiff::fmt::rfc2822::DateTimeParser::new();
        let Some(theirs) = date.and_then(|date| parser.parse_timestamp(date).ok()) else {
            return;
        };
        let ahead_s = now.as_second() - theirs.as_second();
        let before_s = self.ahead_s.swap(ahead_s, Ordering::Relaxed);
        if ahead_s.abs() > TOLD_S && before_s.abs() <= TOLD_S {
            tracing::warn!(ahead_s, "this station's clock and CERT's disagree");
        }
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let ahead_s = self.ahead_s.load(Ordering::Relaxed);
        (ahead_s.abs() > TOLD_S).then(|| {
            let which = if ahead_s > 0 { "ahead of" } else { "behind" };
            let by = match ahead_s.abs() {
                s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
                s if s >= 2 * 3600 => format!("{} hours", s / 3600),
                s => format!("{s} seconds"),
            };
            format!(
                "this station's clock is {by} {which} CERT's: the clock of this station or of CERT is wrong; look at \
                 `timedatectl`, then tell CERT"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(date: Option<&str>, now: &str) -> Option<String> {
        let clocks = Clocks::default();
        clocks.note(date, now.parse().unwrap());
        clocks.trouble()
    }

    #[test]
    fn a_difference_is_told_with_its_size_and_direction() {
        let date = Some("Tue, 24 Nov 2026 13:00:00 GMT");
        assert_eq!(told(date, "2026-11-24T13:00:59Z"), None);
        let ahead = told(date, "2027-11-24T13:00:00Z").unwrap();
        assert!(ahead.contains("365 days ahead of CERT's"), "{ahead}");
        let behind = told(date, "2026-11-24T10:00:00Z").unwrap();
        assert!(behind.contains("3 hours behind CERT's"), "{behind}");
        assert!(
            told(date, "2026-11-24T12:58:00Z")
                .unwrap()
                .contains("120 seconds")
        );
        for nothing in [None, Some(""), Some("tomorrow")] {
            assert_eq!(told(nothing, "2027-11-24T13:00:00Z"), None);
        }
    }

    #[test]
    fn clocks_that_agree_again_are_no_longer_told() {
        let clocks = Clocks::default();
        let date = Some("Tue, 24 Nov 2026 13:00:00 GMT");
        clocks.note(date, "2027-11-24T13:00:00Z".parse().unwrap());
        clocks.note(date, "2026-11-24T13:00:01Z".parse().unwrap());
        assert_eq!(clocks.trouble(), None);
    }
}
