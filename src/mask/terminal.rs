//! Output of programs, on a terminal or off one: what detectors find is covered where it stands.
//!
//! In: bytes as they come, the time. Out: as many bytes, the same but for what was found. Never: a
//! byte more or less, which would move a cursor; a delay beyond `TERMINAL` and `PIPE`, in bulk five
//! times as long.
//!
//! What is looked at is the text that a person sees (`visible`): colours in and around a value do
//! not hide it. It is best effort all the same. A value is found if it comes within that time, in
//! one piece: not one that is typed digit by digit, wrapped by a program, painted in parts,
//! encoded, packed.
//!
//! ```text
//!   held |......... line \n| words words |  <- what a find may still reach over is held back
//!        leaves             waits for more, for the time, for the end of the stream
//! ```

mod visible;

use std::rc::Rc;

use self::visible::Visible;
use super::body::window::boundary;
use super::detect::{Detector, Detectors, Found, Scratch};
use super::hits::{Cause, Hits};
use super::operator::{Operator, found_text};
use crate::limits::TERMINAL_KEY_BYTES_MAX;

/// How long output may be held.
#[derive(Clone, Copy, Debug)]
struct Waits {
    /// What is held is words.
    words_us: u64,
    /// It ends in the midst of one that may be a value, and is no echo: the rest is on its way.
    midst_us: u64,
}

/// On a terminal people wait for their echo.
const TERMINAL: Waits = Waits { words_us: 20_000, midst_us: 200_000 };
/// Off one nobody looks so closely.
const PIPE: Waits = Waits { words_us: 100_000, midst_us: 500_000 };
/// So little since the last pause is what somebody's key made: its echo, a line drawn again.
const ECHO_BYTES_MAX: usize = 256;
/// What is kept of one value: it is covered as it comes from here on.
const HELD_BYTES_MAX: usize = 64 << 10;
/// After so many bytes without a pause they are no prompt that somebody waits for: a pause in the
/// middle of them is one of the machine's, and what is held waits so many times as long.
const BURST_BYTES: usize = 16 << 10;
const BURST_WAITS: u64 = 5;
/// So many bytes may be the echo of somebody's typing.
const TYPED_BYTES_MAX: usize = 4;

