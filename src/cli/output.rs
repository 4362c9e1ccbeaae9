//! Data on stdout, messages on stderr.
//!
//! In: values. Out: aligned columns for people, one JSON object per line for programs.
//! Never: a control character of somebody's data on a terminal; colour.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::wire::cells::is_unseen;

/// Buffered stdout of one command.
pub struct Output {
    stdout: Box<dyn Write>,
    json: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output(json: {})", self.json)
    }
}

impl Output {
    /// Output for people, or for programs.
    pub fn new(json: bool) -> Output {
        Output::onto(Box::new(BufWriter::new(io::stdout().lock())), json)
    }

    /// Output that goes elsewhere.
    pub fn onto(stdout: Box<dyn Write>, json: bool) -> Output {
        Output { stdout, json }
    }

    /// Whether programs read it.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// One line.
    ///
    /// # Errors
    /// stdout is closed or full.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.write_all(b"\n")
    }

    /// Text with line ends of its own.
    ///
    /// # Errors
    /// stdout is closed or full.
    pub fn raw(&mut self, text: &str) -> io::Result<()> {
        self.stdout.write_all(text.as_bytes())
    }

    /// One JSON object on one line.
    ///
    /// # Errors
    /// stdout is closed or full.
    pub fn object(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, value).map_err(io::Error::from)?;
        self.stdout.write_all(b"\n")
    }

    /// A table with a heading.
    ///
    /// # Errors
    /// stdout is closed or full.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        table.write(&mut self.stdout)
    }

    /// Everything so far leaves the process.
    ///
    /// # Errors
    /// stdout is closed or full.
    pub fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// A message on stderr, which may be closed.
pub fn note(message: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(message.as_bytes());
    let _ = stderr.write_all(b"\n");
}

/// Rows of text under a heading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

impl Table {
    /// An empty table.
    pub fn new<S: Into<String>>(heading: impl IntoIterator<Item = S>) -> Table {
        let heading = heading.into_iter().map(|text| clean(&text.into())).collect();
        Table { heading, rows: Vec::new(), indent: 0 }
    }

    /// Moves the table to the right.
    #[must_use]
    pub fn indented(mut self, columns: usize) -> Table {
        self.indent = columns;
        self
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|text| clean(&text.into())).collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let lines = || std::iter::once(&self.heading).chain(&self.rows);
        let mut widths = Vec::new();
        for line in lines() {
            widths.resize(widths.len().max(line.len()), 0);
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for line in lines() {
            let mut text = " ".repeat(self.indent);
            for (width, cell) in widths.iter().zip(line) {
                text.push_str(cell);
                text.push_str(&" ".repeat(width - cell.chars().count() + 2));
            }
            out.write_all(text.trim_end().as_bytes())?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// Text of others for one cell of a terminal: line breaks and runs of blanks become one blank,
/// other control characters and the marks that turn the direction of text are shown escaped.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut blank = false;
    for character in text.trim_matches(is_blank).chars() {
        if is_blank(character) {
            blank = true;
            continue;
        }
        if blank {
            cleaned.push(' ');
            blank = false;
        }
        push_visible(&mut cleaned, character);
    }
    cleaned
}

/// Blanks that are seen as such. Others stand where they are, escaped.
const fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

/// Text of others as a block: line breaks and tabs stay.
pub fn clean_block(text: &str, indent: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for line in text.trim_end().lines() {
        cleaned.push_str(indent);
        for character in line.chars() {
            if character == '\t' {
                cleaned.push('\t');
            } else {
                push_visible(&mut cleaned, character);
            }
        }
        cleaned.push('\n');
    }
    cleaned.pop();
    cleaned
}

/// A text of which a line's end is more than a blank, in one line.
pub fn one_line(text: &str) -> String {
    text.trim_end().replace("\r\n", "\n").replace('\n', "\\n")
}

/// The first characters of a text, with a mark when there is more.
pub fn short(text: &str, characters_max: usize) -> String {
    let cleaned = clean(text);
    if cleaned.chars().count() <= characters_max {
        return cleaned;
    }
    let kept: String = cleaned.chars().take(characters_max.saturating_sub(2)).collect();
    kept + ".."
}

/// `42us`, `3.1ms`, `2.50s`.
pub fn duration(us: i64) -> String {
    if us < 1_000 {
        format!("{us}us")
    } else if us < 1_000_000 {
        format!("{}.{}ms", us / 1_000, us % 1_000 / 100)
    } else {
        format!("{}.{:02}s", us / 1_000_000, us % 1_000_000 / 10_000)
    }
}

/// Appends a character of others, escaped if a terminal would do something else than show it.
pub fn push_visible(text: &mut String, character: char) {
    if is_unseen(character) {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(["ID", "USER", "TEXT"]).indented(2);
        table.row(["1", "al", "SELECT\n  1"]);
        table.row(["22", "", "x\x1b[31m"]);
        let mut bytes = Vec::new();
        table.write(&mut bytes).unwrap();
        let expect = "  ID  USER  TEXT\n  1   al    SELECT 1\n  22        x\\u{1b}[31m\n";
        assert_eq!(String::from_utf8(bytes).unwrap(), expect);
    }

    #[test]
    fn data_cannot_steer_the_terminal() {
        let check = |text: &str, expect: &str| assert_eq!(clean(text), expect);
        check("a\tb\r\nc", "a b c");
        check("\x07bell", "\\u{7}bell");
        check("\u{202e}abc", "\\u{202e}abc");
        check("\u{9b}31m", "\\u{9b}31m");
        check("A\u{115f}\u{3164}B\u{fe0f}", "A\\u{115f}\\u{3164}B\\u{fe0f}");
        check("A\u{a0}B\u{3000}\u{2800}\u{2028}", "A\\u{a0}B\\u{3000}\\u{2800}\\u{2028}");
        assert_eq!(one_line("echo A\nid\r\nls\n"), "echo A\\nid\\nls");
        assert_eq!(clean_block("a\n\tb\x1b\n", "  "), "  a\n  \tb\\u{1b}");
        assert_eq!(clean_block("", "  "), "");
    }

    #[test]
    fn long_text_is_marked() {
        assert_eq!(short("abcdef", 6), "abcdef");
        assert_eq!(short("abcdefg", 6), "abcd..");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration(42), "42us");
        assert_eq!(duration(3_149), "3.1ms");
        assert_eq!(duration(2_500_000), "2.50s");
    }
}
