//! The oracle of the matcher: the same candidates, one byte at a time.
//!
//! In: bytes. Out: what `matcher` must answer, said as plainly as possible.
//! Never: used on the data path. Tests and measurements compare it with every instruction set.

use super::matcher::{Block, PrefixTables, Wanted};

/// Candidates of `bytes`, by the definition of each kind.
pub fn scan(bytes: &[u8], tables: &PrefixTables, wanted: &Wanted) -> Vec<Block> {
    let mut blocks = Vec::new();
    for base in (0..bytes.len()).step_by(64) {
        let mut block = Block { base, ..Block::default() };
        for at in base..(base + 64).min(bytes.len() + 64 - bytes.len() % 64) {
            let bit = 1 << (at - base);
            let set = |holds: bool| if holds { bit } else { 0 };
            block.email |= wanted.email & set(is_email(bytes, at));
            block.digits |= wanted.digits & set(is_run_edge(bytes, at));
            block.ssn |= wanted.ssn & set(is_ssn(bytes, at));
            block.letters |= wanted.letters & set(is_letters(bytes, at));
            block.phone |= wanted.phone & set(is_phone(bytes, at));
            block.prefix |= wanted.prefix & set(is_prefix(bytes, at, tables));
        }
        if block.any() != 0 {
            blocks.push(block);
        }
    }
    blocks
}

/// The byte `back` before `at`, or 0.
fn byte(bytes: &[u8], at: usize, back: usize) -> u8 {
    at.checked_sub(back).and_then(|at| bytes.get(at)).copied().unwrap_or(0)
}

fn is_digit(bytes: &[u8], at: usize, back: usize) -> bool {
    byte(bytes, at, back).is_ascii_digit()
}

fn is_separator(bytes: &[u8], at: usize, back: usize) -> bool {
    matches!(byte(bytes, at, back), b' ' | b'-' | b'.' | b')')
}

fn is_email(bytes: &[u8], at: usize) -> bool {
    byte(bytes, at, 1) == b'@'
}

/// Digits, and separators right after a digit.
fn is_member(bytes: &[u8], at: usize, back: usize) -> bool {
    is_digit(bytes, at, back) || (is_separator(bytes, at, back) && is_digit(bytes, at, back + 1))
}

/// Fourteen members end here, or twelve digits, and not one byte earlier.
fn is_run_edge(bytes: &[u8], at: usize) -> bool {
    let ends = |back: usize| (back..back + 14).all(|back| is_member(bytes, at, back));
    let ends_digits = |back: usize| (back..back + 12).all(|back| is_digit(bytes, at, back));
    (ends(0) && !ends(1)) || (ends_digits(0) && !ends_digits(1))
}

fn is_ssn(bytes: &[u8], at: usize) -> bool {
    let digits = [0, 1, 2, 3, 5, 6, 8, 9, 10];
    digits.into_iter().all(|back| is_digit(bytes, at, back))
        && is_separator(bytes, at, 4)
        && is_separator(bytes, at, 7)
}

fn is_letters(bytes: &[u8], at: usize) -> bool {
    let letters = [byte(bytes, at, 3), byte(bytes, at, 2)];
    is_digit(bytes, at, 0)
        && is_digit(bytes, at, 1)
        && letters.iter().all(u8::is_ascii_alphabetic)
        && (letters.iter().all(u8::is_ascii_uppercase) || begins_word(bytes, at, 4))
}

/// What stands `back` before `at` is no letter or digit, or may be the end of an escape or of a
/// length field.
fn begins_word(bytes: &[u8], at: usize, back: usize) -> bool {
    let is_escape = |back: usize| matches!(byte(bytes, at, back), b'\\' | b'%' | b'U' | b',');
    !byte(bytes, at, back).is_ascii_alphanumeric()
        || [1, 2, 5].into_iter().any(|before| is_escape(back + before))
        || at.checked_sub(back + 3).and_then(|at| bytes.get(at)) == Some(&0)
}

fn is_phone(bytes: &[u8], at: usize) -> bool {
    let local = [0, 1, 2, 3, 5, 6, 7].into_iter().all(|back| is_digit(bytes, at, back))
        && is_separator(bytes, at, 4)
        && is_separator(bytes, at, 8);
    local || (byte(bytes, at, 1) == b'+' && is_digit(bytes, at, 0))
}

/// Some bucket has the nibbles of all three bytes; bytes after the end are 0.
fn is_prefix(bytes: &[u8], at: usize, tables: &PrefixTables) -> bool {
    let buckets = (0..3).fold(0xff, |buckets, position| {
        let byte = bytes.get(at + position).copied().unwrap_or(0);
        let low = tables.low[position][usize::from(byte & 0x0f)];
        let high = tables.high[position][usize::from(byte >> 4)];
        buckets & low & high
    });
    buckets != 0
}
