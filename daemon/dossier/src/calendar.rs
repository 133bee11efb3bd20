//! Working days of metropolitan France.

use jiff::civil::{Date, Time, Weekday};
use jiff::{Timestamp, ToSpan, tz::TimeZone};

/// The close of the next working day after `now`: when a draft that nobody finished is destroyed.
///
/// Working days are Monday to Friday without the public holidays of Code du travail art. L3133-1.
pub fn close_of_next_working_day(now: Timestamp, zone: &TimeZone, close: Time) -> Timestamp {
    const DAYS_MAX: usize = 14;
    let today = zone.to_datetime(now).date();
    let day = std::iter::successors(today.tomorrow().ok(), |day| day.tomorrow().ok())
        .take(DAYS_MAX)
        .find(|day| is_working_day(*day))
        .unwrap_or(today);
    zone.to_timestamp(day.to_datetime(close)).unwrap_or(now)
}

fn is_working_day(day: Date) -> bool {
    let fixed = [
        (1, 1),
        (5, 1),
        (5, 8),
        (7, 14),
        (8, 15),
        (11, 1),
        (11, 11),
        (12, 25),
    ];
    let weekend = matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    // Easter Monday, Ascension, Whit Monday.
    let moving = easter(day.year()).is_some_and(|easter| {
        [1, 39, 50].iter().any(|days| {
            easter
                .checked_add(i64::from(*days).days())
                .is_ok_and(|date| date == day)
        })
    });
    !weekend && !moving && !fixed.contains(&(day.month(), day.day()))
}

/// Easter Sunday of the Gregorian calendar (J. Meeus, Astronomical Algorithms, chapter 8).
fn easter(year: i16) -> Option<Date> {
    let year32 = i32::from(year);
    let (golden, century, rest) = (year32 % 19, year32 / 100, year32 % 100);
    let correction = (century + 8) / 25;
    let moon = (19 * golden + century - century / 4 - (century - correction + 1) / 3 + 15) % 30;
    let sunday = (32 + 2 * (century % 4) + 2 * (rest / 4) - moon - rest % 4) % 7;
    let shift = (golden + 11 * moon + 22 * sunday) / 451;
    let number = moon + sunday - 7 * shift + 114;
    let (month, day) = (
        i8::try_from(number / 31).ok()?,
        i8::try_from(number % 31 + 1).ok()?,
    );
    Date::new(year, month, day).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easter_is_where_the_calendar_has_it() {
        let date = |year| easter(year).unwrap().to_string();
        assert_eq!(date(2024), "2024-03-31");
        assert_eq!(date(2026), "2026-04-05");
        assert_eq!(date(2038), "2038-04-25");
    }

    #[test]
    fn a_draft_lives_until_the_next_working_day_closes() {
        let close = |now: &str| {
            let end =
                close_of_next_working_day(now.parse().unwrap(), &TimeZone::UTC, Time::constant(18, 0, 0, 0));
            end.to_string()
        };
        assert_eq!(close("2026-11-24T09:00:00Z"), "2026-11-25T18:00:00Z");
        assert_eq!(
            close("2026-11-27T09:00:00Z"),
            "2026-11-30T18:00:00Z",
            "over a week-end"
        );
        assert_eq!(
            close("2026-12-24T09:00:00Z"),
            "2026-12-28T18:00:00Z",
            "over Christmas and a week-end"
        );
        assert_eq!(
            close("2026-04-03T09:00:00Z"),
            "2026-04-07T18:00:00Z",
            "over Easter Monday"
        );
    }
}
