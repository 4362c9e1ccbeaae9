//! The control thread: the life of `weir run` after the configuration is read.
//!
//! ```text
//!   Starting --resolve, catalogs--> Serving --SIGTERM, SIGINT--> Draining --Stopped x n--> Ended
//!                                      |  ^                          |
//!                                      +--+ SIGHUP: reload           +-- second signal: at once
//! ```
//!
//! In: settings, a way to start shards, signals, messages of the shards. Out: a served admin API,
//! snapshots, an orderly end.
//! Never: work that blocks on this thread; names and catalogs are read by threads of their own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::api::Api;
use super::audit::{self, Act};
use super::auth::{self, Caller, Gate};
use super::listen::Bounded;
use super::mesh::{Mesh, Post};
use super::place::Place;
use super::sealing::Sealing;
use super::state::{ControlState, Counters, Instruments, World};
use super::watch::{self, Looks};
use super::webhook::{self, Message};
use super::{catalog, clock, keys, log, notify, reload, resolve, tokens};
use crate::config::settings::Settings;
use crate::decide::approval::AskSummary;
use crate::session::SnapshotSource;
use crate::shard::clock::mono_us;
use crate::shard::mail::{Strain, ToControl, ToShard};

/// Running shards, as whoever started them hands them over.
pub struct Shards {
    /// Mailboxes, by shard.
    pub posts: Vec<Post>,
    /// What the shards say.
    pub inbox: mpsc::Receiver<ToControl>,
    /// The clock of the shards, monotonic microseconds.
    pub mono_us: fn() -> u64,
    /// Progress of the sealer.
    pub sealing: Arc<dyn Sealing>,
    /// What they count and measure.
    pub instruments: Instruments,
    /// Where clients connect.
    pub addresses: Vec<std::net::SocketAddr>,
}

impl std::fmt::Debug for Shards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shards({})", self.posts.len())
    }
}

/// Starts the shards with their first snapshot; an error is a sentence for the operator.
pub type StartShards = Box<dyn FnOnce(Arc<SnapshotSource>) -> Result<Shards, String> + Send>;

/// Reads the configuration again; an error is the report for the operator.
pub type LoadAgain = Box<dyn Fn() -> Result<Settings, String> + Send + Sync>;

/// Makes one message, once per shard.
pub type Make = Box<dyn Fn() -> ToShard + Send + Sync>;

/// Makes what must reach every shard before a snapshot of these settings does; an error is the
/// report for the operator.
pub type Prepare = Box<dyn Fn(&Settings) -> Result<Make, String> + Send + Sync>;

/// What one life needs.
pub struct Life {
    /// The configuration.
    pub settings: Settings,
    /// How to read it again, if it came from a file.
    pub load_again: Option<LoadAgain>,
    /// How to prepare the shards for other settings.
    pub prepare: Prepare,
    /// How to start the shards.
    pub start_shards: StartShards,
    /// Called once when everything serves.
    pub serving: Box<dyn FnOnce(Serving) + Send>,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").field("data_dir", &self.settings.data_dir).finish_non_exhaustive()
    }
}

/// Where everything serves.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The admin API.
    pub admin: std::net::SocketAddr,
    /// Clients of PostgreSQL.
    pub listeners: Vec<std::net::SocketAddr>,
}

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All shards are drained, their journals closed.
    Drained,
    /// The deadline or a second signal came first; what is in the journal is recovered next time.
    Cut,
}

/// Why a life did not begin, or broke off.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// The runtime, a signal handler or a file.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The admin token.
    #[error(transparent)]
    Auth(#[from] auth::AuthError),
    /// The API tokens.
    #[error("{0}")]
    Tokens(String),
    /// The shards did not start.
    #[error("{0}")]
    Shards(String),
    /// A shard ended by itself.
    #[error("a shard ended by itself; the log before this line says why")]
    ShardLost,
}

/// Lives: starts everything, serves, drains. Blocks the calling thread until the end.
///
/// # Errors
/// Something needed at the start is missing, or a shard died.
pub fn run(life: Life) -> Result<Ended, LifeError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("weir-lookup")
        .build()
        .map_err(io_error("cannot start the control thread"))?;
    let ended = runtime.block_on(live(life));
    // A name lookup or a catalog read may still block; nobody waits for its outcome any more.
    runtime.shutdown_background();
    ended
}

