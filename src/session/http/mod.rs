//! HTTP with a client, of either version, and with the targets that its requests name.
//!
//! In: events of the client's connection and of legs. Out: bytes in outboxes, outputs.
//! Never: a request that goes on without an identity, a permit and a receipt; an answer that ends
//! at the client before its row.
//!
//! ```text
//!   link       the client's connection          tenure    identity x target: a row of `sessions`
//!   front      how its version hears answers    streams   what is said on streams of HTTP/2
//!   lanes      many exchanges, one at a time    flow      what waits for windows
//!   two        a target that speaks HTTP/2
//!   identity   who sends a request              kept      content in the record
//!   exchange   a request and its answer         back      a connection to a target
//!   hello      a client that should speak TLS  foreign   pages of another origin
//!   gate       verdict, permit, hold            voice     what clients are told
//!   rows       what rows of a request say
//!   up         the request on its way           down      the answer on its way
//!   tunnel     a WebSocket on both ways         text      a request as its row shows it
//!   kubernetes what a target that is an apiserver has on top
//!   masked     an answer under masks            listed    tools that are offered
//!   rpc        a request of MCP                 moved     fields with the target's own name
//!   bound      sessions of MCP, and whose they are   progress   clients of MCP while they wait
//!   cancel     calls of MCP that their clients take back   ended  clients that send no more
//!   parked     asked about, and nobody waits        veil      the target's credential in answers
//!   pace       clients that send content slowly     anew   what is open over a reload
//! ```
//!
//! ```text
//!   Idle --head--> Busy --answer over--> Idle (keep-alive)     Busy --101--> Tunnel --> Closed
//!     |             | refused, content to come --> Dropping --> Idle
//!     '-------------'--- cannot go on ------------------------------------------------> Closed
//! ```

mod anew;
mod back;
mod bound;
mod cancel;
mod down;
mod ended;
mod exchange;
mod flow;
mod foreign;
mod front;
mod gate;
mod hello;
mod identity;
mod kept;
mod kubernetes;
mod lanes;
mod link;
mod listed;
mod masked;
mod metadata;
mod moved;
mod pace;
mod parked;
mod progress;
mod release;
mod rows;
mod rpc;
mod streams;
mod tenure;
mod text;
mod tunnel;
mod two;
mod up;
mod veil;
mod voice;

use std::rc::Rc;
use std::sync::Arc;

use crate::config::settings::Durability;
use crate::fault::{Fault, FaultKind};
use crate::forward::Outbox;
use crate::limits;
use crate::metrics::TargetMeter;
use crate::record::SessionId;
use crate::session::{Accepted, After, Driven, Event, Output, SessionSummary, Stage};
use crate::wire::http::h1::read::Kind;
use crate::wire::http::h1::{Body, HeadReader};
use crate::wire::http::head::Head;
use crate::wire::{End, LegId, Side};

use exchange::{Exchange, Up};
use front::Front;
use hello::Hello;
use identity::Proven;
use lanes::Lane;
use link::Link;
use tenure::{Tenure, Tenures, Trouble};
use tunnel::Tunnel;

pub use parked::{abandon_parked, vote_parked};
pub use voice::turned_away;

/// One connection of a client that speaks HTTP.
#[derive(Debug)]
pub struct Session {
    link: Link,
    reader: HeadReader,
    /// The head that is being read.
    head: Head,
    proven: Proven,
    tenures: Tenures,
    /// Exchanges of HTTP/2 that wait for their turn. What stands below is of the one that has it.
    lanes: Vec<Lane>,
    /// Whose the exchange under way is, or the last one was.
    current: usize,
    phase: Phase,
    /// When something must have happened, monotonic microseconds.
    deadline_us: u64,
    /// When a client that sends no more is asked whether it is there, monotonic microseconds.
    ask_us: u64,
    draining: bool,
}

