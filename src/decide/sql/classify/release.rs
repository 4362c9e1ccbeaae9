//! What the grammars of PostgreSQL's releases have in common, for texts that the parser refuses.
//!
//! In: what a server says its version is, a text with a syntax error. Out: whether that server
//! refuses the text, too. Never: a release, or a text, that may be read otherwise.
//!
//! From one release to the next the grammar takes more. A text of an older release that a newer one
//! refuses has a word that became another kind of word meanwhile (`pg_get_keywords()`), or a form
//! that was given up. Of both there are few (`CHANGED`, and `$1abc`, which was `$1 AS abc` before
//! release 16). Definitions have more forms than can be looked through, and are left out.

/// The release of PostgreSQL whose grammar the parser has (libpg_query).
pub const PARSED_MAJOR: u32 = 18;

/// The oldest release whose grammar was compared with that one. Before it `1abc` was `1 AS abc`.
const COMPARED_MAJOR: u32 = 15;

/// How the grammar of a server is related to the parser's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grammar {
    /// Nobody knows.
    #[default]
    Unknown,
    /// It is an older one; what is in both is known.
    Older,
    /// It is the same.
    Same,
}

impl Grammar {
    /// Of a server that reports this `server_version`: the number of a release, and what a packager
    /// may add in parentheses. Servers that only resemble PostgreSQL, with forms of their own, have
    /// versions of another shape (`15.4.0`, `15.2-YB-2.25`).
    pub fn of(server_version: &str) -> Grammar {
        let number = server_version.split_once(" (").map_or(server_version, |(number, _)| number);
        let parts: Option<Vec<u32>> = number.split('.').map(|part| part.parse().ok()).collect();
        match parts.as_deref() {
            Some([PARSED_MAJOR, _]) => Grammar::Same,
            Some([COMPARED_MAJOR..PARSED_MAJOR, _]) => Grammar::Older,
            _ => Grammar::Unknown,
        }
    }

    /// Whether a server of this grammar refuses a text that the parser here refuses.
    pub(super) fn refuses(self, text: &[u8]) -> bool {
        match self {
            Grammar::Unknown => false,
            Grammar::Same => text.is_ascii(),
            Grammar::Older => text.is_ascii() && !may_have_changed(text),
        }
    }
}

/// Words that were another kind of word in an older release, a function or a name for example; and
/// those that begin definitions.
const CHANGED: [&[u8]; 19] = [
    b"json",
    b"json_array",
    b"json_arrayagg",
    b"json_exists",
    b"json_object",
    b"json_objectagg",
    b"json_query",
    b"json_scalar",
    b"json_serialize",
    b"json_table",
    b"json_value",
    b"merge_action",
    b"recheck",
    b"system_user",
    // Read together with the word behind it.
    b"without",
    b"alter",
    b"create",
    b"grant",
    b"revoke",
];

/// Wherever a word stands: a quote that is open in one release need not be in another.
fn may_have_changed(text: &[u8]) -> bool {
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    text.split(|byte| !is_word(byte)).any(|word| {
        let junk = word.strip_prefix(b"$").is_some_and(|rest| {
            rest.first().is_some_and(u8::is_ascii_digit) && !rest.iter().all(u8::is_ascii_digit)
        });
        junk || CHANGED.iter().any(|changed| word.eq_ignore_ascii_case(changed))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_by_their_numbers() {
        let check = |version, expect| assert_eq!(Grammar::of(version), expect, "{version}");
        check("18.1", Grammar::Same);
        check("18.6 (Debian 18.6-1.pgdg12+1)", Grammar::Same);
        check("17.6", Grammar::Older);
        check("15.18 (Debian 15.18-0+deb12u1)", Grammar::Older);
        for other in ["14.19", "19.0", "19devel", "18beta1", "15.4.0", "15.2-YB-2.25.0.0-b0", "15"]
        {
            check(other, Grammar::Unknown);
        }
        check("", Grammar::Unknown);
        check("13.0.0", Grammar::Unknown);
    }

    #[test]
    fn a_text_that_an_older_release_may_take_is_not_its_to_refuse() {
        for text in [
            "SELECT 1 AS a FROM t SYSTEM_USER",
            "select json_value(a, b) from t",
            "select $1abc",
            "create table t(format json)",
            "SELECT 'x' recheck",
        ] {
            assert!(!Grammar::Older.refuses(text.as_bytes()), "{text}");
            assert!(Grammar::Same.refuses(text.as_bytes()), "{text}");
            assert!(!Grammar::Unknown.refuses(text.as_bytes()), "{text}");
        }
        for text in ["selec 1", "select * fro orders", "select 'abc", "select $1 from", "update"] {
            assert!(Grammar::Older.refuses(text.as_bytes()), "{text}");
        }
        assert!(!Grammar::Same.refuses("selec '\u{e9}'".as_bytes()));
    }
}
