//! The text that a person sees of what a program writes: without colours, titles, modes, and what
//! takes no cell.
//!
//! In: bytes, escape sequences among them (ECMA-48, xterm). Out: text, and where each byte of it
//! stands. Never: text put together from two places of a screen by what is known to move the
//! cursor, which ends a line; a sequence that has begun and may still go on.
//!
//! Terminals differ over the controls of ISO 8859 (0x80 to 0x9f) and over bytes that are no UTF-8:
//! some obey the ones (xterm), others drop both (tmux) and show the parameters of what a control
//! would have begun. What has such bytes has two readings. A sequence that is not known takes no
//! cell, as terminals drop what they do not know; what has one has another reading, in which it
//! moves the cursor, so that nothing before it is a part of what follows.

use std::ops::Range;

use crate::wire::cells::width;

/// What a sequence begins with.
const ESCAPE: u8 = 0x1b;
/// What a control character of ISO 8859 begins with in UTF-8: `ESC [` as one.
const LEAD: u8 = 0xc2;
/// A control sequence that is longer is none.
const CONTROL_BYTES_MAX: usize = 4 << 10;
/// So is a title or another text to the terminal.
const SAID_BYTES_MAX: usize = 56 << 10;

/// What a terminal makes of the controls of ISO 8859, as a character or as one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It obeys them; other bytes that are no UTF-8 it shows.
    Obeyed,
    /// It drops them, and all bytes that are no UTF-8.
    Dropped,
    /// It obeys them, moves for what is not known, and ends texts to the terminal early.
    Apart,
}

/// The text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Visible {
    /// `None`: there is no sequence, all of it is text.
    apart: Option<Apart>,
    /// Where a sequence has begun that may go on, or the end.
    whole: usize,
    /// Texts to the terminal, which no line shows.
    asides: Vec<Range<usize>>,
    bytes: usize,
    /// Whether a terminal that drops more may show another text.
    is_doubtful: bool,
    /// Whether one that moves more may.
    is_unsure: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Apart {
    text: Vec<u8>,
    places: Vec<usize>,
    /// Bytes of the text that stand for a cursor that moved.
    moves: Vec<usize>,
}

/// The next byte that ends a text to the terminal of each kind, or the end of all: sought once, so
/// that many texts that nobody ends are not read over and over.
#[derive(Default)]
struct NextEnd([Option<usize>; 3]);

/// What ends a text to the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// A string terminator, or a control that gives up any sequence.
    Terminator = 0,
    /// BEL, too.
    Bell = 1,
    /// A line's end, too.
    Line = 2,
}

/// What begins at a byte.
#[derive(Debug, PartialEq, Eq)]
enum Sequence {
    /// So many bytes of text.
    Text(usize),
    /// It may go on.
    Open,
    /// So many bytes that leave the text alone.
    Hidden(usize),
    /// So many bytes, after which the text goes on somewhere else.
    Moves(usize),
    /// So many bytes that remember where the cursor is.
    Remembers(usize),
    /// So many bytes, after which it is there again.
    Returns(usize),
    /// So many bytes that no terminal is known to move for.
    Unknown(usize),
    /// So many bytes, with a text to the terminal: where, and how long it is.
    Says(usize, Range<usize>),
}

