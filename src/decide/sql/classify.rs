//! Command text to classified statements, by PostgreSQL's own parser, cached per shape of text.
//!
//! In: the bytes of a command. Out: `Classified`. Never: an error (what does not parse is
//! `Unknown`), a look into functions, views or rules of the target (what they do is the target's
//! business), a result that depends on a literal other than those of `set_config`.
//!
//! ```text
//!   text --recent, shape--> key --cache--> Classified
//!                            |               ^
//!                            +-- miss: parse | tree, statement, references
//! ```
//!
//! `shape` makes one key of all texts that differ in plain literals only, so that
//! `... WHERE id = 1` and `... WHERE id = 2` are parsed once. libpg_query keeps its state per
//! thread and checks the depth of its stack; prost refuses trees deeper than 100 messages (some 50
//! nested operators or 100 UNIONs): such a text is `Unknown` too.

mod bounds;
mod cache;
mod catalog;
mod change;
mod copy;
mod functions;
mod references;
mod replication;
mod shape;
mod statement;
mod tree;

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use super::{Class, Classified, Effect, Statement};
use crate::limits;
use crate::mask::sql::redact::may_hold_credential;
use cache::{Cache, Recent};

pub use functions::{Misread, misread};
pub use replication::replication;

/// The cache of one shard.
#[derive(Debug, Default)]
pub struct Classifier {
    /// By text, those without literals.
    recent: Recent,
    /// By shape: literals replaced.
    shapes: Cache,
    /// By text, where `shape` declines.
    texts: Cache,
    /// Reused for every shape.
    buffer: Vec<u8>,
}

impl Classifier {
    /// An empty cache with the bounds of `limits`.
    pub fn new() -> Classifier {
        Classifier::default()
    }

    /// Classifies a text. Never fails: what does not parse is one statement of class `Unknown`.
    pub fn classify(&mut self, text: &[u8]) -> Rc<Classified> {
        if let Some(known) = self.recent.find(text) {
            return known;
        }
        self.buffer.clear();
        let shaped = shape::shape(text, &mut self.buffer);
        let length = if shaped { self.buffer.len() } else { text.len() };
        if length > limits::PARSED_TEXT_BYTES_MAX {
            self.buffer = Vec::new();
            return Rc::new(classified(vec![unknown()], true));
        }
        let repeats = shaped && self.buffer == text;
        let (cache, key) = if shaped {
            // Literals and comments may hold a secret that the shape does not show.
            self.buffer.push(u8::from(may_hold_credential(text)));
            (&mut self.shapes, self.buffer.as_slice())
        } else {
            (&mut self.texts, text)
        };
        let known = cache.find(key).unwrap_or_else(|| {
            let fresh = Rc::new(classify_uncached(text));
            cache.insert(key, &fresh);
            fresh
        });
        if repeats {
            self.recent.insert(text, &known);
        }
        known
    }
}

/// Classifies a text without a cache: for tools, and the truth that the cache is tested against.
pub fn classify_uncached(text: &[u8]) -> Classified {
    let statements = if text.len() <= limits::PARSED_TEXT_BYTES_MAX {
        parse(text)
    } else {
        let mut key = Vec::new();
        shape::shape(text, &mut key).then(|| shape::example(&key)).and_then(|small| parse(&small))
    };
    classified(statements.unwrap_or_else(|| vec![unknown()]), may_hold_credential(text))
}

/// Words, numbers, strings and signs of a text, never fewer than the parser sees.
fn tokens(text: &[u8]) -> usize {
    // Next to escapes, comments and dollar quotes the end of a string is not plain to see: then
    // strings count by their words.
    let has = |pair: &[u8]| memchr::memmem::find(text, pair).is_some();
    let plain = !has(b"\\") && !has(b"--") && !has(b"/*") && !has(b"$");
    let (mut count, mut in_word, mut quote) = (0, false, None);
    for &byte in text {
        if plain && matches!(byte, b'\'' | b'"') {
            match quote {
                None => quote = Some(byte),
                Some(open) if open == byte => quote = None,
                Some(_) => {}
            }
        }
        let is_word = byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        let starts = quote.is_none() && !byte.is_ascii_whitespace() && !(is_word && in_word);
        count += usize::from(starts);
        in_word = is_word;
    }
    count
}

fn parse(text: &[u8]) -> Option<Vec<Statement>> {
    if text.len() > limits::PARSED_TEXT_BYTES_MAX || tokens(text) > limits::PARSED_TOKENS_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    // The wrapper indexes into lists of the tree while it summarizes it. A panic there is not the
    // session's end: the text is unknown.
    let parsed = std::panic::catch_unwind(|| pg_query::parse(text, 0)).ok()?.ok()?;
    let nodes = parsed.protobuf.stmts.iter().map(|raw| raw.stmt.as_ref()?.node.as_ref());
    nodes.map(|node| statement::statement(node?)).collect()
}

fn unknown() -> Statement {
    Statement {
        classes: Class::Unknown.only(),
        operation: "UNKNOWN".to_owned(),
        objects: Rc::default(),
        columns: Vec::new(),
        whole_rows: true,
        effect: Effect::Catalog,
        facts: Vec::new(),
        causes: Vec::new(),
    }
}

fn classified(statements: Vec<Statement>, secrets: bool) -> Classified {
    Classified::new(statements, secrets)
}
