//! A strict walk over JSON (RFC 8259): where each key and each value stands, and on which path.
//!
//! In: bytes, whole or as they come. Out: tokens as spans, the path of each. Never: a repair, a
//! value that two parsers may read differently, a tree, an allocation per value.
//!
//! ```text
//!   json    tokens and the order they may stand in
//!   text    what a string says; keys that somebody may take for another one
//!   path    patterns of paths, `a.*.b`, followed as the walk goes down and up
//! ```
//!
//! What RFC 8259 leaves open is refused: a byte order mark or any coding but UTF-8 (8.1), text that
//! is not Unicode (8.2), names that are there twice (4) where that is asked, more than 64 levels
//! (9).
//!
//! ```text
//!             '{' '['             key ':'
//!   Value ------------> First ---------------> Value
//!     |  \ text, number ...        ^
//!     |   '--> After --',' --------'  (Key, in an object)
//!     |          |  '}' ']': one level up, After
//!     '--------> End at level 0
//! ```

pub mod path;
#[cfg(test)]
mod tests;
pub mod text;

use std::hash::{DefaultHasher, Hasher};

use super::head::Span;
use crate::limits::{JSON_DEPTH_MAX, JSON_KEY_BYTES_MAX};

/// Why bytes are not JSON that everybody reads alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wrong {
    /// A byte that may not stand there.
    Byte,
    /// A byte order mark.
    ByteOrderMark,
    /// A string that is not UTF-8.
    Utf8,
    /// An escape that is none, or half of a surrogate pair.
    Escape,
    /// A control character in a string.
    Control,
    /// A number with a needless zero, no digits, or a sign that is not allowed.
    Number,
    /// More levels than `limits::JSON_DEPTH_MAX`.
    Depth,
    /// A key longer than `limits::JSON_KEY_BYTES_MAX`.
    KeyBytes,
    /// A key that its object has already.
    Duplicate,
    /// The bytes end within a value.
    Truncated,
}

impl Wrong {
    /// A fixed word for metrics and records.
    pub const fn label(self) -> &'static str {
        match self {
            Wrong::Byte => "json-byte",
            Wrong::ByteOrderMark => "json-byte-order-mark",
            Wrong::Utf8 => "json-utf8",
            Wrong::Escape => "json-escape",
            Wrong::Control => "json-control",
            Wrong::Number => "json-number",
            Wrong::Depth => "json-depth",
            Wrong::KeyBytes => "json-key-bytes",
            Wrong::Duplicate => "json-duplicate-key",
            Wrong::Truncated => "json-truncated",
        }
    }
}

/// What a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `}`
    ObjectEnd,
    /// `]`
    ArrayEnd,
    /// A name in an object, with its quotes.
    Key,
    /// A string, with its quotes.
    Text,
    /// A number.
    Number,
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A token and where it stands in the bytes that were given.
    Token(Token, Span),
    /// The rest of a token is missing. It starts at this offset, up to which nothing is needed
    /// again.
    Need(usize),
    /// The document ended; only blanks may follow.
    End,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// Behind `{` or `[`.
    First,
    /// A key behind a comma.
    Key,
    Colon,
    /// A comma or the end of the container.
    After,
    End,
}

/// One level of the path.
#[derive(Clone, Copy, Debug)]
struct Level {
    is_object: bool,
    /// Of an array.
    index: u32,
    /// The key in `keys`, unescaped.
    key_start: usize,
    /// Where this object's keys begin in `seen`.
    seen_start: usize,
}

/// One segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segment<'w> {
    /// A name in an object, unescaped.
    Key(&'w [u8]),
    /// A place in an array, from 0.
    Index(u32),
}

/// A walk over one document after another.
///
/// Invariant: `levels` has at most `JSON_DEPTH_MAX` entries, `keys` the key of each open object.
#[derive(Clone, Debug)]
pub struct Walk {
    expect: Expect,
    levels: Vec<Level>,
    keys: Vec<u8>,
    /// Hashes of the keys of all open objects, if duplicates are refused.
    seen: Vec<u64>,
    refuses_duplicates: bool,
}

impl Walk {
    /// A walk that lets an object have a name twice: each value counts.
    pub fn new() -> Walk {
        Walk {
            expect: Expect::Value,
            levels: Vec::new(),
            keys: Vec::new(),
            seen: Vec::new(),
            refuses_duplicates: false,
        }
    }

    /// A walk that refuses a name that is there twice: of these one parser takes the first, another
    /// the last.
    pub fn strict() -> Walk {
        Walk { refuses_duplicates: true, ..Walk::new() }
    }

