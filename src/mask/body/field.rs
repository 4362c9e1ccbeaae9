//! Fields of a head: pairs of queries and of parameters by their names, JSON by its paths, all of
//! it by what is in it.
//!
//! In: the value of a field. Out: the same with masked values changed.
//! Never: a field that is written anew: what is not masked stays as it was.
//!
//! ```text
//!   </x?ssn=078&b=1>; rel=next  -->  </x?ssn=***&b=1>; rel=next
//!   {"ssn":"078"}               -->  {"ssn":"***"}
//!   /login?next=%2Fx%3Fssn%3D1  -->  /login?next=%2Fx%3Fssn%3D***
//! ```

use super::embedded::{self, Embedded};
use super::{Work, form, hidden, whole_text};
use crate::limits::MASK_EMBEDDED_DEPTH_MAX;
use crate::mask::operator::{HIDDEN, Operator};
use crate::wire::http::check;

/// What takes the place of the value of a field. `None`: it stays.
pub(super) fn mask(value: &[u8], work: &mut Work<'_>) -> Option<Vec<u8>> {
    // Texts of a strict target that are no JSON are hidden whole; fields are never JSON there.
    if work.rules.paths.is_empty() || work.rules.strict {
        return whole_text(value, "", work);
    }
    nested(value, MASK_EMBEDDED_DEPTH_MAX, work)
}

/// `depth` is how often something may stand in the value of a pair, coded once more.
fn nested(said: &[u8], depth: usize, work: &mut Work<'_>) -> Option<Vec<u8>> {
    match embedded::mask(said, "", work) {
        Embedded::Becomes(masked) => return Some(pairs(&masked, depth, work).unwrap_or(masked)),
        Embedded::Stays => return pairs(said, depth, work),
        Embedded::IsNone => {}
    }
    let paired = pairs(said, depth, work);
    let searched = whole_text(paired.as_deref().unwrap_or(said), "", work);
    searched.or(paired)
}

/// `name=value`, wherever it stands.
fn pairs(said: &[u8], depth: usize, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let (mut out, mut kept, mut from) = (Vec::new(), 0, 0);
    while let Some(at) = memchr::memchr(b'=', said.get(from..).unwrap_or(&[])) {
        let equals = from + at;
        from = equals + 1;
        let before = said.get(..equals).unwrap_or(&[]).trim_ascii_end();
        let start = before.iter().rposition(|byte| b"?&;#,<>\"' \t/=".contains(byte));
        let name = before.get(start.map_or(0, |start| start + 1)..).unwrap_or(&[]);
        let value = said.get(from..).unwrap_or(&[]);
        let value = value.get(..value_end(value)).unwrap_or(&[]);
        if let Some(masked) = pair(name, value, depth, work) {
            out.extend_from_slice(said.get(kept..from).unwrap_or(&[]));
            form::encode(&masked, &mut out);
            from += value.len();
            kept = from;
        }
    }
    out.extend_from_slice(said.get(kept..).unwrap_or(&[]));
    (kept > 0).then_some(out)
}

/// What takes the place of a value, as it is said.
fn pair(name: &[u8], value: &[u8], depth: usize, work: &mut Work<'_>) -> Option<Vec<u8>> {
    let said_name = check::decode(name).unwrap_or_else(|| name.to_vec());
    let rules = work.rules;
    if let Some((operator, pattern)) = rules.strongest(rules.paths.met_field(&said_name)) {
        work.count_path(operator, pattern);
        let said = check::decode(value).unwrap_or_default();
        let said = said.strip_prefix(b"\"").unwrap_or(&said);
        let is_null = operator == Operator::Nullify;
        return Some(if is_null { HIDDEN.to_vec() } else { hidden(operator, said) });
    }
    // What is said plainly is looked at where it stands.
    if depth == 0 || !value.contains(&b'%') {
        return None;
    }
    match check::decode(value) {
        Some(said) => nested(&said, depth - 1, work),
        None => None,
    }
}

/// Where a value ends: at the end of a pair of a query or of a parameter. What could be either is
/// part of the value.
fn value_end(value: &[u8]) -> usize {
    if let Some(quoted) = value.strip_prefix(b"\"") {
        return memchr::memchr(b'"', quoted).map_or(value.len(), |end| end + 2);
    }
    let ends = |(at, byte): (usize, &u8)| match byte {
        b'&' | b'#' | b'>' | b'"' => true,
        b';' | b',' => value.get(at + 1).is_some_and(u8::is_ascii_whitespace),
        _ => false,
    };
    value.iter().enumerate().position(ends).unwrap_or(value.len())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::Rules;
    use crate::mask::Hits;
    use crate::mask::detect::Detectors;
    use crate::mask::operator::Operator;
    use crate::wire::http::json::path::Pattern;

    fn paths() -> Vec<(Pattern, Operator)> {
        let path = |text: &str| (Pattern::parse(text).unwrap(), Operator::Redact);
        vec![path("ssn"), path("**.password"), path("customer.card")]
    }

    #[test]
    fn pairs_and_json_in_fields_are_masked_by_their_names() {
        let none = || Rc::new(Detectors::default());
        for rules in [Rules::new(paths(), none()), Rules::mcp(paths(), none())] {
            for (said, expect) in [
                ("/x?ssn=078-05-1120", "/x?ssn=***"),
                ("/x?password=hunter2pw&ssn=078-05-1120&b=1", "/x?password=***&ssn=***&b=1"),
                ("</x?s%73n=078&b=1>; rel=\"next\"", "</x?s%73n=***&b=1>; rel=\"next\""),
                ("5; url=/x?customer[card]=4#top", "5; url=/x?customer[card]=***#top"),
                ("/login?next=%2Fx%3Fssn%3D078", "/login?next=%2Fx%3Fssn%3D***"),
                ("a=1; ssn=\"078 05\"; b=2", "a=1; ssn=***; b=2"),
                ("a=1, ssn = 078 05 1120, b=2", "a=1, ssn =***, b=2"),
                (r#"{"ssn":"078","a":1}"#, r#"{"ssn":"***","a":1}"#),
                (r#"{"a":{"password":[1]}}"#, r#"{"a":{"password":[null]}}"#),
                (r#"{"ssn":"07"#, "***"),
            ] {
                let masked = rules.field("x", said.as_bytes(), &mut Hits::default());
                assert_eq!(masked.as_deref(), Some(expect.as_bytes()), "{said}");
            }
            for said in [
                "/x?a=1&lesson=2",
                "text/html; charset=utf-8",
                "</a>; rel=\"next\", </b>; rel=\"last\"",
                "max-age=0, no-cache",
                r#"{"a":{"ssn":1}}"#,
                "=",
                "",
                "%=%",
            ] {
                assert_eq!(rules.field("x", said.as_bytes(), &mut Hits::default()), None, "{said}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_split_of_a_field_shows_the_value(
            before in "[a-z?&;=,<> /%]{0,12}",
            behind in "([&#>\"][ -~]{0,12})?",
        ) {
            let rules = Rules::new(paths(), Rc::new(Detectors::default()));
            let said = format!("{before}&ssn=078051120{behind}");
            let masked = rules.field("x", said.as_bytes(), &mut Hits::default());
            let masked = masked.expect("something is hidden");
            proptest::prop_assert!(memchr::memmem::find(&masked, b"078051120").is_none());
        }
    }
}
