//! The shard loop: completions to machines, outputs to the ring, one system call per turn.
//!
//! In: completions, messages, time. Out: operations, messages.
//! Never: a lock, a wait other than the one of `run`, work for a session that is not its own.
//!
//! ```text
//!   turn:  collect completions -> machines -> outputs -> sends and receives -> submit
//!   wait:  look a moment -> sleep in the ring -> sleep in the executor
//! ```

use std::collections::HashMap;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::abroad::Abroad;
use super::clock::{self, Clock};
use super::counters::Counters;
use super::errand::Party;
use super::flush::Flushes;
use super::journal::ShardJournal;
use super::leg::Sent;
use super::mailbox::{Letters, Peer, Reports};
use super::park::{Bell, Spin, breathe};
use super::pool::Pool;
use super::refusal::ShutOut;
use super::ring::{Completion, Done, Readable, Ring, Token};
use super::slab::Slab;
use super::timer::Timers;
use super::tls::TlsConfigs;
use crate::accept::door::Door;
use crate::accept::socket;
use crate::clock::Now;
use crate::config::settings::Durability;
use crate::decide::Classifier;
use crate::identify::scram::SaltedCache;
use crate::metrics::Meters;
use crate::record::{Lsn, SessionId};
use crate::session::{Room, Snapshot, Stage};
use crate::shard::drive::{Driver, SessionMachine, WatchOrder};
use crate::wire::Side;

/// The journal looks after its age this often.
const TICK_US: u64 = 1_000_000;
/// The shard sleeps in its own ring for so long; when it stays quiet, in the executor.
const RING_WAIT_US: u64 = 5_000;
/// The longest sleep in the executor, and so the longest that it sleeps by mistake (see `park`).
const PARK_US_MAX: u64 = 100_000;

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

/// What a core is made of.
pub(super) struct Parts<J> {
    pub shard: usize,
    pub snapshot: Rc<Snapshot>,
    pub journal: J,
    pub tls: Arc<TlsConfigs>,
    pub listener: TcpListener,
    pub letters: Letters,
    pub reports: Reports,
    pub counters: Arc<Counters>,
    pub peers: Arc<[Peer]>,
    pub meters: Arc<Meters>,
    pub sessions_max: usize,
    pub door: Arc<Door>,
}

/// One shard.
pub(super) struct Core<M, J: ShardJournal> {
    pub shard: usize,
    pub ring: Ring,
    pub sessions: Slab<Box<Driver<Party<M>>>>,
    pub timers: Timers,
    pub pool: Pool,
    pub tools: Tools<J>,
    pub tls: Arc<TlsConfigs>,
    pub letters: Letters,
    pub reports: Reports,
    pub listener: Option<TcpListener>,
    pub accepting: Accepting,
    pub drain: Drain,
    pub counters: Arc<Counters>,
    /// All shards, by index.
    pub peers: Arc<[Peer]>,
    pub sessions_max: usize,
    pub turned_away: usize,
    /// Where clients wait that have not proven who they are; all shards share it.
    pub door: Arc<Door>,
    pub shut_out: ShutOut,
    /// Sessions by the key a CancelRequest names.
    pub cancel_keys: HashMap<Vec<u8>, Token>,
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
    readable: Vec<(Token, Side)>,
    completions: Vec<Completion>,
    /// What is being sent; empty between turns.
    pieces: Vec<(Token, Side)>,
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
    /// The last turn that had something to do.
    busy_us: u64,
}

