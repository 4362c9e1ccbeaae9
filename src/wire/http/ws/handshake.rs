//! What a request for a WebSocket has to say, and its answer (RFC 6455 4).
//!
//! In: heads of either side. Out: whether they open a WebSocket. Never: an upgrade to something
//! else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;

use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::refused::Refused;

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What is asked for besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Nothing.
    Nothing,
    /// A WebSocket.
    Websocket,
    /// SPDY/3.1, as clients of Kubernetes ask for it.
    Spdy,
}

/// SPDY in `Upgrade`.
pub const SPDY: &[u8] = b"SPDY/3.1";

/// What a request asks for.
///
/// # Errors
/// `Upgrade` for another protocol than a WebSocket, or a handshake that is not RFC 6455 4.1.
pub fn asked(request: &Head) -> Result<Asked, Refused> {
    if request.protocol().is_some() {
        return Ok(Asked::Websocket);
    }
    let Some(protocol) = request.only(Name::Upgrade) else { return Ok(Asked::Nothing) };
    // RFC 9110 7.8: a server may ignore it, and RFC 9113 3.1 has it obsolete. Java's client and
    // curl's `--http2` begin so in clear; the fields go no further, and the answer is HTTP/1.1.
    if protocol.eq_ignore_ascii_case(b"h2c") {
        return Ok(Asked::Nothing);
    }
    if protocol.eq_ignore_ascii_case(SPDY) {
        let is_good = request.version() == Version::Http11
            && request.connection_says(b"upgrade")
            && matches!(request.method(), b"GET" | b"POST");
        return if is_good { Ok(Asked::Spdy) } else { Err(Refused::Upgrade) };
    }
    let key = request.only(Name::SecWebsocketKey).and_then(|key| STANDARD.decode(key).ok());
    let is_good = protocol.eq_ignore_ascii_case(b"websocket")
        && request.version() == Version::Http11
        && request.method() == b"GET"
        && request.only(Name::SecWebsocketVersion) == Some(b"13")
        && key.is_some_and(|key| key.len() == 16);
    if is_good { Ok(Asked::Websocket) } else { Err(Refused::Upgrade) }
}

/// What `Sec-WebSocket-Accept` has to say to a key.
pub fn accept(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finish())
}

/// That a 101 opens the WebSocket that `key` asked for.
///
/// # Errors
/// `Unasked`.
pub fn check_answer(answer: &Head, key: &[u8]) -> Result<(), Refused> {
    let upgrade = answer.only(Name::Upgrade).unwrap_or(&[]);
    let is_good = answer.status() == Some(101)
        && answer.version() == Version::Http11
        && upgrade.eq_ignore_ascii_case(b"websocket")
        && answer.connection_says(b"upgrade")
        && answer.only(Name::SecWebsocketAccept) == Some(accept(key).as_bytes())
        && answer.values(Name::SecWebsocketExtensions).next().is_none();
    if is_good { Ok(()) } else { Err(Refused::Unasked) }
}

/// That a 101 opens the SPDY that was asked for.
///
/// # Errors
/// `Unasked`.
pub fn check_spdy(answer: &Head) -> Result<(), Refused> {
    let is_good = answer.status() == Some(101)
        && answer.only(Name::Upgrade).is_some_and(|it| it.eq_ignore_ascii_case(SPDY))
        && answer.connection_says(b"upgrade");
    if is_good { Ok(()) } else { Err(Refused::Unasked) }
}

/// A key of weir's own, from random bytes: HTTP/2 has none.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}
