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
//! thread and checks the depth of its stack. Who decodes and walks its trees does not: `deep`
//! counts before how deep they may be, and has a stack made for deep ones; what is too deep even so
//! is `Unknown`. So is what would take the parser long: it is counted before, in one pass.

mod bare;
mod bounds;
mod cache;
mod cascade;
mod catalog;
mod change;
mod copy;
mod deep;
mod flows;
mod functions;
mod made;
mod named;
mod pinned;
mod references;
mod release;
mod replication;
mod shape;
mod shows;
mod statement;
mod tree;

#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use super::{Cause, Class, Classified, Statement};
use crate::limits;
use crate::mask::sql::redact::may_hold_credential;
use cache::{Cache, Recent};
use deep::Room;
use statement::Found;

pub use functions::{Misread, changes_parsing, misread};
pub use release::Grammar;
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
        let repeats = shaped && self.buffer == text;
        if shaped && self.buffer.len() > limits::LISTS_WHOLE_BYTES_MAX {
            shape::shorten(&mut self.buffer);
        }
        let length = if shaped { self.buffer.len() } else { text.len() };
        if length > limits::PARSED_TEXT_BYTES_MAX {
            self.buffer = Vec::new();
            return Rc::new(unread(&Unread::TooLong, true));
        }
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

    /// Classifies a text for a server of this grammar that is known to read it as the parser here
    /// does: `standard_conforming_strings` confirmed to be on, `client_encoding` to be one in which
    /// ASCII is ASCII. A syntax error that is one there, too, is `Malformed`, for the server to
    /// refuse.
    pub fn classify_confirmed(&mut self, text: &[u8], grammar: Grammar) -> Rc<Classified> {
        let known = self.classify(text);
        if known.is_syntax_error && grammar.refuses(text) {
            return Rc::new(Classified {
                secrets: known.secrets,
                ..Classified::of(Class::Malformed, "SYNTAX ERROR")
            });
        }
        known
    }
}

/// Classifies a text without a cache: for tools, and the truth that the cache is tested against.
pub fn classify_uncached(text: &[u8]) -> Classified {
    let secrets = may_hold_credential(text);
    match read(text) {
        Ok(statements) => classified(statements, secrets),
        Err(why) => unread(&why, secrets),
    }
}

/// Whether a volatile function of PostgreSQL is one of which somebody has said what it does.
pub fn has_class(function: &str) -> bool {
    functions::known("pg_catalog", function) != functions::Known::Foreign
        && catalog::function(function) != Some(catalog::Volatility::Settled)
}

/// Whether a function of PostgreSQL makes its result of its arguments, the time, or what the server
/// says of itself: of no value that is stored, but for what it is given.
pub fn computes(schema: &str, function: &str) -> bool {
    const READS: [&str; 2] = ["lo_get", "loread"];
    matches!(schema, "pg_catalog" | "information_schema")
        && functions::known(schema, function) == functions::Known::Harmless
        && !READS.contains(&function)
        && !functions::SHOW_TEXTS.contains(&function)
}

/// Why a text is not read, in the parser's own words if it has some.
pub fn why_unread(text: &[u8]) -> Option<String> {
    read(text).err().map(|why| match why {
        Unread::Syntax(words) => words,
        why => why.words().to_owned(),
    })
}

/// Why a text is not read.
enum Unread {
    /// The grammar has no place for it, in the parser's words.
    Syntax(String),
    NotUtf8,
    TooLong,
    /// The parser's scanner would read long runs of signs again and again.
    TooManySigns,
    TooManyStatements,
    TooDeep,
}

impl Unread {
    /// Says nothing of the text: it is kept for all texts of one shape.
    fn words(&self) -> &'static str {
        match self {
            Unread::Syntax(_) => "a syntax error",
            Unread::NotUtf8 => "a text that is not UTF-8",
            Unread::TooLong => "a text that is too long to be parsed",
            Unread::TooManySigns => "a text with very long runs of signs, or of nested comments",
            Unread::TooManyStatements => "a text of very many statements",
            Unread::TooDeep => "a text that is nested too deeply, or of an unknown kind",
        }
    }
}

