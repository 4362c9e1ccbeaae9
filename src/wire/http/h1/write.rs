//! Heads and chunks of HTTP/1.1, as weir writes them.
//!
//! In: a head that was received, and how it goes on. Out: bytes.
//! Never: a line, a length or a coding as a peer wrote it: two readers might differ on those.

use super::body::Framing;
use crate::wire::http::check;
use crate::wire::http::head::{Head, Version};
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::{self, Reply};

/// How a request goes on.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'o> {
    /// Path and query.
    pub target: &'o [u8],
    /// `Host`.
    pub host: &'o [u8],
    /// How its body will end. Never `UntilClose`.
    pub framing: Framing,
    /// Which fields pass.
    pub pass: Pass<'o>,
    /// Fields that weir adds: credentials, where the client is.
    pub added: &'o [(&'o [u8], &'o [u8])],
    /// It asks for a WebSocket.
    pub upgrade: bool,
}

/// How an answer goes back.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'b> {
    /// The version that the client speaks: HTTP/1.0 knows no chunks.
    pub version: Version,
    /// How its body will end, for the client.
    pub framing: Framing,
    /// Which fields pass.
    pub pass: Pass<'b>,
    /// Fields that weir adds, or puts in the place of those that do not pass.
    pub added: &'b [(&'b [u8], &'b [u8])],
    /// The connection ends behind it.
    pub close: bool,
    /// Masks apply: what its content would be long is not known, and of its line the number alone
    /// is told.
    pub masked: bool,
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends a number in decimal.
fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        used += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or(&[]));
}

fn framing_fields(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// What weir calls itself behind a message that came in this version (RFC 9110 7.6.3).
pub const fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 weir",
        Version::Http11 => b"1.1 weir",
        Version::Http2 => b"2.0 weir",
    }
}

fn passing(out: &mut Vec<u8>, head: &Head, pass: &Pass) {
    let mut cookie: Option<Vec<u8>> = None;
    for passed in pass.fields(head) {
        let (name, value) = (head.bytes(passed.name), head.bytes(passed.value));
        if passed.known != Name::Cookie || head.version() != Version::Http2 {
            field(out, name, value);
            continue;
        }
        // RFC 9113 8.2.3: the crumbs of HTTP/2 are one field.
        match &mut cookie {
            None => cookie = Some(value.to_vec()),
            Some(crumbs) => {
                crumbs.extend_from_slice(b"; ");
                crumbs.extend_from_slice(value);
            }
        }
    }
    if let Some(crumbs) = cookie {
        field(out, b"Cookie", &crumbs);
    }
}

/// Whether the sender takes trailers.
pub fn takes_trailers(head: &Head) -> bool {
    head.values(Name::Te).flat_map(check::list).any(|te| te.eq_ignore_ascii_case(b"trailers"))
}

/// The head of a request, as it goes on.
pub fn request(out: &mut Vec<u8>, head: &Head, onward: &Onward) {
    let method: &[u8] = if head.protocol().is_some() { b"GET" } else { head.method() };
    for part in [method, b" ", onward.target, b" HTTP/1.1\r\nHost: ", onward.host, b"\r\n"] {
        out.extend_from_slice(part);
    }
    passing(out, head, &onward.pass);
    for (name, value) in onward.added {
        field(out, name, value);
    }
    framing_fields(out, onward.framing);
    match (onward.upgrade, takes_trailers(head)) {
        (true, _) => out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        (false, true) => out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n"),
        (false, false) => {}
    }
    field(out, b"Via", via(head.version()));
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer, as it goes back; also of an interim one, and of 101.
pub fn answer(out: &mut Vec<u8>, head: &Head, backward: &Backward) {
    let status = head.status().unwrap_or(502);
    // The target's own words may hold what masks hide.
    let own = if backward.masked { reply::reason(status).as_bytes() } else { head.reason() };
    status_line(out, status, own);
    passing(out, head, &backward.pass);
    for (name, value) in backward.added {
        field(out, name, value);
    }
    let is_interim = status < 200;
    match (backward.framing, head.content_length()) {
        // What the body would be long that HEAD and 304 do without (RFC 9110 8.6).
        (Framing::None, Ok(Some(length))) if !is_interim && status != 204 && !backward.masked => {
            framing_fields(out, Framing::Length(length));
        }
        (framing, _) => framing_fields(out, framing),
    }
    if status == 101 {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    } else if backward.close && !is_interim {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    if !is_interim {
        field(out, b"Via", via(head.version()));
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// An answer of weir's own. Behind HEAD its content is left out.
pub fn reply(out: &mut Vec<u8>, reply: &Reply, to_head: bool, close: bool) {
    status_line(out, reply.status, reply.reason().as_bytes());
    for (name, value) in &reply.fields {
        field(out, name.as_bytes(), value);
    }
    if reply.status >= 200 {
        framing_fields(out, Framing::Length(reply.content.len() as u64));
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    if !to_head {
        out.extend_from_slice(&reply.content);
    }
}

/// 100, said by weir itself.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What stands behind the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What stands before the data of a chunk, which is not empty.
pub fn chunk_head(out: &mut Vec<u8>, data_bytes: usize) {
    debug_assert!(data_bytes > 0, "an empty chunk is the last one");
    let digits = (usize::BITS - data_bytes.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (data_bytes >> (4 * place)) & 0xf;
        out.push(b"0123456789abcdef".get(digit).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

/// The last chunk with the trailers that pass, if there are any and the reader takes them.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Head>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        passing(out, trailers, &Pass::default());
    }
    out.extend_from_slice(b"\r\n");
}