    /// Ready for another document.
    pub fn restart(&mut self) {
        self.expect = Expect::Value;
        self.levels.clear();
        self.keys.clear();
        self.seen.clear();
    }

    /// How many containers are open. The one that a token opens is counted, the one that it closes
    /// is not.
    pub fn depth(&self) -> usize {
        self.levels.len()
    }

    /// Where the value stands that was told last, from the root on; or the key, as the path of its
    /// value.
    pub fn path(&self) -> impl DoubleEndedIterator<Item = Segment<'_>> + ExactSizeIterator {
        self.levels.iter().enumerate().map(|(at, level)| {
            if !level.is_object {
                return Segment::Index(level.index);
            }
            let end = self.levels.get(at + 1).map_or(self.keys.len(), |next| next.key_start);
            Segment::Key(self.keys.get(level.key_start..end).unwrap_or(&[]))
        })
    }

    /// Whether the path is of these keys alone.
    pub fn is_at(&self, keys: &[&[u8]]) -> bool {
        self.levels.len() == keys.len()
            && self.path().zip(keys).all(|(segment, key)| segment == Segment::Key(key))
    }

    /// Whether the document has ended.
    pub fn is_over(&self) -> bool {
        self.expect == Expect::End
    }

    /// Whether what comes next is a value, and not a key.
    pub fn wants_value(&self) -> bool {
        let is_object = self.levels.last().is_some_and(|level| level.is_object);
        self.expect == Expect::Value || (self.expect == Expect::First && !is_object)
    }

    /// A string that was too long to be told was a value and has ended (`text::part`).
    pub fn end_text(&mut self) {
        self.value_ended();
    }

    /// The key that was told last, unescaped.
    pub fn key(&self) -> &[u8] {
        match self.path().next_back() {
            Some(Segment::Key(key)) => key,
            Some(Segment::Index(_)) | None => &[],
        }
    }

    /// The next token of `bytes` from offset `at` on, which is moved behind it. `ends` says that
    /// nothing comes behind `bytes`.
    ///
    /// # Errors
    /// The bytes are not JSON. The walk cannot go on.
    pub fn next(&mut self, bytes: &[u8], at: &mut usize, ends: bool) -> Result<Step, Wrong> {
        loop {
            let blanks = bytes.get(*at..).unwrap_or(&[]).iter();
            *at += blanks.take_while(|byte| is_blank(**byte)).count();
            let Some(&first) = bytes.get(*at) else {
                return match self.expect {
                    Expect::End => Ok(Step::End),
                    _ if ends => Err(Wrong::Truncated),
                    _ => Ok(Step::Need(*at)),
                };
            };
            match (self.expect, first) {
                (Expect::Colon, b':') => {
                    *at += 1;
                    self.expect = Expect::Value;
                }
                (Expect::After, b',') => {
                    *at += 1;
                    self.comma();
                }
                (Expect::First, b'}' | b']') | (Expect::After, b'}' | b']') => {
                    let token = self.close(first)?;
                    return Ok(one(token, at));
                }
                (Expect::First, _) => self.begin(),
                (Expect::Key, b'"') => return self.name(bytes, at, ends),
                (Expect::Value, b'{' | b'[') => {
                    let token = self.open(first)?;
                    return Ok(one(token, at));
                }
                (Expect::Value, _) => return self.scalar(bytes, at, ends),
                (Expect::Colon | Expect::After | Expect::Key | Expect::End, _) => {
                    return Err(Wrong::Byte);
                }
            }
        }
    }

    /// The first element of a container, which is not empty.
    fn begin(&mut self) {
        let is_object = self.levels.last().is_some_and(|level| level.is_object);
        self.expect = if is_object { Expect::Key } else { Expect::Value };
    }

    fn comma(&mut self) {
        if let Some(level) = self.levels.last_mut()
            && !level.is_object
        {
            level.index = level.index.saturating_add(1);
        }
        self.begin();
    }

    fn open(&mut self, byte: u8) -> Result<Token, Wrong> {
        if self.levels.len() >= JSON_DEPTH_MAX {
            return Err(Wrong::Depth);
        }
        let is_object = byte == b'{';
        let (key_start, seen_start) = (self.keys.len(), self.seen.len());
        self.levels.push(Level { is_object, index: 0, key_start, seen_start });
        self.expect = Expect::First;
        Ok(if is_object { Token::Object } else { Token::Array })
    }

    fn close(&mut self, byte: u8) -> Result<Token, Wrong> {
        let level = self.levels.pop().ok_or(Wrong::Byte)?;
        if level.is_object != (byte == b'}') {
            return Err(Wrong::Byte);
        }
        self.keys.truncate(level.key_start);
        if let Some(seen) = self.seen.get_mut(level.seen_start..) {
            seen.sort_unstable();
            if seen.array_windows().any(|[one, other]| one == other) {
                return Err(Wrong::Duplicate);
            }
        }
        self.seen.truncate(level.seen_start);
        self.value_ended();
        Ok(if level.is_object { Token::ObjectEnd } else { Token::ArrayEnd })
    }

    fn value_ended(&mut self) {
        self.expect = if self.levels.is_empty() { Expect::End } else { Expect::After };
    }

    fn name(&mut self, bytes: &[u8], at: &mut usize, ends: bool) -> Result<Step, Wrong> {
        let Some(span) = text::find(bytes, *at, ends)? else { return Ok(Step::Need(*at)) };
        if span.len as usize > JSON_KEY_BYTES_MAX {
            return Err(Wrong::KeyBytes);
        }
        let key_start = self.levels.last().map_or(0, |level| level.key_start);
        self.keys.truncate(key_start);
        text::unescape(text::inner(bytes, span), &mut self.keys);
        if self.refuses_duplicates {
            let mut hasher = DefaultHasher::new();
            hasher.write(self.keys.get(key_start..).unwrap_or(&[]));
            self.seen.push(hasher.finish());
        }
        *at += span.len as usize;
        self.expect = Expect::Colon;
        Ok(Step::Token(Token::Key, span))
    }

    fn scalar(&mut self, bytes: &[u8], at: &mut usize, ends: bool) -> Result<Step, Wrong> {
        let rest = bytes.get(*at..).unwrap_or(&[]);
        let found = match rest.first() {
            Some(b'"') => text::find(bytes, *at, ends)?.map(|span| (Token::Text, span.len)),
            Some(b't') => word(rest, b"true", ends)?.map(|len| (Token::True, len)),
            Some(b'f') => word(rest, b"false", ends)?.map(|len| (Token::False, len)),
            Some(b'n') => word(rest, b"null", ends)?.map(|len| (Token::Null, len)),
            Some(b'-' | b'0'..=b'9') => number(rest, ends)?.map(|len| (Token::Number, len)),
            Some(0xef) if self.levels.is_empty() => return Err(Wrong::ByteOrderMark),
            _ => return Err(Wrong::Byte),
        };
        let Some((token, len)) = found else { return Ok(Step::Need(*at)) };
        let span = Span { start: *at as u32, len };
        *at += len as usize;
        self.value_ended();
        Ok(Step::Token(token, span))
    }
}