#[derive(Debug)]
enum Phase {
    /// TLS first.
    Handshake(Hello),
    /// A head is read.
    Idle,
    /// A request is on its way, or its answer.
    Busy(Box<Exchange>),
    /// Content of a request that was answered already is dropped, so many bytes at most.
    Dropping { body: Body, trailers: Head, left: usize },
    /// Messages of a WebSocket pass.
    Tunnel(Box<Tunnel>),
    /// Nothing more is read.
    Closed,
}

impl Session {
    /// A connection that was just accepted.
    pub fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Session {
        let speaks_tls = accepted.tls_available;
        let link = Link::new(accepted, stage);
        let phase = match speaks_tls {
            true => Phase::Handshake(Hello::Silent),
            false => Phase::Idle,
        };
        Session {
            link,
            reader: HeadReader::default(),
            head: Head::default(),
            proven: Proven::default(),
            tenures: Tenures::default(),
            lanes: Vec::new(),
            current: 0,
            phase,
            deadline_us: stage.now.mono_us + limits::HTTP_HEAD_US,
            ask_us: u64::MAX,
            draining: false,
        }
    }

    fn client_bytes(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        if matches!(self.phase, Phase::Handshake(_)) {
            let hello = self.first_words(bytes, stage);
            if hello == Hello::Shaking {
                self.phase = Phase::Handshake(hello);
            }
            return;
        }
        self.link.received += bytes.len() as u64;
        match self.link.front {
            Front::One => self.take_in(bytes, stage),
            Front::Many(_) => self.receive(bytes, stage),
            Front::Unsaid => self.first_bytes(bytes, stage),
        }
    }

    /// The client has not said which version it speaks.
    fn first_bytes(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        self.link.backlog.extend_from_slice(bytes);
        let Some(is_many) = Front::hear(&self.link.backlog) else { return };
        if !is_many {
            self.link.front = Front::One;
            return self.resume(stage);
        }
        let first = std::mem::take(&mut self.link.backlog);
        self.become_many(stage);
        self.receive(&first, stage);
    }

    /// Bytes of HTTP/1, or content of the exchange that has its turn.
    fn take_in(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        if self.link.backlog.is_empty() {
            return self.run(bytes, stage);
        }
        self.link.backlog.extend_from_slice(bytes);
        self.resume(stage);
    }

    /// Goes on with what the client sent before.
    fn resume(&mut self, stage: &mut Stage<'_>) {
        let backlog = std::mem::take(&mut self.link.backlog);
        self.run(&backlog, stage);
    }

    fn run(&mut self, bytes: &[u8], stage: &mut Stage<'_>) {
        let mut input = bytes;
        while self.step(&mut input, stage) {}
        self.link.backlog.extend_from_slice(input);
        self.link.taken(bytes.len() - input.len());
        if self.link.ended {
            self.client_ended(stage);
        }
    }

    /// One step with bytes of the client; false if nothing more can be done with them now.
    fn step(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        match &mut self.phase {
            Phase::Handshake(_) => false,
            Phase::Idle if self.link.is_many() => {
                *input = &[];
                false
            }
            Phase::Idle => self.read_head(input, stage),
            Phase::Busy(_) => self.read_content(input, stage),
            Phase::Dropping { .. } => self.drop_content(input, stage),
            Phase::Tunnel(_) => self.client_frames(input, stage),
            Phase::Closed => {
                *input = &[];
                false
            }
        }
    }

    fn read_head(&mut self, input: &mut &[u8], stage: &mut Stage<'_>) -> bool {
        if self.link.closing || (self.draining && !self.reader.has_begun()) {
            self.close(None, stage);
            return true;
        }
        if input.is_empty() {
            return false;
        }
        let was_empty = self.reader.is_empty();
        match self.reader.next(input, &mut self.head, Kind::Request) {
            Ok(true) => {
                let head = std::mem::take(&mut self.head);
                self.begin(head, stage);
                true
            }
            Ok(false) => {
                if was_empty && !self.reader.is_empty() {
                    self.deadline_us = stage.now.mono_us + limits::HTTP_HEAD_US;
                }
                false
            }
            Err(refused) => {
                self.turn_away(Trouble::Refused(refused), None, stage);
                true
            }
        }
    }

