//! JSON in texts: a string of a JSON text that is JSON itself, or has some in it.
//!
//! In: what a string says; values that the same message hides elsewhere. Out: the same with what is
//! masked replaced. Never: a value on a masked path because words or a fence stand around its
//! object; words that are hidden because they begin with a bracket.
//!
//! ```text
//!   Rows:\n```json\n{"ssn": "078-05-1120"}\n```   Bob's is 078-05-1120.   {"ssn": "078
//!   '----words----' '------value by path------'  '--words: known values-'  '- named, but
//!                                                                            damaged: hidden
//! ```

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::json::Json;
use super::{Rules, Work, hidden, whole_text};
use crate::limits::{
    MASK_EMBEDDED_BYTES_MAX, MASK_KNOWN_BYTES_MAX, MASK_KNOWN_MAX, MASK_KNOWN_TEXT_BYTES_MIN,
};
use crate::mask::detect::Scratch;
use crate::mask::operator::{HIDDEN, Operator};
use crate::mask::{Hits, escapes};
use crate::wire::http::head::Span;
use crate::wire::http::json::path::Patterns;
use crate::wire::http::json::{Segment, Step, Token, Walk, Wrong, text, walk};

/// What becomes of a text that may be JSON itself, or hold it.
pub(super) enum Embedded {
    /// There is JSON in it, and nothing is masked.
    Stays,
    Becomes(Vec<u8>),
    /// There is no JSON in it.
    IsNone,
}

/// Masks what a string says by the paths for texts in texts.
pub(super) fn mask(said: &[u8], place: &str, work: &mut Work<'_>) -> Embedded {
    let Some(rules) = work.rules.inner.clone() else {
        // Nobody looks for values so deep.
        if !is_named(&work.rules.paths, said) {
            return Embedded::IsNone;
        }
        work.count_path(Operator::Redact, place);
        return Embedded::Becomes(HIDDEN.to_vec());
    };
    if work.rules.strict {
        return whole(said, place, (&rules, work));
    }
    let values = values(said);
    if values.is_empty() && !is_named(&rules.paths, said) {
        return Embedded::IsNone;
    }
    let (mut out, mut from) = (Vec::with_capacity(said.len()), 0);
    for value in values.iter().copied().chain([Span { start: said.len() as u32, len: 0 }]) {
        let words = said.get(from..value.start as usize).unwrap_or(&[]);
        if is_named(&rules.paths, words) {
            // A name of a path in front of a value that no parser takes: it may be anything.
            work.count_path(Operator::Redact, place);
            return Embedded::Becomes(HIDDEN.to_vec());
        }
        match whole_text(words, place, work) {
            Some(masked) => out.extend_from_slice(&masked),
            None => out.extend_from_slice(words),
        }
        from = (value.start + value.len) as usize;
        let value = said.get(value.start as usize..from).unwrap_or(&[]);
        if value.is_empty() {
            continue;
        }
        let Work { scratch, hits, known, .. } = work;
        let mut within = Work { rules: &rules, scratch, out: &mut out, hits, base: place, known };
        if Json::new(false).feed(value, true, &mut within).is_err() {
            work.count_path(Operator::Redact, place);
            return Embedded::Becomes(HIDDEN.to_vec());
        }
    }
    if out == said { Embedded::Stays } else { Embedded::Becomes(out) }
}

/// Whether a text that is not read as JSON has the name of a path in it, or one of the texts that
/// its escapes say: JSON in quotes, and that in quotes once more.
fn is_named(paths: &Patterns, said: &[u8]) -> bool {
    let mut said = Cow::Borrowed(said);
    loop {
        if paths.is_named_in(&said) {
            return true;
        }
        // Each time there are half as many backslashes.
        match escapes::said(&said) {
            Some(says) => said = Cow::Owned(says),
            None => return false,
        }
    }
}

