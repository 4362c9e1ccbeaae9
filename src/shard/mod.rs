//! One core: executor, ring, buffers, timers, mailboxes.
//!
//! In: settings, a journal per shard. Out: running shards, one OS thread each, and their mailboxes.
//! Never: a lock or a wait between shards; a client lives and dies on the shard that accepted it.

mod abroad;
pub mod check;
pub mod clock;
pub mod contain;
mod control;
pub mod core;
pub mod counters;
pub mod drive;
pub mod errand;
mod flush;
mod idle;
pub mod journal;
pub mod leg;
mod legs;
pub mod mail;
pub mod mailbox;
mod outage;
mod park;
mod parties;
pub mod pool;
mod refusal;
pub mod ring;
pub mod slab;
mod strain;
mod stream;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use crate::accept::door::Door;
use crate::accept::{self, socket};
use crate::config::settings::{Listen, UnprovenMax};
use crate::decide::approval::Denials;
use crate::metrics::Meters;
use crate::session::Snapshot;
use crate::session::SnapshotSource;
use crate::wire::Protocol;
use check::{KernelFacts, KernelProblem};
use core::{Accepting, Core, Doorway, Parts};
use counters::Counters;
use journal::ShardJournal;
use mail::ToControl;
use mailbox::{Letters, Mailbox, Peer, Reports};
use tls::{TlsConfigs, TlsProblem};

/// The names of the shards' threads begin so.
const THREAD_NAME: &str = "weir-shard-";
/// Memory of each executor for file I/O, which shards do on their own ring.
const EXECUTOR_IO_BYTES: usize = 64 << 10;

/// What shards are started with.
pub struct StartShards<F> {
    /// Settings, catalogs, addresses.
    pub source: Arc<SnapshotSource>,
    /// Makes the journal of a shard, on the thread of that shard.
    pub journal: F,
    /// Where shards report to.
    pub to_control: tokio::sync::mpsc::Sender<ToControl>,
}

