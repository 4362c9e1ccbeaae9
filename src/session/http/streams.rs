//! What is said on the streams of a connection of HTTP/2, and what waits for the client's windows.
//!
//! In: parts of answers, room in windows. Out: frames. Never: sockets, rules, records.

use crate::limits;
use crate::wire::http::h2::{Code, Connection, Say};
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use super::flow::{Ending, Flow};
use super::front::Portion;

/// A connection of HTTP/2, and the stream whose turn it is.
#[derive(Debug)]
pub(super) struct Streams {
    pub connection: Connection,
    /// The stream that is worked for now.
    pub turn: Turn,
    /// When the connection has idled for too long, or has been told to end; monotonic microseconds.
    pub deadline_us: u64,
    out: Vec<u8>,
}

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Its number; 0 if it is nobody's turn.
    pub id: u32,
    /// The client has said all.
    pub ended: bool,
    /// All of its content has come, by its length: nothing but the end of the stream is owed.
    pub complete: bool,
    /// Until when that is waited for, once it was answered; monotonic microseconds.
    pub until_us: Option<u64>,
    /// What stood behind its content.
    pub trailers: Head,
    /// Content that was handed on, and for which the client has no credit yet.
    pub owed: u32,
    flow: Flow,
}

impl Turn {
    /// A stream that has just begun.
    pub fn new(id: u32, ended: bool) -> Turn {
        Turn { id, ended, ..Turn::default() }
    }

    /// Bytes that no window has let pass yet.
    pub fn waiting(&self) -> usize {
        self.flow.len()
    }

    /// Whether nothing waits to be said.
    pub fn has_said_all(&self) -> bool {
        self.flow.is_empty()
    }
}

impl Streams {
    /// Towards a client whose requests have this scheme.
    pub fn new(scheme: &'static str, deadline_us: u64) -> Streams {
        let connection = Connection::server(scheme, false);
        Streams { connection, turn: Turn::default(), deadline_us, out: Vec::new() }
    }

    /// When the rest of a frame or of a request's fields must have come, monotonic microseconds.
    pub fn head_overdue_us(&self) -> u64 {
        let since_us = self.connection.unfinished_since();
        since_us.map_or(u64::MAX, |since_us| since_us.saturating_add(limits::HTTP_HEAD_US))
    }

    /// The frames that are to be sent, until they are asked for again.
    pub fn take_output(&mut self) -> &[u8] {
        self.out.clear();
        self.out.shrink_to(64 << 10);
        self.connection.take_output(&mut self.out);
        &self.out
    }

    /// 100.
    pub fn go_on(&mut self) {
        let id = self.turn.id;
        // A stream that is gone was told to its session, or will be.
        let _gone = self.connection.send_head(id, Say::Interim, |block| {
            block.field(b":status", b"100", crate::wire::http::h2::hpack::Keep::Usual);
        });
    }

    /// An answer of weir's own.
    pub fn reply(&mut self, reply: &Reply, to_head: bool) {
        let last = to_head || reply.content.is_empty();
        let said = self.connection.send_head(self.turn.id, Say::Answer { last }, |block| {
            block.reply(reply);
        });
        if said.is_ok() && !last {
            self.content(&reply.content, Some(Ending::Nothing));
        }
    }

    /// A part of an answer.
    pub fn pass(&mut self, portion: Portion<'_>) {
        match portion {
            Portion::Head { head, backward, last } => {
                let is_interim = head.status().is_some_and(|status| status < 200);
                let say = if is_interim { Say::Interim } else { Say::Answer { last } };
                let write = |block: &mut crate::wire::http::h2::Block<'_>| {
                    block.answer(head, backward);
                };
                let _gone = self.connection.send_head(self.turn.id, say, write);
            }
            Portion::Data { bytes, last, .. } => {
                self.content(bytes, last.then_some(Ending::Nothing));
            }
            Portion::End { trailers, .. } => {
                self.content(&[], Some(Ending::of(trailers)));
            }
        }
    }

    fn content(&mut self, bytes: &[u8], ending: Option<Ending>) {
        self.turn.flow.content(&mut self.connection, self.turn.id, bytes, ending);
    }

    /// There is room in a window: what waits goes on. Whether any of it did.
    pub fn pump(&mut self) -> bool {
        self.turn.flow.pump(&mut self.connection, self.turn.id)
    }

    /// Ends the stream before its time.
    pub fn reset(&mut self, code: Code) {
        self.turn.flow.forget();
        self.connection.reset(self.turn.id, code);
    }
}
