//! One session's bytes, moved between its machine and its two connections.
//!
//! In: what the ring completed. Out: what the ring shall do next, and the machine's outputs.
//! Never: a decision about the protocol; a byte sent before its record is safe; a machine called
//! again after it panicked.
//!
//! ```text
//!            received                 Event::Bytes
//!   socket ------------> [rustls] ------------------> session
//!   socket <------------ [rustls] <------ outbox <------'
//!             send                 sendable(safe)
//! ```
//!
//! Life: `Live` until the machine closes it; `Closing` while the outboxes are written, then the
//! write side is shut down and the peer's end awaited; `Dead` while the kernel still works for it.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use super::contain::contain;
use super::errand::Party;
use super::leg::{Leg, Sent};
use super::legs::{LegState, Legs};
use super::mail::Canceller;
use super::pool::Pool;
use super::tls::Tls;
use crate::accept::door::Visit;
use crate::accept::socket;
use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind, Login, Malformed, Refused, Target, Untrusted};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::limits::{CLOSE_TIMEOUT_US, LINGER_TIMEOUT_US, LOAN_BYTES_MIN, OUTBOX_BYTES_MAX};
use crate::metrics::Timed;
use crate::record::{Lsn, SessionId};
use crate::session::{After, Driven, Event, Lease, Leased, Output, Stage};
use crate::wire::{End, LegId, Side};

/// What the ring is to be told about a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchOrder {
    /// Report what arrives.
    Start,
    /// Report nothing more.
    Stop,
}

/// A session, or an errand of weir, and its connections.
pub struct Driver {
    party: Party,
    client: Leg,
    legs: Legs,
    phase: Phase,
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
    /// Names by which others may ask this session to stop.
    pub names: Vec<Vec<u8>>,
    /// Approvals this session waits for.
    pub asks: Vec<SessionId>,
    /// Index of the listener that accepted its client.
    pub listener: usize,
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

impl Driver {
    /// A session with a client, or an errand of weir without one.
    pub fn new(party: Party, client: Option<TcpStream>) -> Driver {
        Driver {
            party,
            client: client.map_or_else(Leg::default, Leg::open),
            legs: Legs::default(),
            phase: Phase::Live,
            visit: None,
            cancellers: Vec::new(),
            scheduled_us: None,
            awaits_disk: false,
            touched: false,
            names: Vec::new(),
            asks: Vec::new(),
            listener: 0,
            durability: Durability::Write,
            panicked: false,
            waits: Waits::default(),
        }
    }

    /// The session, to be looked at.
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// Tells the session, unless it is over. A panic ends it: what it had queued is dropped,
    /// because nobody knows what it is.
    pub fn tell(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        if self.panicked || self.phase == Phase::Dead {
            return;
        }
        let party = &mut self.party;
        if contain(|| party.handle(event, stage)).is_ok() {
            return;
        }
        self.panicked = true;
        self.abandon();
        self.client.forget_plain();
        self.legs.iter_mut().for_each(|held| held.leg.forget_plain());
        let party = &mut self.party;
        let last = contain(|| party.handle(Event::Panic, stage));
        if last.is_err() {
            self.kill();
        } else {
            self.close(stage.now.mono_us);
        }
    }

    /// Drops what is queued for everybody.
    fn abandon(&mut self) {
        let Driver { party, legs, .. } = self;
        let ends = legs.iter().map(|held| End::Target(held.id));
        for end in [End::Client].into_iter().chain(ends) {
            if let Some(outbox) = party.outbox(end) {
                outbox.abandon();
            }
        }
    }

    /// Whether the session has panicked.
    pub fn has_panicked(&self) -> bool {
        self.panicked
    }

    /// The session's next output: it is taken from a queue, in which nothing can be wrong.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.party.poll_output()
    }

