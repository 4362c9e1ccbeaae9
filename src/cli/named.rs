//! Which recorded session is meant by an id, or by the first characters of one.
//!
//! In: what somebody typed, the record. Out: an id. Never: one of several that begin so.

use std::collections::BTreeSet;

use super::fail::{EXIT_NOT_FOUND, EXIT_USAGE, Failure};
use crate::admin::shape;
use crate::record::SessionId;
use crate::record::lake::{Filter, Lake};

/// An id begins with its time: fewer characters are those of days of sessions.
const CHARACTERS_MIN: usize = 6;
/// So many are named of those that begin alike.
const NAMED_MAX: usize = 5;

/// The session of this id, whether it is recorded or not, or the one recorded session whose id
/// begins so.
///
/// # Errors
/// It is no id; none begins so, or several do.
pub(super) fn session(text: &str, lake: &Lake) -> Result<SessionId, Failure> {
    if let Some(id) = shape::id_parse(text) {
        return Ok(id);
    }
    let begin = text.trim().to_ascii_lowercase();
    if !is_beginning(&begin) {
        return Err(Failure::new(EXIT_NOT_FOUND, format!("{text} is no id of a session")).hint(
            format!(
                "`weir sessions` lists them; an id is a UUID, or the first {CHARACTERS_MIN} \
                 characters of it and more"
            ),
        ));
    }
    let filter = Filter { since_us: since_us(&begin), ..Filter::default() };
    let rows = lake.sessions(&filter).map_err(super::lake_failure)?;
    let ids = rows.into_iter().map(|row| row.common.session_id);
    meant(&begin, ids.filter(|id| id.starts_with(&begin)).collect())
}

fn meant(begin: &str, ids: BTreeSet<String>) -> Result<SessionId, Failure> {
    let mut found = ids.iter();
    match (found.next().and_then(|id| shape::id_parse(id)), ids.len()) {
        (Some(id), 1) => Ok(id),
        (_, 0) => {
            let words = format!("no session is recorded there whose id begins with {begin}");
            Err(Failure::new(EXIT_NOT_FOUND, words).hint("`weir sessions` lists them"))
        }
        (_, count) => {
            let mut named: Vec<&str> = ids.iter().take(NAMED_MAX).map(String::as_str).collect();
            if count > NAMED_MAX {
                named.push("...");
            }
            let words = format!("the ids of {count} sessions begin with {begin}");
            Err(Failure::new(EXIT_USAGE, words)
                .hint(format!("write more of it: {}", named.join(", "))))
        }
    }
}

/// Whether a UUID can begin so.
fn is_beginning(begin: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    let length = begin.len();
    (CHARACTERS_MIN..36).contains(&length) && begin.bytes().enumerate().all(fits)
}

/// The earliest time of an id that begins so: its first 48 bits are milliseconds (RFC 9562 5.7).
/// What is recorded of a session is no older.
fn since_us(begin: &str) -> Option<i64> {
    let digits: String = begin.chars().filter(char::is_ascii_hexdigit).take(12).collect();
    let since_ms = i64::from_str_radix(&format!("{digits:0<12}"), 16).ok()?;
    since_ms.checked_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "019365a0-17e2-7abc-8def-0123456789ab";
    const TWO: &str = "019365a0-17e2-7abc-8def-0123456789ac";

    #[test]
    fn one_that_begins_so_is_meant_and_of_several_none() {
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(meant("019365", ids(&[ONE])).ok(), shape::id_parse(ONE));
        let none = meant("019365", ids(&[])).expect_err("none begins so");
        assert_eq!(none.code(), EXIT_NOT_FOUND);
        let both = meant("019365", ids(&[ONE, TWO])).expect_err("two begin so");
        assert_eq!(both.code(), EXIT_USAGE);
        let words = format!("{both:?}");
        assert!(words.contains("the ids of 2 sessions begin with 019365"), "{words}");
        assert!(words.contains(ONE) && words.contains(TWO), "{words}");
    }

    #[test]
    fn what_cannot_begin_an_id_is_none() {
        for good in ["019365", "019365a0-17e2-7", &ONE[..35]] {
            assert!(is_beginning(good), "{good}");
        }
        for bad in ["", "01936", "019365a017", "019365x", "019365a0-17e27", "----------", ONE] {
            assert!(!is_beginning(bad), "{bad}");
        }
    }

    #[test]
    fn an_id_says_since_when_its_session_can_have_been() {
        assert_eq!(since_us("019365a0-17e2-7abc"), Some(0x0193_65a0_17e2 * 1_000));
        assert_eq!(since_us("019365"), Some(0x0193_6500_0000 * 1_000));
    }
}
