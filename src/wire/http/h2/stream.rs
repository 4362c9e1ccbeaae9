//! One stream: what was heard of the peer's message and what was said of weir's own.
//!
//! ```text
//!   RFC 9113 5.1               heard                     said
//!   ------------------------   -----------------------   --------------------
//!   idle                       no `Stream`
//!   open                       Head, Body                Head, Body
//!   half-closed (remote)       Ended                     Head, Body
//!   half-closed (local)        Head, Body                Ended
//!   closed                     no `Stream`, once both have Ended
//!
//!              HEADERS            END_STREAM
//!   heard:  Head ------> Body -------------> Ended
//!             \            \ malformed
//!              `-----------`------> Refused        the rest of the message is dropped
//!
//!   RST_STREAM, sent or received, or an error of the stream:  Reset, which keeps the stream's
//! place
//!   until whoever works for it has stopped (`Connection::release`).
//! ```
//!
//! A server's stream begins with `heard: Body`, a client's with `said: Body`.

use super::flow::{Credit, Room};

/// Where the peer's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer is awaited.
    Head {
        /// Interim answers so far.
        interim: u32,
    },
    /// Its head came.
    Body {
        /// What `Content-Length` said.
        due: Option<u64>,
        /// Bytes of DATA so far.
        got: u64,
    },
    /// It was malformed; what comes of it is dropped.
    Refused,
    /// All of it came.
    Ended,
}

/// Where weir's message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The answer has not begun.
    Head,
    /// Its head was sent.
    Body,
    /// All of it was sent.
    Ended,
}

/// Who ended a stream before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Peer,
    Weir,
}

/// What a stream is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamState {
    Open { heard: Heard, said: Said },
    Reset(By),
}

/// A stream that has its place.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) state: StreamState,
    /// The request's method is HEAD: its answer has a length and no body.
    pub(super) is_head: bool,
    pub(super) room: Room,
    pub(super) credit: Credit,
}

impl Stream {
    /// Both messages are complete.
    pub(super) fn is_over(&self) -> bool {
        self.state == StreamState::Open { heard: Heard::Ended, said: Said::Ended }
    }

    /// What was heard, of a stream that is open.
    pub(super) fn set_heard(&mut self, next: Heard) {
        if let StreamState::Open { heard, .. } = &mut self.state {
            *heard = next;
        }
    }

    /// What was said, of a stream that is open.
    pub(super) fn set_said(&mut self, next: Said) {
        if let StreamState::Open { said, .. } = &mut self.state {
            *said = next;
        }
    }
}
