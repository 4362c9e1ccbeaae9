//! Credentials in the text of commands, hidden before the text is recorded.
//!
//! In: the text of a command, which need not parse. Out: the same text with `***` for credentials.
//! Never: dependent on a parser; rejected and failed statements hold passwords too. Where the text
//! ends inside of a quote, everything after the first word that announces a credential is hidden.
//!
//! What counts as a credential: a literal after a name like `password` (also `OPTIONS`, `=`, `TO`,
//! `=>`, in lists and function calls); the value in a credential's column of `INSERT` or `UPDATE`;
//! all literals of functions that take keys; `password=...` inside of any literal or comment (a
//! connection string, a URL, JSON, SQL in SQL); bodies of `DO` and functions by the same rules; and
//! keys, tokens, hashes and URL passwords anywhere, proven by `detect`.

mod lexer;
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
    if !may_hold_credential(text) {
        return Redacted { text: Cow::Borrowed(text), parameters: Vec::new() };
    }
    let mut spans = Spans::default();
    statements(text, 0, 0, &mut spans);
    for found in SECRETS.find(text, &mut Scratch::default()) {
        spans.list.push((found.start, found.end, false));
    }
    let parameters = std::mem::take(&mut spans.parameters).into_iter().collect();
    Redacted { text: spans.apply(text), parameters }
}

/// The text with its credentials hidden. Borrowed when there are none.
pub fn command_text(text: &[u8]) -> Cow<'_, [u8]> {
    command(text).text
}

/// Whether `command_text` might change the text. Reads it twice, tokenises nothing; no false "no".
pub fn may_hold_credential(text: &[u8]) -> bool {
    stems::holds_stem(text) || !SECRETS.find(text, &mut Scratch::default()).is_empty()
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

/// Parts of the text to hide.
#[derive(Default)]
struct Spans {
    /// Start, end, and whether the part is a literal that stays one.
    list: Vec<(usize, usize, bool)>,
    /// Parameters that stand where credentials do. There are 65,535 at most.
    parameters: BTreeSet<u16>,
}

impl Spans {
    fn apply(mut self, text: &[u8]) -> Cow<'_, [u8]> {
        if self.list.is_empty() {
            return Cow::Borrowed(text);
        }
        // Of two that overlap, the outer one comes first and swallows the other.
        self.list.sort_by_key(|&(start, end, _)| (start, usize::MAX - end));
        let mut out = Vec::with_capacity(text.len());
        let mut kept = 0;
        for (start, end, literal) in self.list {
            if start >= kept {
                out.extend_from_slice(&text[kept..start]);
                let hidden: &[u8] = if literal { b"'***'" } else { HIDDEN };
                out.extend_from_slice(hidden);
            }
            kept = kept.max(end);
        }
        out.extend_from_slice(&text[kept..]);
        Cow::Owned(out)
    }
}

/// Finds credentials in a text that starts at `base` of the whole.
fn statements(text: &[u8], base: usize, depth: usize, spans: &mut Spans) {
    let tokens = lexer::tokens(text);
    let open = tokens.last().is_some_and(|token| !token.closed);
    if open && let Some(first) = STEMS.find(text) {
        let end =
            text[first.end()..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        spans.list.push((base + first.end() + end, base + text.len(), false));
    }
    let code: Vec<Token> =
        tokens.iter().copied().filter(|token| token.kind != Kind::Comment).collect();
    for statement in code.split(|token| token.kind == Kind::Sign(b';')) {
        Statement { text, base, tokens: statement, spans }.read();
    }
    for token in &tokens {
        inside(text, *token, base, depth, spans);
    }
}

/// Credentials inside of one token.
fn inside(text: &[u8], token: Token, base: usize, depth: usize, spans: &mut Spans) {
    let part = &text[token.start..token.end];
    match token.kind {
        Kind::Dollar if depth < DEPTH_MAX => {
            let tag = 2 + part[1..].iter().take_while(|&&byte| byte != b'$').count();
            let end = if token.closed { part.len() - tag } else { part.len() };
            let body = part.get(tag..end).unwrap_or_default();
            // A parameter in there is one of a function, not of the command.
            let of_command = spans.parameters.clone();
            statements(body, base + token.start + tag, depth + 1, spans);
            spans.parameters = of_command;
        }
        Kind::Text | Kind::Comment | Kind::Dollar | Kind::QuotedName => {
            assignments(part, base + token.start, spans);
        }
        Kind::Word | Kind::Number | Kind::Parameter | Kind::Sign(_) => {}
    }
}

/// `DO` inside of `DO`; deeper bodies are searched as plain text.
const DEPTH_MAX: usize = 4;

/// One statement, read once from left to right.
struct Statement<'a> {
    text: &'a [u8],
    base: usize,
    tokens: &'a [Token],
    spans: &'a mut Spans,
}

