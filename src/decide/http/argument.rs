//! Arguments of a call as rules see them: `path=value`, and what else a server may read there.
//!
//! In: the object of arguments; patterns of rules. Out: facts; whether a condition on them holds.
//! Never: an argument that two servers read differently, as one of them.
//!
//! A rule that allows goes by what is written. Servers are more generous: the official SDKs take
//! `" 13"`, `"+13"` and `"13.0"` for a whole number, `"yes"` for true, a text that is JSON for the
//! list that it says (pydantic's lax mode and `pre_parse_json` of the Python SDK, `z.coerce` of the
//! TypeScript SDK), `Path` for `path` (Go's `encoding/json`), a list of one for its value. What
//! they may read so is a fact that only rules that deny or hold look at.
//!
//! ```text
//!   "filter": "[{\"name\": \" 13\"}]"
//!       is     filter=[{"name": " 13"}]                    allow, deny, hold
//!       maybe  filter.0.name= 13   filter.0.name=13        deny, hold
//!              filter.name= 13     filter.name=13
//! ```

use super::spelling;
use crate::decide::action::{Act, Fact, FactKind, Reading};
use crate::identify::glob::glob_bytes;
use crate::limits::{MCP_ARGUMENT_BYTES_SPARE, MCP_ARGUMENTS_MAX, MCP_EMBEDDED_DEPTH_MAX};
use crate::wire::http::head::Span;
use crate::wire::http::json::{self, Segment, Token, Walk, Wrong, text};
use crate::wire::http::jsonrpc::raw;

/// Each value of the arguments as `path=value`: `query=SELECT 1`, `filter.0.name=x`. Dots, equal
/// signs, question marks and backslashes of keys are written with a backslash, so that no key looks
/// like a path or like the mark of what may be left out.
pub(super) fn read(body: &[u8], object: Span) -> Vec<Fact> {
    let object = raw(body, object);
    // Each value is there with its whole path, and in every reading: twice what was said is a lot.
    let bytes_left = object.len() * 2 + MCP_ARGUMENT_BYTES_SPARE;
    let mut facts = Facts { list: Vec::new(), bytes_left, is_clear: true };
    if facts.walk(&mut Walk::strict(), object, (&Path::default(), 0)).is_err() {
        facts.is_clear = false;
    }
    if !facts.is_clear {
        facts.list.push(Fact::unclear(FactKind::Argument));
    }
    facts.list
}

/// Whether a condition on arguments holds. An allowing rule wants every argument to be meant by a
/// pattern, and every pattern but those marked with `?` to mean an argument: what is left out has
/// the value that the server chooses.
pub(in crate::decide) fn says(act: &Act, patterns: &[String], allows: bool) -> bool {
    let of = |kind: FactKind| act.facts.iter().filter(move |fact| fact.kind == kind);
    let mut readings = of(FactKind::Argument).map(|fact| &fact.reading);
    if !allows {
        return readings.any(|reading| match reading {
            Reading::Is(value) | Reading::Maybe(value) => {
                patterns.iter().any(|pattern| may_mean(pattern.as_bytes(), value))
            }
            Reading::Every
            | Reading::Below(_)
            | Reading::MaybeBelow(_)
            | Reading::Like(_)
            | Reading::Unclear => true,
        });
    }
    // What is no call of a tool has no arguments that could be meant.
    if of(FactKind::Tool).next().is_none() {
        return false;
    }
    let meant = |reading: &Reading| match reading {
        Reading::Is(value) => patterns.iter().any(|pattern| allows_it(pattern.as_bytes(), value)),
        Reading::Maybe(_) | Reading::MaybeBelow(_) | Reading::Like(_) => true,
        Reading::Every | Reading::Below(_) | Reading::Unclear => false,
    };
    let is_there = |pattern: &String| {
        let (_, is_needed, _) = parts(pattern.as_bytes());
        let mut values = of(FactKind::Argument).filter_map(|fact| match &fact.reading {
            Reading::Is(value) => Some(value),
            _ => None,
        });
        !is_needed || values.any(|value| allows_it(pattern.as_bytes(), value))
    };
    readings.all(meant) && patterns.iter().all(is_there)
}

