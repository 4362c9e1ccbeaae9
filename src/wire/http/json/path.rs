//! Patterns of paths: `customer.ssn`, `items.*.price`, `**.password`.
//!
//! A segment is a key or a place in an array; `*` stands for any one, `**` for any number of them,
//! `*!a!b` for any one but `a` and `b`.
//! A pattern that fits a container fits all that is in it. Dots in keys are written `\.`, a star
//! that is a key `\*`. A leading `$.` is allowed and means nothing.
//!
//! The patterns are followed as the walk goes down: what was found out at a level is kept there.

use super::{Segment, Token, Walk};
use crate::limits::JSON_PATTERN_SEGMENTS_MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Key(String),
    Any,
    /// Any but these.
    But(Vec<String>),
    AnyDepth,
}

/// One pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence for the person who wrote it.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let body = text.strip_prefix("$.").unwrap_or(text);
        let (mut parts, mut part, mut plain) = (Vec::new(), String::new(), true);
        let mut letters = body.chars();
        loop {
            match letters.next() {
                Some('\\') => {
                    let escaped =
                        letters.next().ok_or(format!("{text:?} ends with a backslash"))?;
                    part.push(escaped);
                    plain = false;
                }
                Some(letter) if letter != '.' => part.push(letter),
                end => {
                    parts.push(match part.as_str() {
                        "" => return Err(format!("{text:?} has an empty segment")),
                        "*" if plain => Part::Any,
                        "**" if plain => Part::AnyDepth,
                        but if plain && but.starts_with("*!") => {
                            Part::But(but.split('!').skip(1).map(str::to_owned).collect())
                        }
                        _ => Part::Key(std::mem::take(&mut part)),
                    });
                    part.clear();
                    plain = true;
                    if end.is_none() {
                        break;
                    }
                }
            }
        }
        if parts.len() > JSON_PATTERN_SEGMENTS_MAX {
            return Err(format!("{text:?} has more than {JSON_PATTERN_SEGMENTS_MAX} segments"));
        }
        Ok(Pattern { parts })
    }

    /// Fits every value.
    pub fn everything() -> Pattern {
        Pattern { parts: vec![Part::AnyDepth] }
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Any => "*".to_owned(),
            Part::AnyDepth => "**".to_owned(),
            Part::But(names) => format!("*!{}", names.join("!")),
            Part::Key(key) => key.replace('\\', "\\\\").replace('.', "\\.").replace('*', "\\*"),
        });
        parts.collect::<Vec<_>>().join(".")
    }

    /// The same pattern for what stands below a place, which is a pattern itself.
    ///
    /// # Panics
    /// If `place` is none; it is written in the code.
    #[must_use]
    pub fn below(&self, place: &'static str) -> Pattern {
        let mut parts = Pattern::parse(place).expect("a place is a pattern").parts;
        parts.extend(self.parts.iter().cloned());
        Pattern { parts }
    }

    /// Whether the pattern begins with one of these names or, where it begins with a star, has none
    /// other at its end.
    pub fn is_one_of(&self, names: &[&str]) -> bool {
        let is_among = |part: &Part| match part {
            Part::Key(key) => names.contains(&key.as_str()),
            Part::Any | Part::But(_) | Part::AnyDepth => true,
        };
        match self.parts.first() {
            Some(Part::Key(key)) => names.contains(&key.as_str()),
            _ => self.parts.last().is_none_or(is_among),
        }
    }

    /// States before anything was read: bit n means that n parts were met.
    fn start(&self) -> u64 {
        self.skip(1)
    }

    /// `**` may stand for nothing.
    fn skip(&self, mut states: u64) -> u64 {
        for (at, part) in self.parts.iter().enumerate() {
            if *part == Part::AnyDepth && states >> at & 1 != 0 {
                states |= 1 << (at + 1);
            }
        }
        states
    }

    /// Whether the text ends with the last name of the pattern, in quotes.
    fn is_last_of(&self, text: &[u8]) -> bool {
        let Some(inner) = text.strip_suffix(b"\"").or(text.strip_suffix(b"'")) else {
            return false;
        };
        let inner = inner.strip_suffix(b"\\").unwrap_or(inner);
        let name = self.parts.iter().rev().find_map(|part| match part {
            Part::Key(key) => Some(key.as_bytes()),
            Part::Any | Part::But(_) | Part::AnyDepth => None,
        });
        name.is_none_or(|name| {
            inner
                .strip_suffix(name)
                .is_some_and(|rest| rest.ends_with(b"\"") || rest.ends_with(b"'"))
        })
    }

    fn is_met(&self, states: u64) -> bool {
        states >> self.parts.len() & 1 != 0
    }

    fn step(&self, states: u64, segment: Segment<'_>) -> u64 {
        // What is within a match is matched.
        let mut next = states & 1 << self.parts.len();
        for (at, part) in self.parts.iter().enumerate() {
            if states >> at & 1 == 0 {
                continue;
            }
            match part {
                Part::AnyDepth => next |= 1 << at | 1 << (at + 1),
                Part::Any => next |= 1 << (at + 1),
                Part::But(names) if names.iter().any(|name| is_segment(name, segment)) => {}
                Part::But(_) => next |= 1 << (at + 1),
                Part::Key(key) if is_segment(key, segment) => next |= 1 << (at + 1),
                Part::Key(_) => {}
            }
        }
        self.skip(next)
    }
}