impl Default for Walk {
    fn default() -> Walk {
        Walk::new()
    }
}

/// A token of one byte.
fn one(token: Token, at: &mut usize) -> Step {
    let span = Span { start: *at as u32, len: 1 };
    *at += 1;
    Step::Token(token, span)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn word(rest: &[u8], word: &[u8], ends: bool) -> Result<Option<u32>, Wrong> {
    if rest.starts_with(word) {
        return Ok(Some(word.len() as u32));
    }
    match word.starts_with(rest) {
        true if ends => Err(Wrong::Truncated),
        true => Ok(None),
        false => Err(Wrong::Byte),
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?` (6).
fn number(rest: &[u8], ends: bool) -> Result<Option<u32>, Wrong> {
    let digits = |at: usize| {
        let rest = rest.get(at..).unwrap_or(&[]).iter();
        rest.take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(rest.first() == Some(&b'-'));
    let whole = digits(at);
    let is_padded = whole > 1 && rest.get(at) == Some(&b'0');
    at += whole;
    let mut is_complete = whole > 0;
    if is_complete && rest.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        is_complete = fraction > 0;
        at += 1 + fraction;
    }
    if is_complete && matches!(rest.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        is_complete = exponent > 0;
        at += 1 + sign + exponent;
    }
    match rest.get(at) {
        _ if is_padded => Err(Wrong::Number),
        None if !ends => Ok(None),
        None if !is_complete => Err(Wrong::Truncated),
        Some(_) if !is_complete => Err(Wrong::Number),
        _ => Ok(Some(at as u32)),
    }
}

/// Walks over one whole document and tells each token; what follows it may only be blanks.
///
/// # Errors
/// What is wrong with it, or what `visit` says.
pub fn walk<E: From<Wrong>>(
    walk: &mut Walk,
    bytes: &[u8],
    mut visit: impl FnMut(&Walk, Token, Span) -> Result<(), E>,
) -> Result<(), E> {
    let mut at = 0;
    loop {
        match walk.next(bytes, &mut at, true)? {
            Step::Token(token, span) => visit(walk, token, span)?,
            Step::End => return Ok(()),
            Step::Need(_) => return Err(Wrong::Truncated.into()),
        }
    }
}