/// A pattern or a fact: its path, whether it must be there, its value if it has one.
fn parts(written: &[u8]) -> (&[u8], bool, Option<&[u8]>) {
    let mut is_escaped = false;
    let sign = written.iter().position(|&byte| {
        let ends = byte == b'=' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    let (path, value) = match sign {
        Some(at) => (written.get(..at).unwrap_or(&[]), written.get(at + 1..)),
        None => (written, None),
    };
    match path.strip_suffix(b"?") {
        Some(path) if !path.ends_with(b"\\") => (path, false, value),
        _ => (path, true, value),
    }
}

/// What a rule that allows takes: the path for the path, the value for the value.
fn means(pattern: &[u8], fact: &[u8]) -> bool {
    let ((path, _, value), (at, _, is)) = (parts(pattern), parts(fact));
    match value {
        Some(value) => glob_bytes(path, at) && glob_bytes(value, is.unwrap_or(&[])),
        None => glob_bytes(path, fact),
    }
}

/// The same for a rule that allows. Stars behind the beginning of a path stand for what is below
/// it, so nothing that may lead elsewhere is meant.
fn allows_it(pattern: &[u8], fact: &[u8]) -> bool {
    let ((_, _, value), (_, _, is)) = (parts(pattern), parts(fact));
    let is_below = value.is_some_and(|value| {
        let begins = value.starts_with(b"/") || value.starts_with(b"file:");
        begins && value.contains(&b'*')
    });
    means(pattern, fact) && !(is_below && spelling::leads_elsewhere(is.unwrap_or(&[])))
}

/// What a rule that denies or holds takes, too: paths in other letters, lists of one where there is
/// none and none where there is one, schemes and hosts in other letters, stars over the `=`.
fn may_mean(pattern: &[u8], fact: &[u8]) -> bool {
    let flat = fact.strip_prefix(FLAT);
    let fact = flat.unwrap_or(fact);
    if means(pattern, fact) || glob_bytes(pattern, fact) {
        return true;
    }
    let ((path, _, value), (at, _, is)) = (parts(pattern), parts(fact));
    let is = is.unwrap_or(&[]);
    let is_met = value.is_none_or(|value| {
        let is_url = || memchr::memmem::find(value, b"://").is_some();
        glob_bytes(value, is)
            || is_truth(value, is)
            || (is_url() && glob_bytes(&folded(value), &folded(is)))
    });
    // A place of a list is no other one: of several values the first is not the second.
    let one = |path: &[u8]| match flat {
        Some(_) => folded(path),
        None => unlisted(&folded(path)),
    };
    is_met && glob_bytes(&one(path), &one(at))
}

/// Whether a value is taken for this truth by what JavaScript makes of any value (ECMA-262,
/// ToBoolean; `z.coerce.boolean()`, `if (value)`).
fn is_truth(truth: &[u8], is: &[u8]) -> bool {
    let is_nothing = matches!(is, b"" | b"0" | b"null" | b"false");
    match truth {
        b"true" => !is_nothing,
        b"false" => is_nothing,
        _ => false,
    }
}

/// What a path begins with that leaves out places in lists.
const FLAT: &[u8] = b"\0";

/// A path without the places of lists of one.
fn unlisted(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'.').filter(|segment| *segment != b"0");
    segments.collect::<Vec<_>>().join(&b'.')
}

/// A path in small letters, the Kelvin sign and the long s as the letters that they fold to
/// (encoding/json of Go, `foldName`).
pub(super) fn folded(path: &[u8]) -> Vec<u8> {
    let said = String::from_utf8_lossy(path);
    let letters = said.chars().flat_map(char::to_lowercase);
    letters.map(|letter| if letter == '\u{17f}' { 's' } else { letter }).collect::<String>().into()
}

/// What was read so far.
struct Facts {
    list: Vec<Fact>,
    /// For facts that follow.
    bytes_left: usize,
    is_clear: bool,
}

impl Facts {
    /// Adds what an object or list has, below `base`. Within a text, which `depth` counts, all of
    /// it only may be so.
    fn walk(
        &mut self,
        walk: &mut Walk,
        object: &[u8],
        (base, depth): (&Path, usize),
    ) -> Result<(), Wrong> {
        let mut empty = true;
        json::walk::<Wrong>(walk, object, |walk, token, span| {
            let written = raw(object, span);
            let mut value = match token {
                Token::Key => return Ok(()),
                Token::Object | Token::Array => {
                    empty = true;
                    return Ok(());
                }
                Token::ObjectEnd if empty && walk.depth() > 0 => b"{}".to_vec(),
                Token::ArrayEnd if empty => b"[]".to_vec(),
                Token::ObjectEnd | Token::ArrayEnd => return Ok(()),
                Token::Text => Vec::new(),
                Token::Number | Token::True | Token::False | Token::Null => written.to_vec(),
            };
            empty = false;
            // Nothing is known of the others: to read them says nothing more.
            if self.is_full() {
                self.is_clear = false;
                return Err(Wrong::Depth);
            }
            if token == Token::Text {
                text::unescape(text::inner(object, span), &mut value);
            }
            self.is_clear &= token != Token::Number || is_plain_number(written);
            let path = base.with(walk);
            match depth {
                0 => self.push(Fact::is(FactKind::Argument, path.fact(&path.whole, &value))),
                _ => self.maybe(&path, &value),
            }
            self.readings(token, (&path, &value), depth);
            Ok(())
        })
    }

    /// What a server may take the value for.
    fn readings(&mut self, token: Token, (path, value): (&Path, &[u8]), depth: usize) {
        if path.whole != path.flat {
            self.maybe(path, value);
        }
        if !matches!(token, Token::Text | Token::Number | Token::True | Token::False | Token::Null)
        {
            return;
        }
        let Ok(said) = std::str::from_utf8(value) else { return };
        let others = [trimmed(said), number(token, said), octal(said)];
        for other in others.into_iter().flatten().chain(truths(token, said)) {
            self.maybe(path, other.as_bytes());
        }
        if token == Token::Text {
            for other in spelling::others(said) {
                self.maybe(path, other.as_bytes());
            }
            self.is_clear &= !spelling::is_anywhere(said);
        }
        let inner = spelling::trimmed(said).as_bytes();
        if token == Token::Text
            && depth < MCP_EMBEDDED_DEPTH_MAX
            && matches!(inner.first(), Some(b'{' | b'[' | b'"'))
        {
            // What is no JSON is a text and nothing else; what was read of it does no harm.
            let _ = self.walk(&mut Walk::new(), inner, (path, depth + 1));
        }
    }

    fn maybe(&mut self, path: &Path, value: &[u8]) {
        self.push(Fact::maybe(FactKind::Argument, path.fact(&path.whole, value)));
        if path.flat != path.whole {
            let flat = [FLAT, &path.flat].concat();
            self.push(Fact::maybe(FactKind::Argument, path.fact(&flat, value)));
        }
    }

    fn push(&mut self, fact: Fact) {
        let bytes_left = self.bytes_left.checked_sub(size(&fact));
        match bytes_left.filter(|_| self.list.len() < MCP_ARGUMENTS_MAX) {
            Some(bytes_left) => {
                self.bytes_left = bytes_left;
                self.list.push(fact);
            }
            None => {
                // A later one that is shorter is not told either: the path of each is as long.
                self.bytes_left = 0;
                self.is_clear = false;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.bytes_left == 0 || self.list.len() >= MCP_ARGUMENTS_MAX
    }
}

fn size(fact: &Fact) -> usize {
    match &fact.reading {
        Reading::Is(value) | Reading::Maybe(value) => value.len(),
        _ => 0,
    }
}

/// Where a value stands; `flat` leaves out places in lists.
#[derive(Clone, Debug, Default)]
struct Path {
    whole: Vec<u8>,
    flat: Vec<u8>,
}

impl Path {
    fn with(&self, walk: &Walk) -> Path {
        let mut path = self.clone();
        for segment in walk.path() {
            match segment {
                Segment::Index(index) => add(&mut path.whole, index.to_string().as_bytes()),
                Segment::Key(key) => {
                    let mut written = Vec::with_capacity(key.len());
                    for &byte in key {
                        if matches!(byte, b'.' | b'=' | b'?' | b'\\') {
                            written.push(b'\\');
                        }
                        written.push(byte);
                    }
                    add(&mut path.whole, &written);
                    add(&mut path.flat, &written);
                }
            }
        }
        path
    }

    fn fact(&self, path: &[u8], value: &[u8]) -> Vec<u8> {
        [path, b"=", value].concat()
    }
}

fn add(path: &mut Vec<u8>, segment: &[u8]) {
    if !path.is_empty() {
        path.push(b'.');
    }
    path.extend_from_slice(segment);
}

/// A number that has one spelling: `7` and `1.5`, not `7.0`, `1e3` or `-0`.
fn is_plain_number(number: &[u8]) -> bool {
    let is_digits = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let has_end = number.contains(&b'.') && number.last() == Some(&b'0');
    number.iter().all(is_digits) && !has_end && number != b"-0"
}

/// A text without the blanks around it, if it has any.
fn trimmed(said: &str) -> Option<String> {
    let trimmed = spelling::trimmed(said);
    (trimmed != said).then(|| trimmed.to_owned())
}

/// The number that a value may be taken for, in its plain spelling, if it is not written so.
fn number(token: Token, said: &str) -> Option<String> {
    let number = match token {
        Token::True => "1".to_owned(),
        Token::False | Token::Null => "0".to_owned(),
        _ if spelling::trimmed(said).is_empty() => "0".to_owned(),
        _ => plain(&digits(said))?,
    };
    (number != said).then_some(number)
}

/// The number that `013` is to those who read a zero in front as base 8: Go (`strconv.ParseInt`
/// with base 0), YAML 1.1, PHP's `intval` with base 0.
fn octal(said: &str) -> Option<String> {
    let digits = digits(said);
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let number = u128::from_str_radix(digits.strip_prefix('0')?, 8).ok()?;
    Some(format!("{sign}{number}"))
}

fn digits(said: &str) -> String {
    spelling::trimmed(said).replace('_', "").chars().map(digit).collect()
}

/// Digits of other scripts are digits to Python's `int` (Unicode, `Nd`).
fn digit(letter: char) -> char {
    #[rustfmt::skip]
    const ZEROS: [u32; 74] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
        0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
        0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0,
        0xff10, 0x104a0, 0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450,
        0x114d0, 0x11650, 0x116c0, 0x116d0, 0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50,
        0x11d50, 0x11da0, 0x11f50, 0x16a60, 0x16ac0, 0x16b50, 0x16d70, 0x1ccf0, 0x1d7ce, 0x1d7d8,
        0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0, 0x1e5f1, 0x1e950, 0x1fbf0,
    ];
    let value =
        ZEROS.iter().find_map(|zero| u32::from(letter).checked_sub(*zero).filter(|it| *it < 10));
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(letter)
}

fn plain(said: &str) -> Option<String> {
    let (sign, digits) = match said.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", said.strip_prefix('+').unwrap_or(said)),
    };
    let lower = digits.to_ascii_lowercase();
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = lower.strip_prefix(prefix) {
            return Some(format!("{sign}{}", u128::from_str_radix(digits, base).ok()?));
        }
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let short = digits.trim_start_matches('0');
        return Some(match short {
            "" => "0".to_owned(),
            short => format!("{sign}{short}"),
        });
    }
    let number: f64 = digits.parse().ok()?;
    // `Display` writes neither exponents nor a `.0`.
    (number.is_finite() && !digits.starts_with(['+', '-'])).then(|| format!("{sign}{number}"))
}