impl<M: SessionMachine, J: ShardJournal> Core<M, J> {
    pub fn new(parts: Parts<J>) -> io::Result<Core<M, J>> {
        let mut ring = Ring::new()?;
        ring.wake(parts.letters.eventfd());
        ring.accept(parts.listener.as_fd());
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
                room: Room::default(),
                meters: parts.meters,
            },
            tls: parts.tls,
            letters: parts.letters,
            reports: parts.reports,
            listener: Some(parts.listener),
            accepting: Accepting::Armed,
            drain: Drain::No,
            counters: parts.counters,
            peers: parts.peers,
            sessions_max: parts.sessions_max,
            turned_away: 0,
            door: parts.door,
            shut_out: ShutOut::default(),
            cancel_keys: HashMap::new(),
            asks: HashMap::new(),
            dirty: Vec::new(),
            clock: Clock::default(),
            now: clock::now(),
            scratch: Vec::new(),
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            readable: Vec::new(),
            completions: Vec::new(),
            pieces: Vec::new(),
            sent: Vec::new(),
            awaiting_disk: Vec::new(),
            job: None,
            flushes: Flushes::default(),
            abroad: Abroad::default(),
            ticked_us: 0,
            spin: Spin::default(),
            slept_us: None,
            alarm_us: None,
            busy_us: 0,
        })
    }

    /// The loop. Ends when the shard is drained.
    pub async fn run(mut self, eventfd: OwnedFd) -> io::Result<()> {
        self.ring.register_eventfd(eventfd.as_fd())?;
        let mut bell = Bell::new(&eventfd)?;
        self.tools.journal.begin(clock::now());
        while self.drain != Drain::Done {
            self.turn()?;
            breathe().await;
            self.wait(&mut bell).await?;
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
            if !matches!(completion.done, Done::Alarm) {
                self.busy_us = self.now.mono_us;
            }
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
            Done::Readable(side, result) => self.readable(token, side, result),
            Done::Room(side) => {
                if let Some(driver) = self.sessions.get_mut(token) {
                    driver.room(side, self.now.mono_us);
                    self.touch(token);
                }
            }
            Done::Connected(result) => self.connected(token, result),
            Done::Accepted { socket, armed } => self.accepted(socket.map(TcpStream::from), armed),
            Done::Woken(result) => self.woken(result),
            Done::Synced(result) => self.synced(result),
            Done::Canceled => {}
            Done::Alarm => self.alarm_us = None,
        }
    }

    fn readable(&mut self, token: Token, side: Side, result: io::Result<Readable>) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        match result {
            // The usual case: nothing changes but that there is something to read.
            Ok(Readable { armed: true, last }) => {
                driver.readable(side, last);
                if driver.next_receive(side) {
                    self.readable.push((token, side));
                }
            }
            Ok(Readable { armed: false, last }) => {
                driver.unwatched(side);
                driver.readable(side, last);
                self.touch(token);
            }
            Err(error) => {
                driver.unwatched(side);
                if error.raw_os_error() != Some(libc::ECANCELED) {
                    self.ended(token, side, Some(&error));
                }
                self.touch(token);
            }
        }
    }

    /// Reads each connection that was readable before this call once.
    fn read_all(&mut self) {
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut readable = std::mem::take(&mut self.readable);
        for (token, side) in readable.drain(..) {
            self.read(token, side, &mut inbox);
        }
        self.inbox = inbox;
        // What became readable meanwhile waits for its turn.
        readable.append(&mut self.readable);
        self.readable = readable;
    }

    fn read(&mut self, token: Token, side: Side, inbox: &mut [u8]) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        let Some(stream) = driver.begin_receive(side) else { return };
        let now_us = self.now.mono_us;
        match socket::receive(stream, inbox) {
            Ok(0) => self.ended(token, side, None),
            Ok(count) => {
                let first = driver.note_received(side, count, count < inbox.len(), now_us);
                self.counters.bytes_received.add(count as u64);
                self.received(token, side, inbox.get_mut(..count).unwrap_or_default(), first);
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock) => {
                driver.note_nothing(side, now_us);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => self.ended(token, side, Some(&e)),
        }
        self.touch(token);
    }

    fn received(&mut self, token: Token, side: Side, bytes: &mut [u8], first: bool) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        driver.lend(&mut self.pool);
        // A machine that wants TLS at the very first bytes has left these to TLS.
        let direct = (first && bytes.first() == Some(&TLS_HANDSHAKE)).then_some(side);
        let lent = driver.lend_input(side.peer(), bytes);
        driver.received(side, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        if lent {
            self.pass_on(token, side.peer(), bytes);
        }
        let started = self.outputs(token, direct);
        if started
            && direct.is_some()
            && let Some(driver) = self.sessions.get_mut(token)
        {
            driver.received(side, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        }
    }

    /// Sends what was handed on of `input` from where it is, and keeps what does not leave now.
    fn pass_on(&mut self, token: Token, side: Side, input: &[u8]) {
        let Core { sessions, tools, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        let safe = tools.safe(driver.durability());
        let pieces = driver.pieces(side, input, safe);
        if let Some(result) = pieces.map(|(stream, pieces)| socket::send_pieces(stream, &pieces)) {
            self.sent(token, side, result);
        }
        if let Some(driver) = self.sessions.get_mut(token) {
            driver.keep(side, input);
        }
    }

    fn ended(&mut self, token: Token, side: Side, error: Option<&io::Error>) {
        if let Some(driver) = self.sessions.get_mut(token) {
            driver.lend(&mut self.pool);
            driver.ended(side, error, &mut self.tools.stage(self.now));
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

    /// Sends what may leave of these sessions.
    fn send_all(&mut self, tokens: &[Token]) -> io::Result<()> {
        let mut pieces = std::mem::take(&mut self.pieces);
        let sides = |&token| [(token, Side::Server), (token, Side::Client)];
        pieces.extend(tokens.iter().flat_map(sides).filter(|&piece| self.prepare(piece)));
        while !pieces.is_empty() {
            let Core { sessions, ring, sent, .. } = self;
            let mut ready = pieces.iter().map(|&(token, side)| {
                let driver = sessions.get(token).expect("it was made ready");
                driver.piece(side).expect("it was made ready")
            });
            // A single piece is cheaper in a call of its own.
            match (pieces.len(), ready.next()) {
                (1, Some((stream, bytes))) => sent.push(socket::send(stream, bytes)),
                (_, first) => ring.send_all(first.into_iter().chain(ready), sent)?,
            }
            let mut sent = std::mem::take(&mut self.sent);
            let mut results = sent.drain(..);
            pieces.retain(|&(token, side)| {
                let result = results.next().expect("a result for each piece");
                self.sent(token, side, result) == Sent::More && self.prepare((token, side))
            });
            drop(results);
            self.sent = sent;
        }
        self.pieces = pieces;
        Ok(())
    }

    fn prepare(&mut self, (token, side): (Token, Side)) -> bool {
        let Core { sessions, pool, tools, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return false };
        let safe = tools.safe(driver.durability());
        driver.prepare(side, safe, pool)
    }

    fn sent(&mut self, token: Token, side: Side, result: io::Result<usize>) -> Sent {
        self.counters.bytes_sent.add(*result.as_ref().unwrap_or(&0) as u64);
        let Some(driver) = self.sessions.get_mut(token) else { return Sent::All };
        let sent = driver.sent(side, result, &mut self.pool);
        match sent {
            Sent::All | Sent::More | Sent::Reset => {}
            Sent::Blocked => {
                driver.note_full(side, self.now.mono_us);
                if let Some(socket) = driver.socket(side) {
                    self.ring.await_room(token, side, socket);
                }
            }
            Sent::Failed => {
                driver.unsent(side, &mut self.tools.stage(self.now));
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
        for side in [Side::Server, Side::Client] {
            match driver.next_watch(side) {
                Some(WatchOrder::Start) => {
                    if let Some(socket) = driver.socket(side) {
                        ring.watch(token, side, socket);
                    }
                }
                Some(WatchOrder::Stop) => ring.unwatch(token, side),
                None => {}
            }
            if driver.next_receive(side) {
                readable.push((token, side));
            }
        }
        let left = driver.has_left_server();
        driver.reclaim(pool);
        if driver.dials_in_vain() {
            ring.cancel_connect(token);
        }
        if durability == Durability::Sync {
            driver.note_disk(tools.journal.durable(), self.now.mono_us);
            if !driver.awaits_disk && driver.awaited().is_some() {
                driver.awaits_disk = true;
                self.awaiting_disk.push(token);
            }
        }
        if driver.is_over() {
            self.remove(token);
        } else if left {
            self.dial_next(token);
            self.touch(token);
        } else if more {
            self.touch(token);
        } else {
            let at_us = driver.next_timeout();
            timers.arm(token, at_us, &mut driver.scheduled_us);
        }
    }

    fn remove(&mut self, token: Token) {
        let Some(driver) = self.sessions.remove(token) else { return };
        if driver.has_panicked() {
            self.counters.panics.add(1);
        }
        match driver.machine() {
            Party::Session(_) => {
                for key in &driver.cancel_keys {
                    self.cancel_keys.remove(key);
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
            if driver.dial.is_some() {
                self.dial_expired(token);
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
            self.counters.reports_lost.set(self.reports.lost());
        }
        let lag = journal.written().0.saturating_sub(journal.durable().0);
        self.counters.journal_lag.set(lag);
        if self.job.is_some() || lag == 0 {
            return;
        }
        if !self.flushes.is_due(self.awaiting_disk.len(), now_us) {
            return;
        }
        self.flushes.begin(now_us);
        if let Some(job) = journal.sync_job() {
            self.ring.sync(J::job_file(&job));
            self.job = Some(job);
        }
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

    /// When something has to be done even if nothing happens, monotonic microseconds.
    fn next_deadline(&self) -> u64 {
        let mut at_us = self.ticked_us + TICK_US;
        let mut earlier = |candidate: Option<u64>| at_us = at_us.min(candidate.unwrap_or(at_us));
        earlier(self.timers.next_us());
        let journal = &self.tools.journal;
        if self.job.is_none() && journal.written() > journal.durable() {
            earlier(Some(self.flushes.next_us()));
        }
        match self.accepting {
            Accepting::Paused { until_us } => earlier(Some(until_us)),
            Accepting::Armed | Accepting::Stopped => {}
        }
        match self.drain {
            Drain::Until { deadline_us } => earlier(Some(deadline_us)),
            Drain::Last { cut_us } => earlier(Some(cut_us)),
            Drain::No | Drain::Done => {}
        }
        at_us
    }

    /// Submits, and waits for the next completion or deadline.
    async fn wait(&mut self, bell: &mut Bell) -> io::Result<()> {
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
        let now_us = self.now.mono_us;
        let left_us = self.next_deadline().saturating_sub(now_us);
        if left_us == 0 {
            return self.ring.enter(false);
        }
        if now_us.saturating_sub(self.busy_us) >= RING_WAIT_US {
            return self.park(bell, left_us).await;
        }
        self.counters.waits.add(1);
        self.set_alarm(now_us + left_us.min(RING_WAIT_US));
        self.ring.enter(true)?;
        self.slept_us = Some(now_us);
        Ok(())
    }

    /// Sets the ring's alarm unless it rings early enough.
    fn set_alarm(&mut self, at_us: u64) {
        if self.alarm_us.is_none_or(|rings_us| rings_us > at_us) {
            self.alarm_us = Some(at_us);
            self.ring.alarm(at_us - self.now.mono_us);
        }
    }

    /// Sleeps in the executor: nothing has happened for a while.
    async fn park(&mut self, bell: &mut Bell, left_us: u64) -> io::Result<()> {
        self.ring.enter(false)?;
        self.ring.listen(true);
        // What came before the eventfd was listened to would not ring.
        if !self.ring.has_news() {
            self.counters.parks.add(1);
            bell.park(Duration::from_micros(left_us.min(PARK_US_MAX))).await;
        }
        self.ring.listen(false);
        self.ring.enter(false)
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
            self.ring.alarm(RING_WAIT_US);
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
