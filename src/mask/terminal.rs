//! Output of programs, on a terminal or off one: what detectors find is covered where it stands.
//!
//! In: bytes as they come, the time. Out: as many bytes, the same but for what was found. Never: a
//! byte more or less, which would move a cursor; a delay beyond [`WAIT_TERMINAL_US`] and
//! [`WAIT_PIPE_US`], in bulk five times as long, there within a word [`WAIT_WORD_US`].
//!
//! What is looked at is the text that a person sees (`visible`): colours in and around a value do
//! not hide it. It is best effort all the same. A value is found if it comes within that time, in
//! one piece: not one that is typed digit by digit, wrapped by a program, painted in parts,
//! encoded, packed. Of one that a pause has cut in two, what comes after the pause is covered.
//!
//! ```text
//!         |......... line \n| words words |  <- what a find may still reach over is held back
//!         leaves             waits for more, for the time, for the end of the stream
//!
//!   gone, words | words words |  <- after the time: what a find may begin in is looked at again
//! ```

mod visible;

use std::rc::Rc;

use self::visible::{Reading, Visible};
use super::body::window::boundary;
use super::detect::{Detector, Detectors, Found, OpenKey, Scratch};
use super::hits::{Cause, Hits};
use super::operator::{Operator, found_text};
use crate::limits::{TERMINAL_KEY_BYTES_MAX, TERMINAL_TOKEN_BYTES_MAX};

/// On a terminal people wait for their echo.
pub const WAIT_TERMINAL_US: u64 = 20_000;
/// Off one nobody looks so closely.
pub const WAIT_PIPE_US: u64 = 100_000;
/// After so many bytes without a pause they are no prompt that somebody waits for: a pause in the
/// middle of them is one of the machine's, and what is held waits so many times as long.
const BURST_BYTES: usize = 16 << 10;
const BURST_WAITS: u64 = 5;
/// And so long within a word: no prompt ends there.
pub const WAIT_WORD_US: u64 = 1_000_000;
/// What is held of one value: it is covered as it comes from here on.
const HELD_BYTES_MAX: usize = 64 << 10;
/// So many bytes may be the echo of somebody's typing.
const TYPED_BYTES_MAX: usize = 4;

/// One stream of output.
#[derive(Debug)]
pub struct Masker {
    detectors: Rc<Detectors>,
    wait_us: u64,
    /// Bytes since the last pause.
    burst: usize,
    /// What has left already and a find may begin in, then what is held.
    held: Vec<u8>,
    /// How much of it has left.
    gone: usize,
    due_us: Option<u64>,
    /// A value began and did not end.
    rest: Option<Rest>,
    /// What was typed last, if it was little: its echo is not held.
    typed: Vec<u8>,
    scratch: Scratch,
}

/// What is held, as one kind of terminal shows it.
struct Look {
    seen: Visible,
    finds: Vec<Found>,
    /// Where in the text the last words begin, and a key that has not ended.
    boundary: usize,
    key: Option<OpenKey>,
}

impl Look {
    /// Before which place all is whole, if it is before `cut`.
    fn cut(&self, cut: usize) -> usize {
        let (place, key) = (|at| self.seen.place(at), self.key.as_ref().map(|key| key.start));
        let mut cut = cut.min(place(self.boundary));
        for found in self.finds.iter().rev() {
            if place(found.start) < cut && place(found.end) >= cut {
                cut = place(found.start);
            }
        }
        key.map_or(cut, |key| cut.min(place(key)))
    }
}

/// What still comes of a value whose beginning has left, covered.
#[derive(Clone, Copy, Debug)]
enum Rest {
    /// A key, to its last line; so many bytes at most.
    Key(Operator, usize),
    /// A token, to what is no letter of it; so many bytes at most.
    Token(usize),
}

impl Masker {
    /// A stream; `terminal` says how long it may wait.
    pub fn new(detectors: Rc<Detectors>, terminal: bool) -> Masker {
        let wait_us = if terminal { WAIT_TERMINAL_US } else { WAIT_PIPE_US };
        Masker {
            detectors,
            wait_us,
            burst: 0,
            held: Vec::new(),
            gone: 0,
            due_us: None,
            rest: None,
            typed: Vec::new(),
            scratch: Scratch::default(),
        }
    }

