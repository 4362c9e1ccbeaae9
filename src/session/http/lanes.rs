//! Many exchanges of one connection: whose turn it is, and what their streams say.
//!
//! In: frames of the client, events of legs, votes, time. Out: one exchange at a time in its place
//! in the session, as with HTTP/1. Never: an exchange that keeps others from going on; a stream
//! that holds its place when its exchange is over.
//!
//! ```text
//!   lanes: [ stream 1 | stream 3 | stream 5 ]      an event of 3
//!                          |  ^
//!                     turn |  | rest               the session works for 3 as if it were alone
//!                          v  |
//!   session: phase, current, deadline, backlog, turn
//! ```
//!
//! An exchange does not know of its stream. What ends the connection of HTTP/1 in the middle of an
//! answer ends the stream here (`cut`).

use crate::decide::Permit;
use crate::decide::http::Part;
use crate::fault::{Fault, FaultKind, Limit, Malformed};
use crate::limits;
use crate::session::{Event as Seen, Stage};
use crate::wire::http::h2::{Code, Event};
use crate::wire::{End, LegId, Side};

use super::exchange::Up;
use super::front::Front;
use super::streams::{Streams, Turn};
use super::tenure::Trouble;
use super::{Phase, Session, back};

/// An exchange that waits for its turn.
#[derive(Debug)]
pub(super) struct Lane {
    turn: Turn,
    backlog: Vec<u8>,
    phase: Phase,
    /// Whose it is.
    pub current: usize,
    deadline_us: u64,
}

/// No tenure.
const NOBODY: usize = usize::MAX;

impl Lane {
    fn new(turn: Turn) -> Lane {
        let (backlog, phase) = (Vec::new(), Phase::Idle);
        Lane { turn, backlog, phase, current: NOBODY, deadline_us: u64::MAX }
    }

    /// Its target has taken what its client gets credit for.
    fn is_owed(&self) -> bool {
        let has_room = |back: &back::Back| back.waiting() < limits::OUTBOX_BYTES_MAX / 2;
        self.turn.owed > 0 && self.phase.back().is_none_or(has_room)
    }

    /// Its connection to a target.
    pub fn back(&self) -> Option<&back::Back> {
        self.phase.back()
    }

    /// The same, to be changed.
    pub fn back_mut(&mut self) -> Option<&mut back::Back> {
        self.phase.back_mut()
    }

    /// Whether the client takes what it is sent fast enough.
    pub fn has_room(&self) -> bool {
        self.turn.waiting() < limits::H2_WAITING_BYTES_MAX
    }

    /// Whether its client may have more to say for what runs.
    pub fn takes_in(&self) -> bool {
        !self.turn.ended && matches!(self.phase, Phase::Busy(_) | Phase::Tunnel(_))
    }

    /// Whether it waits for people.
    pub fn is_held(&self) -> bool {
        matches!(&self.phase, Phase::Busy(exchange) if matches!(exchange.up, Up::Held(_)))
    }

    fn next_timeout(&self) -> u64 {
        self.phase.deadline_us().unwrap_or(self.deadline_us)
    }

    fn head_bytes(&self) -> usize {
        match &self.phase {
            Phase::Busy(exchange) => exchange.request.head.arena().len(),
            _ => 0,
        }
    }
}

impl Session {
    /// The client speaks HTTP/2.
    pub(super) fn become_many(&mut self, stage: &mut Stage<'_>) {
        let scheme = if self.link.tls.is_some() { "https" } else { "http" };
        let deadline_us = stage.now.mono_us + limits::HTTP_IDLE_US;
        self.link.front = Front::Many(Box::new(Streams::new(scheme, deadline_us)));
        self.phase = Phase::Idle;
        self.link.flush();
    }

    /// Before an event: the exchange that it is about has its turn.
    pub(super) fn take_turn(&mut self, event: &Seen<'_>) {
        match event {
            Seen::Bytes(End::Target(id), _)
            | Seen::Eof(End::Target(id))
            | Seen::Tls(End::Target(id), _)
            | Seen::Broken(End::Target(id), _)
            | Seen::Leg(id, _) => {
                self.turn_to(|lane| lane.back().is_some_and(|back| back.id == *id));
            }
            Seen::Vote(id, ..) => {
                self.turn_to(|lane| match &lane.phase {
                    Phase::Busy(exchange) => exchange.approval == Some(*id) && lane.is_held(),
                    _ => false,
                });
            }
            _ => {}
        }
    }

