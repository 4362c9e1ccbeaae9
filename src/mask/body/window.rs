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
use crate::mask::detect::Scratch;
use crate::mask::escapes::{self, Seen};

/// How many bytes an escape in an escape takes for one: `\\\\u0040`.
const ESCAPE_BYTES_MAX: usize = 9;

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
    finds: &mut Vec<Seen>,
) -> Cut {
    finds.clear();
    let written = rules.detectors.find(text, scratch);
    finds.extend(escapes::find(&rules.detectors, text, written));
    finds.retain(|seen| seen.found.end > context);
    finds.iter_mut().for_each(|seen| seen.clip(context));
    if ends {
        return Cut::At(text.len());
    }
    let words = MASK_WORDS_BYTES * ESCAPE_BYTES_MAX;
    let is_escaped = escapes::are_in(text.get(text.len().saturating_sub(words)..).unwrap_or(&[]));
    let held = if is_escaped { words } else { MASK_WORDS_BYTES };
    let mut cut = boundary_of(text, held).max(context);
    for Seen { found, .. } in finds.iter().rev() {
        if found.start < cut && found.end >= cut {
            cut = found.start;
        }
    }
    if let Some(key) = scratch.open_key() {
        cut = cut.min(key.start.max(context));
    }
    if text.len() - cut > MASK_TOKEN_BYTES_MAX && finds.iter().any(|seen| seen.found.start == cut) {
        return Cut::Swallow;
    }
    finds.retain(|seen| seen.found.end <= cut);
    Cut::At(cut)
}

/// Where no find begins before and ends behind, but for those that are found already.
pub(in crate::mask) fn boundary(text: &[u8]) -> usize {
    boundary_of(text, MASK_WORDS_BYTES)
}

/// The same where finds with blanks in them are so long at most.
fn boundary_of(text: &[u8], held: usize) -> usize {
    let line = memchr::memrchr2(b'\n', b'\r', text).map_or(0, |at| at + 1);
    let words = text.get(..text.len().saturating_sub(held)).unwrap_or(&[]);
    let word = memchr::memrchr2(b' ', b'\t', words).map_or(0, |at| at + 1);
    let mut any = text.len().saturating_sub(MASK_WINDOW_BYTES);
    // Not within a character.
    while any > 0 && text.get(any).is_some_and(|byte| byte & 0xc0 == 0x80) {
        any -= 1;
    }
    line.max(word).max(any)
}
