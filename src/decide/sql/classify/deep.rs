//! How deep the tree of a text may be, and a stack on which it has room.
//!
//! In: a text, work on its tree. Out: how deep at most, what the work found. Never: a tree worked
//! on where it might not fit: decoding, walking and dropping it recurse without looking at the
//! stack.
//!
//! ```text
//!   tokens --few--> here
//!     |
//!     '-- steps --few--> here
//!           |----------> on a stack for so many; the caller waits
//!           '--too many-> TooDeep
//! ```
//!
//! A node of the tree is made of tokens of its own, so a way from the root to a leaf is no longer
//! than the tokens it passes, times what one token makes at most (measured, `STEP_BYTES`). It
//! passes one of several brackets that stand side by side, and one of several items between commas.
//! Four words make one node of what stands left and right of many commas: set operations nest to
//! the left, and bodies of functions hold statements; where one of them stands, all items count.

use pg_query::protobuf::{ScanToken, Token};

use crate::limits;

/// Stack that one step may take in decoding, walking or dropping. Measured without optimization,
/// of 40 forms that nest: 33 KiB for `NOT`, 23 KiB for `EXISTS (SELECT`, 16 KiB for operators.
const STEP_BYTES: usize = if cfg!(debug_assertions) { 48 << 10 } else { 24 << 10 };

/// What the work takes besides, and what the parser keeps free (stack_depth.h,
/// `STACK_DEPTH_SLOP`).
const BASE_BYTES: usize = 3 << 20;

/// So many steps have room where a text comes in.
const STEPS_HERE: usize = limits::PARSED_HERE_BYTES / STEP_BYTES;

/// Where a text of so many tokens, or fewer, is worked on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    Here,
    Apart { stack_bytes: usize },
    Nowhere,
}

/// `tokens` are never fewer than the text has.
pub(super) fn room(text: &str, tokens: usize) -> Room {
    if tokens <= STEPS_HERE {
        return Room::Here;
    }
    // What the scanner refuses has no tree.
    let Ok(tokens) = pg_query::scan_tokens(text) else { return Room::Here };
    match steps(&tokens) {
        0..=STEPS_HERE => Room::Here,
        steps @ ..=limits::PARSED_STEPS_MAX => {
            Room::Apart { stack_bytes: BASE_BYTES + steps * STEP_BYTES }
        }
        _ => Room::Nowhere,
    }
}

/// Does the work on a stack of that size. `None` if there is no such stack, or the work panicked.
pub(super) fn apart<T: Send>(stack_bytes: usize, work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack_bytes);
        thread.spawn_scoped(scope, work).ok()?.join().ok()
    })
}

/// What stands between two brackets, or at the top.
#[derive(Default)]
struct Level {
    /// Tokens of its own, without commas, and the deepest of what it has in brackets.
    all: Way,
    /// The same since the last comma.
    item: Way,
    /// The longest item.
    longest: usize,
    /// One node may hold what stands beyond commas.
    spans: bool,
}

#[derive(Default)]
struct Way {
    own: usize,
    inner: usize,
}

impl Way {
    fn steps(&self) -> usize {
        self.own + self.inner
    }
}

impl Level {
    fn token(&mut self) {
        self.all.own += 1;
        self.item.own += 1;
    }

    fn inner(&mut self, steps: usize) {
        self.all.inner = self.all.inner.max(steps);
        self.item.inner = self.item.inner.max(steps);
    }

    fn comma(&mut self) {
        let item = std::mem::take(&mut self.item);
        self.longest = self.longest.max(item.steps());
    }

    fn steps(&self) -> usize {
        if self.spans { self.all.steps() } else { self.longest.max(self.item.steps()) }
    }
}

