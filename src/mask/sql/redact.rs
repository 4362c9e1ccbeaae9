//! Credentials in the text of commands, hidden before the text is recorded or shown.
//!
//! In: the text of a command, which need not parse. Out: the same text, `***` in the place of the
//! content of those literals that are credentials. Never: a change outside of whole literals, in a
//! comment, or in a part of a literal: what runs is what is shown.
//!
//! Which literals are credentials is a closed list of positions:
//!
//! ```text
//! roles            PASSWORD 'x', IDENTIFIED BY 'x'; not in queries, where it is a cast
//! foreign servers  OPTIONS (password 'x'); of a user mapping all that is not known to be harmless
//! connections      CONNECTION 'x', primary_conninfo, dblink('x', ..), if there is a password in it
//! settings         SET my.password = 'x', set_config('my.password', 'x', ..)
//! columns          password = 'x', 'x' = password, IN ('x'), BETWEEN 'x' AND 'x', named arguments;
//!                  values of INSERT and of (a, b) = ..; arguments of EXECUTE, if one of the
//!                  parameters is such a value
//! functions        of pgcrypto that take keys
//! anywhere         a literal that is a key, a token or a URL with a password, and nothing else
//! ```
//!
//! A literal that holds code (DO, CREATE FUNCTION, EXECUTE, a program) is shown as it is, with the
//! credentials in it: who approves a command has to see what it does.

mod lexer;
mod statement;
mod stems;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::mask::detect::{Detector, Detectors, Scratch};
use crate::mask::operator::{HIDDEN, Operator};
use lexer::{Kind, Token};
use statement::Statement;

/// A text as it may be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted<'t> {
    /// The text with its credentials hidden. Borrowed when there are none.
    pub text: Cow<'t, [u8]>,
    /// Numbers of the parameters whose values are credentials, ascending: 2 for `$2`, which stays
    /// in the text.
    pub parameters: Vec<u16>,
}

/// The text with its credentials hidden, and which of its parameters are credentials.
pub fn command(text: &[u8]) -> Redacted<'_> {
    match may_hold_credential(text) {
        true => redacted(text, false),
        false => Redacted { text: Cow::Borrowed(text), parameters: Vec::new() },
    }
}

/// The same of a text that executes a statement of which a parameter is a credential: which one is
/// not known here, so all arguments are hidden.
pub fn execution(text: &[u8]) -> Redacted<'_> {
    redacted(text, true)
}

fn redacted(text: &[u8], executes: bool) -> Redacted<'_> {
    let (code, closed) = lexer::code(text);
    let mut spans = Spans { text, ..Spans::default() };
    let statements = || code.split(|token| token.kind == Kind::Sign(b';'));
    for statement in statements() {
        Statement::new(text, statement, &mut spans).read();
    }
    // The same text may have prepared it.
    if executes || !spans.parameters.is_empty() {
        statements().for_each(|statement| arguments(text, statement, &mut spans));
    }
    proven(text, &code, &mut spans);
    if !closed {
        unclosed(text, &code, &mut spans);
    }
    let parameters = std::mem::take(&mut spans.parameters).into_iter().collect();
    Redacted { text: spans.apply(), parameters }
}

/// The text with its credentials hidden. Borrowed when there are none.
pub fn command_text(text: &[u8]) -> Cow<'_, [u8]> {
    command(text).text
}

/// Whether a column, or whatever has this name, holds credentials by its name.
pub fn names_credential(name: &str) -> bool {
    statement::is_credential(name.to_ascii_lowercase().as_bytes())
}

/// The value of a setting as it may be recorded. Hidden whole is that of one with the name of a
/// credential, and one that holds a key, a token, a URL with a password or `password=x`.
pub fn setting<'v>(name: &str, value: &'v str) -> &'v str {
    let mut parts = value.split(|part: char| part.is_whitespace() || "&?;,'\"".contains(part));
    let assigns = |part: &str| part.split_once('=').is_some_and(|(name, _)| names_credential(name));
    match names_credential(name) || holds_secret(value.as_bytes()) || parts.any(assigns) {
        true => "***",
        false => value,
    }
}

/// Whether `command_text` might change the text. Reads it twice, tokenises nothing; no false "no".
pub fn may_hold_credential(text: &[u8]) -> bool {
    stems::holds_stem(text) || holds_secret(text)
}

fn holds_secret(text: &[u8]) -> bool {
    !SECRETS.find(text, &mut Scratch::default()).is_empty()
}

/// Where the stems are.
static STEMS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let builder = AhoCorasick::builder().ascii_case_insensitive(true).build(stems::stems());
    builder.expect("a few short words compile")
});

