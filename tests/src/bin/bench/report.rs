//! Samples, rows and the table.

use std::io::Write;
use std::time::Duration;

/// Measured values of one thing, in seconds, in bytes, or counted. What did not end in the time that it was given
/// is infinite.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_time(&mut self, time: Duration) {
        self.push(time.as_secs_f64());
    }

    /// None is what did not end in time.
    pub(crate) fn push_ended(&mut self, time: Option<Duration>) {
        self.push(time.map_or(f64::INFINITY, |time| time.as_secs_f64()));
    }

    pub(crate) fn push_times(&mut self, times: impl IntoIterator<Item = Duration>) {
        self.0.extend(times.into_iter().map(|time| time.as_secs_f64()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that one of a hundred exceeds, as samples of it alone.
    pub(crate) fn p99(&self) -> Self {
        let sorted = self.sorted();
        let at = sorted.len().saturating_sub(1) - sorted.len() / 100;
        Self(sorted.get(at).copied().into_iter().collect())
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        if sorted.len() % 2 == 1 {
            at(middle)
        } else {
            f64::midpoint(at(middle.saturating_sub(1)), at(middle))
        }
    }

    fn least(&self) -> f64 {
        self.sorted().first().copied().unwrap_or(f64::NAN)
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// What samples count.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Times,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            _ if value.is_infinite() => "not in time".to_owned(),
            Self::Times => format!("{value}"),
            Self::Seconds if value < 1e-3 => format!("{:.1} µs", value * 1e6),
            Self::Seconds => format!("{:.2} ms", value * 1e3),
            Self::Bytes => format!("{:.2} MB", value / 1e6),
        }
    }
}

/// What is asked of a figure.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// At most so many times the rival.
    Times(f64),
    /// At most so many times the rival and so many seconds more.
    TimesAnd(f64, f64),
    /// At most so much, whatever the rival.
    AtMost(f64),
    /// Not once.
    Never,
    /// Nothing: it explains another figure.
    None,
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    ours: String,
    rival: String,
    ratio: String,
    goal: String,
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Met,
    Missed,
    Unasked,
    Unmeasured,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "MISSED",
            Self::Unasked => "",
            Self::Unmeasured => "NOT MEASURED",
        }
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

impl Report {
    /// Ours beside a rival, medians of what was measured in turns.
    pub(crate) fn compare(&mut self, name: &str, unit: Unit, ours: &Samples, rival: &Samples, goal: Goal) {
        self.add(name, unit, ours, Some(rival), goal);
    }

    /// A figure of ours alone.
    pub(crate) fn alone(&mut self, name: &str, unit: Unit, ours: &Samples, goal: Goal) {
        self.add(name, unit, ours, None, goal);
    }

    fn add(&mut self, name: &str, unit: Unit, ours: &Samples, rival: Option<&Samples>, goal: Goal) {
        let (median, other) = (ours.median(), rival.map_or(f64::NAN, Samples::median));
        let (limit, goal) = match goal {
            Goal::Times(times) => (Some(times * other), format!("<= {times} x")),
            Goal::TimesAnd(times, more) => (
                Some(times * other + more),
                format!("<= {times} x + {}", unit.show(more)),
            ),
            Goal::AtMost(limit) => (Some(limit), format!("<= {}", unit.show(limit))),
            Goal::Never => (Some(0.0), "none".to_owned()),
            Goal::None => (None, String::new()),
        };
        let show = |samples: &Samples| {
            format!(
                "{} ({}; {})",
                unit.show(samples.median()),
                unit.show(samples.least()),
                samples.count()
            )
        };
        self.0.push(Row {
            name: name.to_owned(),
            ours: show(ours),
            rival: rival.map(show).unwrap_or_default(),
            ratio: rival
                .filter(|_| median.is_finite() && other.is_finite() && other > 0.0)
                .map(|_measured| format!("{:.2}", median / other))
                .unwrap_or_default(),
            goal,
            verdict: match limit {
                None => Verdict::Unasked,
                Some(limit) if median <= limit => Verdict::Met,
                // Also if there is no figure.
                Some(_) => Verdict::Missed,
            },
        });
    }

    /// A bench that could not be run.
    pub(crate) fn unmeasured(&mut self, name: &str, error: &anyhow::Error) {
        self.0.push(Row {
            name: format!("{name}: {error:#}"),
            ours: String::new(),
            rival: String::new(),
            ratio: String::new(),
            goal: String::new(),
            verdict: Verdict::Unmeasured,
        });
    }

    pub(crate) fn all_measured(&self) -> bool {
        self.0.iter().all(|row| row.verdict != Verdict::Unmeasured)
    }

    pub(crate) fn all_met(&self) -> bool {
        self.0.iter().all(|row| row.verdict != Verdict::Missed)
    }

    /// The table, as Markdown.
    pub(crate) fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "\n| what (ours / rival) | ours: median (least; samples) | rival | ratio | goal | |\n|---|---|---|---|---|---|"
        )?;
        for row in &self.0 {
            let Row {
                name,
                ours,
                rival,
                ratio,
                goal,
                verdict,
            } = row;
            let verdict = verdict.as_str();
            writeln!(
                out,
                "| {name} | {ours} | {rival} | {ratio} | {goal} | {verdict} |"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples(values.to_vec())
    }

    #[test]
    fn a_median_is_the_middle_or_the_mean_of_both() {
        assert!((samples(&[3.0, 1.0, 2.0]).median() - 2.0).abs() < 1e-9);
        assert!((samples(&[4.0, 1.0, 2.0, 3.0]).median() - 2.5).abs() < 1e-9);
    }

    #[test]
    fn a_goal_is_missed_by_a_hair_and_by_having_no_figure() {
        let verdict = |ours: &[f64], goal| {
            let mut report = Report::default();
            report.compare("it", Unit::Seconds, &samples(ours), &samples(&[1.0]), goal);
            report.all_met()
        };
        assert!(verdict(&[0.6], Goal::Times(0.6)));
        assert!(!verdict(&[0.601], Goal::Times(0.6)));
        assert!(verdict(&[1.25], Goal::TimesAnd(1.2, 0.06)));
        assert!(!verdict(&[], Goal::Times(1.0)));
    }
}