async fn live(life: Life) -> Result<Ended, LifeError> {
    // Before anything listens, so that no signal finds the default action.
    let mut signals = Signals::new()?;
    let Life { settings, load_again, prepare, start_shards, serving } = life;
    let data_dir = settings.data_dir.clone();
    let gate = Gate::new(&auth::load_or_make_token(&data_dir)?)?;
    let admin = settings.admin;
    let listener = TcpListener::bind(admin).await.map_err(io_error(&format!(
        "cannot listen on {admin}, `[admin] address`, for the admin API"
    )))?;
    let address = listener.local_addr().map_err(io_error("the admin API has no address"))?;
    if !address.ip().is_loopback() {
        log::warn(&format!("the admin API listens on {address} in clear, beyond this machine"));
    }
    let mut world = World::new(settings, auth::load_or_make_seed(&data_dir)?);
    world.tokens = Arc::new(tokens::load(&data_dir).map_err(LifeError::Tokens)?);
    look_around(&mut world).await;
    // Before the shards read them.
    let looks = Looks::of(&world.settings);
    let prepare = Arc::new(prepare);
    let shards = start_shards(world.snapshot()).map_err(LifeError::Shards)?;
    let state =
        Arc::new(ControlState::new(world, Mesh::new(shards.posts), gate, shards.instruments));
    for index in 0..state.world().targets.len() {
        tokio::spawn(keep_catalog(state.clone(), index));
    }
    keys::keep_all(&state);
    tokio::spawn(resolve::keep(state.clone()));
    tokio::spawn(watch_sealer(state.clone(), shards.sealing.clone()));
    tokio::spawn({
        let state = state.clone();
        async move { state.keep_publishing().await }
    });
    tokio::spawn(watch::keep(state.clone(), prepare.clone(), looks));
    tokio::spawn(watch::keep_lists(state.clone()));
    tokio::spawn(tokens::keep(state.clone()));
    let api = Api::new(state.clone(), shards.sealing).service();
    tokio::spawn(async move { axum::serve(Bounded::new(listener), api).await });
    state.listens_at(address);
    audit::take_pending(&state, &data_dir).await;
    place(&data_dir, address, &state)?;
    let listeners: Vec<_> = shards.addresses.iter().map(ToString::to_string).collect();
    log::info(&format!("clients on {}, admin API on http://{address}", listeners.join(", ")));
    serving(Serving { admin: address, listeners: shards.addresses });
    notify::tell("READY=1");
    if let Some(every) = notify::watchdog() {
        tokio::spawn(async move {
            loop {
                notify::tell("WATCHDOG=1");
                tokio::time::sleep(every).await;
            }
        });
    }
    let mut core = ControlLoop {
        state,
        inbox: shards.inbox,
        mono_us: shards.mono_us,
        load_again: load_again.map(Arc::new),
        prepare,
        stopped: 0,
    };
    let ended = core.serve(&mut signals).await;
    Place::remove(&data_dir);
    ended
}

/// Says when recording or sealing gets into trouble, and when it is over.
async fn watch_sealer(state: Arc<ControlState>, sealing: Arc<dyn Sealing>) {
    let changed = Arc::new(tokio::sync::Notify::new());
    sealing.on_trouble(Arc::new({
        let changed = changed.clone();
        move || changed.notify_one()
    }));
    let mut before = None;
    loop {
        let now = sealing.trouble();
        match &now {
            _ if now == before => {}
            Some(trouble) => log::error(&format!("records cannot reach the lake: {trouble}")),
            None => log::info("records reach the lake again"),
        }
        before = now;
        for note in sealing.notes() {
            log::tell(log::Level::Error, note.event, &note.message);
            let note = Box::new(note);
            if !state.mesh.send(0, || ToShard::Note(note.clone())).await {
                log::error("this could not be recorded");
            }
        }
        changed.notified().await;
    }
}

/// Addresses and catalogs before the first client comes, as far as they are quick to have.
async fn look_around(world: &mut World) {
    let settings = world.settings.clone();
    let mut reads = tokio::task::JoinSet::new();
    let mut issuers = tokio::task::JoinSet::new();
    for issuer in settings.issuers.iter().cloned() {
        let name = issuer.policy.issuer.clone();
        issuers.spawn(async move { (name, keys::read(issuer).await) });
    }
    for (index, target) in settings.targets.iter().enumerate() {
        let outcome = resolve::lookup(target).await;
        world.take_addresses(index, outcome);
        let addresses = world.targets.get(index).map(|facts| facts.addresses.clone());
        if let (Some(addresses), true) = (addresses, catalog::is_read(target)) {
            let target = target.clone();
            reads.spawn_blocking(move || (index, catalog::read(&target, &addresses)));
        }
    }
    let all = async {
        while let Some(done) = reads.join_next().await {
            if let Ok((index, outcome)) = done {
                world.take_catalog(index, outcome.map(Arc::new).map_err(|error| error.to_string()));
            }
        }
        while let Some(done) = issuers.join_next().await {
            if let Ok((name, outcome)) = done {
                let facts = world.issuers.entry(name.clone()).or_default();
                facts.take(&name, outcome);
            }
        }
    };
    // A target or an issuer that is down is no reason not to start; sessions wait for it.
    let _ = tokio::time::timeout(FIRST_CATALOGS_WAIT, all).await;
    reads.detach_all();
}