    /// What somebody types.
    pub fn typed(&mut self, bytes: &[u8]) {
        self.typed.clear();
        if bytes.len() <= TYPED_BYTES_MAX {
            self.typed.extend_from_slice(bytes);
        }
    }

    /// When what is held leaves at the latest.
    pub const fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    fn wait(&self) -> u64 {
        match self.burst < BURST_BYTES {
            true => self.wait_us,
            false if self.is_within_word() => WAIT_WORD_US,
            false => self.wait_us * BURST_WAITS,
        }
    }

    /// Whether the last byte, blanks aside, is of a word or a number.
    fn is_within_word(&self) -> bool {
        let held = self.held.get(self.gone..).unwrap_or(&[]);
        let last = held.iter().rev().find(|byte| !matches!(**byte, b' ' | b'\t'));
        last.is_some_and(u8::is_ascii_alphanumeric)
    }

    /// More could not come: what is due is held once more, and looked at `seldom` where that
    /// happens over and over.
    pub fn postpone(&mut self, now_us: u64, seldom: bool) {
        if self.due_us.is_some_and(|due_us| due_us <= now_us) {
            let wait_us = if seldom { WAIT_WORD_US } else { self.wait() };
            self.due_us = Some(now_us + wait_us);
        }
    }

    /// Bytes of the stream; what may leave now.
    pub fn push(&mut self, bytes: &[u8], now_us: u64, hits: &mut Hits) -> Vec<u8> {
        let typed = self.held.len() == self.gone && !bytes.is_empty() && bytes == self.typed;
        self.typed.clear();
        if typed {
            self.forget();
        }
        self.held.extend_from_slice(bytes);
        self.burst = self.burst.saturating_add(bytes.len());
        if typed {
            return self.flush(hits);
        }
        let looks = self.looks();
        let mut cut = self.held.len();
        // What one look leaves whole another may have a find across.
        loop {
            let next = looks.iter().fold(cut, |cut, look| look.cut(cut));
            if next == cut {
                break;
            }
            cut = next;
        }
        let out = self.leave(&looks, cut, hits);
        if self.held.len() > HELD_BYTES_MAX {
            return [out, self.flush(hits)].concat();
        }
        self.due_us = match (self.held.len() == self.gone, self.due_us) {
            (true, _) => None,
            // What leaves is looked at from its first byte on.
            (false, due) if out.is_empty() => due.or(Some(now_us + self.wait())),
            (false, _) => Some(now_us + self.wait()),
        };
        out
    }

    /// The time is over, or the stream: all that is held.
    pub fn flush(&mut self, hits: &mut Hits) -> Vec<u8> {
        self.due_us = None;
        // A pause within a word is one of the machine's.
        if self.held.len() == self.gone || !self.is_within_word() {
            self.burst = 0;
        }
        let mut looks = self.looks();
        let (mut rest, mut from) = (None, self.held.len());
        for look in &mut looks {
            look.seen.end();
            let text = look.seen.text(&self.held);
            let end = text.len();
            let open = look.finds.last().filter(|found| found.end == end);
            let operator = self.detectors.operator(Detector::PrivateKey);
            let lines = operator.filter(|_| look.key.as_ref().is_some_and(|key| key.has_lines));
            rest = rest
                .or_else(|| open.and_then(|found| self.rest_of(*found, text)))
                .or(lines.map(|operator| Rest::Key(operator, TERMINAL_KEY_BYTES_MAX)));
            // Of a key of which there is but the first line nothing is covered that is no line of
            // it.
            let begin = look.key.as_ref().map_or(end, |key| key.start).min(look.boundary);
            from = from.min(look.seen.place(begin));
        }
        let again = self.held.get(from..).unwrap_or(&[]).to_vec();
        let out = self.leave(&looks, self.held.len(), hits);
        assert!(self.held.is_empty(), "all of it leaves");
        match rest {
            // It is covered without a find.
            Some(rest) => self.rest = Some(rest),
            None => (self.gone, self.held) = (again.len(), again),
        }
        out
    }

    /// What is held, as terminals show it: in every reading where they differ.
    fn looks(&mut self) -> Vec<Look> {
        let first = self.look(Reading::Obeyed);
        let others = first.seen.others();
        let mut looks = vec![first];
        looks.extend(others.map(|reading| self.look(reading)));
        looks
    }