/// One stream of output.
#[derive(Debug)]
pub struct Masker {
    detectors: Rc<Detectors>,
    waits: Waits,
    /// What is held ends in the midst of a word.
    midst: bool,
    /// Bytes since the last pause.
    burst: usize,
    held: Vec<u8>,
    due_us: Option<u64>,
    /// A value began and did not end.
    rest: Option<Rest>,
    /// What was typed last, if it was little: its echo is not held.
    typed: Vec<u8>,
    scratch: Scratch,
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
        Masker {
            detectors,
            waits: if terminal { TERMINAL } else { PIPE },
            midst: false,
            burst: 0,
            held: Vec::new(),
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

    const fn wait(&self) -> u64 {
        let is_midst = self.midst && self.burst > ECHO_BYTES_MAX;
        let wait_us = if is_midst { self.waits.midst_us } else { self.waits.words_us };
        if self.burst < BURST_BYTES { wait_us } else { wait_us * BURST_WAITS }
    }

    /// More could not come: what is due is held once more.
    pub fn postpone(&mut self, now_us: u64) {
        if self.due_us.is_some_and(|due_us| due_us <= now_us) {
            self.due_us = Some(now_us + self.wait());
        }
    }

    /// Bytes of the stream; what may leave now.
    pub fn push(&mut self, bytes: &[u8], now_us: u64, hits: &mut Hits) -> Vec<u8> {
        let typed = self.held.is_empty() && !bytes.is_empty() && bytes == self.typed;
        self.typed.clear();
        self.held.extend_from_slice(bytes);
        self.burst = self.burst.saturating_add(bytes.len());
        if typed {
            return self.flush(hits);
        }
        let seen = Visible::of(&self.held);
        let text = seen.text(&self.held);
        let finds = self.detectors.find(text, &mut self.scratch).to_vec();
        let mut cut = boundary(text);
        for found in finds.iter().rev() {
            if found.start < cut && found.end >= cut {
                cut = found.start;
            }
        }
        self.midst = may_go_on(text);
        let out = self.leave(&seen, cut, &finds, hits);
        if self.held.len() > HELD_BYTES_MAX {
            let burst = self.burst;
            let out = [out, self.flush(hits)].concat();
            self.burst = burst;
            return out;
        }
        self.due_us = match (self.held.is_empty(), self.due_us) {
            (true, _) => None,
            // What leaves is looked at from its first byte on.
            (false, due) if out.is_empty() => due.or(Some(now_us + self.wait())),
            (false, _) => Some(now_us + self.wait()),
        };
        out
    }

    /// The time is over, or the stream: all that is held.
    pub fn flush(&mut self, hits: &mut Hits) -> Vec<u8> {
        (self.due_us, self.burst) = (None, 0);
        let mut seen = Visible::of(&self.held);
        seen.end();
        let text = seen.text(&self.held);
        let finds = self.detectors.find(text, &mut self.scratch).to_vec();
        let end = text.len();
        let open = finds.last().filter(|found| found.end == end);
        let rest = open.and_then(|found| self.rest_of(*found, text));
        let out = self.leave(&seen, end, &finds, hits);
        self.rest = rest.or(self.rest);
        out
    }

    /// What may still come of a find at the end of a text.
    fn rest_of(&self, found: Found, text: &[u8]) -> Option<Rest> {
        let operator = self.detectors.operator(found.detector)?;
        match found.detector {
            Detector::PrivateKey => {
                let is_whole = contains(text.get(found.start..).unwrap_or(&[]), END);
                (!is_whole).then_some(Rest::Key(operator, TERMINAL_KEY_BYTES_MAX))
            }
            secret if secret.is_secret() => Some(Rest::Token(TERMINAL_KEY_BYTES_MAX)),
            _ => None,
        }
    }

    /// What stands before `cut`, a place in the text, with what is found there covered.
    fn leave(&mut self, seen: &Visible, cut: usize, finds: &[Found], hits: &mut Hits) -> Vec<u8> {
        let mut out: Vec<u8> = self.held.drain(..seen.place(cut)).collect();
        for found in finds.iter().filter(|found| found.end <= cut) {
            let places = (found.start..found.end).map(|at| seen.place(at));
            self.cover((found.detector, places), &mut out, hits);
        }
        let left = out.len();
        for aside in seen.asides().iter().filter(|aside| aside.end <= left) {
            let said = out.get(aside.clone()).unwrap_or(&[]);
            let finds = self.detectors.find(said, &mut self.scratch).to_vec();
            for found in finds {
                let places = found.start + aside.start..found.end + aside.start;
                self.cover((found.detector, places), &mut out, hits);
            }
        }
        self.cover_rest(&mut out);
        out
    }

    /// Covers one find.
    fn cover(
        &self,
        (detector, places): (Detector, impl Iterator<Item = usize>),
        out: &mut [u8],
        hits: &mut Hits,
    ) {
        let Some(operator) = self.detectors.operator(detector) else { return };
        let places: Vec<usize> = places.collect();
        let mut part: Vec<u8> =
            places.iter().filter_map(|&place| out.get(place)).copied().collect();
        cover(operator, detector, &mut part);
        for (place, new) in places.into_iter().zip(part) {
            if let Some(own) = out.get_mut(place).filter(|own| !visible::begins_sequence(**own)) {
                *own = new;
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

/// Whether a text may end in the midst of a value: of a word, or between the groups of a number.
/// Prompts do not.
fn may_go_on(text: &[u8]) -> bool {
    match text {
        [.., last] if is_token(*last) => true,
        [.., before, b' '] => {
            let near = text.get(text.len().saturating_sub(32)..).unwrap_or(text);
            before.is_ascii_alphanumeric() && near.iter().any(u8::is_ascii_digit)
        }
        _ => false,
    }
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
        if !matches!(own, b'\r' | b'\n') {
            *own = new;
        }
    }
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
        assert_eq!(masker.due_us(), Some(5 + TERMINAL.words_us));
        assert_eq!(masker.flush(&mut hits), b"prompt$ ");
        assert!(hits.is_empty());
    }

    #[test]
    fn what_is_held_of_a_burst_waits_longer() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        masker.push("some words\n".repeat(2_000).as_bytes(), 0, &mut hits);
        masker.push(b"4111 1111 ", 5, &mut hits);
        assert_eq!(masker.due_us(), Some(5 + 5 * TERMINAL.midst_us));
        assert_eq!(masker.flush(&mut hits), b"4111 1111 ");
        masker.push(b"4111 1111 ", 7, &mut hits);
        assert_eq!(masker.due_us(), Some(7 + TERMINAL.words_us));
    }

    #[test]
    fn what_may_be_the_midst_of_a_value_waits_for_its_rest() {
        let due = |shown: &str| {
            let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
            let line = "a word ".repeat(40);
            masker.push(format!("{line}\n{shown}").as_bytes(), 0, &mut hits);
            masker.due_us()
        };
        for midst in ["4111", "4111 1111 ", "alice@exam", "eyJhbGci", "DE89 3704 ", "-----"] {
            assert_eq!(due(midst), Some(TERMINAL.midst_us), "{midst}");
        }
        for prompt in ["$ ", "root@web-1:~# ", "Password: ", "mysql> ", "[y/N]? ", "(END):"] {
            assert_eq!(due(prompt), Some(TERMINAL.words_us), "{prompt}");
        }
        // What a key made is little, and its echo is not kept waiting.
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        masker.push(b"\r$ git comm", 0, &mut hits);
        assert_eq!(masker.due_us(), Some(TERMINAL.words_us));
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

    #[test]
    fn what_could_not_go_on_waits_once_more() {
        let (mut masker, mut hits) = (masker(Operator::Mask), Hits::default());
        assert_eq!(masker.push(b"4111 1111 ", 5, &mut hits), b"");
        masker.postpone(5);
        assert_eq!(masker.due_us(), Some(5 + TERMINAL.words_us), "not due yet");
        masker.postpone(5 + TERMINAL.words_us);
        assert_eq!(masker.due_us(), Some(5 + 2 * TERMINAL.words_us));
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