    /// Bytes arrived at `end`. Records of TLS are opened where they are, and what they hold passes
    /// through `scratch`.
    pub fn received(
        &mut self,
        end: End,
        bytes: &mut [u8],
        scratch: &mut Vec<u8>,
        stage: &mut Stage<'_>,
    ) {
        if self.phase != Phase::Live {
            return;
        }
        let Some(tls) = self.leg_mut(end).and_then(Leg::tls) else {
            self.tell(Event::Bytes(end, bytes), stage);
            return;
        };
        scratch.clear();
        let outcome = tls.receive(bytes, scratch);
        match outcome {
            Err(error) => {
                let fault = Fault::new(end.side(), tls_fault(end.side(), &error));
                self.tell(Event::Broken(end, fault), stage);
            }
            Ok(news) => {
                if let Some(facts) = news.finished {
                    self.tell(Event::Tls(end, facts), stage);
                }
                if !scratch.is_empty() {
                    self.tell(Event::Bytes(end, scratch), stage);
                }
                if news.closed {
                    if let Some(leg) = self.leg_mut(end) {
                        leg.tell_end();
                    }
                    self.tell(Event::Eof(end), stage);
                }
            }
        }
    }

    /// The kernel reports that `end` can be read; `last` if its end is among it.
    pub fn readable(&mut self, end: End, last: bool) {
        if let Some(leg) = self.leg_mut(end) {
            leg.readable(last);
        }
    }

    /// The kernel reports nothing more of `end`.
    pub fn unwatched(&mut self, end: End) {
        if let Some(leg) = self.leg_mut(end) {
            leg.unwatched();
        }
    }

