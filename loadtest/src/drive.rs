//! The loop: one thread, one epoll, many connections.
//!
//! In: what is said to whom, a schedule. Out: an `Outcome`. Never: a request that starts late
//! without the delay being counted: an arrival that finds no free connection waits in `waiting`
//! with its intended time. What is said is a `Talk`'s, of whichever protocol.
//!
//! ```text
//! Idle --> Opening --writable--> Greeting --ready--> Running --lost--> Gone
//!  ^----------(a connection for each request)----------/ |
//!           ^------(the server said that it closes)------/
//! ```

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::connection::{Connection, Gone};
use crate::outcome::{Finished, Outcome, record};
use crate::schedule::{Arrivals, Random, Schedule};
use crate::talk::{Ended, Speaker, Speech, Talk};

/// Connections that log in at the same time before the run; a storm is asked for, not suffered.
const OPENING_MAX: usize = 32;
/// All connections of a run are open after this, or the run fails.
const OPENING_TIME_MAX: Duration = Duration::from_secs(120);
/// Answers may take this long after the last request.
const DRAIN: Duration = Duration::from_secs(10);
const TIMER: Token = Token(usize::MAX);
const RECEIVE_BYTES: usize = 256 << 10;

/// What a run does.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is said, and to whom.
    pub speech: Speech,
    /// The address of that.
    pub address: SocketAddr,
    /// Requests outstanding on one connection where the protocol allows more than one.
    pub depth: usize,
    /// A connection for each request, whose opening counts as the request's.
    pub fresh: bool,
    /// Requests per second; `None` closes the loop: as many as the answers allow.
    pub rate: Option<f64>,
    /// Poisson or constant.
    pub arrivals: Arrivals,
    /// Connections of all threads.
    pub connections: usize,
    /// Threads.
    pub threads: usize,
    /// Seconds before anything is counted.
    pub warm_up_s: f64,
    /// Seconds that are counted.
    pub seconds: f64,
    /// Of the random numbers.
    pub seed: u64,
}

/// Runs all threads; `finished` counts requests while they run, for a progress line.
///
/// # Errors
/// A connection could not be opened, or a thread failed.
pub fn run(settings: &Settings, finished: &Arc<AtomicU64>) -> Result<Outcome, String> {
    let threads = settings.threads.clamp(1, settings.connections.max(1));
    let barrier = Arc::new(Barrier::new(threads));
    let running: Vec<_> = (0..threads)
        .map(|index| {
            let settings = settings.clone();
            let (barrier, finished) = (barrier.clone(), finished.clone());
            std::thread::spawn(move || one_thread(&settings, (index, threads), &barrier, &finished))
        })
        .collect();
    let mut whole = Outcome::new(settings.speech.statements().len());
    let mut failed = None;
    for thread in running {
        match thread.join() {
            Ok(Ok(outcome)) => whole.add(&outcome),
            Ok(Err(why)) => failed = Some(why),
            Err(_) => failed = Some("a thread panicked".to_owned()),
        }
    }
    failed.map_or(Ok(whole), Err)
}

fn one_thread(
    settings: &Settings,
    (index, threads): (usize, usize),
    barrier: &Barrier,
    finished: &AtomicU64,
) -> Result<Outcome, String> {
    let share =
        settings.connections / threads + usize::from(index < settings.connections % threads);
    let opened = Worker::open(settings, share, index);
    // Even a thread that failed lets the others go on to see it.
    barrier.wait();
    let rate = settings.rate.map(|rate| rate / threads as f64);
    opened?.run(rate, finished)
}

enum Phase {
    /// Without a connection; a request will open one.
    Idle,
    Opening,
    Greeting(Talk),
    Running(Talk),
    Gone,
}

/// A request under way.
struct Flight {
    /// What the talk calls it; `None` until it is sent.
    id: Option<u64>,
    statement: usize,
    intended_ns: u64,
    sent_ns: u64,
}

struct Peer {
    connection: Option<Connection>,
    phase: Phase,
    flights: VecDeque<Flight>,
    /// Whether it stands in `free`.
    is_free: bool,
}

