//! A connection that is no session: a CancelRequest on its way.
//!
//! In: bytes of the target. Out: the request.
//! Never: a record; what is carried was recorded by the session it belongs to.

use super::refusal::Refusal;
use crate::config::settings::{Durability, TargetTls, TlsNegotiation};
use crate::fault::{Fault, FaultKind, Malformed, Target, Unsupported};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::limits::DIAL_TIMEOUT_US;
use crate::metrics::TargetMeter;
use crate::session::TlsFacts;
use crate::session::{Output, Stage};
use crate::shard::drive::Driven;
use crate::wire::Side;
use crate::wire::postgres::message::{SSL_REQUEST_PACKET, cancel_packet};

/// Carries one CancelRequest to a target.
#[derive(Debug)]
pub struct CancelCall {
    key: Vec<u8>,
    tls: (TargetTls, TlsNegotiation),
    outbox: Outbox,
    nothing: Outbox,
    state: Step,
    output: Option<Output>,
    deadline_us: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
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
            nothing: Outbox::default(),
            state: Step::Dialling,
            output: Some(Output::Dial(dial)),
            deadline_us: now_us + DIAL_TIMEOUT_US,
        }
    }

    fn request(&mut self) {
        self.outbox.say(&cancel_packet(&self.key));
        self.end(None);
    }

    fn start_tls(&mut self) {
        self.state = Step::Handshaking;
        self.output = Some(Output::StartTls(Side::Server));
    }

    fn end(&mut self, fault: Option<Fault>) {
        if self.state != Step::Done {
            self.state = Step::Done;
            self.output = Some(Output::Close(fault));
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.end(Some(Fault::new(Side::Server, kind)));
    }
}

impl Driven for CancelCall {
    fn outbox(&mut self, side: Side) -> &mut Outbox {
        match side {
            Side::Client => &mut self.nothing,
            Side::Server => &mut self.outbox,
        }
    }

    fn pending(&self, side: Side) -> &Outbox {
        match side {
            Side::Client => &self.nothing,
            Side::Server => &self.outbox,
        }
    }

    fn handle_bytes(&mut self, _side: Side, bytes: &[u8], _stage: &mut Stage<'_>) {
        if self.state != Step::AskedForTls {
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

    fn handle_eof(&mut self, _side: Side, _stage: &mut Stage<'_>) {
        self.fail(FaultKind::Target(Target::Closed));
    }

    fn handle_tls(&mut self, _side: Side, _facts: TlsFacts, _stage: &mut Stage<'_>) {
        self.request();
    }

    fn handle_broken(&mut self, fault: Fault, _stage: &mut Stage<'_>) {
        self.end(Some(fault));
    }

    fn handle_dialed(&mut self, result: Result<Endpoint, Target>, _stage: &mut Stage<'_>) {
        match (result, self.tls) {
            (Err(target), _) => self.fail(FaultKind::Target(target)),
            (Ok(_), (TargetTls::Disable, _)) => self.request(),
            (Ok(_), (_, TlsNegotiation::Direct)) => self.start_tls(),
            (Ok(_), (_, TlsNegotiation::Postgres)) => {
                self.state = Step::AskedForTls;
                self.outbox.say(&SSL_REQUEST_PACKET);
            }
        }
    }

    fn handle_timeout(&mut self, _stage: &mut Stage<'_>) {
        self.fail(FaultKind::Target(Target::Timeout));
    }

    fn handle_panic(&mut self, _stage: &mut Stage<'_>) {
        self.end(Some(Fault::new(Side::Server, FaultKind::Internal)));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.output.take()
    }

    fn next_timeout(&self) -> Option<u64> {
        Some(self.deadline_us)
    }

    fn wants(&self, side: Side) -> bool {
        side == Side::Server
    }

    fn durability(&self) -> Durability {
        Durability::Write
    }

    fn is_closed(&self) -> bool {
        self.state == Step::Done
    }
}

/// Whatever lives in a slot of the shard.
#[derive(Debug)]
pub enum Party<M> {
    /// A client's session.
    Session(M),
    /// A cancellation on its way.
    Cancel(CancelCall),
    /// A client that is turned away.
    Refusal(Refusal),
}

/// Calls the same method on whichever party it is.
macro_rules! each {
    ($party:expr, $inner:ident => $call:expr) => {
        match $party {
            Party::Session($inner) => $call,
            Party::Cancel($inner) => $call,
            Party::Refusal($inner) => $call,
        }
    };
}

impl<M: Driven> Driven for Party<M> {
    fn outbox(&mut self, side: Side) -> &mut Outbox {
        each!(self, inner => inner.outbox(side))
    }

    fn pending(&self, side: Side) -> &Outbox {
        each!(self, inner => inner.pending(side))
    }

    fn handle_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_bytes(side, bytes, stage));
    }

    fn handle_eof(&mut self, side: Side, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_eof(side, stage));
    }

    fn handle_tls(&mut self, side: Side, facts: TlsFacts, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_tls(side, facts, stage));
    }

    fn handle_broken(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_broken(fault, stage));
    }

    fn handle_dialed(&mut self, result: Result<Endpoint, Target>, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_dialed(result, stage));
    }

    fn handle_timeout(&mut self, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_timeout(stage));
    }

    fn handle_panic(&mut self, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle_panic(stage));
    }

    fn poll_output(&mut self) -> Option<Output> {
        each!(self, inner => inner.poll_output())
    }

    fn next_timeout(&self) -> Option<u64> {
        each!(self, inner => inner.next_timeout())
    }

    fn wants(&self, side: Side) -> bool {
        each!(self, inner => inner.wants(side))
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
}