fn is_segment(key: &str, segment: Segment<'_>) -> bool {
    match segment {
        Segment::Key(name) => name == key.as_bytes(),
        Segment::Index(index) => key.parse() == Ok(index),
    }
}

/// Several patterns that are followed together.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

impl Patterns {
    /// These.
    pub fn new(patterns: Vec<Pattern>) -> Patterns {
        Patterns { patterns }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a text that is no JSON has the last name of a pattern where a name stands: in
    /// quotes, behind it a colon. Of a pattern without names, any.
    pub fn is_named_in(&self, text: &[u8]) -> bool {
        let mut from = 0;
        while let Some(colon) = memchr::memchr(b':', text.get(from..).unwrap_or(&[])) {
            let before = text.get(..from + colon).unwrap_or(&[]).trim_ascii_end();
            from += colon + 1;
            if self.patterns.iter().any(|pattern| pattern.is_last_of(before)) {
                return true;
            }
        }
        false
    }

    /// The numbers of the patterns that fit the name of a field of a form: as a path of one
    /// segment, and as what `customer.ssn` and `customer[ssn]` say to those who read paths in
    /// names.
    pub fn met_field<'f>(&'f self, name: &'f [u8]) -> impl Iterator<Item = usize> + 'f {
        let parts = || {
            let parts = name.split(|byte| matches!(byte, b'.' | b'[' | b']'));
            parts.filter(|part| !part.is_empty())
        };
        let met = move |pattern: &Pattern| {
            let step = |states, part| pattern.step(states, Segment::Key(part));
            pattern.is_met(step(pattern.start(), name))
                || pattern.is_met(parts().fold(pattern.start(), step))
        };
        (0..).zip(&self.patterns).filter(move |(_, pattern)| met(pattern)).map(|(at, _)| at)
    }
}

/// Where the patterns are on the way to one value.
///
/// `rows` has, for the root and each level below it, the states of each pattern; the last row is
/// that of the value that was told last.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    rows: Vec<u64>,
}

impl Follow {
    /// Takes in what the walk has told; it wants to know of every token.
    pub fn tell(&mut self, patterns: &Patterns, walk: &Walk, token: Token) {
        let width = patterns.patterns.len();
        let depth = match token {
            Token::Object | Token::Array => walk.depth() - 1,
            Token::ObjectEnd | Token::ArrayEnd => return,
            _ => walk.depth(),
        };
        self.rows.truncate(width * depth);
        let Some(segment) = depth.checked_sub(1).and_then(|last| walk.path().nth(last)) else {
            return self.rows.extend(patterns.patterns.iter().map(Pattern::start));
        };
        let above = self.rows.len() - width;
        for (at, pattern) in patterns.patterns.iter().enumerate() {
            let states = self.rows.get(above + at).copied().unwrap_or(0);
            self.rows.push(pattern.step(states, segment));
        }
    }