/// How many tokens one way in the tree passes, never fewer.
fn steps(tokens: &[ScanToken]) -> usize {
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::default();
    let mut deepest = 0;
    let has_bodies = tokens.iter().any(|token| token.token() == Token::Atomic);
    for token in tokens {
        match token.token() {
            Token::SqlComment | Token::CComment => {}
            Token::Ascii44 => level.comma(),
            // Statements are trees of their own.
            Token::Ascii59 if outer.is_empty() && !has_bodies => {
                deepest = deepest.max(std::mem::take(&mut level).steps());
            }
            Token::Ascii40 | Token::Ascii91 => {
                level.token();
                outer.push(std::mem::take(&mut level));
            }
            Token::Ascii41 | Token::Ascii93 => {
                let around = outer.pop().unwrap_or_default();
                let inner = std::mem::replace(&mut level, around).steps();
                level.token();
                level.inner(inner);
            }
            Token::Union | Token::Intersect | Token::Except | Token::Atomic => {
                level.token();
                level.spans = true;
            }
            _ => level.token(),
        }
    }
    // A bracket that is not closed is a syntax error.
    outer.iter().map(Level::steps).fold(deepest.max(level.steps()), usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::super::{classify_uncached, why_unread};
    use super::*;

    fn of(text: &str) -> usize {
        steps(&pg_query::scan_tokens(text).unwrap())
    }

    #[test]
    fn what_stands_side_by_side_does_not_nest() {
        assert_eq!(of("a || b || c"), 5);
        assert_eq!(of("a, b || c, d"), 3);
        assert_eq!(of("f(a, b, c || d)"), 3 + 3);
        assert_eq!(of("f(a, (b), c) + (d)"), 6 + 3);
        assert_eq!(of("(1,2,3), (4,5,6), (7,8,9)"), 2 + 1);
        assert_eq!(of("select a, b union select c, d"), 7);
        assert_eq!(of("a; b c; d"), 2);
        assert_eq!(of("begin atomic a; b, c; d end"), 9);
        assert_eq!(of("a /* b, c */ -- d"), 1);
        assert_eq!(of("'a,b' $$ x y $$ \"z\" $1 [2]"), 4 + 2 + 1);
    }

    /// What people and programs write is read however long it is; what is deeper is not.
    #[test]
    fn deep_texts_are_read_on_a_stack_of_their_own() {
        let class = |text: String| classify_uncached(text.as_bytes()).action.classes.join(",");
        // The parser has 2 MiB (pg_query.c, `set_max_stack_depth`), and is not optimized here.
        let terms = if cfg!(debug_assertions) { 600 } else { 1_000 };
        let join = |count: usize, text: &str, by: &str| vec![text; count].join(by);
        let joins = (0..100).map(|n| format!(" JOIN t{n} ON t{n}.a = t.a")).collect::<String>();
        for text in [
            format!("SELECT {}", join(terms, "a", " || ")),
            format!("SELECT {}", join(terms, "a::text", " || ")),
            format!("SELECT {}", join(terms, "$1", " + ")),
            format!("SELECT 1 FROM t WHERE {}", join(1_000, "a = 1", " AND ")),
            format!("SELECT 1 FROM t WHERE {}", join(1_000, "a = 1 AND b = 2", " OR ")),
            format!("SELECT 1 FROM t{joins}"),
            join(200, "SELECT a, b FROM t", " UNION ALL "),
            format!("SELECT {}a", "NOT ".repeat(terms)),
            format!("SELECT {}1{}", "(SELECT ".repeat(60), ")".repeat(60)),
            format!("SELECT {}1{}", "f(".repeat(200), ")".repeat(200)).replace("f(", "abs("),
        ] {
            let shown = text.get(..60).unwrap_or(&text).to_owned();
            assert_eq!(class(text), "read", "{shown}");
        }
        let deep = format!("SELECT {}", join(limits::PARSED_STEPS_MAX, "a", " || "));
        assert_eq!(class(deep.clone()), "unknown");
        assert_eq!(
            why_unread(deep.as_bytes()).as_deref(),
            Some("a text that is nested too deeply, or of an unknown kind")
        );
    }

    /// All that a stack is made for, with the forms that take most of it for a token: nothing here
    /// may end the process.
    #[test]
    fn the_deepest_texts_that_are_parsed_fit_their_stack() {
        let most = limits::PARSED_STEPS_MAX;
        let nest = |count: usize, open: &str, inside: &str, close: &str| {
            format!("SELECT {}{inside}{}", open.repeat(count), close.repeat(count))
        };
        for text in [
            nest(most - 9, "NOT ", "a", ""),
            nest(most / 2 - 9, "", "a", " IS NULL"),
            nest(most / 2 - 9, "", "a", " || a"),
            nest(most / 4 - 9, "EXISTS(SELECT ", "1", ")"),
            nest(most / 5 - 9, "a BETWEEN b AND NOT ", "a", ""),
            nest(most / 3 - 9, "json_array(", "1", ")"),
            nest(most / 3 - 9, "xmlforest(", "a", ")"),
            vec!["VALUES (1)"; most / 6].join(" UNION "),
        ] {
            let _read_or_not = classify_uncached(text.as_bytes());
        }
    }
}