    fn look(&mut self, reading: Reading) -> Look {
        let seen = Visible::of(&self.held, reading);
        let text = seen.text(&self.held);
        let finds = self.detectors.find(text, &mut self.scratch).to_vec();
        let (boundary, key) = (boundary(text), self.scratch.open_key());
        Look { seen, finds, boundary, key }
    }

    /// What may still come of a find at the end of a text.
    fn rest_of(&self, found: Found, text: &[u8]) -> Option<Rest> {
        let operator = self.detectors.operator(found.detector)?;
        match found.detector {
            Detector::PrivateKey => {
                let is_whole = contains(text.get(found.start..).unwrap_or(&[]), END);
                (!is_whole).then_some(Rest::Key(operator, TERMINAL_KEY_BYTES_MAX))
            }
            secret if secret.is_secret() => Some(Rest::Token(TERMINAL_TOKEN_BYTES_MAX)),
            _ => None,
        }
    }

    /// What has left is not looked at again.
    fn forget(&mut self) {
        self.held.drain(..self.gone);
        self.gone = 0;
    }

    /// What stands before the place `cut`, with what is found there covered; without what has left
    /// before.
    fn leave(&mut self, looks: &[Look], cut: usize, hits: &mut Hits) -> Vec<u8> {
        let mut out: Vec<u8> = self.held.drain(..cut).collect();
        let gone = self.gone.min(out.len());
        // Which bytes are covered, if there is a second look.
        let mut covered = vec![false; if looks.len() > 1 { out.len() } else { 0 }];
        for look in looks {
            let seen = &look.seen;
            for found in look.finds.iter().filter(|found| seen.place(found.end) <= cut) {
                let shown = (found.start..found.end).filter(|at| !seen.is_move(*at));
                let places: Vec<usize> = shown.map(|at| seen.place(at)).collect();
                self.cover((found.detector, &places), (&mut out, gone), &mut covered, hits);
            }
            for aside in seen.asides().iter().filter(|aside| aside.end <= cut) {
                let said = out.get(aside.clone()).unwrap_or(&[]);
                let finds = self.detectors.find(said, &mut self.scratch).to_vec();
                for found in finds {
                    let places: Vec<usize> =
                        (found.start + aside.start..found.end + aside.start).collect();
                    self.cover((found.detector, &places), (&mut out, gone), &mut covered, hits);
                }
            }
        }
        out.drain(..gone);
        self.gone -= gone;
        self.cover_rest(&mut out);
        out
    }

    /// Covers one find; of one whose start is `gone` all that is left, as of one that another look
    /// has covered in part.
    fn cover(
        &self,
        (detector, places): (Detector, &[usize]),
        (out, gone): (&mut [u8], usize),
        covered: &mut [bool],
        hits: &mut Hits,
    ) {
        let Some(operator) = self.detectors.operator(detector) else { return };
        let is_covered = |place: &usize| covered.get(*place) == Some(&true);
        if places.last().is_none_or(|&last| last < gone) || places.iter().all(is_covered) {
            return;
        }
        let whole =
            places.first().is_some_and(|&first| first >= gone) && !places.iter().any(is_covered);
        let operator = if whole { operator } else { Operator::Redact };
        let mut part: Vec<u8> =
            places.iter().filter_map(|&place| out.get(place)).copied().collect();
        match whole {
            true => cover(operator, detector, &mut part),
            false => part.iter_mut().filter(|byte| !is_line_end(**byte)).for_each(|it| *it = b'*'),
        }
        for (place, new) in places.iter().zip(part) {
            if let Some(own) = out.get_mut(*place) {
                *own = new;
            }
            if let Some(covered) = covered.get_mut(*place) {
                *covered = true;
            }
        }
        hits.add(0, Cause::Detector(detector), operator);
    }

    /// Covers what follows of a value whose start has left.
    fn cover_rest(&mut self, out: &mut [u8]) {
        self.rest = match self.rest {
            None => return,
            Some(rest) if out.is_empty() => Some(rest),
            Some(Rest::Key(operator, left)) => {
                let end = memchr::memmem::find(out, END).map(|at| {
                    let tail = out.get(at..).unwrap_or(&[]);
                    at + memchr::memchr(b'\n', tail).unwrap_or(tail.len())
                });
                let covered = end.unwrap_or(out.len()).min(left);
                if let Some(part) = out.get_mut(..covered) {
                    cover(operator, Detector::PrivateKey, part);
                }
                let left = left - covered;
                (end.is_none() && left > 0).then_some(Rest::Key(operator, left))
            }
            Some(Rest::Token(left)) => {
                let covered = out.iter().take(left).take_while(|byte| is_token(**byte)).count();
                let goes_on = covered == out.len();
                out.iter_mut().take(covered).for_each(|byte| *byte = b'*');
                (goes_on && left > covered).then_some(Rest::Token(left - covered))
            }
        };
    }
}

