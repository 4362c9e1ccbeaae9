//! JSON: values by path and by what is in them, as edits of the spans where they stand.
//!
//! A token is kept until it is whole. A string that does not end within `MASK_TOKEN_BYTES_MAX` is
//! worked on in parts: hidden if its path is, else searched through a window as text is.
//!
//! ```text
//!   Walk --token--> path masked?  --yes--> the operator, as a value of the same type or null
//!                        | no
//!                   base64? what it stands for --> searched, coded again
//!                        | no
//!                   a text that holds JSON itself? --yes--> the same again, escaped again
//!                        | no
//!                   detectors, over what the string says --> parts replaced where they are written
//! ```

use super::coded;
use super::embedded::{self, Embedded};
use super::window::{Cut, cut};
use super::{Rules, Unmaskable, Work, again, hidden, whole_text, write_seen};
use super::{outcome, words};
use crate::limits::{MASK_CONTEXT_BYTES, MASK_EMBEDDED_BYTES_MAX, MASK_TOKEN_BYTES_MAX};
use crate::mask::detect::{Cursor, Finds, Found};
use crate::mask::escapes;
use crate::mask::kubernetes::managed;
use crate::mask::matcher::Block;
use crate::mask::operator::{self, Operator};
use crate::wire::http::head::Span;
use crate::wire::http::json::path::{Follow, Patterns};
use crate::wire::http::json::{Segment, Step, Token, Walk, text};

/// Masks one JSON text, or one after another.
#[derive(Debug)]
pub(super) struct Json {
    /// Texts may follow each other.
    is_sequence: bool,
    walk: Walk,
    paths: Follow,
    embedded: Follow,
    coded: Follow,
    words: Follow,
    own: Follow,
    names: Follow,
    /// What the document, or an event's object, has said of itself: a Status of an apiserver.
    status: outcome::Said,
    /// How many names were written anew.
    renamed: u64,
    /// What was received and has not left.
    held: Vec<u8>,
    /// It is looked at again once it is so long.
    wait: usize,
    long: Long,
    /// Something but blanks came.
    started: bool,
    blocks: Vec<Block>,
    finds: Finds,
}

/// A string that is worked on in parts.
#[derive(Debug)]
enum Long {
    No,
    /// It stays as it is.
    Pass,
    /// The rest of it is dropped; `close` says that its quote is still to be written.
    Skip {
        close: bool,
    },
    /// It is searched; what it said last, of what has left.
    Search {
        context: Vec<u8>,
    },
}

/// A buffer and how much of it has left.
struct Buffer<'b> {
    bytes: &'b [u8],
    kept: usize,
}

impl Buffer<'_> {
    fn pass(&mut self, until: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(self.kept..until).unwrap_or(&[]));
        self.kept = self.kept.max(until);
    }
}

impl Json {
    pub(super) fn new(is_sequence: bool) -> Json {
        Json {
            is_sequence,
            walk: Walk::new(),
            paths: Follow::default(),
            embedded: Follow::default(),
            coded: Follow::default(),
            words: Follow::default(),
            status: outcome::Said::default(),
            own: Follow::default(),
            names: Follow::default(),
            renamed: 0,
            held: Vec::new(),
            wait: 0,
            long: Long::No,
            started: false,
            blocks: Vec::new(),
            finds: Finds::default(),
        }
    }

    /// What has not left, when the text turned out to be none.
    pub(super) fn give_up(self) -> Vec<u8> {
        self.held
    }