struct Worker<'a> {
    settings: &'a Settings,
    speaker: Speaker,
    poll: Poll,
    timer: OwnedFd,
    /// When the timer rings; setting it again costs a system call.
    armed_ns: u64,
    peers: Vec<Peer>,
    /// Peers with room for a request, longest idle first. One may have lost its room meanwhile.
    free: VecDeque<usize>,
    /// Intended times of requests that found no free peer.
    waiting: VecDeque<u64>,
    random: Random,
    seed: u64,
    outcome: Outcome,
    start: Instant,
    /// What is counted; nothing is sent after its end.
    window: (u64, u64),
    /// Kept for their memory.
    buffer: Vec<u8>,
    ended: Vec<Ended>,
    replies: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// Opens all connections, a few at a time.
    fn open(settings: &'a Settings, count: usize, index: usize) -> Result<Worker<'a>, String> {
        let mut worker = Worker::new(settings, index)?;
        let mut events = Events::with_capacity(256);
        let until = Instant::now() + OPENING_TIME_MAX;
        while worker.free.len() < count {
            while worker.peers.len() < count && worker.peers.len() - worker.free.len() < OPENING_MAX
            {
                worker.add_peer()?;
            }
            poll_events(&mut worker.poll, &mut events, Some(Duration::from_secs(1)))?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                worker.go_on(event.token().0);
            }
            if worker.outcome.lost > 0 {
                let why = worker.outcome.first_error.take().unwrap_or_default();
                return Err(format!("{}: {why}", settings.speech.endpoint()));
            }
            if Instant::now() > until {
                return Err(format!("{} of {count} connections opened in time", worker.free.len()));
            }
        }
        Ok(worker)
    }

    fn new(settings: &'a Settings, index: usize) -> Result<Worker<'a>, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)
            .map_err(|e| format!("timerfd: {e}"))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(|e| format!("timerfd: {e}"))?;
        let seed = settings.seed.wrapping_add(index as u64 * 7919);
        Ok(Worker {
            settings,
            speaker: Speaker::new(&settings.speech)?,
            poll,
            timer,
            armed_ns: 0,
            peers: vec![],
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            random: Random::new(seed),
            seed,
            outcome: Outcome::new(settings.speech.statements().len()),
            start: Instant::now(),
            window: (0, 0),
            buffer: vec![0; RECEIVE_BYTES],
            ended: vec![],
            replies: vec![],
        })
    }

    fn add_peer(&mut self) -> Result<(), String> {
        let index = self.peers.len();
        let (connection, flights) = (None, VecDeque::new());
        self.peers.push(Peer { connection, phase: Phase::Idle, flights, is_free: false });
        if self.settings.fresh {
            self.offer(index);
            return Ok(());
        }
        self.connect(index).map_err(|gone| format!("{}: {gone}", self.settings.address))
    }

    fn connect(&mut self, index: usize) -> Result<(), Gone> {
        let (token, registry) = (Token(index), self.poll.registry());
        let channel = self.speaker.channel().map_err(Gone::Insecure)?;
        let opened = Connection::open(channel, self.settings.address, registry, token);
        let peer = &mut self.peers[index];
        peer.connection = Some(opened.map_err(Gone::Failed)?);
        peer.phase = Phase::Opening;
        Ok(())
    }

    /// Sends, receives, counts, until the window is over and the answers are in.
    fn run(mut self, rate: Option<f64>, finished: &AtomicU64) -> Result<Outcome, String> {
        let mut schedule = rate.map(|rate| Schedule::new(self.settings.arrivals, rate, self.seed));
        let from = seconds_ns(self.settings.warm_up_s);
        let until = from + seconds_ns(self.settings.seconds);
        self.window = (from, until);
        self.outcome.window_s = self.settings.seconds;
        self.start = Instant::now();
        if schedule.is_none() {
            (0..self.peers.len()).for_each(|index| self.fill(index));
        }
        let mut events = Events::with_capacity(1024);
        let mut counted = 0;
        loop {
            let now = self.now_ns();
            if now >= until
                && (self.in_flight() == 0 || now >= until + seconds_ns(DRAIN.as_secs_f64()))
            {
                break;
            }
            self.start_due(schedule.as_mut());
            self.set_timer(schedule.as_ref().map(Schedule::next_ns), until)?;
            poll_events(&mut self.poll, &mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                if event.token() != TIMER {
                    self.go_on(event.token().0);
                }
            }
            let total = self.outcome.statements.iter().map(|t| t.latency.len()).sum::<u64>();
            finished.fetch_add(total - counted, Ordering::Relaxed);
            counted = total;
            if self.peers.iter().all(|peer| matches!(peer.phase, Phase::Gone)) {
                return Err(format!("every connection was lost: {:?}", self.outcome.first_error));
            }
        }
        self.count_unfinished();
        Ok(self.outcome)
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn in_flight(&self) -> usize {
        self.peers.iter().map(|peer| peer.flights.len()).sum()
    }

    /// Whether another request may be given to this peer.
    fn has_room(&self, index: usize) -> bool {
        let peer = &self.peers[index];
        match &peer.phase {
            Phase::Idle => peer.flights.is_empty(),
            Phase::Running(talk) => {
                !talk.is_closing() && peer.flights.len() < talk.room(self.settings.depth)
            }
            Phase::Opening | Phase::Greeting(_) | Phase::Gone => false,
        }
    }

    /// Has the peer stand in `free` if it has room.
    fn offer(&mut self, index: usize) {
        if !self.peers[index].is_free && self.has_room(index) {
            self.peers[index].is_free = true;
            self.free.push_back(index);
        }
    }

    /// A closed loop has every slot of every connection filled.
    fn fill(&mut self, index: usize) {
        let now = self.now_ns();
        while now < self.window.1 && self.has_room(index) {
            self.request(index, now);
        }
        self.flush(index);
    }

    /// Starts what the schedule says should have started by now.
    fn start_due(&mut self, schedule: Option<&mut Schedule>) {
        let Some(schedule) = schedule else { return };
        let (now, (from, until)) = (self.now_ns(), self.window);
        while schedule.next_ns() <= now && schedule.next_ns() < until {
            let intended = schedule.next_ns();
            self.outcome.offered += u64::from(intended >= from);
            self.waiting.push_back(intended);
            schedule.advance();
        }
        self.start_waiting();
    }

    fn start_waiting(&mut self) {
        while !self.waiting.is_empty() {
            let Some(index) = self.free.pop_front() else { return };
            self.peers[index].is_free = false;
            if !self.has_room(index) {
                continue;
            }
            let Some(intended) = self.waiting.pop_front() else { return };
            self.request(index, intended);
            self.flush(index);
            self.offer(index);
        }
    }

    /// A request on a peer that has room; without a connection it opens one first.
    fn request(&mut self, index: usize, intended_ns: u64) {
        let statement = self.speaker.choose(&mut self.random);
        let sent_ns = self.now_ns();
        let peer = &mut self.peers[index];
        peer.flights.push_back(Flight { id: None, statement, intended_ns, sent_ns });
        if !matches!(peer.phase, Phase::Idle) {
            self.send(index);
        } else if let Err(gone) = self.connect(index) {
            self.lose(index, &gone);
        }
    }

    /// Sends what this peer has not sent yet.
    fn send(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        let (Phase::Running(talk), Some(connection)) = (&mut peer.phase, &mut peer.connection)
        else {
            return;
        };
        for flight in peer.flights.iter_mut().filter(|flight| flight.id.is_none()) {
            let (statement, random) = (flight.statement, &mut self.random);
            flight.id = Some(talk.ask(&self.speaker, statement, random, &mut connection.out));
        }
    }

    fn flush(&mut self, index: usize) {
        let flushed = self.peers[index].connection.as_mut().map_or(Ok(()), Connection::flush);
        if let Err(gone) = flushed {
            self.lose(index, &gone);
        }
    }

    /// A peer's socket has something to say.
    fn go_on(&mut self, index: usize) {
        let now = self.now_ns();
        let was_running = matches!(self.peers[index].phase, Phase::Running(_));
        let heard = self.hear(index);
        for ended in std::mem::take(&mut self.ended) {
            self.end(index, ended, now);
        }
        match heard {
            Ok(()) => {}
            Err(Gone::Closed | Gone::Failed(_)) if self.may_end(index) => self.leave(index),
            Err(gone) => self.lose(index, &gone),
        }
        let peer = &self.peers[index];
        if peer.flights.is_empty()
            && let Phase::Running(talk) = &peer.phase
            && (talk.is_closing() || (self.settings.fresh && was_running))
        {
            self.leave(index);
        }
        self.send(index);
        if self.settings.rate.is_none() && self.window.1 > 0 {
            self.fill(index);
        } else {
            self.offer(index);
        }
        self.flush(index);
        self.start_waiting();
    }

    /// Reads; what ended is in `self.ended`.
    fn hear(&mut self, index: usize) -> Result<(), Gone> {
        let peer = &mut self.peers[index];
        let Some(connection) = &mut peer.connection else { return Ok(()) };
        if matches!(peer.phase, Phase::Opening) {
            if !connection.connected()? {
                return Ok(());
            }
            peer.phase = Phase::Greeting(self.speaker.greet(&mut connection.out));
        }
        let is_greeting = matches!(peer.phase, Phase::Greeting(_));
        let (Phase::Greeting(talk) | Phase::Running(talk)) = &mut peer.phase else {
            return Ok(());
        };
        let (speaker, replies, ended) = (&self.speaker, &mut self.replies, &mut self.ended);
        let read = connection.receive(&mut self.buffer, |bytes| {
            talk.hear(speaker, bytes, (&mut *replies, &mut *ended))
        });
        connection.out.append(replies);
        if matches!(read, Err(Gone::Closed)) {
            talk.hear_end(ended);
        }
        read?;
        connection.flush()?;
        if !is_greeting || !connection.is_open() {
            return Ok(());
        }
        // At once: a server that agreed on something else may wait for ever for what it knows.
        talk.check(speaker, connection)?;
        if talk.is_ready(connection) {
            peer.phase = match std::mem::replace(&mut peer.phase, Phase::Gone) {
                Phase::Greeting(talk) => Phase::Running(talk),
                other => other,
            };
        }
        Ok(())
    }

    fn end(&mut self, index: usize, ended: Ended, now: u64) {
        let flights = &mut self.peers[index].flights;
        let Some(at) = flights.iter().position(|flight| flight.id == Some(ended.id)) else {
            return;
        };
        let Some(flight) = flights.remove(at) else { return };
        if let Some(why) = ended.error {
            self.outcome.first_error.get_or_insert(why);
        }
        self.count(&flight, ended.seen, now);
    }

    /// Whether a connection that ends now is nobody's fault.
    fn may_end(&self, index: usize) -> bool {
        let peer = &self.peers[index];
        let Phase::Running(talk) = &peer.phase else { return false };
        peer.flights.is_empty() && (talk.may_end_idle() || talk.is_closing())
    }

    /// Leaves a connection that has served, for another one.
    fn leave(&mut self, index: usize) {
        let peer = &mut self.peers[index];
        (peer.connection, peer.phase) = (None, Phase::Idle);
        // Each request opens its own; after the window nobody asks.
        if self.settings.fresh || self.now_ns() >= self.window.1 {
            return;
        }
        if let Err(gone) = self.connect(index) {
            self.lose(index, &gone);
        }
    }

    /// An open loop counts by when a request should have started, a closed one by when it ended.
    fn count(&mut self, flight: &Flight, seen: Finished, now: u64) {
        let (from, until) = self.window;
        let at = if self.settings.rate.is_some() { flight.intended_ns } else { now };
        if at < from || at >= until {
            return;
        }
        let seen = Finished {
            latency_ns: now - flight.intended_ns,
            service_ns: now - flight.sent_ns,
            ..seen
        };
        self.outcome.finish(flight.statement, ((at - from) / 1_000_000_000) as usize, &seen);
    }

    /// What never ended is counted with the time it has waited so far: leaving it out would make
    /// the worst moment of a server look like its best.
    fn count_unfinished(&mut self) {
        let (now, (from, until)) = (self.now_ns(), self.window);
        let flights = self.peers.iter_mut().flat_map(|peer| peer.flights.drain(..));
        let mut left: Vec<(usize, u64)> =
            flights.map(|flight| (flight.statement, flight.intended_ns)).collect();
        left.extend(self.waiting.drain(..).map(|intended| (0, intended)));
        for (statement, intended) in left {
            if self.settings.rate.is_some() && intended >= from && intended < until {
                self.outcome.unfinished += 1;
                let tally = &mut self.outcome.statements[statement];
                record(&mut tally.latency, (now - intended) / 1000);
            }
        }
    }

    fn lose(&mut self, index: usize, gone: &Gone) {
        let peer = &mut self.peers[index];
        if matches!(peer.phase, Phase::Gone) {
            return;
        }
        (peer.connection, peer.phase) = (None, Phase::Gone);
        self.outcome.lost += 1;
        self.outcome.first_error.get_or_insert_with(|| gone.to_string());
        for flight in peer.flights.drain(..) {
            self.outcome.statements[flight.statement].errors += 1;
        }
    }

    /// One wake-up at the next arrival; epoll's own timeout has a millisecond's grain.
    fn set_timer(&mut self, next_ns: Option<u64>, until: u64) -> Result<(), String> {
        let now = self.now_ns();
        let next = next_ns.filter(|next| *next < until).unwrap_or(until);
        if next == self.armed_ns || now >= until {
            return Ok(());
        }
        self.armed_ns = next;
        // Zero would disarm it.
        let delay = next.saturating_sub(now).max(1);
        let value = Timespec {
            tv_sec: (delay / 1_000_000_000) as i64,
            tv_nsec: (delay % 1_000_000_000) as _,
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)
            .map(|_| ())
            .map_err(|e| format!("timerfd: {e}"))
    }
}

fn poll_events(
    poll: &mut Poll,
    events: &mut Events,
    timeout: Option<Duration>,
) -> Result<(), String> {
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        other => other.map_err(|e| format!("epoll: {e}")),
    }
}

fn seconds_ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}