impl Visible {
    /// Of all that is there.
    pub fn of(bytes: &[u8], reading: Reading) -> Visible {
        let length = bytes.len();
        // A character whose rest may still come is none yet.
        let is_utf8 =
            std::str::from_utf8(bytes).map_or_else(|no| no.error_len().is_none(), |_| true);
        let mut seen = Visible {
            apart: None,
            whole: length,
            asides: Vec::new(),
            bytes: length,
            is_doubtful: !is_utf8 || bytes.windows(2).any(|two| matches!(two, [LEAD, 0x80..=0x9f])),
            is_unsure: false,
        };
        if is_utf8 && bytes.iter().all(|byte| is_plain(*byte)) {
            return seen;
        }
        let (mut apart, mut next_end) = (Apart::default(), NextEnd::default());
        // The length of the text when the cursor was remembered.
        let mut remembered = None;
        let mut at = 0;
        while at < length {
            let sequence = match sequence(bytes, at, reading, &mut next_end) {
                Sequence::Unknown(count) => {
                    seen.is_unsure = true;
                    let moves = reading == Reading::Apart;
                    if moves { Sequence::Moves(count) } else { Sequence::Hidden(count) }
                }
                Sequence::Remembers(count) => {
                    remembered = Some(apart.text.len());
                    Sequence::Hidden(count)
                }
                Sequence::Returns(count) if remembered == Some(apart.text.len()) => {
                    Sequence::Hidden(count)
                }
                Sequence::Returns(count) => Sequence::Moves(count),
                other => other,
            };
            at += match sequence {
                Sequence::Text(count) => {
                    apart.text.extend_from_slice(bytes.get(at..at + count).unwrap_or(&[]));
                    apart.places.extend(at..at + count);
                    count
                }
                Sequence::Open => {
                    seen.is_unsure = true;
                    seen.whole = at;
                    break;
                }
                Sequence::Hidden(count) | Sequence::Unknown(count) | Sequence::Remembers(count) => {
                    count
                }
                Sequence::Moves(count) | Sequence::Returns(count) => {
                    apart.moves.push(apart.text.len());
                    apart.text.push(b'\n');
                    apart.places.push(at);
                    count
                }
                Sequence::Says(count, said) => {
                    seen.is_unsure |= is_short_somewhere(bytes, at, &said);
                    seen.asides.push(said);
                    count
                }
            };
        }
        seen.apart = Some(apart);
        seen
    }

    /// The other readings that count, where terminals differ over it.
    pub fn others(&self) -> impl Iterator<Item = Reading> + use<> {
        let dropped = self.is_doubtful.then_some(Reading::Dropped);
        let apart = self.is_unsure.then_some(Reading::Apart);
        dropped.into_iter().chain(apart)
    }

    /// Nothing more comes: what has begun is looked at as it is.
    pub fn end(&mut self) {
        if self.whole < self.bytes {
            self.asides.push(self.whole..self.bytes);
        }
        self.whole = self.bytes;
    }

    /// The text; `bytes` are those that it was made of.
    pub fn text<'t>(&'t self, bytes: &'t [u8]) -> &'t [u8] {
        self.apart.as_ref().map_or(bytes, |apart| &apart.text)
    }

    /// Where a byte of the text stands; behind the text all that is whole ends.
    pub fn place(&self, at: usize) -> usize {
        let Some(apart) = &self.apart else { return at };
        apart.places.get(at).copied().unwrap_or(self.whole)
    }

    /// Whether a byte of the text stands for a cursor that moved: what is in its place is none.
    pub fn is_move(&self, at: usize) -> bool {
        self.apart.as_ref().is_some_and(|apart| apart.moves.binary_search(&at).is_ok())
    }

    /// Texts to the terminal: titles, links.
    pub fn asides(&self) -> &[Range<usize>] {
        &self.asides
    }
}

/// Whether a byte is text, or moves the cursor within it, and begins nothing else.
const fn is_plain(byte: u8) -> bool {
    match byte {
        0x08..=0x0d | 0x20..=0x7e => true,
        0x00..=0x1f | 0x7f => false,
        // What begins a character that takes no cell (`width`).
        LEAD | 0xcc | 0xcd | 0xd2 | 0xd6..=0xe3 | 0xea | 0xed | 0xef | 0xf0 | 0xf3 => false,
        _ => true,
    }
}

/// What begins at a place.
fn sequence(all: &[u8], at: usize, reading: Reading, next_end: &mut NextEnd) -> Sequence {
    let bytes = all.get(at..).unwrap_or(&[]);
    match bytes {
        [ESCAPE, ..] => escape(all, at, reading, next_end),
        [byte, ..] if byte.is_ascii() => match is_plain(*byte) {
            true => Sequence::Text(1),
            false => Sequence::Hidden(1),
        },
        _ => match character(bytes) {
            Character::Open => Sequence::Open,
            Character::Control(_, count) if reading == Reading::Dropped => Sequence::Hidden(count),
            Character::Control(0x9b, count) => control(bytes, count),
            Character::Control(kind @ (0x90 | 0x98 | 0x9d..=0x9f), count) => {
                let ends = if kind == 0x9d { Ends::Bell } else { Ends::Terminator };
                said(all, (at, count), (ends, reading), next_end)
            }
            // The next line, the line before.
            Character::Control(0x84 | 0x85 | 0x8d, count) => Sequence::Moves(count),
            Character::Control(_, count) => Sequence::Hidden(count),
            Character::Shown(count) => Sequence::Text(count),
            Character::Widthless(count) => Sequence::Hidden(count),
            Character::None if reading == Reading::Dropped => Sequence::Hidden(1),
            Character::None => Sequence::Text(1),
        },
    }
}