    /// Whether what has left ends within a string.
    pub(super) fn is_within(&self) -> bool {
        !matches!(self.long, Long::No)
    }

    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Unmaskable> {
        let mut held = std::mem::take(&mut self.held);
        let bytes = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            if !ends && held.len() < self.wait {
                self.held = held;
                return Ok(());
            }
            &held
        };
        let mut buffer = Buffer { bytes, kept: 0 };
        let result = self.run(&mut buffer, ends, work);
        self.held = bytes.get(buffer.kept..).unwrap_or(&[]).to_vec();
        self.wait = again(self.held.len());
        result
    }

    fn run(
        &mut self,
        buffer: &mut Buffer<'_>,
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<(), Unmaskable> {
        let bytes = buffer.bytes;
        // Where something may be, looked for at once: most values have nothing.
        let mut blocks = std::mem::take(&mut self.blocks);
        work.rules.detectors.candidates(bytes, &mut blocks);
        let mut cursor = Cursor::new(&blocks);
        let mut at = 0;
        let result = loop {
            if self.is_within() {
                match self.long(buffer, ends, work) {
                    Ok(true) => at = buffer.kept,
                    Ok(false) => break Ok(()),
                    Err(wrong) => break Err(wrong),
                }
            }
            let rest = bytes.get(at..).unwrap_or(&[]);
            let is_blank = rest.iter().all(u8::is_ascii_whitespace);
            self.started |= !is_blank;
            if is_blank && (!ends || !self.started || self.walk.is_over()) {
                buffer.pass(bytes.len(), work.out);
                break Ok(());
            }
            if self.is_sequence && self.walk.is_over() {
                self.walk.restart();
            }
            match self.walk.next(bytes, &mut at, ends) {
                Ok(Step::Token(token, span)) => {
                    if let Some(replacement) = self.token(token, (bytes, span), &mut cursor, work) {
                        buffer.pass(span.start as usize, work.out);
                        work.out.extend_from_slice(&replacement);
                        buffer.kept = (span.start + span.len) as usize;
                    }
                }
                Ok(Step::End) => {}
                Ok(Step::Need(from)) => {
                    buffer.pass(from, work.out);
                    match self.is_too_long(bytes.get(from..).unwrap_or(&[]), work) {
                        Ok(true) => self.begin_long(buffer, work),
                        Ok(false) => break Ok(()),
                        Err(wrong) => break Err(wrong),
                    }
                }
                Err(wrong) => {
                    // Tokens that were let pass stand before the one that is wrong.
                    break Err(wrong.into());
                }
            }
        };
        self.blocks = blocks;
        result
    }

    /// Whether a token that is not whole is a string that has to be worked on in parts.
    fn is_too_long(&mut self, token: &[u8], work: &Work<'_>) -> Result<bool, Unmaskable> {
        if token.len() <= MASK_TOKEN_BYTES_MAX {
            return Ok(false);
        }
        if token.first() != Some(&b'"') || !self.walk.wants_value() {
            return Err(Unmaskable::TooLong);
        }
        self.tell(Token::Text, work.rules);
        let waits = self.may_hold(token, work) && self.operator(work.rules).is_none();
        Ok(!waits || token.len() > MASK_EMBEDDED_BYTES_MAX)
    }

    fn begin_long(&mut self, buffer: &mut Buffer<'_>, work: &mut Work<'_>) {
        // The quote is taken here, in either case.
        let token = buffer.bytes.get(buffer.kept..).unwrap_or(&[]);
        buffer.kept += 1;
        let rules = work.rules;
        let operator = match self.operator(rules) {
            Some(met) => Some(met),
            None if self.is_coded(rules) => Some((Operator::TokenBase64, "data.*")),
            None if met(&self.words, &rules.words).next().is_some() => {
                Some((Operator::Token, "metadata.annotations.*"))
            }
            None if self.may_hold(token, work) => Some((Operator::Redact, "**.content.*.text")),
            None => None,
        };
        if let Some((operator, pattern)) = operator {
            work.count_path(operator, pattern);
            // Whatever the value is, nothing of it is kept.
            let operator = match operator {
                Operator::Partial | Operator::Mask => Operator::Redact,
                operator => operator,
            };
            work.out.extend_from_slice(&hide(Token::Text, operator, &[]));
            self.long = Long::Skip { close: false };
            return;
        }
        work.out.push(b'"');
        self.long = match work.rules.detectors.is_empty() {
            true => Long::Pass,
            false => Long::Search { context: Vec::new() },
        };
    }

    /// Goes on with a long string; true if it ended.
    fn long(
        &mut self,
        buffer: &mut Buffer<'_>,
        ends: bool,
        work: &mut Work<'_>,
    ) -> Result<bool, Unmaskable> {
        let rest = buffer.bytes.get(buffer.kept..).unwrap_or(&[]);
        let (length, ended) = text::part(rest, ends)?;
        let part = rest.get(..length).unwrap_or(&[]);
        let (used, close) = match &mut self.long {
            Long::No => return Ok(true),
            Long::Pass => {
                work.out.extend_from_slice(part);
                (length, true)
            }
            Long::Skip { close } => (length, *close),
            Long::Search { context } => {
                let place = path(&self.walk, work);
                let (used, swallowed) = search((context, &place), part, ended, work);
                if swallowed {
                    self.long = Long::Skip { close: true };
                }
                (used, true)
            }
        };
        buffer.kept += used;
        if !ended {
            return Ok(false);
        }
        assert!(used == length, "a string ended and was not taken whole");
        buffer.kept += 1;
        if close {
            work.out.push(b'"');
        }
        self.long = Long::No;
        self.walk.end_text();
        Ok(true)
    }

    fn tell(&mut self, token: Token, rules: &Rules) {
        if !rules.paths.is_empty() {
            self.paths.tell(&rules.paths, &self.walk, token);
        }
        if !rules.embedded.is_empty() {
            self.embedded.tell(&rules.embedded, &self.walk, token);
        }
        if !rules.coded.is_empty() {
            self.coded.tell(&rules.coded, &self.walk, token);
        }
        if !rules.words.is_empty() {
            self.words.tell(&rules.words, &self.walk, token);
        }
        if !rules.own.is_empty() {
            self.own.tell(&rules.own, &self.walk, token);
        }
        if !rules.names_of.is_empty() {
            self.names.tell(&rules.names_of, &self.walk, token);
        }
    }

    /// What the paths say of the value that was told last; of several the strongest.
    fn operator<'r>(&self, rules: &'r Rules) -> Option<(Operator, &'r str)> {
        rules.strongest(met(&self.paths, &rules.paths))
    }

    /// Whether a string that is not whole yet may hold what a path or a known value hides.
    fn may_hold(&self, token: &[u8], work: &Work<'_>) -> bool {
        let rules = work.rules;
        let repeats = work.known.is_sought(&self.walk) || self.is_coded(rules);
        repeats || (self.is_embedded(rules) && (rules.strict || embedded::may_hold(token)))
    }

    fn is_coded(&self, rules: &Rules) -> bool {
        met(&self.coded, &rules.coded).next().is_some()
    }

    fn is_embedded(&self, rules: &Rules) -> bool {
        met(&self.embedded, &rules.embedded).next().is_some()
    }

    /// What takes the place of a token, if it does not stay.
    fn token(
        &mut self,
        token: Token,
        (bytes, span): (&[u8], Span),
        cursor: &mut Cursor<'_>,
        work: &mut Work<'_>,
    ) -> Option<Vec<u8>> {
        let rules = work.rules;
        self.tell(token, rules);
        if rules.spares_outcomes {
            self.status.tell(&self.walk, token, (bytes, span));
        }
        let is_value = matches!(token, Token::Text | Token::Number | Token::True | Token::False);
        if is_value && let Some((operator, pattern)) = self.operator(rules) {
            if (rules.spares_outcomes && self.status.is_outcome(&self.walk, token, (bytes, span)))
                || self.is_spared(token, (bytes, span), rules)
            {
                return None;
            }
            work.count_path(operator, pattern);
            work.known.gather(operator, token, (bytes, span));
            return Some(hide(token, operator, text::inner(bytes, span)));
        }
        if token == Token::Text && self.is_wordless((bytes, span), rules) {
            work.count_path(Operator::Token, "metadata.annotations.*");
            return Some(hide(token, Operator::Token, text::inner(bytes, span)));
        }
        if token == Token::Text
            && let Some(masked) = self.coded((bytes, span), work)
        {
            return Some(quoted(&masked));
        }
        match token {
            _ if is_value && met(&self.own, &rules.own).next().is_some() => None,
            Token::Text => match self.text((bytes, span), work) {
                Embedded::Stays => None,
                Embedded::Becomes(masked) => Some(quoted(&masked)),
                Embedded::IsNone => self.search(token, (bytes, span), cursor, work),
            },
            Token::Key => match self.key((bytes, span), work) {
                Some(name) => Some(quoted(&name)),
                None => self.search(token, (bytes, span), cursor, work),
            },
            Token::Number => {
                let ends = (span.start as usize, (span.start + span.len) as usize);
                cursor.find(&rules.detectors, bytes, ends, &mut self.finds);
                if self.finds.list.is_empty()
                    && let Some(digits) = integral(bytes.get(ends.0..ends.1).unwrap_or(&[]))
                {
                    let found = rules.detectors.find(&digits, work.scratch);
                    self.finds.list.extend_from_slice(found);
                }
                let strongest = self.finds.list.iter().map(|found| rules.operator(found)).max()?;
                let place = path(&self.walk, work);
                work.count(&self.finds.list, &place);
                Some(hide(token, strongest, &[]))
            }
            _ => None,
        }
    }

    /// Whether a string has to be plain words, and is not.
    fn is_wordless(&self, (bytes, span): (&[u8], Span), rules: &Rules) -> bool {
        met(&self.words, &rules.words).next().is_some()
            && !self.is_embedded(rules)
            && !words::are_plain(text::inner(bytes, span))
    }

    /// Whether a message at the root is one that is known to have no value in it.
    fn is_spared(&self, token: Token, (bytes, span): (&[u8], Span), rules: &Rules) -> bool {
        if token != Token::Text || rules.spared.is_empty() || self.walk.depth() != 1 {
            return false;
        }
        let mut said = Vec::new();
        text::unescape(text::inner(bytes, span), &mut said);
        self.walk.path().next() == Some(Segment::Key(b"message"))
            && rules.spared.iter().any(|spared| spared.as_bytes() == said)
    }

    /// What becomes of a key that holds a value, or JSON; `None`: it holds none.
    fn key(&mut self, (bytes, span): (&[u8], Span), work: &mut Work<'_>) -> Option<Vec<u8>> {
        if let Some(name) = self.name((bytes, span), work) {
            return Some(name.into_bytes());
        }
        let inner = text::inner(bytes, span);
        if work.rules.embedded.is_empty() || work.rules.strict || !embedded::may_hold(inner) {
            return None;
        }
        let mut said = Vec::new();
        text::unescape(inner, &mut said);
        match embedded::mask(&said, "*", work) {
            Embedded::Becomes(masked) => Some(masked),
            Embedded::Stays | Embedded::IsNone => None,
        }
    }

    /// What becomes of the name of a field that holds a value; `None`: it holds none.
    fn name(&mut self, (bytes, span): (&[u8], Span), work: &mut Work<'_>) -> Option<String> {
        let rules = work.rules;
        let fields: Option<Vec<&str>> = met(&self.names, &rules.names_of)
            .map(|at| rules.named.get(at).and_then(Option::as_deref))
            .collect();
        if fields.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let mut said = Vec::new();
        text::unescape(text::inner(bytes, span), &mut said);
        let said = String::from_utf8_lossy(&said);
        let renamed = managed::renamed(&said, fields.as_deref(), &mut self.renamed)?;
        let place = path(&self.walk, work);
        work.count_path(Operator::Token, &place);
        Some(renamed)
    }

    /// What becomes of a string that should be base64; `None`: it is searched as it is.
    fn coded(&self, (bytes, span): (&[u8], Span), work: &mut Work<'_>) -> Option<Vec<u8>> {
        if !self.is_coded(work.rules) {
            let inner = text::inner(bytes, span);
            return match work.rules.repeats && inner.contains(&b',') {
                true => coded::data_url(inner, &path(&self.walk, work), work),
                false => None,
            };
        }
        let mut said = Vec::new();
        text::unescape(text::inner(bytes, span), &mut said);
        let place = path(&self.walk, work);
        coded::mask(&said, &place, work)
    }

    /// What becomes of a string that may hold JSON, or repeat what is hidden elsewhere.
    fn text(&self, (bytes, span): (&[u8], Span), work: &mut Work<'_>) -> Embedded {
        let rules = work.rules;
        let inner = text::inner(bytes, span);
        let repeats = work.known.is_sought(&self.walk) && !inner.is_empty();
        let embeds = self.is_embedded(rules) && (rules.strict || embedded::may_hold(inner));
        if !repeats && !embeds {
            return Embedded::IsNone;
        }
        let mut said = Vec::new();
        text::unescape(inner, &mut said);
        let place = path(&self.walk, work);
        let masked = match embeds {
            true => embedded::mask(&said, &place, work),
            false => Embedded::IsNone,
        };
        if !repeats {
            return masked;
        }
        let is_none = matches!(masked, Embedded::IsNone);
        let text = match &masked {
            Embedded::Becomes(masked) => masked,
            Embedded::Stays | Embedded::IsNone => &said,
        };
        let known = work.known;
        match known.hide(text, &place, work) {
            None => masked,
            Some(hidden) if is_none => {
                Embedded::Becomes(whole_text(&hidden, &place, work).unwrap_or(hidden))
            }
            Some(hidden) => Embedded::Becomes(hidden),
        }
    }

    /// What detectors find in a string, replaced where it is written.
    fn search(
        &mut self,
        token: Token,
        (bytes, span): (&[u8], Span),
        cursor: &mut Cursor<'_>,
        work: &mut Work<'_>,
    ) -> Option<Vec<u8>> {
        let rules = work.rules;
        if rules.detectors.is_empty() {
            return None;
        }
        let inner = text::inner(bytes, span);
        let start = span.start as usize + 1;
        if !text::is_plain(inner) {
            let seen = escapes::read(&rules.detectors, inner);
            let finds: Vec<Found> = seen.iter().map(|seen| seen.found).collect();
            let write = |out: &mut Vec<u8>| write_seen(inner, &seen, &rules.detectors, out);
            return self.found(token, &finds, work, write);
        }
        cursor.find(&rules.detectors, bytes, (start, start + inner.len()), &mut self.finds);
        let finds = &self.finds.list;
        self.found(token, finds, work, |out| replace(rules, inner, finds, out))
    }

    /// What takes the place of a string in which this was found.
    fn found(
        &self,
        token: Token,
        finds: &[Found],
        work: &mut Work<'_>,
        write: impl Fn(&mut Vec<u8>),
    ) -> Option<Vec<u8>> {
        if finds.is_empty() {
            return None;
        }
        let place = path(&self.walk, work);
        work.count(finds, &place);
        let is_null = finds.iter().any(|found| work.rules.operator(found) == Operator::Nullify);
        if is_null && token == Token::Text {
            return Some(b"null".to_vec());
        }
        let mut out = vec![b'"'];
        write(&mut out);
        out.push(b'"');
        Some(out)
    }
}

