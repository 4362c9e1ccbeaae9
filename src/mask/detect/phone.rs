//! Phone numbers in international form: `+`, a country code, at most fifteen digits (E.164).

use super::{Detector, Finds, alnum_at, alnum_before};

/// `at` is the byte after `+`.
pub(super) fn verify(value: &[u8], at: usize, finds: &mut Finds) {
    let Some(start) = at.checked_sub(1).filter(|&start| start >= finds.floor) else {
        return;
    };
    let mut digits = [0; DIGITS_MAX + 1];
    let (end, count) = read(value, at, &mut digits, finds);
    let next = value.get(end);
    // A decimal number, or one with a sign in a formula.
    let number = next == Some(&b'.') && alnum_at(value, end + 1);
    let whole = !alnum_at(value, end) && !number && next != Some(&b'=') && next != Some(&b'/');
    if whole && !alnum_before(value, start) && is_number(&digits[..count]) {
        finds.push(start, end, Detector::Phone);
    }
}

/// The digits from `at` on, separators left out (two in a row at most, as in `) `), where they end,
/// and how many they are. One more than allowed is read, to know that there is.
fn read(
    value: &[u8],
    at: usize,
    digits: &mut [u8; DIGITS_MAX + 1],
    finds: &mut Finds,
) -> (usize, usize) {
    let (mut next, mut end) = (at, at);
    let (mut count, mut gap) = (0, 0);
    while count < digits.len()
        && let Some(&byte) = value.get(next)
    {
        if byte.is_ascii_digit() {
            digits[count] = byte;
            count += 1;
            end = next + 1;
            gap = 0;
        } else if matches!(byte, b' ' | b'-' | b'.' | b'(' | b')') && gap < 2 {
            gap += 1;
        } else {
            break;
        }
        next += 1;
    }
    finds.spend(next - at);
    (end, count)
}

/// A country code that is assigned, and a plausible length: nine digits, because shorter ones are
/// more often offsets and sums; exactly eleven in North America.
fn is_number(digits: &[u8]) -> bool {
    let all_same = digits.windows(2).all(|pair| pair[0] == pair[1]);
    (9..=DIGITS_MAX).contains(&digits.len())
        && !all_same
        && match digits {
            [b'1', area, ..] => digits.len() == 11 && (b'2'..=b'9').contains(area),
            [b'7', ..] => digits.len() == 11,
            // Not assigned to any country.
            [b'0', ..] | [b'2', b'1', b'0', ..] | [b'8', b'3' | b'9', ..] => false,
            _ => true,
        }
}

const DIGITS_MAX: usize = 15;
