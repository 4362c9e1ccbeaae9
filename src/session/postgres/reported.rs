//! Settings of the target, as far as weir has to know them.
//!
//! In: what the client asks for at start-up, bodies of ParameterStatus. Out: whether the target
//! reads texts as weir does.
//! Never: a setting kept because a target happened to name it; there is no end to names.

use crate::decide::sql::classify::{Misread, misread};
use crate::fault::{Fault, Malformed};
use crate::wire::reader::Reader;

use super::ready::server_malformed;

/// What is known of the target's settings. While it may read texts otherwise than weir does, every
/// text is of class `unknown`.
#[derive(Debug, Default)]
pub struct Reported {
    /// `server_version`.
    pub server_version: String,
    strings: bool,
    encoding: bool,
}

impl Reported {
    /// A session whose client asks for these settings. Until the target says otherwise it is taken
    /// to have them.
    pub fn asked<'p>(params: impl Iterator<Item = (&'p [u8], &'p [u8])>) -> Reported {
        let mut reported = Reported::default();
        for (name, value) in params {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            if name == "options" {
                options(&value).for_each(|(name, value)| reported.doubt(name, value));
            } else {
                reported.doubt(&name, &value);
            }
        }
        reported
    }

    fn doubt(&mut self, name: &str, value: &str) {
        if let Some((kind, true)) = misread(name, value) {
            *self.wrong(kind) = true;
        }
    }

    fn wrong(&mut self, kind: Misread) -> &mut bool {
        match kind {
            Misread::Strings => &mut self.strings,
            Misread::Encoding => &mut self.encoding,
        }
    }

    /// Takes the body of a ParameterStatus. Any spelling of a setting brings a doubt, its own name
    /// alone ends one.
    ///
    /// # Errors
    /// It has another shape.
    pub fn note(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(body);
        let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        match name {
            b"server_version" => {
                self.server_version = String::from_utf8_lossy(value).into_owned();
            }
            b"standard_conforming_strings" => self.strings = false,
            b"client_encoding" => self.encoding = false,
            _ => {}
        }
        self.doubt(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
        Ok(())
    }

    /// Whether the target reads texts as weir does.
    pub fn is_safe(&self) -> bool {
        !self.strings && !self.encoding
    }
}

/// Settings of the start-up parameter `options`: `-c name=value` or `--name=value` (PostgreSQL:
/// postgres.c, `process_postgres_switches`).
fn options(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let words = value.split(|c: char| c.is_ascii_whitespace() || c == '\\');
    let settings = words.map(|word| word.trim_start_matches("-c").trim_start_matches("--"));
    settings.filter_map(|setting| setting.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_come_with_any_spelling_and_go_with_the_name() {
        let mut reported = Reported::default();
        let mut note = |body: &[u8]| reported.note(body).map(|()| reported.is_safe());
        assert_eq!(note(b"server_version\x0018.1\0"), Ok(true));
        assert_eq!(note(b"client_encoding\0SJIS\0"), Ok(false));
        assert_eq!(note(b"Client__Encoding\0UTF8\0"), Ok(false));
        assert_eq!(note(b"standard_conforming_strings\0on\0"), Ok(false));
        assert_eq!(note(b"client_encoding\0UTF8\0"), Ok(true));
        assert_eq!(note(b"Client__Encoding\0SJIS\0"), Ok(false));
        assert!(note(b"client_encoding\0").is_err());
    }

    #[test]
    fn what_a_client_asks_for_counts_until_the_target_speaks() {
        for (name, value) in [
            ("client_encoding", "SJIS"),
            ("STANDARD_conforming_strings", "0"),
            ("options", "-c standard_conforming_strings=off"),
            ("options", "-c geqo=off --client-encoding=big5"),
        ] {
            let params = [(name.as_bytes(), value.as_bytes())];
            let mut reported = Reported::asked(params.into_iter());
            assert!(!reported.is_safe(), "{name}={value}");
            reported.note(b"client_encoding\0UTF8\0").expect("well-formed");
            reported.note(b"standard_conforming_strings\0on\0").expect("well-formed");
            assert!(reported.is_safe(), "{name}={value}");
        }
        let params = [(&b"client_encoding"[..], &b"UTF8"[..]), (b"options", b"-c geqo=off")];
        assert!(Reported::asked(params.into_iter()).is_safe());
    }
}
