//! E-mail addresses: the label grammar of RFC 5321, as addresses are written in practice.

use super::{Detector, Finds};

/// `at` is the byte after an `@`.
pub(super) fn verify(value: &[u8], at: usize, finds: &mut Finds) {
    let sign = at.wrapping_sub(1);
    if value.get(sign) == Some(&b'@') {
        verify_around(value, (sign, at), finds);
    }
}

/// The address around a sign, which may be `%40`.
pub(super) fn verify_around(value: &[u8], (sign, at): (usize, usize), finds: &mut Finds) -> bool {
    if sign <= finds.floor {
        return false;
    }
    let start = quoted_start(value, sign, finds.floor)
        .unwrap_or_else(|| local_start(value, sign, finds.floor));
    let end = domain_end(value, at);
    finds.spend(sign - start + end.unwrap_or(at) - at + 2);
    let local = &value[start..sign];
    let Some(end) = end.filter(|&end| !is_file(&value[at..end])) else { return false };
    let is_address = !local.is_empty()
        && local.last() != Some(&b'.')
        && !NO_PERSON.contains(&local)
        && !is_of_url(value, start, finds)
        && !is_of_path(value, end);
    if is_address {
        finds.push(start, end, Detector::Email);
    }
    is_address
}

/// Leftwards over the local part, not beyond `floor`, not over two dots, not starting with one.
fn local_start(value: &[u8], sign: usize, floor: usize) -> usize {
    let mut start = sign;
    while start > floor && sign - start < LOCAL_BYTES_MAX && is_local(value, start - 1) {
        if value[start - 1] == b'.' && value[start] == b'.' {
            break;
        }
        start -= 1;
    }
    // Not within a character, nor within an escape.
    while start < sign && value[start] & 0xc0 == 0x80 {
        start += 1;
    }
    let is_escape = matches!(value[start], b'n' | b'r' | b't');
    if is_escape && start.checked_sub(1).is_some_and(|at| value[at] == b'\\') {
        start += 1;
    }
    while start < sign && matches!(value[start], b'.' | b'\'') {
        start += 1;
    }
    start
}

/// RFC 5322's atoms, without those that stand between a name and its value, or in front of an
/// address as often as in it (`=`, `/`, `?`, `|`, backquotes and braces).
fn is_local(value: &[u8], at: usize) -> bool {
    let byte = value[at];
    match byte {
        b'.' | b'_' | b'%' | b'+' | b'-' | b'&' | b'~' | b'!' | b'#' | b'$' | b'*' => true,
        // O'Brien's, and not the quote before a text.
        b'\'' => {
            let next = value.get(at + 1).is_some_and(u8::is_ascii_alphabetic);
            next && at.checked_sub(1).is_some_and(|at| value[at].is_ascii_alphabetic())
        }
        _ => byte.is_ascii_alphanumeric() || !byte.is_ascii(),
    }
}

/// Where a quoted local part begins (RFC 5321, 4.1.2): `"john doe"@example.com`.
fn quoted_start(value: &[u8], sign: usize, floor: usize) -> Option<usize> {
    let quote = sign.checked_sub(1).filter(|&at| at > floor && value[at] == b'"')?;
    let from = quote.saturating_sub(LOCAL_BYTES_MAX).max(floor);
    let inner = &value[from..quote];
    let start = from + memchr::memrchr(b'"', inner)?;
    let is_text =
        |byte: &u8| !byte.is_ascii_control() && !matches!(byte, b',' | b'{' | b'}' | b':');
    let text = &value[start + 1..quote];
    (!text.is_empty() && text.iter().all(is_text)).then_some(start)
}

/// Whether what stands before `start` is `scheme://` or `scheme://user:`: then it is a name or a
/// password at a host, and nobody's address.
fn is_of_url(value: &[u8], start: usize, finds: &mut Finds) -> bool {
    let before = &value[start.saturating_sub(URL_BYTES_MAX)..start];
    let of_url = |byte: &&u8| byte.is_ascii_graphic() && !b"/?#\"'<>`\\@".contains(byte);
    let user = match before.last() {
        Some(b'/') => 0,
        Some(b':') => before.iter().rev().take_while(of_url).count(),
        _ => return false,
    };
    finds.spend(user);
    before[..before.len() - user].ends_with(b"://")
}

/// Whether a path of scp or a shell's prompt follows: `deploy@web.example.com:/srv`.
fn is_of_path(value: &[u8], end: usize) -> bool {
    matches!(value.get(end..), Some([b':', b'/' | b'~', ..]))
}

/// Names of files and of services have an `@`, too: `logo@2x.png`, `getty@tty1.service`.
fn is_file(domain: &[u8]) -> bool {
    let Some(dot) = memchr::memrchr(b'.', domain) else { return false };
    let kind = &domain[dot + 1..];
    let mut lower = [0; FILE_BYTES_MAX];
    let Some(lower) = lower.get_mut(..kind.len()) else { return false };
    lower.copy_from_slice(kind);
    lower.make_ascii_lowercase();
    FILES.contains(&&*lower)
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
    if label.first().is_some_and(|byte| !byte.is_ascii()) {
        return script(label);
    }
    let letters = label.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let next = label.get(letters);
    let ends = next.is_none_or(|&byte| byte == b'-' || !byte.is_ascii());
    (ends && (2..=24).contains(&letters)).then_some(letters)
}

/// A top-level domain in a script of its own: two letters at least.
fn script(label: &[u8]) -> Option<usize> {
    let length = label.iter().take_while(|byte| !byte.is_ascii()).count();
    let text = std::str::from_utf8(&label[..length]).ok()?;
    let letters: usize =
        text.chars().take_while(|letter| letter.is_alphabetic()).map(char::len_utf8).sum();
    (text[..letters].chars().nth(1).is_some()).then_some(letters)
}

/// Accounts that tools log in with, not people.
const NO_PERSON: [&[u8]; 3] = [b"git", b"hg", b"svn"];
/// Last parts of names of files and of units of systemd that are no top-level domains.
const FILES: &[&[u8]] = &[
    b"avif", b"bak", b"bmp", b"cjs", b"class", b"conf", b"cpp", b"css", b"csv", b"dll", b"dylib",
    b"eot", b"exe", b"gif", b"go", b"gz", b"hpp", b"htm", b"html", b"ico", b"ini", b"ipynb",
    b"jar", b"java", b"jpeg", b"jpg", b"js", b"json", b"jsx", b"kt", b"less", b"lock", b"log",
    b"mjs", b"mount", b"otf", b"path", b"pdf", b"php", b"plist", b"png", b"py3", b"rb", b"rpm",
    b"sass", b"scope", b"scss", b"service", b"slice", b"socket", b"sql", b"svg", b"swift", b"tar",
    b"tgz", b"tiff", b"timer", b"toml", b"ts", b"tsx", b"ttf", b"txt", b"vue", b"wasm", b"webp",
    b"woff", b"xml", b"yaml", b"yml",
];
const FILE_BYTES_MAX: usize = 8;
/// RFC 5321, 4.5.3.1.1.
const LOCAL_BYTES_MAX: usize = 64;
/// How far back the start of a URL is looked for.
const URL_BYTES_MAX: usize = 256;
/// RFC 1035: 253 characters as written.
const DOMAIN_BYTES_MAX: usize = 253;
