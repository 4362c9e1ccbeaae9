//! A call of MCP that people are asked about: its client hears every few seconds that it waits.
//!
//! In: time, the answer of the target. Out: an answer that is a stream of events from the start:
//! notifications of progress, and as its last event what became of the call.
//! Never: a notification that its client did not ask for; a second head.
//!
//! SDKs give a call up after a minute, and begin that minute anew with each notification (MCP,
//! "Timeouts"). So the head of the answer leaves before there is an answer, and whatever comes
//! behind it is an event.
//!
//! ```text
//!   held --head, progress, every 10 s--> granted --the target's JSON--> one event
//!     |                                     |      its events --------> as they are
//!     '-- denied, over, asked again --------+------ an error ---------> one event
//! ```

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::{Fault, FaultKind, Refused as JournalRefused};
use crate::limits;
use crate::mask::body::Shape;
use crate::record::entry::Outcome;
use crate::session::Stage;
use crate::wire::Side;
use crate::wire::http::h1::read::Kind;
use crate::wire::http::h1::write::Backward;
use crate::wire::http::h1::{Body, Framing, HeadReader};
use crate::wire::http::head::{Head, Version};
use crate::wire::http::jsonrpc::{self, raw};
use crate::wire::http::mcp;
use crate::wire::http::name::Name;
use crate::wire::http::pass::Pass;
use crate::wire::http::reply::Reply;
use crate::wire::http::sse::Splitter;

use super::exchange::{Down, Exchange, Up};
use super::front::Portion;
use super::{Phase, Session, rpc, voice};

/// How far a client was told.
#[derive(Debug)]
pub(super) struct Progress {
    /// What it waits for.
    said: String,
    /// Since when, monotonic microseconds.
    from_us: u64,
    /// Until when, at most.
    until_us: u64,
    /// The answer of the target is JSON, which becomes an event: whether that has begun.
    event: Option<bool>,
    /// How it ended without one, for the row.
    ended: Option<(Outcome, String)>,
}

impl Progress {
    /// For a client that asked for progress and reads events; it waits until `until_us` at most.
    pub fn of(exchange: &Exchange, said: String, (from_us, until_us): (u64, u64)) -> Option<Self> {
        let rpc = exchange.rpc.as_deref()?;
        let head = &exchange.request.head;
        let takes = rpc.message.kind == jsonrpc::Kind::Request
            && rpc.call.progress_token.is_some()
            && rpc::reads_events(head)
            // It cannot be told where an answer ends whose length nobody knows, but by an end of
            // the connection that may be another one.
            && head.version() != Version::Http10;
        takes.then_some(Progress { said, from_us, until_us, event: None, ended: None })
    }

    /// When the next notification is due, or the wait is over.
    pub fn next_us(&self, now_us: u64) -> u64 {
        now_us.saturating_add(limits::MCP_PROGRESS_EVERY_US).min(self.until_us)
    }

    /// It ends so, without an answer of the target.
    pub fn ends(&mut self, outcome: Outcome, why: &str) {
        self.ended = Some((outcome, why.to_owned()));
    }

    /// Content of the target's answer as the client gets it.
    pub fn wrap(&mut self, data: &[u8], is_last: bool) -> Option<Vec<u8>> {
        let begun = self.event.as_mut()?;
        let mut out = Vec::with_capacity(data.len() + 32);
        if !std::mem::replace(begun, true) {
            out.extend_from_slice(b"event: message\ndata: ");
        }
        // Ends of lines are blanks of JSON: no string has them.
        let flat = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
        out.extend(data.iter().map(flat));
        if is_last {
            out.extend_from_slice(b"\n\n");
        }
        Some(out)
    }

    /// Whether the answer of the target becomes an event.
    pub fn wraps(&self) -> bool {
        self.event.is_some()
    }
}

impl Session {
    /// The head of an answer that is a stream, and the first notification.
    pub(super) fn begin_progress(&mut self, stage: &mut Stage<'_>) {
        let Some(tenure) = self.tenures.get(self.current) else { return };
        let Phase::Busy(exchange) = &mut self.phase else { return };
        exchange.told.status = 200;
        exchange.told.first_byte_us = stage.now.mono_us.saturating_sub(exchange.at_us);
        exchange.events = Some(Splitter::default());
        let backward = Backward {
            version: exchange.request.head.version(),
            framing: Framing::Chunked,
            pass: Pass::default(),
            added: &[],
            close: self.link.closing,
            masked: false,
        };
        let head = head_of_events();
        let portion = Portion::Head { head: &head, backward: &backward, last: false };
        let receipt = tenure.ledger.covered(stage);
        self.link.pass(Permit::plumbing(Part::Progress), receipt, portion);
        self.tell_progress(stage);
    }

    /// One more notification, and when the next one is due. `false`: the wait is over.
    pub(super) fn progress_due(&mut self, stage: &mut Stage<'_>) -> bool {
        let Phase::Busy(exchange) = &self.phase else { return false };
        let Up::Held(held) = &exchange.up else { return false };
        let is_over = held.summary.expires_at_us <= stage.now.wall_us;
        let goes_on = |it: &Progress| stage.now.mono_us < it.until_us;
        if is_over || !exchange.progress.as_deref().is_some_and(goes_on) {
            return false;
        }
        self.tell_progress(stage);
        true
    }

