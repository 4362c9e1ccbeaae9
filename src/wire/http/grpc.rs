//! gRPC over HTTP/2: which method is called, where messages stand, how weir refuses.
//!
//! In: heads and bodies of either direction. Out: names, times, bounds of messages, refusals.
//! Never: a look into a message: protobuf is opaque here.

use crate::limits::GRPC_TIMEOUT_US_MAX;

/// `grpc-status` of what weir says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The hold was not answered in time.
    DeadlineExceeded = 4,
    /// A rule or a person said no.
    PermissionDenied = 7,
    /// The target, or the journal, takes nothing now; nothing was forwarded.
    Unavailable = 14,
    /// The client has not said who it is.
    Unauthenticated = 16,
}

/// Whether the content is gRPC's: `application/grpc`, `application/grpc+proto`, not gRPC-Web.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let name = content_type.split(|byte| *byte == b';').next().unwrap_or(&[]).trim_ascii();
    let rest = name
        .split_at_checked(b"application/grpc".len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(b"application/grpc"));
    rest.is_some_and(|(_, rest)| rest.is_empty() || rest.first() == Some(&b'+'))
}

/// Service and method of `/package.Service/Method`. `None` for every other path: no rule about a
/// method may be evaded by an escape or a further segment.
pub fn method(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
    let (service, method) = (parts.next()?, parts.next()?);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(plain);
    (parts.next().is_none() && is_name(service) && is_name(method)).then_some((service, method))
}

/// Microseconds of a `grpc-timeout`: at most eight digits and a unit.
pub fn timeout_us(value: &[u8]) -> Option<u64> {
    let (unit, digits) = value.split_last()?;
    let is_number = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let number: u64 = std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()?;
    let us = match unit {
        b'H' => number * 3_600_000_000,
        b'M' => number * 60_000_000,
        b'S' => number * 1_000_000,
        b'm' => number * 1_000,
        b'u' => number,
        b'n' => number / 1_000,
        _ => return None,
    };
    Some(us.min(GRPC_TIMEOUT_US_MAX))
}

/// `grpc-message`: bytes but for space to `~` without `%` are written as escapes.
pub fn message(said: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(said.len());
    for byte in said.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// The fields of an answer that is a refusal and has no body ("Trailers-Only"), behind
/// `:status: 200`.
pub fn refusal(status: Status, said: &str) -> [(&'static [u8], Vec<u8>); 3] {
    [
        (b"content-type", b"application/grpc".to_vec()),
        (b"grpc-status", (status as u8).to_string().into_bytes()),
        (b"grpc-message", message(said)),
    ]
}

/// Follows the messages of one direction.
///
/// ```text
///   +----------------+-------------+--------------------
///   | compressed (1) | length (4)  | message (length)
///   +----------------+-------------+--------------------
/// ```
#[derive(Clone, Debug, Default)]
pub struct Messages {
    prefix: [u8; 5],
    filled: usize,
    left: u32,
    /// Messages that are complete.
    pub count: u64,
}

impl Messages {
    /// Whether what was seen ends between two messages.
    pub fn is_between(&self) -> bool {
        self.filled == 0 && self.left == 0
    }

    /// Takes in bytes. `None`: a flag that is neither 0 nor 1, so that these are no messages.
    pub fn take(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let count = (self.left as usize).min(bytes.len());
                bytes = bytes.get(count..).unwrap_or(&[]);
                self.left -= count as u32;
                self.count += u64::from(self.left == 0);
                continue;
            }
            let (&byte, rest) = bytes.split_first()?;
            bytes = rest;
            *self.prefix.get_mut(self.filled)? = byte;
            self.filled += 1;
            let [flag, length @ ..] = self.prefix;
            if flag > 1 {
                return None;
            }
            if self.filled == 5 {
                self.filled = 0;
                self.left = u32::from_be_bytes(length);
                self.count += u64::from(self.left == 0);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        let found = method(b"/orders.v1.Orders/Delete");
        assert_eq!(found, Some((&b"orders.v1.Orders"[..], &b"Delete"[..])));
        for path in ["/a", "/a/", "//b", "/a/b/c", "a/b", "/a/b%2f", "/a/b;c", "/a/b?x", ""] {
            assert_eq!(method(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn content_types() {
        for kind in ["application/grpc", "application/grpc+proto", "Application/GRPC; x=1"] {
            assert!(is_grpc(kind.as_bytes()), "{kind}");
        }
        for kind in ["application/grpc-web", "application/json", "application/grp", ""] {
            assert!(!is_grpc(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(timeout_us(b"100m"), Some(100_000));
        assert_eq!(timeout_us(b"5S"), Some(5_000_000));
        assert_eq!(timeout_us(b"99999999H"), Some(GRPC_TIMEOUT_US_MAX));
        for value in ["", "S", "5", "-5S", "5s", "123456789S", " 5S"] {
            assert_eq!(timeout_us(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn refusals() {
        let [_, (_, status), (_, said)] = refusal(Status::PermissionDenied, "50% no\u{fc}\n");
        assert_eq!(status, b"7");
        assert_eq!(said, b"50%25 no%C3%BC%0A");
    }

    #[test]
    fn messages_in_any_split() {
        let bytes = b"\0\0\0\0\x03abc\x01\0\0\0\0\0\0\0\x01\0".iter();
        let all: Vec<u8> = bytes.copied().chain([b'x'; 256]).collect();
        for piece in 1..all.len() {
            let mut messages = Messages::default();
            for part in all.chunks(piece) {
                messages.take(part).unwrap();
            }
            assert_eq!((messages.count, messages.is_between()), (3, true));
            messages.take(b"\0\0").unwrap();
            assert!(!messages.is_between());
        }
        assert_eq!(Messages::default().take(b"\x02"), None);
    }
}
