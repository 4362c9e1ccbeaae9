//! What every head must be, whichever version of HTTP it came in.
//!
//! In: the parts of a head. Out: nothing, or the reason for which it is refused.
//! Never: a repair: what is ambiguous is refused, what is not is left as it is.

use super::form;
use super::refused::Refused;
use crate::hex;
use crate::limits::HTTP_METHOD_BYTES_MAX;

const fn is_token_byte(byte: u8) -> bool {
    // RFC 9110 5.6.2, tchar.
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
        )
        || matches!(byte, b'`' | b'|' | b'~')
}

static TOKEN: [bool; 256] = table(Table::Token);
static URI: [bool; 256] = table(Table::Uri);

#[derive(Clone, Copy)]
enum Table {
    Token,
    Uri,
}

const fn table(which: Table) -> [bool; 256] {
    let mut all = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        all[byte] = match which {
            Table::Token => is_token_byte(b),
            Table::Uri => b > 0x20 && b < 0x7f && !matches!(b, b'#' | b'"' | b'<' | b'>'),
        };
        byte += 1;
    }
    all
}

fn all(bytes: &[u8], table: &[bool; 256]) -> bool {
    bytes.iter().all(|byte| table.get(usize::from(*byte)).is_some_and(|is| *is))
}

/// Whether it is a token (RFC 9110 5.6.2): names of fields, methods, protocols.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && all(bytes, &TOKEN)
}

/// The value of a field: no control character but the tab.
///
/// # Errors
/// `Value`.
pub fn value(bytes: &[u8]) -> Result<(), Refused> {
    // RFC 9110 5.5: visible characters, blanks, and bytes that are not ASCII. Without a way out of
    // the inner loop, it looks at many bytes at once.
    let good = |byte: &u8| (*byte >= 0x20 && *byte != 0x7f) || *byte == b'\t';
    let run = |run: &[u8]| run.iter().fold(true, |all, byte| all & good(byte));
    if bytes.chunks(64).all(run) { Ok(()) } else { Err(Refused::Value) }
}

/// A method that may be asked for. Methods are case-sensitive (RFC 9110 9.1): `get` is another one
/// than `GET`, and no rule about `GET` speaks of it.
///
/// # Errors
/// `Method`, `Trace`, `Connect`, `Preface`. The extended CONNECT of HTTP/2 is looked at before.
pub fn method(method: &[u8]) -> Result<(), Refused> {
    match method {
        b"TRACE" => Err(Refused::Trace),
        b"CONNECT" => Err(Refused::Connect),
        b"PRI" => Err(Refused::Preface),
        // Methods are told apart by their letters (RFC 9110 9.1), but many frameworks write them in
        // capitals before they look: `delete` runs as what rules know as DELETE.
        _ if method.iter().any(u8::is_ascii_lowercase) => Err(Refused::Method),
        _ if method.len() <= HTTP_METHOD_BYTES_MAX && is_token(method) => Ok(()),
        _ => Err(Refused::Method),
    }
}

/// A path with an optional query, as it goes on in the line of a request: origin-form, or `*` of
/// OPTIONS (RFC 9112 3.2).
///
/// # Errors
/// `Target`, `MethodOverride`.
pub fn target(method: &[u8], target: &[u8]) -> Result<(), Refused> {
    if target == b"*" {
        return if method == b"OPTIONS" { Ok(()) } else { Err(Refused::Target) };
    }
    if target.first() != Some(&b'/') || !all(target, &URI) {
        return Err(Refused::Target);
    }
    let (path, query) = split_target(target);
    // A backslash is a slash to some servers, and none in a URI.
    if path.contains(&b'\\') {
        return Err(Refused::Target);
    }
    match query {
        Some(query) if form::names_method(query, method) => Err(Refused::MethodOverride),
        _ => Ok(()),
    }
}

/// The path and what stands behind its question mark.
pub fn split_target(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}

/// Escapes decoded once; `None` if one of them is malformed.
pub fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = hex::digit(*rest.next()?)?;
        let low = hex::digit(*rest.next()?)?;
        decoded.push(high << 4 | low);
    }
    Some(decoded)
}

/// A host with an optional port, as `Host` and `:authority` have it (RFC 9110 7.2). Servers differ
/// on everything else that RFC 3986 would let stand here: no userinfo, no escapes, no lists.
///
/// # Errors
/// `Host`.
pub fn authority(authority: &[u8]) -> Result<(), Refused> {
    let (host, port) = split_authority(authority).ok_or(Refused::Host)?;
    let port_is_good = match port {
        None => true,
        Some(port) => {
            let digits = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(port).ok().and_then(|port| port.parse::<u16>().ok());
            digits && port.len() <= 5 && number.is_some_and(|number| number != 0)
        }
    };
    let host_is_good = match host {
        [b'[', address @ .., b']'] => std::str::from_utf8(address)
            .is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        _ => host.len() <= 255 && is_name(host),
    };
    if port_is_good && host_is_good { Ok(()) } else { Err(Refused::Host) }
}

/// Labels of letters, digits, `-` and `_`; one dot may end them.
fn is_name(host: &[u8]) -> bool {
    let host = host.strip_suffix(b".").unwrap_or(host);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    host.split(|byte| *byte == b'.').all(|label| !label.is_empty() && label.iter().all(plain))
}