    fn tell_progress(&mut self, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Some(progress) = exchange.progress.as_deref() else { return };
        let token = exchange.rpc.as_deref().and_then(|rpc| rpc.call.progress_token);
        let token = token.map(|span| raw(&exchange.content, span));
        let seconds = stage.now.mono_us.saturating_sub(progress.from_us) / 1_000_000;
        let message = mcp::progress(token.unwrap_or(b"null"), seconds, &progress.said);
        exchange.deadline_us = progress.next_us(stage.now.mono_us);
        if let Err(refused) = self.send_event(&mcp::event(&message), None, stage) {
            self.cut(Some(Fault::new(Side::Client, FaultKind::Record(refused))), stage);
        }
    }

    /// An event of weir's own: recorded, then sent; with an outcome it is the last one, behind the
    /// row of the answer.
    pub(super) fn send_event(
        &mut self,
        event: &[u8],
        last: Option<(Outcome, String)>,
        stage: &mut Stage<'_>,
    ) -> Result<(), JournalRefused> {
        let Some(tenure) = self.tenures.get_mut(self.current) else { return Ok(()) };
        let Phase::Busy(exchange) = &mut self.phase else { return Ok(()) };
        let Exchange { answered, events, .. } = &mut **exchange;
        // The answer of the target may have been no stream.
        let events = events.get_or_insert_with(Splitter::default);
        answered.take_events(events, event, tenure, stage)?;
        let is_last = last.is_some();
        let receipt = match last {
            None => tenure.ledger.covered(stage),
            Some((outcome, why)) => {
                let Phase::Busy(mut exchange) = std::mem::replace(&mut self.phase, Phase::Idle)
                else {
                    return Ok(());
                };
                let recorded = self.record_answer(&mut exchange, outcome, &why, stage);
                self.phase = Phase::Busy(exchange);
                recorded.ok_or(JournalRefused::Full)?
            }
        };
        let portion = Portion::Data { bytes: event, chunked: true, last: is_last };
        self.link.pass(Permit::plumbing(Part::Progress), receipt, portion);
        Ok(())
    }

    /// The target answers a client that has a head already.
    pub(super) fn answer_in_stream(&mut self, framing: Framing, stage: &mut Stage<'_>) {
        let Phase::Busy(exchange) = &mut self.phase else { return };
        let Down::Head { head, .. } = &exchange.down else { return };
        let shape = Shape::of(head.only(Name::ContentType));
        let is_empty = matches!(framing, Framing::None | Framing::Length(0));
        let event = match shape {
            Shape::Events => None,
            Shape::Json => Some(false),
            _ => return self.answer_instead(&voice::bad_answer("mcp-answer"), stage),
        };
        if is_empty {
            return self.answer_instead(&voice::bad_answer("mcp-answer"), stage);
        }
        if let Some(back) = &mut exchange.back {
            back.hear_head(head, framing);
        }
        if let Some(progress) = &mut exchange.progress {
            progress.event = event;
        }
        exchange.events = Some(Splitter::default());
        exchange.deadline_us = stage.now.mono_us + exchange.pause_us();
        let (body, trailers) = (Body::new(framing), Head::default());
        exchange.down = Down::Content { body, trailers, framing: Framing::Chunked };
    }

    /// A reply of weir's own to a client that has a head already: the last event.
    pub(super) fn reply_in_stream(
        &mut self,
        reply: &Reply,
        mut exchange: Exchange,
        stage: &mut Stage<'_>,
    ) {
        let is_message = reply.fields.iter().any(|(name, value)| {
            *name == "content-type" && value.as_slice() == b"application/json"
        });
        let message = match (&exchange.rpc, is_message) {
            (Some(rpc), false) => {
                let said = said_in(&reply.content, exchange.was_sent());
                rpc.refusal(&exchange.content, jsonrpc::reply::DENIED, &said).content
            }
            _ => reply.content.clone(),
        };
        let ended = exchange.progress.as_mut().and_then(|progress| progress.ended.take());
        let ended = ended.unwrap_or((Outcome::Aborted, String::new()));
        self.phase = Phase::Busy(Box::new(exchange));
        match self.send_event(&mcp::event(&message), Some(ended), stage) {
            Ok(()) => {
                self.next_request(stage);
                if !matches!(self.phase, Phase::Closed) {
                    self.resume(stage);
                }
            }
            Err(refused) => {
                self.cut(Some(Fault::new(Side::Client, FaultKind::Record(refused))), stage);
            }
        }
    }
}

/// What people are told by a problem of weir's. Of what was sent nobody may say that it did not
/// run.
fn said_in(problem: &[u8], was_sent: bool) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(problem).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    let detail = detail.unwrap_or("weir could not carry it out");
    match was_sent {
        true => format!("{detail} (weir)"),
        false => format!("not run: {detail} (weir)"),
    }
}

/// The head of every such answer.
fn head_of_events() -> Head {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                          Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n\r\n";
    let (mut reader, mut head) = (HeadReader::default(), Head::default());
    let read = reader.next(&mut &HEAD[..], &mut head, Kind::Answer);
    assert_eq!(read, Ok(true), "a head that weir wrote itself");
    head
}
