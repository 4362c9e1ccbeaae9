//! As much of a terminal as a line of text needs while somebody edits it.
//!
//! In: bytes of a terminal's output. Out: what they did, byte by byte; the text of its rows.
//! Never: a panic or more memory than a screen of `LINE_CELLS_MAX` cells, whatever the bytes are.
//!
//! ```text
//!   Ground --ESC--> Escape --[--> Csi --final byte--> Ground
//!     ^               |--- ] P _ ^ X --> Text --BEL, ESC \--> Ground
//!     '-- any other --'--- ( ) # % --> Skip --any--> Ground
//! ```
//!
//! Colours, titles and what else moves no text are passed over. A program that draws on the whole
//! screen says so (`?1049h`); what it draws is none of a line's.

use std::collections::VecDeque;

use crate::limits::LINE_CELLS_MAX;
use crate::wire::cells::width;

/// The second half of a wide character.
const WIDE: char = '\0';
/// Parameters of a sequence that are read.
const PARAMETERS_MAX: usize = 8;

/// What a byte did, as far as lines are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A character of so many bytes was shown.
    Shown(usize),
    /// The cursor is about to go to the next row.
    LineFeed,
    /// The program at the other end reads a line, or no longer does: it wants pasted text to be
    /// marked (`?2004h`).
    Reading(bool),
    /// A program took the whole screen, or gave it back.
    Taken(bool),
    /// So many rows left at the top.
    Scrolled(usize),
}

#[derive(Clone, Debug, Default)]
struct Line {
    cells: Vec<char>,
    /// It goes on in the next row.
    wrapped: bool,
    /// Marks without a width were shown in it, which have no cell.
    lacks: bool,
}

#[derive(Clone, Debug, Default)]
enum Parser {
    #[default]
    Ground,
    Escape,
    Skip,
    Csi {
        private: bool,
        odd: bool,
        values: Vec<u16>,
    },
    Text {
        escape: bool,
    },
}

/// Rows of text and a cursor.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    columns: usize,
    height: usize,
    rows: VecDeque<Line>,
    row: usize,
    column: usize,
    /// A character stands in the last column; the next one goes into the next row.
    full: bool,
    saved: (usize, usize),
    /// Where the cursor was when a program took the screen.
    before: (usize, usize),
    /// The size that was told; a larger one is not played.
    told: (u64, u64),
    taken: bool,
    reading: bool,
    parser: Parser,
    /// Bytes of a character that is not whole.
    partial: Vec<u8>,
}

impl Screen {
    pub fn new(columns: u64, height: u64) -> Screen {
        let mut screen = Screen {
            columns: 0,
            height: 0,
            rows: VecDeque::new(),
            row: 0,
            column: 0,
            full: false,
            saved: (0, 0),
            before: (0, 0),
            told: (0, 0),
            taken: false,
            reading: false,
            parser: Parser::Ground,
            partial: Vec::new(),
        };
        screen.resize(columns, height);
        screen
    }

    /// Its size changed; text stays where it is.
    pub fn resize(&mut self, columns: u64, height: u64) {
        self.told = (columns, height);
        let clamp = |value: u64, most| usize::try_from(value).unwrap_or(most).clamp(2, most);
        self.columns = clamp(columns, 500);
        self.height = clamp(height, LINE_CELLS_MAX / self.columns);
        let surplus = self.rows.len().saturating_sub(self.height);
        self.rows.drain(..surplus);
        self.rows.iter_mut().for_each(|row| row.cells.truncate(self.columns));
        self.row = self.row.saturating_sub(surplus).min(self.height - 1);
        self.column = self.column.min(self.columns - 1);
        self.full = false;
    }

    pub const fn columns(&self) -> usize {
        self.columns
    }

    pub const fn is_size(&self, columns: u64, height: u64) -> bool {
        self.told.0 == columns && self.told.1 == height
    }

    pub const fn cursor(&self) -> (usize, usize) {
        (self.row, self.column)
    }

    /// A program has the whole screen.
    pub const fn is_taken(&self) -> bool {
        self.taken
    }

