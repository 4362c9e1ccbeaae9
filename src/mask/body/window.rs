//! What of a text may leave before its rest has come.
//!
//! A find must be whole to be replaced whole, so the end of what came is held back: to where no
//! find can reach over. Finds that may be longer than what is held back (keys, tokens) are known
//! for what they are from their start on; one that reaches the end is held until it ends. One that
//! does not end within `MASK_TOKEN_BYTES_MAX` takes all that follows with it.
//!
//! ```text
//!   line 1 ........ \n   a cut behind a line end: of all finds only keys go over several lines
//!   words words | ..     a cut behind a blank, 128 bytes before the end: card numbers have blanks
//!   oneverylongword|..   a cut anywhere, 9 KiB before the end: the longest start of a token
//! ```

use super::Rules;
use crate::limits::{MASK_TOKEN_BYTES_MAX, MASK_WINDOW_BYTES, MASK_WORDS_BYTES};
use crate::mask::detect::{Found, Scratch};

/// What may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Everything before this.
    At(usize),
    /// All of it, with the last find, which goes on and hides the rest of the text.
    Swallow,
}

/// Where to cut `text`, whose first `context` bytes have left already; the finds before the cut
/// stay in `finds`.
pub(super) fn cut(
    rules: &Rules,
    (text, context): (&[u8], usize),
    ends: bool,
    scratch: &mut Scratch,
    finds: &mut Vec<Found>,
) -> Cut {
    finds.clear();
    finds.extend_from_slice(rules.detectors.find(text, scratch));
    finds.retain(|found| found.end > context);
    for found in finds.iter_mut() {
        found.start = found.start.max(context);
    }
    if ends {
        return Cut::At(text.len());
    }
    let mut cut = boundary(text).max(context);
    for found in finds.iter().rev() {
        if found.start < cut && found.end >= cut {
            cut = found.start;
        }
    }
    if let Some(key) = scratch.open_key() {
        cut = cut.min(key.max(context));
    }
    if text.len() - cut > MASK_TOKEN_BYTES_MAX && finds.iter().any(|found| found.start == cut) {
        return Cut::Swallow;
    }
    finds.retain(|found| found.end <= cut);
    Cut::At(cut)
}

/// Where no find begins before and ends behind, but for those that are found already.
pub(in crate::mask) fn boundary(text: &[u8]) -> usize {
    let line = memchr::memrchr2(b'\n', b'\r', text).map_or(0, |at| at + 1);
    let words = text.get(..text.len().saturating_sub(MASK_WORDS_BYTES)).unwrap_or(&[]);
    let word = memchr::memrchr2(b' ', b'\t', words).map_or(0, |at| at + 1);
    let mut any = text.len().saturating_sub(MASK_WINDOW_BYTES);
    // Not within a character.
    while any > 0 && text.get(any).is_some_and(|byte| byte & 0xc0 == 0x80) {
        any -= 1;
    }
    line.max(word).max(any)
}
