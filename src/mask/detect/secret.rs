//! What follows a literal, and whether it makes a secret.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::literal::{Alphabet, Literal, Rest, is_base64url};
use super::{Detector, Finds, alnum_at, alnum_before, email, lines};

/// `literal` stands at `start`. Whether it is the start of a find, which is then in `finds`.
pub(super) fn verify(literal: &Literal, value: &[u8], start: usize, finds: &mut Finds) -> bool {
    let after = start + literal.text.len();
    let span = match literal.rest {
        Rest::Jwt => jwt(value, start, finds).map(|end| (start, end)),
        Rest::Pem => pem(value, start, after, finds).map(|end| (start, end)),
        Rest::PemBase64 if alnum_before(value, start) => None,
        Rest::PemBase64 => pem_base64(value, start, finds).map(|end| (start, end)),
        Rest::Domain => return email::verify_around(value, (start, after), finds),
        Rest::Bot => bot(value, start, after, finds),
        Rest::Url => url_password(value, start, after, finds),
        _ if starts_inside_word(literal.text, value, start) => None,
        Rest::Run(alphabet, least) => {
            let accept = |run: &[u8]| literal.detector != Detector::Token || is_no_filler(run);
            run(value, after, (alphabet, least), finds, accept).map(|end| (start, end))
        }
        Rest::Random(alphabet, least) => {
            run(value, after, (alphabet, least), finds, is_random).map(|end| (start, end))
        }
        Rest::Exact(alphabet, length) => {
            let end = after + length;
            finds.spend(length);
            let body = value.get(after..end).unwrap_or_default();
            let exact = body.len() == length && body.iter().all(|&byte| alphabet.has(byte));
            let goes_on = value.get(end).is_some_and(u8::is_ascii_alphanumeric);
            (exact && !goes_on).then_some((start, end))
        }
    };
    let Some((start, end)) = span else { return false };
    finds.push(start, end, literal.detector);
    if matches!(literal.rest, Rest::Pem) && !contains_end(&value[start..end]) {
        lines::cover(value, (start, end), finds);
    }
    true
}

/// `task-...` is no `sk-...`. A literal that starts with punctuation needs no boundary.
fn starts_inside_word(text: &[u8], value: &[u8], start: usize) -> bool {
    text.first().is_some_and(u8::is_ascii_alphanumeric) && alnum_before(value, start)
}

/// The end of the run of the alphabet from `after`, if its first `least` bytes are there and are
/// accepted. Only then is the rest looked at: a run that is refused costs no more than `least`,
/// however many literals stand in it.
fn run(
    value: &[u8],
    after: usize,
    (alphabet, least): (Alphabet, usize),
    finds: &mut Finds,
    accept: impl Fn(&[u8]) -> bool,
) -> Option<usize> {
    let rest = value.get(after..)?;
    let head = rest.get(..least).unwrap_or(rest);
    let known = head.iter().take_while(|&&byte| alphabet.has(byte)).count();
    finds.spend(known);
    if known < least || !accept(head) {
        return None;
    }
    let length = rest.iter().take_while(|&&byte| alphabet.has(byte)).count();
    finds.spend(length);
    // A token at the end of a sentence does not own the full stop.
    let run = rest[..length].strip_suffix(b".").unwrap_or(&rest[..length]);
    Some(after + run.len())
}

/// Not the same few characters over and over, as in examples.
fn is_no_filler(run: &[u8]) -> bool {
    distinct(run) >= 5
}

fn distinct(run: &[u8]) -> u32 {
    run.iter().fold(0_u128, |set, &byte| set | 1 << (byte & 0x7f)).count_ones()
}

/// Shannon entropy of at least three bits per byte.
fn is_random(run: &[u8]) -> bool {
    // Three bits need eight different bytes; most of what is refused is refused here.
    if distinct(run) < 8 {
        return false;
    }
    let mut counts = [0_u8; 128];
    run.iter().for_each(|&byte| counts[usize::from(byte & 0x7f)] += 1);
    let total = run.len() as f64;
    let bits = |&count: &u8| {
        let share = f64::from(count) / total;
        -share * share.log2()
    };
    counts.iter().filter(|&&count| count > 0).map(bits).sum::<f64>() >= 3.0
}

/// `header.payload.signature`: the header decodes to a JSON object with `alg`. The signature may be
/// cut off or empty.
fn jwt(value: &[u8], start: usize, finds: &mut Finds) -> Option<usize> {
    let before = start.checked_sub(1).and_then(|at| value.get(at));
    if matches!(before, Some(b'-' | b'_')) || alnum_before(value, start) {
        return None;
    }
    let segment = |from: usize| {
        let rest = value.get(from..).unwrap_or_default();
        from + rest.iter().take_while(|&&byte| is_base64url(byte)).count()
    };
    let header_end = segment(start);
    finds.spend(header_end - start);
    let header = &value[start..header_end];
    if value.get(header_end) != Some(&b'.') || header.len() > JWT_HEADER_BYTES_MAX {
        return None;
    }
    let json = URL_SAFE_NO_PAD.decode(header).ok()?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&json).ok()?;
    if !object.contains_key("alg") {
        return None;
    }
    let mut end = segment(header_end + 1);
    // Two more segments in a signed token, four in an encrypted one.
    for _ in 0..3 {
        if value.get(end) == Some(&b'.') && value.get(end + 1).is_some_and(|b| is_base64url(*b)) {
            end = segment(end + 1);
        }
    }
    finds.spend(end - header_end);
    Some(end)
}

