//! The text that a person sees of what a program writes: without colours, titles, modes, and what
//! takes no cell.
//!
//! In: bytes, escape sequences among them (ECMA-48, xterm). Out: text, and where each byte of it
//! stands. Never: text put together from two places of a screen: what moves the cursor, and what is
//! not known, ends a line; a sequence that has begun and may still go on.

use std::ops::Range;

use crate::wire::cells::width;

/// What a sequence begins with.
const ESCAPE: u8 = 0x1b;
/// What a control character of ISO 8859 begins with in UTF-8: `ESC [` as one.
const LEAD: u8 = 0xc2;
/// A control sequence that is longer is none.
const CONTROL_BYTES_MAX: usize = 4 << 10;
/// So is a title or another text to the terminal.
const SAID_BYTES_MAX: usize = 16 << 10;

/// Whether a byte may begin a sequence that moves the cursor.
pub(super) const fn begins_sequence(byte: u8) -> bool {
    matches!(byte, ESCAPE | LEAD)
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
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Apart {
    text: Vec<u8>,
    places: Vec<usize>,
}

/// What begins at a byte.
#[derive(Debug, PartialEq, Eq)]
enum Sequence {
    /// It is text.
    Text,
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
    /// So many bytes, with a text to the terminal from the third one on, so long.
    Says(usize, usize),
}

impl Visible {
    /// Of all that is there.
    pub fn of(bytes: &[u8]) -> Visible {
        let length = bytes.len();
        let mut seen = Visible { apart: None, whole: length, asides: Vec::new(), bytes: length };
        if bytes.iter().all(|byte| is_plain(*byte)) {
            return seen;
        }
        let mut apart = Apart::default();
        // The length of the text when the cursor was remembered.
        let mut remembered = None;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or(&[]);
            let sequence = match sequence(rest) {
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
                Sequence::Text => {
                    apart.text.push(byte);
                    apart.places.push(at);
                    1
                }
                Sequence::Open => {
                    seen.whole = at;
                    break;
                }
                Sequence::Hidden(count) | Sequence::Remembers(count) => count,
                Sequence::Moves(count) | Sequence::Returns(count) => {
                    apart.text.push(b'\n');
                    apart.places.push(at);
                    count
                }
                Sequence::Says(count, said) => {
                    seen.asides.push(at + 2..at + 2 + said);
                    count
                }
            };
        }
        seen.apart = Some(apart);
        seen
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

fn sequence(bytes: &[u8]) -> Sequence {
    match bytes.first() {
        Some(&ESCAPE) => escape(bytes),
        Some(byte) if is_plain(*byte) => Sequence::Text,
        Some(byte) if byte.is_ascii() => Sequence::Hidden(1),
        _ => wide(bytes),
    }
}

/// A character of several bytes.
fn wide(bytes: &[u8]) -> Sequence {
    let length = match bytes.first() {
        Some(0xf0..) => 4,
        Some(0xe0..) => 3,
        _ => 2,
    };
    let Some(whole) = bytes.get(..length) else {
        let goes_on = bytes.iter().skip(1).all(|byte| (0x80..=0xbf).contains(byte));
        return if goes_on { Sequence::Open } else { Sequence::Text };
    };
    match whole {
        // Control sequences, device control, operating system commands and other messages.
        [LEAD, 0x9b] => control(bytes),
        [LEAD, 0x90 | 0x98 | 0x9d..=0x9f] => said(bytes),
        // The next line, the line before.
        [LEAD, 0x84 | 0x85 | 0x8d] => Sequence::Moves(2),
        [LEAD, 0x80..=0x9f] => Sequence::Hidden(2),
        // A hyphen that shows where a word may be broken, and else nowhere.
        [LEAD, 0xad] => Sequence::Hidden(2),
        _ => match std::str::from_utf8(whole).map(|text| text.chars().all(|it| width(it) == 0)) {
            Ok(true) => Sequence::Hidden(length),
            _ => Sequence::Text,
        },
    }
}

fn escape(bytes: &[u8]) -> Sequence {
    match bytes.get(1) {
        None => Sequence::Open,
        Some(b'[') => control(bytes),
        // Operating system commands, device control, private and other messages.
        Some(b']' | b'P' | b'X' | b'^' | b'_') => said(bytes),
        // A set of characters, and what needs one byte more.
        Some(b' ' | b'#' | b'%' | b'('..=b'/') if bytes.len() < 3 => Sequence::Open,
        Some(b' ' | b'%' | b'('..=b'+' | b'-'..=b'/') => Sequence::Hidden(3),
        Some(b'#' | b',') => Sequence::Moves(3),
        Some(b'7') => Sequence::Remembers(2),
        Some(b'8') => Sequence::Returns(2),
        // Keypads, the end of a text, a stop of tabs, sets of characters.
        Some(b'=' | b'>' | b'\\' | b'H' | b'n' | b'o' | b'|'..=b'~') => Sequence::Hidden(2),
        Some(&ESCAPE) => Sequence::Hidden(1),
        Some(_) => Sequence::Moves(2),
    }
}

/// `ESC [`, parameters, one final byte. Controls among them that do nothing to the text are taken
/// as if they stood before it.
fn control(bytes: &[u8]) -> Sequence {
    let parameters = bytes.get(2..).unwrap_or(&[]);
    let is_of_it = |byte: &u8| (0x20..=0x3f).contains(byte) || is_idle(*byte);
    let end = parameters.iter().position(|byte| !is_of_it(byte));
    match end {
        None if bytes.len() > CONTROL_BYTES_MAX => Sequence::Moves(2),
        None => Sequence::Open,
        Some(at) => {
            let count = at + 3;
            let screens = parameters.get(..at).is_some_and(|parameters| {
                parameters.split(|byte| *byte == b';' || *byte == b'?').any(is_screen)
            });
            let last = parameters.get(..at).and_then(<[u8]>::last);
            match parameters.get(at) {
                // Colours, what is erased, modes but for the other screen, reports, the cursor's
                // looks, a reset that leaves it where it is.
                Some(b'm' | b'K' | b'J' | b'n' | b'c' | b'q' | b'g' | b'i' | b't' | b'p') => {
                    Sequence::Hidden(count)
                }
                // Colours are kept, and are as they were.
                Some(b'{' | b'}') if last == Some(&b'#') => Sequence::Hidden(count),
                Some(b's') if at == 0 => Sequence::Remembers(count),
                Some(b'u') if at == 0 => Sequence::Returns(count),
                Some(b'h' | b'l') if !screens => Sequence::Hidden(count),
                Some(0x40..=0x7e) => Sequence::Moves(count),
                // It is given up.
                Some(&(0x18 | 0x1a | ESCAPE)) => Sequence::Hidden(at + 2),
                // It is broken off by another byte, which is text.
                _ => Sequence::Moves(at + 2),
            }
        }
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

/// `ESC ]`, a text, BEL or `ESC \`, which may be the one character U+009C.
fn said(bytes: &[u8]) -> Sequence {
    let text = bytes.get(2..).unwrap_or(&[]);
    let ends = |at: &usize| match text.get(*at) {
        Some(&LEAD) => text.get(at + 1) == Some(&0x9c),
        byte => matches!(byte, Some(&(0x07 | ESCAPE | b'\n'))),
    };
    match (0..text.len()).find(ends) {
        None if bytes.len() > SAID_BYTES_MAX => Sequence::Moves(2),
        None => Sequence::Open,
        Some(at) => match (text.get(at), text.get(at + 1)) {
            (Some(0x07), _) => Sequence::Says(at + 3, at),
            (Some(&LEAD), _) => Sequence::Says(at + 4, at),
            (Some(&ESCAPE), None) => Sequence::Open,
            (Some(&ESCAPE), Some(b'\\')) => Sequence::Says(at + 4, at),
            // Nobody ended it: it is looked at as text.
            _ => Sequence::Moves(2),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: &str) -> String {
        let seen = Visible::of(bytes.as_bytes());
        String::from_utf8_lossy(seen.text(bytes.as_bytes())).into_owned()
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
            ("4\x1b[!p4\x1b[?1$p4\x1b[0\"p4\x1b[#{4\x1b[#}4\x1b['}4", "444444\n4"),
            ("4\x1b[0\0m4\x1b[\x0731m4\x1b[3\x184\x1b[3\x1b[m4\x1b[?10\x0049h4", "44444\n4"),
            ("4\u{61c}4\u{180b}4\u{1160}4\u{17b4}4\u{2066}4\u{206a}4\u{fff9}4", "44444444"),
            ("4\u{1d173}4\u{e0001}4\u{e0041}4\u{9c}4\u{9b}0m4\u{591}4", "4444444"),
            ("4\x004\x074\x0f4\x7f4\u{200b}4\u{ad}4\u{301}4\u{feff}4", "444444444"),
            ("4\u{9b}31m4\u{9d}0;t\u{9c}4\u{9d}0;t\x074\u{85}4", "4444\n4"),
            ("caf\u{e9} \u{2026} \u{f9}\t\u{fb01}", "caf\u{e9} \u{2026} \u{f9}\t\u{fb01}"),
            ("a\x1b]0;title\x07b\x1b]8;;x\x1b\\c", "abc"),
            ("a\x1b]0;title\nb", "a\n0;title\nb"),
            ("a\x1b\x1b[31mb", "ab"),
            ("a\x1b[3\u{7f}bc", "a\nc"),
            ("a\x1b[3\u{e9}b", "a\n\u{e9}b"),
            ("a\x1b", "a"),
            ("a\x1b[31", "a"),
            ("a\x1b]0;ti", "a"),
            ("a\x1b]0;ti\x1b", "a"),
            ("a\x1b(", "a"),
            ("a\u{9b}3", "a"),
        ] {
            assert_eq!(text(bytes), expect, "{bytes:?}");
        }
        let long = format!("a\x1b]{}", "x".repeat(SAID_BYTES_MAX));
        assert_eq!(text(&long), format!("a\n{}", "x".repeat(SAID_BYTES_MAX)));
        let long = format!("a\x1b[{}", "1".repeat(CONTROL_BYTES_MAX));
        assert_eq!(text(&long), format!("a\n{}", "1".repeat(CONTROL_BYTES_MAX)));
    }

    proptest! {
        #[test]
        fn places_lie_in_order_and_hold_the_text(
            bytes in prop::collection::vec(
                prop_oneof![
                    Just(ESCAPE), Just(b'['), Just(b']'), Just(b'm'), Just(LEAD), Just(0x9b),
                    Just(0x9d), Just(0xe2), Just(0xf3), Just(b'7'), Just(b'8'), any::<u8>(),
                ], 0..80,
            ),
        ) {
            let mut seen = Visible::of(&bytes);
            let text = seen.text(&bytes).to_vec();
            let mut last = None;
            for (at, byte) in text.iter().enumerate() {
                let place = seen.place(at);
                prop_assert!(last.is_none_or(|last| place > last));
                let raw = bytes[place];
                prop_assert!(raw == *byte || (matches!(raw, ESCAPE | LEAD) && *byte == b'\n'));
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