static SECRETS: LazyLock<Detectors> = LazyLock::new(|| {
    let secret = Detector::ALL.into_iter().filter(|detector| detector.is_secret());
    Detectors::new(secret.map(|detector| (detector, Operator::Redact)))
});

/// A part of the text to hide: the content of a literal, or a bare word or number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: u32,
    end: u32,
    /// It becomes a literal.
    bare: bool,
}

/// Parts of the text to hide.
#[derive(Default)]
struct Spans<'t> {
    text: &'t [u8],
    /// In the order in which they were found, some of them twice.
    list: Vec<Span>,
    /// Parameters that stand where credentials do. There are 65,535 at most.
    parameters: BTreeSet<u16>,
}

impl<'t> Spans<'t> {
    /// Hides the content of a literal; its quotes stay, so that no token becomes another one.
    fn hide(&mut self, token: Token) {
        debug_assert!(matches!(token.kind, Kind::Text | Kind::Dollar | Kind::QuotedName));
        self.insert(token.content(self.text), false);
    }

    /// Hides a word or a number.
    fn hide_bare(&mut self, token: Token) {
        self.insert((token.start(), token.end()), true);
    }

    fn insert(&mut self, (start, end): (usize, usize), bare: bool) {
        self.list.push(Span { start: start as u32, end: end as u32, bare });
    }

    /// The value of a parameter is elsewhere, so its place in the text hides nothing.
    fn parameter(&mut self, token: Token) {
        let digits = self.text.get(token.start() + 1..token.end()).unwrap_or_default();
        let number = std::str::from_utf8(digits).ok().and_then(|it| it.parse::<u16>().ok());
        self.parameters.extend(number);
    }

    fn apply(mut self) -> Cow<'t, [u8]> {
        if self.list.is_empty() {
            return Cow::Borrowed(self.text);
        }
        self.list.sort_unstable();
        self.list.dedup();
        let mut out = Vec::with_capacity(self.text.len());
        let mut kept = 0;
        for Span { start, end, bare } in self.list {
            out.extend_from_slice(self.text.get(kept..start as usize).unwrap_or_default());
            out.extend_from_slice(if bare { b"'***'" } else { HIDDEN });
            kept = end as usize;
        }
        out.extend_from_slice(self.text.get(kept..).unwrap_or_default());
        Cow::Owned(out)
    }
}

/// The arguments of an EXECUTE.
fn arguments(text: &[u8], statement: &[Token], spans: &mut Spans<'_>) {
    let is_execute = |token: &Token| token.of(text).eq_ignore_ascii_case(b"execute");
    if !statement.iter().any(is_execute) {
        return;
    }
    for token in statement {
        match token.kind {
            Kind::Text | Kind::Dollar => spans.hide(*token),
            Kind::Parameter => spans.parameter(*token),
            Kind::Word | Kind::QuotedName | Kind::Number | Kind::Sign(_) | Kind::Comment => {}
        }
    }
}

/// Literals that are a secret by what they look like, and are nothing else.
fn proven(text: &[u8], code: &[Token], spans: &mut Spans<'_>) {
    let mut scratch = Scratch::default();
    if SECRETS.find(text, &mut scratch).is_empty() {
        return;
    }
    for token in code.iter().filter(|token| matches!(token.kind, Kind::Text | Kind::Dollar)) {
        let (start, end) = token.content(text);
        let content = text.get(start..end).unwrap_or_default().trim_ascii();
        let is_url = is_url(content);
        let found = SECRETS.find(content, &mut scratch);
        let is_all = |start: usize, end: usize| start == 0 && end == content.len();
        if found.iter().any(|found| is_url || is_all(found.start, found.end)) {
            spans.hide(*token);
        }
    }
}

/// One address, in which no code can be.
fn is_url(content: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_graphic() && !b"'\"();\\`*".contains(byte);
    memchr::memmem::find(content, b"://").is_some() && content.iter().all(is_part)
}

/// A text whose last quote is open is refused by every server that reads it as it is read here.
/// Where its quotes should have been is not known: literals behind the first word that announces a
/// credential are hidden.
fn unclosed(text: &[u8], code: &[Token], spans: &mut Spans<'_>) {
    let Some(first) = STEMS.find(text) else { return };
    let behind = code.iter().filter(|token| token.end() > first.start());
    for token in behind.filter(|token| matches!(token.kind, Kind::Text | Kind::Dollar)) {
        spans.hide(*token);
    }
}

/// Whether a connection string has a password in it. One with escapes may.
fn is_telling(part: &[u8]) -> bool {
    let unescaped = part.starts_with(b"'") || part.starts_with(b"$");
    !unescaped || part.contains(&b'\\') || stems::holds_stem(part) || holds_secret(part)
}