    /// A program reads a line and says so.
    pub const fn is_reading(&self) -> bool {
        self.reading
    }

    /// Forgets all rows but those from this one on.
    pub fn forget_above(&mut self, row: usize) {
        self.rows.iter_mut().take(row).for_each(|line| *line = Line::default());
        self.rows.shrink_to_fit();
    }

    /// Bytes of output are missing: what stands where is not known.
    pub fn lose(&mut self) {
        (self.parser, self.taken) = (Parser::Ground, false);
        self.partial.clear();
        self.rows.clear();
        self.go_to(0, 0);
    }

    /// The cells of a row from a column on, without blanks at the end.
    pub fn cells(&self, row: usize, from: usize) -> &[char] {
        let cells = self.rows.get(row).map_or(&[][..], |line| line.cells.as_slice());
        let cells = cells.get(from..).unwrap_or_default();
        let end = cells.iter().rposition(|cell| *cell != ' ').map_or(0, |last| last + 1);
        cells.get(..end).unwrap_or_default()
    }

    /// The cells of a row before a column.
    pub fn cells_before(&self, row: usize, column: usize) -> Vec<char> {
        let cells = self.rows.get(row).map_or(&[][..], |line| line.cells.as_slice());
        let mut cells: Vec<char> = cells.iter().take(column).copied().collect();
        cells.resize(column, ' ');
        cells
    }

    /// The first row of the line that stands in this one too.
    pub fn line_start(&self, mut row: usize) -> usize {
        let wraps = |row: usize| self.rows.get(row).is_some_and(|line| line.wrapped);
        while row > 0 && wraps(row - 1) {
            row -= 1;
        }
        row
    }

    /// The text from a place to the end of the line that the cursor is in, and whether it lacks
    /// something that was shown there.
    pub fn text_from(&self, (row, column): (usize, usize)) -> (String, bool) {
        let mut last = self.row;
        while self.rows.get(last).is_some_and(|line| line.wrapped) && last + 1 < self.rows.len() {
            last += 1;
        }
        let (mut text, mut lacks) = (String::new(), false);
        for at in row..=last {
            let Some(line) = self.rows.get(at) else { break };
            lacks |= line.lacks;
            let from = if at == row { column } else { 0 };
            let cells = line.cells.get(from..).unwrap_or_default();
            text.extend(cells.iter().filter(|cell| **cell != WIDE));
            if line.wrapped {
                // A program may leave blanks at the end of a row that goes on. The place may be
                // one of a wider screen.
                let blanks = self.columns.saturating_sub(line.cells.len().max(from));
                text.extend(std::iter::repeat_n(' ', blanks));
            } else {
                text.truncate(text.trim_end_matches(' ').len());
                text.extend((at < last).then_some('\n'));
            }
        }
        text.truncate(text.trim_end().len());
        (text, lacks)
    }

    /// Takes a byte of output.
    pub fn take(&mut self, byte: u8) -> Option<Mark> {
        match &mut self.parser {
            Parser::Ground => self.ground(byte),
            Parser::Skip => self.back_to_ground(),
            Parser::Escape => self.escape(byte),
            Parser::Text { escape } => {
                if byte == 0x07 || (*escape && byte == b'\\') {
                    self.parser = Parser::Ground;
                } else {
                    *escape = byte == 0x1b;
                }
                None
            }
            Parser::Csi { .. } => self.csi(byte),
        }
    }

    fn back_to_ground(&mut self) -> Option<Mark> {
        self.parser = Parser::Ground;
        None
    }

    fn ground(&mut self, byte: u8) -> Option<Mark> {
        if byte >= 0x80 || !self.partial.is_empty() {
            return self.multibyte(byte);
        }
        match byte {
            0x1b => self.parser = Parser::Escape,
            b'\r' => (self.column, self.full) = (0, false),
            0x08 => (self.column, self.full) = (self.column.saturating_sub(1), false),
            b'\t' => {
                self.column = ((self.column / 8 + 1) * 8).min(self.columns - 1);
                self.full = false;
                return Some(Mark::Shown(1));
            }
            b'\n' | 0x0b | 0x0c => return Some(Mark::LineFeed),
            0x20..=0x7e => {
                let scrolled = self.put(char::from(byte));
                return Some(scrolled.unwrap_or(Mark::Shown(1)));
            }
            _ => {}
        }
        None
    }

