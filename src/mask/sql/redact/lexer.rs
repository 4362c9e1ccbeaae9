//! SQL as tokens, for text that need not parse.
//!
//! In: the text of a command. Out: tokens as spans.
//! Never: a failure. What does not end runs to the end of the text and is marked so.
//!
//! A literal that goes on after a line break (`'a'` and on the next line `'b'`) is one token, as it
//! is to PostgreSQL (scan.l, `quotecontinue`).

/// A token, of twelve bytes: the text of a large import has one for every four of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    /// The quote or comment is closed.
    pub closed: bool,
    from: u32,
    to: u32,
}

const _: () = assert!(size_of::<Token>() == 12);

impl Token {
    /// First byte.
    pub fn start(&self) -> usize {
        self.from as usize
    }

    /// After the last byte.
    pub fn end(&self) -> usize {
        self.to as usize
    }

    /// The token in its text.
    pub fn of<'t>(&self, text: &'t [u8]) -> &'t [u8] {
        text.get(self.start()..self.end()).unwrap_or_default()
    }

    /// Where the content of a quote is, without prefix, quotes and tags; the whole of other tokens.
    pub fn content(&self, text: &[u8]) -> (usize, usize) {
        let part = self.of(text);
        let until = |quote: u8| 1 + part.iter().take_while(|&&byte| byte != quote).count();
        let (opens, closes) = match self.kind {
            Kind::Text => (until(b'\''), 1),
            Kind::QuotedName => (1, 1),
            Kind::Dollar => {
                let tag = 2 + part.iter().skip(1).take_while(|&&byte| byte != b'$').count();
                (tag, tag)
            }
            Kind::Word | Kind::Number | Kind::Parameter | Kind::Sign(_) | Kind::Comment => (0, 0),
        };
        let end = if self.closed { self.end() - closes } else { self.end() };
        (self.start() + opens, end)
    }
}

/// Kinds of tokens, as far as redaction tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword or name.
    Word,
    /// A name in double quotes.
    QuotedName,
    /// '...', E'...', U&'...', B'...', X'...', N'...'.
    Text,
    /// $tag$...$tag$.
    Dollar,
    /// A number.
    Number,
    /// `$1` and so on.
    Parameter,
    /// One other byte.
    Sign(u8),
    /// -- or nested /* */.
    Comment,
}

/// The tokens of a text but for its comments, and whether its end is closed, be it in a comment.
pub(super) fn code(text: &[u8]) -> (Vec<Token>, bool) {
    assert!(u32::try_from(text.len()).is_ok(), "a command is shorter than 4 GiB");
    let (mut code, mut closed) = (Vec::new(), true);
    let mut at = 0;
    while at < text.len() {
        if text[at].is_ascii_whitespace() {
            at += 1;
            continue;
        }
        let token = token(text, at);
        assert!(token.end() > at, "a token must advance");
        (at, closed) = (token.end(), token.closed);
        if token.kind != Kind::Comment {
            code.push(token);
        }
    }
    (code, closed)
}

fn token(text: &[u8], start: usize) -> Token {
    let next = |offset: usize| text.get(start + offset).copied().unwrap_or(0);
    let first = text[start];
    let (kind, (end, closed)) = match first {
        b'\'' => (Kind::Text, literal(text, start + 1, false)),
        b'"' => (Kind::QuotedName, quoted(text, start + 1, b'"', false)),
        b'-' if next(1) == b'-' => (Kind::Comment, (line_end(text, start), true)),
        b'/' if next(1) == b'*' => (Kind::Comment, block_comment(text, start)),
        b'$' if let Some(tag) = dollar_tag(text, start) => (Kind::Dollar, dollar(text, start, tag)),
        b'E' | b'e' if next(1) == b'\'' => (Kind::Text, literal(text, start + 2, true)),
        b'B' | b'b' | b'X' | b'x' | b'N' | b'n' if next(1) == b'\'' => {
            (Kind::Text, literal(text, start + 2, false))
        }
        b'U' | b'u' if next(1) == b'&' && next(2) == b'\'' => {
            (Kind::Text, literal(text, start + 3, false))
        }
        b'0'..=b'9' => (Kind::Number, (run(text, start, is_number), true)),
        b'$' if next(1).is_ascii_digit() => {
            (Kind::Parameter, (run(text, start + 1, |byte| byte.is_ascii_digit()), true))
        }
        _ if is_word(first) => (Kind::Word, (run(text, start, is_word), true)),
        _ => (Kind::Sign(first), (start + 1, true)),
    };
    Token { kind, closed, from: start as u32, to: end as u32 }
}