fn read(text: &[u8]) -> Result<Vec<Statement>, Unread> {
    let Some(why) = too_costly(text) else { return parse(text) };
    let mut key = Vec::new();
    if !shape::shape(text, &mut key) {
        return Err(why);
    }
    shape::shorten(&mut key);
    parse(&shape::example(&key))
}

/// Why the parser would take too long or too much memory, found in one pass.
fn too_costly(text: &[u8]) -> Option<Unread> {
    match () {
        () if text.len() > limits::PARSED_TEXT_BYTES_MAX => Some(Unread::TooLong),
        () if tokens(text) > limits::PARSED_TOKENS_MAX => Some(Unread::TooLong),
        () if scanned_again(text) > limits::SCANNED_AGAIN_BYTES_MAX => Some(Unread::TooManySigns),
        () => None,
    }
}

/// Bytes that the scanner reads more than once, never fewer: an operator and the beginning of a
/// comment match to the end of their run of signs, and all but a sign or two may be put back
/// (scan.l, `operator` and `xcstart`), so that a run costs the square of its length.
fn scanned_again(text: &[u8]) -> usize {
    let runs = text.split(|byte| !b"~!@#^&|`?+-*/%<>=".contains(byte));
    runs.map(|run| run.len().saturating_mul(run.len())).fold(0, usize::saturating_add)
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

fn parse(text: &[u8]) -> Result<Vec<Statement>, Unread> {
    if let Some(why) = too_costly(text) {
        return Err(why);
    }
    let tokens = tokens(text);
    let text = std::str::from_utf8(text).map_err(|_| Unread::NotUtf8)?;
    let found = match deep::room(text, tokens) {
        // The wrapper indexes into lists of the tree while it summarizes it. A panic there is not
        // the session's end: the text is unknown.
        Room::Here => std::panic::catch_unwind(|| found(text)).ok(),
        Room::Apart { stack_bytes } => deep::apart(stack_bytes, || found(text)),
        Room::Nowhere => None,
    };
    Ok(found.unwrap_or(Err(Unread::TooDeep))?.into_iter().map(Statement::from).collect())
}

/// Makes, walks and drops the tree.
fn found(text: &str) -> Result<Vec<Found>, Unread> {
    let parsed = match pg_query::parse(text, 0) {
        Ok(parsed) => parsed,
        // scan.l, `scanner_yyerror`; other errors are those of the parser's own limits.
        Err(pg_query::Error::Parse(words))
            if words.starts_with("syntax error at ") || words.starts_with("unterminated ") =>
        {
            return Err(Unread::Syntax(words));
        }
        Err(_) => return Err(Unread::TooDeep),
    };
    if parsed.protobuf.stmts.len() > limits::STATEMENTS_OF_TEXT_MAX {
        return Err(Unread::TooManyStatements);
    }
    let nodes = parsed.protobuf.stmts.iter().map(|raw| raw.stmt.as_ref()?.node.as_ref());
    let statements: Option<Vec<Found>> = nodes.map(|node| statement::statement(node?)).collect();
    statements.ok_or(Unread::TooDeep)
}

/// A text of which nothing is known but why.
fn unread(why: &Unread, secrets: bool) -> Classified {
    let cause = Cause { classes: Class::Unknown.only(), name: why.words().into() };
    let statement = Statement { causes: vec![cause], ..Found::unknown().into() };
    let is_syntax_error = matches!(why, Unread::Syntax(_));
    Classified { is_syntax_error, ..classified(vec![statement], secrets) }
}

fn classified(statements: Vec<Statement>, secrets: bool) -> Classified {
    Classified::new(statements, secrets)
}