    fn multibyte(&mut self, byte: u8) -> Option<Mark> {
        self.partial.push(byte);
        match std::str::from_utf8(&self.partial) {
            Ok(text) => {
                let shown = text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                let count = self.partial.len();
                self.partial.clear();
                let scrolled = self.put(shown);
                Some(scrolled.unwrap_or(Mark::Shown(count)))
            }
            Err(error) if error.error_len().is_none() => None,
            Err(_) => {
                let alone = self.partial.len() == 1;
                self.partial.clear();
                let scrolled = self.put(char::REPLACEMENT_CHARACTER);
                if alone {
                    return Some(scrolled.unwrap_or(Mark::Shown(1)));
                }
                // The byte may begin something itself.
                self.take(byte).or(scrolled)
            }
        }
    }

    fn put(&mut self, shown: char) -> Option<Mark> {
        let width = width(shown);
        if width == 0 {
            self.line_mut().lacks |= !shown.is_control();
            return None;
        }
        let mut scrolled = None;
        if self.full || self.column + width > self.columns {
            self.line_mut().wrapped = true;
            self.column = 0;
            self.full = false;
            scrolled = self.next_row();
        }
        let (column, columns) = (self.column, self.columns);
        let cells = &mut self.line_mut().cells;
        if cells.len() < column + width {
            cells.resize(column + width, ' ');
        }
        for (cell, shown) in cells.iter_mut().skip(column).zip([shown, WIDE]).take(width) {
            *cell = shown;
        }
        self.full = column + width >= columns;
        self.column = (column + width).min(columns - 1);
        scrolled
    }

    fn line_mut(&mut self) -> &mut Line {
        while self.rows.len() <= self.row {
            self.rows.push_back(Line::default());
        }
        &mut self.rows[self.row]
    }

    /// Goes down a row; what it says if the top one left.
    pub fn next_row(&mut self) -> Option<Mark> {
        self.full = false;
        if self.row + 1 < self.height {
            self.row += 1;
            return None;
        }
        self.rows.pop_front();
        Some(Mark::Scrolled(1))
    }

    fn escape(&mut self, byte: u8) -> Option<Mark> {
        self.parser = match byte {
            b'[' => Parser::Csi { private: false, odd: false, values: vec![0] },
            b']' | b'P' | b'_' | b'^' | b'X' => Parser::Text { escape: false },
            b'(' | b')' | b'#' | b'%' | b'*' | b'+' => Parser::Skip,
            0x1b => Parser::Escape,
            _ => Parser::Ground,
        };
        match byte {
            b'7' => self.saved = (self.row, self.column),
            b'8' => self.go_to(self.saved.0, self.saved.1),
            b'M' => self.row = self.row.saturating_sub(1),
            b'D' => return Some(Mark::LineFeed),
            b'c' => {
                self.rows.clear();
                self.go_to(0, 0);
            }
            _ => {}
        }
        None
    }

    fn csi(&mut self, byte: u8) -> Option<Mark> {
        let Parser::Csi { private, odd, values } = &mut self.parser else { return None };
        match byte {
            b'0'..=b'9' => {
                if let Some(value) = values.last_mut() {
                    *value = value.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                }
            }
            b';' | b':' if values.len() < PARAMETERS_MAX => values.push(0),
            b'?' => *private = true,
            b';' | b':' | b'<'..=b'>' | 0x20..=0x2f => *odd = true,
            0x1b => self.parser = Parser::Escape,
            0x40..=0x7e => {
                let (private, odd, values) = (*private, *odd, std::mem::take(values));
                self.parser = Parser::Ground;
                return match (odd, private) {
                    (true, _) => None,
                    (false, true) => self.mode(byte, &values),
                    (false, false) => self.control(byte, &values),
                };
            }
            _ => {}
        }
        None
    }

