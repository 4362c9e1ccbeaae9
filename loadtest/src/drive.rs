//! The loop: one thread, one epoll, many connections.
//!
//! In: an endpoint, a plan, a schedule. Out: an `Outcome`. Never: a request that starts late
//! without the delay being counted: an arrival that finds no free connection waits in `waiting`
//! with its intended time.
//!
//! ```text
//! Opening --writable--> Login --ready--> Preparing --ready--> Running --end--> (closed)
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
use crate::endpoint::Endpoint;
use crate::login::{Caller, Login};
use crate::outcome::{Finished, Outcome, record};
use crate::plan::{Mode, Plan};
use crate::schedule::{Arrivals, Random, Schedule};
use crate::wire::{self, Message};

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
    /// Where to.
    pub endpoint: Endpoint,
    /// Its address.
    pub address: SocketAddr,
    /// What is sent.
    pub plan: Plan,
    /// How it travels.
    pub mode: Mode,
    /// Requests outstanding on one connection when the mode is `Pipelined`, else one.
    pub depth: usize,
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
    let mut whole = Outcome::new(settings.plan.statements.len());
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
    Opening,
    Login(Login),
    Preparing,
    Running,
    Gone,
}

/// A request under way.
struct Flight {
    statement: usize,
    intended_ns: u64,
    sent_ns: u64,
    seen: Finished,
}

struct Peer {
    connection: Connection,
    phase: Phase,
    flights: VecDeque<Flight>,
}

