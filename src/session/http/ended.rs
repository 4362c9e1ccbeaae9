//! A client that sends no more: it may be gone, or it may have said all and wait for its answer.
//!
//! In: the end of what a client sends, time. Out: answers all the same; questions whether it reads.
//! Never: a request that is not whole; a hold of a client of whom nobody can tell whether it waits.
//!
//! A connection that is closed and one that is closed on one side look the same to whoever receives
//! (RFC 9293 3.6). They differ in what becomes of bytes: to a socket that nobody has any more they
//! are an error, which its kernel answers by a reset, and a reset is the end (`Event::Broken`). So
//! the client is sent what changes no answer:
//!
//! ```text
//!   the answer has not begun, HTTP/1.1   100 (RFC 9110 15.2: clients read past it)
//!   a stream of events                   a comment between two of them (WHATWG HTML 9.2.6)
//!   HTTP/2                               PING
//!   an answer that has begun             its next bytes
//!   HTTP/1.0, not begun                  nothing can be sent: the kernel's keep-alive is left
//! ```
//!
//! At once where people are asked, so that nothing is approved for somebody who is gone; else after
//! a second, in which most targets answer. A client of HTTP/1.0 is answered instead of held.

use crate::fault::{Fault, FaultKind};
use crate::limits;
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::http::h1::{Framing, write};
use crate::wire::http::head::Version;
use crate::wire::http::sse::Splitter;

use super::exchange::{Down, Exchange, Up};
use super::front::Front;
use super::{Phase, Session};

/// A comment, and the end of an event that has nothing in it.
const COMMENT: &[u8] = b":\n\n";

impl Session {
    /// The client has closed its side.
    pub(super) fn client_says_no_more(&mut self, stage: &mut Stage<'_>) {
        if !std::mem::replace(&mut self.link.ended, true) {
            self.ask_us = stage.now.mono_us + limits::HTTP_ASK_AFTER_US;
        }
        if self.link.is_many() {
            self.cut_unsaid(stage);
            return self.ask(stage);
        }
        self.link.front = Front::One;
        self.resume(stage);
    }

    /// The client of HTTP/1 sends no more, and all that it sent was looked at.
    pub(super) fn client_ended(&mut self, stage: &mut Stage<'_>) {
        if self.link.is_many() {
            return;
        }
        let has_more = !self.link.backlog.is_empty();
        let goes_on = match &self.phase {
            Phase::Busy(exchange) => {
                // What it said of its content waits until somebody takes it.
                let waits = match exchange.up {
                    Up::Waiting(..) => true,
                    Up::Content { .. } => has_more,
                    _ => false,
                };
                exchange.is_whole() || waits
            }
            Phase::Closed => true,
            _ => false,
        };
        if !goes_on {
            return self.close(Some(Fault::new(Side::Client, FaultKind::Terminate)), stage);
        }
        self.link.closing |= !has_more;
        if matches!(&self.phase, Phase::Busy(exchange) if matches!(exchange.up, Up::Held(_))) {
            self.ask(stage);
        }
    }

    /// Time has passed.
    pub(super) fn ask_whether_there(&mut self, stage: &mut Stage<'_>) {
        if self.ask_us <= stage.now.mono_us {
            self.ask(stage);
        }
    }

    /// Sends the client what changes no answer.
    fn ask(&mut self, stage: &mut Stage<'_>) {
        self.ask_us = stage.now.mono_us + limits::HTTP_ASK_EVERY_US;
        if let Front::Many(streams) = &mut self.link.front {
            streams.connection.ping();
            return self.link.flush();
        }
        let Phase::Busy(exchange) = &self.phase else { return };
        if exchange.reads_comments() {
            if let Err(refused) = self.send_event(COMMENT, None, stage) {
                self.cut(Some(Fault::new(Side::Client, FaultKind::Record(refused))), stage);
            }
        } else if !exchange.has_head() && exchange.request.head.version() == Version::Http11 {
            self.link.say(|out| out.extend_from_slice(write::CONTINUE));
        } else if !exchange.has_head() && matches!(exchange.up, Up::Held(_)) {
            let why = "people are asked about it, and of a client of HTTP/1.0 that sends no more \
                       nobody can tell whether it waits: leave its connection open, or use 1.1";
            self.abandon_hold(why, stage);
        }
    }
}

impl Exchange {
    /// Whether the client has the head of its answer.
    fn has_head(&self) -> bool {
        self.progress.is_some() || self.has_begun()
    }

    /// Whether the client reads events, and none is under way.
    fn reads_comments(&self) -> bool {
        let is_chunked = match &self.down {
            Down::Content { framing, .. } => *framing == Framing::Chunked,
            Down::Silent | Down::Head { .. } => self.progress.is_some(),
            Down::Over => false,
        };
        self.has_head() && is_chunked && self.events.as_ref().is_some_and(Splitter::is_between)
    }
}