    fn mode(&mut self, byte: u8, values: &[u16]) -> Option<Mark> {
        let on = match byte {
            b'h' => true,
            b'l' => false,
            _ => return None,
        };
        let mut mark = None;
        for value in values {
            match value {
                2004 => {
                    self.reading = on;
                    mark = Some(Mark::Reading(on));
                }
                47 | 1047 | 1049 => {
                    self.take_over(on);
                    mark = Some(Mark::Taken(on));
                }
                _ => {}
            }
        }
        mark
    }

    /// A program takes the screen or gives it back. What it drew is gone then; what stood there
    /// before is too, here, and only matters to who reads it.
    fn take_over(&mut self, on: bool) {
        if on && !self.taken {
            self.before = (self.row, self.column);
        } else if !on && self.taken {
            self.rows.clear();
            self.go_to(self.before.0, self.before.1);
        }
        self.taken = on;
    }

    fn control(&mut self, byte: u8, values: &[u16]) -> Option<Mark> {
        let first = usize::from(values.first().copied().unwrap_or(0));
        let (count, columns) = (first.max(1), self.columns);
        let second = usize::from(values.get(1).copied().unwrap_or(0));
        match byte {
            b'A' | b'F' => self.go_to(self.row.saturating_sub(count), self.column),
            b'B' | b'E' | b'e' => self.go_to(self.row + count, self.column),
            b'C' | b'a' => self.go_to(self.row, self.column + count),
            b'D' => self.go_to(self.row, self.column.saturating_sub(count)),
            b'G' | b'`' => self.go_to(self.row, count - 1),
            b'd' => self.go_to(count - 1, self.column),
            b'H' | b'f' => self.go_to(count - 1, second.max(1) - 1),
            b's' => self.saved = (self.row, self.column),
            b'u' => self.go_to(self.saved.0, self.saved.1),
            b'J' => self.erase_rows(first),
            b'K' => self.erase_in_row(first),
            b'P' => self.edit(|cells, at| {
                let end = (at + count).min(cells.len());
                cells.drain(at.min(end)..end);
            }),
            b'@' => self.edit(|cells, at| {
                let room = count.min(columns);
                cells.splice(at..at, std::iter::repeat_n(' ', room));
            }),
            b'X' => self.edit(|cells, at| {
                cells.iter_mut().skip(at).take(count).for_each(|cell| *cell = ' ');
            }),
            _ => {}
        }
        if matches!(byte, b'E' | b'F') {
            self.column = 0;
        }
        None
    }

    fn go_to(&mut self, row: usize, column: usize) {
        self.row = row.min(self.height - 1);
        self.column = column.min(self.columns - 1);
        self.full = false;
    }

    fn erase_rows(&mut self, which: usize) {
        let row = self.row;
        if which == 0 || which >= 2 {
            self.rows.truncate(if which == 0 { row + 1 } else { 0 });
        }
        if which == 0 {
            self.erase_in_row(0);
        } else if which == 1 {
            self.rows.iter_mut().take(row).for_each(|line| *line = Line::default());
            self.erase_in_row(1);
        }
    }

    fn erase_in_row(&mut self, which: usize) {
        let (row, column) = (self.row, self.column);
        let Some(line) = self.rows.get_mut(row) else { return };
        if which != 1 {
            line.wrapped = false;
        }
        line.lacks &= which != 2 && (which != 0 || column > 0);
        match which {
            0 => line.cells.truncate(column),
            1 => line.cells.iter_mut().take(column + 1).for_each(|cell| *cell = ' '),
            _ => line.cells.clear(),
        }
    }

    /// Changes the cells of the cursor's row, which reach to the cursor at least.
    fn edit(&mut self, change: impl FnOnce(&mut Vec<char>, usize)) {
        let (column, columns) = (self.column, self.columns);
        let cells = &mut self.line_mut().cells;
        if cells.len() < column {
            cells.resize(column, ' ');
        }
        change(cells, column);
        cells.truncate(columns);
    }
}