struct Worker<'a> {
    settings: &'a Settings,
    poll: Poll,
    timer: OwnedFd,
    /// When the timer rings; setting it again costs a system call.
    armed_ns: u64,
    peers: Vec<Peer>,
    /// Peers with room for a request, longest idle first.
    free: VecDeque<usize>,
    /// Intended times of requests that found no free peer.
    waiting: VecDeque<u64>,
    random: Random,
    seed: u64,
    outcome: Outcome,
    start: Instant,
    buffer: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// Opens all connections, a few at a time.
    fn open(settings: &'a Settings, count: usize, index: usize) -> Result<Worker<'a>, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)
            .map_err(|e| format!("timerfd: {e}"))?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(|e| format!("timerfd: {e}"))?;
        let seed = settings.seed.wrapping_add(index as u64 * 7919);
        let mut worker = Worker {
            settings,
            poll,
            timer,
            armed_ns: 0,
            peers: vec![],
            free: VecDeque::new(),
            waiting: VecDeque::new(),
            random: Random::new(seed),
            seed,
            outcome: Outcome::new(settings.plan.statements.len()),
            start: Instant::now(),
            buffer: vec![0; RECEIVE_BYTES],
        };
        let caller = Caller::new(&settings.endpoint)?;
        let mut events = Events::with_capacity(256);
        let until = Instant::now() + OPENING_TIME_MAX;
        while worker.free.len() < count {
            while worker.peers.len() < count && worker.peers.len() - worker.free.len() < OPENING_MAX
            {
                worker.start_opening(&caller)?;
            }
            poll_events(&mut worker.poll, &mut events, Some(Duration::from_secs(1)))?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                let peer = event.token().0;
                worker.go_on_opening(peer, &caller)?;
            }
            if Instant::now() > until {
                return Err(format!("{} of {count} connections opened in time", worker.free.len()));
            }
        }
        Ok(worker)
    }

    fn start_opening(&mut self, caller: &Caller) -> Result<(), String> {
        let (token, registry) = (Token(self.peers.len()), self.poll.registry());
        let connection = Connection::open(caller, self.settings.address, registry, token);
        let connection = connection.map_err(|e| format!("{}: {e}", self.settings.address))?;
        self.peers.push(Peer { connection, phase: Phase::Opening, flights: VecDeque::new() });
        Ok(())
    }

    fn go_on_opening(&mut self, index: usize, caller: &Caller) -> Result<(), String> {
        let peer = &mut self.peers[index];
        let endpoint = caller.endpoint();
        let fail = |gone: Gone| format!("{endpoint:?}: {gone}");
        if matches!(peer.phase, Phase::Opening) {
            if !peer.connection.connected().map_err(fail)? {
                return Ok(());
            }
            peer.phase = Phase::Login(Login::start(caller, &mut peer.connection.out));
        }
        let mut replies = vec![];
        let mut step = Ok(());
        let mut ready = false;
        let phase = &mut peer.phase;
        let read = peer.connection.receive(&mut self.buffer, |message| {
            if step.is_ok() {
                step = opening_message(phase, &self.settings.plan, &message, &mut replies);
                ready |= matches!(phase, Phase::Running);
            }
        });
        step.map_err(|why: String| format!("{endpoint:?}: {why}"))?;
        read.map_err(fail)?;
        peer.connection.out.extend_from_slice(&replies);
        peer.connection.flush().map_err(fail)?;
        if ready {
            self.free.push_back(index);
        }
        Ok(())
    }

    /// Sends, receives, counts, until the window is over and the answers are in.
    fn run(mut self, rate: Option<f64>, finished: &AtomicU64) -> Result<Outcome, String> {
        let mut schedule = rate.map(|rate| Schedule::new(self.settings.arrivals, rate, self.seed));
        let from = seconds_ns(self.settings.warm_up_s);
        let until = from + seconds_ns(self.settings.seconds);
        self.outcome.window_s = self.settings.seconds;
        self.start = Instant::now();
        if schedule.is_none() {
            self.fill_loop();
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
            self.start_due(schedule.as_mut(), from, until)?;
            self.set_timer(schedule.as_ref().map(Schedule::next_ns), until)?;
            poll_events(&mut self.poll, &mut events, Some(Duration::from_millis(100)))?;
            for event in &events {
                if event.token() != TIMER {
                    self.go_on(event.token().0, (from, until));
                }
            }
            let total = self.outcome.statements.iter().map(|t| t.latency.len()).sum::<u64>();
            finished.fetch_add(total - counted, Ordering::Relaxed);
            counted = total;
            if self.peers.iter().all(|peer| matches!(peer.phase, Phase::Gone)) {
                return Err(format!("every connection was lost: {:?}", self.outcome.first_error));
            }
        }
        self.count_unfinished(from, until);
        Ok(self.outcome)
    }

    fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn in_flight(&self) -> usize {
        self.peers.iter().map(|peer| peer.flights.len()).sum()
    }

    /// A closed loop starts with every slot of every connection.
    fn fill_loop(&mut self) {
        let slots: Vec<usize> = self.free.drain(..).collect();
        for index in slots {
            for _ in 0..self.settings.depth {
                let now = self.now_ns();
                self.request(index, now);
            }
            self.flush(index);
        }
    }

    /// Starts what the schedule says should have started by now.
    fn start_due(
        &mut self,
        schedule: Option<&mut Schedule>,
        from: u64,
        until: u64,
    ) -> Result<(), String> {
        let Some(schedule) = schedule else { return Ok(()) };
        let now = self.now_ns();
        while schedule.next_ns() <= now && schedule.next_ns() < until {
            let intended = schedule.next_ns();
            self.outcome.offered += u64::from(intended >= from);
            self.waiting.push_back(intended);
            schedule.advance();
        }
        self.start_waiting();
        Ok(())
    }

    fn start_waiting(&mut self) {
        while !self.waiting.is_empty() {
            let Some(index) = self.free.pop_front() else { return };
            if matches!(self.peers[index].phase, Phase::Gone) {
                continue;
            }
            let Some(intended) = self.waiting.pop_front() else { return };
            self.request(index, intended);
            self.flush(index);
            if self.peers[index].flights.len() < self.settings.depth {
                self.free.push_back(index);
            }
        }
    }

    fn request(&mut self, index: usize, intended_ns: u64) {
        let plan = &self.settings.plan;
        let statement = plan.choose(&mut self.random);
        let sent_ns = self.now_ns();
        let peer = &mut self.peers[index];
        plan.request(statement, &mut self.random, &mut peer.connection.out);
        let seen = Finished::default();
        peer.flights.push_back(Flight { statement, intended_ns, sent_ns, seen });
    }

    fn flush(&mut self, index: usize) {
        if let Err(gone) = self.peers[index].connection.flush() {
            self.lose(index, &gone);
        }
    }

    /// A peer's socket has something to say.
    fn go_on(&mut self, index: usize, window: (u64, u64)) {
        if matches!(self.peers[index].phase, Phase::Gone) {
            return;
        }
        let now = self.now_ns();
        let peer = &mut self.peers[index];
        let mut ended = vec![];
        let mut uploads = vec![];
        let (plan, errors) = (&self.settings.plan, &mut self.outcome.first_error);
        let flights = &mut peer.flights;
        let read = peer.connection.receive(&mut self.buffer, |message| {
            let Some(flight) = flights.front_mut() else { return };
            flight.seen.bytes += message.bytes as u64;
            match message.kind {
                b'D' | b'd' => flight.seen.rows += 1,
                b'E' => {
                    flight.seen.failed = true;
                    errors.get_or_insert_with(|| wire::error_text(message.body));
                }
                b'G' => uploads.extend_from_slice(&plan.statements[flight.statement].copy_in),
                b'Z' => ended.extend(flights.pop_front()),
                _ => {}
            }
        });
        peer.connection.out.extend_from_slice(&uploads);
        let had_room = peer.flights.len() + ended.len() < self.settings.depth;
        let count = ended.len();
        for flight in ended {
            self.count(flight, now, window);
        }
        match read {
            Err(gone) => self.lose(index, &gone),
            Ok(()) if self.settings.rate.is_none() => {
                for _ in 0..count {
                    if now < window.1 {
                        self.request(index, now);
                    }
                }
            }
            Ok(()) if count > 0 && !had_room => self.free.push_back(index),
            Ok(()) => {}
        }
        self.flush(index);
        self.start_waiting();
    }

    /// An open loop counts by when a request should have started, a closed one by when it ended.
    fn count(&mut self, flight: Flight, now: u64, (from, until): (u64, u64)) {
        let at = if self.settings.rate.is_some() { flight.intended_ns } else { now };
        if at < from || at >= until {
            return;
        }
        let seen = Finished {
            latency_ns: now - flight.intended_ns,
            service_ns: now - flight.sent_ns,
            ..flight.seen
        };
        self.outcome.finish(flight.statement, ((at - from) / 1_000_000_000) as usize, &seen);
    }

    /// What never ended is counted with the time it has waited so far: leaving it out would make
    /// the worst moment of a server look like its best.
    fn count_unfinished(&mut self, from: u64, until: u64) {
        let now = self.now_ns();
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
        peer.phase = Phase::Gone;
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

/// One message on a connection that is not running yet.
fn opening_message(
    phase: &mut Phase,
    plan: &Plan,
    message: &Message<'_>,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    *phase = match std::mem::replace(phase, Phase::Gone) {
        Phase::Login(mut login) => match login.handle(message, out)? {
            false => Phase::Login(login),
            true if plan.prepare(out) => Phase::Preparing,
            true => Phase::Running,
        },
        Phase::Preparing if message.kind == b'E' => return Err(wire::error_text(message.body)),
        Phase::Preparing if message.kind == b'Z' => Phase::Running,
        other => other,
    };
    Ok(())
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
