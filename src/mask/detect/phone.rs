//! Phone numbers: in international form (`+`, a country code, at most fifteen digits, E.164), and
//! those of North America as they are written there.
//!
//! ```text
//! +44 20 7946 0958   +49 (0)30/901820   +1-415-555-2671 x12
//! (415) 555-2671     415-555-2671       415.555.2671        1-415-555-2671
//! ```
//!
//! Never: other national forms, which are any digits.

use super::numeral::{digit_at, separator_at};
use super::{Detector, Finds, alnum_at, alnum_before};

/// `at` is the byte after `+`, or the last byte of ddd-dddd.
pub(super) fn verify(value: &[u8], at: usize, finds: &mut Finds) {
    let sign = at.checked_sub(1).and_then(|sign| value.get(sign));
    let span = if sign == Some(&b'+') {
        international(value, at, finds)
    } else {
        north_american(value, at, finds)
    };
    if let Some((start, end)) = span {
        finds.push(start, extension_end(value, end).unwrap_or(end), Detector::Phone);
    }
}

fn international(value: &[u8], at: usize, finds: &mut Finds) -> Option<(usize, usize)> {
    let start = at.checked_sub(1).filter(|&start| start >= finds.floor)?;
    let mut digits = [0; DIGITS_MAX + 1];
    let (end, count) = read(value, at, &mut digits, finds);
    let whole = ends_here(value, end) && !alnum_before(value, start);
    (whole && is_number(&digits[..count])).then_some((start, end))
}

/// Whether no longer number or formula goes on at `end`.
fn ends_here(value: &[u8], end: usize) -> bool {
    let next = value.get(end);
    // A decimal number, or one with a sign in a formula.
    let number = next == Some(&b'.') && digit_at(value, end + 1).is_some();
    let word = alnum_at(value, end) && extension_end(value, end).is_none();
    !word && !number && !matches!(next, Some(b'=' | b'%'))
}

/// ` ext. 123`, `x55`, `;ext=4`: where that ends.
fn extension_end(value: &[u8], end: usize) -> Option<usize> {
    let rest = value.get(end..)?;
    let blank = usize::from(rest.first() == Some(&b' '));
    let rest = &rest[blank..];
    let word = EXTENSIONS.iter().find(|word| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    })?;
    let rest = &rest[word.len()..];
    let blank2 = usize::from(rest.first() == Some(&b' '));
    let digits = rest[blank2..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let all = end + blank + word.len() + blank2 + digits;
    ((1..=7).contains(&digits) && !alnum_at(value, all)).then_some(all)
}

/// `at` is the last byte of ddd-dddd: an area code, and perhaps a 1, stand before it.
fn north_american(value: &[u8], at: usize, finds: &mut Finds) -> Option<(usize, usize)> {
    finds.spend(LOCAL_BYTES);
    let local = (at + 1).checked_sub(LOCAL_BYTES)?;
    let &[e1, e2, e3, last, ref line @ ..] = value.get(local..=at)? else { return None };
    let exchange = [e1, e2, e3];
    let digits = exchange.iter().chain(line).all(u8::is_ascii_digit);
    let (start, area, first) = match value.get(..local)? {
        [.., b'(', a, b, c, b')', b' '] => (local - 6, [*a, *b, *c], b')'),
        [.., b'(', a, b, c, b')'] => (local - 5, [*a, *b, *c], b')'),
        [.., a, b, c, first @ (b' ' | b'-' | b'.')] => (local - 4, [*a, *b, *c], *first),
        _ => return None,
    };
    // Three numbers in a row, or a decimal one, are not meant.
    let written = matches!((first, last), (b')' | b'-' | b' ', b'-') | (b'.', b'.') | (b')', b' '));
    if !digits || !written || !is_area(area) || !is_exchange(exchange) {
        return None;
    }
    let start = match value.get(..start)? {
        [.., b'0', b'0', b'1', b'-' | b'.' | b' '] if !alnum_before(value, start - 4) => start - 4,
        [.., b'1', b'-' | b'.' | b' '] if !alnum_before(value, start - 2) => start - 2,
        _ => start,
    };
    let before = start.checked_sub(1).and_then(|at| value.get(at));
    let goes_on = matches!(before, Some(b'-' | b'.' | b'/' | b'_'))
        || matches!(value.get(at + 1), Some(b'-' | b'/' | b'_'))
        || !ends_here(value, at + 1)
        || alnum_before(value, start);
    (!goes_on && start >= finds.floor).then_some((start, at + 1))
}

/// An area code of the North American plan: no service code, and none of those that are kept free.
fn is_area(code: [u8; 3]) -> bool {
    let [a, b, c] = code;
    (b'2'..=b'9').contains(&a)
        && b.is_ascii_digit()
        && c.is_ascii_digit()
        && b != b'9'
        && code[1..] != *b"11"
        && code[1..] != *b"00"
}

fn is_exchange([a, b, c]: [u8; 3]) -> bool {
    (b'2'..=b'9').contains(&a) && [b, c] != *b"11"
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
        if let Some((digit, length)) = digit_at(value, next) {
            digits[count] = b'0' + digit;
            count += 1;
            next += length;
            end = next;
            gap = 0;
            continue;
        }
        if gap == 2 {
            break;
        }
        gap += 1;
        // The zero that is dialled only from within the country.
        if count > 0 && value[next..].starts_with(b"(0)") {
            next += 3;
        } else if matches!(byte, b'(' | b')' | b'/') {
            next += 1;
        } else if let Some((_, length)) = separator_at(value, next).filter(|&(it, _)| it != '_') {
            next += length;
        } else {
            break;
        }
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
/// ddd-dddd.
const LOCAL_BYTES: usize = 8;
const EXTENSIONS: [&[u8]; 6] = [b";ext=", b"extension", b"ext.", b"ext:", b"ext", b"x"];
