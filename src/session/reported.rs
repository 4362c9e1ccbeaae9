//! Settings that the target reports, as far as weir has to know them.
//!
//! In: bodies of ParameterStatus. Out: whether the target still reads texts as weir does.
//! Never: a setting kept because a target happened to name it; there is no end to names.

use crate::decide::classify::changes_parsing;
use crate::fault::{Fault, Malformed};
use crate::limits;
use crate::wire::reader::Reader;

use super::ready::server_malformed;

/// What the target has reported so far.
#[derive(Debug, Default)]
pub struct Reported {
    /// `server_version`.
    pub server_version: String,
    /// Settings under which the target reads texts otherwise than weir does; while there is one,
    /// every text is of class `unknown`.
    hazards: Vec<Box<[u8]>>,
}

impl Reported {
    /// Takes the body of a ParameterStatus.
    ///
    /// # Errors
    /// It has another shape, or is one of more spellings of a hazard than any target has.
    pub fn note(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(body);
        let (Some(name), Some(value)) = (reader.cstr(), reader.cstr()) else {
            return Err(server_malformed(Malformed::MessageBody));
        };
        if name == b"server_version" {
            self.server_version = String::from_utf8_lossy(value).into_owned();
        }
        self.hazards.retain(|known| &**known != name);
        if changes_parsing(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value)) {
            if self.hazards.len() == limits::REPORTED_HAZARDS_MAX {
                return Err(server_malformed(Malformed::MessageBody));
            }
            self.hazards.push(name.into());
        }
        Ok(())
    }

    /// Whether the target reads texts as weir does.
    pub fn is_safe(&self) -> bool {
        self.hazards.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazards_come_and_go_and_have_a_bound() {
        let mut reported = Reported::default();
        let mut note = |body: &[u8]| reported.note(body).map(|()| reported.is_safe());
        assert_eq!(note(b"server_version\x0018.1\0"), Ok(true));
        assert_eq!(note(b"client_encoding\0SJIS\0"), Ok(false));
        assert_eq!(note(b"client_encoding\0UTF8\0"), Ok(true));
        assert!(note(b"client_encoding\0").is_err());
        let refused =
            (0..100).map(|n| note(format!("client_enc{}oding\0SJIS\0", "_".repeat(n)).as_bytes()));
        assert_eq!(refused.filter(Result::is_err).count(), 100 - limits::REPORTED_HAZARDS_MAX);
    }
}
