//! How a value is changed.
//!
//! In: an operator of the configuration, a value or the part of it that a detector found.
//! Out: the bytes that take its place.
//! Never: fewer stars than it takes. An operator that does not fit a value resolves up:
//! `partial` -> `mask`/`redact` -> `default` -> `nullify`, never down to leaving the value.

use super::detect::Detector;
use super::kubernetes::{Form, placeholder};

/// The operator of a mask. The order is the strength: of two that reach one column the
/// greater wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// Keep the last four (an e-mail: first letter and domain), separators kept.
    Partial,
    /// Same length, `*`.
    Mask,
    /// Replace by `[TYPE]`, or `***` for a column.
    Redact,
    /// Zero of the type.
    Default,
    /// NULL.
    Nullify,
    /// The placeholder of objects of Kubernetes, which no write brings back.
    Token,
    /// The same in base64, where typed clients decode it.
    TokenBase64,
    /// What stands before the first colon of a message: behind it are values.
    Head,
}

impl Operator {
    /// Names in the configuration, in the order of the variants.
    pub const NAMES: [&'static str; 5] = ["partial", "mask", "redact", "default", "nullify"];

    /// The operator with this name.
    pub fn parse(name: &str) -> Option<Operator> {
        Some(match name {
            "partial" => Operator::Partial,
            "mask" => Operator::Mask,
            "redact" => Operator::Redact,
            "default" => Operator::Default,
            "nullify" => Operator::Nullify,
            _ => return None,
        })
    }

    /// The name in the configuration and in records.
    pub const fn name(self) -> &'static str {
        match self {
            Operator::Partial => "partial",
            Operator::Mask => "mask",
            Operator::Redact => "redact",
            Operator::Default => "default",
            Operator::Nullify => "nullify",
            Operator::Token | Operator::TokenBase64 => "token",
            Operator::Head => "redact",
        }
    }
}

/// What stands for a text that is hidden whole.
pub const HIDDEN: &[u8] = b"***";

/// Appends what a whole text value of a masked column becomes. `Nullify` cannot be written as
/// bytes; callers that can write NULL do so before.
pub fn whole_text(operator: Operator, value: &[u8], out: &mut Vec<u8>) {
    match operator {
        Operator::Partial => partial(value, out),
        Operator::Mask => stars(value, out),
        Operator::Redact | Operator::Default | Operator::Nullify => out.extend_from_slice(HIDDEN),
        Operator::Token => out.extend_from_slice(placeholder(0, Form::Text).as_bytes()),
        Operator::TokenBase64 => out.extend_from_slice(placeholder(0, Form::Base64).as_bytes()),
        Operator::Head => {
            let end = memchr::memchr(b':', value);
            if let Some(head) = end.and_then(|end| value.get(..end)) {
                out.extend_from_slice(head);
                out.extend_from_slice(b": ");
            }
            out.extend_from_slice(HIDDEN);
        }
    }
}

/// Appends what a detected part of a text becomes.
pub fn found_text(operator: Operator, detector: Detector, part: &[u8], out: &mut Vec<u8>) {
    match operator {
        Operator::Redact => out.extend_from_slice(detector.label().as_bytes()),
        Operator::Mask => stars(part, out),
        // The last four of a secret are still a part of the secret.
        Operator::Partial if detector.is_secret() => stars(part, out),
        Operator::Partial => partial(part, out),
        Operator::Default | Operator::Nullify => out.extend_from_slice(HIDDEN),
        // No write brings it back, as no placeholder of a value.
        Operator::Token | Operator::TokenBase64 => {
            let label = detector.label().trim_matches(['[', ']']);
            out.extend_from_slice(super::kubernetes::PLACEHOLDER.as_bytes());
            out.extend_from_slice(label.as_bytes());
        }
        Operator::Head => out.extend_from_slice(HIDDEN),
    }
}

/// One star per character; per byte when the bytes are not UTF-8.
fn stars(value: &[u8], out: &mut Vec<u8>) {
    let count = match std::str::from_utf8(value) {
        Ok(text) => text.chars().count(),
        Err(_) => value.len(),
    };
    out.resize(out.len() + count, b'*');
}

