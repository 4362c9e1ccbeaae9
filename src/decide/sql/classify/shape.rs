//! The shape of a text: the text with plain literals and comments replaced by marks.
//!
//! In: a text. Out: a key, or no: then the text itself is the key. Never: one key for two texts
//! that the parser would treat differently. In doubt it declines; declining costs a parse, a wrong
//! key would cost a decision.
//!
//! A mark stands for an integer that fits 32 bits, another number, a string, a comment. The
//! grammar takes 32-bit integers where it takes no other number, so these two marks differ. It
//! looks at the value of a literal in `float(n)` only, and `functions` only at those of
//! `set_config`: texts with these words are declined, as is everything that is no query or DML,
//! every string that is not a plain one, every second statement.
//!
//! A text whose literals are large is parsed by its shape too, with small literals for the marks.

use crate::limits;

const INTEGER: u8 = 1;
const NUMBER: u8 = 2;
const STRING: u8 = 3;
const BLOCK_COMMENT: u8 = 4;
const LINE_COMMENT: u8 = 5;

/// The key of a text is at most as long; that of a long one is mostly much shorter.
const KEY_BYTES_RESERVED: usize = 64 << 10;

/// A text with this key, with the smallest literals in the places of the marks.
pub(super) fn example(key: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(key.len());
    for &byte in key {
        match byte {
            INTEGER => text.push(b'0'),
            NUMBER => text.extend_from_slice(b"0.5"),
            STRING => text.extend_from_slice(b"''"),
            BLOCK_COMMENT => text.extend_from_slice(b"/**/"),
            LINE_COMMENT => text.extend_from_slice(b"--"),
            byte => text.push(byte),
        }
    }
    text
}

/// Shortens lists in a key: of constants, and of equal rows, the first two stay. What a statement
/// does and names is the same for two as for a hundred thousand.
pub(super) fn shorten(key: &mut Vec<u8>) {
    let constants = shortened(key, constant);
    *key = shortened(&constants, row);
}

fn shortened(key: &[u8], item: fn(&[u8]) -> Option<usize>) -> Vec<u8> {
    let mut short = Vec::with_capacity(key.len());
    let mut rest = key;
    while let Some(&byte) = rest.first() {
        if byte == b'"' {
            let length = memchr::memchr(b'"', rest.get(1..).unwrap_or_default());
            let length = length.map_or(rest.len(), |length| length + 2);
            rest = take(rest, length, &mut short);
            continue;
        }
        let Some(length) = item(rest) else {
            rest = take(rest, 1, &mut short);
            continue;
        };
        let first = rest.get(..length).unwrap_or_default();
        rest = take(rest, length, &mut short);
        let mut count = 1;
        while let Some((gap, length)) = next_item(rest, item) {
            let next = rest.get(gap..gap + length).unwrap_or_default();
            // Rows are equal byte by byte; constants are all alike.
            if next.first() == Some(&b'(') && next != first {
                break;
            }
            count += 1;
            match count {
                2 => rest = take(rest, gap + length, &mut short),
                _ => rest = rest.get(gap + length..).unwrap_or_default(),
            }
        }
    }
    short
}

fn take<'k>(rest: &'k [u8], length: usize, to: &mut Vec<u8>) -> &'k [u8] {
    let (taken, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    to.extend_from_slice(taken);
    after
}

/// Length of a comma with its blanks, and of the item behind it.
fn next_item(rest: &[u8], item: fn(&[u8]) -> Option<usize>) -> Option<(usize, usize)> {
    let blanks = |bytes: &[u8]| bytes.iter().take_while(|&&byte| is_space(byte)).count();
    let before = blanks(rest);
    if rest.get(before) != Some(&b',') {
        return None;
    }
    let gap = before + 1 + blanks(rest.get(before + 1..)?);
    Some((gap, item(rest.get(gap..)?)?))
}

