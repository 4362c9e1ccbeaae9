//! HTTP/2 (RFC 9113), both roles: a server towards clients, a client towards targets.
//!
//! In: bytes of the peer in any split; heads, data, resets and credit of whoever answers or asks.
//! Out: events, and bytes for the peer. Never: sockets, clocks; a push, a priority; an error of the
//! connection for one malformed message; more memory than the limits say, whatever the peer sends.
//!
//! ```text
//!   frame     heads of frames, types, flags, error codes
//!   settings  what the ends tell each other about themselves
//!   hpack     fields as they are written
//!   message   what a request, an answer and trailers must be
//!   stream    the states of a stream
//!   flow      windows: credit is given for what was handed on, never for what waits
//!   guard     counters against floods
//!   receive   bytes to events
//!   send      heads, data, resets, credit, farewell
//!   write     which fields a head has
//! ```
//!
//! A connection is driven so: call [`Connection::receive`] until it has taken in everything and
//! says
//! `None`; after each event, and whenever there is something to say, call the methods of `send`;
//! then take the bytes of [`Connection::take_output`]. After an error these hold a GOAWAY and
//! nothing more is received.
//!
//! ```text
//!   preface --> SETTINGS --> frames <--> a block: HEADERS, CONTINUATION*   nothing may come
//! between
//!                              |
//!                              '--> ended: GOAWAY was sent
//! ```

mod flow;
mod frame;
mod guard;
pub mod hpack;
mod message;
mod receive;
mod send;
mod settings;
mod stream;
#[cfg(test)]
mod tests;
mod write;

use std::collections::VecDeque;

pub use frame::{Code, PREFACE};
pub use send::{Block, Gone, Say};
pub use write::has_trailers;

use super::{Head, Refused};
use crate::limits::{H2_CONNECTION_WINDOW_BYTES, H2_RESETS_REMEMBERED, H2_STREAM_WINDOW_BYTES};
use flow::{Credit, Room};
use frame::{Kind, short};
use guard::Guard;
use hpack::{Decoder, Encoder, Fields};
use settings::Settings;
use stream::{Stream, StreamState};

/// Which end of the connection weir is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Towards clients.
    Server,
    /// Towards targets.
    Client,
}

impl Role {
    /// What the other end is.
    const fn peer(self) -> Role {
        match self {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        }
    }
}

/// Why a connection cannot go on; its GOAWAY stands in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// The code of the GOAWAY.
    pub code: Code,
    /// What was wrong, for records.
    pub why: &'static str,
}

impl Fatal {
    const fn new(code: Code, why: &'static str) -> Fatal {
        Fatal { code, why }
    }
}

/// What came of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// The peer's first SETTINGS: from now on streams may be opened.
    Ready,
    /// The head of a request or an answer stands in [`Connection::head`]. An answer whose status is
    /// below 200 is followed by another one.
    Head {
        /// Its stream.
        stream: u32,
        /// Nothing follows: there is no body.
        last: bool,
    },
    /// Part of a body. Whoever has handed it on gives credit for it.
    Data {
        /// Its stream.
        stream: u32,
        /// The bytes, none only if they are the last.
        bytes: &'b [u8],
        /// The message is complete.
        last: bool,
    },
    /// The trailers stand in [`Connection::head`]; the message is complete.
    Trailers {
        /// Their stream.
        stream: u32,
    },
    /// The message is malformed, or its body is not as long as it said. Nothing more comes of it. A
    /// server answers, if it has not, and calls `reset`; a client's stream was reset already.
    Refused {
        /// Its stream.
        stream: u32,
        /// What is wrong.
        why: Refused,
    },
    /// The stream is over before its time: the peer has reset it, or its frames were no stream. It
    /// keeps its place until `release`.
    Reset {
        /// The stream.
        stream: u32,
        /// Why.
        code: Code,
    },
    /// More may be sent: on this stream, or if it is 0 on any.
    Room {
        /// The stream.
        stream: u32,
    },
    /// The peer takes no further streams, and has not looked at those above `last`.
    Goaway {
        /// The last stream that it may have acted on.
        last: u32,
        /// Why.
        code: Code,
    },
    /// The answer to `ping`.
    Pong,
}

/// Which frame may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// The rest of the client's preface: so many bytes of it came.
    Preface(usize),
    /// The first frame is SETTINGS (3.4).
    Settings,
    /// Any.
    Frame,
    /// The rest of the payload of DATA, to be handed out.
    Data(Part),
    /// A CONTINUATION of this block.
    Continuation(Gather),
    /// Nothing: the connection has ended.
    Nothing(Fatal),
}

/// What is left of a DATA frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    /// 0 if nobody wants it.
    stream: u32,
    left: u32,
    padding: u32,
    last: bool,
}

/// A field block of which more comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gather {
    stream: u32,
    last: bool,
    /// The frame made the stream depend on itself (RFC 7540 5.3.1).
    is_circular: bool,
    frames: u32,
    bytes: usize,
}

/// How far weir's own farewell is (6.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    No,
    /// The peer was told that the end is near; streams that it opened before it knew are served.
    Announced,
    /// No stream above this one is served.
    Last(u32),
}

/// One connection.
///
/// Invariants: `streams` is sorted by id; `carry` holds less than one frame; ids of peers' streams
/// up to `highest` were seen.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    /// `:scheme` of requests.
    scheme: &'static [u8],
    expect: Expect,
    carry: Vec<u8>,
    /// When the frame, or the block of fields, began of which not all has come; monotonic
    /// microseconds.
    since_us: u64,
    decoder: Decoder,
    encoder: Encoder,
    fields: Fields,
    head: Head,
    peer: Settings,
    streams: Vec<Stream>,
    /// Streams that weir has reset: frames of these may still be on their way.
    forgotten: VecDeque<u32>,
    /// The last stream that the client has opened.
    highest: u32,
    /// The peer's farewell: the last stream that it serves.
    peer_last: Option<u32>,
    drain: Drain,
    room: Room,
    credit: Credit,
    guard: Guard,
    out: Vec<u8>,
}