/// What a byte that is not ASCII begins; of how many bytes it is.
enum Character {
    /// Its rest may still come.
    Open,
    /// A control of ISO 8859, as a character or as that byte alone.
    Control(u8, usize),
    Shown(usize),
    Widthless(usize),
    /// It is no UTF-8.
    None,
}

fn character(bytes: &[u8]) -> Character {
    let length = match bytes.first() {
        Some(0xf0..=0xf4) => 4,
        Some(0xe0..=0xef) => 3,
        Some(0xc2..=0xdf) => 2,
        Some(&byte @ 0x80..=0x9f) => return Character::Control(byte, 1),
        _ => return Character::None,
    };
    let part = bytes.get(..length).unwrap_or(bytes);
    match std::str::from_utf8(part) {
        Err(no) if no.error_len().is_none() && part.len() < length => Character::Open,
        Err(_) => Character::None,
        Ok(text) => match text.chars().next() {
            Some(it @ '\u{80}'..='\u{9f}') => Character::Control(it as u8, length),
            // A hyphen that shows where a word may be broken, and else nowhere.
            Some('\u{ad}') => Character::Widthless(length),
            Some(it) if width(it) == 0 => Character::Widthless(length),
            _ => Character::Shown(length),
        },
    }
}

/// `ESC`, maybe intermediate bytes, a final one. Controls among them that do nothing to the text
/// are taken as if they stood before it; others give it up.
fn escape(all: &[u8], at: usize, reading: Reading, next_end: &mut NextEnd) -> Sequence {
    let bytes = all.get(at..).unwrap_or(&[]);
    let is_idle_at = |at: &usize| bytes.get(*at).is_some_and(|byte| is_idle(*byte));
    let first = (1..).find(|at| !is_idle_at(at)).unwrap_or(1);
    let count = first + 1;
    let apart = reading == Reading::Apart;
    match bytes.get(first) {
        None if bytes.len() > CONTROL_BYTES_MAX => Sequence::Unknown(1),
        None => Sequence::Open,
        Some(b'[') => control(bytes, count),
        // The palette of Linux' console, which nothing ends (vt.c, `ESpalette`).
        Some(b']') if apart && bytes.get(count) == Some(&b'R') => Sequence::Hidden(count + 1),
        Some(b']') if apart && is_palette(bytes.get(count..).unwrap_or(&[])) => {
            Sequence::Hidden(count + 8)
        }
        // Operating system commands, device control, private and other messages.
        Some(b']') => said(all, (at, count), (Ends::Bell, reading), next_end),
        Some(b'P' | b'X' | b'^' | b'_') => {
            said(all, (at, count), (Ends::Terminator, reading), next_end)
        }
        // The name of a window, to screen and tmux alone.
        Some(b'k') if !apart => said(all, (at, count), (Ends::Terminator, reading), next_end),
        Some(0x20..=0x2f) => with_intermediates(bytes, first),
        Some(b'7') => Sequence::Remembers(count),
        Some(b'8') => Sequence::Returns(count),
        // Keypads, the end of a text, a stop of tabs, sets of characters.
        Some(b'=' | b'>' | b'\\' | b'H' | b'n' | b'o' | b'|'..=b'~') => Sequence::Hidden(count),
        // A line down, up, to its start; a column; all from the start.
        Some(b'D' | b'E' | b'M' | b'6' | b'9' | b'c') => Sequence::Moves(count),
        Some(0x30..=0x7e) => Sequence::Unknown(count),
        // It is given up, or broken off by what is text.
        Some(0x18 | 0x1a) => Sequence::Hidden(count),
        Some(_) => Sequence::Hidden(first),
    }
}

