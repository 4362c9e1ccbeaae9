//! What servers may take a path for beside what it says: rules that deny or hold meet that, too.
//!
//! In: readings of a path, patterns of rules. Out: paths in one form, and whether a pattern means
//! one. Never: a word in an allowance: what is allowed is what is written.
//!
//! ```text
//!   /Pub/ONE/   /pub/one.   /pub/one%20   all are   /pub/one
//! ```
//!
//! Express routes in any letters and with or without a slash at the end (its defaults `case
//! sensitive routing` and `strict routing`), so do ASP.NET and others; Windows leaves dots and
//! blanks at the end of a name out.

use std::borrow::Cow;

use super::argument::folded;
use crate::identify::glob::glob_bytes;

/// What the readings of one path are like, each once. With a slash at its end a path is like itself
/// and like the one without: `/one/*` means `/ONE/`, `/one` means it, too.
pub(super) fn of(readings: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::with_capacity(readings.len());
    for reading in readings {
        let folded = folded(reading);
        let bare = bare(&folded);
        all.push(trimmed(&bare));
        all.push(bare);
        all.push(trimmed(&folded));
        all.push(folded);
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a pattern means a path that `of` has made.
pub(in crate::decide) fn path_like(pattern: &[u8], like: &[u8]) -> bool {
    let is_plain = pattern.iter().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    let pattern = match is_plain {
        true => Cow::Borrowed(pattern),
        false => Cow::Owned(folded(pattern)),
    };
    let end = pattern.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
    glob_bytes(&pattern, like) || glob_bytes(pattern.get(..end).unwrap_or(&pattern), like)
}

/// Without slashes at the end.
fn bare(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
    path.get(..end).unwrap_or(path).to_vec()
}

/// Segments without dots and blanks at their ends.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let trim = |segment: &[u8]| {
        let end = segment.iter().rposition(|byte| !matches!(byte, b'.' | b' '));
        end.and_then(|last| segment.get(..=last)).unwrap_or(segment).to_vec()
    };
    path.split(|byte| *byte == b'/').map(trim).collect::<Vec<_>>().join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::FactKind;
    use crate::wire::http::check;

    /// Whether a rule that denies, and one that allows, match.
    fn matched(pattern: &str, path: &str) -> (bool, bool) {
        let readings = check::path_readings(path.as_bytes()).expect("a path that is clear");
        let denied = of(&readings).iter().any(|it| path_like(pattern.as_bytes(), it));
        let allowed = readings.iter().all(|it| glob_bytes(pattern.as_bytes(), it));
        (denied, allowed)
    }

    #[test]
    fn what_servers_may_take_a_path_for_is_met_by_a_denial_alone() {
        for (pattern, path) in [
            ("/pub/secret*", "/pub/SECRET"),
            ("/pub/secret*", "/PUB/Secret/7"),
            ("/pub/SECRET", "/pub/secret"),
            ("/pub/one", "/pub/one/"),
            ("/pub/one", "/pub/one//"),
            ("/pub/one", "/pub/ONE;v=1/"),
            ("/pub/one", "/pub//one/"),
            ("/pub/one", "/pub/%4fne"),
            ("/pub/one/", "/pub/One"),
            ("/pub/one", "/pub/one."),
            ("/pub/one", "/pub./one%20/"),
            ("/pub/one/*", "/pub/ONE/"),
            ("/pub/\u{e9}", "/pub/%C3%89"),
            ("/pub/s", "/pub/%C5%BF"),
            ("/*/one", "/x/ONE/"),
            // What stands behind a host, to whoever takes the path for a reference.
            ("/pub/one", "//x/pub/one"),
            ("/pub/one", "////x/pub/one"),
            ("/pub/*", "//u@x:80//pub/one"),
            ("/pub/one", "/%2Fx/pub/one"),
            ("/", "//pub"),
        ] {
            assert_eq!(matched(pattern, path), (true, false), "{pattern} {path}");
        }
        assert_eq!(matched("/pub/one", "/pub/one"), (true, true));
        assert_eq!(matched("/", "/"), (true, true));
        assert_eq!(matched("/orders/*", "/orders/"), (true, true));
        assert_eq!(matched("/pub/*", "//pub/x/one"), (true, false));
    }

    #[test]
    fn another_path_is_not_met() {
        for (pattern, path) in [
            ("/pub/one", "/pub/one/two"),
            ("/pub/one", "/pub/one.txt"),
            ("/pub/one", "/pub/on"),
            ("/orders/*", "/orders"),
            ("/orders/*", "/ORDERS"),
            ("/", "/a"),
            ("/a", "/"),
        ] {
            assert_eq!(matched(pattern, path), (false, false), "{pattern} {path}");
        }
    }

    #[test]
    fn the_facts_of_a_request_have_it() {
        let mut reader = crate::wire::http::h1::HeadReader::default();
        let mut head = crate::wire::http::Head::default();
        let mut input = &b"GET /Pub/One/ HTTP/1.1\r\nHost: a\r\n\r\n"[..];
        let kind = crate::wire::http::h1::read::Kind::Request;
        assert_eq!(reader.next(&mut input, &mut head, kind), Ok(true));
        let action = super::super::action(&head, false, &[]);
        let facts: Vec<_> = action.acts.iter().flat_map(|act| act.facts.iter()).collect();
        let like = |path: &str| crate::decide::Fact::like(FactKind::Path, path);
        assert!(facts.contains(&&like("/pub/one")) && facts.contains(&&like("/pub/one/")));
    }
}
