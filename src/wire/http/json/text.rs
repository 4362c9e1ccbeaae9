//! What a string of JSON says (RFC 8259 7), and how a text is written as one.

use super::Wrong;
use crate::wire::http::head::Span;

/// The string that starts with the quote at `at`, quotes included. `None`: its end is missing.
pub(super) fn find(bytes: &[u8], at: usize, ends: bool) -> Result<Option<Span>, Wrong> {
    let inner = bytes.get(at + 1..).unwrap_or(&[]);
    let mut end = 0;
    loop {
        let rest = inner.get(end..).unwrap_or(&[]);
        let Some(next) = rest.iter().position(|&byte| is_special(byte)) else {
            return if ends { Err(Wrong::Truncated) } else { Ok(None) };
        };
        end += next;
        match rest.get(next) {
            Some(b'"') => break,
            Some(b'\\') => {}
            _ => return Err(Wrong::Control),
        }
        match escape_bytes(inner.get(end..).unwrap_or(&[]))? {
            Some(bytes) => end += bytes,
            None if ends => return Err(Wrong::Truncated),
            None => return Ok(None),
        }
    }
    let text = inner.get(..end).unwrap_or(&[]);
    std::str::from_utf8(text).map_err(|_| Wrong::Utf8)?;
    Ok(Some(Span { start: at as u32, len: end as u32 + 2 }))
}

/// How many bytes of the inside of a string, of which more may come, are whole characters and
/// escapes, and whether its quote follows them.
///
/// # Errors
/// What is wrong with it.
pub fn part(bytes: &[u8], ends: bool) -> Result<(usize, bool), Wrong> {
    let mut end = 0;
    let ended = loop {
        let rest = bytes.get(end..).unwrap_or(&[]);
        end += rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len());
        match bytes.get(end) {
            None => break false,
            Some(b'"') => break true,
            Some(b'\\') => match escape_bytes(bytes.get(end..).unwrap_or(&[]))? {
                Some(escape) => end += escape,
                None => break false,
            },
            Some(_) => return Err(Wrong::Control),
        }
    };
    if ends && !ended {
        return Err(Wrong::Truncated);
    }
    match std::str::from_utf8(bytes.get(..end).unwrap_or(&[])) {
        Ok(_) => Ok((end, ended)),
        Err(error) if error.error_len().is_none() && end == bytes.len() => {
            Ok((error.valid_up_to(), false))
        }
        Err(_) => Err(Wrong::Utf8),
    }
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Bytes of the escape at the front; a surrogate pair is one. `None`: its rest is missing.
fn escape_bytes(rest: &[u8]) -> Result<Option<usize>, Wrong> {
    match rest.get(1) {
        None => Ok(None),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(Some(2)),
        Some(b'u') => match unit(rest)? {
            None => Ok(None),
            Some(0xd800..0xdc00) => {
                let low = rest.get(6..).unwrap_or(&[]);
                match (low.first(), low.get(1)) {
                    (None, _) | (Some(b'\\'), None) => return Ok(None),
                    (Some(b'\\'), Some(b'u')) => {}
                    _ => return Err(Wrong::Escape),
                }
                match unit(low)? {
                    None => Ok(None),
                    Some(0xdc00..0xe000) => Ok(Some(12)),
                    Some(_) => Err(Wrong::Escape),
                }
            }
            Some(0xdc00..0xe000) => Err(Wrong::Escape),
            Some(_) => Ok(Some(6)),
        },
        Some(_) => Err(Wrong::Escape),
    }
}

/// The code unit of `\u` and four digits. `None`: some of its digits are missing.
fn unit(rest: &[u8]) -> Result<Option<u32>, Wrong> {
    let mut unit = 0;
    for at in 2..6 {
        let Some(&digit) = rest.get(at) else { return Ok(None) };
        let value = char::from(digit).to_digit(16).ok_or(Wrong::Escape)?;
        unit = unit << 4 | value;
    }
    Ok(Some(unit))
}

/// What stands between the quotes of a span.
pub fn inner(bytes: &[u8], span: Span) -> &[u8] {
    let (start, len) = (span.start as usize, span.len as usize);
    bytes.get(start + 1..(start + len).saturating_sub(1)).unwrap_or(&[])
}

/// Whether the text is written without escapes, so that it stands there as it is.
pub fn is_plain(inner: &[u8]) -> bool {
    memchr::memchr(b'\\', inner).is_none()
}

/// Appends what the inside of a string says. It is one that a walk has found.
pub fn unescape(inner: &[u8], out: &mut Vec<u8>) {
    let mut rest = inner;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (letter, bytes) = unescaped(escape);
        out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        rest = escape.get(bytes..).unwrap_or(&[]);
    }
    out.extend_from_slice(rest);
}

/// The same, and for each byte of what it says where it is written, its end included. The map is
/// left empty if it is written as it is said.
pub fn unescape_mapped(inner: &[u8], out: &mut Vec<u8>, map: &mut Vec<u32>) {
    if is_plain(inner) {
        return out.extend_from_slice(inner);
    }
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        if byte != b'\\' {
            out.push(byte);
            map.push(at as u32);
            at += 1;
            continue;
        }
        let (letter, bytes) = unescaped(inner.get(at..).unwrap_or(&[]));
        let mut utf8 = [0; 4];
        for byte in letter.encode_utf8(&mut utf8).bytes() {
            out.push(byte);
            map.push(at as u32);
        }
        at += bytes;
    }
    map.push(at as u32);
}

/// The character of the escape at the front, and its length in bytes.
pub fn unescaped(escape: &[u8]) -> (char, usize) {
    let replacement = char::REPLACEMENT_CHARACTER;
    match escape.get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => {
            let high = unit(escape).ok().flatten().unwrap_or(0);
            if !(0xd800..0xdc00).contains(&high) {
                return (char::from_u32(high).unwrap_or(replacement), 6);
            }
            let low = escape.get(6..).and_then(|low| unit(low).ok().flatten()).unwrap_or(0);
            let code = 0x1_0000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff);
            (char::from_u32(code).unwrap_or(replacement), 12)
        }
        Some(&byte) => (char::from(byte), 2),
        None => (replacement, 1),
    }
}

/// Appends `text` as the inside of a string.
pub fn escape(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            _ => out.push(byte),
        }
    }
}

/// Whether `key`, which is not `name`, may be taken for it: by a parser that ignores case, ASCII's
/// or Unicode's (`encoding/json` of Go, CVE-2026-27896), or one that ends a text at its NUL.
pub fn is_alias(key: &[u8], name: &str) -> bool {
    if key == name.as_bytes() {
        return false;
    }
    let Ok(key) = std::str::from_utf8(key) else { return true };
    let kept = key.chars().filter(|c| !c.is_control() && !c.is_whitespace());
    let mut folded = kept.flat_map(fold);
    let mut wanted = name.chars().flat_map(fold);
    let cut = key.split('\0').next().unwrap_or(key);
    (cut.len() < key.len() && cut.chars().flat_map(fold).eq(name.chars().flat_map(fold)))
        || loop {
            match (folded.next(), wanted.next()) {
                (None, None) => break true,
                (one, other) if one == other => {}
                _ => break false,
            }
        }
}

/// The long s and the Kelvin sign are S and K in upper case or lower case only.
fn fold(c: char) -> impl Iterator<Item = char> {
    c.to_uppercase().flat_map(char::to_lowercase)
}