/// A set of characters, and what else has bytes between `ESC`, which may stand further before, and
/// the last one.
fn with_intermediates(bytes: &[u8], first: usize) -> Sequence {
    let is_of_it = |byte: &u8| (0x20..=0x2f).contains(byte) || is_idle(*byte);
    let rest = bytes.get(first..).unwrap_or(&[]);
    let Some(end) = rest.iter().position(|byte| !is_of_it(byte)) else {
        return if rest.len() > CONTROL_BYTES_MAX { Sequence::Unknown(1) } else { Sequence::Open };
    };
    match (rest.first(), rest.get(end)) {
        // A screen full of E.
        (Some(b'#'), Some(b'8')) => Sequence::Moves(first + end + 1),
        (Some(b' ' | b'%' | b'('..=b'+' | b'-'..=b'/'), Some(0x30..=0x7e)) => {
            Sequence::Hidden(first + end + 1)
        }
        (_, Some(0x30..=0x7e)) => Sequence::Unknown(first + end + 1),
        _ => Sequence::Hidden(first + end),
    }
}

/// `P` and seven digits.
fn is_palette(bytes: &[u8]) -> bool {
    let digits = bytes.get(1..8).unwrap_or(&[]);
    bytes.first() == Some(&b'P') && digits.len() == 7 && digits.iter().all(u8::is_ascii_hexdigit)
}

/// `ESC [`, which may be one byte, parameters, one final byte. Controls among them that do nothing
/// to the text are taken as if they stood before it.
fn control(bytes: &[u8], begin: usize) -> Sequence {
    let parameters = bytes.get(begin..).unwrap_or(&[]);
    let is_of_it = |byte: &u8| (0x20..=0x3f).contains(byte) || is_idle(*byte);
    let end = parameters.iter().position(|byte| !is_of_it(byte));
    match end {
        None if bytes.len() > CONTROL_BYTES_MAX => Sequence::Moves(begin),
        None => Sequence::Open,
        Some(at) => {
            let (parameters, rest) = parameters.split_at_checked(at).unwrap_or((&[], &[]));
            match rest.first() {
                Some(last @ 0x40..=0x7e) => of_final(parameters, *last, begin + at + 1),
                // It is given up.
                Some(&(0x18 | 0x1a | ESCAPE)) => Sequence::Hidden(begin + at),
                // A control that moves the cursor.
                Some(0x08..=0x0d) => Sequence::Moves(begin + at),
                // It is broken off by another byte, which is text.
                _ => Sequence::Unknown(begin + at),
            }
        }
    }
}

/// What a control sequence of so many bytes does: by its last byte, if nothing stands before the
/// numbers or between them and the last byte.
fn of_final(parameters: &[u8], last: u8, count: usize) -> Sequence {
    let screens = parameters.split(|byte| *byte == b';' || *byte == b'?').any(is_screen);
    let numbers: Vec<u8> = parameters.iter().copied().filter(|byte| !is_idle(*byte)).collect();
    let is_plain = numbers.iter().all(|byte| matches!(byte, b'0'..=b'9' | b':' | b';'));
    match last {
        // Colours, what is erased, modes but for the other screen, reports, the cursor's looks, a
        // reset that leaves it where it is.
        b'm' | b'K' | b'J' | b'n' | b'c' | b'q' | b'g' | b'i' | b't' | b'p' => {
            Sequence::Hidden(count)
        }
        // Colours are kept, and are as they were.
        b'{' | b'}' if numbers.last() == Some(&b'#') => Sequence::Hidden(count),
        b's' if parameters.is_empty() => Sequence::Remembers(count),
        b'u' if parameters.is_empty() => Sequence::Returns(count),
        // What keys are to say.
        b'u' if matches!(numbers.first(), Some(b'<'..=b'?')) => Sequence::Hidden(count),
        b'h' | b'l' if !screens => Sequence::Hidden(count),
        b'h' | b'l' => Sequence::Moves(count),
        // Characters behind the cursor are erased, removed, shifted.
        b'X' | b'P' | b'@' if is_plain => Sequence::Hidden(count),
        // The cursor moves, or lines do; the last character is shown again.
        b'A'..=b'I'
        | b'L'
        | b'M'
        | b'S'
        | b'T'
        | b'Z'
        | b'`'
        | b'a'
        | b'b'
        | b'd'..=b'f'
        | b'j'
        | b'k'
        | b'r'
        | b's'
        | b'u'
            if is_plain =>
        {
            Sequence::Moves(count)
        }
        _ => Sequence::Unknown(count),
    }
}