/// The host and the port of an authority; a host in brackets keeps them.
pub fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let host_end = match authority.first()? {
        b'[' => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(host_end)?;
    match rest.split_first() {
        None => Some((host, None)),
        Some((b':', port)) => Some((host, Some(port))),
        Some(_) => None,
    }
}

/// All that servers read a path as, decoded once. An escaped slash is a slash to some and a letter
/// to others, what is behind `;` belongs to the segment or not, an empty segment counts or not,
/// what two slashes begin is a host or not: each of these is a reading. What could be read as yet
/// another path is refused. It is asked for where a rule names paths.
///
/// # Errors
/// `PathEscape`, `PathSeparator`, `PathDots`.
pub fn path_readings(path: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    let decoded = decode(path).ok_or(Refused::PathEscape)?;
    // Overlong forms and surrogates are no UTF-8; a second layer of escapes would be decoded by a
    // target that decodes twice.
    let text = std::str::from_utf8(&decoded).map_err(|_| Refused::PathEscape)?;
    if text.contains(|letter: char| letter.is_control()) {
        return Err(Refused::PathEscape);
    }
    if decoded.contains(&b'\\') {
        return Err(Refused::PathSeparator);
    }
    let twice = decoded.split(|byte| *byte == b'%').skip(1);
    if twice
        .filter_map(|rest| rest.get(..2))
        .any(|digits| digits.iter().all(|d| hex::digit(*d).is_some()))
    {
        return Err(Refused::PathEscape);
    }
    let kept = decode(&slashes_kept(path)).ok_or(Refused::PathEscape)?;
    let mut readings = vec![decoded, kept];
    for change in [without_parameters, behind_host, without_empty] {
        let changed: Vec<Vec<u8>> = readings.iter().map(|reading| change(reading)).collect();
        readings.extend(changed);
    }
    readings.sort_unstable();
    readings.dedup();
    let has_dots = |reading: &Vec<u8>| {
        reading.split(|byte| *byte == b'/').any(|segment| matches!(segment, b"." | b".."))
    };
    if readings.iter().any(has_dots) { Err(Refused::PathDots) } else { Ok(readings) }
}

/// Escaped slashes stay as they are written.
fn slashes_kept(path: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, more)) = rest.split_first() {
        match rest.get(..3) {
            Some([b'%', b'2', digit]) if digit.eq_ignore_ascii_case(&b'f') => {
                kept.extend_from_slice(b"%252F");
                rest = rest.get(3..).unwrap_or(&[]);
            }
            _ => {
                kept.push(*first);
                rest = more;
            }
        }
    }
    kept
}

/// Segments end at their first `;`.
fn without_parameters(path: &[u8]) -> Vec<u8> {
    let bare = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or(&[]).to_vec();
    path.split(|byte| *byte == b'/').map(bare).collect::<Vec<_>>().join(&b'/')
}

/// What stands behind the host that two slashes begin (RFC 3986 4.2). `new URL(request.url, base)`
/// of Node.js reads `//x/secret` so, and with more slashes (WHATWG URL 4.4, "special authority
/// ignore slashes state"); `HttpServer` of the JDK, too (`new URI(...)` in `ServerImpl.Exchange`).
fn behind_host(path: &[u8]) -> Vec<u8> {
    let Some(rest) = path.strip_prefix(b"//") else { return path.to_vec() };
    let host = rest.iter().position(|byte| *byte != b'/').unwrap_or(rest.len());
    let behind = rest.get(host..).unwrap_or(&[]).iter().position(|byte| *byte == b'/');
    behind.and_then(|at| rest.get(host + at..)).unwrap_or(b"/").to_vec()
}

/// Slashes behind slashes are left out.
fn without_empty(path: &[u8]) -> Vec<u8> {
    let mut merged = Vec::with_capacity(path.len());
    for &byte in path {
        if byte != b'/' || merged.last() != Some(&b'/') {
            merged.push(byte);
        }
    }
    merged
}

/// The number of a `Content-Length` (RFC 9112 6.3): digits, nothing else, below 2^63.
///
/// # Errors
/// `ContentLength`.
pub fn content_length(value: &[u8]) -> Result<u64, Refused> {
    let plain = match value {
        [b'0'] => true,
        [b'0', ..] | [] => false,
        _ => value.len() <= 19 && value.iter().all(u8::is_ascii_digit),
    };
    if !plain {
        return Err(Refused::ContentLength);
    }
    let number =
        value.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit.wrapping_sub(b'0')));
    if number < 1 << 63 { Ok(number) } else { Err(Refused::ContentLength) }
}

/// A status: three digits, from 100 to 599.
///
/// # Errors
/// `Status`.
pub fn status(digits: &[u8]) -> Result<u16, Refused> {
    let [hundreds @ b'1'..=b'5', tens, ones] = digits else { return Err(Refused::Status) };
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return Err(Refused::Status);
    }
    let digit = |byte: &u8| u16::from(byte.wrapping_sub(b'0'));
    Ok(digit(hundreds) * 100 + digit(tens) * 10 + digit(ones))
}

/// The elements of a comma-separated list without blanks around them; empty ones are left out
/// (RFC 9110 5.6.1.2).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
