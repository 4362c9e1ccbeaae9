//! Settings of a start-up packet, judged as the SET that each of them is.
//!
//! In: names and values as the client sends them. Out: settings, and which class each has.
//! Never: a setting of `options` overlooked; a word there that is not understood is `unknown`.

use crate::decide::sql::classify::changes_parsing;
use crate::decide::{Act, Class, Fact, FactKind};
use crate::mask::sql::redact;

/// A setting that a session begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, or a switch of the server's command line.
    pub name: String,
    /// Its value.
    pub value: String,
    /// It stood in `options`, in a way that is no assignment.
    odd: bool,
}

impl Setting {
    /// The class of the SET that it is; `None` for the harmless, which every client may set.
    pub fn class(&self) -> Option<Class> {
        let is = |name: &&str| self.name.eq_ignore_ascii_case(name);
        if self.odd {
            Some(Class::Unknown)
        } else if ROLES.iter().any(&is) {
            Some(Class::SetRole)
        } else if changes_parsing(&self.name, &self.value) {
            Some(Class::Unknown)
        } else if HARMLESS.iter().any(is) {
            None
        } else {
            Some(Class::Session)
        }
    }
}

impl Setting {
    /// The SET that it is, for rules; a harmless one, too. Names mean the same in any case (guc.c,
    /// `guc_name_compare`).
    pub fn act(&self) -> Act {
        let fact = match self.odd {
            true => Fact::unclear(FactKind::Setting),
            false => Fact::is(FactKind::Setting, self.name.to_ascii_lowercase()),
        };
        Act { facts: vec![fact], ..Act::of(self.class().unwrap_or(Class::Session), "SET") }
    }
}

/// Settings that change who the session is.
const ROLES: [&str; 2] = ["role", "session_authorization"];

/// Settings that drivers send of themselves: how values are written, how long things may take, what
/// is said of the client; `client_encoding` and `standard_conforming_strings` with values by which
/// texts are read as weir reads them.
const HARMLESS: [&str; 22] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "DateStyle",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "IntervalStyle",
    "jit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "standard_conforming_strings",
    "statement_timeout",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "TimeZone",
    "transaction_timeout",
];

/// All settings of these parameters, those inside of `options` too, in the order in which they are
/// sent.
pub fn settings<'p>(params: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, value) in params {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        if name == "options" {
            options(&value, &mut settings);
        } else {
            settings.push(Setting { name: name.into(), value: value.into(), odd: false });
        }
    }
    settings
}

/// Settings as JSON, for the record: names and values in their order, credentials hidden. Empty
/// where there are none.
pub fn json(settings: &[Setting]) -> String {
    if settings.is_empty() {
        return String::new();
    }
    let pairs = settings.iter().map(|it| match it.odd {
        // Where the name ends is not known.
        true => {
            let (name, value) = (redact::setting("", &it.name), redact::setting("", &it.value));
            serde_json::json!([name, value])
        }
        false => serde_json::json!([it.name, redact::setting(&it.name, &it.value)]),
    });
    serde_json::Value::Array(pairs.collect()).to_string()
}

/// The words of `options` (postinit.c, `pg_split_opts`): blanks separate them, a backslash takes
/// the next character as it is.
fn words(options: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = options.chars();
    while let Some(character) = characters.next() {
        match character {
            // isspace() in any locale that a server starts with.
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(characters.next()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// `-c name=value`, `-cname=value` and `--name=value` are settings (postgres.c,
/// `process_postgres_switches`; guc.c, `ParseLongOption`, where `-` in a name stands for `_`). All
/// other switches are odd.
fn options(options: &str, settings: &mut Vec<Setting>) {
    let mut words = words(options).into_iter();
    while let Some(word) = words.next() {
        let assignment = match word.strip_prefix("--") {
            Some(long) => Some(long.to_owned()),
            None => match word.strip_prefix("-c") {
                Some("") => words.next(),
                short => short.map(str::to_owned),
            },
        };
        let pair = assignment.as_deref().and_then(|it| it.split_once('='));
        settings.push(match pair {
            Some((name, value)) if !name.is_empty() => {
                Setting { name: name.replace('-', "_"), value: value.to_owned(), odd: false }
            }
            _ => Setting { name: word, value: assignment.unwrap_or_default(), odd: true },
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &str, expect: &[(&str, &str, Option<Class>)]) {
        let params = [(&b"options"[..], options.as_bytes())];
        let found = settings(params.into_iter());
        let found: Vec<_> =
            found.iter().map(|s| (s.name.as_str(), s.value.as_str(), s.class())).collect();
        assert_eq!(found, expect, "{options}");
    }

    #[test]
    fn options_are_read_as_the_server_reads_them() {
        let session = Some(Class::Session);
        check("", &[]);
        check("  ", &[]);
        check("-c geqo=off", &[("geqo", "off", None)]);
        check(
            "-cgeqo=off --search-path=evil,public",
            &[("geqo", "off", None), ("search_path", "evil,public", session)],
        );
        check("-c role=boss", &[("role", "boss", Some(Class::SetRole))]);
        check("-c ROLE=boss", &[("ROLE", "boss", Some(Class::SetRole))]);
        check("--session-authorization=x", &[("session_authorization", "x", Some(Class::SetRole))]);
        check("-c\\ role=boss", &[(" role", "boss", session)]);
        check("-c search_path=a\\ b\\\\", &[("search_path", "a b\\", session)]);
        check("-c work_mem=1=2", &[("work_mem", "1=2", session)]);
    }

    #[test]
    fn what_changes_how_texts_are_read_is_unknown_as_its_set_is() {
        let unknown = Some(Class::Unknown);
        for (name, value, class) in [
            ("standard_conforming_strings", "off", unknown),
            ("Standard_Conforming_Strings", "0", unknown),
            ("standard_conforming_strings", "on", None),
            ("client_encoding", "SJIS", unknown),
            ("client_encoding", "latin1", None),
            ("CLIENT_ENCODING", "'utf-8'", None),
        ] {
            check(&format!("-c {name}={value}"), &[(name, value, class)]);
        }
    }

    #[test]
    fn credentials_are_not_recorded() {
        let options = "-c app.password=X -c geqo=off --my.api-key=X -c \
            a.b=postgres://u:Xqzv7X@h/db -c a.c=host=h\\ password=X -p password=X";
        let params = [(&b"options"[..], options.as_bytes()), (&b"app.secret"[..], &b"X"[..])];
        let json = json(&settings(params.into_iter()));
        assert!(!json.contains('X'), "{json}");
        assert!(json.contains(r#"["geqo","off"]"#), "{json}");
    }

    #[test]
    fn what_is_no_assignment_is_odd() {
        let odd = Some(Class::Unknown);
        check("-c", &[("-c", "", odd)]);
        check("-c role", &[("-c", "role", odd)]);
        check("-c =x", &[("-c", "=x", odd)]);
        check("--", &[("--", "", odd)]);
        check("-S 64", &[("-S", "", odd), ("64", "", odd)]);
        check("-Fc role=boss", &[("-Fc", "", odd), ("role=boss", "", odd)]);
        check("geqo=off", &[("geqo=off", "", odd)]);
    }
}