/// Keeps the last four letters or digits, if at least five others are hidden; keeps ASCII
/// separators. An e-mail keeps its first letter and its domain. Other encodings than UTF-8 are
/// hidden whole, because a kept byte could be half of a character.
fn partial(value: &[u8], out: &mut Vec<u8>) {
    let at_sign = memchr::memchr(b'@', value);
    if let Some((local, domain)) = at_sign.map(|at| (&value[..at], &value[at + 1..]))
        && is_plain_email(local, domain)
    {
        let shown = usize::from(local.len() > 1);
        out.extend_from_slice(&local[..shown]);
        out.resize(out.len() + local.len() - shown, b'*');
        out.extend_from_slice(&value[local.len()..]);
        return;
    }
    match std::str::from_utf8(value) {
        Ok(_) if value.is_ascii() => partial_ascii(value, out),
        Ok(text) => partial_text(text, out),
        Err(_) => stars(value, out),
    }
}

/// A byte is a character.
fn partial_ascii(value: &[u8], out: &mut Vec<u8>) {
    let is_long = value.iter().filter(|byte| !is_separator(**byte)).nth(KEPT + HIDDEN_MIN - 1);
    let mut kept = if is_long.is_some() { KEPT } else { 0 };
    let mut hidden = value.len();
    while kept > 0 && hidden > 0 {
        hidden -= 1;
        kept -= usize::from(!is_separator(value[hidden]));
    }
    let start = out.len();
    out.extend_from_slice(value);
    for byte in &mut out[start..start + hidden] {
        *byte = if is_separator(*byte) { *byte } else { b'*' };
    }
}

fn partial_text(text: &str, out: &mut Vec<u8>) {
    let is_separator = |c: char| u8::try_from(c).is_ok_and(is_separator);
    let counted = text.chars().filter(|&c| !is_separator(c)).count();
    let hidden = if counted >= KEPT + HIDDEN_MIN { counted - KEPT } else { counted };
    let mut seen = 0;
    for c in text.chars() {
        if is_separator(c) {
            out.push(c as u8);
            continue;
        }
        seen += 1;
        if seen <= hidden {
            out.push(b'*');
        } else {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Without a branch, so that many bytes are compared at once.
fn is_separator(byte: u8) -> bool {
    b" -./_(),:".iter().fold(false, |is, &separator| is | (byte == separator))
}

/// Whether the value is one e-mail address and nothing else, so that its domain may be shown.
fn is_plain_email(local: &[u8], domain: &[u8]) -> bool {
    let local_ok = !local.is_empty()
        && local.iter().all(|b| b.is_ascii_alphanumeric() || b"._%+-".contains(b));
    let domain_ok = domain.contains(&b'.')
        && domain.iter().all(|b| b.is_ascii_alphanumeric() || b".-".contains(b));
    local_ok && domain_ok
}

/// Letters or digits that `partial` shows.
const KEPT: usize = 4;
/// Letters or digits that `partial` hides at least; shorter values are hidden whole.
const HIDDEN_MIN: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(operator: Operator, value: &str, expect: &str) {
        let mut out = Vec::new();
        whole_text(operator, value.as_bytes(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expect, "{operator:?} of {value:?}");
    }

    #[test]
    fn names_round_trip() {
        for name in Operator::NAMES {
            assert_eq!(Operator::parse(name).map(Operator::name), Some(name));
        }
        assert_eq!(Operator::parse("hash"), None);
    }

    #[test]
    fn partial_keeps_four_and_separators() {
        check(Operator::Partial, "123-45-6789", "***-**-6789");
        check(Operator::Partial, "4111 1111 1111 1111", "**** **** **** 1111");
        check(Operator::Partial, "alice@example.com", "a****@example.com");
        check(Operator::Partial, "a@example.com", "*@example.com");
    }

    #[test]
    fn partial_hides_short_values_whole() {
        check(Operator::Partial, "12345678", "********");
        check(Operator::Partial, "123456789", "*****6789");
        check(Operator::Partial, "", "");
        check(Operator::Partial, "Zo\u{eb} Fuchs", "*** *****");
    }

    proptest! {
        /// The way for ASCII is the way for text.
        #[test]
        fn partial_is_the_same_for_bytes_and_characters(text in "[ -~]{0,40}|[a-c.-]{0,12}") {
            let (mut bytes, mut characters) = (Vec::new(), Vec::new());
            partial_ascii(text.as_bytes(), &mut bytes);
            partial_text(&text, &mut characters);
            prop_assert_eq!(bytes, characters);
        }
    }

    #[test]
    fn partial_shows_no_domain_of_what_is_no_email() {
        check(Operator::Partial, "secret@words with. spaces", "************ ****. **aces");
    }

    #[test]
    fn mask_counts_characters() {
        check(Operator::Mask, "M\u{fc}ller", "******");
        let mut out = Vec::new();
        whole_text(Operator::Partial, b"\xff\xfe12345678", &mut out);
        assert_eq!(out, b"**********");
    }
}
