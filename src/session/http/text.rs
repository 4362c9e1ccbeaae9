//! A request as its row shows it: the line and the fields as received, without secrets.
//!
//! In: a head. Out: the text of the row, the words of an approval.
//! Never: a credential, a cookie, a secret of the query.

use crate::wire::http::check;
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;

const HIDDEN: &[u8] = b"***";

/// Parameters of queries whose values are secrets, by the name in lower case.
const SECRETS: [&[u8]; 14] = [
    b"access_token",
    b"api-key",
    b"api_key",
    b"apikey",
    b"auth",
    b"client_secret",
    b"code",
    b"id_token",
    b"password",
    b"refresh_token",
    b"secret",
    b"sig",
    b"signature",
    b"token",
];

/// Fields, by name, that hold keys and are not in the table of names.
const KEYS: [&[u8]; 4] = [b"x-api-key", b"api-key", b"x-auth-token", b"x-amz-security-token"];

/// The line and the fields.
pub(super) fn text(head: &Head) -> Vec<u8> {
    let mut text = Vec::with_capacity(head.arena().len());
    text.extend_from_slice(head.method());
    text.push(b' ');
    text.extend_from_slice(&target(head));
    text.extend_from_slice(match head.version() {
        Version::Http10 => b" HTTP/1.0\r\n",
        Version::Http11 => b" HTTP/1.1\r\n",
        Version::Http2 => b" HTTP/2\r\n",
    });
    if head.version() == Version::Http2 && head.only(Name::Host).is_none() {
        // Whom it is for is no field there.
        for part in [&b"host: "[..], head.authority(), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    for (known, name, value) in head.named() {
        let is_key = KEYS.iter().any(|key| name.eq_ignore_ascii_case(key));
        text.extend_from_slice(name);
        text.extend_from_slice(b": ");
        // Browsers bring tokens to clusters in it.
        let brings_token =
            known == Name::SecWebsocketProtocol && memchr::memmem::find(value, b"bearer").is_some();
        let hides = known.is_secret() || is_key || brings_token;
        text.extend_from_slice(if hides { HIDDEN } else { value });
        text.extend_from_slice(b"\r\n");
    }
    text
}

/// The messages of a call of gRPC, a line for each, every byte of which is shown: what is no letter
/// is written as `\\x00`. `None`: they are compressed, or are no such messages.
pub(super) fn messages(content: &[u8]) -> Option<Vec<u8>> {
    let mut shown = Vec::with_capacity(content.len() * 2);
    let mut rest = content;
    while !rest.is_empty() {
        let (head, behind) = rest.split_first_chunk::<5>()?;
        let [0, length @ ..] = *head else { return None };
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        let (message, behind) = behind.split_at_checked(length)?;
        shown.extend(message.escape_ascii());
        shown.push(b'\n');
        rest = behind;
    }
    Some(shown)
}

/// Path and query; values of parameters that are secrets are hidden.
fn target(head: &Head) -> Vec<u8> {
    let (path, query) = check::split_target(head.target());
    let mut shown = path.to_vec();
    let Some(query) = query else { return shown };
    shown.push(b'?');
    for (index, pair) in query.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            shown.push(b'&');
        }
        let equals = memchr::memchr(b'=', pair);
        let (name, value) = pair.split_at(equals.map_or(pair.len(), |at| at + 1));
        shown.extend_from_slice(name);
        let name = name.strip_suffix(b"=").unwrap_or(name);
        let name = check::decode(name).unwrap_or_default().to_ascii_lowercase();
        let is_secret = SECRETS.iter().any(|secret| *secret == name);
        shown.extend_from_slice(if is_secret && !value.is_empty() { HIDDEN } else { value });
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::h1::read::{HeadReader, Kind};

    #[test]
    fn messages_of_calls_are_shown_whole() {
        let shown =
            |content: &[u8]| messages(content).map(|it| String::from_utf8(it).expect("ASCII"));
        assert_eq!(shown(b""), Some(String::new()));
        assert_eq!(
            shown(b"\0\0\0\0\x02hi\0\0\0\0\x03\x0a\xff\\").as_deref(),
            Some("hi\n\\n\\xff\\\\\n")
        );
        for bad in [&b"\0\0\0\0"[..], b"\0\0\0\0\x02h", b"\x01\0\0\0\x01h", b"\0\0\0\0\x01hi"] {
            assert_eq!(shown(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let mut head = Head::default();
        let bytes = "POST /a?x=1&Access_Token=s3&%74oken=s3&token&y=2 HTTP/1.1\r\nHost: h\r\n\
                     Authorization: Bearer s3\r\nCookie: s3\r\nX-Api-Key: s3\r\nX-Mine: v\r\n\r\n";
        HeadReader::default().next(&mut bytes.as_bytes(), &mut head, Kind::Request).expect("good");
        let shown = String::from_utf8(text(&head)).expect("UTF-8");
        assert!(!shown.contains("s3"), "{shown}");
        assert!(shown.starts_with("POST /a?x=1&Access_Token=***&%74oken=***&token&y=2 HTTP/1.1"));
        assert!(shown.contains("X-Mine: v\r\n") && shown.contains("Authorization: ***\r\n"));
    }
}