    fn turn_to(&mut self, is: impl Fn(&Lane) -> bool) -> bool {
        let Some(index) = self.lanes.iter().position(is) else { return false };
        let lane = self.lanes.swap_remove(index);
        self.install(lane);
        true
    }

    fn install(&mut self, lane: Lane) {
        let Some(streams) = self.link.streams() else { return };
        assert!(streams.turn.id == 0, "two exchanges have their turn");
        streams.turn = lane.turn;
        self.link.backlog = lane.backlog;
        self.phase = lane.phase;
        self.current = lane.current;
        self.deadline_us = lane.deadline_us;
    }

    /// Behind an event: what has had its turn waits again, or is over.
    pub(super) fn rest(&mut self, stage: &mut Stage<'_>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let Some(streams) = self.link.streams() else { return };
        let mut turn = std::mem::take(&mut streams.turn);
        if turn.id == 0 {
            return;
        }
        let backlog = std::mem::take(&mut self.link.backlog);
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let now_us = stage.now.mono_us;
        let is_answered = matches!(phase, Phase::Idle) && turn.has_said_all();
        if is_answered && turn.complete && !turn.ended {
            // Some clients say the end in a frame of its own, and a reset that comes before it is
            // an error to them (httpx).
            turn.until_us.get_or_insert(now_us + limits::LINGER_TIMEOUT_US);
        }
        let lingers = !turn.ended && turn.until_us.is_some_and(|until_us| now_us < until_us);
        if !is_answered || lingers {
            let current = self.current;
            let deadline_us = turn.until_us.unwrap_or(self.deadline_us);
            return self.lanes.push(Lane { turn, backlog, phase, current, deadline_us });
        }
        // Nothing, if both have said all; else the client need not go on (RFC 9113 8.1).
        self.link.frames(None, |streams| streams.connection.reset(turn.id, Code::None));
        let is_last = self.lanes.is_empty();
        if let Some(streams) = self.link.streams().filter(|_| is_last && !self.draining) {
            streams.deadline_us = stage.now.mono_us + limits::HTTP_IDLE_US;
        }
    }

    /// Takes in frames of the client.
    pub(super) fn receive(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        let mut input = bytes;
        loop {
            let Some(streams) = self.link.streams() else { return };
            match streams.connection.receive(&mut input, stage.now.mono_us) {
                Ok(Some(event)) => self.heard(event, stage),
                Ok(None) => break,
                Err(fatal) => {
                    let attrs = serde_json::json!({ "reason": fatal.why }).to_string();
                    let message = "a connection of HTTP/2 broke the protocol, and has ended";
                    self.note_refused(message, &attrs, stage);
                    let kind = FaultKind::Malformed(Malformed::MessageBody);
                    return self.close(Some(Fault::new(Side::Client, kind)), stage);
                }
            }
            if matches!(self.phase, Phase::Closed) {
                return;
            }
        }
        self.link.flush();
        self.maybe_drained(stage);
    }

    fn heard(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        match event {
            Event::Head { stream, last } => self.open(stream, last, stage),
            Event::Data { stream, bytes, last } => {
                // They lie in a buffer that the stream's own window bounds.
                let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                if let Some(streams) = self.link.streams() {
                    streams.connection.credit_connection(count);
                }
                self.on_stream(stream, stage, |session, stage| {
                    session.ended(last);
                    session.take_in(bytes, stage);
                });
            }
            Event::Trailers { stream } => {
                let trailers = self.link.streams().map(|it| it.connection.take_head());
                self.on_stream(stream, stage, |session, stage| {
                    if let Some(streams) = session.link.streams() {
                        streams.turn.trailers = trailers.unwrap_or_default();
                    }
                    session.ended(true);
                    session.resume(stage);
                });
            }
            Event::Refused { stream, why } => {
                if !self.turn_to(|lane| lane.turn.id == stream) {
                    self.install(Lane::new(Turn::new(stream, false)));
                }
                match &self.phase {
                    Phase::Busy(_) => self.content_refused(Trouble::Refused(why), stage),
                    Phase::Idle if self.current == NOBODY => {
                        self.turn_away(Trouble::Refused(why), None, stage);
                    }
                    // It was answered, but what it still says is malformed all the same.
                    _ => {
                        let kind = FaultKind::Malformed(Malformed::MessageBody);
                        self.cut(Some(Fault::new(Side::Client, kind)), stage);
                    }
                }
                self.rest(stage);
            }
            Event::Reset { stream, .. } => {
                let gone = Fault::new(Side::Client, FaultKind::Terminate);
                self.on_stream(stream, stage, |session, stage| session.cut(Some(gone), stage));
                if let Some(streams) = self.link.streams() {
                    streams.connection.release(stream);
                }
            }
            Event::Room { stream: 0 } => self.each_lane(stage, Session::pump),
            Event::Room { stream } => self.on_stream(stream, stage, Session::pump),
            Event::Ready | Event::Goaway { .. } | Event::Pong => {}
        }
    }