/// To the end of a literal, over line breaks behind which it goes on.
fn literal(text: &[u8], from: usize, backslash: bool) -> (usize, bool) {
    let (mut end, mut closed) = quoted(text, from, b'\'', backslash);
    while closed && let Some(next) = continued(text, end) {
        (end, closed) = quoted(text, next, b'\'', backslash);
    }
    (end, closed)
}

/// Behind the quote that goes on after `from`: blanks with a line break, then comments of a line.
fn continued(text: &[u8], from: usize) -> Option<usize> {
    let (mut at, mut broken) = (from, false);
    loop {
        match text.get(at)? {
            b'\n' | b'\r' => broken = true,
            b' ' | b'\t' | 0x0b | 0x0c => {}
            b'\'' if broken => return Some(at + 1),
            b'-' if text.get(at + 1) == Some(&b'-') => {
                at = line_end(text, at);
                continue;
            }
            _ => return None,
        }
        at += 1;
    }
}

/// To the closing quote; a doubled one stands for itself, a backslash escapes if it may.
fn quoted(text: &[u8], from: usize, quote: u8, backslash: bool) -> (usize, bool) {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        at += 1;
        if backslash && byte == b'\\' {
            at += 1;
        } else if byte == quote {
            if text.get(at) != Some(&quote) {
                return (at, true);
            }
            at += 1;
        }
    }
    (text.len(), false)
}

fn line_end(text: &[u8], from: usize) -> usize {
    memchr::memchr2(b'\n', b'\r', &text[from..]).map_or(text.len(), |end| from + end)
}

/// PostgreSQL's comments nest.
fn block_comment(text: &[u8], start: usize) -> (usize, bool) {
    let (mut at, mut depth) = (start + 2, 1);
    while at < text.len() {
        if text[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return (at, true);
            }
        } else {
            at += 1;
        }
    }
    (text.len(), false)
}

/// The length of `$tag$`, if one starts here.
fn dollar_tag(text: &[u8], start: usize) -> Option<usize> {
    let rest = &text[start + 1..];
    let name = rest.iter().take_while(|&&byte| is_word(byte) && byte != b'$').count();
    let starts_well = !rest.first().is_some_and(u8::is_ascii_digit);
    (starts_well && rest.get(name) == Some(&b'$')).then_some(name + 2)
}

fn dollar(text: &[u8], start: usize, tag: usize) -> (usize, bool) {
    let body = start + tag;
    match memchr::memmem::find(&text[body..], &text[start..body]) {
        Some(end) => (body + end + tag, true),
        None => (text.len(), false),
    }
}

fn run(text: &[u8], start: usize, is_part: impl Fn(u8) -> bool) -> usize {
    start + text[start..].iter().take_while(|&&byte| is_part(byte)).count()
}

fn is_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_')
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[&str]) {
        let (found, _) = code(text.as_bytes());
        let parts: Vec<_> = found.iter().map(|token| &text[token.start()..token.end()]).collect();
        assert_eq!(parts, expect);
    }

    #[test]
    fn quotes_end_where_postgres_ends_them() {
        check("a 'b''c' d", &["a", "'b''c'", "d"]);
        check(r"'b\' d", &[r"'b\'", "d"]);
        check(r"E'b\'c' d", &[r"E'b\'c'", "d"]);
        check("$x$ '$y$' $x$;", &["$x$ '$y$' $x$", ";"]);
        check("a$b$c $1 $$z$$", &["a$b$c", "$1", "$$z$$"]);
        check("\"a\"\"b\"--c\n/* /* */ */1.5e3", &["\"a\"\"b\"", "1.5e3"]);
    }

    #[test]
    fn what_does_not_end_is_marked() {
        for text in ["'a", "\"a", "E'a\\", "$$a", "/* /* */", "U&'"] {
            let (found, closed) = code(text.as_bytes());
            assert!(!closed, "{text}");
            assert!(found.last().is_none_or(|token| token.end() == text.len()), "{text}");
        }
    }
}
