//! E-mail addresses: the label grammar of RFC 5321, as addresses are written in practice.

use super::{Detector, Finds};

/// `at` is the byte after an `@`.
pub(super) fn verify(value: &[u8], at: usize, finds: &mut Finds) {
    let sign = at.wrapping_sub(1);
    if sign <= finds.floor || value.get(sign) != Some(&b'@') {
        return;
    }
    let start = local_start(value, sign, finds.floor);
    let end = domain_end(value, at);
    finds.spend(sign - start + end.unwrap_or(at) - at + 2);
    let local = &value[start..sign];
    if let Some(end) = end
        && !local.is_empty()
        && local.last() != Some(&b'.')
        && local != b"git"
    {
        finds.push(start, end, Detector::Email);
    }
}

/// Leftwards over the local part, not beyond `floor`, not over two dots, not starting with one.
fn local_start(value: &[u8], sign: usize, floor: usize) -> usize {
    let mut start = sign;
    while start > floor && is_local(value[start - 1]) {
        if value[start - 1] == b'.' && value[start] == b'.' {
            break;
        }
        start -= 1;
    }
    while start < sign && value[start] == b'.' {
        start += 1;
    }
    start
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'&' | b'~')
}

/// The end of the longest domain that starts at `start` and ends in a top-level domain.
fn domain_end(value: &[u8], start: usize) -> Option<usize> {
    let mut end = start;
    while end < value.len() && end - start < DOMAIN_BYTES_MAX && is_domain(value[end]) {
        if value[end] == b'.' && value.get(end + 1) == Some(&b'.') {
            break;
        }
        end += 1;
    }
    let domain = &value[start..end];
    let mut rest = domain.len();
    loop {
        let dot = memchr::memrchr(b'.', &domain[..rest])?;
        if let Some(length) = top_level(&domain[dot + 1..rest])
            && domain[..dot].split(|&byte| byte == b'.').all(is_label)
        {
            return Some(start + dot + 1 + length);
        }
        rest = dot;
    }
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || !byte.is_ascii()
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.len() <= 63 && label[0] != b'-' && label.last() != Some(&b'-')
}

/// How much of the last label is a top-level domain: letters, or an encoded one. What may follow
/// directly is a hyphen or a character of another script.
fn top_level(label: &[u8]) -> Option<usize> {
    if label.starts_with(b"xn--") && label.len() > 4 && label.is_ascii() && is_label(label) {
        return Some(label.len());
    }
    let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let next = label.get(letters);
    let ends = next.is_none_or(|&byte| byte == b'-' || !byte.is_ascii());
    (ends && (2..=24).contains(&letters)).then_some(letters)
}

/// RFC 1035: 253 characters as written.
const DOMAIN_BYTES_MAX: usize = 253;