/// Length of a literal with its sign, or of a parameter.
fn constant(rest: &[u8]) -> Option<usize> {
    match rest {
        [INTEGER | NUMBER | STRING, ..] => Some(1),
        [b'-', INTEGER | NUMBER, ..] => Some(2),
        [b'$', digits @ ..] => {
            Some(1 + digits.iter().take_while(|digit| digit.is_ascii_digit()).count())
        }
        _ => None,
    }
}

/// Length of something in brackets that has none inside.
fn row(rest: &[u8]) -> Option<usize> {
    let inside = rest.strip_prefix(b"(")?;
    let end = memchr::memchr3(b'(', b')', b'"', inside)?;
    (inside.get(end) == Some(&b')')).then_some(end + 2)
}

/// Writes the key of `text` to `key`, which is empty. `false` if the text has to be its own key;
/// `key` then holds nothing of use. Lists of a long key are shortened on the way, so that it is
/// never much longer than what may be parsed.
pub(super) fn shape(text: &[u8], key: &mut Vec<u8>) -> bool {
    if std::str::from_utf8(text).is_err() {
        return false;
    }
    key.reserve(text.len().min(KEY_BYTES_RESERVED) + 1);
    shape_in(text, key, KEY_BYTES_RESERVED)
}

/// As `shape`; `room` is the length above which the key is shortened the first time.
fn shape_in(text: &[u8], key: &mut Vec<u8>, room: usize) -> bool {
    Lexer { text, at: 0, from: 0, key, room, first_word: true }.run().is_some()
}

struct Lexer<'a> {
    text: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// Bytes from here up to `at` belong into the key as they are.
    from: usize,
    key: &'a mut Vec<u8>,
    /// The key is shortened when it is longer.
    room: usize,
    first_word: bool,
}

/// Kinds of bytes, as PostgreSQL's scan.l sees them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Blanks, operators, brackets.
    Plain,
    Word,
    Digit,
    Dot,
    Quote,
    DoubleQuote,
    Dollar,
    Minus,
    Slash,
    Semicolon,
    /// Control characters and the backslash.
    Odd,
}

const KINDS: [Kind; 256] = {
    let mut kinds = [Kind::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Kind::Plain,
            0..b' ' | b'\\' => Kind::Odd,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Kind::Word,
            b'0'..=b'9' => Kind::Digit,
            b'.' => Kind::Dot,
            b'\'' => Kind::Quote,
            b'"' => Kind::DoubleQuote,
            b'$' => Kind::Dollar,
            b'-' => Kind::Minus,
            b'/' => Kind::Slash,
            b';' => Kind::Semicolon,
            _ => Kind::Plain,
        };
        byte += 1;
    }
    kinds
};

fn kind(byte: u8) -> Kind {
    KINDS[usize::from(byte)]
}

