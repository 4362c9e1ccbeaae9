//! The shard loop: completions to machines, outputs to the ring, one system call per turn.
//!
//! In: completions, messages, time. Out: operations, messages.
//! Never: a lock, a wait other than the one of `run`, work for a session that is not its own.
//!
//! ```text
//!   turn:  collect completions -> machines -> outputs -> sends and receives -> submit
//!   wait:  look a moment -> sleep in the ring until something happens or is due
//! ```

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use super::abroad::Abroad;
use super::clock::{self, Clock};
use super::counters::Counters;
use super::drive::{Driver, WatchOrder};
use super::errand::Party;
use super::flush::Flushes;
use super::idle::Idle;
use super::journal::ShardJournal;
use super::leg::Sent;
use super::mailbox::{Letters, Peer, Reports};
use super::outage::Outages;
use super::park::Spin;
use super::pool::Pool;
use super::refusal::ShutOut;
use super::ring::{Completion, Done, Readable, Ring, Token};
use super::slab::Slab;
use super::strain::{Strain, Strains};
use super::timer::Timers;
use super::tls::TlsConfigs;
use crate::accept::door::Door;
use crate::accept::socket;
use crate::clock::Now;
use crate::config::settings::Durability;
use crate::decide::Classifier;
use crate::decide::approval::Denials;
use crate::identify::scram::SaltedCache;
use crate::metrics::Meters;
use crate::record::{Lsn, SessionId, spool};
use crate::session::{Driven as _, Room, Snapshot, Stage};
use crate::wire::{End, Protocol};

/// The journal is told the time this often while something happens.
const TICK_US: u64 = 1_000_000;
/// Reports that the control thread had no room for are sent again after so long.
const REPORT_AGAIN_US: u64 = 10_000;
/// How often a shard without room in its journal looks for some.
const READ_AGAIN_US: u64 = 2_000;
/// How often a shard that ends looks whether the kernel is done.
const LEAVE_US: u64 = 5_000;

/// Read from one connection in one turn at most, so that none keeps the others waiting.
const INBOX_BYTES: usize = 64 << 10;

/// What machines are lent.
pub(super) struct Tools<J> {
    pub snapshot: Rc<Snapshot>,
    pub classifier: Classifier,
    pub salted: SaltedCache,
    pub journal: J,
    pub random: fn(&mut [u8]),
    pub room: Room,
    pub meters: Arc<Meters>,
}

impl<J: ShardJournal> Tools<J> {
    pub fn stage<'a>(&'a mut self, now: Now) -> Stage<'a> {
        Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.journal,
            random: &mut self.random,
            room: &self.room,
            meters: &self.meters,
            now,
        }
    }

    /// The last record that counts as written.
    fn safe(&self, durability: Durability) -> Lsn {
        match durability {
            Durability::Write => self.journal.written(),
            Durability::Sync => self.journal.durable(),
        }
    }
}

/// Whether new clients are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// The ring accepts.
    Armed,
    /// Not before this time: descriptors are short.
    Paused { until_us: u64 },
    /// No more.
    Stopped,
}

/// The end of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    No,
    /// Sessions end when they are idle.
    Until {
        deadline_us: u64,
    },
    /// They have been told to end at once; what is left then is cut off.
    Last {
        cut_us: u64,
    },
    Done,
}

/// Where clients of one listener come in.
pub(super) struct Doorway {
    pub listener: Option<TcpListener>,
    pub accepting: Accepting,
    pub protocol: Protocol,
    /// Where clients wait that have not proven who they are; all shards share it.
    pub door: Arc<Door>,
}

/// What a core is made of.
pub(super) struct Parts<J> {
    pub shard: usize,
    pub snapshot: Rc<Snapshot>,
    pub journal: J,
    pub tls: Arc<TlsConfigs>,
    pub doorways: Vec<Doorway>,
    pub letters: Letters,
    pub reports: Reports,
    pub counters: Arc<Counters>,
    pub peers: Arc<[Peer]>,
    pub denied: Arc<Denials>,
    pub meters: Arc<Meters>,
    pub sessions_max: usize,
}

