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

use super::clock;
use super::counters::Counters;
use super::errand::Party;
use super::journal::ShardJournal;
use super::mailbox::{Letters, Reports};
use super::park::{Bell, Spin, breathe};
use super::pool::Pool;
use super::ring::{Completion, Done, Ring, Token};
use super::slab::Slab;
use super::timer::Timers;
use super::tls::TlsConfigs;
use crate::config::settings::Durability;
use crate::decide::Classifier;
use crate::identify::scram::SaltedCache;
use crate::limits::SYNC_INTERVAL_US;
use crate::record::SessionId;
use crate::session::drive::{Driver, SessionMachine};
use crate::session::{Now, Snapshot, Stage};
use crate::wire::Side;

/// The journal looks after its age this often.
const TICK_US: u64 = 1_000_000;
/// The shard sleeps in its own ring for so long; when it stays quiet, in the executor.
const RING_WAIT_US: u64 = 5_000;
/// The longest sleep in the ring while sends of the turn are not collected: one that a full socket
/// keeps back is not waited for longer.
const SEND_WAIT_US: u64 = 500;
/// The longest sleep in the executor, and so the longest that it sleeps by mistake (see `park`).
const PARK_US_MAX: u64 = 100_000;

/// What machines are lent.
pub(super) struct Tools<J> {
    pub snapshot: Rc<Snapshot>,
    pub classifier: Classifier,
    pub salted: SaltedCache,
    pub journal: J,
    pub random: fn(&mut [u8]),
}

