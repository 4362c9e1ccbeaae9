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

use aho_corasick::{AhoCorasick, MatchKind};

use super::json::Json;
use super::{Rules, Work, hidden, whole_text};
use crate::limits::{
    MASK_EMBEDDED_BYTES_MAX, MASK_KNOWN_BYTES_MAX, MASK_KNOWN_MAX, MASK_KNOWN_TEXT_BYTES_MIN,
};
use crate::mask::operator::{HIDDEN, Operator};
use crate::wire::http::head::Span;
use crate::wire::http::json::path::Follow;
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
    let Some(rules) = work.rules.inner.clone() else { return Embedded::IsNone };
    if work.rules.strict {
        return whole(said, place, (&rules, work));
    }
    let values = values(said);
    if values.is_empty() && !rules.paths.is_named_in(said) {
        return Embedded::IsNone;
    }
    let (mut out, mut from) = (Vec::with_capacity(said.len()), 0);
    for value in values.iter().copied().chain([Span { start: said.len() as u32, len: 0 }]) {
        let words = said.get(from..value.start as usize).unwrap_or(&[]);
        if rules.paths.is_named_in(words) {
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

/// Whether a text that is not whole yet may hold JSON.
pub(super) fn may_hold(said: &[u8]) -> bool {
    memchr::memchr2(b'{', b'[', said).is_some()
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
/// its structured content in words.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    These(Box<Values>),
    /// There are too many: texts are hidden as a whole.
    TooMany,
}

#[derive(Debug)]
pub(super) struct Values {
    automaton: AhoCorasick,
    /// What takes the place of each.
    instead: Vec<(Operator, Vec<u8>)>,
}

impl Known {
    /// Those of one message. What is no JSON has none; it is refused where it is masked.
    pub fn of(rules: &Rules, message: &[u8]) -> Known {
        if !rules.repeats {
            return Known::Nothing;
        }
        let (mut said, mut instead) = (Vec::new(), Vec::new());
        let (mut follow, mut bytes) = (Follow::default(), 0);
        let walked = walk::<Wrong>(&mut Walk::new(), message, |walk, token, span| {
            follow.tell(&rules.paths, walk, token);
            let mut value = Vec::new();
            match token {
                Token::Text => text::unescape(text::inner(message, span), &mut value),
                Token::Number => {
                    let end = (span.start + span.len) as usize;
                    value.extend_from_slice(message.get(span.start as usize..end).unwrap_or(&[]));
                }
                _ => return Ok(()),
            }
            let Some((operator, _)) = rules.strongest(follow.met(&rules.paths)) else {
                return Ok(());
            };
            let value = value.trim_ascii();
            if value.len() >= MASK_KNOWN_TEXT_BYTES_MIN {
                bytes += value.len();
                instead.push((operator, hidden(operator, value)));
                said.push(value.to_vec());
            }
            Ok(())
        });
        if walked.is_err() || said.is_empty() {
            return Known::Nothing;
        }
        if said.len() > MASK_KNOWN_MAX || bytes > MASK_KNOWN_BYTES_MAX {
            return Known::TooMany;
        }
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&said);
        match built {
            Ok(automaton) => Known::These(Box::new(Values { automaton, instead })),
            Err(_) => Known::TooMany,
        }
    }

    /// Whether a text at this place may say one: any but the protocol's own words. With too many,
    /// structured content is left to the paths, and all other texts are hidden.
    pub fn is_sought(&self, walk: &Walk) -> bool {
        let is_own = || OWN_WORDS.contains(&walk.key());
        let is_structured =
            || walk.path().any(|segment| segment == Segment::Key(b"structuredContent"));
        match self {
            Known::Nothing => false,
            Known::These(_) => !is_own(),
            Known::TooMany => !is_own() && !is_structured(),
        }
    }

    /// A text without them. `None`: it has none.
    pub fn hide(&self, said: &[u8], place: &str, work: &mut Work<'_>) -> Option<Vec<u8>> {
        let values = match self {
            Known::Nothing => return None,
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
        (from > 0).then(|| [&out, said.get(from..).unwrap_or(&[])].concat())
    }
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