/// From `-----BEGIN ... PRIVATE KEY` to its END line; a block that is cut off ends where its
/// alphabet does. Escaped newlines belong to the alphabet, a closing quote does not.
fn pem(value: &[u8], start: usize, after: usize, finds: &mut Finds) -> Option<usize> {
    let rest = &value[after..];
    let mut body = 0;
    if value[start] == b'-' {
        let label = &rest[..rest.len().min(PEM_LABEL_BYTES_MAX)];
        finds.spend(label.len());
        let words = label.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b' ');
        let words = words.count();
        if !contains(&label[..words], b"PRIVATE KEY") {
            return None;
        }
        body = words + label[words..].iter().take_while(|&&byte| byte == b'-').count();
    }
    // Not beyond the END line: what follows it is none of this key's business, and looking at it
    // again for the next key would make the cost grow with the square.
    let rest = &rest[body..];
    let mut end = 0;
    while rest.get(end).is_some_and(|&byte| is_pem(byte)) {
        if rest[end] == b'-' && rest[end..].starts_with(PEM_END) {
            let footer = &rest[end + PEM_END.len()..];
            let footer = &footer[..footer.len().min(PEM_LABEL_BYTES_MAX)];
            let words = footer.iter().take_while(|b| b.is_ascii_uppercase() || **b == b' ').count();
            let dashes = footer[words..].iter().take(5).take_while(|&&byte| byte == b'-').count();
            end += PEM_END.len() + words + dashes;
            break;
        }
        end += 1;
    }
    finds.spend(end);
    Some(after + body + end)
}

/// A PEM block in base64, as Kubernetes and many settings hold it: `-----BEGIN` is the literal.
fn pem_base64(value: &[u8], start: usize, finds: &mut Finds) -> Option<usize> {
    let rest = &value[start..];
    let head = rest.get(..PEM_HEAD_BYTES)?;
    finds.spend(PEM_HEAD_BYTES);
    let label = STANDARD.decode(head).ok()?;
    if !contains(&label, b"PRIVATE KEY") {
        return None;
    }
    let line_end = |at: usize| match rest.get(at..) {
        Some([b'\\', b'n', ..] | [b'\r', b'\n', ..]) => 2,
        Some([b'\n', ..]) => 1,
        _ => 0,
    };
    let mut end = 0;
    loop {
        let rest = rest.get(end..).unwrap_or(&[]);
        let line = rest.iter().take_while(|&&byte| Alphabet::Base64.has(byte)).count();
        // Only a line as long as the others of base64 goes on in the next one.
        let gap = line_end(end + line);
        let goes_on = gap > 0 && line >= PEM_LINE_BYTES_MIN;
        end += line;
        if !goes_on {
            finds.spend(end);
            return Some(start + end);
        }
        end += gap;
    }
}

/// `1234567890:AA` and 33 more: the number of a bot of Telegram and its key.
fn bot(value: &[u8], start: usize, after: usize, finds: &mut Finds) -> Option<(usize, usize)> {
    let from = start.saturating_sub(BOT_DIGITS_MAX);
    let number = value[from..start].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let end = after + BOT_KEY_BYTES;
    finds.spend(number + 1);
    if !(BOT_DIGITS_MIN..=BOT_DIGITS_MAX).contains(&number) || start - number < finds.floor {
        return None;
    }
    finds.spend(BOT_KEY_BYTES);
    let is_key = value.get(after..end)?.iter().all(|&byte| is_base64url(byte));
    let alone = !alnum_before(value, start - number) && !alnum_at(value, end);
    (is_key && alone).then_some((start - number, end))
}

fn contains_end(key: &[u8]) -> bool {
    memchr::memmem::find(key, PEM_END).is_some()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Base64, white space, header lines, escaped newlines.
fn is_pem(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || byte.is_ascii_whitespace()
        || matches!(
            byte,
            b'+' | b'/' | b'=' | b'-' | b'\\' | b':' | b',' | b'.' | b'@' | b'(' | b')' | b'_'
        )
}

/// The password in `scheme://user:password@host`; the last `@` before the path ends it, because
/// people do not always escape theirs.
fn url_password(
    value: &[u8],
    start: usize,
    after: usize,
    finds: &mut Finds,
) -> Option<(usize, usize)> {
    if !alnum_before(value, start) {
        return None;
    }
    let rest = &value[after..];
    let rest = &rest[..rest.len().min(URL_AUTHORITY_BYTES_MAX)];
    let length = rest.iter().take_while(|&&byte| !ends_authority(byte)).count();
    finds.spend(length);
    let authority = &rest[..length];
    let at = memchr::memrchr(b'@', authority)?;
    let colon = memchr::memchr(b':', &authority[..at])?;
    let password = &authority[colon + 1..at];
    let shown = password.is_empty() || password.iter().all(|&byte| byte == b'*' || byte == b'x');
    (!shown).then_some((after + colon + 1, after + at))
}

fn ends_authority(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'`' | b'\\')
}

/// Longer headers are not decoded.
const JWT_HEADER_BYTES_MAX: usize = 8192;
/// Base64 of `-----BEGIN`, the longest label and its dashes, cut between two groups of four.
const PEM_HEAD_BYTES: usize = 56;
const PEM_LINE_BYTES_MIN: usize = 60;
const BOT_DIGITS_MIN: usize = 8;
const BOT_DIGITS_MAX: usize = 10;
const BOT_KEY_BYTES: usize = 33;
const PEM_END: &[u8] = b"-----END ";
const PEM_LABEL_BYTES_MAX: usize = 64;
const URL_AUTHORITY_BYTES_MAX: usize = 1024;

const _: () = assert!(Detector::ALL.len() <= 64);
