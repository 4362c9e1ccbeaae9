//! A connection that is no session: a CancelRequest on its way.
//!
//! In: bytes of the target. Out: the request.
//! Never: a record; what is carried was recorded by the session it belongs to.

use super::refusal::Refusal;
use crate::config::settings::{Durability, TargetTls, TlsNegotiation};
use crate::fault::{Fault, FaultKind, Malformed, Target, Unsupported};
use crate::forward::Outbox;
use crate::forward::dial::Dial;
use crate::limits::DIAL_TIMEOUT_US;
use crate::metrics::TargetMeter;
use crate::session::{Driven, Event, Lease, Output, Session, SessionSummary, Stage};
use crate::wire::postgres::message::{SSL_REQUEST_PACKET, cancel_packet};
use crate::wire::{End, LegId, Side};

/// The server that the request goes to.
const SERVER: End = End::Target(LegId::FIRST);

/// Carries one CancelRequest to a target.
#[derive(Debug)]
pub struct CancelCall {
    key: Vec<u8>,
    tls: (TargetTls, TlsNegotiation),
    outbox: Outbox,
    state: CallStage,
    output: Option<Output>,
    deadline_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallStage {
    Dialling,
    AskedForTls,
    Handshaking,
    Done,
}

impl CancelCall {
    /// `key` is process id and secret as on the wire; `dial` leads to the server that has it.
    pub fn new(
        dial: Box<Dial>,
        tls: (TargetTls, TlsNegotiation),
        key: Vec<u8>,
        now_us: u64,
    ) -> CancelCall {
        CancelCall {
            key,
            tls,
            outbox: Outbox::default(),
            state: CallStage::Dialling,
            output: Some(Output::Lease(Lease {
                leg: LegId::FIRST,
                dial,
                reuse: None,
                waited_us_max: 0,
            })),
            deadline_us: now_us + DIAL_TIMEOUT_US,
        }
    }

    fn request(&mut self) {
        self.outbox.say(&cancel_packet(&self.key));
        self.end(None);
    }

    fn start_tls(&mut self) {
        self.state = CallStage::Handshaking;
        self.output = Some(Output::StartTls(SERVER));
    }

    fn answered(&mut self, bytes: &[u8]) {
        if self.state != CallStage::AskedForTls {
            return;
        }
        match (bytes, self.tls.0) {
            (b"S", _) => self.start_tls(),
            (b"N", TargetTls::Prefer) => self.request(),
            (b"N", _) => self.fail(FaultKind::Unsupported(Unsupported::TlsRequired)),
            ([b'S', ..], _) => self.fail(FaultKind::Malformed(Malformed::BytesBeforeTls)),
            _ => self.fail(FaultKind::Malformed(Malformed::MessageType)),
        }
    }

    fn dialed(&mut self, result: Result<(), Target>) {
        match (result, self.tls) {
            (Err(target), _) => self.fail(FaultKind::Target(target)),
            (Ok(()), (TargetTls::Disable, _)) => self.request(),
            (Ok(()), (_, TlsNegotiation::Direct)) => self.start_tls(),
            (Ok(()), (_, TlsNegotiation::Postgres)) => {
                self.state = CallStage::AskedForTls;
                self.outbox.say(&SSL_REQUEST_PACKET);
            }
        }
    }

    fn end(&mut self, fault: Option<Fault>) {
        if self.state != CallStage::Done {
            self.state = CallStage::Done;
            self.output = Some(Output::Close(fault));
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.end(Some(Fault::new(Side::Server, kind)));
    }
}

impl Driven for CancelCall {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        (end == SERVER).then_some(&mut self.outbox)
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        (end == SERVER).then_some(&self.outbox)
    }

    fn handle(&mut self, event: Event<'_>, _stage: &mut Stage<'_>) {
        match event {
            Event::Bytes(_, bytes) => self.answered(bytes),
            Event::Eof(_) => self.fail(FaultKind::Target(Target::Closed)),
            Event::Tls(..) => self.request(),
            Event::Broken(_, fault) => self.end(Some(fault)),
            Event::Leg(_, result) => self.dialed(result.map(drop)),
            Event::Timeout => self.fail(FaultKind::Target(Target::Timeout)),
            Event::Panic => self.fail(FaultKind::Internal),
            // It belongs to no client.
            Event::Snapshot
            | Event::Vote(..)
            | Event::Signal
            | Event::Kill(_)
            | Event::Drain { .. } => {}
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    fn next_timeout(&self) -> Option<u64> {
        Some(self.deadline_us)
    }

    fn wants(&self, end: End) -> bool {
        end == SERVER
    }

    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn is_closed(&self) -> bool {
        self.state == CallStage::Done
    }

    fn meter(&self) -> Option<&TargetMeter> {
        None
    }

    fn summary(&self, _stage: &Stage<'_>) -> Option<SessionSummary> {
        None
    }
}

/// Whatever lives in a slot of the shard. Nearly all are sessions.
#[expect(clippy::large_enum_variant, reason = "a driver is on the heap as a whole")]
pub enum Party {
    /// A client's session.
    Session(Session),
    /// A cancellation on its way.
    Cancel(CancelCall),
    /// A client that is turned away.
    Refusal(Refusal),
}

/// Calls the same method of whichever party it is.
macro_rules! each {
    ($party:expr, $inner:ident => $call:expr) => {
        match $party {
            Party::Session($inner) => $call,
            Party::Cancel($inner) => $call,
            Party::Refusal($inner) => $call,
        }
    };
}

impl Driven for Party {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        each!(self, inner => inner.outbox(end))
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        each!(self, inner => inner.pending(end))
    }

    fn handle(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle(event, stage));
    }

    fn poll_output(&mut self) -> Option<Output> {
        each!(self, inner => inner.poll_output())
    }

    fn next_timeout(&self) -> Option<u64> {
        each!(self, inner => inner.next_timeout())
    }

    fn wants(&self, end: End) -> bool {
        each!(self, inner => inner.wants(end))
    }

    fn divides(&self) -> bool {
        each!(self, inner => inner.divides())
    }

    fn owes_room(&self) -> bool {
        each!(self, inner => inner.owes_room())
    }

    fn records(&self, end: End) -> bool {
        each!(self, inner => inner.records(end))
    }

    fn durability(&self) -> Durability {
        each!(self, inner => inner.durability())
    }

    fn is_closed(&self) -> bool {
        each!(self, inner => inner.is_closed())
    }

    fn meter(&self) -> Option<&TargetMeter> {
        each!(self, inner => inner.meter())
    }

    fn summary(&self, stage: &Stage<'_>) -> Option<SessionSummary> {
        each!(self, inner => inner.summary(stage))
    }

    fn summaries(&self, stage: &Stage<'_>) -> Vec<SessionSummary> {
        each!(self, inner => inner.summaries(stage))
    }
}