/// The same of a text that has to be JSON, all of it.
fn whole(said: &[u8], place: &str, (rules, work): (&Rules, &mut Work<'_>)) -> Embedded {
    let first = said.iter().find(|byte| !byte.is_ascii_whitespace());
    if !matches!(first, Some(b'{' | b'[')) {
        work.count_path(Operator::Token, place);
        return Embedded::Becomes(hidden(Operator::Token, said));
    }
    let mut out = Vec::with_capacity(said.len());
    let Work { scratch, hits, known, .. } = work;
    let mut within = Work { rules, scratch, out: &mut out, hits, base: place, known };
    if Json::new(false).feed(said, true, &mut within).is_err() {
        work.count_path(Operator::Redact, place);
        return Embedded::Becomes(HIDDEN.to_vec());
    }
    if out == said { Embedded::Stays } else { Embedded::Becomes(out) }
}

/// Whether a text may hold JSON, by how it is written. Brackets may be escapes.
pub(super) fn may_hold(written: &[u8]) -> bool {
    memchr::memchr2(b'{', b'[', written).is_some()
        || memchr::memmem::find(written, b"\\u").is_some()
}

/// Where objects and arrays stand in a text that is no JSON as a whole, from left to right.
fn values(said: &[u8]) -> Vec<Span> {
    let (mut found, mut at) = (Vec::new(), 0);
    // A bracket that begins no value may be followed by many more of its kind.
    let mut left = 4 * said.len() + MASK_KNOWN_BYTES_MAX;
    while let Some(start) = memchr::memchr2(b'{', b'[', said.get(at..).unwrap_or(&[])) {
        let start = at + start;
        match value_end(said, start) {
            Ok(end) => {
                found.push(Span { start: start as u32, len: (end - start) as u32 });
                at = end;
            }
            Err(read) => {
                let Some(rest) = left.checked_sub(read) else { return found };
                left = rest;
                at = start + 1;
            }
        }
    }
    found
}

/// Where the value ends that begins here, or how much of it was read in vain.
fn value_end(said: &[u8], start: usize) -> Result<usize, usize> {
    let (mut walk, mut at) = (Walk::new(), start);
    loop {
        match walk.next(said, &mut at, true) {
            Ok(Step::Token(..)) if walk.is_over() => return Ok(at),
            Ok(Step::Token(..)) => {}
            Ok(Step::End | Step::Need(_)) | Err(_) => return Err(at - start + 1),
        }
    }
}

/// Keys whose values are words of the protocol, chosen out of a few (MCP, "Content Types";
/// JSON-RPC 2.0, 4).
const OWN_WORDS: [&[u8]; 7] =
    [b"jsonrpc", b"type", b"method", b"role", b"mimeType", b"resultType", b"protocolVersion"];

/// Values that a message hides on a path, and says once more in its texts: a server of MCP repeats
/// its structured content in words, or says all that it has in a text that is JSON.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    /// They are being gathered: nothing of this leaves.
    Gathered(RefCell<Gathered>),
    These(Box<Values>),
    /// There are too many: texts are hidden as a whole.
    TooMany,
}

/// What is hidden so far, each once, and how many bytes it has.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    values: BTreeMap<Vec<u8>, Operator>,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Values {
    automaton: AhoCorasick,
    /// What takes the place of each.
    instead: Vec<(Operator, Vec<u8>)>,
}

impl Known {
    /// Those of one message, of texts in it that are JSON, too. What is no JSON has none; it is
    /// refused where it is masked.
    pub fn of(rules: &Rules, message: &[u8]) -> Known {
        if !rules.repeats {
            return Known::Nothing;
        }
        let known = Known::Gathered(RefCell::default());
        let (mut scratch, mut out, mut hits) = (Scratch::default(), Vec::new(), Hits::default());
        let (scratch, out, hits) = (&mut scratch, &mut out, &mut hits);
        let mut work = Work { rules, scratch, out, hits, base: "", known: &known };
        let fed = Json::new(true).feed(message, true, &mut work);
        match known {
            Known::Gathered(gathered) if fed.is_ok() => gathered.into_inner().known(),
            _ => Known::Nothing,
        }
    }

    /// Takes in what is hidden.
    pub fn gather(&self, operator: Operator, token: Token, (bytes, span): (&[u8], Span)) {
        let Known::Gathered(gathered) = self else { return };
        let mut value = Vec::new();
        match token {
            Token::Text => text::unescape(text::inner(bytes, span), &mut value),
            Token::Number => {
                let end = (span.start + span.len) as usize;
                value.extend_from_slice(bytes.get(span.start as usize..end).unwrap_or(&[]));
            }
            _ => return,
        }
        gathered.borrow_mut().add(operator, value.trim_ascii());
    }
    /// Whether a text at this place may say one: any but the protocol's own words. With too many,
    /// structured content is left to the paths, and all other texts are hidden.
    pub fn is_sought(&self, walk: &Walk) -> bool {
        let is_own = || OWN_WORDS.contains(&walk.key());
        let is_structured =
            || walk.path().any(|segment| segment == Segment::Key(b"structuredContent"));
        match self {
            Known::Nothing | Known::Gathered(_) => false,
            Known::These(_) => !is_own(),
            Known::TooMany => !is_own() && !is_structured(),
        }
    }