/// One shard.
pub(super) struct Core<J: ShardJournal> {
    pub shard: usize,
    pub ring: Ring,
    pub sessions: Slab<Box<Driver>>,
    pub timers: Timers,
    pub pool: Pool,
    pub tools: Tools<J>,
    pub tls: Arc<TlsConfigs>,
    pub letters: Letters,
    pub reports: Reports,
    /// By the index of the listener in the settings.
    pub doorways: Vec<Doorway>,
    pub drain: Drain,
    pub counters: Arc<Counters>,
    /// All shards, by index.
    pub peers: Arc<[Peer]>,
    pub sessions_max: usize,
    pub turned_away: usize,
    pub shut_out: ShutOut,
    /// Sessions by the names that they may be asked by to stop.
    pub names: HashMap<Vec<u8>, Token>,
    /// Connections to targets that no session has now.
    pub idle: Idle,
    /// Targets that cannot be connected to.
    pub outages: Outages,
    /// Sessions by the approval they wait for.
    pub asks: HashMap<SessionId, Token>,
    /// Sessions to settle in this turn.
    dirty: Vec<Token>,
    clock: Clock,
    pub now: Now,
    scratch: Vec<u8>,
    /// Where every receive goes: the machines take all of it before the next one.
    inbox: Box<[u8]>,
    /// Connections to read in the next turn.
    readable: Vec<(Token, End)>,
    /// Connections to read once the journal has room for what they say.
    put_off: Vec<(Token, End)>,
    /// What was too little, and told.
    pub strains: Strains,
    completions: Vec<Completion>,
    /// What is being sent; empty between turns.
    pieces: Vec<(Token, End)>,
    /// What became of it; empty between turns.
    sent: Vec<io::Result<usize>>,
    /// Sessions with bytes that wait for the disk.
    awaiting_disk: Vec<Token>,
    job: Option<J::Job>,
    flushes: Flushes,
    pub(super) abroad: Abroad,
    ticked_us: u64,
    spin: Spin,
    /// The turn before the last sleep in the ring, if that was the last thing.
    slept_us: Option<u64>,
    /// When the ring's alarm rings, monotonic microseconds.
    alarm_us: Option<u64>,
}

impl<J: ShardJournal> Core<J> {
    pub fn new(parts: Parts<J>) -> io::Result<Core<J>> {
        let mut ring = Ring::new()?;
        let flushes = Flushes::new(parts.journal.flush_us());
        ring.wake(parts.letters.eventfd());
        for (index, doorway) in parts.doorways.iter().enumerate() {
            if let Some(listener) = &doorway.listener {
                ring.accept(index, listener.as_fd());
            }
        }
        Ok(Core {
            shard: parts.shard,
            ring,
            sessions: Slab::default(),
            timers: Timers::default(),
            pool: Pool::default(),
            tools: Tools {
                snapshot: parts.snapshot,
                classifier: Classifier::new(),
                salted: SaltedCache::default(),
                journal: parts.journal,
                random: fill_random,
                room: Room::sharing(parts.denied),
                meters: parts.meters,
            },
            tls: parts.tls,
            letters: parts.letters,
            reports: parts.reports,
            doorways: parts.doorways,
            drain: Drain::No,
            counters: parts.counters,
            peers: parts.peers,
            sessions_max: parts.sessions_max,
            turned_away: 0,
            shut_out: ShutOut::default(),
            names: HashMap::new(),
            idle: Idle::default(),
            outages: Outages::default(),
            asks: HashMap::new(),
            dirty: Vec::new(),
            clock: Clock::default(),
            now: clock::now(),
            scratch: Vec::new(),
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            readable: Vec::new(),
            put_off: Vec::new(),
            strains: Strains::default(),
            completions: Vec::new(),
            pieces: Vec::new(),
            sent: Vec::new(),
            awaiting_disk: Vec::new(),
            job: None,
            flushes,
            abroad: Abroad::default(),
            ticked_us: 0,
            spin: Spin::default(),
            slept_us: None,
            alarm_us: None,
        })
    }

    /// The loop. Ends when the shard is drained. Nothing else runs on the executor of its thread
    /// (`park`), so it does not yield.
    pub fn run(mut self) -> io::Result<()> {
        self.tools.journal.begin(clock::now());
        while self.drain != Drain::Done {
            self.turn()?;
            self.wait()?;
        }
        self.leave()
    }

