//! Whether the target reads texts as weir does.
//!
//! In: what the client asks for at start-up, reported settings, commands that may change them.
//! Out: whether a text is read the same on both sides. Never: a setting kept because a target
//! happened to name it; there is no end to names.
//!
//! Two settings matter: with `standard_conforming_strings` off a backslash escapes in every string,
//! and in some values of `client_encoding` the second byte of a character may be a quote or a
//! backslash (mbutils.c, `pg_client_to_server`: the text is converted before it is parsed). A text
//! of ASCII without a backslash is read the same under all of them.
//!
//! PostgreSQL reports both settings, from version 14 on right before ReadyForQuery (postgres.c,
//! `ReportChangedGUCOptions`). So a change is known when the pipeline that made it is answered.

use std::borrow::Cow;

use crate::decide::sql::classify::{Grammar, Misread, misread};
use crate::decide::sql::encoding;
use crate::session::postgres::state::Epoch;

/// What may be done with a text now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// Both sides read it the same.
    Same,
    /// They may not, or an earlier message of its own pipeline may change whether they do.
    Otherwise,
    /// An earlier pipeline may change whether they do, and is not answered yet.
    Unsettled,
}

/// What is known of the two settings.
#[derive(Debug, Default)]
pub struct Reading {
    strings: bool,
    encoding: bool,
    /// One of them was once such that texts were read otherwise; a transaction that ends, or a
    /// RESET, may bring that back.
    was_otherwise: bool,
    /// The newest pipeline that may change them.
    doubt: Option<Epoch>,
    /// The newest pipeline with a text whose reading depends on them.
    dependent: Option<Epoch>,
    said: Said,
}

/// What the target itself has said, under the names that are its own.
#[derive(Debug, Default)]
struct Said {
    /// By which grammar it parses texts.
    grammar: Grammar,
    /// `standard_conforming_strings` is on.
    strings_on: bool,
    /// `client_encoding`, unless it is UTF8.
    encoding: Option<Box<str>>,
}

const STRINGS: &str = "\n\nstandard_conforming_strings is off in this session: in '..' a \
    backslash takes the next character, also a quote";

const SECOND_BYTE: &str = "a quote or a backslash may be the second byte of a character, and a \
    string end elsewhere than it seems to";

const DOUBTFUL: &str = "\n\nwhat was sent right before may change standard_conforming_strings or \
    client_encoding, and with them how this text is read";