fn place(
    data_dir: &std::path::Path,
    address: std::net::SocketAddr,
    state: &ControlState,
) -> Result<(), LifeError> {
    let place = Place {
        address: address.to_string(),
        pid: std::process::id(),
        started_at: clock::to_text(state.started_us),
    };
    place.write(data_dir).map_err(io_error("cannot write admin.json into the data directory"))
}

/// Keeps the catalog of one target fresh: every minute, when a session asks, soon after a failure.
/// One read at a time; requests that come during a read are answered by one more.
async fn keep_catalog(state: Arc<ControlState>, index: usize) {
    let Some(wanted) = state.world().targets.get(index).map(|facts| facts.wanted.clone()) else {
        return;
    };
    loop {
        let asked = match pause(&state, index) {
            None => {
                wanted.notified().await;
                true
            }
            Some(pause) => tokio::time::timeout(pause, wanted.notified()).await.is_ok(),
        };
        let start = Instant::now();
        let changed = refresh(&state, index).await;
        // A shard that asked waits for the answer, even when nothing changed.
        if asked || changed {
            state.publish().await;
        }
        tokio::time::sleep(catalog_pause(start.elapsed())).await;
    }
}

/// How long the catalog of a target may rest; `None` where none is read.
fn pause(state: &ControlState, index: usize) -> Option<Duration> {
    let world = state.world();
    let target = world.settings.targets.get(index)?;
    let facts = world.targets.get(index)?;
    if !catalog::is_read(target) {
        return None;
    }
    let failed = facts.catalog.is_none() || !facts.catalog_error.is_empty();
    Some(if failed { CATALOG_RETRY } else { CATALOG_EVERY })
}

/// Reads the catalog of one target if it has one; whether it changed.
async fn refresh(state: &ControlState, index: usize) -> bool {
    let (target, addresses) = {
        let world = state.world();
        let (Some(target), Some(facts)) =
            (world.settings.targets.get(index), world.targets.get(index))
        else {
            return false;
        };
        if !catalog::is_read(target) {
            return false;
        }
        (target.clone(), facts.addresses.clone())
    };
    let place = (target.reach.hosts.clone(), target.database.clone());
    let begun_us = mono_us();
    let read = tokio::task::spawn_blocking(move || catalog::read(&target, &addresses));
    let outcome = match read.await {
        Ok(outcome) => outcome.map(Arc::new).map_err(|error| error.to_string()),
        Err(_) => Err("the reader failed".to_owned()),
    };
    let counter = match outcome {
        Ok(_) => &state.counters.catalogs_read,
        Err(_) => &state.counters.catalogs_failed,
    };
    Counters::count(counter);
    let mut world = state.world();
    // Other targets may be the same database; and a reload may have moved this one meanwhile, the
    // catalog is of the old place then.
    let settings = world.settings.clone();
    let mut changed = false;
    for (other, now) in settings.targets.iter().enumerate() {
        let same = (&now.reach.hosts, &now.database) == (&place.0, &place.1);
        let takes = other == index || (outcome.is_ok() && catalog::is_read(now));
        if same && takes {
            changed |= world.take_catalog(other, outcome.clone());
            if let (Ok(_), Some(facts)) = (&outcome, world.targets.get_mut(other)) {
                facts.catalog_begun_us = begun_us;
            }
        }
    }
    changed
}

/// Ends the sessions of users who may no longer have them.
async fn end_sessions(state: &ControlState, ended: &reload::Ended) {
    if ended.is_nobody() {
        return;
    }
    let (sessions, silent) = state.mesh.sessions().await;
    if silent > 0 {
        log::error(&format!("{silent} shards did not say whose sessions they have"));
    }
    for session in sessions.iter().filter(|session| ended.has(&session.user)) {
        let id = super::shape::id_text(session.session_id);
        let message = format!("session {id} of {} ends: the reload took what it had", session.user);
        match state.mesh.kill(session.session_id).await {
            Some(_) => log::tell(log::Level::Info, "kill", &message),
            None => log::error(&format!("session {id} could not be ended: a shard is silent")),
        }
    }
}