/// Where the value stands that was told last, for the record: `items.*.email`. A key that is more
/// than a name, or in which something is found, is data and not shown.
fn path(walk: &Walk, work: &mut Work<'_>) -> String {
    let mut path = String::new();
    for segment in walk.path() {
        let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
        let is_plain = |byte: &u8| is_letter(byte) || byte.is_ascii_digit() || *byte == b'-';
        let shown = match segment {
            Segment::Key(key)
                if key.len() <= PATH_KEY_BYTES_MAX
                    && key.first().is_some_and(is_letter)
                    && key.iter().all(is_plain)
                    && work.rules.detectors.find(key, work.scratch).is_empty() =>
            {
                std::str::from_utf8(key).unwrap_or("*")
            }
            Segment::Key(_) | Segment::Index(_) => "*",
        };
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(shown);
    }
    path
}

/// The longest key that a path in the record has.
const PATH_KEY_BYTES_MAX: usize = 64;

fn met<'f>(follow: &'f Follow, patterns: &'f Patterns) -> impl Iterator<Item = usize> + 'f {
    let some = (!patterns.is_empty()).then(|| follow.met(patterns));
    some.into_iter().flatten()
}

/// Where byte `at` of what a string says is written; without a map it is written as it is.
fn raw_at(map: &[u32], at: usize) -> usize {
    if map.is_empty() { at } else { map.get(at).copied().unwrap_or(0) as usize }
}