impl Statement<'_> {
    fn read(mut self) {
        let setting = self
            .tokens
            .first()
            .is_some_and(|first| [&b"set"[..], b"alter"].iter().any(|word| self.is(*first, word)));
        let of_role = self.is_of_role();
        let mut armed = false;
        let mut at = 0;
        while let Some(&token) = self.tokens.get(at) {
            let next = self.tokens.get(at + 1).map(|token| token.kind);
            let opens = next == Some(Kind::Sign(b'('));
            match token.kind {
                Kind::Text | Kind::Dollar | Kind::Number | Kind::Parameter if armed => {
                    self.hide(token);
                }
                // Not what PostgreSQL takes, but what people type.
                Kind::QuotedName if armed && of_role && !opens => self.hide(token),
                Kind::Word | Kind::QuotedName => {
                    let name = self.name(token);
                    // Everything in the parentheses is settled, so it is not read again: nested
                    // ones would make the cost grow with the square.
                    if opens && (takes_keys(&name) || (name == b"set_config" && self.names_one(at)))
                    {
                        at = self.hide_parentheses(at + 1);
                        continue;
                    } else if opens && name == b"options" {
                        at = self.options(at + 1);
                        continue;
                    }
                    if opens && matches!(&*name, b"dblink_connect" | b"dblink_connect_u") {
                        self.connection_strings(at + 1);
                    }
                    if is_credential(&name) {
                        armed = true;
                    } else if armed && setting && self.follows_assignment(at) {
                        self.hide_word(token, &name);
                    } else if !opens && !is_glue(&name) {
                        armed = false;
                    }
                }
                Kind::Sign(b'(') => {
                    if let Some(end) = self.column_list(at) {
                        armed = false;
                        at = end;
                        continue;
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// `ALTER ROLE`, `CREATE USER`: where a password stands as it is.
    fn is_of_role(&self) -> bool {
        let is_one_of = |at: usize, words: &[&[u8]]| {
            let token = self.tokens.get(at).copied();
            token.is_some_and(|token| words.iter().any(|word| self.is(token, word)))
        };
        is_one_of(0, &[b"alter", b"create"]) && is_one_of(1, &[b"role", b"user", b"group"])
    }

    /// Lower case, without quotes.
    fn name(&self, token: Token) -> Vec<u8> {
        let part = &self.text[token.start..token.end];
        part.iter().filter(|&&byte| byte != b'"').map(u8::to_ascii_lowercase).collect()
    }

    fn is(&self, token: Token, word: &[u8]) -> bool {
        token.kind == Kind::Word && self.text[token.start..token.end].eq_ignore_ascii_case(word)
    }

    /// The value of a parameter is elsewhere, so its place in the text hides nothing.
    fn hide(&mut self, token: Token) {
        if token.kind == Kind::Parameter {
            let digits = self.text.get(token.start + 1..token.end).unwrap_or_default();
            let number = std::str::from_utf8(digits).ok().and_then(|it| it.parse::<u16>().ok());
            self.spans.parameters.extend(number);
            return;
        }
        self.spans.list.push((self.base + token.start, self.base + token.end, true));
    }

    fn hide_word(&mut self, token: Token, name: &[u8]) {
        if !matches!(name, b"default" | b"null" | b"to") {
            self.hide(token);
        }
    }

    fn follows_assignment(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.is_some_and(|&token| token.kind == Kind::Sign(b'=') || self.is(token, b"to"))
    }

    /// The tokens from the parenthesis at `open` to its partner, both left out.
    fn parentheses(&self, open: usize) -> std::ops::Range<usize> {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(open) {
            match token.kind {
                Kind::Sign(b'(') => depth += 1,
                Kind::Sign(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return open + 1..at;
            }
        }
        open + 1..self.tokens.len()
    }

    /// Hides all literals of a list; returns where the list ends.
    fn hide_parentheses(&mut self, open: usize) -> usize {
        let list = self.parentheses(open);
        for at in list.clone() {
            if matches!(self.tokens[at].kind, Kind::Text | Kind::Dollar | Kind::Parameter) {
                self.hide(self.tokens[at]);
            }
        }
        list.end
    }

    /// Parameters of a function that takes connection strings. A literal is read by itself: only its
    /// password is hidden.
    fn connection_strings(&mut self, open: usize) {
        for at in self.parentheses(open) {
            if self.tokens[at].kind == Kind::Parameter {
                self.hide(self.tokens[at]);
            }
        }
    }

    /// `set_config('my.password', ...)`.
    fn names_one(&self, at: usize) -> bool {
        let first = self.tokens.get(at + 2).filter(|token| token.kind == Kind::Text);
        first.is_some_and(|token| {
            let name = self.text[token.start..token.end].to_ascii_lowercase();
            is_credential(name.trim_ascii_end().strip_suffix(b"'").unwrap_or(&name))
        })
    }

    /// `OPTIONS (host 'h', password 'p')`: values of options that are not known to be harmless.
    fn options(&mut self, open: usize) -> usize {
        let mut harmless = false;
        let list = self.parentheses(open);
        for at in list.clone() {
            let token = self.tokens[at];
            match token.kind {
                Kind::Word | Kind::QuotedName => {
                    harmless = HARMLESS_OPTIONS.contains(&self.name(token).as_slice());
                }
                Kind::Text | Kind::Dollar if !harmless => self.hide(token),
                _ => {}
            }
        }
        list.end
    }

    /// `(name, password) VALUES ('a', 'b'), ...` and `(name, password) = ('a', 'b')`: literals in
    /// the places of credentials. After a list that a query fills, all literals. Returns where what
    /// such a list governs ends.
    fn column_list(&mut self, open: usize) -> Option<usize> {
        let mut places = Vec::new();
        let (mut place, mut at) = (0, open + 1);
        loop {
            let token = *self.tokens.get(at)?;
            at += 1;
            match token.kind {
                Kind::Sign(b',') => place += 1,
                Kind::Word | Kind::QuotedName if is_credential(&self.name(token)) => {
                    places.push(place);
                }
                Kind::Sign(b'.') | Kind::Word | Kind::QuotedName => {}
                Kind::Sign(b')') => break,
                _ => return None,
            }
        }
        if places.is_empty() {
            return None;
        }
        let after = *self.tokens.get(at)?;
        let next = self.tokens.get(at + 1).copied();
        let is_row = |token: Token| token.kind == Kind::Sign(b'(') || self.is(token, b"row");
        if after.kind == Kind::Sign(b'=') && next.is_some_and(is_row) {
            return Some(self.places(at, &places, true));
        }
        let query = [&b"select"[..], b"with", b"table"];
        if places.len() > PLACES_MAX || query.iter().any(|word| self.is(after, word)) {
            return Some(self.hide_rest(at));
        }
        let values = self.is(after, b"values") || self.is(after, b"overriding");
        values.then(|| self.places(at, &places, false))
    }

    /// Hides all literals from `from` on.
    fn hide_rest(&mut self, from: usize) -> usize {
        for at in from..self.tokens.len() {
            let kind = self.tokens[at].kind;
            if matches!(kind, Kind::Text | Kind::Dollar | Kind::Number | Kind::Parameter) {
                self.hide(self.tokens[at]);
            }
        }
        self.tokens.len()
    }

    /// Hides the literals in these places of one row or of all; returns where the rows end.
    fn places(&mut self, from: usize, places: &[usize], one_row: bool) -> usize {
        let (mut depth, mut place) = (0_usize, 0);
        for at in from..self.tokens.len() {
            let token = self.tokens[at];
            match token.kind {
                Kind::Sign(b'(') => depth += 1,
                Kind::Sign(b')') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        place = 0;
                        if one_row {
                            return at;
                        }
                    }
                }
                Kind::Sign(b',') if depth == 1 => place += 1,
                Kind::Text | Kind::Dollar | Kind::Number | Kind::Parameter
                    if depth > 0 && places.contains(&place) =>
                {
                    self.hide(token);
                }
                // What follows the rows is read by the other rules.
                Kind::Word
                    if depth == 0 && (self.is(token, b"on") || self.is(token, b"returning")) =>
                {
                    return at;
                }
                _ => {}
            }
        }
        self.tokens.len()
    }
}

/// Tables have at most one credential or two; longer lists are hidden whole.
const PLACES_MAX: usize = 16;

/// A name that announces a credential.
fn is_credential(name: &[u8]) -> bool {
    let holds = |part: &str| memchr::memmem::find(name, part.as_bytes()).is_some();
    let parts = [
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "secret",
        "apikey",
        "api_key",
        "access_key",
        "accesskey",
        "private_key",
        "privatekey",
        "credential",
        "identified",
        "passcode",
    ];
    let harmless = matches!(name, b"password_encryption" | b"passwordcheck");
    !harmless
        && (parts.into_iter().any(holds)
            || name == b"pass"
            || [&b"_pass"[..], b"token", b"tokens"].iter().any(|end| name.ends_with(end)))
}

/// Functions whose literals are keys or what the keys protect.
fn takes_keys(name: &[u8]) -> bool {
    name.starts_with(b"pgp_")
        || matches!(
            name,
            b"crypt" | b"hmac" | b"encrypt" | b"decrypt" | b"encrypt_iv" | b"decrypt_iv"
        )
}

/// Words that may stand between a name and its value.
fn is_glue(name: &[u8]) -> bool {
    let words = [
        &b"to"[..],
        b"is",
        b"not",
        b"like",
        b"ilike",
        b"in",
        b"as",
        b"any",
        b"array",
        b"with",
        b"by",
        b"row",
        b"values",
        b"distinct",
    ];
    words.contains(&name)
}

/// Options of foreign servers and tables that hold no credential.
const HARMLESS_OPTIONS: [&[u8]; 17] = [
    b"host",
    b"hostaddr",
    b"port",
    b"dbname",
    b"user",
    b"schema_name",
    b"table_name",
    b"column_name",
    b"sslmode",
    b"fetch_size",
    b"batch_size",
    b"use_remote_estimate",
    b"updatable",
    b"extensions",
    b"format",
    b"delimiter",
    b"header",
];

/// `name = value`, `"name": "value"`, `name 'value'` inside of a literal or comment.
fn assignments(part: &[u8], base: usize, spans: &mut Spans) {
    let mut floor = 0;
    for stem in STEMS.find_iter(part) {
        if stem.start() < floor {
            continue;
        }
        let is_name = |&&byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let before = part[floor..stem.start()].iter().rev().take_while(is_name).count();
        let after = part[stem.end()..].iter().take_while(is_name).count();
        let (start, end) = (stem.start() - before, stem.end() + after);
        floor = end;
        let name = part[start..end].to_ascii_lowercase();
        let header = name.ends_with(b"authorization");
        if !header && !is_credential(&name) {
            continue;
        }
        if let Some((from, to)) = value_after(part, end, header) {
            spans.list.push((base + from, base + to, false));
            floor = to;
        }
    }
}

/// The value that is assigned to the name before `end`.
fn value_after(part: &[u8], end: usize, header: bool) -> Option<(usize, usize)> {
    let skip = |from: usize, bytes: &[u8]| {
        let rest = part.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|byte| bytes.contains(byte)).count()
    };
    // The quote that closes a JSON key.
    let at = skip(skip(end, b"\\\"'"), b" \t");
    let sign = skip(at, b"=:>");
    let value = skip(sign, b" \t");
    let quotes = skip(value, b"\\\"'");
    // Without a sign only a quoted value counts: `PASSWORD ''x''` in SQL in SQL.
    if sign == at && (quotes == value || at == end) {
        return None;
    }
    let quote = quotes.checked_sub(1).filter(|_| quotes > value).map(|last| part[last]);
    let rest = part.get(quotes..)?;
    let ends = |byte: u8| match quote {
        Some(quote) => byte == quote || byte == b'\\',
        None if header => matches!(byte, b'\'' | b'"' | b'\n' | b'\r' | b'\\'),
        None => {
            byte.is_ascii_whitespace() || matches!(byte, b'\'' | b'"' | b'&' | b';' | b',' | b'}')
        }
    };
    let length = rest.iter().position(|&byte| ends(byte)).unwrap_or(rest.len());
    (length > 0).then_some((quotes, quotes + length))
}
