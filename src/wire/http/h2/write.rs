//! Heads as HTTP/2 writes them, of what weir has from either version.
//!
//! In: heads, replies, and which fields pass. Out: fields of a block.
//! Never: a field of HTTP/1's framing; a field that the peer would have to call malformed.

use super::Block;
use super::hpack::Keep;
use crate::wire::http::h1::Framing;
use crate::wire::http::h1::write::{Backward, Onward, takes_trailers, via};
use crate::wire::http::head::Head;
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::Reply;

impl Block<'_> {
    /// The fields of a head that pass.
    fn passing(&mut self, head: &Head, pass: &Pass<'_>) {
        for passed in pass.fields(head) {
            let keep = if passed.never_indexed { Keep::Never } else { Keep::Usual };
            self.field(head.bytes(passed.name), head.bytes(passed.value), keep);
        }
    }

    fn number(&mut self, name: &[u8], number: u64) {
        self.field(name, number.to_string().as_bytes(), Keep::Usual);
    }

    /// The head of a request, as it goes on.
    pub fn request(&mut self, head: &Head, onward: &Onward<'_>, scheme: &str) {
        self.field(b":method", head.method(), Keep::Usual);
        self.field(b":scheme", scheme.as_bytes(), Keep::Usual);
        self.field(b":authority", onward.host, Keep::Usual);
        self.field(b":path", onward.target, Keep::Usual);
        self.passing(head, &onward.pass);
        for (name, value) in onward.added {
            self.field(name, value, Keep::Usual);
        }
        if let Framing::Length(length) = onward.framing {
            self.number(b"content-length", length);
        }
        if takes_trailers(head) {
            self.field(b"te", b"trailers", Keep::Usual);
        }
        self.field(b"via", via(head.version()), Keep::Usual);
    }

    /// The head of an answer, as it goes back; also of an interim one.
    pub fn answer(&mut self, head: &Head, backward: &Backward<'_>) {
        let status = head.status().unwrap_or(502);
        self.number(b":status", u64::from(status));
        self.passing(head, &backward.pass);
        for (name, value) in backward.added {
            self.field(name, value, Keep::Usual);
        }
        let is_interim = status < 200;
        let length = match (backward.framing, head.content_length()) {
            // What the body would be long that HEAD and 304 do without (RFC 9110 8.6).
            (Framing::None, Ok(length)) if !is_interim && status != 204 && !backward.masked => {
                length
            }
            (Framing::Length(length), _) => Some(length),
            _ => None,
        };
        if let Some(length) = length {
            self.number(b"content-length", length);
        }
        if !is_interim {
            self.field(b"via", via(head.version()), Keep::Usual);
        }
    }

    /// The head of an answer of weir's own.
    pub fn reply(&mut self, reply: &Reply) {
        self.number(b":status", u64::from(reply.status));
        for (name, value) in &reply.fields {
            self.field(name.as_bytes(), value, Keep::Usual);
        }
        // What has no content may be all that a call of gRPC is told: that says no length.
        if !reply.content.is_empty() {
            self.number(b"content-length", reply.content.len() as u64);
        }
    }

    /// Trailers.
    pub fn trailers(&mut self, trailers: &Head) {
        self.passing(trailers, &Pass::default());
    }
}

/// Whether anything of these trailers passes.
pub fn has_trailers(trailers: &Head) -> bool {
    Pass::default().fields(trailers).next().is_some()
}