/// Appends a string that is written as it is said, what was found replaced.
fn replace(rules: &Rules, inner: &[u8], finds: &[Found], out: &mut Vec<u8>) {
    let mut kept = 0;
    for found in finds {
        out.extend_from_slice(inner.get(kept..found.start).unwrap_or(&[]));
        let part = inner.get(found.start..found.end).unwrap_or(&[]);
        let mut becomes = Vec::new();
        operator::found_text(rules.operator(found), found.detector, part, &mut becomes);
        text::escape(&becomes, out);
        kept = found.end;
    }
    out.extend_from_slice(inner.get(kept..).unwrap_or(&[]));
}

/// What a value becomes that is masked: a text that says so, or null. A number or `false` would be
/// read as what is there, and acted on.
fn hide(token: Token, operator: Operator, inner: &[u8]) -> Vec<u8> {
    match token {
        // A text in its place cannot be written back as what it stands for.
        Token::Number | Token::True | Token::False if operator == Operator::Token => {
            quoted(&hidden(operator, &[]))
        }
        Token::Text if operator != Operator::Nullify => {
            let mut said = Vec::new();
            text::unescape(inner, &mut said);
            quoted(&hidden(operator, &said))
        }
        _ => b"null".to_vec(),
    }
}

/// The digits of a whole number that is written with a point or an exponent: `4539.0` and `4.539e3`
/// are 4539. Programs that know no whole numbers write all of theirs so.
fn integral(written: &[u8]) -> Option<Vec<u8>> {
    let end = written.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(written.len());
    let (mantissa, exponent) = written.split_at(end);
    let exponent: i32 = match std::str::from_utf8(exponent.get(1..).unwrap_or(&[])).ok()? {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    if point == mantissa.len() && end == written.len() {
        return None;
    }
    let behind = i32::try_from(mantissa.len().saturating_sub(point + 1)).ok()?;
    let mut digits: Vec<u8> = mantissa.iter().copied().filter(u8::is_ascii_digit).collect();
    let scale = exponent.checked_sub(behind)?;
    let zeros = usize::try_from(scale.clamp(0, INTEGRAL_DIGITS_MAX)).ok()?;
    digits.extend(std::iter::repeat_n(b'0', zeros));
    for _ in 0..scale.checked_neg()?.clamp(0, i32::try_from(digits.len()).ok()?) {
        digits.pop().filter(|digit| *digit == b'0')?;
    }
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    digits.drain(..zeros);
    Some(digits).filter(|digits| !digits.is_empty())
}

/// No detector looks for a longer number.
const INTEGRAL_DIGITS_MAX: i32 = 32;

fn quoted(said: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    text::escape(said, &mut out);
    out.push(b'"');
    out
}

/// Searches a part of a long string. Returns how much of it was taken, and whether a find hides
/// what is left of the string.
fn search(
    (context, at): (&mut Vec<u8>, &str),
    part: &[u8],
    ended: bool,
    work: &mut Work<'_>,
) -> (usize, bool) {
    let seen = context.len();
    let (mut map, mut finds) = (Vec::new(), Vec::new());
    text::unescape_mapped(part, context, &mut map);
    let place = cut(work.rules, (context, seen), ended, work.scratch, &mut finds);
    let end = match place {
        Cut::At(end) => end,
        Cut::Swallow => context.len(),
    };
    work.count_seen(&finds, at);
    let mut kept = 0;
    for it in &finds {
        let (start, end) = (it.found.start - seen, it.found.end - seen);
        work.out.extend_from_slice(part.get(kept..raw_at(&map, start)).unwrap_or(&[]));
        let mut becomes = Vec::new();
        it.write(&work.rules.detectors, &mut becomes);
        text::escape(&becomes, work.out);
        kept = raw_at(&map, end);
    }
    if place == Cut::Swallow {
        return (part.len(), true);
    }
    let used = raw_at(&map, end - seen);
    work.out.extend_from_slice(part.get(kept..used).unwrap_or(&[]));
    context.truncate(end);
    context.drain(..end.saturating_sub(MASK_CONTEXT_BYTES));
    (used, false)
}