/// The truths that a value may be taken for. A text that says no is one, and so true to those who
/// ask whether there is something.
fn truths(token: Token, said: &str) -> impl Iterator<Item = String> {
    let word = match spelling::trimmed(said).to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some("true"),
        "false" | "f" | "no" | "n" | "off" | "0" => Some("false"),
        _ => None,
    };
    let word = word.filter(|_| matches!(token, Token::Text | Token::Number));
    let is_said = word == Some("false") && token == Token::Text;
    let words = word.into_iter().chain(is_said.then_some("true"));
    words.filter(move |word| *word != said).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(object: &str) -> Vec<Fact> {
        read(object.as_bytes(), Span { start: 0, len: object.len() as u32 })
    }

    fn said(object: &str) -> Vec<String> {
        let facts = facts(object);
        let words = facts.iter().filter_map(|fact| match &fact.reading {
            Reading::Is(value) => Some(String::from_utf8_lossy(value).into_owned()),
            Reading::Unclear => Some("?".to_owned()),
            _ => None,
        });
        words.collect()
    }

    fn holds(object: &str, patterns: &[&str], allows: bool) -> bool {
        let mut facts = facts(object);
        facts.push(Fact::is(FactKind::Tool, "tool"));
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        says(&Act { facts, ..Act::default() }, &patterns, allows)
    }

    #[test]
    fn arguments_are_paths_and_values() {
        assert_eq!(said("{}"), [""; 0]);
        assert_eq!(
            said(r#"{"a": "x\u0041", "b": [1, {"c": null}]}"#),
            ["a=xA", "b.0=1", "b.1.c=null"]
        );
        assert_eq!(
            said(r#"{"a": {}, "b": [], "c": [[]], "d": true}"#),
            ["a={}", "b=[]", "c.0=[]", "d=true"]
        );
    }

    #[test]
    fn no_key_looks_like_a_path_or_a_value() {
        assert_eq!(
            said(r#"{"a.b": 1, "a=1": 2, "a\\": 3, "a?": 4}"#),
            [r"a\.b=1", r"a\=1=2", r"a\\=3", r"a\?=4"]
        );
        assert!(!holds(r#"{"a=1": 2}"#, &["a=1*"], true));
        assert!(!holds(r#"{"a?": 4}"#, &["a?=4"], true));
        assert!(holds(r#"{"a?": 4}"#, &[r"a\?=4"], true));
    }

    #[test]
    fn what_has_several_spellings_is_unclear() {
        for number in ["1.0", "1e3", "-0", "1E3", "0.10"] {
            assert_eq!(said(&format!("{{\"a\":{number}}}")).last().unwrap(), "?", "{number}");
        }
        for number in ["1", "-7", "1.5", "0", "10", "100.05"] {
            assert_ne!(said(&format!("{{\"a\":{number}}}")).last().unwrap(), "?", "{number}");
        }
        let many: Vec<String> = (0..=MCP_ARGUMENTS_MAX).map(|at| at.to_string()).collect();
        let facts = facts(&format!("{{\"a\":[{}]}}", many.join(",")));
        assert_eq!(facts.len(), MCP_ARGUMENTS_MAX + 1);
        assert_eq!(facts.last().unwrap().reading, Reading::Unclear);
    }

    /// A path that every value has, a value of many readings.
    #[test]
    fn facts_take_no_more_than_twice_what_was_said() {
        let long = "k".repeat(100_000);
        let values = vec!["1"; MCP_ARGUMENTS_MAX / 2].join(",");
        let roots = "/proc/self/root".repeat(20_000);
        for said in [
            format!("{{\"{long}\":[{values}]}}"),
            format!("{{\"a\":\"{roots}\"}}"),
            format!("{{\"a\":\"{}\"}}", r#"{\"a\":1}"#.repeat(10_000).replace('"', "\\\"")),
        ] {
            let facts = facts(&said);
            let bytes: usize = facts.iter().map(size).sum();
            assert!(
                bytes <= said.len() * 2 + MCP_ARGUMENT_BYTES_SPARE,
                "{bytes} of {}",
                said.len()
            );
            let is_told = facts.iter().any(|fact| fact.reading == Reading::Unclear);
            assert_eq!(is_told, !said.contains("{\\\""), "{}", said.len());
        }
    }

    #[test]
    fn a_path_is_what_a_server_opens() {
        let opens = |value: &str, patterns: &[&str], allows| {
            let value = serde_json::Value::from(value);
            holds(&format!("{{\"path\": {value}}}"), patterns, allows)
        };
        for other in [
            "/srv/../etc/x",
            "/srv/a/../../etc/x",
            "/srv/%2e%2E/etc/x",
            "/srv/..\\etc",
            "/srv/./x",
            "/srv/x\0.txt",
            "/srv/..",
            "/srv/%2e%2e%2fetc/x",
        ] {
            assert!(!opens(other, &["path=/srv/*"], true), "{other}");
        }
        for good in ["/srv/x", "/srv/a/..b", "/srv/.hidden/x", "/srv//x", "/srv/a b"] {
            assert!(opens(good, &["path=/srv/*"], true), "{good}");
        }
        assert!(opens("/srv/./x", &["path=/srv/./x"], true), "as it is written");
        for other in [
            "/etc/x",
            "//etc/x",
            "/./etc/x",
            "/var/../etc/x",
            "/srv/../etc/x",
            "file:///etc/x",
            "/%2e/etc/x",
            "../../etc/x",
            "a/../../etc/x",
            "\\etc\\x",
            " /etc//x",
            "/etc/./x",
            "FILE:///%65tc/x",
            concat!("/proc/self/root", "/etc/x"),
            "/proc/self/cwd/x",
        ] {
            assert!(opens(other, &["path=/etc/*"], false), "{other}");
        }
        assert!(!opens(concat!("/proc/self/root", "/etc/x"), &["path=/proc/*"], true));
        assert!(opens("HTTPS://u@BANK.test./a", &["path=https://bank.test/*"], false));
        assert!(opens("https://bank.test/a", &["path=https://BANK.test/*"], false));
        assert!(!opens("https://bank.test.evil/a", &["path=https://bank.test/*"], false));
        assert!(!opens("HTTPS://BANK.test/a", &["path=https://bank.test/*"], true));
        for good in ["/srv/etc/x", "etc", "/var/etc/../x", "/etcetera/x"] {
            assert!(!opens(good, &["path=/etc/*"], false), "{good}");
        }
    }

    #[test]
    fn an_allowing_rule_names_every_argument_and_every_argument_is_there() {
        let patterns = ["db=test*", "n=5"];
        assert!(holds(r#"{"db": "test1", "n": 5}"#, &patterns, true));
        assert!(!holds(r#"{"db": "test1"}"#, &patterns, true));
        assert!(!holds(r#"{"n": 5}"#, &patterns, true));
        assert!(!holds("{}", &patterns, true));
        assert!(!holds(r#"{"db": "test1", "n": 5, "x": 1}"#, &patterns, true));
        assert!(!holds(r#"{"db": "prod", "n": 5}"#, &patterns, true));
        assert!(!holds(r#"{"db": "test1", "n": 6}"#, &patterns, true));
        let patterns = ["db=test*", "n?=5"];
        assert!(holds(r#"{"db": "test1"}"#, &patterns, true));
        assert!(holds(r#"{"db": "test1", "n": 5}"#, &patterns, true));
        assert!(!holds(r#"{"db": "test1", "n": 6}"#, &patterns, true));
        assert!(holds("{}", &["*?=*"], true));
        // A star does not reach over the sign.
        assert!(!holds(r#"{"ab": "x=13"}"#, &["a*=13"], true));
        assert!(!holds(r#"{"db": " test1"}"#, &["db=test*"], true));
        assert!(!holds(r#"{"DB": "test1"}"#, &["db=test*"], true));
    }

    #[test]
    fn what_is_no_call_has_no_arguments() {
        let act = Act::default();
        assert!(!says(&act, &["a?=*".to_owned()], true));
        assert!(!says(&act, &["*".to_owned()], false));
    }

    #[test]
    fn a_denied_value_is_denied_in_every_spelling_that_servers_take() {
        for value in [
            "13",
            "\"13\"",
            "\" 13\"",
            "\"13 \"",
            "\"\\n13\"",
            "\"+13\"",
            "\"013\"",
            "\"13.0\"",
            "\"1_3\"",
            "\"1.3e1\"",
            "\"0x0d\"",
            "\"0b1101\"",
            "\"0o15\"",
            "\"015\"",
            "\"\\ufeff13\"",
            "\"13\\u001c\"",
            "\"\\u200b13\"",
            "\"\u{1d7cf}\u{1d7d1}\"",
            "\"\u{1091}\u{1093}\"",
            "\"\u{ff11}\u{ff13}\"",
            "\"\\\"13\\\"\"",
            "[[13]]",
            "[13]",
            "\"[13]\"",
            "13.0",
            "1.3e1",
        ] {
            assert!(holds(&format!("{{\"a\": {value}}}"), &["a=13"], false), "{value}");
        }
        for value in ["14", "\"131\"", "\"x13\"", "\"\"", "true", "[1, 3]", "\"-13\""] {
            assert!(!holds(&format!("{{\"a\": {value}}}"), &["a=13"], false), "{value}");
        }
        for value in ["true", "1", "\"True\"", "\"yes\"", "\"on\"", "\"t\"", "\"1\"", "\" y\""] {
            assert!(holds(&format!("{{\"a\": {value}}}"), &["a=true"], false), "{value}");
        }
        for value in ["2", "\"x\"", "{}", "[]", "-1", "\"false\"", "\"0\""] {
            assert!(holds(&format!("{{\"a\": {value}}}"), &["a=true"], false), "{value}");
            assert!(!holds(&format!("{{\"a\": {value}}}"), &["a=true"], true), "{value}");
        }
        for value in ["false", "0", "null", "\"\"", "\"no\"", "\"OFF\"", "\"n\"", "\"f\""] {
            assert!(holds(&format!("{{\"a\": {value}}}"), &["a=false"], false), "{value}");
        }
        for value in ["false", "0", "null", "\"\""] {
            assert!(!holds(&format!("{{\"a\": {value}}}"), &["a=true"], false), "{value}");
        }
        assert!(holds(r#"{"a": ""}"#, &["a=0"], false));
        for value in ["10.1", "0x0a000001", "012.0.0.1", "::ffff:10.0.0.1", "10.0.0.1."] {
            let object = format!(r#"{{"host": "{value}"}}"#);
            assert!(holds(&object, &["host=10.0.0.1"], false), "{value}");
            assert!(!holds(&object, &["host=10.0.0.1"], true), "{value}");
        }
        for value in ["evil\\u001f", "\\ufeffevil", "evil\\u00a0"] {
            assert!(holds(&format!(r#"{{"a": "{value}"}}"#), &["a=evil"], false), "{value}");
        }
        assert!(holds(r#"{"a": 9007199254740993}"#, &["a=9007199254740993"], false));
        assert!(holds(r#"{"a": "09007199254740993"}"#, &["a=9007199254740993"], false));
    }

    #[test]
    fn json_in_a_text_counts_where_a_rule_denies() {
        let deny = |object: &str| holds(object, &["filter.0.name=prod*"], false);
        assert!(deny(r#"{"filter": [{"name": "prod1"}]}"#));
        assert!(deny(r#"{"filter": "[{\"name\": \"prod1\"}]"}"#));
        assert!(deny(r#"{"filter": " [{\"name\": \"prod1\"}]\n"}"#));
        assert!(deny(r#"{"filter": ["{\"name\": \"prod1\"}"]}"#));
        assert!(deny(r#"{"Filter": [{"NAME": "prod1"}]}"#));
        assert!(holds(r#"{"to\u212aen": "x"}"#, &["token=x"], false));
        assert!(holds(r#"{"pa\u017f\u017f": "x"}"#, &["Pass=x"], false));
        assert!(!holds(r#"{"pa\u017f\u017f": "x"}"#, &["pass=x"], true));
        assert!(deny(r#"{"filter": [{"name": ["prod1"]}]}"#));
        assert!(deny(r#"{"filter": {"name": "prod1"}}"#));
        assert!(deny(r#"{"filter": [[{"name": "prod1"}]]}"#));
        assert!(!holds(r#"{"args": ["ls", "rm"]}"#, &["args.0=rm"], false));
        assert!(deny(r#"{"filter": "[{\"name\": \"test\", \"name\": \"prod1\"}]"}"#));
        assert!(!deny(r#"{"filter": "[{\"name\": \"test1\"}]"}"#));
        assert!(!deny(r#"{"filter": "[INFO] prod1"}"#));
        assert!(holds(r#"{"path": ["/etc/passwd"]}"#, &["path=/etc/*"], false));
        // What is allowed is what is written.
        assert!(holds(r#"{"filter": "[{\"name\": \"x\"}]"}"#, &["filter=*"], true));
        assert!(!holds(r#"{"filter": "[1]"}"#, &["filter.0=1"], true));
    }

    #[test]
    fn nested_texts_end_somewhere() {
        let mut text = "[1]".to_owned();
        for _ in 0..6 {
            text = serde_json::to_string(&text).unwrap();
            text = format!("[{text}]");
        }
        let facts = facts(&format!("{{\"a\": {text}}}"));
        assert!(facts.len() < 32, "{}", facts.len());
    }
}