/// The loop that listens to shards and signals.
struct ControlLoop {
    state: Arc<ControlState>,
    inbox: mpsc::Receiver<ToControl>,
    mono_us: fn() -> u64,
    load_again: Option<Arc<LoadAgain>>,
    prepare: Arc<Prepare>,
    stopped: usize,
}

impl ControlLoop {
    async fn serve(&mut self, signals: &mut Signals) -> Result<Ended, LifeError> {
        // A shard that ends says so; this finds one whose last word had no room.
        let mut watch = tokio::time::interval(WATCH_EVERY);
        loop {
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => {
                        self.take(message);
                        if self.stopped > 0 {
                            return Err(LifeError::ShardLost);
                        }
                    }
                    None => return Err(LifeError::ShardLost),
                },
                name = end(&mut signals.terminate, &mut signals.interrupt) => {
                    log::info(&format!("{name}: no new logins, running statements may finish"));
                    notify::tell("STOPPING=1");
                    return Ok(self.drain(signals).await);
                }
                _ = signals.hangup.recv() => {
                    notify::tell(&notify::reloading(notify::uptime_us()));
                    self.reload().await;
                    notify::tell("READY=1");
                }
                _ = watch.tick() => {
                    if self.state.mesh.is_broken() {
                        return Err(LifeError::ShardLost);
                    }
                }
            }
        }
    }

    fn take(&mut self, message: ToControl) {
        match message {
            ToControl::AskOpened { shard, ask } => {
                log::info(&format!(
                    "approval {}: {} waits at {} by rule {}",
                    super::shape::id_text(ask.id),
                    ask.user,
                    ask.target,
                    ask.rule
                ));
                let ask = self.state.open_ask(shard, *ask).ask;
                self.tell("ask.opened", "", ask);
            }
            ToControl::AskClosed { id, event } => {
                log::info(&format!("approval {}: {event}", super::shape::id_text(id)));
                if let Some(closed) = self.state.close_ask(id, event) {
                    self.tell("ask.closed", event, closed.ask);
                }
            }
            ToControl::Window(window) => {
                log::info(&format!(
                    "window {}: {} may run {} at {} as {}",
                    super::shape::id_text(window.id),
                    window.user,
                    window.classes.join(", "),
                    window.target,
                    window.role
                ));
                self.state.open_window(*window);
                let state = self.state.clone();
                tokio::spawn(async move { state.publish().await });
            }
            ToControl::RefreshCatalog { target } => {
                if let Some(facts) = self.state.world().targets.get(target) {
                    facts.wanted.notify_one();
                }
            }
            ToControl::Reach { target, failure } => self.state.world().take_reach(target, failure),
            ToControl::Strained { strain, times } => say_strained(strain, times),
            ToControl::RefreshKeys { issuer } => keys::want(&self.state, &issuer),
            ToControl::Cancel { shard, key, client } => {
                let state = self.state.clone();
                tokio::spawn(async move { state.mesh.cancel(shard, key, client).await });
            }
            ToControl::Stopped { shard } => {
                log::info(&format!("shard {shard} has stopped"));
                self.stopped += 1;
            }
        }
    }

    fn tell(&self, kind: &'static str, ended: &'static str, ask: Arc<AskSummary>) {
        let message = Message { kind, ended, ask, at_us: clock::utc_us() };
        webhook::tell(&self.state, &message);
    }

    /// Reads the configuration again and brings it into force; a problem keeps the old one.
    async fn reload(&mut self) {
        match self.try_reload().await {
            Ok(notes) => {
                notes.iter().for_each(|note| log::warn(&format!("SIGHUP: {note}")));
                Counters::count(&self.state.counters.reloads);
                log::info("SIGHUP: the configuration is in force");
            }
            Err(report) => {
                report.lines().for_each(log::error);
                log::error("SIGHUP: the old configuration stays in force");
            }
        }
    }

    async fn try_reload(&mut self) -> Result<Vec<String>, String> {
        let load = self.load_again.clone().ok_or("there is no configuration file to read again")?;
        let prepare = self.prepare.clone();
        let state = self.state.clone();
        let _turn = state.reloading.lock().await;
        let old = self.state.settings();
        // Files, and commands that print passwords: not on this thread.
        let work = tokio::task::spawn_blocking(move || {
            let merged = reload::merge(&old, load()?);
            let first = prepare(&merged.settings)?;
            Ok::<_, String>((merged, first))
        });
        let (merged, first) = work.await.map_err(|_| "reading the configuration failed")??;
        let before = self.state.settings();
        let ended = reload::ended(&before, &merged.settings);
        let changes = reload::changes(&before, &merged.settings);
        self.state.prepare(first);
        let (known, count) = self.state.world().replace(merged.settings, &merged.moved);
        // New rules do not wait for names: twenty that do not resolve take minutes.
        self.state.publish().await;
        // A signal has no name; whoever may send it to this process has the same login or is root.
        let caller = Caller::unproven("a signal", "signal");
        let act = Act::new("reload", "brought a configuration into force");
        audit::record(&self.state, &caller, act.with("changes", changes)).await;
        end_sessions(&self.state, &ended).await;
        tokens::end_over(&self.state).await;
        let state = self.state.clone();
        tokio::spawn(async move { resolve::resolve_all(&state).await });
        for index in known..count {
            tokio::spawn(keep_catalog(self.state.clone(), index));
        }
        // Targets may be reached otherwise now.
        self.state.world().targets.iter().for_each(|facts| facts.wanted.notify_one());
        // An issuer may be reached otherwise now, or be new.
        keys::keep_all(&self.state);
        self.state.world().issuers.values().for_each(|facts| facts.wanted.notify_one());
        Ok(merged.notes)
    }

    /// Ends all sessions and waits for the shards, up to the deadline or a second signal.
    async fn drain(&mut self, signals: &mut Signals) -> Ended {
        self.state.draining.store(true, Ordering::Relaxed);
        let drain = Duration::from_micros(self.state.settings().drain_us);
        let deadline_us = (self.mono_us)() + drain.as_micros() as u64;
        self.state.mesh.broadcast(|| ToShard::Drain { deadline_us }).await;
        let mut give_up = Instant::now() + drain + DRAIN_GRACE;
        let mut hurried = false;
        while self.stopped < self.state.mesh.len() {
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => break,
                },
                name = end(&mut signals.terminate, &mut signals.interrupt), if !hurried => {
                    log::warn(&format!("{name} again: sessions are ended at once"));
                    hurried = true;
                    give_up = Instant::now() + DRAIN_GRACE;
                    self.state.mesh.broadcast(|| ToShard::Drain { deadline_us: 0 }).await;
                }
                () = tokio::time::sleep_until(give_up) => break,
            }
        }
        let missing = self.state.mesh.len() - self.stopped;
        if missing > 0 {
            log::error(&format!("{missing} shards did not stop in time"));
            return Ended::Cut;
        }
        Ended::Drained
    }
}

