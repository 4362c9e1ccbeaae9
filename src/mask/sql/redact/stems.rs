//! Whether a text holds a word that announces a credential: asked of every command.
//!
//! In: a text. Out: yes or no. Never: a miss; memory in proportion to the text.
//!
//! The vectors of `matcher` look for the first three letters of a stem in either case; what passes
//! is compared. An automaton would look at every byte.

use std::sync::LazyLock;

use crate::mask::matcher::{Block, Matcher, PREFIX_BUCKETS, PrefixTables, Wanted};

/// Every name or word that a rule of `redact` looks for contains one of these, in any case. By
/// their first letter, of which there are as many as the matcher has buckets.
const STEMS: [(u8, &[&str]); PREFIX_BUCKETS] = [
    (b'p', &["pass", "pwd", "private_key", "privatekey", "pgp_"]),
    (b'a', &["apikey", "api_key", "access_key", "accesskey", "authorization"]),
    (b's', &["secret"]),
    (b't', &["token"]),
    (b'c', &["credential", "crypt", "conn"]),
    (b'o', &["options"]),
    (b'i', &["identified"]),
    (b'h', &["hmac"]),
];

/// All of them.
pub(super) fn stems() -> impl Iterator<Item = &'static str> {
    STEMS.into_iter().flat_map(|(_, stems)| stems).copied()
}

/// Bytes that are searched at once, so that what is found in them takes little memory.
const PIECE_BYTES: usize = 16 << 10;
/// Bytes of a stem that the matcher looks at.
const WINDOW: usize = 3;

static TABLES: LazyLock<PrefixTables> = LazyLock::new(|| {
    let mut tables = PrefixTables::default();
    for (bucket, (_, stems)) in STEMS.into_iter().enumerate() {
        for (position, letter) in stems.iter().flat_map(|it| it.bytes().take(WINDOW).enumerate()) {
            for byte in [letter, letter.to_ascii_uppercase()] {
                tables.low[position][usize::from(byte & 15)] |= 1 << bucket;
                tables.high[position][usize::from(byte >> 4)] |= 1 << bucket;
            }
        }
    }
    tables
});

static MATCHER: LazyLock<Matcher> = LazyLock::new(Matcher::detect);

/// Whether one of the stems is in the text.
pub(super) fn holds_stem(text: &[u8]) -> bool {
    let wanted = Wanted { prefix: u64::MAX, ..Wanted::default() };
    let mut blocks: Vec<Block> = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let end = text.len().min(from + PIECE_BYTES + WINDOW - 1);
        blocks.clear();
        MATCHER.scan(text.get(from..end).unwrap_or_default(), &TABLES, &wanted, &mut blocks);
        if blocks.iter().any(|block| starts_stem(text, from + block.base, block.prefix)) {
            return true;
        }
        from += PIECE_BYTES;
    }
    false
}

/// Whether a stem starts at one of the places, a bit each from `base` on.
fn starts_stem(text: &[u8], base: usize, mut places: u64) -> bool {
    while places != 0 {
        let at = base + places.trailing_zeros() as usize;
        places &= places - 1;
        let rest = text.get(at..).unwrap_or_default();
        let Some(first) = rest.first().map(u8::to_ascii_lowercase) else { continue };
        let stems = STEMS.iter().find(|(letter, _)| *letter == first);
        let starts = |stem: &&str| {
            let word = rest.get(..stem.len());
            word.is_some_and(|word| word.eq_ignore_ascii_case(stem.as_bytes()))
        };
        if stems.is_some_and(|(_, stems)| stems.iter().any(starts)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(text: &[u8]) -> bool {
        let lower = text.to_ascii_lowercase();
        stems().any(|stem| memchr::memmem::find(&lower, stem.as_bytes()).is_some())
    }

    #[test]
    fn a_stem_is_found_in_any_case_at_any_place() {
        for stem in stems() {
            for at in (0..200).chain(PIECE_BYTES - 20..PIECE_BYTES + 3) {
                let mut text = vec![b'x'; at + stem.len()];
                text[at..].copy_from_slice(stem.as_bytes());
                assert!(holds_stem(&text), "{stem} at {at}");
                assert!(holds_stem(&text.to_ascii_uppercase()), "{stem} at {at}");
                assert!(!holds_stem(&text[..text.len() - 1]), "{stem} cut, at {at}");
            }
        }
        assert!(!holds_stem(b"") && !holds_stem(&vec![b'p'; 3 * PIECE_BYTES]));
    }

    proptest! {
        #[test]
        fn it_says_what_a_plain_search_says(
            parts in prop::collection::vec("[a-zA-Z_]{0,9}|PaSS|api_KEY|pgp_|hmac|tok|option", 0..40),
        ) {
            let text = parts.join(" ");
            prop_assert_eq!(holds_stem(text.as_bytes()), naive(text.as_bytes()));
        }
    }
}
