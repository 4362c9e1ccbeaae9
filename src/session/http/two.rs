//! A target that speaks HTTP/2: one request of one connection.
//!
//! In: a request, frames of the target. Out: frames for it; the answer, where one of HTTP/1 would
//! be read. Never: a connection that serves a second request: what its ends have learned of each
//! other's fields would have to go with it.
//!
//! ```text
//!   HEADERS --> Down::Head     DATA --> Down::Content     trailers, END_STREAM --> the end
//! ```

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::Target;
use crate::session::Stage;
use crate::wire::LegId;
use crate::wire::http::Refused;
use crate::wire::http::h1::write::Onward;
use crate::wire::http::h2::{Connection, Event};
use crate::wire::http::head::Head;

use super::exchange::Down;
use super::flow::{Ending, Flow};
use super::tenure::Trouble;
use super::{Phase, Session};

/// The connection and its stream.
#[derive(Debug)]
pub(super) struct Two {
    connection: Connection,
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
        let (connection, flow) = (Connection::client(scheme), Flow::default());
        Two { connection, scheme, stream: 0, flow, ended: false, out: Vec::new() }
    }

    /// The head of the request. `last` says that nothing follows.
    pub fn open(&mut self, head: &Head, onward: &Onward<'_>, last: bool) {
        let is_head = head.method() == b"HEAD";
        let write = |block: &mut crate::wire::http::h2::Block<'_>| {
            block.request(head, onward, self.scheme);
        };
        // The first stream of a connection can be opened before the target has said anything.
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
        loop {
            // The connection is given up with the exchange.
            let Some(two) = self.back(id).and_then(|back| back.two.as_mut()) else { return };
            match two.connection.receive(&mut input, stage.now.mono_us) {
                Ok(Some(event)) => self.leg_said(id, event, stage),
                Ok(None) => break,
                Err(_) => return self.refuse_answer(Refused::Line, stage),
            }
        }
        if let Some(back) = self.back(id) {
            back.flush();
        }
    }

    fn leg_said(&mut self, id: LegId, event: Event<'_>, stage: &mut Stage<'_>) {
        let Some(two) = self.back(id).and_then(|back| back.two.as_mut()) else { return };
        match event {
            Event::Head { last, .. } => {
                two.ended = last;
                let heard = two.connection.take_head();
                let Phase::Busy(exchange) = &mut self.phase else { return };
                let Down::Head { head, .. } = &mut exchange.down else { return };
                *head = heard;
                self.answer_head(stage);
            }
            Event::Data { stream, bytes, last } => {
                two.ended = last;
                let mut input = bytes;
                while self.leg_step(&mut input, stage) {}
                let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let Some(two) = self.back(id).and_then(|back| back.two.as_mut()) else { return };
                two.connection.credit(stream, count);
                two.connection.credit_connection(count);
                if last {
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
            Event::Reset { .. } => self.fail(Trouble::Target(Target::Closed), stage),
            Event::Goaway { last, .. } if last < two.stream => {
                self.fail(Trouble::Target(Target::Closed), stage);
            }
            Event::Room { .. } => self.pump_leg(id, stage),
            Event::Goaway { .. } | Event::Ready | Event::Pong => {}
        }
    }

    /// The target has room: what waits of the request goes on.
    fn pump_leg(&mut self, id: LegId, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let receipt = tenure.ledger.covered(stage);
        let Some(back) = self.back(id) else { return };
        back.flush();
        let Some(two) = &mut back.two else { return };
        two.flow.pump(&mut two.connection, two.stream);
        let permit = Permit::plumbing(Part::Content);
        back.outbox.forward(permit, receipt, two.take_output());
    }
}