/// What tokens, addresses and passwords in URLs are made of.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'+' | b'/' | b'=' | b'%' | b'@' | b'$')
}

/// What a key's last line begins with.
const END: &[u8] = b"-----END";

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    memchr::memmem::find(bytes, what).is_some()
}

/// Puts in the place of a find what its operator makes of it, in as many bytes.
fn cover(operator: Operator, detector: Detector, part: &mut [u8]) {
    let mut made = Vec::new();
    found_text(operator, detector, part, &mut made);
    if !made.is_ascii() {
        made.clear();
    }
    made.resize(part.len(), b'*');
    for (own, new) in part.iter_mut().zip(made) {
        if !is_line_end(*own) {
            *own = new;
        }
    }
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn masker(operator: Operator) -> Masker {
        let all = Detector::ALL.map(|detector| (detector, operator));
        Masker::new(Rc::new(Detectors::new(all)), true)
    }

    /// All pieces within the time.
    fn through(pieces: &[&[u8]]) -> String {
        let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(masker.push(piece, 0, &mut hits));
        }
        out.extend(masker.flush(&mut hits));
        String::from_utf8_lossy(&out).into_owned()
    }

    const SHOWN: &str = "total 1\r\nalice@example.com paid with 4111 1111 1111 1111\r\n$ ";

    #[test]
    fn what_is_found_is_covered_in_as_many_bytes_in_any_split() {
        let whole = through(&[SHOWN.as_bytes()]);
        assert_eq!(whole.len(), SHOWN.len());
        assert!(!whole.contains("4111") && !whole.contains("alice"), "{whole}");
        assert!(whole.starts_with("total 1\r\n") && whole.ends_with("\r\n$ "), "{whole}");
        for at in 1..SHOWN.len() {
            let (left, right) = SHOWN.as_bytes().split_at(at);
            assert_eq!(through(&[left, right]), whole, "split at {at}");
        }
    }

    /// A line of a log at a time, and after a pause in the middle of it.
    #[test]
    fn lines_of_keys_are_covered_behind_a_margin() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let mut lines = vec!["-----BEGIN PRIVATE KEY-----"];
        lines.extend([line; 4]);
        lines.extend(["aGVsbG8gd29ybGQ=", "-----END PRIVATE KEY-----", "and so on"]);
        let lines: Vec<String> = lines.iter().map(|line| format!("app-1  | {line}\r\n")).collect();
        for pause in 0..=lines.len() {
            let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
            let mut out = Vec::new();
            for (at, line) in lines.iter().enumerate() {
                if at == pause {
                    out.extend(masker.flush(&mut hits));
                }
                out.extend(masker.push(line.as_bytes(), 0, &mut hits));
            }
            out.extend(masker.flush(&mut hits));
            let out = String::from_utf8_lossy(&out);
            assert!(!out.contains("MIIE"), "{pause}: {out}");
            assert!(!out.contains("aGVs"), "{pause}: {out}");
            assert_eq!(out.len(), lines.concat().len());
            assert!(out.ends_with("and so on\r\n"), "{pause}: {out}");
        }
    }

    #[test]
    fn what_follows_the_mention_of_a_key_is_shown() {
        let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
        let mut out = masker.push(b"grep -- '-----BEGIN PRIVATE KEY-----' *\r\n", 0, &mut hits);
        out.extend(masker.flush(&mut hits));
        let shown = "a.txt: no key here\r\n".repeat(40);
        out.extend(masker.push(shown.as_bytes(), 0, &mut hits));
        out.extend(masker.flush(&mut hits));
        assert!(String::from_utf8_lossy(&out).ends_with(&shown));
    }

    #[test]
    fn colours_in_and_around_a_value_do_not_hide_it() {
        let card = "4111111111111111";
        for shown in [
            format!("\x1b[1;31m{card}\x1b[m\n"),
            "\x1b[35m4111 1111\x1b(B\x1b[m 1111\x1b[01;31m\x1b[K 1111\n".to_owned(),
            format!("\x1b]0;{card}\x07$ \n"),
            format!("\x1b]0;a\x1b\\{card}\n"),
        ] {
            let escapes = |text: &str| text.matches(['\x1b', 'm', 'K', 'B', ']']).count();
            for at in 1..shown.len() {
                let (left, right) = shown.as_bytes().split_at(at);
                let covered = through(&[left, right]);
                assert_eq!(covered.len(), shown.len());
                assert!(!covered.contains("1111"), "{covered:?}, split at {at}");
                assert!(escapes(&covered) >= escapes(&shown), "{covered:?}");
            }
        }
        // What stands in two places of a screen is no value.
        let painted = "4111 1111\x1b[10;20H1111 1111\n";
        assert_eq!(through(&[painted.as_bytes()]), painted);
    }

    #[test]
    fn typing_is_not_held_and_lines_leave_at_once() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        masker.typed(b"l");
        assert_eq!(masker.push(b"l", 0, &mut hits), b"l");
        assert_eq!(masker.push(b"4", 0, &mut hits), b"", "nobody typed it");
        assert_eq!(masker.flush(&mut hits), b"4");
        assert_eq!(masker.push(b"some words\r\n", 0, &mut hits), b"some words\r\n");
        assert_eq!(masker.due_us(), None);
        assert_eq!(masker.push(b"prompt$ ", 5, &mut hits), b"");
        assert_eq!(masker.due_us(), Some(5 + WAIT_TERMINAL_US));
        assert_eq!(masker.flush(&mut hits), b"prompt$ ");
        assert!(hits.is_empty());
    }

    #[test]
    fn what_is_held_of_a_burst_waits_longer() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        masker.push("some words\n".repeat(2_000).as_bytes(), 0, &mut hits);
        masker.push(b"4111 1111: ", 5, &mut hits);
        assert_eq!(masker.due_us(), Some(5 + 5 * WAIT_TERMINAL_US));
        assert_eq!(masker.flush(&mut hits), b"4111 1111: ");
        masker.push(b"4111 1111 ", 7, &mut hits);
        assert_eq!(masker.due_us(), Some(7 + WAIT_TERMINAL_US));
    }

    #[test]
    fn within_a_word_of_a_burst_the_wait_is_longer_again() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        let bulk = "some words\n".repeat(2_000);
        masker.push(bulk.as_bytes(), 0, &mut hits);
        for (end, within) in [("$ ", false), ("4111 1111 ", true), ("4111", true), (">>> ", false)]
        {
            masker.push(b"\n", 0, &mut hits);
            masker.push(end.as_bytes(), 5, &mut hits);
            let wait_us = if within { WAIT_WORD_US } else { 5 * WAIT_TERMINAL_US };
            assert_eq!(masker.due_us(), Some(5 + wait_us), "{end:?}");
            masker.flush(&mut hits);
            // Such a pause is the machine's, the burst goes on.
            if !within {
                masker.push(bulk.as_bytes(), 0, &mut hits);
            }
        }
    }

    #[test]
    fn of_a_value_cut_by_a_pause_the_rest_is_covered() {
        let values = [
            ("paid by 4111 1111 1111 1111 today\r\n", "4111 1111 1111 1111"),
            ("key \x1b[1mDE89370400440532013000\x1b[m\r\n", "DE89370400440532013000"),
            ("to alice.of.sales@example.com, soon\r\n", "alice.of.sales@example.com"),
        ];
        for operator in [Operator::Redact, Operator::Partial, Operator::Mask] {
            for (shown, value) in values {
                let at = shown.find(value).expect("it stands there");
                for cut in at + 1..at + value.len() {
                    let (mut masker, mut hits) = (masker(operator), Hits::default());
                    let mut left = masker.push(&shown.as_bytes()[..cut], 0, &mut hits);
                    left.extend(masker.flush(&mut hits));
                    assert_eq!(left.len(), cut);
                    // What is whole by itself, as an address of fewer letters, is covered before.
                    let before = hits.total();
                    let mut rest = masker.push(&shown.as_bytes()[cut..], 9, &mut hits);
                    rest.extend(masker.flush(&mut hits));
                    let rest = String::from_utf8_lossy(&rest).into_owned();
                    assert_eq!(rest.len(), shown.len() - cut);
                    let covered = &rest[..at + value.len() - cut];
                    assert!(covered.bytes().all(|byte| byte == b'*'), "{cut}: {rest:?}");
                    assert_eq!(rest[covered.len()..], shown[at + value.len()..], "{cut}");
                    assert_eq!(hits.total(), before + 1, "{cut}: {rest:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_typed_after_a_pause_is_no_rest() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        assert_eq!(masker.push(b"411111111111111", 0, &mut hits), b"");
        assert_eq!(masker.flush(&mut hits), b"411111111111111");
        masker.typed(b"1");
        assert_eq!(masker.push(b"1", 5, &mut hits), b"1");
        // And what has left ends with its line.
        let mut out = masker.push(b"\r\n4111 1111 ", 6, &mut hits);
        out.extend(masker.flush(&mut hits));
        out.extend(masker.push(b"\r\n1111 1111 ", 7, &mut hits));
        out.extend(masker.flush(&mut hits));
        assert_eq!(out, b"\r\n4111 1111 \r\n1111 1111 ");
        assert!(hits.is_empty());
    }

    #[test]
    fn what_comes_late_of_a_token_is_covered_too() {
        let token = format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", "a".repeat(3_000), "b".repeat(90_000));
        for piece in [2_000, 70_000] {
            let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
            let mut out = Vec::new();
            for bytes in token.as_bytes().chunks(piece) {
                out.extend(masker.push(bytes, 0, &mut hits));
                assert!(masker.held.len() <= HELD_BYTES_MAX, "{}", masker.held.len());
                out.extend(masker.flush(&mut hits));
            }
            out.extend(masker.push(b"\nafter it\n", 0, &mut hits));
            let out = String::from_utf8_lossy(&out).into_owned();
            assert!(!out.contains("aaa") && !out.contains("bbb"), "{piece}");
            assert!(out.ends_with("*\nafter it\n"), "{piece}");
        }
        // A value that is held is not held for ever.
        let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
        let out = masker.push(token.as_bytes(), 0, &mut hits);
        assert_eq!((out.len(), masker.held.len()), (token.len(), 0));
    }

    #[test]
    fn what_takes_no_cell_does_not_hide_a_value() {
        let colour = format!("\x1b[{}m", "1;".repeat(1_500));
        let title = format!("\x1b]0;{}\x07", "t".repeat(5_000));
        let between = ["\0", "\x07", "\x0f", "\x7f", "\x1b7", "\u{9b}31m", "\u{200b}", "\u{ad}"];
        for between in between.into_iter().chain([&*colour, &*title]) {
            let digits = "4111111111111111".split("").collect::<Vec<_>>().join(between);
            let covered = through(&[format!("card {digits}\n").as_bytes()]);
            assert!(!covered.contains("11111"), "{between:?}");
            assert_eq!(covered.matches('1').count(), between.matches('1').count() * 17);
        }
    }

    /// Sequences that are not known, that are given up, that end as texts to the terminal do.
    #[test]
    fn what_terminals_do_not_know_does_not_hide_a_value() {
        let graphics = format!("\x1b_G{}\x1b\\", "t".repeat(50_000));
        let sequences = [
            "\x1bkscreen\x1b\\",
            "\x1b]0;t\x18",
            "\x1b_x\x18",
            "\x1b]0;t\x1b[m",
            "\x1b]0;t\nu\x07",
            "\x1b[=1u",
            "\x1b[>1u",
            "\x1b[<u",
            "\x1b[?u",
            "\x1b[X",
            "\x1b[200~",
            "\x1b[1$}",
            "\x1b[*x",
            "\x1b[0 @",
            "\x1b[1'z",
            "\x1b[1;1;1;1;1$r",
            "\x1bN",
            "\x1bO",
            "\x1bl",
            "\x1bG",
            "\x1b0",
            "\x1b1",
            "\x1b \x1b[m",
            "\x1bPx\x07y\x1b\\",
            "\x1b]P0ffffff",
            "\x1b]R",
            &graphics,
        ];
        for between in sequences {
            let shown = format!("id 411111{between}1111111111 end\n");
            for at in [4, 9, 10, 11, 12, 15, shown.len() - 9, shown.len()] {
                let at = at.min(shown.len());
                let covered = through(&[&shown.as_bytes()[..at], &shown.as_bytes()[at..]]);
                assert_eq!(covered.len(), shown.len());
                let name = between.get(..9).unwrap_or(between);
                assert!(!covered.contains("1111111111"), "{name:?} at {at}");
                assert!(!covered.contains("411111"), "{name:?} at {at}");
            }
        }
        // What stands before a sequence that may move is no part of what follows.
        let apart = through(&[b"12\x1b[5$v4111111111111111\n"]);
        assert!(!apart.contains("4111"), "{apart:?}");
    }

    /// Terminals drop what others obey, and show what it would have begun.
    #[test]
    fn raw_controls_do_not_hide_a_value() {
        let card = "4111111111111111";
        let apart = |between: &[u8]| -> Vec<u8> {
            card.bytes().flat_map(|digit| [&[digit][..], between].concat()).collect()
        };
        for between in [&b"\x84"[..], b"\x85", b"\x9b0m", b"\x9d0;t\x9c", b"\x80", b"\xff", b"\xa0"]
        {
            let shown = [b"card ", &*apart(between), b"\n"].concat();
            for at in 0..shown.len() {
                let covered = through(&[&shown[..at], &shown[at..]]);
                let digits = covered.matches('1').count();
                // Where all digits are seen but for what the control begins.
                let is_seen = !between.contains(&b'0');
                assert!(digits == 0 || !is_seen, "{between:?} at {at}: {covered:?}");
                assert!(is_seen || !covered.contains("4"), "{between:?} at {at}: {covered:?}");
            }
        }
        for shown in [&b"\x9b4111111111111111 p\n"[..], b"\x904111111111111111 \x9c\n"] {
            let covered = through(&[shown]);
            assert!(!covered.contains("1111"), "{covered:?}");
        }
        let (mut masker, mut hits) = (masker(Operator::Partial), Hits::default());
        let mut out = masker.push(b"\x80 4111111111111111\n", 0, &mut hits);
        out.extend(masker.flush(&mut hits));
        assert_eq!(out, b"\x80 ************1111\n");
        assert_eq!(hits.total(), 1);
    }

    #[test]
    fn what_could_not_go_on_waits_once_more() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        assert_eq!(masker.push(b"4111 1111 ", 5, &mut hits), b"");
        masker.postpone(5, false);
        assert_eq!(masker.due_us(), Some(5 + WAIT_TERMINAL_US), "not due yet");
        masker.postpone(5 + WAIT_TERMINAL_US, false);
        assert_eq!(masker.due_us(), Some(5 + 2 * WAIT_TERMINAL_US));
        masker.postpone(9 * WAIT_TERMINAL_US, true);
        assert_eq!(masker.due_us(), Some(9 * WAIT_TERMINAL_US + WAIT_WORD_US));
    }

    #[test]
    fn a_key_is_covered_to_its_last_line_though_it_comes_slowly() {
        let body = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n";
        let key = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}-----END OPENSSH PRIVATE KEY-----\n",
            body.repeat(4)
        );
        let (mut masker, mut hits) = (masker(Operator::Redact), Hits::default());
        let mut out = Vec::new();
        for piece in key.as_bytes().chunks(100) {
            out.extend(masker.push(piece, 0, &mut hits));
            out.extend(masker.flush(&mut hits));
        }
        out.extend(masker.push(b"after it\n", 0, &mut hits));
        out.extend(masker.flush(&mut hits));
        let out = String::from_utf8_lossy(&out).into_owned();
        assert!(!out.contains("b3Blbn") && !out.contains("AAAA"), "{out}");
        assert!(out.ends_with("after it\n"), "{out}");
    }

    proptest! {
        #[test]
        fn as_many_bytes_leave_as_came(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20),
            late in any::<u32>(),
        ) {
            let (mut masker, mut hits) = (masker(Operator::Partial), Hits::default());
            let (mut came, mut left) = (0, 0);
            for (index, piece) in pieces.iter().enumerate() {
                came += piece.len();
                left += masker.push(piece, 0, &mut hits).len();
                if late & (1 << (index % 32)) != 0 {
                    left += masker.flush(&mut hits).len();
                    prop_assert_eq!(came, left);
                }
            }
            left += masker.flush(&mut hits).len();
            prop_assert_eq!(came, left);
        }
    }
}