impl Reading {
    /// A session whose client asks for these settings. Until the target says otherwise it is taken
    /// to have them.
    pub fn asked<'p>(settings: impl Iterator<Item = (&'p str, &'p str)>) -> Reading {
        let mut reading = Reading::default();
        settings.for_each(|(name, value)| reading.doubt_value(name, value));
        reading
    }

    fn doubt_value(&mut self, name: &str, value: &str) {
        if let Some((kind, true)) = misread(name, value) {
            *self.wrong(kind) = true;
            self.was_otherwise = true;
        }
    }

    fn wrong(&mut self, kind: Misread) -> &mut bool {
        match kind {
            Misread::Strings => &mut self.strings,
            Misread::Encoding => &mut self.encoding,
        }
    }

    /// Takes a ParameterStatus. Any spelling of a setting brings a doubt, its own name alone ends
    /// one. False when the target read a text otherwise than weir did: nothing that was sent could
    /// have changed the setting, and a text that depends on it is not answered.
    #[must_use]
    pub fn note(&mut self, name: &str, value: &str, settled: Option<Epoch>) -> bool {
        let was_safe = self.is_safe();
        match name {
            "standard_conforming_strings" => {
                self.strings = false;
                self.said.strings_on = value == "on";
            }
            "client_encoding" => {
                self.encoding = false;
                self.said.encoding = (value != "UTF8").then(|| value.into());
            }
            "server_version" => self.said.grammar = Grammar::of(value),
            _ => {}
        }
        self.doubt_value(name, value);
        let open = |epoch: Option<Epoch>| epoch.is_some_and(|epoch| settled < Some(epoch));
        let foreseen = !open(self.dependent) || open(self.doubt);
        !was_safe || self.is_safe() || foreseen
    }

    /// Whether the target reads texts as weir does, as far as it has said.
    pub fn is_safe(&self) -> bool {
        !self.strings && !self.encoding
    }

    /// A text that both sides read the same, in UTF-8; `None` if it cannot be told what it says.
    pub fn in_utf8<'t>(&self, text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
        match &self.said.encoding {
            Some(encoding) if !text.is_ascii() => encoding::to_utf8(encoding, text),
            _ => Some(text.into()),
        }
    }

    /// The encoding of these bytes of the client, as the target names it; nothing where they are
    /// UTF-8 or ASCII. While it may be changing it is told only that it is not known, and only of a
    /// client that has had another one.
    pub fn encoding_of(&self, bytes: &[u8], settled: Option<Epoch>) -> &str {
        match &self.said.encoding {
            Some(_) if !bytes.is_ascii() && self.doubt.is_some_and(|it| settled < Some(it)) => {
                "unknown"
            }
            Some(encoding) if !bytes.is_ascii() => encoding,
            _ => "",
        }
    }

    /// How the target reads texts otherwise than they look, for people who are asked what one does;
    /// nothing where it does not.
    pub fn said(&self, settled: Option<Epoch>) -> String {
        let mut said = String::new();
        if self.strings {
            said.push_str(STRINGS);
        }
        if self.encoding {
            let value = self.said.encoding.as_deref().unwrap_or("unknown");
            said.push_str(&format!(
                "\n\nclient_encoding is {value:?} in this session: {SECOND_BYTE}"
            ));
        }
        if self.doubt.is_some_and(|it| settled < Some(it)) {
            said.push_str(DOUBTFUL);
        }
        said
    }

    /// The grammar that tells whether a text which is none for the parser here is none for the
    /// target either; it is known only while the target has said how it reads strings.
    pub fn grammar(&self) -> Grammar {
        match self.said.strings_on && self.is_safe() {
            true => self.said.grammar,
            false => Grammar::Unknown,
        }
    }

    /// Whether the end of a transaction, or a RESET, may make the target read otherwise.
    pub fn may_return(&self) -> bool {
        self.was_otherwise
    }

    /// A message of this pipeline may change the settings.
    pub fn will_change(&mut self, now: Epoch) {
        self.doubt = Some(now);
    }

    /// How a text is read that is sent in the pipeline `now`.
    pub fn reads(&mut self, text: &[u8], now: Epoch, settled: Option<Epoch>) -> Reads {
        let doubt = self.doubt.filter(|&doubt| settled < Some(doubt));
        let plain = text.is_ascii() && memchr::memchr(b'\\', text).is_none();
        match doubt {
            _ if plain && self.is_safe() => Reads::Same,
            Some(doubt) if doubt != now => Reads::Unsettled,
            Some(_) => Reads::Otherwise,
            None if !self.is_safe() => Reads::Otherwise,
            None => {
                self.dependent = Some(now);
                Reads::Same
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_come_with_any_spelling_and_go_with_the_name() {
        let mut reading = Reading::default();
        let mut note = |name, value| {
            assert!(reading.note(name, value, None));
            reading.is_safe()
        };
        assert!(note("server_version", "18.1"));
        assert!(!note("client_encoding", "SJIS"));
        assert!(!note("Client__Encoding", "UTF8"));
        assert!(!note("standard_conforming_strings", "on"));
        assert!(note("client_encoding", "UTF8"));
        assert!(!note("Client__Encoding", "SJIS"));
    }

    #[test]
    fn what_a_client_asks_for_counts_until_the_target_speaks() {
        for (name, value) in [("client_encoding", "SJIS"), ("STANDARD_conforming_strings", "0")] {
            let mut reading = Reading::asked([(name, value)].into_iter());
            assert!(!reading.is_safe() && reading.may_return(), "{name}={value}");
            assert!(reading.note("client_encoding", "UTF8", None));
            assert!(reading.note("standard_conforming_strings", "on", None));
            assert!(reading.is_safe() && reading.may_return(), "{name}={value}");
        }
        let reading = Reading::asked([("client_encoding", "UTF8"), ("geqo", "off")].into_iter());
        assert!(reading.is_safe() && !reading.may_return());
    }

    #[test]
    fn a_text_that_could_be_read_otherwise_waits_for_what_may_change_that() {
        let mut reading = Reading::default();
        assert_eq!(reading.reads(b"select 'a\\b'", 0, None), Reads::Same);
        reading.will_change(1);
        for (text, own, next) in [
            (&b"select 'x'"[..], Reads::Same, Reads::Same),
            (b"select 'a\\b'", Reads::Otherwise, Reads::Unsettled),
            (b"select '\xc3\xa9'", Reads::Otherwise, Reads::Unsettled),
        ] {
            assert_eq!(reading.reads(text, 1, Some(0)), own);
            assert_eq!(reading.reads(text, 2, Some(0)), next);
            assert_eq!(reading.reads(text, 2, Some(1)), Reads::Same);
        }
    }

    #[test]
    fn a_target_has_to_say_what_its_grammar_and_its_encoding_are() {
        let mut reading = Reading::default();
        let latin = b"select '\xe9'";
        assert_eq!(reading.grammar(), Grammar::Unknown);
        assert_eq!(reading.in_utf8(latin).as_deref(), Some(&latin[..]), "nothing said: as it is");
        for (name, value) in [
            ("client_encoding", "LATIN1"),
            ("server_version", "18.1 (Debian 18.1-1)"),
            ("standard_conforming_strings", "on"),
        ] {
            assert_eq!(reading.grammar(), Grammar::Unknown, "{name}");
            assert!(reading.note(name, value, None));
        }
        assert_eq!(reading.grammar(), Grammar::Same);
        assert_eq!(reading.in_utf8(latin).as_deref(), Some("select '\u{e9}'".as_bytes()));
        assert_eq!(reading.encoding_of(latin, None), "LATIN1");
        assert_eq!(reading.encoding_of(b"select 1", None), "");
        reading.will_change(7);
        assert_eq!(reading.encoding_of(latin, Some(6)), "unknown");
        assert_eq!(reading.encoding_of(latin, Some(7)), "LATIN1");
        assert!(reading.note("client_encoding", "EUC_TW", None));
        assert_eq!(reading.in_utf8(b"select '\xa4\xa1'"), None, "not in the table");
        assert!(reading.note("server_version", "17.6", None));
        assert_eq!(reading.grammar(), Grammar::Older);
        assert!(reading.note("standard_conforming_strings", "off", None));
        assert_eq!(reading.grammar(), Grammar::Unknown);
    }

    #[test]
    fn a_text_that_was_read_otherwise_is_a_contradiction() {
        let mut reading = Reading::default();
        assert_eq!(reading.reads(b"select '\\'", 3, Some(2)), Reads::Same);
        assert!(!reading.note("standard_conforming_strings", "off", Some(2)));
        let mut reading = Reading::default();
        assert_eq!(reading.reads(b"select '\\'", 3, Some(2)), Reads::Same);
        assert!(reading.note("standard_conforming_strings", "off", Some(3)), "it was answered");
    }
}