    /// The numbers of the patterns that fit the value that was told last; the end of a container is
    /// not told.
    pub fn met<'f>(&'f self, patterns: &'f Patterns) -> impl Iterator<Item = usize> + 'f {
        let row = self.rows.len().saturating_sub(patterns.patterns.len());
        let states = self.rows.get(row..).unwrap_or(&[]);
        let pairs = patterns.patterns.iter().zip(states).enumerate();
        pairs.filter(|(_, (pattern, states))| pattern.is_met(**states)).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Wrong, walk};
    use super::*;

    /// The paths of the values that a pattern fits, containers included.
    fn fits(pattern: &str, document: &str) -> Vec<String> {
        let patterns = Patterns::new(vec![Pattern::parse(pattern).unwrap()]);
        let (mut follow, mut found) = (Follow::default(), Vec::new());
        walk::<Wrong>(&mut Walk::new(), document.as_bytes(), |walk, token, _| {
            follow.tell(&patterns, walk, token);
            let is_end = matches!(token, Token::ObjectEnd | Token::ArrayEnd | Token::Key);
            if !is_end && follow.met(&patterns).next().is_some() {
                let is_open = matches!(token, Token::Object | Token::Array);
                let segments: Vec<String> = walk
                    .path()
                    .map(|segment| match segment {
                        Segment::Key(key) => String::from_utf8(key.to_vec()).unwrap(),
                        Segment::Index(index) => index.to_string(),
                    })
                    .collect();
                found.push(segments[..segments.len() - usize::from(is_open)].join("."));
            }
            Ok(())
        })
        .unwrap();
        found
    }

    const DOCUMENT: &str = r#"{"a": {"x": 1, "y": [10, {"x": 2}]}, "b": {"x": [3]}, "a.x": 4}"#;

    #[test]
    fn patterns_fit_values_and_what_is_in_them() {
        assert_eq!(fits("a.x", DOCUMENT), ["a.x"]);
        assert_eq!(fits("$.a.x", DOCUMENT), ["a.x"]);
        assert_eq!(fits("*.x", DOCUMENT), ["a.x", "b.x", "b.x.0"]);
        assert_eq!(fits("a.y.*", DOCUMENT), ["a.y.0", "a.y.1", "a.y.1.x"]);
        assert_eq!(fits("a.y.0", DOCUMENT), ["a.y.0"]);
        assert_eq!(fits("a.y.1.x", DOCUMENT), ["a.y.1.x"]);
        assert_eq!(fits("**.x", DOCUMENT), ["a.x", "a.y.1.x", "b.x", "b.x.0"]);
        assert_eq!(fits("**", "[1]"), ["", "0"]);
        assert_eq!(fits("a.**.x", DOCUMENT), ["a.x", "a.y.1.x"]);
        assert_eq!(fits(r"a\.x", DOCUMENT), ["a.x"]);
        assert_eq!(fits("c", DOCUMENT), [""; 0]);
        assert_eq!(fits("*!a!b", DOCUMENT), ["a.x"]);
        assert_eq!(fits("*.*!x", DOCUMENT), ["a.y", "a.y.0", "a.y.1", "a.y.1.x"]);
        assert_eq!(fits("a", r#"{"a": {}, "b": 1}"#), ["a"]);
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", ".", "a.", "a..b", "a\\", "$."] {
            assert!(Pattern::parse(text).is_err(), "{text:?}");
        }
        assert!(Pattern::parse(&["a"; 33].join(".")).is_err());
        for text in ["a.*.b", "**.x", r"a\.b.\*", "a.*!b!c", r"\*!b"] {
            assert_eq!(Pattern::parse(text).unwrap().text(), text);
        }
        assert_eq!(Pattern::parse(r"\*").unwrap().parts, [Part::Key("*".into())]);
    }
}