    fn turn(&mut self) -> io::Result<()> {
        self.now = self.clock.now();
        if let Some(slept_us) = self.slept_us.take() {
            self.spin.slept(self.now.mono_us.saturating_sub(slept_us));
        }
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.collect(&mut completions);
        for completion in completions.drain(..) {
            self.dispatch(completion);
        }
        self.completions = completions;
        self.read_all();
        self.run_timers();
        self.settle_all()?;
        self.keep_journal();
        self.keep_accepting();
        self.keep_draining()?;
        if self.reports.is_behind() {
            self.reports.retry();
        }
        self.counters.turns.add(1);
        Ok(())
    }

    fn dispatch(&mut self, completion: Completion) {
        let Completion { token, done } = completion;
        match done {
            Done::Readable(end, result) => self.readable(token, end, result),
            Done::Room(end) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.room(end, self.now.mono_us);
                    self.touch(token);
                }
            }
            Done::Connected(end, result) => self.connected(token, end, result),
            Done::Accepted { listener, socket, armed } => {
                self.accepted(listener, socket.map(TcpStream::from), armed);
            }
            Done::Woken(result) => self.woken(result),
            Done::Synced(result) => self.synced(result),
            Done::Canceled => {}
            Done::Alarm => self.alarm_us = None,
        }
    }

    fn readable(&mut self, token: Token, end: End, result: io::Result<Readable>) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        match result {
            // The usual case: nothing changes but that there is something to read.
            Ok(Readable { armed: true, last, gone: false }) => {
                driver.readable(end, last);
                if driver.next_receive(end) {
                    self.readable.push((token, end));
                }
            }
            Ok(Readable { armed, last, gone }) => {
                if !armed {
                    driver.unwatched(end);
                }
                driver.readable(end, last);
                if gone && driver.has_told_end(end) {
                    // Nothing more will be read that could tell of it.
                    driver.unsent(end, &mut self.tools.stage(self.now));
                }
                self.touch(token);
            }
            Err(error) => {
                driver.unwatched(end);
                if error.raw_os_error() != Some(libc::ECANCELED) {
                    self.ended(token, end, Some(&error));
                }
                self.touch(token);
            }
        }
    }

    /// Reads each connection that was readable before this call once.
    fn read_all(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut readable = std::mem::take(&mut self.readable);
        for (token, end) in readable.drain(..) {
            self.read(token, end, &mut inbox);
        }
        self.inbox = inbox;
        self.read_put_off(&mut readable);
        // What became readable meanwhile waits for its turn.
        readable.append(&mut self.readable);
        self.readable = readable;
    }

    /// Those that were not read and may be read now.
    fn read_put_off(&mut self, readable: &mut Vec<(Token, End)>) {
        if !self.put_off.is_empty() {
            match self.tools.journal.room(self.now) {
                spool::Room::Enough => readable.append(&mut self.put_off),
                spool::Room::Soon => {}
                spool::Room::None => {
                    let sessions = &mut self.sessions;
                    readable.extend(self.put_off.extract_if(.., |(token, end)| {
                        !sessions.get_mut(*token).is_some_and(|it| it.party().records(*end))
                    }));
                }
            }
        }
        self.counters.put_off_now.set(self.put_off.len() as u64);
    }

    fn read(&mut self, token: Token, end: End, inbox: &mut [u8]) {
        let room = self.tools.journal.room(self.now);
        let waits = match room {
            spool::Room::Enough => false,
            spool::Room::Soon => true,
            spool::Room::None => {
                self.sessions.get_mut(token).is_some_and(|driver| driver.party().records(end))
            }
        };
        if waits {
            if room == spool::Room::None {
                self.strained(Strain::Journal);
            }
            self.put_off.push((token, end));
            self.counters.reads_put_off.add(1);
            return;
        }
        let Some(driver) = self.sessions.get_mut(token) else { return };
        let Some(stream) = driver.begin_receive(end) else { return };
        let now_us = self.now.mono_us;
        match socket::receive(stream, inbox) {
            Ok(0) => self.ended(token, end, None),
            Ok(count) => {
                let first = driver.note_received(end, count, count < inbox.len(), now_us);
                self.counters.bytes_received.add(count as u64);
                self.received(token, end, inbox.get_mut(..count).unwrap_or_default(), first);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => {
                driver.note_nothing(end, now_us);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => self.ended(token, end, Some(&e)),
        }
        self.touch(token);
    }

    fn received(&mut self, token: Token, end: End, bytes: &mut [u8], first: bool) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        driver.lend(&mut self.pool);
        // A machine that wants TLS at the very first bytes has left these to TLS.
        let direct = (first && bytes.first() == Some(&TLS_HANDSHAKE)).then_some(end);
        let peer = driver.peer(end).filter(|&peer| driver.lend_input(peer, bytes));
        driver.received(end, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        if let Some(peer) = peer {
            self.pass_on(token, peer, bytes);
        }
        let started = self.outputs(token, direct);
        if started
            && direct.is_some()
            && let Some(driver) = self.sessions.get_mut(token)
        {
            driver.received(end, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        }
    }

    /// Sends what was handed on of `input` from where it is, and keeps what does not leave now.
    fn pass_on(&mut self, token: Token, end: End, input: &[u8]) {
        let Core { sessions, tools, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        let safe = tools.safe(driver.durability());
        let pieces = driver.pieces(end, input, safe);
        if let Some(result) = pieces.map(|(stream, pieces)| socket::send_pieces(stream, &pieces)) {
            self.sent(token, end, result);
        }
        if let Some(driver) = self.sessions.get_mut(token) {
            driver.keep(end, input);
        }
    }

    fn ended(&mut self, token: Token, end: End, error: Option<&io::Error>) {
        if let Some(driver) = self.sessions.get_mut(token) {
            driver.lend(&mut self.pool);
            driver.ended(end, error, &mut self.tools.stage(self.now));
        }
    }

    /// Notes that something of a session may be able to move now.
    pub fn touch(&mut self, token: Token) {
        if let Some(driver) = self.sessions.get_mut(token)
            && !std::mem::replace(&mut driver.touched, true)
        {
            self.dirty.push(token);
        }
    }

    /// Settles all sessions that were touched, once each. At the end of the turn: what all of
    /// them have to say leaves together.
    ///
    /// # Errors
    /// The ring is unusable.
    pub fn settle_all(&mut self) -> io::Result<()> {
        while !self.dirty.is_empty() {
            let mut dirty = std::mem::take(&mut self.dirty);
            for &token in &dirty {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.touched = false;
                }
                self.outputs(token, None);
            }
            self.send_all(&dirty)?;
            for token in dirty.drain(..) {
                self.settle(token);
            }
            if self.dirty.is_empty() {
                self.dirty = dirty;
            }
        }
        Ok(())
    }

    /// Sends what may leave of these sessions: to targets first, so that they work meanwhile.
    fn send_all(&mut self, tokens: &[Token]) -> io::Result<()> {
        let mut pieces = std::mem::take(&mut self.pieces);
        for &token in tokens {
            let ends = self.sessions.get_mut(token).map_or(0, |driver| driver.ends());
            for place in (0..ends).rev() {
                let end = self.sessions.get_mut(token).and_then(|driver| driver.end_at(place));
                pieces.extend(end.map(|end| (token, end)).filter(|&piece| self.prepare(piece)));
            }
        }
        while !pieces.is_empty() {
            let Core { sessions, ring, sent, .. } = self;
            let mut ready = pieces.iter().map(|&(token, end)| {
                let driver = sessions.get(token).expect("it was made ready");
                driver.piece(end).expect("it was made ready")
            });
            // A single piece is cheaper in a call of its own.
            match (pieces.len(), ready.next()) {
                (1, Some((stream, bytes))) => sent.push(socket::send(stream, bytes)),
                (_, first) => ring.send_all(first.into_iter().chain(ready), sent)?,
            }
            let mut sent = std::mem::take(&mut self.sent);
            let mut results = sent.drain(..);
            pieces.retain(|&(token, end)| {
                let result = results.next().expect("a result for each piece");
                self.sent(token, end, result) == Sent::More && self.prepare((token, end))
            });
            drop(results);
            self.sent = sent;
        }
        self.pieces = pieces;
        Ok(())
    }

    fn prepare(&mut self, (token, end): (Token, End)) -> bool {
        let Core { sessions, pool, tools, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return false };
        let safe = tools.safe(driver.durability());
        driver.prepare(end, safe, pool)
    }

    fn sent(&mut self, token: Token, end: End, result: io::Result<usize>) -> Sent {
        self.counters.bytes_sent.add(*result.as_ref().unwrap_or(&0) as u64);
        let Some(driver) = self.sessions.get_mut(token) else { return Sent::All };
        let sent = driver.sent(end, result, &mut self.pool);
        match sent {
            Sent::Reset if driver.has_told_end(end) => {
                driver.unsent(end, &mut self.tools.stage(self.now));
                self.touch(token);
            }
            Sent::All | Sent::More | Sent::Reset => {}
            Sent::Blocked => {
                driver.note_full(end, self.now.mono_us);
                if let Some(socket) = driver.socket(end) {
                    self.ring.await_room(token, end, socket);
                }
            }
            Sent::Failed => {
                driver.unsent(end, &mut self.tools.stage(self.now));
                self.touch(token);
            }
        }
        sent
    }

    /// Ends what is written, and asks the kernel for what comes next.
    fn settle(&mut self, token: Token) {
        let Core { sessions, ring, pool, timers, readable, tools, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        let more = driver.settle(self.now.mono_us);
        let durability = driver.durability();
        for place in (0..driver.ends()).rev() {
            let Some(end) = driver.end_at(place) else { continue };
            match driver.next_watch(end) {
                Some(WatchOrder::Start) => {
                    if let Some(socket) = driver.socket(end) {
                        ring.watch(token, end, socket);
                    }
                }
                Some(WatchOrder::Stop) => ring.unwatch(token, end),
                None => {}
            }
            if driver.next_receive(end) {
                readable.push((token, end));
            }
        }
        driver.reclaim(pool);
        if let Some(leg) = driver.dials_in_vain() {
            ring.cancel_connect(token, End::Target(leg));
        }
        if durability == Durability::Sync {
            driver.note_disk(tools.journal.durable(), self.now.mono_us);
            if !driver.awaits_disk && driver.awaited().is_some() {
                driver.awaits_disk = true;
                self.awaiting_disk.push(token);
            }
        }
        if driver.is_over() {
            return self.remove(token);
        }
        let at_us = driver.next_timeout();
        timers.arm(token, at_us, &mut driver.scheduled_us);
        let owes = driver.party().owes_room();
        if self.follow_legs(token) || more || owes {
            self.touch(token);
        }
    }

    fn remove(&mut self, token: Token) {
        let Some(driver) = self.sessions.remove(token) else { return };
        if driver.has_panicked() {
            self.counters.panics.add(1);
        }
        match driver.party() {
            Party::Session(_) => {
                for name in &driver.names {
                    self.names.remove(name);
                }
                for id in &driver.asks {
                    self.asks.remove(id);
                }
            }
            Party::Refusal(_) => self.turned_away -= 1,
            Party::Cancel(_) => {}
        }
        self.counters.connections.set(self.sessions.len() as u64);
    }

    fn run_timers(&mut self) {
        while let Some((at_us, token)) = self.timers.pop_due(self.now.mono_us) {
            let Some(driver) = self.sessions.get_mut(token) else { continue };
            if driver.scheduled_us == Some(at_us) {
                driver.scheduled_us = None;
            }
            while let Some(driver) = self.sessions.get_mut(token)
                && let Some(leg) = driver.expired(self.now.mono_us)
            {
                self.dial_expired(token, leg);
            }
            let Some(driver) = self.sessions.get_mut(token) else { continue };
            driver.lend(&mut self.pool);
            driver.due(&mut self.tools.stage(self.now));
            self.touch(token);
        }
    }

    fn keep_journal(&mut self) {
        let journal = &mut self.tools.journal;
        let now_us = self.now.mono_us;
        if now_us >= self.ticked_us + TICK_US {
            self.ticked_us = now_us;
            journal.tick(self.now);
            self.counters.entries_refused.set(journal.refused());
            self.idle.sweep(now_us);
        }
        self.counters.reports_lost.set(self.reports.lost());
        if self.job.is_none() {
            self.job = self.flushes.next_job(journal, self.awaiting_disk.len(), now_us);
            if let Some(job) = &self.job {
                self.ring.sync(J::job_file(job));
            }
        } else {
            self.flushes.look(journal.written().0, journal.durable().0, now_us);
        }
        let lag = journal.written().0.saturating_sub(journal.durable().0);
        self.counters.journal_lag.set(lag);
        self.counters.unflushed_since.set(self.flushes.oldest_us().unwrap_or(0));
    }

    fn synced(&mut self, result: io::Result<()>) {
        let Some(job) = self.job.take() else { return };
        self.counters.syncs.add(1);
        self.flushes.end(self.awaiting_disk.len(), self.now.mono_us);
        self.tools.journal.synced(job, result);
        for token in std::mem::take(&mut self.awaiting_disk) {
            let Some(driver) = self.sessions.get_mut(token) else { continue };
            driver.awaits_disk = false;
            if driver.awaited().is_some_and(|lsn| self.tools.journal.in_doubt(lsn)) {
                driver.refuse_unrecorded(&mut self.tools.stage(self.now));
            }
            self.touch(token);
        }
    }

    fn woken(&mut self, result: io::Result<()>) {
        while let Some(message) = self.letters.next() {
            self.open_letter(message);
        }
        let canceled = result.is_err_and(|e| e.raw_os_error() == Some(libc::ECANCELED));
        if !canceled {
            self.ring.wake(self.letters.eventfd());
        }
    }

    /// Whether the disk works on the journal.
    pub fn is_syncing(&self) -> bool {
        self.job.is_some()
    }

    /// When something has to be done even if nothing happens, monotonic microseconds. `None`:
    /// never, the shard sleeps until somebody wants something of it.
    fn next_deadline(&self) -> Option<u64> {
        let journal = &self.tools.journal;
        let flush = self.job.is_none() && journal.written() > journal.durable();
        let accept = self.doorways.iter().filter_map(|doorway| match doorway.accepting {
            Accepting::Paused { until_us } => Some(until_us),
            Accepting::Armed | Accepting::Stopped => None,
        });
        let drain = match self.drain {
            Drain::Until { deadline_us } => Some(deadline_us),
            Drain::Last { cut_us } => Some(cut_us),
            Drain::No | Drain::Done => None,
        };
        let sleepy = self.ticked_us + TICK_US;
        let deadlines = [
            self.timers.next_us(),
            journal.tick_at_us().map(|at_us| at_us.max(sleepy)),
            self.idle.next_us().map(|at_us| at_us.max(sleepy)),
            self.flushes.next_us().filter(|_| flush),
            (!self.put_off.is_empty()).then_some(self.now.mono_us + READ_AGAIN_US),
            self.reports.is_behind().then_some(self.now.mono_us + REPORT_AGAIN_US),
            accept.min(),
            drain,
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Submits, and waits for the next completion or deadline.
    fn wait(&mut self) -> io::Result<()> {
        if self.drain == Drain::Done {
            return Ok(());
        }
        if !self.readable.is_empty() {
            return self.ring.enter(false);
        }
        let spin_us = self.spin.us();
        if spin_us > 0 {
            self.ring.enter(false)?;
            if self.ring.has_news() {
                return Ok(());
            }
            if self.look(spin_us) {
                return self.ring.enter(false);
            }
        }
        if let Some(at_us) = self.next_deadline() {
            if at_us <= self.now.mono_us {
                return self.ring.enter(false);
            }
            self.set_alarm(at_us);
        }
        self.counters.waits.add(1);
        self.ring.enter(true)?;
        self.slept_us = Some(self.now.mono_us);
        Ok(())
    }

    /// Sets the ring's alarm unless it rings early enough.
    fn set_alarm(&mut self, at_us: u64) {
        if self.alarm_us.is_none_or(|rings_us| rings_us > at_us) {
            self.alarm_us = Some(at_us);
            self.ring.alarm(at_us - self.now.mono_us);
        }
    }

    /// Looks for news without a system call.
    fn look(&mut self, spin_us: u64) -> bool {
        let until_us = clock::mono_us() + spin_us;
        loop {
            for _ in 0..16 {
                if self.ring.has_news() {
                    self.spin.paid();
                    return true;
                }
                std::hint::spin_loop();
            }
            if clock::mono_us() >= until_us {
                self.spin.wasted();
                return false;
            }
        }
    }

    /// Takes back from the kernel what it still works on.
    fn leave(mut self) -> io::Result<()> {
        self.ring.cancel_wake();
        let until_us = clock::mono_us() + TICK_US;
        while self.ring.outstanding() > 0 && clock::mono_us() < until_us {
            self.ring.alarm(LEAVE_US);
            self.ring.enter(true)?;
            let mut completions = Vec::new();
            self.ring.collect(&mut completions);
        }
        self.tools.journal.finish(clock::now());
        Ok(())
    }
}

/// First byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Random bytes of the kernel.
fn fill_random(bytes: &mut [u8]) {
    use ring::rand::SecureRandom;
    // Without randomness there is no login that means anything.
    ring::rand::SystemRandom::new().fill(bytes).expect("the kernel has random bytes");
}