    /// Each exchange has its turn.
    pub(super) fn each_lane(
        &mut self,
        stage: &mut Stage<'_>,
        work: impl Fn(&mut Session, &mut Stage<'_>),
    ) {
        for _ in 0..self.lanes.len() {
            // The one that is looked at goes to the end.
            let lane = self.lanes.remove(0);
            self.install(lane);
            work(self, stage);
            self.rest(stage);
        }
        self.link.flush();
    }

    fn on_stream(
        &mut self,
        stream: u32,
        stage: &mut Stage<'_>,
        work: impl FnOnce(&mut Session, &mut Stage<'_>),
    ) {
        if self.turn_to(|lane| lane.turn.id == stream) {
            work(self, stage);
            self.rest(stage);
        }
    }

    fn ended(&mut self, last: bool) {
        if let Some(streams) = self.link.streams() {
            streams.turn.ended |= last;
        }
    }

    /// A request.
    fn open(&mut self, stream: u32, last: bool, stage: &mut Stage<'_>) {
        let Some(streams) = self.link.streams() else { return };
        let head = streams.connection.take_head();
        let alive: usize = self.lanes.iter().map(Lane::head_bytes).sum();
        if alive + head.arena().len() > limits::H2_HEADS_BYTES_MAX {
            // Nothing was done: the client may ask again (RFC 9113 8.7).
            let refuse = |it: &mut Streams| it.connection.reset(stream, Code::RefusedStream);
            return self.link.frames(None, refuse);
        }
        self.install(Lane::new(Turn::new(stream, last)));
        self.begin(head, stage);
        // Nothing else may come that would end content which is not there.
        self.resume(stage);
        self.rest(stage);
    }

    /// What waits for a window goes on.
    fn pump(&mut self, stage: &mut Stage<'_>) {
        let record = self.tenures.get(self.current).map(|tenure| {
            let receipt = tenure.ledger.covered(stage);
            (Permit::plumbing(Part::Answer), receipt)
        });
        let mut moved = false;
        self.link.frames(record, |streams| moved = streams.pump());
        if moved && matches!(self.phase, Phase::Idle) {
            self.deadline_us = stage.now.mono_us + limits::HTTP_IDLE_US;
        }
    }

    /// The exchange cannot go on, and its answer may have begun: with HTTP/1 that is the end of the
    /// connection, with HTTP/2 of the stream.
    pub(super) fn cut(&mut self, fault: Option<Fault>, stage: &mut Stage<'_>) {
        if !self.link.is_many() {
            return self.close(fault, stage);
        }
        self.abandon(fault, stage);
        self.phase = Phase::Idle;
        let code = match fault.map(|fault| fault.kind) {
            None => Code::None,
            Some(FaultKind::Malformed(_)) => Code::Protocol,
            Some(FaultKind::Limit(_) | FaultKind::Killed | FaultKind::Login(_)) => Code::Cancel,
            Some(_) => Code::Internal,
        };
        self.link.frames(None, |streams| streams.reset(code));
    }

    /// Cuts all exchanges of one tenure.
    pub(super) fn cut_lanes(&mut self, tenure: usize, fault: Fault, stage: &mut Stage<'_>) {
        for _ in 0..self.lanes.len() {
            if self.turn_to(|lane| lane.current == tenure) {
                self.cut(Some(fault), stage);
                self.rest(stage);
            }
        }
        self.link.flush();
    }

    /// The answer is with the client, and what it still sends is not read.
    pub(super) fn leave(&mut self, stage: &mut Stage<'_>) {
        match self.link.is_many() {
            true => self.next_request(stage),
            false => self.close(None, stage),
        }
    }

    /// The client sends no more: what it has not said all of ends.
    pub(super) fn cut_unsaid(&mut self, stage: &mut Stage<'_>) {
        for _ in 0..self.lanes.len() {
            let unsaid = |lane: &Lane| {
                !lane.turn.ended && matches!(lane.phase, Phase::Busy(_) | Phase::Tunnel(_))
            };
            if self.turn_to(unsaid) {
                self.cut(Some(Fault::new(Side::Client, FaultKind::Terminate)), stage);
                self.rest(stage);
            }
        }
    }

    /// Whether a target has taken what its client gets credit for.
    pub(super) fn owes_credit(&self) -> bool {
        matches!(self.link.front, Front::Many(_)) && self.lanes.iter().any(Lane::is_owed)
    }

    /// The client gets credit for what its targets have taken.
    pub(super) fn give_credit(&mut self) {
        let Front::Many(streams) = &mut self.link.front else { return };
        for lane in &mut self.lanes {
            if lane.is_owed() {
                let owed = std::mem::take(&mut lane.turn.owed);
                streams.connection.credit(lane.turn.id, owed);
            }
        }
        self.link.flush();
    }

    /// A number for a leg that no exchange has.
    pub(super) fn take_leg(&mut self) -> LegId {
        loop {
            let id = self.link.take_leg();
            if !self.lanes.iter().any(|lane| lane.back().is_some_and(|back| back.id == id)) {
                return id;
            }
        }
    }

    /// weir ends: the client is told, and what it has begun until it knows is served.
    pub(super) fn drain_many(&mut self, stage: &mut Stage<'_>) {
        if let Some(streams) = self.link.streams() {
            streams.connection.drain();
            streams.deadline_us = stage.now.mono_us + limits::H2_LAST_CALL_US;
        }
        self.link.flush();
    }

    pub(super) fn maybe_drained(&mut self, stage: &mut Stage<'_>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let is_over = self.link.streams().is_some_and(|streams| streams.connection.is_over());
        if is_over && self.lanes.is_empty() {
            let drained = Fault::new(Side::Client, FaultKind::Drain);
            return self.close(self.draining.then_some(drained), stage);
        }
        if self.link.ended && self.link.is_many() && self.lanes.is_empty() {
            self.close(Some(Fault::new(Side::Client, FaultKind::Terminate)), stage);
        }
    }

    /// When the next of them is overdue.
    pub(super) fn many_timeout(&self, streams: &Streams) -> u64 {
        let idles = self.lanes.is_empty() || self.draining;
        let own = if idles { streams.deadline_us } else { u64::MAX };
        let own = own.min(streams.head_overdue_us());
        self.lanes.iter().map(Lane::next_timeout).fold(own, u64::min)
    }

    /// The time of some is over.
    pub(super) fn many_overdue(&mut self, stage: &mut Stage<'_>) {
        let now_us = stage.now.mono_us;
        if self.link.streams().is_some_and(|streams| streams.head_overdue_us() <= now_us) {
            let kind = FaultKind::Limit(Limit::LoginTime);
            return self.close(Some(Fault::new(Side::Client, kind)), stage);
        }
        // Whoever is overdue ends, or gets another deadline.
        for _ in 0..self.lanes.len() {
            if self.turn_to(|lane| lane.next_timeout() <= now_us) {
                match &self.phase {
                    Phase::Busy(_) => self.exchange_overdue(stage),
                    _ => self.cut(None, stage),
                }
                self.rest(stage);
            }
        }
        let Some(streams) = self.link.streams() else { return };
        if streams.deadline_us > now_us || (!self.draining && !self.lanes.is_empty()) {
            return;
        }
        streams.deadline_us = u64::MAX;
        streams.connection.drain();
        streams.connection.last_call();
        self.link.flush();
        self.maybe_drained(stage);
    }

    /// Ends all of them, because the connection does.
    pub(super) fn abandon_many(&mut self, fault: Option<Fault>, stage: &mut Stage<'_>) {
        while let Some(lane) = self.lanes.pop() {
            if let Some(streams) = self.link.streams() {
                streams.turn = Turn::default();
            }
            self.install(lane);
            self.abandon(fault, stage);
        }
        if let Some(streams) = self.link.streams() {
            streams.connection.drain();
            streams.connection.last_call();
        }
        self.link.flush();
    }
}