fn continues_word(byte: u8) -> bool {
    matches!(kind(byte), Kind::Word | Kind::Digit | Kind::Dollar)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

impl Lexer<'_> {
    fn run(&mut self) -> Option<()> {
        while let Some(&byte) = self.text.get(self.at) {
            if self.key.len() + (self.at - self.from) > self.room {
                self.shorten()?;
            }
            let next = self.text.get(self.at + 1).copied();
            match kind(byte) {
                Kind::Plain => self.at += 1,
                Kind::Word => self.word()?,
                Kind::Digit => self.number()?,
                Kind::Dot if next.is_some_and(|byte| byte.is_ascii_digit()) => self.number()?,
                Kind::Quote => self.string()?,
                Kind::DoubleQuote => self.quoted_name()?,
                Kind::Dollar => self.parameter()?,
                Kind::Minus if next == Some(b'-') => self.line_comment()?,
                Kind::Slash if next == Some(b'*') => self.block_comment()?,
                Kind::Dot | Kind::Minus | Kind::Slash => self.at += 1,
                Kind::Semicolon => {
                    self.end()?;
                    break;
                }
                Kind::Odd => return None,
            }
        }
        self.flush();
        // Nothing but blanks and comments is cheap to parse and needs no shape.
        (!self.first_word).then_some(())
    }

    fn flush(&mut self) {
        self.key.extend_from_slice(self.text.get(self.from..self.at).unwrap_or_default());
    }

    /// Replaces the next bytes by a mark.
    fn mark(&mut self, mark: u8, length: usize) {
        self.flush();
        self.key.push(mark);
        self.at += length;
        self.from = self.at;
    }

    /// Between two tokens. What is shortened here would be shortened at the end of the text: of a
    /// list all but the first two are dropped, however many follow. Of a key that is too long by
    /// more than it may have, only the row at its end could still be dropped.
    fn shorten(&mut self) -> Option<()> {
        self.flush();
        self.from = self.at;
        shorten(self.key);
        self.room = self.room.max(2 * self.key.len());
        (self.key.len() <= 2 * limits::PARSED_TEXT_BYTES_MAX).then_some(())
    }

    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let length = rest.iter().position(|&byte| !continues_word(byte)).unwrap_or(rest.len());
        let (word, follows) = rest.split_at_checked(length)?;
        // E'..', B'..', X'..', N'..', U&'..', U&".."
        if matches!(follows, [b'\'', ..] | [b'&', b'\'' | b'"', ..]) {
            return None;
        }
        if self.first_word {
            const SHAPED: [&[u8]; 7] =
                [b"SELECT", b"INSERT", b"UPDATE", b"DELETE", b"WITH", b"VALUES", b"MERGE"];
            if !SHAPED.iter().any(|shaped| word.eq_ignore_ascii_case(shaped)) {
                return None;
            }
            self.first_word = false;
        }
        let value_matters = match length {
            5 => word.eq_ignore_ascii_case(b"float"),
            10 => word.eq_ignore_ascii_case(b"set_config"),
            _ => false,
        };
        self.at += length;
        (!value_matters).then_some(())
    }

    /// `12`, `1.5`, `.5`, `5.`; exponents, other bases and separators are declined.
    fn number(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let whole = digits(rest);
        let mut length = whole;
        let mut fraction = false;
        if rest.get(length) == Some(&b'.') {
            fraction = true;
            length += 1 + digits(rest.get(length + 1..)?);
        }
        match rest.get(length) {
            // `1..2` in PL/pgSQL, `1.2.3`, `12abc`.
            Some(&byte) if byte == b'.' || continues_word(byte) => return None,
            _ => {}
        }
        let small = || {
            let digits = std::str::from_utf8(rest.get(..whole)?).ok()?;
            digits.parse::<u64>().ok().filter(|&value| value <= i32::MAX as u64)
        };
        let mark = if !fraction && small().is_some() { INTEGER } else { NUMBER };
        self.mark(mark, length);
        Some(())
    }

    /// A plain string: a backslash is a character like any other, as to the parser.
    fn string(&mut self) -> Option<()> {
        let rest = self.text.get(self.at + 1..)?;
        let mut length = 0;
        loop {
            let after = rest.get(length..)?;
            let found = memchr::memchr2(b'\'', 0, after)?;
            if after.get(found) != Some(&b'\'') {
                return None;
            }
            length += found + 1;
            // Two quotes are one inside the string.
            match rest.get(length) {
                Some(b'\'') => length += 1,
                Some(_) | None => break,
            }
        }
        self.mark(STRING, length + 1);
        Some(())
    }

    fn quoted_name(&mut self) -> Option<()> {
        let rest = self.text.get(self.at + 1..)?;
        let end = memchr::memchr2(b'"', 0, rest)?;
        let text = rest.get(..end)?;
        // `"set_config"` is that function too.
        if rest.get(end) != Some(&b'"') || text == b"set_config" {
            return None;
        }
        self.at += end + 2;
        Some(())
    }

    /// `$1` stays as it is; `$tag$` is declined.
    fn parameter(&mut self) -> Option<()> {
        let rest = self.text.get(self.at + 1..)?;
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 || rest.get(length).is_some_and(|&byte| continues_word(byte)) {
            return None;
        }
        self.at += length + 1;
        Some(())
    }

    /// Replaced up to its line end, which stays: it may join two strings.
    fn line_comment(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let length = memchr::memchr3(b'\n', b'\r', 0, rest).unwrap_or(rest.len());
        self.mark(LINE_COMMENT, length);
        Some(())
    }

    fn block_comment(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let mut length = 2;
        let mut depth = 1;
        while depth > 0 {
            let after = rest.get(length..)?;
            let found = memchr::memchr3(b'*', b'/', 0, after)?;
            length += found;
            match rest.get(length..)? {
                [b'*', b'/', ..] => (depth, length) = (depth - 1, length + 2),
                [b'/', b'*', ..] => (depth, length) = (depth + 1, length + 2),
                [0, ..] => return None,
                _ => length += 1,
            }
        }
        self.mark(BLOCK_COMMENT, length);
        Some(())
    }

    /// After `;` only blanks may come.
    fn end(&mut self) -> Option<()> {
        let rest = self.text.get(self.at + 1..)?;
        self.at = self.text.len();
        rest.iter().all(|&byte| is_space(byte) || byte == b';').then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        let mut key = Vec::new();
        let shaped = shape(text.as_bytes(), &mut key);
        let shown = String::from_utf8(key)
            .unwrap()
            .replace('\u{1}', "<i>")
            .replace('\u{2}', "<n>")
            .replace('\u{3}', "<s>")
            .replace('\u{4}', "<c>")
            .replace('\u{5}', "<l>");
        assert_eq!(shaped.then_some(shown.as_str()), expect, "{text}");
    }

    #[test]
    fn plain_literals_are_replaced() {
        check("SELECT 1", Some("SELECT <i>"));
        check("select a from t where b=12345;", Some("select a from t where b=<i>;"));
        check("SELECT a1, _2, x$3 FROM t", Some("SELECT a1, _2, x$3 FROM t"));
        check("SELECT 1.5, .5, 5., 3000000000", Some("SELECT <n>, <n>, <n>, <n>"));
        check("SELECT 2147483647, 2147483648", Some("SELECT <i>, <n>"));
        check("SELECT 'a', '', 'it''s', ''''", Some("SELECT <s>, <s>, <s>, <s>"));
        check("SELECT $1, $23::int", Some("SELECT $1, $23::int"));
        check("SELECT \"a'1\" FROM \"T\"", Some("SELECT \"a'1\" FROM \"T\""));
        check("(SELECT 1) ; \n", Some("(SELECT <i>) ; \n"));
        check("SELECT 'a'\n'b'", Some("SELECT <s>\n<s>"));
        check("SELECT 'a\\b', '\\'", Some("SELECT <s>, <s>"));
        check("SELECT a[1:2]", Some("SELECT a[<i>:<i>]"));
        check("SELECT -1-1", Some("SELECT -<i>-<i>"));
        check("SELECT '\u{e9}', \u{e9}", Some("SELECT <s>, \u{e9}"));
    }

    #[test]
    fn lists_are_shortened() {
        fn check(text: &str, expect: &str) {
            let (mut key, mut expected) = (Vec::new(), Vec::new());
            assert!(shape(text.as_bytes(), &mut key) && shape(expect.as_bytes(), &mut expected));
            shorten(&mut key);
            assert_eq!(String::from_utf8(key), String::from_utf8(expected), "{text}");
        }
        check("SELECT 1", "SELECT 1");
        check("SELECT f(1), f(1, 2)", "SELECT f(1), f(1, 2)");
        check("SELECT a IN (1, 2 ,3,\n-4, 'x', $7)", "SELECT a IN (1, 2)");
        check("VALUES (1, 'a'), (2, 'b'), (3, 'c')", "VALUES (1, 'a'), (2, 'b')");
        check("VALUES (1, now()), (2, f()), (3, g())", "VALUES (1, now()), (2, f()), (3, g())");
        check("VALUES (1, a), (1, b), (1, b), (1, b)", "VALUES (1, a), (1, b), (1, b)");
        check("SELECT 1, 2, 3, f('x'), 4", "SELECT 1, 2, f('x'), 4");
        check("SELECT \"1,2(\", 1, 2, 3", "SELECT \"1,2(\", 1, 2");
    }

    proptest! {
        /// Wherever a key is shortened on the way, it ends as one that is shortened at its end.
        #[test]
        fn keys_are_shortened_on_the_way_as_at_the_end(
            parts in proptest::collection::vec(proptest::sample::select(&[
                "1", "-2", "'x'", "$7", "a", "(", ")", ",", ", ", "(1, 2)", "(a, 3)", "\"b,(\"", "-- c\n",
                "/* d */", "f(1, 1, 1)", " IN ", "(1, 'y', $1),",
            ][..]), 0..60),
            room in 0usize..100,
        ) {
            let text = format!("SELECT {}", parts.concat());
            let (mut key, mut on_the_way) = (Vec::new(), Vec::new());
            let is_shaped = shape(text.as_bytes(), &mut key);
            prop_assert_eq!(is_shaped, shape_in(text.as_bytes(), &mut on_the_way, room));
            if is_shaped {
                shorten(&mut key);
                shorten(&mut on_the_way);
                prop_assert_eq!(String::from_utf8(key), String::from_utf8(on_the_way), "{}", text);
            }
        }
    }

    #[test]
    fn comments_are_replaced() {
        check("SELECT 1 -- it's", Some("SELECT <i> <l>"));
        check("SELECT 1 -- x\n, 2", Some("SELECT <i> <l>\n, <i>"));
        check("/* a 'b' */ SELECT 1", Some("<c> SELECT <i>"));
        check("SELECT /* /* in */ 'x' */ 1", Some("SELECT <c> <i>"));
        check("SELECT 2*/* x */3", Some("SELECT <i>*<c><i>"));
        check("SELECT 1 /* open", None);
        check("SELECT 1 /* /* */", None);
    }

    #[test]
    fn what_is_odd_is_declined() {
        check("", None);
        check("  -- nothing", None);
        check("SET a = 'b'", None);
        check("COPY t TO STDOUT (DELIMITER ',')", None);
        check("EXPLAIN SELECT 1", None);
        check("PREPARE p AS SELECT 1", None);
        check("SELECT 1; SET ROLE 'x'", None);
        check("; SELECT 1", None);
        check("SELECT E'a'", None);
        check("SELECT e'a'", None);
        check("SELECT U&'a', 1", None);
        check("SELECT U&\"a\"", None);
        check("SELECT B'1'", None);
        check("SELECT N'a'", None);
        check("SELECT 'open", None);
        check("SELECT \"open", None);
        check("SELECT $$a$$", None);
        check("SELECT $t$a$t$", None);
        check("SELECT $1a", None);
        check("SELECT 1a", None);
        check("SELECT 1e5", None);
        check("SELECT 0x1F", None);
        check("SELECT 1_000", None);
        check("SELECT 1..2", None);
        check("SELECT 1.2.3", None);
        check("SELECT a \\ b", None);
        check("SELECT CAST(a AS float(3))", None);
        check("SELECT pg_catalog.SET_CONFIG('a', 'b', true)", None);
        check("SELECT \"set_config\"('a', 'b', true)", None);
        check("SELECT 1\0", None);
        check("SELECT '\0'", None);
        check("SELECT 1 -- \0", None);
        check("SELECT \u{1}", None);
    }

    #[test]
    fn an_example_has_the_key_it_was_made_of() {
        for text in [
            "SELECT 1, -2.5, .5, 'it''s', 'a'\n'b' FROM t -- x\nWHERE a = $1 /* y */ LIMIT 3",
            "INSERT INTO t VALUES ('\\x00ff'::bytea, 3000000000)",
            "SELECT 2*/* x */3---1\n",
        ] {
            let (mut key, mut again) = (Vec::new(), Vec::new());
            assert!(shape(text.as_bytes(), &mut key), "{text}");
            assert!(shape(&example(&key), &mut again), "{text}");
            assert_eq!(key, again, "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_are_declined() {
        let mut key = Vec::new();
        assert!(!shape(b"SELECT '\xff'", &mut key));
    }
}
