//! `weir run`: the gateway.
//!
//! In: a configuration file, or one target's URL. Out: a running gateway until a signal ends it.
//! Never: a password on stderr; the generated login is printed on stdout, once per start.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use clap::Args;
use tokio::sync::mpsc;

use super::fail::{EXIT_CONFIG, EXIT_FAILURE, EXIT_USAGE, Failure};
use super::output::{Output, note};
use super::place::DATA_DIR_DEFAULT;
use crate::admin::control::{self, Ended, Life, Serving, Shards};
use crate::admin::disk::{Disk, Trend};
use crate::admin::exclusive::Exclusive;
use crate::admin::mesh::{Delivery, Post};
use crate::admin::sealing::Sealing;
use crate::admin::state::{Instruments, Totals};
use crate::admin::{auth, clock, log};
use crate::config::settings::Settings;
use crate::config::target_url;
use crate::limits::MAILBOX_MESSAGES_MAX;
use crate::metrics::Total;
use crate::record::JOURNAL_FOLDER;
use crate::record::durable::open_to_others;
use crate::record::pool::{self, SegmentPool, check_room};
use crate::record::quarantine;
use crate::record::recover::{DataDirLock, Notice, Recovered, recover};
use crate::record::sealer::{Progress, Sealer};
use crate::record::spool::Spool;
use crate::session::SnapshotSource;
use crate::shard::counters::{Counter, Counters};
use crate::shard::mail::{Note, ToShard};
use crate::shard::mailbox::{Mailbox, Undelivered};
use crate::shard::tls::TlsConfigs;
use crate::shard::{self, ShardHandle, StartShards};

/// Arguments.
#[derive(Debug, Args)]
pub struct Run {
    /// Configuration
    #[arg(long, value_name = "FILE", required_unless_present = "target")]
    config: Option<PathBuf>,
    /// One target instead: postgres://user:password@host/database
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    target: Option<String>,
    /// Where records are kept, with --target [default: $WEIR_DATA_DIR, or weir-data]
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// Where clients connect, with --target [default: 127.0.0.1:6432]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    listen: Option<SocketAddr>,
    /// Where the admin API listens, with --target [default: 127.0.0.1:8620]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    admin: Option<SocketAddr>,
}

/// Runs the command, for as long as the gateway lives.
///
/// # Errors
/// It cannot start, or a part of it broke.
pub fn run(args: &Run) -> Result<(), Failure> {
    let (settings, login) = match (&args.config, &args.target) {
        (Some(file), _) => (super::load(file)?, None),
        (None, Some(url)) => one_target(args, url).map(|(it, login)| (it, Some(login)))?,
        (None, None) => return Err(Failure::new(EXIT_USAGE, "give --config or --target")),
    };
    shard::check::check().map_err(|problem| Failure::new(EXIT_FAILURE, problem.to_string()))?;
    shard::contain::end_process_with_a_shard();
    make_data_dir(&settings.data_dir)?;
    let lock = DataDirLock::take(&settings.data_dir)
        .map_err(|error| Failure::new(EXIT_FAILURE, error.to_string()))?;
    let _own = Exclusive::take(settings.listeners.iter().map(|listen| listen.address)).map_err(
        |(address, error)| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                let message = format!("another weir on this machine listens on {address}");
                Failure::new(EXIT_FAILURE, message)
                    .hint("stop it, or give this one an address of its own")
            }
            _ => Failure::because(&format!("cannot lock the address {address}"), error),
        },
    )?;
    warn_of_readers(&settings.data_dir);
    let found = bring_in(&lock)?;
    room_for_journal(&settings)?;
    let data_dir = settings.data_dir.clone();
    let keeper = Arc::new(Keeper::default());
    let life = Life {
        load_again: args.config.clone().map(|file| -> control::LoadAgain {
            Box::new(move || crate::config::load(&file).map_err(|errors| errors.to_string()))
        }),
        prepare: Box::new(prepare),
        start_shards: Box::new({
            let keeper = Arc::clone(&keeper);
            move |source| start(&source, found, &keeper)
        }),
        serving: Box::new(move |serving| {
            if let Some(login) = login {
                // The gateway serves, whether somebody reads this or not.
                let _ = greet(&login, serving, &data_dir);
            }
        }),
        settings,
    };
    let ended = std::thread::Builder::new()
        .name("weir-control".to_owned())
        .spawn(move || control::run(life))
        .map_err(|error| Failure::because("cannot start the control thread", error))?
        .join();
    let finished = keeper.finish(matches!(ended, Ok(Ok(Ended::Drained))));
    drop(lock);
    match ended {
        Ok(Ok(Ended::Drained)) => {
            log::info("everything recorded is in the lake, ended");
            finished
        }
        Ok(Ok(Ended::Cut)) => {
            Err(Failure::new(EXIT_FAILURE, "ended before all sessions and shards did")
                .hint("nothing recorded is lost: the next start brings it into the lake"))
        }
        Ok(Err(error)) => Err(Failure::new(EXIT_FAILURE, error.to_string())),
        Err(_) => Err(Failure::new(EXIT_FAILURE, "the control thread broke")),
    }
}