    /// Behind an answer: the next request, or the end.
    fn next_request(&mut self, stage: &mut Stage<'_>) {
        self.phase = Phase::Idle;
        self.deadline_us = stage.now.mono_us + limits::HTTP_IDLE_US;
        if !self.link.is_many() && (self.link.closing || self.draining) {
            self.close(None, stage);
        }
    }

    /// Ends the connection: what is under way is recorded.
    fn close(&mut self, fault: Option<Fault>, stage: &mut Stage<'_>) {
        self.abandon(fault, stage);
        self.abandon_many(fault, stage);
        self.phase = Phase::Closed;
        self.count_bytes();
        let reason = fault.map_or("client-terminate", |fault| fault.label());
        for tenure in self.tenures.take() {
            tenure.end(reason, stage);
        }
        self.link.close(stage);
        self.link.output(Output::Close(fault));
    }

    fn count_bytes(&mut self) {
        let received = std::mem::take(&mut self.link.received);
        let sent = std::mem::take(&mut self.link.sent);
        if let Some(tenure) = self.tenures.get_mut(self.current) {
            tenure.count_bytes(received, sent);
        }
    }

    fn timeout(&mut self, stage: &mut Stage<'_>) {
        if stage.now.mono_us < self.next_timeout().unwrap_or(u64::MAX) {
            return;
        }
        self.ask_whether_there(stage);
        if self.link.is_many() {
            return self.many_overdue(stage);
        }
        if stage.now.mono_us < self.next_timeout().unwrap_or(u64::MAX) {
            return;
        }
        match &self.phase {
            Phase::Busy(_) => self.exchange_overdue(stage),
            Phase::Idle if self.reader.is_empty() => self.close(None, stage),
            Phase::Idle => self.head_overdue(stage),
            Phase::Tunnel(_) => self.tunnel_overdue(stage),
            Phase::Handshake(_) => {
                let kind = FaultKind::Limit(crate::fault::Limit::LoginTime);
                self.not_shaken(Fault::new(Side::Client, kind), stage);
            }
            Phase::Dropping { .. } => {
                let kind = FaultKind::Limit(crate::fault::Limit::LoginTime);
                self.close(Some(Fault::new(Side::Client, kind)), stage);
            }
            Phase::Closed => {}
        }
    }

    /// The leg of this number, if the exchange under way has it.
    fn back(&mut self, id: LegId) -> Option<&mut back::Back> {
        self.phase.back_mut().filter(|back| back.id == id)
    }

    /// The leg of this number, whoever has it.
    fn any_back(&self, id: LegId) -> Option<&back::Back> {
        let backs = self.phase.back().into_iter().chain(self.lanes.iter().filter_map(Lane::back));
        backs.into_iter().find(|back| back.id == id)
    }

    /// Gives the leg of the exchange back.
    fn release(&mut self, after: impl FnOnce(back::Back) -> After) {
        let back = match &mut self.phase {
            Phase::Busy(exchange) => exchange.back.take(),
            Phase::Tunnel(tunnel) => tunnel.exchange.back.take(),
            _ => None,
        };
        if let Some(back) = back {
            let id = back.id;
            self.link.output(Output::Release(id, after(back)));
        }
    }

    fn snapshot_changed(&mut self, stage: &mut Stage<'_>) {
        self.end_revoked(stage);
        self.judge_anew(stage);
        // Tenures of older settings end when nothing of theirs is under way.
        if !matches!(self.phase, Phase::Idle | Phase::Handshake(_)) {
            return;
        }
        let settings = &stage.snapshot.settings;
        let is_busy = |index: usize| self.lanes.iter().any(|lane| lane.current == index);
        let is_old = |index: usize, tenure: &Tenure| {
            !Arc::ptr_eq(&tenure.snapshot.settings, settings) && !is_busy(index)
        };
        for tenure in self.tenures.extract(is_old) {
            tenure.end("reload", stage);
        }
    }