/// The signals that weir answers.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals, LifeError> {
        let listen = |kind| signal(kind).map_err(io_error("cannot listen for signals"));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}

/// Waits for a signal to end; its name.
async fn end(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn io_error(what: &str) -> impl FnOnce(std::io::Error) -> LifeError + use<> {
    let what = what.to_owned();
    move |source| LifeError::Io { what, source }
}

/// What a shard gets beyond the deadline, to close its journal.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
const FIRST_CATALOGS_WAIT: Duration = Duration::from_secs(2);
const CATALOG_EVERY: Duration = Duration::from_secs(60);
const CATALOG_RETRY: Duration = Duration::from_secs(5);
/// Between two reads of one target, whoever asks: temporary tables ask often.
const CATALOG_PAUSE: Duration = Duration::from_millis(100);
/// Shorter than an answer waits for a catalog.
const CATALOG_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A client cannot keep a target busy with readings of its catalog: they take a tenth of the time.
fn catalog_pause(took: Duration) -> Duration {
    (took * 9).clamp(CATALOG_PAUSE, CATALOG_PAUSE_MAX)
}

const _: () = assert!(CATALOG_PAUSE_MAX.as_micros() < crate::limits::CATALOG_WAIT_US as u128);
const WATCH_EVERY: Duration = Duration::from_secs(30);

/// A shard says so at most once a minute.
fn say_strained(strain: Strain, times: u64) {
    let (event, words) = match strain {
        Strain::Sessions => (
            "sessions-full",
            "clients were turned away: all sessions are taken that the limit of open files leaves \
             room for (`weir check` tells how many)",
        ),
        Strain::Descriptors => (
            "descriptors-short",
            "connections could not be accepted: the process has no file descriptor left",
        ),
        Strain::Journal => (
            "answers-wait",
            "answers of targets are not read until the journal has room for them; new commands are \
             refused",
        ),
    };
    log::tell(log::Level::Warn, event, &format!("{words} ({times} times)"));
}