/// Without room for its first segments no shard starts: said at once, in numbers.
fn room_for_journal(settings: &Settings) -> Result<(), Failure> {
    let dir = settings.data_dir.join(JOURNAL_FOLDER);
    let room = check_room(&dir, settings.journal.segment_bytes, settings.shards)
        .map_err(|error| Failure::because(&format!("cannot read {}", dir.display()), error))?;
    room.map_err(|(free, needed)| {
        let message = format!(
            "the disk of {} has {} MiB free, the journal needs {} MiB to start",
            dir.display(),
            free >> 20,
            needed >> 20
        );
        Failure::new(EXIT_FAILURE, message)
            .hint("free space, or set a smaller segment in [journal]")
    })
}

/// What was there before keeps its rights, and they may be too many.
fn warn_of_readers(data_dir: &Path) {
    let within = [JOURNAL_FOLDER, "lake"].map(|folder| data_dir.join(folder));
    for path in open_to_others(std::iter::once(data_dir.to_owned()).chain(within)) {
        let path = path.display();
        log::warn(&format!(
            "others may read {path}, where what people typed and saw stands: `chmod go= {path}`"
        ));
    }
}

/// Records hold what people typed and saw: a directory that weir makes is its owner's alone. One
/// that is there keeps the rights it has.
fn make_data_dir(dir: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| Failure::because(&format!("cannot make {}", dir.display()), error))
}

/// The login that `--target` makes.
struct Login {
    password: String,
    target: String,
}

fn one_target(args: &Run, url: &str) -> Result<(Settings, Login), Failure> {
    let variable = std::env::var_os("WEIR_DATA_DIR").map(PathBuf::from);
    let given = args.data_dir.clone().or(variable);
    let data_dir = given.unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
    make_data_dir(&data_dir)?;
    let password = auth::load_or_make_password(&data_dir)
        .map_err(|error| Failure::new(EXIT_FAILURE, error.to_string()))?;
    let mut settings = crate::config::for_target_url(url, data_dir, &password)
        .map_err(|error| Failure::new(EXIT_CONFIG, error.to_string()))?;
    if let (Some(address), Some(listen)) = (args.listen, settings.listeners.first_mut()) {
        listen.address = address;
    }
    if let Some(address) = args.admin {
        settings.admin = address;
    }
    let mut names = settings.targets.iter().map(|target| target.name.clone());
    let target = names.next().unwrap_or_default();
    for doubt in settings.targets.iter().flat_map(target_url::doubts) {
        log::warn(&doubt);
    }
    Ok((settings, Login { password, target }))
}

fn greet(login: &Login, serving: Serving, data_dir: &Path) -> std::io::Result<()> {
    let mut out = Output::new(false);
    let Login { password, target } = login;
    let Some(address) = serving.listeners.first() else { return Ok(()) };
    let (host, port) = (address.ip(), address.port());
    let user = target_url::USER;
    out.line(&format!(
        "psql 'host={host} port={port} dbname={target} user={user} password={password}'"
    ))?;
    out.line(&format!("admin API: http://{}", serving.admin))?;
    out.line(&format!("admin token: {}", auth::token_path(data_dir).display()))?;
    out.flush()
}

/// Brings what an earlier life left in the journal into the lake.
fn bring_in(lock: &DataDirLock) -> Result<Vec<Notice>, Failure> {
    let watched = std::io::stderr().is_terminal();
    if watched {
        note("weir: looking at the journal of the last run ..");
    }
    let mut found = recover(lock, shard::clock::now())
        .map_err(|error| Failure::new(EXIT_FAILURE, error.to_string()))?;
    let notices = std::mem::take(&mut found.notices);
    if found != Recovered::default() {
        log::info(&format!(
            "the last run did not end in order: {} entries of {} segments are in the lake now, \
             {} sessions had no end, {} commands waited for approval",
            found.entries, found.segments, found.sessions, found.holds
        ));
    }
    if found.gaps > 0 || found.missing > 0 || found.damaged > 0 || found.unreadable > 0 {
        log::warn(&format!(
            "the journal has {} gaps, {} entries missing, {} unreadable, {} damaged files; the \
             lake records them as events",
            found.gaps, found.missing, found.unreadable, found.damaged
        ));
    }
    Ok(notices)
}

