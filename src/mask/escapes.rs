//! Signs that a text writes as escapes of JSON: `\u0040` for `@`, `\/` for a slash.
//!
//! In: a value and the finds in it as it is written. Out: these and what is found in what it says,
//! at the places where that is written. Never: a text that has to be JSON: escapes are read
//! wherever they stand, in parts of JSON and in lines of logs, and what is none stays as it is.
//!
//! ```text
//! written  {"to": "bob\u0040example.com"}        JSON in JSON: \\u0040, read once more
//! says     {"to": "bob@example.com"}
//! ```

use super::detect::{Detectors, Found, Scratch};
use super::operator::{self, Operator};
use crate::limits::MASK_ESCAPES_DEPTH_MAX;
use crate::wire::http::json::text;

/// A find, and what it says.
#[derive(Debug)]
pub(super) struct Seen {
    /// Where it is written.
    pub found: Found,
    /// `None`: several finds that meet.
    said: Option<Vec<u8>>,
    /// How often escapes were read.
    depth: usize,
}

impl Seen {
    /// Appends what takes its place.
    pub fn write(&self, detectors: &Detectors, out: &mut Vec<u8>) {
        let operator = detectors.operator(self.found.detector).unwrap_or(Operator::Redact);
        let mut instead = Vec::new();
        match &self.said {
            Some(said) => operator::found_text(operator, self.found.detector, said, &mut instead),
            // Nothing of it is kept.
            None => {
                let operator = operator.max(Operator::Redact);
                operator::found_text(operator, self.found.detector, &[], &mut instead);
            }
        }
        for _ in 0..self.depth {
            let mut escaped = Vec::new();
            text::escape(&instead, &mut escaped);
            instead = escaped;
        }
        out.extend_from_slice(&instead);
    }

    /// Without what has left already.
    pub fn clip(&mut self, from: usize) {
        if self.found.start < from {
            self.found.start = from;
            self.said = None;
        }
    }

    /// Takes in one that begins within it.
    fn join(&mut self, next: &Seen, detectors: &Detectors) {
        let is_weaker = |one: &Seen, other: &Seen| {
            detectors.operator(one.found.detector) < detectors.operator(other.found.detector)
        };
        if next.found.end > self.found.end || is_weaker(self, next) {
            self.found.end = self.found.end.max(next.found.end);
            self.said = None;
            self.depth = self.depth.max(next.depth);
            if is_weaker(self, next) {
                self.found.detector = next.found.detector;
            }
        }
    }
}

/// Whether a value may say something else than is written. Most have no backslash at all.
pub(super) fn are_in(bytes: &[u8]) -> bool {
    let mut slashes = memchr::memchr_iter(b'\\', bytes);
    slashes.any(|at| matches!(bytes.get(at + 1), Some(b'u' | b'/')))
}

/// All finds of a value with escapes, in order and without overlap; `written` are those in it as it
/// is written.
pub(super) fn find(detectors: &Detectors, value: &[u8], written: &[Found]) -> Vec<Seen> {
    let seen = |found: &Found| {
        let said = value.get(found.start..found.end).map(<[u8]>::to_vec);
        Seen { found: *found, said, depth: 0 }
    };
    let seen = written.iter().map(seen).collect();
    apart(detectors, value, seen, are_in(value))
}

/// All finds of the inside of a string of JSON, in what it says and in what that says in turn.
pub(super) fn read(detectors: &Detectors, inner: &[u8]) -> Vec<Seen> {
    apart(detectors, inner, Vec::new(), true)
}

/// `all`, and what is found in what a value says, in order and without overlap.
fn apart(detectors: &Detectors, value: &[u8], mut all: Vec<Seen>, mut reads: bool) -> Vec<Seen> {
    let (mut scratch, mut levels) = (Scratch::default(), Vec::<Level>::new());
    while reads && levels.len() < MASK_ESCAPES_DEPTH_MAX {
        let says = levels.last().map_or(value, |level| &level.said);
        let level = Level::of(says);
        levels.push(level);
        let Some(level) = levels.last() else { break };
        for found in detectors.find(&level.said, &mut scratch) {
            let up = levels.iter().rev();
            let (start, end) = up.fold((found.start, found.end), |(start, end), level| {
                (level.written(start, false), level.written(end, true))
            });
            all.push(Seen {
                found: Found { start, end, detector: found.detector },
                said: level.said.get(found.start..found.end).map(<[u8]>::to_vec),
                depth: levels.len(),
            });
        }
        reads = are_in(&level.said);
    }
    all.sort_by_key(|seen| (seen.found.start, std::cmp::Reverse(seen.found.end), seen.depth));
    let mut apart: Vec<Seen> = Vec::with_capacity(all.len());
    for next in all {
        match apart.last_mut() {
            Some(last) if next.found.start < last.found.end => last.join(&next, detectors),
            _ => apart.push(next),
        }
    }
    apart
}

/// What a text says whose escapes are read once. `None`: it has none.
pub(super) fn said(written: &[u8]) -> Option<Vec<u8>> {
    let level = Level::of(written);
    (!level.escapes.is_empty()).then_some(level.said)
}

/// What a text says whose escapes are read.
#[derive(Debug)]
struct Level {
    said: Vec<u8>,
    escapes: Vec<Escape>,
}

#[derive(Clone, Copy, Debug)]
struct Escape {
    /// First byte and number of bytes of what it says.
    said: (usize, usize),
    /// The same of how it is written.
    written: (usize, usize),
}

