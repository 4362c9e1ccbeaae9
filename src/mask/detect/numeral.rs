//! Digits, and what people write between groups of them.
//!
//! In: bytes and a place in them. Out: the digit or the separator that stands there, or ends there.
//! Never: a look at more than the six bytes of one character or escape.
//!
//! ```text
//! 4111 1111   4111-1111   4111.1111   4111_1111    ASCII: one byte
//! blanks and dashes of typesetters, of two or three bytes; full-width digits, of three
//! 4111\u00a01111                                   the same in JSON that is written in ASCII
//! ```

/// A digit or a separator, and how many bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Digit(u8, usize),
    Separator(char, usize),
}

/// The digit at `at` and its length.
#[inline]
pub(super) fn digit_at(value: &[u8], at: usize) -> Option<(u8, usize)> {
    match *value.get(at)? {
        byte @ b'0'..=b'9' => Some((byte - b'0', 1)),
        0xef => match value.get(at..at + 3)? {
            &[_, 0xbc, last @ 0x90..=0x99] => Some((last - 0x90, 3)),
            _ => None,
        },
        _ => None,
    }
}

/// The separator at `at` and its length.
#[inline]
pub(super) fn separator_at(value: &[u8], at: usize) -> Option<(char, usize)> {
    match *value.get(at)? {
        byte @ (b' ' | b'-' | b'.' | b'_') => Some((char::from(byte), 1)),
        b'\\' => escaped(value.get(at..at + ESCAPE_BYTES)?),
        lead if !lead.is_ascii() => wide(value.get(at..)?),
        _ => None,
    }
}

/// One that is no ASCII, or is written as an escape, or is an underscore: for these a window of
/// `literal` says where they are.
pub(super) fn is_rare(separator: char) -> bool {
    !matches!(separator, ' ' | '-' | '.')
}

/// What ends right before `at`, and begins at `floor` or later.
pub(super) fn sign_before(value: &[u8], at: usize, floor: usize) -> Option<Sign> {
    let last = *value.get(at.checked_sub(1)?)?;
    let lengths: &[usize] = match last {
        b' ' | b'-' | b'.' | b'_' => &[1],
        // It may be the end of an escape.
        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => &[ESCAPE_BYTES, 1],
        0x80..=0xbf => &[3, 2],
        _ => &[],
    };
    lengths.iter().find_map(|&length| {
        let start = at.checked_sub(length).filter(|&start| start >= floor)?;
        if length == ESCAPE_BYTES && value.get(start) != Some(&b'\\') {
            return None;
        }
        let digit = digit_at(value, start).filter(|it| it.1 == length);
        let separator = || separator_at(value, start).filter(|it| it.1 == length);
        match digit {
            Some((digit, _)) => Some(Sign::Digit(digit, length)),
            None => separator().map(|(separator, _)| Sign::Separator(separator, length)),
        }
    })
}

fn wide(rest: &[u8]) -> Option<(char, usize)> {
    let length = if rest.first().is_some_and(|&lead| lead >= 0xe0) { 3 } else { 2 };
    let text = std::str::from_utf8(rest.get(..length)?).ok()?;
    let separator = text.chars().next()?;
    is_wide(separator).then_some((separator, length))
}

fn escaped(escape: &[u8]) -> Option<(char, usize)> {
    let hex = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    let separator = char::from_u32(u32::from_str_radix(hex, 16).ok()?)?;
    is_wide(separator).then_some((separator, ESCAPE_BYTES))
}

/// Blanks (Unicode's Zs), hyphens, dashes and the minus.
fn is_wide(separator: char) -> bool {
    matches!(
        separator,
        '\u{a0}'
            | '\u{2000}'..='\u{200a}'
            | '\u{2010}'..='\u{2015}'
            | '\u{202f}'
            | '\u{205f}'
            | '\u{2212}'
            | '\u{3000}'
            | '\u{fe63}'
            | '\u{ff0d}'
    )
}

/// The second and third byte of what `literal` looks for behind a digit: the beginnings of rare
/// separators.
pub(super) const GAPS: [[u8; 2]; 18] = [
    *b"_0",
    *b"_1",
    *b"_2",
    *b"_3",
    *b"_4",
    *b"_5",
    *b"_6",
    *b"_7",
    *b"_8",
    *b"_9",
    *b"\\u",
    [0xc2, 0xa0],
    [0xe2, 0x80],
    [0xe2, 0x81],
    [0xe2, 0x88],
    [0xe3, 0x80],
    [0xef, 0xb9],
    [0xef, 0xbc],
];

/// `\u00a0`.
const ESCAPE_BYTES: usize = 6;
