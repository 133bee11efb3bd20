//! Standard output, and what goes to standard error at the end. Nothing else prints there.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};

use clap::builder::StyledStr;
use serde_json::{Value, json};

use crate::failure::{Failure, Own};
use crate::page::{Page, clean, steers};

/// What a verb gives: the same for a program and for a person.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) json: Value,
    pub(crate) page: Page,
}

/// Where it goes.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    colour: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self {
            json,
            colour: std::env::var_os("NO_COLOR").is_none() && std::io::stdout().is_terminal(),
        }
    }

    /// Prints a report, as one JSON document where that was asked for.
    pub(crate) fn report(&self, report: &Report) {
        if self.json {
            put(&document(&report.json));
        } else {
            put(&report.page.render(self.colour));
        }
    }

    /// Prints a failure: as JSON on standard output, else in words on standard error.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.json {
            put(&document(&failure.json()));
            return;
        }
        let mut text = format!("recueilctl: {} [{}]\n", clean(&failure.text), failure.code());
        for (key, value) in &failure.details {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "  {}: {}", clean(key), clean(value));
        }
        put_error(&text);
    }

    /// Prints help that was asked for.
    pub(crate) fn help(&self, text: &StyledStr) {
        if self.colour {
            put(&text.ansi().to_string());
        } else {
            put(&text.to_string());
        }
    }

    /// Prints what is wrong with the call.
    pub(crate) fn usage(&self, text: &StyledStr) {
        if self.json {
            let text = text.to_string();
            let text = text.trim().strip_prefix("error: ").unwrap_or(text.trim());
            put(&document(&Failure::own(Own::Usage, text).json()));
        } else {
            put_error(&text.to_string());
        }
    }
}

/// One line of JSON, in which no character is left that a terminal obeys: inside a JSON string, the only place
/// where one can stand, an escape means the same.
fn document(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if steers(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _infallible = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    text.push('\n');
    text
}

fn put(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Whoever reads may have stopped, as `head` does.
    let _closed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

fn put_error(text: &str) {
    let _closed = std::io::stderr().lock().write_all(text.as_bytes());
}

/// An empty list in words.
pub(crate) fn none(what: &str) -> Page {
    Page::of_line(format!("there is no {what}"))
}

/// A document of one list.
pub(crate) fn list(name: &str, entries: impl Iterator<Item = Value>) -> Value {
    let entries: Value = entries.collect();
    json!({ name: entries })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_document_is_one_line_and_steers_nothing() {
        let value = json!({"serial": "a\u{9b}31m\u{7f}\x1b\n\u{202e}é"});
        let text = document(&value);
        let line = text.strip_suffix('\n').unwrap();
        assert!(!line.chars().any(steers), "{line:?}");
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), value);
    }
}
