//! What a person reads: lines, pairs and tables with aligned columns. Colour is added only for a terminal,
//! and nothing that came from a device, a field or the network can steer it.

use std::fmt::Write;

/// How a text stands out on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Dim,
}

/// A text with its tone.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Tone::Plain)
    }
}

#[derive(Debug, Clone)]
enum Block {
    Line(Cell),
    Table { head: Vec<Cell>, rows: Vec<Vec<Cell>> },
}

/// A page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page(Vec<Block>);

impl Page {
    pub(crate) fn of_line(text: impl Into<Cell>) -> Self {
        Self::default().line(text)
    }

    pub(crate) fn line(mut self, text: impl Into<Cell>) -> Self {
        self.0.push(Block::Line(text.into()));
        self
    }

    /// Names and values, each value in its row; those without a value are left out.
    pub(crate) fn pairs(self, pairs: Vec<(&str, Option<Cell>)>) -> Self {
        let rows = pairs
            .into_iter()
            .filter_map(|(name, value)| Some(vec![Cell::new(name, Tone::Dim), value?]));
        let rows = rows.collect();
        self.table(&[], rows)
    }

    /// A table; one without rows is left out.
    pub(crate) fn table(mut self, head: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        if !rows.is_empty() {
            let head = head
                .iter()
                .map(|title| Cell::new(title.to_uppercase(), Tone::Dim))
                .collect();
            self.0.push(Block::Table { head, rows });
        }
        self
    }

    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(crate) fn render(&self, colour: bool) -> String {
        let mut text = String::new();
        for block in &self.0 {
            match block {
                Block::Line(cell) => {
                    text.push_str(&paint(&clean(&cell.text), cell.tone, colour));
                    text.push('\n');
                }
                Block::Table { head, rows } => render_table(&mut text, head, rows, colour),
            }
        }
        text
    }
}

fn render_table(text: &mut String, head: &[Cell], rows: &[Vec<Cell>], colour: bool) {
    let head = if head.is_empty() { None } else { Some(head) };
    let lines: Vec<Vec<(String, Tone)>> = head
        .into_iter()
        .chain(rows.iter().map(Vec::as_slice))
        .map(|row| row.iter().map(|cell| (clean(&cell.text), cell.tone)).collect())
        .collect();
    let mut widths: Vec<usize> = Vec::new();
    for line in &lines {
        widths.resize(widths.len().max(line.len()), 0);
        for (width, (cell, _)) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for line in lines {
        let last = line.iter().rposition(|(cell, _)| !cell.is_empty());
        for (column, ((cell, tone), width)) in line.iter().zip(&widths).enumerate() {
            if Some(column) > last {
                break;
            }
            let padding = if Some(column) == last {
                0
            } else {
                width - cell.chars().count() + 2
            };
            // Writing to a String cannot fail.
            let _infallible = write!(text, "{}{:padding$}", paint(cell, *tone, colour), "");
        }
        text.push('\n');
    }
}

fn paint(text: &str, tone: Tone, colour: bool) -> String {
    let number = match tone {
        _ if !colour => return text.to_owned(),
        Tone::Plain => return text.to_owned(),
        Tone::Good => 32,
        Tone::Bad => 31,
        Tone::Dim => 2,
    };
    format!("\x1b[{number}m{text}\x1b[0m")
}

/// The text with everything replaced that could move a terminal's cursor, change its state, or turn the order
/// of what is read: control characters, line breaks, marks of direction.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

/// Whether a character is for the terminal rather than for the reader.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_without_blanks() {
        let row = |cells: [&str; 3]| cells.map(Cell::from).to_vec();
        let page = Page::default().table(
            &["id", "state", "trouble"],
            vec![
                row(["flatbed-é", "ready", ""]),
                row(["fp", "faulted", "unplug it"]),
            ],
        );
        assert_eq!(
            page.render(false),
            "ID         STATE    TROUBLE\nflatbed-é  ready\nfp         faulted  unplug it\n"
        );
    }

    #[test]
    fn what_a_device_says_cannot_steer_the_terminal() {
        let hostile = "SN\x1b]0;owned\x07\r\n\u{9b}31m\u{202e}";
        let page = Page::of_line(hostile).pairs(vec![("serial", Some(hostile.into()))]);
        for colour in [false, true] {
            let text = page.render(colour).replace("\x1b[2m", "").replace("\x1b[0m", "");
            assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text:?}");
            assert_eq!(text.lines().count(), 2);
        }
    }

    #[test]
    fn colour_is_for_terminals_only() {
        let page = Page::of_line(Cell::new("faulted", Tone::Bad));
        assert_eq!(page.render(false), "faulted\n");
        assert_eq!(page.render(true), "\x1b[31mfaulted\x1b[0m\n");
    }
}
