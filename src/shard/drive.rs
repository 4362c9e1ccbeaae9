//! One session's bytes, moved between its machine and its two connections.
//!
//! In: what the ring completed. Out: what the ring shall do next, and the machine's outputs.
//! Never: a decision about the protocol; a byte sent before its record is safe; a machine called
//! again after it panicked.
//!
//! ```text
//!            received                 handle_bytes
//!   socket ------------> [rustls] ------------------> machine
//!   socket <------------ [rustls] <------ outbox <------'
//!             send                 sendable(safe)
//! ```
//!
//! Life: `Live` until the machine closes it; `Closing` while the outboxes are written, then the
//! write side is shut down and the peer's end awaited; `Dead` while the kernel still works for it.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::accept::door::Visit;
use crate::accept::socket;
use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind, Login, Malformed, Refused, Target};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::limits::{CLOSE_TIMEOUT_US, LINGER_TIMEOUT_US, LOAN_BYTES_MIN, OUTBOX_BYTES_MAX};
use crate::metrics::{TargetMeter, Timed};
use crate::record::{Lsn, SessionId};
use crate::session::postgres::Machine;
use crate::session::{Accepted, TlsFacts};
use crate::session::{Output, Stage};
use crate::session::{SessionSummary, Vote, VoteReply};
use crate::shard::contain::contain;
use crate::shard::leg::{Leg, Sent};
use crate::shard::mail::Canceller;
use crate::shard::pool::Pool;
use crate::shard::tls::Tls;
use crate::wire::Side;

/// What the ring is to be told about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchOrder {
    /// Report what arrives.
    Start,
    /// Report nothing more.
    Stop,
}