    /// Whoever lives from an API token that is over: what is under way is cut, the tenure ends.
    fn end_revoked(&mut self, stage: &mut Stage<'_>) {
        let (snapshot, now) = (Rc::clone(stage.snapshot), stage.now);
        let over = self.tenures.places(|tenure| snapshot.ends(&tenure.identity, now));
        for (index, fault) in &over {
            if self.link.is_many() {
                self.cut_lanes(*index, *fault, stage);
            } else if *index == self.current && !matches!(self.phase, Phase::Idle) {
                let why = "weir: the token of this session is over";
                self.farewell(why, (1008, "the token is over"), stage);
                return self.close(Some(*fault), stage);
            }
        }
        let is_busy = |index: usize| self.lanes.iter().any(|lane| lane.current == index);
        let is_over = |index: usize, _: &Tenure| {
            over.iter().any(|(place, _)| *place == index) && !is_busy(index)
        };
        for tenure in self.tenures.extract(is_over) {
            tenure.end("token-revoked", stage);
        }
    }

    /// One event, which is about the exchange that has its turn, or about none.
    fn on(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        match event {
            Event::Bytes(End::Client, bytes) => self.client_bytes(bytes, stage),
            Event::Bytes(End::Target(id), bytes) => self.leg_bytes(id, bytes, stage),
            Event::Eof(End::Client) | Event::Broken(End::Client, _)
                if matches!(self.phase, Phase::Handshake(Hello::Silent)) =>
            {
                // Whoever looks whether the port is open, and says nothing.
                self.close(Some(Fault::new(Side::Client, FaultKind::Terminate)), stage);
            }
            Event::Eof(End::Client) if matches!(self.phase, Phase::Handshake(_)) => {
                self.not_shaken(Fault::new(Side::Client, FaultKind::Terminate), stage);
            }
            Event::Broken(End::Client, fault) if matches!(self.phase, Phase::Handshake(_)) => {
                self.not_shaken(fault, stage);
            }
            Event::Eof(End::Client) => self.client_says_no_more(stage),
            Event::Eof(End::Target(id)) => self.leg_ended(id, stage),
            Event::Tls(End::Client, facts) => {
                let is_many = facts.alpn.as_deref() == Some(b"h2");
                self.link.tls = Some(facts);
                if is_many {
                    return self.become_many(stage);
                }
                self.link.front = Front::One;
                self.phase = Phase::Idle;
                self.deadline_us = stage.now.mono_us + limits::HTTP_IDLE_US;
                self.resume(stage);
            }
            Event::Tls(End::Target(id), facts) => self.leg_agreed(id, &facts, stage),
            Event::Broken(End::Client, fault) => self.close(Some(fault), stage),
            Event::Broken(End::Target(id), fault) => self.leg_broken(id, fault, stage),
            Event::Leg(id, result) => self.leg_leased(id, result, stage),
            Event::Timeout => self.timeout(stage),
            Event::Panic => {
                self.close(Some(Fault::new(Side::Client, FaultKind::Internal)), stage);
            }
            Event::Snapshot => self.snapshot_changed(stage),
            Event::Vote(id, vote, reply) => *reply = self.vote(id, vote, stage),
            Event::Signal => {}
            Event::Kill(id) => self.kill(id, stage),
            Event::Drain { at_once } => self.drain(at_once, stage),
        }
    }