    /// The shard comes to read `end`; `None` when nothing is wanted of it any more.
    pub fn begin_receive(&mut self, end: End) -> Option<BorrowedFd<'_>> {
        let dead = self.is_cut(end);
        self.leg_mut(end)?.unqueue().filter(|_| !dead).map(AsFd::as_fd)
    }

    /// So many bytes of `end` were read, `all` that were there; `true` for the very first ones.
    pub fn note_received(&mut self, end: End, count: usize, all: bool, now_us: u64) -> bool {
        if let Some(leg) = self.peer(end).and_then(|peer| self.leg_mut(peer)) {
            leg.interrupted();
        }
        self.leg_mut(end).is_some_and(|leg| leg.received(count, all, now_us))
    }

    /// There was nothing to read at `end`.
    pub fn note_nothing(&mut self, end: End, now_us: u64) {
        if let Some(leg) = self.leg_mut(end) {
            leg.received_nothing(now_us);
        }
    }

    /// The end of what `end` sends was read, or an error.
    pub fn ended(&mut self, end: End, error: Option<&io::Error>, stage: &mut Stage<'_>) {
        if let Some(leg) = self.leg_mut(end) {
            leg.received_end();
        }
        if self.phase != Phase::Live || self.is_cut(end) {
            return;
        }
        match error {
            None => self.tell(Event::Eof(end), stage),
            Some(_) => self.broken(end, stage),
        }
    }

    /// Whether the session knows that `end` sends no more.
    pub fn has_told_end(&self, end: End) -> bool {
        self.leg(end).is_some_and(Leg::has_told_end)
    }

    /// The socket of `end` takes bytes again.
    pub fn room(&mut self, end: End, now_us: u64) {
        if let Some(leg) = self.leg_mut(end) {
            leg.room();
        }
        if end == End::Client
            && let Some(since_us) = self.waits.client_us.take()
        {
            self.measured(Timed::ClientWait, now_us.saturating_sub(since_us));
        }
    }

    /// The socket of `end` takes no more bytes.
    pub fn note_full(&mut self, end: End, now_us: u64) {
        if end == End::Client {
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
        if let Some(meter) = self.party.meter() {
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
        if self.phase == Phase::Live && self.party.next_timeout().is_some_and(|at| at <= now_us) {
            self.tell(Event::Timeout, stage);
        }
        self.client.due(now_us);
        self.legs.iter_mut().for_each(|held| held.leg.due(now_us));
    }

    /// When the timer has to come up next.
    pub fn next_timeout(&self) -> Option<u64> {
        let own = match self.phase {
            Phase::Live => self.party.next_timeout(),
            Phase::Closing { deadline_us } => Some(deadline_us),
            Phase::Dead => None,
        };
        let legs = self
            .legs
            .iter()
            .flat_map(|held| [held.dial.as_deref().and_then(Dial::deadline_us), held.leg.due_us()]);
        [own, self.client.due_us()].into_iter().chain(legs).flatten().min()
    }

    /// Speaks TLS with `end` once what is queued for it has left in clear. `None` when TLS is
    /// not configured, which the session should have known.
    pub fn start_tls(&mut self, end: End, tls: Option<Tls>, stage: &mut Stage<'_>) {
        let started = match (tls, self.leg_and_outbox(end)) {
            (Some(tls), Some((leg, outbox))) => leg.start_tls(tls, outbox),
            _ => false,
        };
        if !started {
            let fault = Fault::new(end.side(), FaultKind::Internal);
            self.tell(Event::Broken(end, fault), stage);
        }
    }

    // === connections to targets ===

    /// The session asks for a connection, under settings of this age (`Idle::age`); `false` if it
    /// has one of this number.
    pub fn lease(&mut self, lease: Lease, age: u64) -> bool {
        self.legs.lease(lease, age)
    }

    /// The attempts to reach the target of a leg, until it is settled.
    pub fn dial(&mut self, id: LegId) -> Option<&mut Dial> {
        self.legs.find_mut(id).and_then(|held| held.dial.as_deref_mut())
    }

    /// The numbers of the legs whose attempts have had their time; each is said once.
    pub fn expired(&mut self, now_us: u64) -> Option<LegId> {
        let expired = |dial: &mut Box<Dial>| dial.expire(now_us);
        self.legs
            .iter_mut()
            .find_map(|held| held.dial.as_mut().is_some_and(expired).then_some(held.id))
    }

    /// No other server will be tried.
    pub fn settled(&mut self, id: LegId) {
        if let Some(held) = self.legs.find_mut(id) {
            held.dial = None;
        }
    }

    /// There is no server left to try.
    pub fn unreached(&mut self, id: LegId, why: Target, stage: &mut Stage<'_>) {
        self.legs.unreached(id);
        self.tell(Event::Leg(id, Err(why)), stage);
    }

    /// A connection that was given back serves again.
    pub fn reuse(&mut self, id: LegId, leg: Leg, leased: Leased, stage: &mut Stage<'_>) {
        if let Some(held) = self.legs.find_mut(id) {
            held.leg = leg;
            held.endpoint = Some(leased.endpoint.clone());
        }
        self.tell(Event::Leg(id, Ok(leased)), stage);
    }

    /// A socket for a target is being connected.
    pub fn connecting(&mut self, id: LegId, stream: TcpStream) {
        if let Some(held) = self.legs.find_mut(id) {
            held.leg = Leg::connecting(stream);
        }
    }

    /// A connection is made; `false` if nobody needs it any more.
    pub fn connected(&mut self, id: LegId) -> bool {
        let Some(held) = self.legs.find_mut(id) else { return false };
        held.leg.connected();
        self.phase == Phase::Live && !held.is_cut()
    }

    /// The server that the current attempt of a leg has reached.
    pub fn reached(&mut self, id: LegId) -> Option<Endpoint> {
        let held = self.legs.find_mut(id)?;
        held.endpoint = held.dial.as_ref().and_then(|dial| dial.endpoint().cloned());
        held.endpoint.clone()
    }

    /// Weir's own address on a connection to a server.
    pub fn own_address(&mut self, id: LegId) -> Option<IpAddr> {
        Some(self.legs.find_mut(id)?.leg.stream()?.local_addr().ok()?.ip())
    }

    /// The attempt to connect failed; `false` if nobody needs it any more.
    pub fn unconnected(&mut self, id: LegId) -> bool {
        let Some(held) = self.legs.find_mut(id) else { return false };
        held.leg = Leg::default();
        self.phase == Phase::Live && !held.is_cut()
    }

    /// Gives a server up: it gets what is queued for it as far as it takes that at once.
    pub fn leave(&mut self, id: LegId, safe: Lsn, pool: &mut Pool) {
        let end = End::Target(id);
        while self.prepare(end, safe, pool)
            && let Some((stream, bytes)) = self.piece(end)
        {
            let result = socket::send(stream, bytes);
            match self.sent(end, result, pool) {
                Sent::More => {}
                // Nobody waits for room.
                Sent::Blocked => {
                    self.room(end, 0);
                    break;
                }
                Sent::All | Sent::Reset | Sent::Failed => break,
            }
        }
        if let Some(outbox) = self.party.outbox(end) {
            outbox.abandon();
        }
        self.part(id, LegState::Leaving);
    }

    /// The session is done with a leg.
    pub fn release(&mut self, id: LegId, after: After) {
        self.part(id, LegState::Parting(after));
    }

    fn part(&mut self, id: LegId, state: LegState) {
        let Some(held) = self.legs.find_mut(id) else { return };
        // What is kept is whole: no byte of it waits on either side.
        let kept = matches!(state, LegState::Parting(After::Keep(..))) && held.leg.is_whole();
        held.state = match state {
            LegState::Parting(After::Keep(..)) if !kept => LegState::Parting(After::Close),
            state => state,
        };
        if !kept {
            held.leg.cut();
        }
    }

    /// A leg whose server was given up and is gone, said once.
    pub fn left(&mut self) -> Option<LegId> {
        self.legs.left()
    }

    /// A leg that the session has released and the kernel is done with.
    pub fn take_parted(&mut self) -> Option<super::legs::Held> {
        self.legs.take_parted()
    }

    /// A connection that is being made for nobody.
    pub fn dials_in_vain(&self) -> Option<LegId> {
        let over = self.phase != Phase::Live;
        let vain = |held: &&super::legs::Held| held.leg.is_connecting() && (over || held.is_cut());
        self.legs.iter().find(vain).map(|held| held.id)
    }

    /// Whether the connection of a leg is being made.
    pub fn is_dialling(&self, id: LegId) -> bool {
        self.legs.find(id).is_some_and(|held| held.leg.is_connecting())
    }

    /// Whether nothing more is read from an end or sent to it.
    fn is_cut(&self, end: End) -> bool {
        self.phase == Phase::Dead
            || match end {
                End::Client => false,
                End::Target(id) => self.legs.find(id).is_none_or(|held| held.is_cut()),
            }
    }

    // === the end ===

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
        self.legs.iter_mut().for_each(|held| held.leg.cut());
    }

    /// Whether the session is still asked.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Whether it can be dropped: it is over and nothing is with the kernel.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Dead
            && !self.client.is_busy()
            && self.legs.iter().all(|held| !held.leg.is_busy())
    }

    /// The socket of an end.
    pub fn socket(&self, end: End) -> Option<BorrowedFd<'_>> {
        self.leg(end)?.stream().map(AsFd::as_fd)
    }

    // === sending and reading ===

    /// Makes ready what may leave at `end`: all before the first byte that waits for a record
    /// after `safe`. `false` if nothing can be sent now.
    pub fn prepare(&mut self, end: End, safe: Lsn, pool: &mut Pool) -> bool {
        if self.is_cut(end) {
            return false;
        }
        match self.leg_and_outbox(end) {
            Some((leg, outbox)) => leg.prepare(outbox, safe, pool),
            None => false,
        }
    }

    /// What was made ready, and where it goes.
    pub fn piece(&self, end: End) -> Option<(BorrowedFd<'_>, &[u8])> {
        self.leg(end)?.piece(self.party.pending(end)?)
    }

    /// Whether `input`, which the session is told next, is lent to it until `keep`: a large
    /// piece of it that can go to `end` at once needs no copy.
    pub fn lend_input(&mut self, end: End, input: &[u8]) -> bool {
        if input.len() < LOAN_BYTES_MIN {
            return false;
        }
        let Some((leg, outbox)) = self.leg_and_outbox(end) else { return false };
        let lent = leg.direct().is_some();
        if lent {
            outbox.lend(input);
        }
        lent
    }

    /// What can go to `end` at once, and to where, if a piece of `input` is among it.
    pub fn pieces<'a>(
        &'a mut self,
        end: End,
        input: &'a [u8],
        safe: Lsn,
    ) -> Option<(BorrowedFd<'a>, [&'a [u8]; 3])> {
        if self.is_cut(end) {
            return None;
        }
        let (leg, outbox) = self.leg_and_outbox(end)?;
        Some((leg.direct()?, outbox.pieces(input, safe)?))
    }

    /// Nothing of `input` is needed any more.
    pub fn keep(&mut self, end: End, input: &[u8]) {
        if let Some(outbox) = self.party.outbox(end) {
            outbox.keep(input);
        }
    }

    /// What became of it.
    pub fn sent(&mut self, end: End, result: io::Result<usize>, pool: &mut Pool) -> Sent {
        match self.leg_and_outbox(end) {
            Some((leg, outbox)) => leg.sent(result, outbox, pool),
            None => Sent::All,
        }
    }

    /// Bytes for `end` were lost in a way that the session does not learn otherwise.
    pub fn unsent(&mut self, end: End, stage: &mut Stage<'_>) {
        if self.phase == Phase::Live && !self.is_cut(end) {
            self.broken(end, stage);
        }
    }

    /// When a record counts as written for what is queued. Once a session has waited for the
    /// disk it does so to its end, also for what it leaves behind when it closes.
    pub fn durability(&mut self) -> Durability {
        if self.party.durability() == Durability::Sync {
            self.durability = Durability::Sync;
        }
        self.durability
    }

    /// The ends that have a connection, by place: the client's, then those to targets. `None`
    /// behind the last one.
    pub fn end_at(&self, place: usize) -> Option<End> {
        match place {
            0 => Some(End::Client),
            place => self.legs.at(place - 1).map(|held| End::Target(held.id)),
        }
    }

    /// How many places there are.
    pub fn ends(&self) -> usize {
        1 + self.legs.len()
    }

    /// What the kernel is to be told about `end`: to report what arrives, or to stop it.
    pub fn next_watch(&mut self, end: End) -> Option<WatchOrder> {
        let cut = self.is_cut(end);
        let leg = self.leg_mut(end)?;
        if cut {
            leg.unwatch().then_some(WatchOrder::Stop)
        } else {
            leg.watch().then_some(WatchOrder::Start)
        }
    }

    /// Whether `end` is to be read now. It counts as queued for that.
    pub fn next_receive(&mut self, end: End) -> bool {
        let Some(leg) = self.leg_mut(end) else { return false };
        if !leg.can_receive() {
            return false;
        }
        let must = leg.must_receive();
        let cut = self.is_cut(end);
        let wanted = match self.phase {
            Phase::Dead => false,
            _ if cut => false,
            // Bytes of a closing session are thrown away, so that the peer gets to its end.
            Phase::Closing { .. } => true,
            Phase::Live => must || (self.party.wants(end) && self.has_room(end)),
        };
        if wanted && let Some(leg) = self.leg_mut(end) {
            leg.queue();
        }
        wanted
    }

    /// After all that could be sent was handed to the kernel: shuts down what has been written,
    /// and ends when all ends have. `true` when more can be sent (TLS says good-bye).
    pub fn settle(&mut self, now_us: u64) -> bool {
        let Phase::Closing { deadline_us } = self.phase else { return false };
        let mut again = false;
        for place in 0..self.ends() {
            let end = self.end_at(place);
            if let Some((leg, outbox)) = end.and_then(|end| self.leg_and_outbox(end)) {
                again |= leg.finish_writing(outbox);
            }
        }
        if self.every_leg(Leg::is_finished) {
            self.kill();
        } else if self.every_leg(|leg| leg.is_written() || !leg.is_open()) {
            let linger_us = now_us + LINGER_TIMEOUT_US;
            self.phase = Phase::Closing { deadline_us: deadline_us.min(linger_us) };
        }
        again
    }

    /// Whether something is true of all connections but those that are parting.
    fn every_leg(&self, is: impl Fn(&Leg) -> bool) -> bool {
        let held = self.legs.iter().filter(|held| !held.is_cut());
        is(&self.client) && held.map(|held| &held.leg).all(is)
    }

    /// Lends outbox buffers before the session is told.
    pub fn lend(&mut self, pool: &mut Pool) {
        for place in 0..self.ends() {
            let end = self.end_at(place);
            if let Some(outbox) = end.and_then(|end| self.party.outbox(end))
                && !outbox.has_buffer()
            {
                outbox.give_buffer(pool.take());
            }
        }
    }

    /// Takes back the buffers that were not needed.
    pub fn reclaim(&mut self, pool: &mut Pool) {
        for place in 0..self.ends() {
            let end = self.end_at(place);
            if let Some(outbox) = end.and_then(|end| self.party.outbox(end))
                && let Some(buffer) = outbox.take_buffer()
            {
                pool.give(buffer);
            }
        }
    }

    /// The record that the next waiting bytes of any end need.
    pub fn awaited(&self) -> Option<Lsn> {
        if self.phase == Phase::Dead {
            return None;
        }
        let legs = self.legs.iter().map(|held| End::Target(held.id));
        let ends = [End::Client].into_iter().chain(legs);
        ends.filter_map(|end| self.party.pending(end)?.awaited()).min()
    }

    /// The disk did not take a record that bytes wait for: they are dropped, the session ends.
    pub fn refuse_unrecorded(&mut self, stage: &mut Stage<'_>) {
        self.abandon();
        let end = self.end_at(1).unwrap_or(End::Client);
        let fault = Fault::new(Side::Server, FaultKind::Record(Refused::Disk));
        self.tell(Event::Broken(end, fault), stage);
        self.close(stage.now.mono_us);
    }

    /// What a peer sends goes to the other one, so only that one's outbox holds it back. Were both
    /// asked, a client that pipelines more than the target answers would stop its own answers.
    /// What a client with several legs sends, its session holds back by itself.
    fn has_room(&mut self, end: End) -> bool {
        match self.peer(end).and_then(|peer| self.leg_and_outbox(peer)) {
            Some((leg, outbox)) => leg.unsent() + outbox.len() < OUTBOX_BYTES_MAX,
            None => true,
        }
    }

    /// Where bytes of an end go, if that is clear without asking the session.
    pub fn peer(&self, end: End) -> Option<End> {
        match end {
            End::Target(_) => Some(End::Client),
            End::Client if self.party.divides() => None,
            End::Client => self.legs.sole().map(End::Target),
        }
    }

    fn broken(&mut self, end: End, stage: &mut Stage<'_>) {
        let kind = match end {
            End::Client => FaultKind::Malformed(Malformed::Truncated),
            End::Target(_) => FaultKind::Target(Target::Closed),
        };
        let fault = Fault::new(end.side(), kind);
        self.tell(Event::Broken(end, fault), stage);
    }

    fn leg(&self, end: End) -> Option<&Leg> {
        match end {
            End::Client => Some(&self.client),
            End::Target(id) => self.legs.find(id).map(|held| &held.leg),
        }
    }

    fn leg_mut(&mut self, end: End) -> Option<&mut Leg> {
        match end {
            End::Client => Some(&mut self.client),
            End::Target(id) => self.legs.find_mut(id).map(|held| &mut held.leg),
        }
    }

    fn leg_and_outbox(&mut self, end: End) -> Option<(&mut Leg, &mut Outbox)> {
        let Driver { party, client, legs, .. } = self;
        let leg = match end {
            End::Client => client,
            End::Target(id) => &mut legs.find_mut(id)?.leg,
        };
        Some((leg, party.outbox(end)?))
    }
}

fn untrusted(why: &rustls::CertificateError) -> Untrusted {
    use rustls::CertificateError as Wrong;
    match why {
        Wrong::UnknownIssuer => Untrusted::Issuer,
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => Untrusted::Name,
        Wrong::Expired | Wrong::ExpiredContext { .. } => Untrusted::Expired,
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => Untrusted::Early,
        Wrong::Revoked => Untrusted::Revoked,
        _ => Untrusted::Other,
    }
}

fn tls_fault(side: Side, error: &rustls::Error) -> FaultKind {
    match (side, error) {
        (Side::Server, rustls::Error::InvalidCertificate(why)) => {
            FaultKind::Target(Target::Certificate(untrusted(why)))
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
