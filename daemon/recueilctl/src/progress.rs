//! What is going on, on standard error: one line rewritten on a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};

use crate::page::clean;

/// A line of progress.
#[derive(Debug)]
pub(crate) struct Progress {
    quiet: bool,
    columns: Option<usize>,
    last: String,
}

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// Back to the line's beginning, and nothing right of it.
const REWRITE: &str = "\r\x1b[K";

impl Progress {
    pub(crate) fn new(quiet: bool) -> Self {
        let columns = std::env::var("COLUMNS")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(COLUMNS);
        let columns = std::io::stderr().is_terminal().then_some(columns);
        Self {
            quiet,
            columns,
            last: String::new(),
        }
    }

    /// Shows what is going on now. Saying the same again is silent.
    pub(crate) fn say(&mut self, text: &str) {
        if self.quiet || self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        let mut stderr = std::io::stderr().lock();
        // Nobody may be reading: no failure of the work.
        let _closed = match self.columns {
            Some(columns) => {
                let line: String = clean(text).chars().take(columns.saturating_sub(1)).collect();
                write!(stderr, "{REWRITE}{line}").and_then(|()| stderr.flush())
            }
            None => writeln!(stderr, "{}", clean(text)),
        };
    }

    /// Takes the line away before something else is printed.
    pub(crate) fn done(&mut self) {
        if self.columns.is_some() && !self.last.is_empty() {
            let mut stderr = std::io::stderr().lock();
            let _closed = write!(stderr, "{REWRITE}").and_then(|()| stderr.flush());
        }
        self.last.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done();
    }
}
