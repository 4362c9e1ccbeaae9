//! Lines that somebody typed at a terminal, derived from what the terminal showed.
//!
//! In: `pty-events` of the terminals of a segment, and how the ones before it left them. Out:
//! lines, with their times. Never: a claim that a line is what ran, which only the program at the
//! other end knows; input itself, which the record may not hold.
//!
//! ```text
//!           input, cursor behind a prompt           the line ends
//!   Idle ------------------------------------> Typing -----------------> Idle
//!     '-- more input than lines --> Ahead --- the line ends ---^
//! ```
//!
//! A program that reads lines with an editor (bash, zsh, psql) says when it begins and ends to read
//! (`?2004h`, `?2004l`): its lines are what stood behind the prompt at the end. Of other programs a
//! line ends where the terminal goes to the next row in answer to input. Typing ahead loses where
//! the prompt ended, unless it is the prompt of the line before: such a line is marked `cut`, as
//! one whose beginning is not known.

mod screen;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use self::screen::{Mark, Screen};
use super::entry::SessionId;
use super::pty_events::{Event, Events, Kind, take_varint};
use super::rows::Key;
use crate::limits::{LINE_BYTES_MAX, LINE_TERMINALS_MAX, LINES_KEPT_CELLS_MAX};

/// A line, or why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What was found.
    pub found: Found,
    /// Microseconds from the first event of the same bytes to its end.
    pub at_us: u64,
}

/// What was found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A line.
    Line {
        /// Its text; several lines if its editor showed several.
        text: String,
        /// Part of it may be missing, or what stood before it may be in it.
        cut: bool,
    },
    /// No lines are derived from here on.
    Gap(Gap),
}

/// Why no lines are derived from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A program has the whole screen: an editor, or `tmux` with shells in it.
    FullScreen,
    /// It gave the screen back: from here on there are lines again.
    FullScreenEnd,
    /// No more of the terminal was kept.
    NotCaptured,
    /// Deriving them failed, which is a fault of weir's.
    NotDerived,
}

impl Gap {
    /// Its name in the lake.
    pub const fn label(self) -> &'static str {
        match self {
            Gap::FullScreen => "full-screen",
            Gap::FullScreenEnd => "full-screen-end",
            Gap::NotCaptured => "not-captured",
            Gap::NotDerived => "not-derived",
        }
    }
}

/// One terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    screen: Option<Screen>,
    state: State,
    /// The prompt of the last line, of an editor's if there was one.
    prompt: Vec<char>,
    has_editor: bool,
    /// Bytes of input that no output answered.
    pending: u64,
    /// Bytes of the last input.
    last: u64,
    /// Output came since the last input.
    answered: bool,
    /// What the screen showed before is not known.
    unknown: bool,
    /// Its program ended.
    over: bool,
    at_us: u64,
}

#[derive(Clone, Debug)]
enum State {
    /// Nobody types.
    Idle,
    /// A line is typed; it begins here.
    Typing {
        /// Unless that left at the top.
        start: Option<(usize, usize)>,
        /// What stood behind it: a prompt at the right.
        right: Vec<char>,
        /// The program said that it reads.
        editor: bool,
        taken: Taken,
        cut: bool,
    },
    /// Something was typed before the prompt came, or somebody else wrote into the line.
    Ahead { taken: Taken },
}

/// The line as it was when the cursor last went down.
type Taken = Option<(String, bool)>;

impl Terminal {
    /// A terminal whose beginning is not known.
    pub const fn unknown() -> Terminal {
        Terminal {
            screen: None,
            state: State::Idle,
            prompt: Vec::new(),
            has_editor: false,
            pending: 0,
            last: 0,
            answered: false,
            unknown: true,
            over: false,
            at_us: 0,
        }
    }

    /// A terminal from its beginning.
    pub fn begun() -> Terminal {
        Terminal { unknown: false, ..Terminal::unknown() }
    }

    /// The same; a fault of weir's in it costs lines, and no evidence of what they are derived
    /// from.
    pub fn take_safely(&mut self, chunk: &[u8], found: &mut Vec<Line>) -> u64 {
        if let Ok(took_us) = catch_unwind(AssertUnwindSafe(|| self.take(chunk, found))) {
            return took_us;
        }
        *self = Terminal::unknown();
        found.push(Line { found: Found::Gap(Gap::NotDerived), at_us: 0 });
        0
    }

    /// Takes the events of a chunk. How long they took, microseconds.
    pub fn take(&mut self, chunk: &[u8], found: &mut Vec<Line>) -> u64 {
        self.at_us = 0;
        for event in Events::new(chunk) {
            self.at_us = self.at_us.saturating_add(event.after_us);
            self.event(event, found);
        }
        self.at_us
    }

