//! Text that is not known to be anything else.
//!
//! What begins like JSON is masked like JSON, whatever it says to be: a rule for a path must not be
//! evaded by a wrong `Content-Type`. Should it turn out to be none, and no path is masked, it is
//! searched as the text that it is. Where paths are masked, text that is no JSON passes only if it
//! is one line in which nothing is named.

use super::json::Json;
use super::window::{Cut, cut};
use super::{Unmaskable, Work, again, is_plain_line};
use crate::limits::{MASK_CONTEXT_BYTES, MASK_LINE_BYTES_MAX};
use crate::mask::escapes::Seen;

/// Masks one text.
#[derive(Debug, Default)]
pub(super) struct Text {
    state: State,
    /// What was received and has not left, behind `context` bytes that have.
    held: Vec<u8>,
    context: usize,
    /// It is looked at again once it is so long, or a line ends.
    wait: usize,
    /// Lines have ended, and a find that goes on holds them.
    stuck: bool,
    finds: Vec<Seen>,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing but blanks came.
    #[default]
    Start,
    Plain,
    /// A find goes on for too long.
    Swallow,
    Json(Box<Json>),
}

impl Text {
    /// Text that is no JSON, however it begins.
    pub(super) fn prose() -> Text {
        Text { state: State::Plain, ..Text::default() }
    }

    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Unmaskable> {
        if matches!(self.state, State::Start)
            && let start = bytes.trim_ascii_start()
            && let Some(first) = start.first()
        {
            // Some parsers take JSON behind a byte order mark; no path is followed there.
            let is_marked = !work.rules.paths.is_empty()
                && (start.starts_with(b"\xef\xbb\xbf") || b"\xef\xbb\xbf".starts_with(start));
            let is_json = is_marked || matches!(first, b'{' | b'[' | b'"');
            self.state =
                if is_json { State::Json(Box::new(Json::new(true))) } else { State::Plain };
        }
        match &mut self.state {
            State::Json(_) => self.json(bytes, ends, work),
            State::Start => {
                work.out.extend_from_slice(bytes);
                Ok(())
            }
            State::Swallow => Ok(()),
            State::Plain => {
                if !work.rules.paths.is_empty() {
                    return self.line(bytes, ends, work);
                }
                self.held.extend_from_slice(bytes);
                // Whoever follows a log waits for lines, and the next one may be long in coming.
                let breaks = !self.stuck && memchr::memchr(b'\n', bytes).is_some();
                if !ends && !breaks && self.held.len() < self.wait {
                    return Ok(());
                }
                self.plain(ends, work)
            }
        }
    }

    fn json(&mut self, bytes: &[u8], ends: bool, work: &mut Work<'_>) -> Result<(), Unmaskable> {
        let State::Json(json) = &mut self.state else { return Ok(()) };
        match json.feed(bytes, ends, work) {
            Err(Unmaskable::Json(_)) if work.rules.paths.is_empty() && !json.is_within() => {
                if let State::Json(json) = std::mem::replace(&mut self.state, State::Plain) {
                    self.held = json.give_up();
                }
                self.plain(ends, work)
            }
            result => result,
        }
    }

    /// Text where paths are masked: nothing of it leaves until all of it is known to be one line.
    fn line(&mut self, bytes: &[u8], ends: bool, work: &mut Work<'_>) -> Result<(), Unmaskable> {
        self.held.extend_from_slice(bytes);
        if self.held.len() > MASK_LINE_BYTES_MAX || !is_plain_line(&self.held) {
            return Err(Unmaskable::Text);
        }
        if ends { self.plain(true, work) } else { Ok(()) }
    }

    fn plain(&mut self, ends: bool, work: &mut Work<'_>) -> Result<(), Unmaskable> {
        let whole = check(&self.held)?;
        if ends && whole < self.held.len() {
            return Err(Unmaskable::Coding);
        }
        let text = self.held.get(..whole).unwrap_or(&[]);
        let place = (text, self.context);
        let place = cut(work.rules, place, ends, work.scratch, &mut self.finds);
        let end = match place {
            Cut::At(end) => end,
            Cut::Swallow => text.len(),
        };
        work.count_seen(&self.finds, "");
        let mut kept = self.context;
        for seen in &self.finds {
            work.out.extend_from_slice(text.get(kept..seen.found.start).unwrap_or(&[]));
            seen.write(&work.rules.detectors, work.out);
            kept = seen.found.end;
        }
        if place == Cut::Swallow {
            self.state = State::Swallow;
            self.held = Vec::new();
            return Ok(());
        }
        work.out.extend_from_slice(text.get(kept..end).unwrap_or(&[]));
        // What left last is kept, since a find may not begin within a word.
        let mut from = end.saturating_sub(MASK_CONTEXT_BYTES);
        while self.held.get(from).is_some_and(|byte| byte & 0xc0 == 0x80) {
            from += 1;
        }
        self.context = end - from;
        self.held.drain(..from);
        self.wait = again(self.held.len());
        let waiting = self.held.get(self.context..).unwrap_or(&[]);
        self.stuck = self.wait > 0 && memchr::memchr(b'\n', waiting).is_some();
        Ok(())
    }
}

/// How many of the bytes are whole characters. NUL is in no text, but in every other character of
/// UTF-16, where no detector finds anything.
fn check(bytes: &[u8]) -> Result<usize, Unmaskable> {
    if memchr::memchr(0, bytes).is_some() {
        return Err(Unmaskable::Coding);
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(Unmaskable::Coding),
    }
}