    /// Ends one session of the connection, or the connection, if there is no other one.
    fn kill(&mut self, id: SessionId, stage: &mut Stage<'_>) {
        let fault = Fault::new(Side::Client, FaultKind::Killed);
        let idles = matches!(self.phase, Phase::Idle) && !self.link.is_many();
        let found = self.tenures.find(|tenure| tenure.ledger.id == id);
        let found = found.filter(|_| self.tenures.iter().count() > 1);
        match found {
            Some(index) if self.link.is_many() => self.cut_lanes(index, fault, stage),
            Some(index) if index != self.current || idles => {}
            _ => {
                self.farewell("weir: this session was ended", (1001, "ended by weir"), stage);
                return self.close(Some(fault), stage);
            }
        }
        for tenure in self.tenures.extract(|place, _| Some(place) == found) {
            tenure.end("killed", stage);
        }
    }

    /// weir ends.
    fn drain(&mut self, at_once: bool, stage: &mut Stage<'_>) {
        self.draining = true;
        let idles = matches!(self.phase, Phase::Idle) && !self.reader.has_begun();
        // A chat never ends by itself; a command in a container may, and has until the deadline.
        let chats =
            matches!(&self.phase, Phase::Tunnel(tunnel) if tunnel.exchange.streams.is_none());
        if at_once || chats || (idles && !self.link.is_many()) {
            let why = "weir: the gateway is shutting down";
            self.farewell(why, (1001, "weir is shutting down"), stage);
            return self.close(Some(Fault::new(Side::Client, FaultKind::Drain)), stage);
        }
        self.drain_many(stage);
    }
}

impl Phase {
    /// The connection to a target of what is under way.
    fn back(&self) -> Option<&back::Back> {
        match self {
            Phase::Busy(exchange) => exchange.back.as_ref(),
            Phase::Tunnel(tunnel) => tunnel.exchange.back.as_ref(),
            _ => None,
        }
    }

    /// The same, to be changed.
    fn back_mut(&mut self) -> Option<&mut back::Back> {
        match self {
            Phase::Busy(exchange) => exchange.back.as_mut(),
            Phase::Tunnel(tunnel) => tunnel.exchange.back.as_mut(),
            _ => None,
        }
    }

    /// When something must have happened, if an exchange says so.
    fn deadline_us(&self) -> Option<u64> {
        match self {
            Phase::Busy(exchange) => Some(exchange.deadline_us),
            Phase::Tunnel(tunnel) => Some(tunnel.exchange.deadline_us),
            _ => None,
        }
    }
}

impl Session {
    /// What people see of one session of the connection, as if nothing of it were under way.
    fn summary_of(&self, tenure: &Tenure) -> SessionSummary {
        SessionSummary {
            session_id: tenure.ledger.id,
            user: tenure.identity.user.clone(),
            target: tenure.target_name.clone(),
            role: tenure.credential.role.clone(),
            client_addr: self.link.accepted.client_addr.to_string(),
            state: "idle",
            started_us: self.link.started.wall_us,
            commands: tenure.totals.commands,
        }
    }
}