    fn event(&mut self, event: Event<'_>, found: &mut Vec<Line>) {
        let mut bytes = event.bytes;
        match event.kind {
            Kind::Size => {
                let size = take_varint(&mut bytes).zip(take_varint(&mut bytes));
                if let Some((columns, height)) = size {
                    self.resize(columns, height);
                }
            }
            Kind::Input => self.input(bytes.len() as u64),
            Kind::CountedInput => self.input(take_varint(&mut bytes).unwrap_or(1)),
            Kind::Output => {
                self.answered = true;
                bytes.iter().for_each(|byte| self.output(*byte, found));
            }
            Kind::Exit => self.over = true,
            Kind::Gap => self.lost(),
            Kind::Ended => self.gap(Gap::NotCaptured, found),
            _ => {}
        }
    }

    fn gap(&self, gap: Gap, found: &mut Vec<Line>) {
        found.push(Line { found: Found::Gap(gap), at_us: self.at_us });
    }

    /// Some output was not kept: nobody knows what stands where. Whether a program has the screen
    /// is not known either; it is taken for a shell's, which shall not be missed.
    fn lost(&mut self) {
        (self.state, self.pending, self.unknown) = (State::Idle, 0, true);
        if let Some(screen) = &mut self.screen {
            screen.lose();
        }
    }

    fn resize(&mut self, columns: u64, height: u64) {
        match &mut self.screen {
            None => self.screen = Some(Screen::new(columns, height)),
            Some(screen) if screen.is_size(columns, height) => {}
            Some(screen) => {
                screen.resize(columns, height);
                // Programs draw their line again, and say nothing of where.
                if let State::Typing { cut, .. } = &mut self.state {
                    *cut = true;
                }
            }
        }
    }

    fn input(&mut self, count: u64) {
        let Some(screen) = self.screen.as_ref().filter(|screen| !screen.is_taken()) else { return };
        if self.answered {
            self.pending = 0;
        }
        self.answered = false;
        self.pending = self.pending.saturating_add(count);
        self.last = count;
        let (row, column) = screen.cursor();
        let prompt = screen.cells_before(row, column);
        let is_known = match &self.state {
            State::Typing { .. } => return,
            State::Idle => !self.unknown,
            // What was typed ahead may stand before the cursor already.
            State::Ahead { taken: Some(_) } => return,
            State::Ahead { .. } => prompt == self.prompt,
        };
        let mut right = screen.cells(row, column).to_vec();
        right.drain(..right.iter().take_while(|cell| **cell == ' ').count());
        let editor = screen.is_reading();
        let (start, taken) = (Some((row, column)), None);
        if editor || !self.has_editor {
            (self.prompt, self.has_editor) = (prompt, editor);
        }
        self.state = State::Typing { start, right, editor, taken, cut: !is_known };
    }

    fn output(&mut self, byte: u8, found: &mut Vec<Line>) {
        let Some(screen) = &mut self.screen else { return };
        let was_taken = screen.is_taken();
        let mark = screen.take(byte);
        if mark.is_some() && screen.is_taken() && !matches!(mark, Some(Mark::Taken(_))) {
            return;
        }
        match mark {
            None => {}
            Some(Mark::Shown(count)) => self.pending = self.pending.saturating_sub(count as u64),
            Some(Mark::Scrolled(rows)) => {
                self.pending = self.pending.saturating_sub(1);
                self.scrolled(rows);
            }
            Some(Mark::LineFeed) => self.line_feed(found),
            Some(Mark::Reading(true)) if !matches!(self.state, State::Idle) => {
                self.state = State::Ahead { taken: None };
            }
            Some(Mark::Reading(true)) => {}
            Some(Mark::Reading(false)) => self.read(found),
            Some(Mark::Taken(on)) => {
                (self.state, self.pending) = (State::Idle, 0);
                if on != was_taken {
                    self.gap(if on { Gap::FullScreen } else { Gap::FullScreenEnd }, found);
                }
            }
        }
        // A prompt drawn from its row's beginning on is known.
        if matches!(byte, b'\n' | b'\r') {
            self.unknown = false;
        }
    }

    fn scrolled(&mut self, rows: usize) {
        if let State::Typing { start, .. } = &mut self.state {
            *start = start.and_then(|(row, column)| Some((row.checked_sub(rows)?, column)));
        }
    }

    fn line_feed(&mut self, found: &mut Vec<Line>) {
        let Some(screen) = &self.screen else { return };
        let is_reading = screen.is_reading();
        let line = self.line();
        match &mut self.state {
            State::Typing { editor: true, taken, .. } => *taken = line,
            State::Ahead { taken } if is_reading => *taken = line,
            State::Typing { .. } if self.pending == 0 => self.state = State::Ahead { taken: None },
            // Several inputs and nothing shown of them: a password, and the program's next words.
            State::Typing { .. } if self.pending > self.last => {
                (self.state, self.pending) = (State::Idle, 0);
            }
            State::Typing { .. } => {
                let is_empty = line.as_ref().is_none_or(|(text, _)| text.is_empty());
                self.pending = if is_empty { 0 } else { self.pending - 1 };
                self.push(line, found);
                self.state = State::Idle;
            }
            State::Ahead { .. } | State::Idle => {}
        }
        let Some(screen) = &mut self.screen else { return };
        let scrolled = screen.next_row();
        let is_more = matches!(self.state, State::Idle) && self.pending > 0 && !is_reading;
        if let Some(Mark::Scrolled(rows)) = scrolled {
            self.scrolled(rows);
        }
        if is_more {
            // What is left of a paste is shown by the terminal itself, from the row's beginning.
            let Some(screen) = &self.screen else { return };
            let (row, _) = screen.cursor();
            let (start, right, taken) = (Some((row, 0)), Vec::new(), None);
            self.state = State::Typing { start, right, editor: false, taken, cut: false };
        }
    }