/// What outlives the control thread: the shards' threads and the sealer.
#[derive(Debug, Default)]
struct Keeper(std::sync::Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    shards: Vec<ShardHandle>,
    sealer: Sealer,
}

impl Keeper {
    /// Waits for the end of threads and sealer, if the shards have stopped in order.
    fn finish(&self, drained: bool) -> Result<(), Failure> {
        let kept = self.0.lock().map_or(None, |mut kept| kept.take());
        let Some(Kept { shards, sealer }) = kept.filter(|_| drained) else { return Ok(()) };
        for (index, handle) in shards.into_iter().enumerate() {
            handle.join().map_err(|error| {
                Failure::because(&format!("shard {index} did not end in order"), error)
            })?;
        }
        sealer.finish();
        Ok(())
    }
}

/// What the control thread asks about the sealer.
#[derive(Debug)]
struct SealerView {
    pool: SegmentPool,
    progress: Arc<Progress>,
    journal: PathBuf,
    /// What recovery found.
    found: std::sync::Mutex<Vec<Notice>>,
    /// How the disk fills.
    trend: std::sync::Mutex<Trend>,
}

impl Sealing for SealerView {
    fn waiting(&self) -> usize {
        self.pool.waiting()
    }

    fn trouble(&self) -> Option<String> {
        self.progress.trouble().or_else(|| self.pool.trouble())
    }

    fn notes(&self) -> Vec<Note> {
        let found = self.found.lock().map(|mut found| std::mem::take(&mut *found));
        let aside = self.progress.take_put_aside().into_iter().map(Notice::from);
        let notices = found.unwrap_or_default().into_iter().chain(aside);
        notices
            .map(|Notice { event, message, attrs }| Note {
                event,
                severity: "error",
                message,
                attrs,
            })
            .collect()
    }

    fn lag_us(&self) -> u64 {
        let since = self.progress.oldest_us.load(Ordering::Relaxed);
        if since == 0 { 0 } else { u64::try_from(clock::utc_us() - since).unwrap_or(0) }
    }

    fn disk(&self) -> Option<Disk> {
        let free = pool::free_bytes(&self.journal).ok()?;
        let mut trend = self.trend.lock().unwrap_or_else(PoisonError::into_inner);
        Some(trend.look(shard::clock::mono_us(), free))
    }

    fn quarantined(&self) -> usize {
        quarantine::count(&self.journal)
    }

    fn on_trouble(&self, listener: Arc<dyn Fn() + Send + Sync>) {
        self.progress.on_trouble(listener.clone());
        self.pool.on_trouble(listener);
    }
}

/// New certificates go to the shards before the snapshot that names their targets.
fn prepare(settings: &Settings) -> Result<control::Make, String> {
    let tls = Arc::new(TlsConfigs::load(settings).map_err(|problem| problem.to_string())?);
    Ok(Box::new(move || ToShard::Tls(Arc::clone(&tls))))
}

fn start(
    source: &Arc<SnapshotSource>,
    found: Vec<Notice>,
    keeper: &Keeper,
) -> Result<Shards, String> {
    let settings = Arc::clone(&source.settings);
    let journal_dir = settings.data_dir.join(JOURNAL_FOLDER);
    let pool = SegmentPool::start(&journal_dir, &settings.journal)
        .map_err(|error| format!("{}: {error}", journal_dir.display()))?;
    let (sealed, sealer) = Sealer::start(&settings.data_dir, pool.clone())
        .map_err(|error| format!("the sealer does not start: {error}"))?;
    let (to_control, inbox) = mpsc::channel(MAILBOX_MESSAGES_MAX);
    let node = settings.node.clone().unwrap_or_else(host_name);
    let journal = {
        let pool = pool.clone();
        move |shard: usize| {
            let shard = u32::try_from(shard).unwrap_or(u32::MAX);
            let (sealed, pool) = (sealed.clone(), pool.clone());
            Spool::open(&journal_dir, &node, shard, &settings.journal, sealed, pool)
        }
    };
    let started = shard::start(StartShards { source: Arc::clone(source), journal, to_control });
    let shards = started.map_err(|error| error.to_string())?;
    let first = shards.first().ok_or("no shard was started")?;
    let addresses = first.addresses.clone();
    let posts = shards.iter().map(|handle| post(handle.mailbox.clone())).collect();
    let totals = totals(shards.iter().map(|handle| Arc::clone(&handle.counters)).collect());
    let meters = shards.iter().map(|handle| Arc::clone(&handle.meters)).collect();
    let instruments = Instruments { totals, meters };
    let sealing = Arc::new(SealerView {
        pool,
        progress: sealer.progress(),
        journal: source.settings.data_dir.join(JOURNAL_FOLDER),
        found: std::sync::Mutex::new(found),
        trend: std::sync::Mutex::default(),
    });
    if let Ok(mut kept) = keeper.0.lock() {
        *kept = Some(Kept { shards, sealer });
    }
    Ok(Shards { posts, inbox, mono_us: shard::clock::mono_us, sealing, instruments, addresses })
}