impl Driven for Session {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        let End::Target(id) = end else { return Some(&mut self.link.client) };
        let lanes = self.lanes.iter_mut().filter_map(Lane::back_mut);
        let mut backs = self.phase.back_mut().into_iter().chain(lanes);
        backs.find(|back| back.id == id).map(|back| &mut back.outbox)
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        match end {
            End::Client => Some(&self.link.client),
            End::Target(id) => self.any_back(id).map(|back| &back.outbox),
        }
    }

    fn handle(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        if matches!(self.phase, Phase::Closed) {
            if matches!(event, Event::Panic) {
                // The call that panicked had taken the phase out of its place.
                let fault = Fault::new(Side::Client, FaultKind::Internal);
                self.link.output(Output::Close(Some(fault)));
            }
            return;
        }
        self.take_turn(&event);
        self.on(event, stage);
        self.rest(stage);
        self.maybe_drained(stage);
        self.count_bytes();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.give_credit();
        self.link.poll_output()
    }

    fn next_timeout(&self) -> Option<u64> {
        match (&self.phase, &self.link.front) {
            (Phase::Closed, _) => None,
            (_, Front::Many(streams)) => Some(self.many_timeout(streams).min(self.ask_us)),
            (phase, _) => Some(phase.deadline_us().unwrap_or(self.deadline_us).min(self.ask_us)),
        }
    }

    fn wants(&self, end: End) -> bool {
        if matches!(self.phase, Phase::Closed) {
            return false;
        }
        match end {
            // What a stream may send is bounded by its window.
            End::Client if self.link.is_many() => self.link.has_room() && !self.link.ended,
            End::Client => {
                let is_full = |back: &back::Back| back.waiting() >= limits::OUTBOX_BYTES_MAX;
                let back = self.phase.back();
                self.link.wants() && self.link.has_room() && !back.is_some_and(is_full)
            }
            End::Target(id) => {
                let mine = |lane: &&Lane| lane.back().is_some_and(|back| back.id == id);
                let has_room = match self.lanes.iter().find(mine) {
                    Some(lane) => lane.has_room(),
                    None => self.phase.back().is_some_and(|back| back.id == id),
                };
                has_room && self.link.has_room()
            }
        }
    }

    fn divides(&self) -> bool {
        self.link.is_many()
    }

    fn owes_room(&self) -> bool {
        self.owes_credit()
    }

    fn records(&self, end: End) -> bool {
        match end {
            // What is refused is not sent to a target.
            End::Target(_) => true,
            // Its streams share one connection: those that have something new to say wait, too.
            End::Client if self.link.is_many() => self.lanes.iter().any(Lane::takes_in),
            End::Client => matches!(self.phase, Phase::Busy(_) | Phase::Tunnel(_)),
        }
    }

    fn durability(&self) -> Durability {
        if self.link.is_many() && self.tenures.iter().any(|it| it.durability == Durability::Sync) {
            return Durability::Sync;
        }
        self.tenures.get(self.current).map_or(Durability::Write, |tenure| tenure.durability)
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    fn meter(&self) -> Option<&TargetMeter> {
        self.tenures.get(self.current).map(|tenure| tenure.meter().as_ref())
    }

    fn summaries(&self, stage: &Stage<'_>) -> Vec<SessionSummary> {
        let places = self.tenures.places(|tenure| Some(self.summary_of(tenure)));
        if places.is_empty() {
            return self.summary(stage).into_iter().collect();
        }
        let state = |place: usize| {
            let mut lanes = self.lanes.iter().filter(|lane| lane.current == place).peekable();
            let works = place == self.current && !self.link.is_many();
            match &self.phase {
                Phase::Closed => "closing",
                Phase::Busy(exchange) if works && matches!(exchange.up, Up::Held(_)) => "held",
                Phase::Busy(_) | Phase::Tunnel(_) if works => "active",
                _ if lanes.peek().is_none() => "idle",
                _ if lanes.any(Lane::is_held) => "held",
                _ => "active",
            }
        };
        let each = places.into_iter();
        each.map(|(place, summary)| SessionSummary { state: state(place), ..summary }).collect()
    }

    fn summary(&self, _stage: &Stage<'_>) -> Option<SessionSummary> {
        let tenure = self.tenures.get(self.current);
        let state = match &self.phase {
            Phase::Busy(exchange) if matches!(exchange.up, Up::Held(_)) => "held",
            Phase::Busy(_) | Phase::Tunnel(_) => "active",
            Phase::Closed => "closing",
            _ if self.lanes.iter().any(Lane::is_held) => "held",
            _ if !self.lanes.is_empty() => "active",
            _ if tenure.is_none() => "login",
            _ => "idle",
        };
        let nobody = || SessionSummary {
            session_id: self.link.accepted.session_id,
            user: String::new(),
            target: String::new(),
            role: String::new(),
            client_addr: self.link.accepted.client_addr.to_string(),
            state,
            started_us: self.link.started.wall_us,
            commands: 0,
        };
        let of = |tenure| SessionSummary { state, ..self.summary_of(tenure) };
        Some(tenure.map_or_else(nobody, of))
    }
}

#[cfg(test)]
mod tests;