/// What can be driven: bytes and answers in, two outboxes and outputs out.
pub trait Driven {
    /// Bytes for a peer.
    fn outbox(&mut self, side: Side) -> &mut Outbox;
    /// The same, to be looked at.
    fn pending(&self, side: Side) -> &Outbox;
    /// Takes all bytes and keeps what it needs.
    fn handle_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>);
    /// The peer sends no more.
    fn handle_eof(&mut self, side: Side, stage: &mut Stage<'_>);
    /// The TLS handshake of this side has finished.
    fn handle_tls(&mut self, side: Side, facts: TlsFacts, stage: &mut Stage<'_>);
    /// The connection is unusable.
    fn handle_broken(&mut self, fault: Fault, stage: &mut Stage<'_>);
    /// The answer to `Output::Dial`.
    fn handle_dialed(&mut self, result: Result<Endpoint, Target>, stage: &mut Stage<'_>);
    /// `next_timeout` has passed.
    fn handle_timeout(&mut self, stage: &mut Stage<'_>);
    /// One of the calls above panicked; only outputs are polled after this.
    fn handle_panic(&mut self, stage: &mut Stage<'_>);
    /// The next output, until there is none.
    fn poll_output(&mut self) -> Option<Output>;
    /// When `handle_timeout` is due, monotonic microseconds.
    fn next_timeout(&self) -> Option<u64>;
    /// Whether this side should be read now.
    fn wants(&self, side: Side) -> bool;
    /// When a record counts as written.
    fn durability(&self) -> Durability;
    /// Nothing more will be read; the outboxes may still hold bytes.
    fn is_closed(&self) -> bool;
    /// What is measured of its target; nothing for what has none.
    fn meter(&self) -> Option<&TargetMeter> {
        None
    }
}

/// A driven machine that is a client's session.
pub trait SessionMachine: Driven + Sized + 'static {
    /// A client connected.
    fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Self;
    /// The stage's snapshot is a new one.
    fn handle_snapshot(&mut self, stage: &mut Stage<'_>);
    /// A vote on the held command.
    fn handle_vote(&mut self, id: SessionId, vote: &Vote, stage: &mut Stage<'_>) -> VoteReply;
    /// A CancelRequest with this session's key.
    fn handle_cancel(&mut self, stage: &mut Stage<'_>);
    /// An administrator ends the session.
    fn handle_kill(&mut self, stage: &mut Stage<'_>);
    /// weir shuts down: end when idle, or at once.
    fn handle_drain(&mut self, at_once: bool, stage: &mut Stage<'_>);
    /// What people see of it.
    fn summary(&self, stage: &Stage<'_>) -> SessionSummary;
}

impl Driven for Machine {
    fn outbox(&mut self, side: Side) -> &mut Outbox {
        Machine::outbox(self, side)
    }

    fn pending(&self, side: Side) -> &Outbox {
        Machine::pending(self, side)
    }

    fn handle_bytes(&mut self, side: Side, bytes: &[u8], stage: &mut Stage<'_>) {
        Machine::handle_bytes(self, side, bytes, stage);
    }

    fn handle_eof(&mut self, side: Side, stage: &mut Stage<'_>) {
        Machine::handle_eof(self, side, stage);
    }

    fn handle_tls(&mut self, side: Side, facts: TlsFacts, stage: &mut Stage<'_>) {
        Machine::handle_tls(self, side, facts, stage);
    }

    fn handle_broken(&mut self, fault: Fault, stage: &mut Stage<'_>) {
        Machine::handle_broken(self, fault, stage);
    }

    fn handle_dialed(&mut self, result: Result<Endpoint, Target>, stage: &mut Stage<'_>) {
        Machine::handle_dialed(self, result, stage);
    }

    fn handle_timeout(&mut self, stage: &mut Stage<'_>) {
        Machine::handle_timeout(self, stage);
    }

    fn handle_panic(&mut self, stage: &mut Stage<'_>) {
        Machine::handle_panic(self, stage);
    }

    fn poll_output(&mut self) -> Option<Output> {
        Machine::poll_output(self)
    }

    fn next_timeout(&self) -> Option<u64> {
        Machine::next_timeout(self)
    }

    fn wants(&self, side: Side) -> bool {
        Machine::wants(self, side)
    }

    fn durability(&self) -> Durability {
        Machine::durability(self)
    }

    fn is_closed(&self) -> bool {
        Machine::is_closed(self)
    }

    fn meter(&self) -> Option<&TargetMeter> {
        Machine::meter(self)
    }
}

impl SessionMachine for Machine {
    fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Machine {
        Machine::accept(accepted, stage)
    }

    fn handle_snapshot(&mut self, stage: &mut Stage<'_>) {
        Machine::handle_snapshot(self, stage);
    }

    fn handle_vote(&mut self, id: SessionId, vote: &Vote, stage: &mut Stage<'_>) -> VoteReply {
        Machine::handle_vote(self, id, vote, stage)
    }

    fn handle_cancel(&mut self, stage: &mut Stage<'_>) {
        Machine::handle_cancel(self, stage);
    }

    fn handle_kill(&mut self, stage: &mut Stage<'_>) {
        Machine::handle_kill(self, stage);
    }

    fn handle_drain(&mut self, at_once: bool, stage: &mut Stage<'_>) {
        Machine::handle_drain(self, at_once, stage);
    }

    fn summary(&self, stage: &Stage<'_>) -> SessionSummary {
        Machine::summary(self, stage)
    }
}

/// A machine and its connections.
#[derive(Debug)]
pub struct Driver<D> {
    machine: D,
    client: Leg,
    server: Leg,
    /// The connection to the server is given up; the next one waits for its end.
    leaving: bool,
    phase: Phase,
    /// The attempts to reach the target, until it is reached.
    pub dial: Option<Box<Dial>>,
    /// The client has not proven who it is.
    pub visit: Option<Visit>,
    /// Clients whose CancelRequest this session or errand is about: they see the end of their
    /// connection when the target has taken it, as they would directly.
    pub cancellers: Vec<Canceller>,
    /// The earliest entry of this session in the shard's timers.
    pub scheduled_us: Option<u64>,
    /// The shard will pump it when the disk has caught up.
    pub awaits_disk: bool,
    /// The shard will settle it at the end of the turn.
    pub touched: bool,
    /// Keys that a CancelRequest names this session by.
    pub cancel_keys: Vec<Vec<u8>>,
    /// Approvals this session waits for.
    pub asks: Vec<SessionId>,
    durability: Durability,
    panicked: bool,
    waits: Waits,
}

/// Since when what waits, monotonic microseconds.
#[derive(Debug, Default)]
struct Waits {
    /// The record that the first waiting bytes need.
    disk: Option<(Lsn, u64)>,
    /// The client's socket is full.
    client_us: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Live,
    Closing { deadline_us: u64 },
    Dead,
}

impl<D: Driven> Driver<D> {
    /// A machine with a client, or without one (an errand of weir).
    pub fn new(machine: D, client: Option<TcpStream>) -> Driver<D> {
        Driver {
            machine,
            client: client.map_or_else(Leg::default, Leg::open),
            server: Leg::default(),
            leaving: false,
            phase: Phase::Live,
            dial: None,
            visit: None,
            cancellers: Vec::new(),
            scheduled_us: None,
            awaits_disk: false,
            touched: false,
            cancel_keys: Vec::new(),
            asks: Vec::new(),
            durability: Durability::Write,
            panicked: false,
            waits: Waits::default(),
        }
    }

    /// The machine, to be looked at.
    pub fn machine(&self) -> &D {
        &self.machine
    }

    /// Calls the machine, unless it is over. A panic ends the session: what it had queued is
    /// dropped, because nobody knows what it is.
    pub fn call(&mut self, stage: &mut Stage<'_>, call: impl FnOnce(&mut D, &mut Stage<'_>)) {
        if self.panicked || self.phase == Phase::Dead {
            return;
        }
        let machine = &mut self.machine;
        if contain(|| call(machine, stage)).is_ok() {
            return;
        }
        self.panicked = true;
        machine.outbox(Side::Client).abandon();
        machine.outbox(Side::Server).abandon();
        self.client.forget_plain();
        self.server.forget_plain();
        let last = contain(|| machine.handle_panic(stage));
        if last.is_err() {
            self.kill();
        } else {
            self.close(stage.now.mono_us);
        }
    }

    /// Whether the machine has panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// The machine's next output: it is taken from a queue, in which nothing can be wrong.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.machine.poll_output()
    }

    /// Bytes arrived at `side`. Records of TLS are opened where they are, and what they hold passes
    /// through `scratch`.
    pub fn received(
        &mut self,
        side: Side,
        bytes: &mut [u8],
        scratch: &mut Vec<u8>,
        stage: &mut Stage<'_>,
    ) {
        if self.phase != Phase::Live {
            return;
        }
        let Some(tls) = self.leg_mut(side).tls() else {
            self.call(stage, |machine, stage| machine.handle_bytes(side, bytes, stage));
            return;
        };
        scratch.clear();
        let outcome = tls.receive(bytes, scratch);
        match outcome {
            Err(error) => {
                let fault = Fault::new(side, tls_fault(side, &error));
                self.call(stage, |machine, stage| machine.handle_broken(fault, stage));
            }
            Ok(news) => {
                if let Some(facts) = news.finished {
                    self.call(stage, |machine, stage| machine.handle_tls(side, facts, stage));
                }
                if !scratch.is_empty() {
                    self.call(stage, |machine, stage| machine.handle_bytes(side, scratch, stage));
                }
                if news.closed {
                    self.call(stage, |machine, stage| machine.handle_eof(side, stage));
                }
            }
        }
    }

    /// The kernel reports that `side` can be read; `last` if its end is among it.
    pub fn readable(&mut self, side: Side, last: bool) {
        self.leg_mut(side).readable(last);
    }

    /// The kernel reports nothing more of `side`.
    pub fn unwatched(&mut self, side: Side) {
        self.leg_mut(side).unwatched();
    }

    /// The shard comes to read `side`; `None` when nothing is wanted of it any more.
    pub fn begin_receive(&mut self, side: Side) -> Option<BorrowedFd<'_>> {
        let dead = self.is_cut(side);
        self.leg_mut(side).unqueue().filter(|_| !dead).map(AsFd::as_fd)
    }

    /// So many bytes of `side` were read, `all` that were there; `true` for the very first ones.
    pub fn note_received(&mut self, side: Side, count: usize, all: bool, now_us: u64) -> bool {
        self.leg_mut(side.peer()).interrupted();
        self.leg_mut(side).received(count, all, now_us)
    }

    /// There was nothing to read at `side`.
    pub fn note_nothing(&mut self, side: Side, now_us: u64) {
        self.leg_mut(side).received_nothing(now_us);
    }

    /// The end of `side` was read, or an error.
    pub fn ended(&mut self, side: Side, error: Option<&io::Error>, stage: &mut Stage<'_>) {
        self.leg_mut(side).received_end();
        if self.phase != Phase::Live || self.is_cut(side) {
            return;
        }
        match error {
            None => self.call(stage, |machine, stage| machine.handle_eof(side, stage)),
            Some(_) => self.broken(side, stage),
        }
    }

    /// The socket of `side` takes bytes again.
    pub fn room(&mut self, side: Side, now_us: u64) {
        self.leg_mut(side).room();
        if side == Side::Client
            && let Some(since_us) = self.waits.client_us.take()
        {
            self.measured(Timed::ClientWait, now_us.saturating_sub(since_us));
        }
    }

    /// The socket of `side` takes no more bytes.
    pub fn note_full(&mut self, side: Side, now_us: u64) {
        if side == Side::Client {
            self.waits.client_us = Some(now_us);
        }
    }

    /// What the disk has is known: measures how long the first bytes that wait for it do.
    pub fn note_disk(&mut self, safe: Lsn, now_us: u64) {
        let awaited = self.awaited().filter(|lsn| *lsn > safe);
        let waited = self.waits.disk.filter(|(lsn, _)| awaited != Some(*lsn));
        if let Some((_, since_us)) = waited {
            self.measured(Timed::JournalWait, now_us.saturating_sub(since_us));
        }
        if waited.is_some() || self.waits.disk.is_none() {
            self.waits.disk = awaited.map(|lsn| (lsn, now_us));
        }
    }

    fn measured(&self, timed: Timed, us: u64) {
        if let Some(meter) = self.machine.meter() {
            meter.record((timed, None), us);
        }
    }

    /// The timer came up: says what is due.
    pub fn due(&mut self, stage: &mut Stage<'_>) {
        let now_us = stage.now.mono_us;
        if let Phase::Closing { deadline_us } = self.phase
            && deadline_us <= now_us
        {
            self.kill();
        }
        if self.phase == Phase::Live && self.machine.next_timeout().is_some_and(|at| at <= now_us) {
            self.call(stage, |machine, stage| machine.handle_timeout(stage));
        }
        self.client.due(now_us);
        self.server.due(now_us);
    }

    /// When the timer has to come up next.
    pub fn next_timeout(&self) -> Option<u64> {
        let dial = self.dial.as_deref().and_then(Dial::deadline_us);
        let own = match self.phase {
            Phase::Live => self.machine.next_timeout(),
            Phase::Closing { deadline_us } => Some(deadline_us),
            Phase::Dead => None,
        };
        let streams = [self.client.due_us(), self.server.due_us()];
        [own, dial].into_iter().chain(streams).flatten().min()
    }

    /// Speaks TLS with `side` once what is queued for it has left in clear. `None` when TLS is
    /// not configured, which the machine should have known.
    pub fn start_tls(&mut self, side: Side, tls: Option<Tls>, stage: &mut Stage<'_>) {
        let (leg, outbox) = self.leg_and_outbox(side);
        if !tls.is_some_and(|tls| leg.start_tls(tls, outbox)) {
            let fault = Fault::new(side, FaultKind::Internal);
            self.call(stage, |machine, stage| machine.handle_broken(fault, stage));
        }
    }

    /// A socket for the target is being connected.
    pub fn connecting(&mut self, stream: TcpStream) {
        self.server = Leg::connecting(stream);
    }

    /// The connection to the target is made; `false` if nobody needs it any more.
    pub fn connected(&mut self) -> bool {
        self.server.connected();
        self.phase == Phase::Live
    }

    /// The connection to the target failed.
    pub fn unconnected(&mut self) {
        self.server = Leg::default();
    }

    /// Gives the server up: it gets what is queued for it as far as it takes that at once.
    pub fn leave_server(&mut self, safe: Lsn, pool: &mut Pool) {
        while self.prepare(Side::Server, safe, pool)
            && let Some((stream, bytes)) = self.piece(Side::Server)
        {
            let result = socket::send(stream, bytes);
            match self.sent(Side::Server, result, pool) {
                Sent::More => {}
                // Nobody waits for room.
                Sent::Blocked => {
                    self.server.room();
                    break;
                }
                Sent::All | Sent::Reset | Sent::Failed => break,
            }
        }
        self.machine.outbox(Side::Server).abandon();
        self.server.cut();
        self.leaving = true;
    }

    /// Whether the server that was given up is gone, said once.
    pub fn has_left_server(&mut self) -> bool {
        let left = self.leaving && !self.server.is_busy();
        if left {
            self.leaving = false;
            self.server = Leg::default();
        }
        left
    }

    /// Whether nothing more is read from a side.
    fn is_cut(&self, side: Side) -> bool {
        self.phase == Phase::Dead || (self.leaving && side == Side::Server)
    }

    /// Ends the session once everything is written.
    pub fn close(&mut self, now_us: u64) {
        if self.phase == Phase::Live {
            self.phase = Phase::Closing { deadline_us: now_us + CLOSE_TIMEOUT_US };
        }
    }

    /// Gives the client's connection away, open, and ends without it.
    pub fn part_with_client(&mut self) -> Option<Canceller> {
        // Without a descriptor to spare the client sees its end a little early.
        let client = self.client.stream().and_then(|stream| stream.try_clone().ok());
        self.phase = Phase::Dead;
        client.map(Arc::new)
    }

    /// Ends the session now; the kernel may still work for it.
    pub fn kill(&mut self) {
        if self.phase == Phase::Dead {
            return;
        }
        self.phase = Phase::Dead;
        self.client.cut();
        self.server.cut();
    }

    /// Whether the machine is still asked.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether it can be dropped: it is over and nothing is with the kernel.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Dead && !self.client.is_busy() && !self.server.is_busy()
    }

    /// Whether a connection to the target is being made.
    pub fn is_dialling(&self) -> bool {
        self.server.is_connecting()
    }

    /// Whether a connection to the target is being made for nobody.
    pub fn dials_in_vain(&self) -> bool {
        self.phase != Phase::Live && self.server.is_connecting()
    }

    /// The socket of a side.
    pub fn socket(&self, side: Side) -> Option<BorrowedFd<'_>> {
        match side {
            Side::Client => self.client.stream(),
            Side::Server => self.server.stream(),
        }
        .map(AsFd::as_fd)
    }

    /// Makes ready what may leave at `side`: all before the first byte that waits for a record
    /// after `safe`. `false` if nothing can be sent now.
    pub fn prepare(&mut self, side: Side, safe: Lsn, pool: &mut Pool) -> bool {
        if self.is_cut(side) {
            return false;
        }
        let (leg, outbox) = self.leg_and_outbox(side);
        leg.prepare(outbox, safe, pool)
    }

    /// What was made ready, and where it goes.
    pub fn piece(&self, side: Side) -> Option<(BorrowedFd<'_>, &[u8])> {
        let leg = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        leg.piece(self.machine.pending(side))
    }

    /// Whether `input`, which the machine is called with next, is lent to it until `keep`: a large
    /// piece of it that can go to `side` at once needs no copy.
    pub fn lend_input(&mut self, side: Side, input: &[u8]) -> bool {
        if input.len() < LOAN_BYTES_MIN {
            return false;
        }
        let (leg, outbox) = self.leg_and_outbox(side);
        let lent = leg.direct().is_some();
        if lent {
            outbox.lend(input);
        }
        lent
    }

    /// What can go to `side` at once, and to where, if a piece of `input` is among it.
    pub fn pieces<'a>(
        &'a mut self,
        side: Side,
        input: &'a [u8],
        safe: Lsn,
    ) -> Option<(BorrowedFd<'a>, [&'a [u8]; 3])> {
        if self.is_cut(side) {
            return None;
        }
        let (leg, outbox) = self.leg_and_outbox(side);
        Some((leg.direct()?, outbox.pieces(input, safe)?))
    }

    /// Nothing of `input` is needed any more.
    pub fn keep(&mut self, side: Side, input: &[u8]) {
        self.machine.outbox(side).keep(input);
    }

    /// What became of it.
    pub fn sent(&mut self, side: Side, result: io::Result<usize>, pool: &mut Pool) -> Sent {
        let (leg, outbox) = self.leg_and_outbox(side);
        leg.sent(result, outbox, pool)
    }

    /// Bytes for `side` were lost in a way that the machine does not learn otherwise.
    pub fn unsent(&mut self, side: Side, stage: &mut Stage<'_>) {
        if self.phase == Phase::Live && !self.is_cut(side) {
            self.broken(side, stage);
        }
    }

    /// When a record counts as written for what is queued. Once a session has waited for the
    /// disk it does so to its end, also for what it leaves behind when it closes.
    pub fn durability(&mut self) -> Durability {
        if self.machine.durability() == Durability::Sync {
            self.durability = Durability::Sync;
        }
        self.durability
    }

    /// What the kernel is to be told about `side`: to report what arrives, or to stop it.
    pub fn next_watch(&mut self, side: Side) -> Option<WatchOrder> {
        let cut = self.is_cut(side);
        let leg = self.leg_mut(side);
        if cut {
            leg.unwatch().then_some(WatchOrder::Stop)
        } else {
            leg.watch().then_some(WatchOrder::Start)
        }
    }

    /// Whether `side` is to be read now. It counts as queued for that.
    pub fn next_receive(&mut self, side: Side) -> bool {
        let leg = self.leg_mut(side);
        if !leg.can_receive() {
            return false;
        }
        let must = leg.must_receive();
        let cut = self.is_cut(side);
        let wanted = match self.phase {
            Phase::Dead => false,
            _ if cut => false,
            // Bytes of a closing session are thrown away, so that the peer gets to its end.
            Phase::Closing { .. } => true,
            Phase::Live => must || (self.machine.wants(side) && self.has_room(side.peer())),
        };
        if wanted {
            self.leg_mut(side).queue();
        }
        wanted
    }

    /// After all that could be sent was handed to the kernel: shuts down what has been written,
    /// and ends when both sides have. `true` when more can be sent (TLS says good-bye).
    pub fn settle(&mut self, now_us: u64) -> bool {
        let Phase::Closing { deadline_us } = self.phase else { return false };
        let mut again = false;
        for side in [Side::Client, Side::Server] {
            let (leg, outbox) = self.leg_and_outbox(side);
            again |= leg.finish_writing(outbox);
        }
        if self.client.is_finished() && self.server.is_finished() {
            self.kill();
        } else if self.is_written() {
            let linger_us = now_us + LINGER_TIMEOUT_US;
            self.phase = Phase::Closing { deadline_us: deadline_us.min(linger_us) };
        }
        again
    }

    /// Neither peer will be sent anything more.
    fn is_written(&self) -> bool {
        let over = |leg: &Leg| leg.is_written() || !leg.is_open();
        over(&self.client) && over(&self.server)
    }

    /// Lends outbox buffers before the machine is called.
    pub fn lend(&mut self, pool: &mut Pool) {
        for side in [Side::Client, Side::Server] {
            let outbox = self.machine.outbox(side);
            if !outbox.has_buffer() {
                outbox.give_buffer(pool.take());
            }
        }
    }

    /// Takes back the buffers that were not needed.
    pub fn reclaim(&mut self, pool: &mut Pool) {
        for side in [Side::Client, Side::Server] {
            if let Some(buffer) = self.machine.outbox(side).take_buffer() {
                pool.give(buffer);
            }
        }
    }

    /// The record that the next waiting bytes of either side need.
    pub fn awaited(&mut self) -> Option<Lsn> {
        if self.phase == Phase::Dead {
            return None;
        }
        let client = self.machine.outbox(Side::Client).awaited();
        let server = self.machine.outbox(Side::Server).awaited();
        match (client, server) {
            (Some(client), Some(server)) => Some(client.min(server)),
            (client, server) => client.or(server),
        }
    }

    /// The disk did not take a record that bytes wait for: they are dropped, the session ends.
    pub fn refuse_unrecorded(&mut self, stage: &mut Stage<'_>) {
        self.machine.outbox(Side::Client).abandon();
        self.machine.outbox(Side::Server).abandon();
        let fault = Fault::new(Side::Server, FaultKind::Record(Refused::Disk));
        self.call(stage, |machine, stage| machine.handle_broken(fault, stage));
        self.close(stage.now.mono_us);
    }

    /// What a peer sends goes to the other one, so only that one's outbox holds it back. Were both
    /// asked, a client that pipelines more than the target answers would stop its own answers.
    fn has_room(&mut self, side: Side) -> bool {
        let (leg, outbox) = self.leg_and_outbox(side);
        leg.unsent() + outbox.len() < OUTBOX_BYTES_MAX
    }

    fn broken(&mut self, side: Side, stage: &mut Stage<'_>) {
        let kind = match side {
            Side::Client => FaultKind::Malformed(Malformed::Truncated),
            Side::Server => FaultKind::Target(Target::Closed),
        };
        let fault = Fault::new(side, kind);
        self.call(stage, |machine, stage| machine.handle_broken(fault, stage));
    }

    fn leg_mut(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn leg_and_outbox(&mut self, side: Side) -> (&mut Leg, &mut Outbox) {
        let outbox = self.machine.outbox(side);
        let leg = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        (leg, outbox)
    }
}

fn tls_fault(side: Side, error: &rustls::Error) -> FaultKind {
    match (side, error) {
        (Side::Server, rustls::Error::InvalidCertificate(_)) => {
            FaultKind::Target(Target::Certificate)
        }
        (
            Side::Client,
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented,
        ) => FaultKind::Login(Login::Certificate),
        _ => FaultKind::Malformed(Malformed::Tls),
    }
}
