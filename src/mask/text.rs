//! What was found in one value, replaced: free text, and JSON that must stay JSON.
//!
//! In: a value and the finds in it. Out: spans with what takes their place.
//! Never: broken JSON; a replacement inside a string touches no escape, one outside is a whole
//! number, which becomes null: another number would be read as what is there.

use super::detect::{Detectors, Found, Scratch};
use super::escapes::{self, Seen};
use super::hits::{Cause, Hits};
use super::operator::{self, Operator};

/// One replacement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// First byte.
    pub start: usize,
    /// After the last byte.
    pub end: usize,
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Found(Operator, super::detect::Detector),
    /// A JSON number.
    Null,
    /// It is in a number that has become null.
    Gone,
}

impl Part {
    /// Appends what takes the place of the part of `value`.
    pub fn write(&self, value: &[u8], out: &mut Vec<u8>) {
        match self.how {
            How::Found(operator, detector) => {
                operator::found_text(operator, detector, &value[self.start..self.end], out);
            }
            How::Null => out.extend_from_slice(b"null"),
            How::Gone => {}
        }
    }

    /// Appends what takes the place of a find whose signs may be escapes.
    pub fn write_seen(&self, detectors: &Detectors, seen: &Seen, out: &mut Vec<u8>) {
        match self.how {
            How::Found(..) => seen.write(detectors, out),
            How::Null => out.extend_from_slice(b"null"),
            How::Gone => {}
        }
    }
}

/// Whether one of the finds hides its value as a whole.
pub(super) fn nullifies(detectors: &Detectors, finds: &[Found]) -> bool {
    let operator = |found: &Found| detectors.operator(found.detector);
    finds.iter().any(|found| operator(found) == Some(Operator::Nullify))
}

/// Notes that one of the finds has made a value NULL.
pub(super) fn note_null(finds: &[Found], column: u16, hits: &mut Hits) {
    if let Some(found) = finds.first() {
        hits.note_null(column, Cause::Detector(found.detector));
    }
}

/// Counts the finds of one value.
pub(super) fn count(detectors: &Detectors, finds: &[Found], column: u16, hits: &mut Hits) {
    for found in finds {
        let operator = detectors.operator(found.detector).unwrap_or(Operator::Redact);
        hits.add(column, Cause::Detector(found.detector), operator);
    }
}

/// The replacements for the finds of a plain text.
pub(super) fn plain_part(detectors: &Detectors, found: &Found) -> Part {
    let operator = detectors.operator(found.detector).unwrap_or(Operator::Redact);
    Part { start: found.start, end: found.end, how: How::Found(operator, found.detector) }
}

/// Reads JSON up to each find, to know whether it is in a string and where its escapes are.
#[derive(Debug, Default)]
pub(super) struct JsonReader {
    at: usize,
    in_string: bool,
}

impl JsonReader {
    /// The replacement for the next find; finds come in order.
    pub fn part(&mut self, detectors: &Detectors, value: &[u8], found: &Found) -> Part {
        let mut part = plain_part(detectors, found);
        let before = self.at;
        self.read(value, found.start);
        part.start = self.at.min(found.end);
        if !self.in_string {
            return self.number(value, found, before);
        }
        self.read(value, found.end);
        part.end = self.at.max(part.start);
        part
    }

    /// All of the number that a find is in; nothing was replaced from `before` on.
    fn number(&mut self, value: &[u8], found: &Found, before: usize) -> Part {
        let is_of =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        if found.start < before {
            return Part { start: before, end: before, how: How::Gone };
        }
        let head = value.get(before..found.start).unwrap_or(&[]);
        let start = found.start - head.iter().rev().take_while(|byte| is_of(byte)).count();
        let tail = value.get(found.end..).unwrap_or(&[]);
        let end = found.end + tail.iter().take_while(|byte| is_of(byte)).count();
        self.read(value, end);
        Part { start, end, how: How::Null }
    }

    /// Up to `end`, and to the end of an escape that begins before it: `\n`, or `\u` and four
    /// digits. A find may begin or end inside of one, a replacement not.
    fn read(&mut self, value: &[u8], end: usize) {
        while self.at < end {
            let escape = self.in_string && value[self.at] == b'\\';
            self.in_string ^= value[self.at] == b'"';
            self.at += 1;
            if escape {
                let length = if value.get(self.at) == Some(&b'u') { 5 } else { 1 };
                self.at = value.len().min(self.at + length);
            }
        }
    }
}