impl<F> std::fmt::Debug for StartShards<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StartShards").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Why shards do not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// io_uring cannot be used.
    #[error(transparent)]
    Kernel(#[from] KernelProblem),
    /// Certificates, keys or roots are not usable.
    #[error(transparent)]
    Tls(#[from] TlsProblem),
    /// The address is taken, not ours, or privileged.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// From the configuration.
        address: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The journal of a shard cannot be opened.
    #[error("shard {shard}: {cause}")]
    Journal {
        /// Index.
        shard: usize,
        /// What the journal says.
        cause: String,
    },
    /// A thread, an executor or a ring cannot be made.
    #[error("shard {shard} does not start: {cause}")]
    Shard {
        /// Index.
        shard: usize,
        /// What the system says.
        cause: String,
    },
}

/// A running shard.
#[derive(Debug)]
pub struct ShardHandle {
    /// Sends messages to it.
    pub mailbox: Mailbox,
    /// What it counts.
    pub counters: Arc<Counters>,
    /// What it measures of each target.
    pub meters: Arc<Meters>,
    /// Where it listens, in the order of the configuration; tells the port when that says 0.
    pub addresses: Vec<SocketAddr>,
    thread: ExecutorJoinHandle<io::Result<()>>,
}

impl ShardHandle {
    /// Waits until the shard has ended, after a drain.
    ///
    /// # Errors
    /// It ended otherwise: its ring failed, or it panicked outside of a session.
    pub fn join(self) -> io::Result<()> {
        self.thread.join().map_err(|e| io::Error::other(e.to_string()))?
    }
}

/// Starts all shards. Either all run, or none.
///
/// # Errors
/// The first thing that does not work, in words for the person who starts weir.
pub fn start<J, E, F>(config: StartShards<F>) -> Result<Vec<ShardHandle>, StartError>
where
    J: ShardJournal,
    E: std::error::Error,
    F: Fn(usize) -> Result<J, E> + Clone + Send + 'static,
{
    start_capped::<J, E, F>(config, None)
}

/// `start` with a cap on sessions other than the one the descriptors give.
fn start_capped<J, E, F>(
    config: StartShards<F>,
    cap: Option<usize>,
) -> Result<Vec<ShardHandle>, StartError>
where
    J: ShardJournal,
    E: std::error::Error,
    F: Fn(usize) -> Result<J, E> + Clone + Send + 'static,
{
    let _facts: KernelFacts = check::check()?;
    clock::mono_us();
    let settings = &config.source.settings;
    let tls = Arc::new(TlsConfigs::load(settings)?);
    let shards = settings.shards.max(1);
    let problem =
        |shard| move |cause: io::Error| StartError::Shard { shard, cause: cause.to_string() };
    let cores = socket::cores().map_err(problem(0))?;
    let sessions_max = match cap {
        Some(cap) => cap,
        None => accept::sessions_max(shards).map_err(problem(0))?,
    };
    let mut addresses: Vec<_> = settings.listeners.iter().map(|it| it.address).collect();
    let mut started = Started(Vec::with_capacity(shards));
    let (mut peers, mut ends) = (Vec::new(), Vec::new());
    for shard in 0..shards {
        let (mailbox, letters) = mailbox::mailbox().map_err(problem(shard))?;
        let counters = Arc::new(Counters::default());
        peers.push(Peer::new(mailbox.clone(), Arc::clone(&counters)));
        ends.push((mailbox, letters, counters));
    }
    let peers: Arc<[Peer]> = peers.into();
    let denied = Arc::<Denials>::default();
    // Those that never log in must leave room for those that do.
    let half = u32::try_from(sessions_max.saturating_mul(shards) / 2).unwrap_or(u32::MAX).max(1);
    let door = |listen: &Listen| {
        let UnprovenMax { per_address, total, per_second } = listen.unproven;
        // Elsewhere a connection that says nothing costs nothing.
        let rate = if listen.protocol == Protocol::Ssh { per_second } else { u32::MAX };
        Door::new(per_address, total.unwrap_or(half), rate)
    };
    let doors: Vec<_> = settings.listeners.iter().map(door).collect();
    for (shard, (mailbox, letters, counters)) in ends.into_iter().enumerate() {
        let mut doorways = Vec::new();
        let places = settings.listeners.iter().zip(&mut addresses).zip(&doors);
        for ((listen, address), door) in places {
            doorways.push(doorway(listen, address, door)?);
        }
        let meters = Arc::new(Meters::new(clock::mono_ns));
        let seed = Seed {
            shard,
            core: cores.get(shard % cores.len().max(1)).copied().unwrap_or(0),
            source: Arc::clone(&config.source),
            tls: Arc::clone(&tls),
            doorways,
            letters,
            reports: Reports::new(shard, config.to_control.clone()),
            counters: Arc::clone(&counters),
            peers: Arc::clone(&peers),
            denied: Arc::clone(&denied),
            meters: Arc::clone(&meters),
            sessions_max,
        };
        let thread = seed.grow::<J, E, F>(config.journal.clone())?;
        started.0.push(ShardHandle {
            mailbox,
            counters,
            meters,
            addresses: addresses.clone(),
            thread,
        });
    }
    Ok(std::mem::take(&mut started.0))
}

/// Listens at one address. The shards after the first one take the port that this one got.
fn doorway(
    listen: &Listen,
    address: &mut SocketAddr,
    door: &Arc<Door>,
) -> Result<Doorway, StartError> {
    let listening = |cause| StartError::Listen { address: listen.address, cause };
    let listener = socket::listen(*address, &listen.keepalive).map_err(listening)?;
    *address = listener.local_addr().map_err(listening)?;
    Ok(Doorway {
        listener: Some(listener),
        accepting: Accepting::Armed,
        protocol: listen.protocol,
        door: Arc::clone(door),
    })
}

/// Shards that run already while others are started; they end when one of those does not.
struct Started(Vec<ShardHandle>);

impl Drop for Started {
    fn drop(&mut self) {
        for handle in self.0.drain(..) {
            // Neither can fail in a way that matters more than what the caller is told.
            let _stopped = handle.mailbox.send(mail::ToShard::Drain { deadline_us: 0 });
            let _ended = handle.join();
        }
    }
}

/// What travels to the thread of a shard.
struct Seed {
    shard: usize,
    core: usize,
    source: Arc<SnapshotSource>,
    tls: Arc<TlsConfigs>,
    doorways: Vec<Doorway>,
    letters: Letters,
    reports: Reports,
    counters: Arc<Counters>,
    peers: Arc<[Peer]>,
    denied: Arc<Denials>,
    meters: Arc<Meters>,
    sessions_max: usize,
}

impl Seed {
    /// Starts the thread, and waits until the shard accepts clients.
    fn grow<J, E, F>(self, journal: F) -> Result<ExecutorJoinHandle<io::Result<()>>, StartError>
    where
        J: ShardJournal,
        E: std::error::Error,
        F: Fn(usize) -> Result<J, E> + Send + 'static,
    {
        let shard = self.shard;
        let failed = move |cause: String| StartError::Shard { shard, cause };
        let (started, outcome) = channel();
        let thread = LocalExecutorBuilder::new(Placement::Fixed(self.core))
            .name(&format!("{THREAD_NAME}{shard}"))
            .io_memory(EXECUTOR_IO_BYTES)
            .spawn(move || async move {
                match self.core::<J, E, F>(journal, &started) {
                    Some(core) => {
                        // The starter waits for this, or has given up with an error of its own.
                        let _gone = started.send(Ok(()));
                        core.run()
                    }
                    None => Ok(()),
                }
            })
            .map_err(|e| failed(e.to_string()))?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(e)) => Err(e),
            Err(_) => Err(failed("its thread ended at once".to_owned())),
        }
    }

    fn core<J, E, F>(self, journal: F, started: &Sender<Result<(), StartError>>) -> Option<Core<J>>
    where
        J: ShardJournal,
        E: std::error::Error,
        F: Fn(usize) -> Result<J, E>,
    {
        let shard = self.shard;
        let journal =
            journal(shard).map_err(|e| StartError::Journal { shard, cause: e.to_string() });
        let core = journal.and_then(|journal| {
            Core::new(Parts {
                shard,
                snapshot: Rc::new(Snapshot::build(&self.source)),
                journal,
                tls: self.tls,
                doorways: self.doorways,
                letters: self.letters,
                reports: self.reports,
                counters: self.counters,
                peers: self.peers,
                denied: self.denied,
                meters: self.meters,
                sessions_max: self.sessions_max,
            })
            .map_err(|e| StartError::Shard { shard, cause: e.to_string() })
        });
        match core {
            Ok(core) => Some(core),
            Err(problem) => {
                // The starter waits for this.
                let _gone = started.send(Err(problem));
                None
            }
        }
    }
}
