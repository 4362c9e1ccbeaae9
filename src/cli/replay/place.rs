//! Where in a statement an error is, as psql points to it.
//!
//! In: the text, and the number of a character, from 1. Out: the line and a mark below it, cut to
//! what a screen shows. The rules are those of `reportErrorPosition` (libpq's `fe-protocol3.c`).
//! Never: a place in a text that is not the one that the server counted in.

use super::table::columns_of;

/// Columns of a line that are shown.
const DISPLAY_SIZE: usize = 60;
/// So far from the right end the mark is kept.
const MIN_RIGHT_CUT: usize = 10;

/// The two lines; none for a place that the text does not have.
pub(super) fn pointed(text: &str, at: usize) -> Option<String> {
    let at = at.checked_sub(1)?;
    let line = Line::around(text, at)?;
    let mut shown = format!("LINE {}: ", line.number);
    let (from, to) = line.cut(at);
    if from > line.from {
        shown.push_str("...");
    }
    let before = shown.chars().count() + line.columns.get(at)? - line.columns.get(from)?;
    shown.extend(line.characters.get(from..to)?);
    if to < line.to {
        shown.push_str("...");
    }
    shown.push('\n');
    shown.extend(std::iter::repeat_n(' ', before));
    shown.push_str("^\n");
    Some(shown)
}

/// The line of a text that a character is in.
struct Line {
    /// Of the text as far as the end of the line.
    characters: Vec<char>,
    /// The column that each of them begins in, as if the text were one line.
    columns: Vec<usize>,
    number: usize,
    from: usize,
    to: usize,
}

impl Line {
    fn around(text: &str, at: usize) -> Option<Line> {
        let mut line = Line { characters: Vec::new(), columns: vec![0], number: 1, from: 0, to: 0 };
        let mut column = 0;
        for (number, character) in text.chars().enumerate() {
            if matches!(character, '\r' | '\n') {
                if number >= at {
                    break;
                }
                if character == '\r' || line.characters.last() != Some(&'\r') {
                    line.number += 1;
                }
                line.from = number + 1;
            }
            line.characters.push(if character == '\t' { ' ' } else { character });
            column += columns_of(character).max(1);
            line.columns.push(column);
        }
        line.to = line.characters.len();
        (at <= line.to).then_some(line)
    }

    /// What of it is shown: on the right it is cut first.
    fn cut(&self, at: usize) -> (usize, usize) {
        let column = |number: usize| self.columns.get(number).copied().unwrap_or(0);
        let (mut from, mut to) = (self.from, self.to);
        let is_long = |from: usize, to: usize| column(to) - column(from) > DISPLAY_SIZE;
        if is_long(from, to) && column(from) + DISPLAY_SIZE < column(at) + MIN_RIGHT_CUT {
            while column(at) + MIN_RIGHT_CUT < column(to) {
                to -= 1;
            }
            while is_long(from, to) {
                from += 1;
            }
        }
        while is_long(from, to) {
            to -= 1;
        }
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, at: usize, expect: &str) {
        assert_eq!(pointed(text, at).unwrap(), expect, "{text:?} at {at}");
    }

    /// The texts are what psql 15 printed.
    #[test]
    fn it_points_as_psql_does() {
        check("SELECT nope;", 8, "LINE 1: SELECT nope;\n               ^\n");
        check("SELECT 1,\r\n\tnope\nFROM x", 13, "LINE 2:  nope\n         ^\n");
        check("SELECT", 7, "LINE 1: SELECT\n              ^\n");
        check(
            "SELECT '\u{4e2d}', nope",
            13,
            "LINE 1: SELECT '\u{4e2d}', nope\n                     ^\n",
        );
        let long = format!("SELECT {}nope, {}2", "1, ".repeat(30), "1, ".repeat(30));
        let told = pointed(&long, 98).unwrap();
        let mut lines = told.lines();
        let (line, mark) = (lines.next().unwrap(), lines.next().unwrap());
        assert_eq!(line.len(), "LINE 1: ......".len() + DISPLAY_SIZE);
        assert_eq!(line.find("nope"), mark.find('^'));
        let early = format!("SELECT nope, {}2", "1, ".repeat(30));
        let told = pointed(&early, 8).unwrap();
        assert!(
            told.starts_with("LINE 1: SELECT nope, 1, ") && told.contains(" 1,...\n"),
            "{told}"
        );
        for (text, at) in [("SELECT 1", 0), ("SELECT 1", 10), ("a\nb", 99), ("", 2)] {
            assert_eq!(pointed(text, at), None, "{text:?} at {at}");
        }
    }
}