impl Level {
    fn of(written: &[u8]) -> Level {
        let mut level = Level { said: Vec::with_capacity(written.len()), escapes: Vec::new() };
        let mut at = 0;
        while let Some(next) = memchr::memchr(b'\\', written.get(at..).unwrap_or_default()) {
            let start = at + next;
            level.said.extend_from_slice(&written[at..start]);
            let rest = &written[start..];
            at = start + 1;
            let Some((letter, bytes)) = letter(rest) else {
                level.said.push(b'\\');
                continue;
            };
            let from = level.said.len();
            level.said.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            let said = (from, level.said.len() - from);
            level.escapes.push(Escape { said, written: (start, bytes) });
            at = start + bytes;
        }
        level.said.extend_from_slice(written.get(at..).unwrap_or_default());
        level
    }

    /// Where byte `at` of what is said is written; as the end of a find, where that ends.
    fn written(&self, at: usize, is_end: bool) -> usize {
        let before =
            self.escapes.partition_point(|escape| escape.said.0 < at + usize::from(!is_end));
        let last = before.checked_sub(1).and_then(|index| self.escapes.get(index));
        let Some(Escape { said, written }) = last else { return at };
        match at.checked_sub(said.0 + said.1) {
            Some(behind) => written.0 + written.1 + behind,
            None if is_end => written.0 + written.1,
            None => written.0,
        }
    }
}

/// The letter of the escape at the front, and its length. `None`: it is none.
fn letter(rest: &[u8]) -> Option<(char, usize)> {
    match rest.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(text::unescaped(rest)),
        b'u' => match (unit(rest)?, rest.get(6..).and_then(unit)) {
            (0xd800..=0xdbff, Some(0xdc00..=0xdfff)) => Some(text::unescaped(rest)),
            // Half of a pair: PostgreSQL's `json` keeps it.
            (0xd800..=0xdfff, _) => Some((char::REPLACEMENT_CHARACTER, 6)),
            _ => Some(text::unescaped(rest)),
        },
        _ => None,
    }
}

fn unit(escape: &[u8]) -> Option<u32> {
    let digits = escape.get(..6)?.strip_prefix(b"\\u")?;
    let digit = |unit: u32, byte: &u8| Some(unit << 4 | char::from(*byte).to_digit(16)?);
    digits.iter().try_fold(0, digit)
}

#[cfg(test)]
mod tests {
    use super::super::detect::Detector;
    use super::*;

    fn masked(operator: Operator, value: &str) -> String {
        let detectors = Detectors::new(Detector::ALL.map(|detector| (detector, operator)));
        let written = detectors.find(value.as_bytes(), &mut Scratch::default()).to_vec();
        let (mut out, mut kept) = (Vec::new(), 0);
        for seen in find(&detectors, value.as_bytes(), &written) {
            assert!(kept <= seen.found.start && seen.found.start < seen.found.end, "{value}");
            out.extend_from_slice(&value.as_bytes()[kept..seen.found.start]);
            seen.write(&detectors, &mut out);
            kept = seen.found.end;
        }
        out.extend_from_slice(&value.as_bytes()[kept..]);
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(value: &str, expect: &str) {
        assert!(are_in(value.as_bytes()), "{value}");
        assert_eq!(masked(Operator::Redact, value), expect);
    }

    #[test]
    fn what_is_written_as_escapes_is_found() {
        check(r#"{"a":"bob\u0040example.com"}"#, r#"{"a":"[EMAIL]"}"#);
        check(r#""\u0062\u006F\u0062@example.com \u00e9""#, r#""[EMAIL] \u00e9""#);
        check(
            r#"["call \u002B4930901820, \n eve@example.com"]"#,
            r#"["call [PHONE], \n [EMAIL]"]"#,
        );
        check(r#"{"n":"\u0034111 1111 1111 111\u0031"}"#, r#"{"n":"[CREDIT_CARD]"}"#);
        check(r#""postgres:\/\/u:hunter2secret@h\/d""#, r#""postgres:\/\/u:[PASSWORD]@h\/d""#);
        check(r#""\uD83D\uDE00 bob\u0040example.com""#, r#""\uD83D\uDE00 [EMAIL]""#);
        check(r#""\ud83d bob\u0040example.com \ud83d""#, r#""\ud83d [EMAIL] \ud83d""#);
        // In JSON in JSON, and in its text in an array.
        check(r#"{"m":"{\"a\":\"bob\\u0040example.com\"}"}"#, r#"{"m":"{\"a\":\"[EMAIL]\"}"}"#);
        check(r#"{"{\"a\":\"bob\\u0040example.com\"}"}"#, r#"{"{\"a\":\"[EMAIL]\"}"}"#);
        // In a text that is no JSON.
        check(r"request failed: bob\u0040example.com", "request failed: [EMAIL]");
        check(r#"{"a":"bob\u0040example.com"#, r#"{"a":"[EMAIL]"#);
    }

    #[test]
    fn what_is_no_escape_stays() {
        for value in [r"C:\users\bob", r"\u12", r"\u", r"\", r"a\/b", r"\\u004", r#"["\u00fc"]"#] {
            assert_eq!(masked(Operator::Redact, value), value);
        }
        for value in ["", "plain", r"a\nb", r#"{"a":"b\"c"}"#] {
            assert!(!are_in(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn operators_see_what_is_said() {
        let value = r#"["bob\u0040example.com"]"#;
        assert_eq!(masked(Operator::Partial, value), r#"["b**@example.com"]"#);
        assert_eq!(masked(Operator::Mask, value), r#"["***************"]"#);
        let card = r#"["\u0034111111111111111"]"#;
        assert_eq!(masked(Operator::Partial, card), r#"["************1111"]"#);
    }
}
