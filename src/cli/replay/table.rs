//! Rows as psql prints them: aligned, with its rules for widths, lines and unreadable characters.
//!
//! In: names, values, alignments. Out: text. The rules are those of `print_aligned_text` (psql's
//! `fe_utils/print.c`, border 1) and `pg_wcsformat` (`fe_utils/mbprint.c`).
//! Never: a control character.

/// A result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Columns that are aligned to the right: numbers.
    pub right: Vec<bool>,
    /// Values; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A line of a cell, and how wide it is.
type Line = (String, usize);

impl Table {
    /// The text, with what stands below it.
    pub fn print(&self, footer: &str) -> String {
        let heads: Vec<Vec<Line>> = self.columns.iter().map(|name| lines(name)).collect();
        let cells: Vec<Vec<Vec<Line>>> = self
            .rows
            .iter()
            .map(|row| row.iter().map(|cell| lines(cell.as_deref().unwrap_or(""))).collect())
            .collect();
        let widest = |column: usize| {
            let all =
                heads.get(column).into_iter().chain(cells.iter().filter_map(|r| r.get(column)));
            all.flatten().map(|(_, width)| *width).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(widest).collect();
        let mut out = String::new();
        if widths.is_empty() {
            out.push_str("--\n");
        } else {
            print_heads(&mut out, &heads, &widths);
            let dashes: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            out.push_str(&dashes.join("+"));
            out.push('\n');
            for row in &cells {
                self.print_row(&mut out, row, &widths);
            }
        }
        out.push_str(footer);
        out.push_str("\n\n");
        out
    }

    fn print_row(&self, out: &mut String, row: &[Vec<Line>], widths: &[usize]) {
        let height = row.iter().map(Vec::len).max().unwrap_or(1);
        for at in 0..height {
            for (column, width) in widths.iter().enumerate() {
                let cell = row.get(column).map_or(&[][..], Vec::as_slice);
                let is_last = column + 1 == widths.len();
                let goes_on = at + 1 < cell.len();
                let is_right = self.right.get(column).copied().unwrap_or(false);
                out.push(' ');
                let (text, taken) = cell.get(at).map_or(("", 0), |(text, width)| (text, *width));
                let padding = width.saturating_sub(taken);
                if at >= cell.len() {
                    if !is_last {
                        blanks(out, *width);
                    }
                } else if is_right {
                    blanks(out, padding);
                    out.push_str(text);
                } else {
                    out.push_str(text);
                    if !is_last || goes_on {
                        blanks(out, padding);
                    }
                }
                if goes_on {
                    out.push('+');
                } else if !is_last {
                    out.push(' ');
                }
                if !is_last {
                    out.push('|');
                }
            }
            out.push('\n');
        }
    }
}

fn print_heads(out: &mut String, heads: &[Vec<Line>], widths: &[usize]) {
    let height = heads.iter().map(Vec::len).max().unwrap_or(1);
    for at in 0..height {
        for (column, (head, width)) in heads.iter().zip(widths).enumerate() {
            out.push(' ');
            let (text, taken) = head.get(at).map_or(("", 0), |(text, width)| (text, *width));
            let padding = width.saturating_sub(taken);
            blanks(out, padding / 2);
            out.push_str(text);
            blanks(out, padding.div_ceil(2));
            out.push(if at + 1 < head.len() { '+' } else { ' ' });
            if column + 1 < widths.len() {
                out.push('|');
            }
        }
        out.push('\n');
    }
}

fn blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// The lines of a cell, as `pg_wcsformat` writes them.
fn lines(text: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![(String::new(), 0)];
    for character in text.chars() {
        if character == '\n' {
            lines.push((String::new(), 0));
            continue;
        }
        let Some((line, width)) = lines.last_mut() else { continue };
        match character {
            '\r' => {
                line.push_str("\\r");
                *width += 2;
            }
            '\t' => loop {
                line.push(' ');
                *width += 1;
                if width.is_multiple_of(8) {
                    break;
                }
            },
            '\0'..='\x1f' | '\x7f' => {
                line.push_str(&format!("\\x{:02X}", u32::from(character)));
                *width += 4;
            }
            '\u{80}'..='\u{9f}' => {
                line.push_str(&format!("\\u{:04X}", u32::from(character)));
                *width += 6;
            }
            _ => {
                line.push(character);
                *width += columns_of(character);
            }
        }
    }
    lines
}

/// Columns that a character takes on a terminal, by blocks of Unicode: those of East Asia are wide,
/// marks that combine take none.
pub(super) fn columns_of(character: char) -> usize {
    match u32::from(character) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => {
            0
        }
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(columns: &[&str], right: &[bool], rows: &[&[Option<&str>]]) -> String {
        let owned = |text: &&str| (*text).to_owned();
        let rows = rows.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect());
        let columns = columns.iter().map(owned).collect();
        Table { columns, right: right.to_vec(), rows: rows.collect() }.print("(footer)")
    }

    /// The texts are what psql 15 printed.
    #[test]
    fn it_looks_as_psql_prints_it() {
        assert_eq!(
            table(&["a", "bcd"], &[true, false], &[&[Some("1"), Some("xx")], &[None, None]]),
            " a | bcd \n---+-----\n 1 | xx\n   | \n(footer)\n\n"
        );
        assert_eq!(
            table(&["n", "t"], &[true, false], &[&[Some("12"), Some("a\nbcd")]]),
            " n  |  t  \n----+-----\n 12 | a  +\n    | bcd\n(footer)\n\n"
        );
        assert_eq!(
            table(&["t", "n"], &[false, true], &[&[Some("a\nbcd"), Some("12")]]),
            "  t  | n  \n-----+----\n a  +| 12\n bcd | \n(footer)\n\n"
        );
        assert_eq!(
            table(&["two\nlines", "\u{4e2d}"], &[true, false], &[&[Some("1"), Some("x")]]),
            "  two +| \u{4e2d} \n lines |    \n-------+----\n     1 | x\n(footer)\n\n"
        );
        assert_eq!(table(&[], &[], &[&[]]), "--\n(footer)\n\n");
        assert_eq!(
            table(&["x"], &[false], &[&[Some("a\tb\r\x1b\u{4e2d}")]]),
            "         x         \n-------------------\n a       b\\r\\x1B\u{4e2d}\n(footer)\n\n"
        );
    }
}
