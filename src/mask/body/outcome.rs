//! What an apiserver says of an act: a Status, which is nothing of an object.
//!
//! In: the tokens of a document. Out: whether a value is a Status' own. Never: a field of an
//! object of another kind; those that clusters define have a group in their version, and a Status
//! has none.

use crate::wire::http::head::Span;
use crate::wire::http::json::{Segment, Token, Walk, text};

/// Where an event of a watch has its object.
const OBJECT: Segment<'_> = Segment::Key(b"object");
/// Details that clients act on: which object it was, and when to come back.
const DETAILS: [&[u8]; 5] = [b"name", b"group", b"kind", b"uid", b"retryAfterSeconds"];

/// What a document, and an event's object in it, have said of themselves so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    is_kind: [bool; 2],
    is_version: [bool; 2],
}

/// The place of a field: 0 below the root, 1 below an event's object.
fn level(walk: &Walk, depth: usize) -> Option<usize> {
    match depth {
        1 => Some(0),
        2 if walk.path().next() == Some(OBJECT) => Some(1),
        _ => None,
    }
}

impl Said {
    /// Takes in every token.
    pub fn tell(&mut self, walk: &Walk, token: Token, (bytes, span): (&[u8], Span)) {
        let depth = walk.depth();
        match token {
            Token::Object if depth == 1 => *self = Said::default(),
            Token::Object => {
                if let Some(1) = level(walk, depth) {
                    (self.is_kind[1], self.is_version[1]) = (false, false);
                }
            }
            Token::Text => {
                let Some(level) = level(walk, depth) else { return };
                let said = text::inner(bytes, span);
                match walk.path().nth(level) {
                    Some(Segment::Key(b"kind")) => self.is_kind[level] = said == b"Status",
                    Some(Segment::Key(b"apiVersion")) => self.is_version[level] = said == b"v1",
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Whether a value is one of a Status (apimachinery, meta/v1, `Status`), which has its kind in
    /// front. `Success` and `Failure` are no values wherever it stands.
    pub fn is_outcome(&self, walk: &Walk, token: Token, (bytes, span): (&[u8], Span)) -> bool {
        let depth = walk.depth();
        let is_status = |level: usize| self.is_kind[level] && self.is_version[level];
        if let Some(level) = level(walk, depth) {
            let is_word =
                token == Token::Text && matches!(text::inner(bytes, span), b"Success" | b"Failure");
            return match walk.path().nth(level) {
                Some(Segment::Key(b"status")) => is_word,
                Some(Segment::Key(b"reason" | b"code")) => is_status(level),
                _ => false,
            };
        }
        let Some(level) = depth.checked_sub(1).and_then(|depth| level(walk, depth)) else {
            return false;
        };
        let mut path = walk.path().skip(level);
        path.next() == Some(Segment::Key(b"details"))
            && is_status(level)
            && matches!(path.next(), Some(Segment::Key(name)) if DETAILS.contains(&name))
    }
}
