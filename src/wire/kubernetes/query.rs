//! The parameters of a request, as Go reads them.
//!
//! In: the bytes behind `?`. Out: names and values in order, decoded once.
//! Never: a pair that Go would drop silently; who asks for that is refused, unless the parameters
//! are meant for somebody behind the apiserver.
//!
//! Go (net/url, `parseQuery`) splits at `&` only, drops a pair with `;` or a bad escape, and reads
//! nothing at all where there are more than 10,000 pairs.

use std::borrow::Cow;

use super::request::Refused;
use crate::hex;
use crate::limits;

/// Names and values in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query<'t> {
    pairs: Vec<Pair<'t>>,
}

/// A name and a value, decoded.
type Pair<'t> = (Cow<'t, [u8]>, Cow<'t, [u8]>);

/// What becomes of a pair that Go drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The request is refused.
    Refuse,
    /// The pair is left out: the apiserver does not look at it either.
    Skip,
}

impl<'t> Query<'t> {
    /// Reads what stands behind `?`.
    pub fn read(raw: &'t [u8], dropped: Dropped) -> Result<Query<'t>, Refused> {
        if !raw.iter().all(|byte| matches!(byte, b'!'..=b'~') && *byte != b'#') {
            return Err(Refused::Bytes);
        }
        let mut query = Query::default();
        if raw.is_empty() {
            return Ok(query);
        }
        for (index, pair) in raw.split(|byte| *byte == b'&').enumerate() {
            if index >= limits::KUBERNETES_PARAMETERS_MAX {
                return Err(Refused::Parameters);
            }
            if pair.is_empty() {
                continue;
            }
            match read_pair(pair) {
                Some(pair) => query.pairs.push(pair),
                None if dropped == Dropped::Skip => {}
                None => return Err(Refused::Parameter),
            }
        }
        Ok(query)
    }

    /// All values of a name, in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let wanted = name.as_bytes();
        self.pairs.iter().filter(move |(name, _)| **name == *wanted).map(|(_, value)| &**value)
    }

    /// The first value of a name: what Go takes for a scalar.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// A boolean: absent, `0` and `false` in any case are false, everything else is true
    /// (apimachinery, runtime/conversion.go).
    pub fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != b"0" && !value.eq_ignore_ascii_case(b"false"))
    }

    /// The only value of a scalar that decides something. Two of them are two readings.
    pub fn scalar(&self, name: &'static str) -> Result<Option<&[u8]>, Refused> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Refused::Twice(name)) } else { Ok(first) }
    }

    /// As `scalar`, as text.
    pub fn text(&self, name: &'static str) -> Result<Option<&str>, Refused> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        std::str::from_utf8(value).map(Some).map_err(|_| Refused::Encoding)
    }

    /// Names and values in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }
}

fn read_pair(pair: &[u8]) -> Option<Pair<'_>> {
    if pair.contains(&b';') {
        return None;
    }
    let end = pair.iter().position(|byte| *byte == b'=');
    let (name, value) = match end {
        Some(end) => (pair.get(..end)?, pair.get(end + 1..)?),
        None => (pair, &b""[..]),
    };
    Some((unescape(name, true)?, unescape(value, true)?))
}

/// Decodes `%xx`, and `+` as a space where `form` says so; `None` for an escape that is none.
pub(super) fn unescape(text: &[u8], form: bool) -> Option<Cow<'_, [u8]>> {
    if !text.iter().any(|byte| *byte == b'%' || (form && *byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex::digit(*bytes.next()?)? << 4 | hex::digit(*bytes.next()?)?,
            b'+' if form => b' ',
            _ => byte,
        });
    }
    Some(Cow::Owned(decoded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Vec<(String, String)> {
        let query = Query::read(raw.as_bytes(), Dropped::Refuse).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        query.pairs().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn pairs_are_read_as_go_reads_them() {
        fn check(raw: &str, expect: &[(&str, &str)]) {
            let expect: Vec<_> =
                expect.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(read(raw), expect, "{raw}");
        }
        check("", &[]);
        check("&&", &[]);
        check("a=b", &[("a", "b")]);
        check("a", &[("a", "")]);
        check("=b", &[("", "b")]);
        check("a=b=c&a=d", &[("a", "b=c"), ("a", "d")]);
        check("a+b=c+d%20e", &[("a b", "c d e")]);
        check("%77atch=1", &[("watch", "1")]);
        check("a=%3b", &[("a", ";")]);
        check("a?=/?", &[("a?", "/?")]);
    }

    #[test]
    fn a_pair_that_go_drops_is_refused_or_left_out() {
        for raw in ["a=1;b=2", "a=%", "a=%4", "a=%zz", "%g0=1", ";"] {
            assert_eq!(Query::read(raw.as_bytes(), Dropped::Refuse), Err(Refused::Parameter));
            let left = format!("{raw}&c=d");
            let query = Query::read(left.as_bytes(), Dropped::Skip).unwrap();
            assert_eq!(query.pairs().count(), 1, "{raw}");
        }
        for raw in ["a=#", "a=\x7f", "a= b", "\u{e9}"] {
            assert_eq!(Query::read(raw.as_bytes(), Dropped::Skip), Err(Refused::Bytes), "{raw}");
        }
    }

    #[test]
    fn flags_are_true_unless_they_say_no() {
        fn check(raw: &str, expect: bool) {
            let query = Query::read(raw.as_bytes(), Dropped::Refuse).unwrap();
            assert_eq!(query.flag("watch"), expect, "{raw}");
        }
        check("", false);
        check("watch=0", false);
        check("watch=false", false);
        check("watch=FaLsE", false);
        check("watch=", true);
        check("watch", true);
        check("watch=no", true);
        check("Watch=1", false);
        check("watch=0&watch=1", false);
    }

    #[test]
    fn more_parameters_than_go_reads_are_refused() {
        let most = vec!["a"; limits::KUBERNETES_PARAMETERS_MAX].join("&");
        assert!(Query::read(most.as_bytes(), Dropped::Refuse).is_ok());
        let more = format!("{most}&");
        assert_eq!(Query::read(more.as_bytes(), Dropped::Skip), Err(Refused::Parameters));
    }
}