    /// The program has read its line.
    fn read(&mut self, found: &mut Vec<Line>) {
        let line = self.line();
        let before = std::mem::replace(&mut self.state, State::Idle);
        match before {
            State::Typing { editor: true, taken, .. } | State::Ahead { taken } => {
                self.push(taken.or(line), found);
            }
            // It did not say that it began.
            State::Typing { .. } | State::Idle => {}
        }
        self.pending = self.pending.saturating_sub(1);
        if self.pending > 0 {
            self.state = State::Ahead { taken: None };
        }
    }

    /// The line that is typed, as it stands now.
    fn line(&self) -> Taken {
        let screen = self.screen.as_ref()?;
        let (row, _) = screen.cursor();
        let first = screen.line_start(row);
        let behind_prompt = |row: usize| {
            let before = screen.cells_before(row, self.prompt.len());
            !self.prompt.is_empty() && before == self.prompt
        };
        match &self.state {
            State::Idle => None,
            State::Ahead { .. } => {
                let known = behind_prompt(first);
                let column = if known { self.prompt.len() } else { 0 };
                let (text, lacks) = screen.text_from((first, column));
                Some((text, !known || lacks))
            }
            State::Typing { start, right, cut, .. } => {
                // The editor may have drawn prompt and line again, below a list or on a clean
                // screen.
                let is_there = |start: &(usize, usize)| start.0 <= row;
                let known = match start.filter(is_there) {
                    Some((at, column)) if at == first || !behind_prompt(first) => {
                        Some((at, column))
                    }
                    _ => behind_prompt(first).then_some((first, self.prompt.len())),
                };
                let (mut text, lacks) = screen.text_from(known.unwrap_or((first, 0)));
                let right: String = right.iter().collect();
                let left = text.strip_suffix(right.as_str()).filter(|_| !right.is_empty());
                if let Some(left) = left.filter(|left| left.ends_with(' ') || left.is_empty()) {
                    text = left.trim_end().to_owned();
                }
                Some((text, *cut || known.is_none() || lacks))
            }
        }
    }

    fn push(&self, line: Taken, found: &mut Vec<Line>) {
        let Some((mut text, mut cut)) = line else { return };
        if text.len() > LINE_BYTES_MAX {
            let end = (0..=LINE_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or(0));
            cut = true;
        }
        let text = text.trim_start();
        let prompt: String = self.prompt.iter().collect();
        // Where it is not known what a prompt is, the prompt alone is no line either.
        let is_prompt = cut && text == prompt.trim();
        if !text.is_empty() && !is_prompt {
            let found_line = Found::Line { text: text.to_owned(), cut };
            found.push(Line { found: found_line, at_us: self.at_us });
        }
    }

    /// What is kept of it until its next bytes come; `None` if that is too much.
    fn kept(mut self) -> Option<Terminal> {
        let screen = self.screen.as_mut()?;
        let (row, _) = screen.cursor();
        let first = match self.state {
            State::Typing { start: Some(start), .. } if !screen.is_taken() => start.0.min(row),
            _ => screen.line_start(row),
        };
        screen.forget_above(first);
        let cells = (row + 1 - first).saturating_mul(screen.columns());
        (cells <= LINES_KEPT_CELLS_MAX && !self.over).then_some(self)
    }
}

/// Terminals whose sessions go on after a segment.
#[derive(Debug, Default)]
pub struct Terminals {
    open: HashMap<Key, Terminal>,
}

impl Terminals {
    /// A terminal as it was left, or one whose beginning is not known.
    pub fn find(&self, key: &Key, is_first: bool) -> Terminal {
        match self.open.get(key) {
            Some(terminal) if !is_first => terminal.clone(),
            _ if is_first => Terminal::begun(),
            _ => Terminal::unknown(),
        }
    }

    /// Terminals after a segment; those that ended are forgotten.
    pub fn update(
        &mut self,
        changed: impl IntoIterator<Item = (Key, Terminal)>,
        ended: &HashSet<SessionId>,
    ) {
        for (key, terminal) in changed {
            self.open.remove(&key);
            if self.open.len() < LINE_TERMINALS_MAX
                && let Some(terminal) = terminal.kept()
            {
                self.open.insert(key, terminal);
            }
        }
        self.open.retain(|(session, _), _| !ended.contains(session));
    }
}