fn post(mailbox: Mailbox) -> Post {
    Box::new(move |message| match mailbox.send(message) {
        Ok(()) => Delivery::Taken,
        Err(Undelivered::Full) => Delivery::Full,
        Err(Undelivered::Stopped) => Delivery::Stopped,
    })
}

/// The counters of all shards, added up.
fn totals(shards: Vec<Arc<Counters>>) -> Totals {
    type Pick = fn(&Counters) -> &Counter;
    const COUNTERS: [(&str, &str, Pick); 15] = [
        ("accepted", "Clients accepted.", |it| &it.accepted),
        ("given", "Clients given to a shard that had fewer.", |it| &it.given),
        ("refused", "Clients turned away.", |it| &it.refused),
        ("shut_out", "Clients turned away for others that are not logged in.", |it| &it.shut_out),
        ("tls_failed", "Clients whose TLS could not begin.", |it| &it.tls_failed),
        ("cancels_abroad", "Cancels of sessions elsewhere, sent.", |it| &it.cancels_abroad),
        ("cancels_dropped", "Cancels of sessions elsewhere, dropped.", |it| &it.cancels_dropped),
        ("accept_errors", "Accepts that failed.", |it| &it.accept_errors),
        ("panics", "Sessions ended by a panic.", |it| &it.panics),
        ("reports_lost", "Messages to the control thread lost.", |it| &it.reports_lost),
        ("received_bytes", "Bytes received.", |it| &it.bytes_received),
        ("sent_bytes", "Bytes sent.", |it| &it.bytes_sent),
        ("journal_syncs", "Flushes of the journal.", |it| &it.syncs),
        ("entries_refused", "Entries that the journal refused.", |it| &it.entries_refused),
        ("reads_put_off", "Reads that waited for room in the journal.", |it| &it.reads_put_off),
    ];
    Box::new(move || {
        let sum = |pick: Pick| shards.iter().map(|counters| pick(counters).get()).sum();
        let connections = sum(|it| &it.connections);
        let lag = "Bytes of the journal that the disk may not have yet.";
        let mut totals = vec![
            Total::gauge("connections", "Connections now.", connections),
            Total::gauge("journal_lag_bytes", lag, sum(|it| &it.journal_lag)),
            Total::gauge("journal_lag_milliseconds", LAG_AGE, age_ms(&shards)),
            Total::gauge("reads_waiting", READS_WAITING, sum(|it| &it.put_off_now)),
        ];
        for (name, help, pick) in COUNTERS {
            totals.push(Total::counter(name, help, sum(pick)));
        }
        let mut closed: BTreeMap<&'static str, u64> = BTreeMap::new();
        for (reason, count) in shards.iter().flat_map(|counters| counters.closed.read()) {
            *closed.entry(reason).or_default() += count;
        }
        totals.extend(
            closed.iter().map(|(reason, count)| Total::of_reason("closed", reason, CLOSED, *count)),
        );
        totals
    })
}

const READS_WAITING: &str = "Connections not read now for want of room in the journal.";
const CLOSED: &str = "Clients whose connections ended or were refused, by reason.";
const LAG_AGE: &str = "How long the oldest record waits that the disk may not have yet.";

/// How long the oldest record of all shards is not on the disk.
fn age_ms(shards: &[Arc<Counters>]) -> u64 {
    let since = shards.iter().map(|counters| counters.unflushed_since.get()).filter(|us| *us > 0);
    since.min().map_or(0, |us| shard::clock::mono_us().saturating_sub(us) / 1_000)
}

/// The name of this gateway in records, unless the configuration has one: the host's.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String =
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.is_empty() { "weir".to_owned() } else { name }
}
