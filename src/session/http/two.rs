//! A target that speaks HTTP/2: one request at a time of one connection.
//!
//! In: a request, frames of the target. Out: frames for it; the answer, where one of HTTP/1 would
//! be read. Never: two streams at a time; a second request on a connection without what its ends
//! have learned of each other (`Learned`).
//!
//! ```text
//!   HEADERS --> Down::Head     DATA --> Down::Content     trailers, END_STREAM --> the end
//! ```
//!
//! Requests that run at the same time have connections of their own. For one connection to have
//! many, a leg would have to belong to many sessions: the shard would own its `Connection`, hand
//! each stream's events to the session that opened it, and put frames of many journals' places
//! into one `Outbox`; a reader that is slow would have to be kept by its stream's window alone, and
//! the end of the leg told to all who share it.

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::Target;
use crate::session::{Learned, Stage};
use crate::wire::LegId;
use crate::wire::http::Refused;
use crate::wire::http::h1::write::Onward;
use crate::wire::http::h2::{Code, Connection, Event};
use crate::wire::http::head::Head;

use super::back::Back;
use super::exchange::Down;
use super::flow::{Ending, Flow};
use super::tenure::Trouble;
use super::{Phase, Session};

/// The connection and its stream.
#[derive(Debug)]
pub(super) struct Two {
    connection: Box<Connection>,
    scheme: &'static str,
    stream: u32,
    flow: Flow,
    /// The target has said all.
    pub ended: bool,
    out: Vec<u8>,
}

impl Two {
    /// One that has said nothing yet.
    pub fn new(is_tls: bool) -> Two {
        let scheme = if is_tls { "https" } else { "http" };
        let (connection, flow) = (Box::new(Connection::client(scheme)), Flow::default());
        Two { connection, scheme, stream: 0, flow, ended: false, out: Vec::new() }
    }

    /// Goes on where a connection was left that served requests before.
    pub fn resume(&mut self, learned: Learned) {
        if let Learned::Http2(connection) = learned {
            self.connection = connection;
        }
    }

    /// What goes with the connection.
    pub fn learned(self) -> Learned {
        Learned::Http2(self.connection)
    }

    /// The head of the request. `last` says that nothing follows.
    pub fn open(&mut self, head: &Head, onward: &Onward<'_>, last: bool) {
        let is_head = head.method() == b"HEAD";
        let write = |block: &mut crate::wire::http::h2::Block<'_>| {
            block.request(head, onward, self.scheme);
        };
        // The first stream of a connection can be opened before the target has said anything, a
        // further one if it was given back (`is_at_rest`).
        self.stream = self.connection.open(is_head, last, write).unwrap_or(0);
    }

    /// Content of the request, or its end.
    pub fn content(&mut self, bytes: &[u8], ending: Option<Ending>) {
        self.flow.content(&mut self.connection, self.stream, bytes, ending);
    }

    /// Bytes that no window has let pass yet.
    pub fn waiting(&self) -> usize {
        self.flow.len()
    }

    /// The frames that are to be sent, until they are asked for again.
    pub fn take_output(&mut self) -> &[u8] {
        self.out.clear();
        self.out.shrink_to(64 << 10);
        self.connection.take_output(&mut self.out);
        &self.out
    }
}

impl Session {
    /// Frames of a target.
    pub(super) fn leg_frames(&mut self, id: LegId, bytes: &[u8], stage: &mut Stage<'_>) {
        let mut input = bytes;
        while let Some(two) = self.back(id).and_then(|back| back.two.as_mut()) {
            match two.connection.receive(&mut input, stage.now.mono_us) {
                Ok(Some(event)) => self.leg_said(id, event, stage),
                Ok(None) => break,
                Err(_) => return self.refuse_answer(Refused::Line, stage),
            }
        }
        match self.back(id) {
            Some(back) => back.flush(),
            // It was given back, and what came behind the answer belongs to the connection.
            None => self.link.read_behind(id, input, stage.now.mono_us),
        }
    }

    fn leg_said(&mut self, id: LegId, event: Event<'_>, stage: &mut Stage<'_>) {
        let Some(back) = self.back(id) else { return };
        let Some(two) = back.two.as_mut() else { return };
        match event {
            Event::Head { last, .. } => {
                back.heard = true;
                two.ended = last;
                let heard = two.connection.take_head();
                let Phase::Busy(exchange) = &mut self.phase else { return };
                let Down::Head { head, .. } = &mut exchange.down else { return };
                *head = heard;
                self.answer_head(stage);
            }
            Event::Data { stream, bytes, last } => {
                two.ended = last;
                // They are handed on before anything else is read; with the last ones the
                // connection may be given back.
                let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                two.connection.credit(stream, count);
                two.connection.credit_connection(count);
                let mut input = bytes;
                while self.leg_step(&mut input, stage) {}
                if last && self.back(id).is_some() {
                    self.answer_end(stage);
                }
            }
            Event::Trailers { .. } => {
                two.ended = true;
                let heard = two.connection.take_head();
                let Phase::Busy(exchange) = &mut self.phase else { return };
                let Down::Content { trailers, .. } = &mut exchange.down else { return };
                *trailers = heard;
                self.answer_end(stage);
            }
            Event::Refused { why, .. } => self.refuse_answer(why, stage),
            Event::Reset { code, .. } => self.stream_lost(code == Code::RefusedStream, stage),
            Event::Goaway { last, .. } if last < two.stream => self.stream_lost(true, stage),
            Event::Room { .. } => self.pump_leg(id, stage),
            Event::Goaway { .. } | Event::Ready | Event::Pong => {}
        }
    }

    /// The target will not answer. What it says it has not looked at may be sent again, whatever it
    /// is (RFC 9113 8.7).
    fn stream_lost(&mut self, untouched: bool, stage: &mut Stage<'_>) {
        if !untouched || !self.send_again(true, stage) {
            self.fail(Trouble::Target(Target::Closed), stage);
        }
    }

    /// The target has room: what waits of the request goes on.
    fn pump_leg(&mut self, id: LegId, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let receipt = tenure.ledger.covered(stage);
        let waits = |back: &&mut Back| back.two.as_ref().is_some_and(|two| !two.flow.is_empty());
        // What is said in answer to frames waits for the end of them: behind the last one the
        // connection may be given back, and then nothing may be queued.
        let Some(back) = self.back(id).filter(waits) else { return };
        back.flush();
        let Some(two) = &mut back.two else { return };
        two.flow.pump(&mut two.connection, two.stream);
        let permit = Permit::plumbing(Part::Content);
        back.outbox.forward(permit, receipt, two.take_output());
    }
}