impl Connection {
    /// Towards a client. `scheme` is what the transport is, `https` or `http`; `takes_connect` says
    /// whether WebSockets may be asked for (RFC 8441).
    pub fn server(scheme: &'static str, takes_connect: bool) -> Connection {
        let mut connection = Connection::new(Role::Server, scheme, Expect::Preface(0));
        connection.greet(takes_connect);
        connection
    }

    /// Towards a target.
    pub fn client(scheme: &'static str) -> Connection {
        let mut connection = Connection::new(Role::Client, scheme, Expect::Settings);
        connection.out.extend_from_slice(PREFACE);
        connection.greet(false);
        connection
    }

    fn new(role: Role, scheme: &'static str, expect: Expect) -> Connection {
        let peer = Settings::default();
        Connection {
            role,
            scheme: scheme.as_bytes(),
            expect,
            carry: Vec::new(),
            since_us: 0,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            fields: Fields::default(),
            head: Head::default(),
            peer,
            streams: Vec::new(),
            forgotten: VecDeque::new(),
            highest: 0,
            peer_last: None,
            drain: Drain::No,
            room: Room::new(peer.window_bytes),
            credit: Credit::new(H2_CONNECTION_WINDOW_BYTES),
            guard: Guard::default(),
            out: Vec::new(),
        }
    }

    fn greet(&mut self, takes_connect: bool) {
        settings::announce(self.role, takes_connect, &mut self.out);
        let more = H2_CONNECTION_WINDOW_BYTES - Settings::default().window_bytes;
        short(Kind::WindowUpdate, 0, 0, &more.to_be_bytes(), &mut self.out);
    }

    /// What the last `Head` or `Trailers` event is about.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The same, taken out.
    pub fn take_head(&mut self) -> Head {
        std::mem::take(&mut self.head)
    }

    /// Streams that have their place.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether the connection has ended, or is drained and nothing is left to do.
    pub fn is_over(&self) -> bool {
        let drained = matches!(self.drain, Drain::Last(_)) || self.peer_last.is_some();
        matches!(self.expect, Expect::Nothing(_)) || (drained && self.streams.is_empty())
    }

    /// Since when a frame or a block of fields waits for its rest. Of DATA that is its head alone.
    pub fn unfinished_since(&self) -> Option<u64> {
        let is_block = matches!(self.expect, Expect::Continuation(_));
        (is_block || !self.carry.is_empty()).then_some(self.since_us)
    }

    /// Whether a target takes another stream, and nothing of the ones before is under way.
    pub fn is_at_rest(&self) -> bool {
        let between = self.expect == Expect::Frame && self.carry.is_empty();
        between && self.streams.is_empty() && self.can_open()
    }

    /// Whether the peer takes extended CONNECT (RFC 8441).
    pub fn takes_connect(&self) -> bool {
        self.peer.takes_connect
    }

    /// The largest head that the peer says it takes, as `Fields::size` counts it.
    pub fn head_bytes_max(&self) -> u32 {
        self.peer.head_bytes_max
    }

    /// Bytes that wait to be sent.
    pub fn pending(&self) -> usize {
        self.out.len()
    }

    /// Moves what is to be sent to the end of `out`.
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.out);
        self.guard.flushed();
    }

    fn find(&self, id: u32) -> Result<usize, usize> {
        self.streams.binary_search_by_key(&id, |stream| stream.id)
    }

    fn stream_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let index = self.find(id).ok()?;
        self.streams.get_mut(index)
    }

    /// A stream that nobody has opened yet (5.1.1).
    fn is_idle(&self, id: u32) -> bool {
        id > self.highest || id.is_multiple_of(2)
    }

    /// Adds the stream with the highest id.
    fn add(&mut self, id: u32, state: StreamState, is_head: bool) {
        assert!(id > self.highest, "stream {id} was opened twice");
        self.highest = id;
        self.streams.push(Stream {
            id,
            state,
            is_head,
            room: Room::new(self.peer.window_bytes),
            credit: Credit::new(H2_STREAM_WINDOW_BYTES),
        });
    }

    /// Gives up the place of a stream whose messages are both complete.
    fn settle(&mut self, id: u32) {
        if let Ok(index) = self.find(id)
            && self.streams.get(index).is_some_and(Stream::is_over)
        {
            self.streams.remove(index);
        }
    }

    fn remember(&mut self, id: u32) {
        if self.forgotten.len() == H2_RESETS_REMEMBERED {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(id);
    }

    fn write_reset(&mut self, id: u32, code: Code) {
        short(Kind::RstStream, 0, id, &(code as u32).to_be_bytes(), &mut self.out);
    }

    fn write_goaway(&mut self, last: u32, code: Code) {
        let mut payload = [0; 8];
        let (id, number) = payload.split_at_mut(4);
        id.copy_from_slice(&last.to_be_bytes());
        number.copy_from_slice(&(code as u32).to_be_bytes());
        short(Kind::Goaway, 0, 0, &payload, &mut self.out);
    }

    /// Credit for the connection, and its WINDOW_UPDATE if one is due.
    fn give(&mut self, bytes: u32) {
        if let Some(due) = self.credit.give(bytes) {
            short(Kind::WindowUpdate, 0, 0, &due.to_be_bytes(), &mut self.out);
        }
    }
}