impl<J: ShardJournal> Tools<J> {
    pub fn stage<'a>(&'a mut self, now: Now) -> Stage<'a> {
        Stage {
            snapshot: &self.snapshot,
            classifier: &mut self.classifier,
            salted: &mut self.salted,
            journal: &mut self.journal,
            random: &mut self.random,
            now,
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
    pub sessions_max: usize,
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
    pub sessions_max: usize,
    pub turned_away: usize,
    /// Sessions by the key a CancelRequest names.
    pub cancel_keys: HashMap<Vec<u8>, Token>,
    /// Sessions by the approval they wait for.
    pub asks: HashMap<SessionId, Token>,
    /// Sessions that something else changed in this turn.
    pub dirty: Vec<Token>,
    pub now: Now,
    scratch: Vec<u8>,
    completions: Vec<Completion>,
    /// Sessions with bytes that wait for the disk.
    awaiting_disk: Vec<Token>,
    job: Option<J::Job>,
    synced_us: u64,
    ticked_us: u64,
    spin: Spin,
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
            },
            tls: parts.tls,
            letters: parts.letters,
            reports: parts.reports,
            listener: Some(parts.listener),
            accepting: Accepting::Armed,
            drain: Drain::No,
            counters: parts.counters,
            sessions_max: parts.sessions_max,
            turned_away: 0,
            cancel_keys: HashMap::new(),
            asks: HashMap::new(),
            dirty: Vec::new(),
            now: clock::now(),
            scratch: Vec::new(),
            completions: Vec::new(),
            awaiting_disk: Vec::new(),
            job: None,
            synced_us: 0,
            ticked_us: 0,
            spin: Spin::default(),
        })
    }

    /// The loop. Ends when the shard is drained.
    pub async fn run(mut self, eventfd: OwnedFd) -> io::Result<()> {
        self.ring.register_eventfd(eventfd.as_fd())?;
        let mut bell = Bell::new(&eventfd)?;
        self.tools.journal.begin(clock::now());
        while self.drain != Drain::Done {
            self.turn();
            breathe().await;
            self.wait(&mut bell).await?;
        }
        self.leave()
    }

    fn turn(&mut self) {
        self.now = clock::now();
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.collect(&mut completions);
        for completion in completions.drain(..) {
            self.dispatch(completion);
        }
        self.completions = completions;
        self.run_timers();
        self.keep_journal();
        while let Some(token) = self.dirty.pop() {
            self.settle(token);
        }
        self.keep_accepting();
        self.keep_draining();
        if self.reports.is_behind() {
            self.reports.retry();
        }
        self.counters.turns.add(1);
    }

    fn dispatch(&mut self, completion: Completion) {
        let Completion { token, done } = completion;
        match done {
            Done::Received(side, Ok(Some(lease))) => {
                self.counters.bytes_received.add(lease.len() as u64);
                self.received(token, side, &lease);
                self.ring.buffers.release(lease);
                self.settle(token);
            }
            Done::Received(side, result) => self.ended(token, side, result.err()),
            Done::Sent(side, result, bytes) => {
                self.counters.bytes_sent.add(*result.as_ref().unwrap_or(&0) as u64);
                if let Some(driver) = self.sessions.get_mut(token) {
                    let stage = &mut self.tools.stage(self.now);
                    if let Some(buffer) = driver.sent(side, result, bytes, stage) {
                        self.pool.give(buffer);
                    }
                    self.settle(token);
                }
            }
            Done::Connected(result) => self.connected(token, result),
            Done::Accepted { socket, armed } => self.accepted(socket.map(TcpStream::from), armed),
            Done::Woken(result) => self.woken(result),
            Done::Synced(result) => self.synced(result),
            Done::Canceled => {}
        }
    }

    fn received(&mut self, token: Token, side: Side, lease: &super::buffer::Lease) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        let first = driver.note_received(side, lease);
        driver.lend(&mut self.pool);
        let bytes = self.ring.buffers.bytes(lease);
        // A machine that wants TLS at the very first bytes has left these to TLS.
        let direct = (first && bytes.first() == Some(&TLS_HANDSHAKE)).then_some(side);
        driver.received(side, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        let started = self.outputs(token, direct);
        if started
            && direct.is_some()
            && let Some(driver) = self.sessions.get_mut(token)
        {
            let bytes = self.ring.buffers.bytes(lease);
            driver.received(side, bytes, &mut self.scratch, &mut self.tools.stage(self.now));
        }
    }

    fn ended(&mut self, token: Token, side: Side, error: Option<io::Error>) {
        let Some(driver) = self.sessions.get_mut(token) else { return };
        let retry = error.as_ref().is_some_and(|e| {
            matches!(e.raw_os_error(), Some(libc::ENOBUFS | libc::EINTR | libc::EAGAIN))
        });
        if retry {
            // More receives completed at once than there were buffers.
            self.ring.buffers.grow(driver.unreceived(side));
        } else {
            driver.lend(&mut self.pool);
            driver.ended(side, error.as_ref(), &mut self.tools.stage(self.now));
        }
        self.settle(token);
    }

    /// Hands everything that can move to the ring, after a session was called.
    pub fn settle(&mut self, token: Token) {
        self.outputs(token, None);
        let Core { sessions, ring, pool, tools, timers, .. } = self;
        let Some(driver) = sessions.get_mut(token) else { return };
        let durability = driver.durability();
        let safe = match durability {
            Durability::Write => tools.journal.written(),
            Durability::Sync => tools.journal.durable(),
        };
        loop {
            for side in [Side::Server, Side::Client] {
                if let Some(bytes) = driver.next_send(side, safe, pool)
                    && let Some(socket) = driver.socket(side)
                {
                    ring.send(token, side, socket, bytes);
                }
            }
            if !driver.settle(self.now.mono_us) {
                break;
            }
        }
        for side in [Side::Server, Side::Client] {
            if let Some(how) = driver.next_receive(side)
                && let Some(socket) = driver.socket(side)
            {
                ring.receive(token, side, socket, how);
            }
        }
        driver.reclaim(pool);
        if driver.dials_in_vain() {
            ring.cancel_connect(token);
        }
        if durability == Durability::Sync && !driver.awaits_disk && driver.awaited().is_some() {
            driver.awaits_disk = true;
            self.awaiting_disk.push(token);
        }
        if driver.is_over() {
            self.remove(token);
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
                self.cancel_keys.retain(|_, owner| *owner != token);
                self.asks.retain(|_, owner| *owner != token);
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
            if let Some(dial) = &mut driver.dial
                && dial.expire(self.now.mono_us)
            {
                self.ring.cancel_connect(token);
            }
            driver.lend(&mut self.pool);
            driver.due(&mut self.tools.stage(self.now));
            self.settle(token);
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
        if self.job.is_some() || journal.written() <= journal.durable() {
            return;
        }
        if self.awaiting_disk.is_empty() && now_us < self.synced_us + SYNC_INTERVAL_US {
            return;
        }
        self.synced_us = now_us;
        if let Some(job) = journal.sync_job() {
            self.ring.sync(J::job_file(&job));
            self.job = Some(job);
        }
    }

    fn synced(&mut self, result: io::Result<()>) {
        let Some(job) = self.job.take() else { return };
        self.counters.syncs.add(1);
        self.tools.journal.synced(job, result);
        for token in std::mem::take(&mut self.awaiting_disk) {
            let Some(driver) = self.sessions.get_mut(token) else { continue };
            driver.awaits_disk = false;
            if driver.awaited().is_some_and(|lsn| self.tools.journal.in_doubt(lsn)) {
                driver.refuse_unrecorded(&mut self.tools.stage(self.now));
            }
            self.settle(token);
        }
    }

    fn woken(&mut self, result: io::Result<()>) {
        while let Some(message) = self.letters.next() {
            self.read(message);
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
            earlier(Some(self.synced_us + SYNC_INTERVAL_US));
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
        let spin_us = self.spin.us();
        if spin_us > 0 {
            self.ring.enter(0)?;
            if self.ring.has_news() {
                return Ok(());
            }
            if self.look(spin_us) {
                return self.ring.enter(0);
            }
        }
        let asleep_us = clock::mono_us();
        let left_us = self.next_deadline().saturating_sub(asleep_us);
        if left_us == 0 {
            return self.ring.enter(0);
        }
        self.counters.waits.add(1);
        let at_most_us = if self.ring.has_sends() { SEND_WAIT_US } else { RING_WAIT_US };
        self.ring.enter(left_us.min(at_most_us))?;
        if self.ring.has_news() {
            self.spin.slept(clock::mono_us() - asleep_us);
            return Ok(());
        }
        if self.ring.has_completions() || self.ring.has_sends() {
            return Ok(());
        }
        let left_us = self.next_deadline().saturating_sub(clock::mono_us());
        if left_us == 0 {
            return Ok(());
        }
        self.ring.listen(true);
        // What came before the eventfd was listened to would not ring.
        if !self.ring.has_news() {
            self.counters.parks.add(1);
            bell.park(Duration::from_micros(left_us.min(PARK_US_MAX))).await;
        }
        self.ring.listen(false);
        self.ring.enter(0)
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
            self.ring.enter(RING_WAIT_US)?;
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