    /// A text without them. `None`: it has none.
    pub fn hide(&self, said: &[u8], place: &str, work: &mut Work<'_>) -> Option<Vec<u8>> {
        let values = match self {
            Known::Nothing | Known::Gathered(_) => return None,
            Known::TooMany => {
                work.count_path(Operator::Redact, place);
                return Some(HIDDEN.to_vec());
            }
            Known::These(values) => values,
        };
        let (mut out, mut from) = (Vec::new(), 0);
        for found in values.automaton.find_iter(said) {
            let Some((operator, instead)) = values.instead.get(found.pattern().as_usize()) else {
                continue;
            };
            out.extend_from_slice(said.get(from..found.start()).unwrap_or(&[]));
            out.extend_from_slice(instead);
            from = found.end();
            work.count_path(*operator, place);
        }
        if from > 0 {
            return Some([&out, said.get(from..).unwrap_or(&[])].concat());
        }
        // Some of its letters may be escapes.
        let mut says = escapes::said(said);
        while let Some(text) = says {
            if values.automaton.is_match(&text) {
                work.count_path(Operator::Redact, place);
                return Some(HIDDEN.to_vec());
            }
            says = escapes::said(&text);
        }
        None
    }
}

impl Gathered {
    fn add(&mut self, operator: Operator, value: &[u8]) {
        if value.len() < MASK_KNOWN_TEXT_BYTES_MIN || self.is_over() {
            return;
        }
        if let Some(known) = self.values.get_mut(value) {
            *known = operator.max(*known);
            return;
        }
        self.bytes += value.len();
        self.values.insert(value.to_vec(), operator);
    }

    fn is_over(&self) -> bool {
        self.values.len() > MASK_KNOWN_MAX || self.bytes > MASK_KNOWN_BYTES_MAX
    }

    /// What is looked for: the values, and how they are written in JSON.
    fn known(self) -> Known {
        if self.values.is_empty() {
            return Known::Nothing;
        }
        if self.is_over() {
            return Known::TooMany;
        }
        let (mut said, mut instead) = (Vec::new(), Vec::new());
        for (value, operator) in self.values {
            let becomes = hidden(operator, &value);
            let mut escaped = Vec::new();
            text::escape(&becomes, &mut escaped);
            for written in [written(&value, false), written(&value, true)] {
                if written != value && said.last() != Some(&written) {
                    said.push(written);
                    instead.push((operator, escaped.clone()));
                }
            }
            said.push(value);
            instead.push((operator, becomes));
        }
        // A peer chooses both the values and the text. What looks for beginnings of values first
        // compares each place with all of a value, and to build a DFA takes the square of one.
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .prefilter(false)
            .build(&said);
        match automaton {
            Ok(automaton) => Known::These(Box::new(Values { automaton, instead })),
            Err(_) => Known::TooMany,
        }
    }
}

/// A value as it is written in a string of JSON, by those who write ASCII alone, too.
fn written(value: &[u8], is_ascii: bool) -> Vec<u8> {
    let mut written = Vec::new();
    text::escape(value, &mut written);
    if !is_ascii || written.is_ascii() {
        return written;
    }
    let (mut ascii, mut units) = (String::new(), [0; 2]);
    for letter in String::from_utf8_lossy(&written).chars() {
        match letter.is_ascii() {
            true => ascii.push(letter),
            false => {
                for unit in letter.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    ascii.into_bytes()
}

/// Holds one message until it is whole, since its texts may come before what they repeat.
#[derive(Debug, Default)]
pub(super) struct Message {
    held: Vec<u8>,
    /// It was too long to be held: it passes as it comes, its texts hidden.
    long: Option<Box<Json>>,
}

impl Message {
    pub fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), super::Unmaskable> {
        let too_many = Known::TooMany;
        if let Some(json) = &mut self.long {
            return json.feed(bytes, ends, &mut with(&too_many, work));
        }
        self.held.extend_from_slice(bytes);
        if self.held.len() > MASK_EMBEDDED_BYTES_MAX {
            let json = self.long.insert(Box::new(Json::new(false)));
            let held = std::mem::take(&mut self.held);
            return json.feed(&held, ends, &mut with(&too_many, work));
        }
        if !ends {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        let rules = rules_of(work.rules, &held);
        let known = Known::of(rules, &held);
        let Work { scratch, out, hits, base, .. } = work;
        let mut within = Work { rules, scratch, out, hits, base, known: &known };
        Json::new(false).feed(&held, true, &mut within)
    }
}

/// What applies to a text that should be a message.
pub(super) fn rules_of<'r>(rules: &'r Rules, message: &[u8]) -> &'r Rules {
    rules.bare.as_deref().filter(|_| !is_rpc(message)).unwrap_or(rules)
}

/// Whether an object, or one of an array, says of itself that it is a message.
fn is_rpc(message: &[u8]) -> bool {
    let (mut walker, mut is_rpc) = (Walk::new(), false);
    let walked = walk::<Wrong>(&mut walker, message, |walk, token, _| {
        is_rpc |= token == Token::Key && walk.depth() <= 2 && walk.key() == b"jsonrpc";
        Ok(())
    });
    is_rpc && walked.is_ok()
}

/// The same work, with values that are known.
pub(super) fn with<'w>(known: &'w Known, work: &'w mut Work<'_>) -> Work<'w> {
    let Work { rules, scratch, out, hits, base, .. } = work;
    Work { rules, scratch, out, hits, base, known }
}