/// Appends `input` with everything that the detectors find replaced; whether anything was.
pub(super) fn replace(
    detectors: &Detectors,
    input: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    hits: &mut Hits,
) -> bool {
    let finds = detectors.find(input, scratch);
    let mut kept = 0;
    if escapes::are_in(input) {
        let seen = escapes::find(detectors, input, finds);
        for it in &seen {
            count(detectors, &[it.found], 0, hits);
            out.extend_from_slice(&input[kept..it.found.start]);
            it.write(detectors, out);
            kept = it.found.end;
        }
        out.extend_from_slice(&input[kept..]);
        return !seen.is_empty();
    }
    count(detectors, finds, 0, hits);
    for found in finds {
        let part = plain_part(detectors, found);
        out.extend_from_slice(&input[kept..part.start]);
        part.write(input, out);
        kept = part.end;
    }
    out.extend_from_slice(&input[kept..]);
    !finds.is_empty()
}

#[cfg(test)]
mod tests {
    use super::super::detect::Detector;
    use super::*;

    fn all(operator: Operator) -> Detectors {
        Detectors::new(Detector::ALL.map(|detector| (detector, operator)))
    }

    #[test]
    fn parts_of_a_text_are_replaced() {
        let mut out = Vec::new();
        let mut hits = Hits::default();
        let input = b"Key (email)=(bob@example.com) already exists: 4111 1111 1111 1111.";
        let scratch = &mut Scratch::default();
        assert!(replace(&all(Operator::Redact), input, scratch, &mut out, &mut hits));
        assert_eq!(out, b"Key (email)=([EMAIL]) already exists: [CREDIT_CARD].");
        assert_eq!(hits.total(), 2);
    }

    fn check_json(operator: Operator, json: &str, expect: &str) {
        let detectors = all(operator);
        let mut scratch = Scratch::default();
        let mut reader = JsonReader::default();
        let (mut out, mut kept) = (Vec::new(), 0);
        for found in detectors.find(json.as_bytes(), &mut scratch) {
            let part = reader.part(&detectors, json.as_bytes(), found);
            out.extend_from_slice(&json.as_bytes()[kept..part.start]);
            part.write(json.as_bytes(), &mut out);
            kept = part.end;
        }
        out.extend_from_slice(&json.as_bytes()[kept..]);
        assert_eq!(String::from_utf8_lossy(&out), expect);
        serde_json::from_slice::<serde_json::Value>(&out).expect("masked JSON is JSON");
    }

    #[test]
    fn json_stays_json() {
        check_json(
            Operator::Redact,
            r#"{"a": "bob@x.com", "b": 1}"#,
            r#"{"a": "[EMAIL]", "b": 1}"#,
        );
        check_json(Operator::Mask, r#"{"n": 4111111111111111, "m":2}"#, r#"{"n": null, "m":2}"#);
        let many = r#"[-4111111111111111, 4111111111111111,5]"#;
        check_json(Operator::Mask, many, "[null, null,5]");
        check_json(Operator::Mask, "4111111111111111", "null");
        check_json(Operator::Mask, r#"{"n":4111111111111111.00}"#, r#"{"n":null}"#);
        check_json(Operator::Redact, r#"["\nbob@x.com"]"#, r#"["\n[EMAIL]"]"#);
        check_json(Operator::Redact, r#"["\\nbob@x.com"]"#, r#"["\\[EMAIL]"]"#);
        check_json(Operator::Redact, r#"["\u003cbob@x.com\u003e"]"#, r#"["\u003c[EMAIL]\u003e"]"#);
        check_json(
            Operator::Redact,
            r#"["a\"b@x.com", "\"4111111111111111\""]"#,
            r#"["a\"[EMAIL]", "\"[CREDIT_CARD]\""]"#,
        );
    }

    #[test]
    fn a_truncated_key_ends_with_its_string() {
        check_json(
            Operator::Redact,
            r#"{"k": "-----BEGIN PRIVATE KEY-----\nMIIE", "x": "y"}"#,
            r#"{"k": "[PRIVATE_KEY]", "x": "y"}"#,
        );
        check_json(
            Operator::Redact,
            r#"["-----BEGIN PRIVATE KEY-----\nMIIE\"}", "bob@x.com"]"#,
            r#"["[PRIVATE_KEY]}", "[EMAIL]"]"#,
        );
    }
}