/// Controls that neither move the cursor nor end a sequence.
const fn is_idle(byte: u8) -> bool {
    matches!(byte, 0x00..=0x07 | 0x0e..=0x17 | 0x19 | 0x1c..=0x1f | 0x7f)
}

fn is_screen(mode: &[u8]) -> bool {
    let is = |name: &[u8]| mode.iter().filter(|byte| !is_idle(**byte)).eq(name);
    [&b"47"[..], b"1047", b"1048", b"1049"].into_iter().any(is)
}

/// `ESC ]` at a place, of so many bytes, a text, and what ends it: BEL, `ESC \`, which may be the
/// one character U+009C or its byte, or what gives up any sequence.
fn said(
    all: &[u8],
    (at, begin): (usize, usize),
    (ends, reading): (Ends, Reading),
    next_end: &mut NextEnd,
) -> Sequence {
    let apart = reading == Reading::Apart;
    let from = at + begin;
    let end = next_end.from(all, from, (if apart { Ends::Line } else { ends }, reading));
    let behind = |count: usize| Sequence::Says(end + count - at, from..end);
    match (all.get(end), all.get(end + 1)) {
        _ if end - from > SAID_BYTES_MAX => Sequence::Moves(begin),
        // It is looked at as text.
        (Some(b'\n'), _) => Sequence::Moves(begin),
        (None, _) | (Some(&ESCAPE), None) => Sequence::Open,
        (Some(&LEAD), _) | (Some(&ESCAPE), Some(b'\\')) => behind(2),
        // Another sequence begins.
        (Some(&ESCAPE), _) => behind(0),
        _ => behind(1),
    }
}

/// Whether a text to the terminal may be over earlier at another one: at a BEL that is no end of
/// its kind, at a line's end; or is none there.
fn is_short_somewhere(all: &[u8], at: usize, said: &Range<usize>) -> bool {
    let begin = all.get(at..said.start).unwrap_or(&[]).last();
    let text = all.get(said.clone()).unwrap_or(&[]);
    begin == Some(&b'k')
        || matches!(text.first(), Some(b'P' | b'R'))
        || memchr::memchr2(b'\n', 0x07, text).is_some()
}

impl NextEnd {
    /// At a place or behind it.
    fn from(&mut self, all: &[u8], from: usize, (ends, reading): (Ends, Reading)) -> usize {
        let Some(known) = self.0.get_mut(ends as usize) else { return all.len() };
        if let Some(end) = known.filter(|end| *end >= from) {
            return end;
        }
        let obeyed = reading != Reading::Dropped;
        let is_end = |at: &usize| match all.get(*at) {
            Some(&LEAD) => obeyed && all.get(at + 1) == Some(&0x9c),
            // Behind another byte of its kind it may be a part of a character.
            Some(0x9c) => obeyed && (*at == from || all.get(at - 1).is_some_and(u8::is_ascii)),
            Some(0x07) => ends != Ends::Terminator,
            Some(b'\n') => ends == Ends::Line,
            byte => matches!(byte, Some(&(0x18 | 0x1a | ESCAPE))),
        };
        let end = (from..all.len()).find(is_end).unwrap_or(all.len());
        *known = Some(end);
        end
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &str) -> String {
        let seen = Visible::of(bytes.as_bytes(), Reading::Obeyed);
        String::from_utf8_lossy(seen.text(bytes.as_bytes())).into_owned()
    }

    #[test]
    fn what_is_seen_where_terminals_differ() {
        for (bytes, obeyed, dropped) in [
            (&b"4\x844\x854\x8f4"[..], &b"4\n4\n44"[..], &b"4444"[..]),
            (b"4\x9b0m4\x9b44m", b"44", b"40m444m"),
            ("4\u{9b}0m4\u{85}4".as_bytes(), b"44\n4", b"40m44"),
            (b"4\x9d0;t\x9c4\x9d0;t\x074", b"444", b"40;t40;t4"),
            (b"4\xff4\xc04\xa04\xe2\x824", b"4\xff4\xc04\xa04\xe24", b"44444"),
            (b"\xc3\x9b4\xc3\x9c\x9b", b"\xc3\x9b4\xc3\x9c", b"\xc3\x9b4\xc3\x9c"),
            (b"\x9d0;\xc3\x9c\x07a", b"a", b"0;\xc3\x9ca"),
            (b"4\x1b[m4\xc3", b"44", b"44"),
        ] {
            for (reading, expect) in [(Reading::Obeyed, obeyed), (Reading::Dropped, dropped)] {
                let seen = Visible::of(bytes, reading);
                assert_eq!(seen.text(bytes), expect, "{bytes:?} {reading:?}");
                let others: Vec<Reading> = seen.others().collect();
                let is_doubtful = obeyed != dropped || bytes.contains(&0x9b);
                assert_eq!(others.contains(&Reading::Dropped), is_doubtful, "{bytes:?}");
            }
        }
    }

    /// Texts to the terminal that nobody ends, one begun within the other.
    #[test]
    fn many_beginnings_are_read_once() {
        for reading in [Reading::Obeyed, Reading::Apart] {
            for (begin, end) in [("\u{90}", ""), ("\u{90}", "\n"), ("\u{9d}\u{90}", "\x07")] {
                let bytes = [begin.repeat(1 << 20).as_bytes(), end.as_bytes()].concat();
                let seen = Visible::of(&bytes, reading);
                assert!(seen.text(&bytes).iter().all(|byte| *byte == b'\n'));
            }
        }
    }

    #[test]
    fn what_is_seen() {
        for (bytes, expect) in [
            ("plain", "plain"),
            ("a\x1b[31mb\x1b[0;1mc\x1b[Kd\x1b[m", "abcd"),
            ("a\x1b(Bb\x1b=c\x1b[?2004hd", "abcd"),
            ("a\x1b[2;3Hb\x1b[Ac\x1b[?1049hd\x1b8e", "a\nb\nc\nd\ne"),
            ("4\x1b74\x1b[s4\x1b[1;2s4", "444\n4"),
            ("4\x1b7\x1b84\x1b7\x1b[m\x1b84\x1b[s\x1b[u4\x1b7x\x1b84", "4444x\n4"),
            ("4\x1bH4\x1b F4\x1b|4\x1b}4\x1b~4\x1bn4\x1bo4\x1b.A4", "444444444"),
            ("4\x1b[!p4\x1b[?1$p4\x1b[0\"p4\x1b[#{4\x1b[#}4\x1b['}4", "4444444"),
            ("4\x1b[0\0m4\x1b[\x0731m4\x1b[3\x184\x1b[3\x1b[m4\x1b[?10\x0049h4", "44444\n4"),
            ("4\u{61c}4\u{180b}4\u{1160}4\u{17b4}4\u{2066}4\u{206a}4\u{fff9}4", "44444444"),
            ("4\u{1d173}4\u{e0001}4\u{e0041}4\u{9c}4\u{9b}0m4\u{591}4", "4444444"),
            ("4\x004\x074\x0f4\x7f4\u{200b}4\u{ad}4\u{301}4\u{feff}4", "444444444"),
            ("4\u{9b}31m4\u{9d}0;t\u{9c}4\u{9d}0;t\x074\u{85}4", "4444\n4"),
            ("caf\u{e9} \u{2026} \u{f9}\t\u{fb01}", "caf\u{e9} \u{2026} \u{f9}\t\u{fb01}"),
            ("a\x1b]0;title\x07b\x1b]8;;x\x1b\\c", "abc"),
            ("a\x1b]0;title\nb", "a"),
            ("a\x1b]0;title\nb\x07c", "ac"),
            ("a\x1b\x1b[31mb", "ab"),
            ("a\x1b[3\u{7f}bc", "a\nc"),
            ("a\x1b[3\u{e9}b", "a\u{e9}b"),
            ("4\x1b[=1u4\x1b[>1u4\x1b[<u4\x1b[?u4\x1b[X4\x1b[200~4", "4444444"),
            ("4\x1b[1$}4\x1b[*x4\x1b[0 @4\x1b[1'z4\x1b[1;1;1;1;1$r4", "444444"),
            ("4\x1bN4\x1bO4\x1bl4\x1bG4\x1b04\x1b14\x1b \x1b[m4\x1b(\x184", "444444444"),
            ("4\x1bktitle\x1b\\4\x1b]0;t\x184\x1b_x\x184\x1b]0;t\x1b[m4\x1b]0;t\x1a4", "444444"),
            ("4\x1bPa\x07b\x1b\\4\x1b_a\nb\x1b\\4\x1b]a\x074", "4444"),
            ("4\x1b\0[31m4\x1b\x18[4\x1b\u{e9}4", "44[4\u{e9}4"),
            ("4\x1bD4\x1bE4\x1bM4\x1bc4\x1b#84\x1b#34", "4\n4\n4\n4\n4\n44"),
            ("4\x1b[r4\x1b[1;1f4\x1b[3b4\x1b[2S4\x1b[5G4\x1b[1u4", "4\n4\n4\n4\n4\n4\n4"),
            ("a\x1b", "a"),
            ("a\x1b[31", "a"),
            ("a\x1b]0;ti", "a"),
            ("a\x1b]0;ti\x1b", "a"),
            ("a\x1b(", "a"),
            ("a\u{9b}3", "a"),
        ] {
            assert_eq!(text(bytes), expect, "{bytes:?}");
        }
        let long = format!("a\x1b]{}", "x".repeat(SAID_BYTES_MAX + 1));
        assert_eq!(text(&long), format!("a\n{}", "x".repeat(SAID_BYTES_MAX + 1)));
        let said = format!("a\x1b]{}\x07b", "x".repeat(SAID_BYTES_MAX));
        assert_eq!(text(&said), "ab");
        let long = format!("a\x1b[{}", "1".repeat(CONTROL_BYTES_MAX));
        assert_eq!(text(&long), format!("a\n{}", "1".repeat(CONTROL_BYTES_MAX)));
    }

    /// Where a terminal may move, or show what another takes for a text to the terminal.
    #[test]
    fn what_is_seen_apart() {
        for (bytes, expect) in [
            ("4\x1b[=1u4\x1b[1$}4\x1bN4\x1b[X4", "44\n4\n44"),
            ("4\x1bkt\x1b\\4", "4\nt4"),
            ("4\x1bPa\x07b\x1b\\4", "4b4"),
            ("4\x1b]0;a\nb\x074", "4\n0;a\nb4"),
            ("4\x1b]P0ffffff4\x1b]R4\n", "444\n"),
            ("4\x1b]P0ffffg4\x07", "4"),
        ] {
            let seen = Visible::of(bytes.as_bytes(), Reading::Obeyed);
            assert!(seen.others().any(|other| other == Reading::Apart), "{bytes:?}");
            let seen = Visible::of(bytes.as_bytes(), Reading::Apart);
            assert_eq!(seen.text(bytes.as_bytes()), expect.as_bytes(), "{bytes:?}");
        }
        let plain = Visible::of(b"4\x1b[31m4\x1b]0;t\x07\x1b[?25l\x1b(B", Reading::Obeyed);
        assert_eq!(plain.others().count(), 0, "one reading is enough of what all know");
    }

    proptest! {
        #[test]
        fn places_lie_in_order_and_hold_the_text(
            bytes in prop::collection::vec(
                prop_oneof![
                    Just(ESCAPE), Just(b'['), Just(b']'), Just(b'm'), Just(LEAD), Just(0x9b),
                    Just(0x9d), Just(0xe2), Just(0xf3), Just(b'7'), Just(b'8'), Just(b'k'),
                    Just(0x07), Just(b'\n'), any::<u8>(),
                ], 0..80,
            ),
            reading in prop_oneof![
                Just(Reading::Obeyed), Just(Reading::Dropped), Just(Reading::Apart),
            ],
        ) {
            let mut seen = Visible::of(&bytes, reading);
            let text = seen.text(&bytes).to_vec();
            let mut last = None;
            for (at, byte) in text.iter().enumerate() {
                let place = seen.place(at);
                prop_assert!(last.is_none_or(|last| place > last));
                let raw = bytes[place];
                let begins = matches!(raw, ESCAPE | LEAD | 0x80..=0x9f);
                prop_assert_eq!(seen.is_move(at), raw != *byte);
                prop_assert!(raw == *byte || (begins && *byte == b'\n'));
                last = Some(place);
            }
            prop_assert!(seen.place(text.len()) <= bytes.len());
            for aside in seen.asides() {
                prop_assert!(aside.end <= bytes.len() && aside.start <= aside.end);
            }
            seen.end();
            prop_assert_eq!(seen.place(text.len()), bytes.len());
        }
    }
}
