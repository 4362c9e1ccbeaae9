//! The workloads and the metrics, as data.

use std::collections::BTreeMap;

use super::flags::Flags;
use super::pgbench::{self, Load};
use super::proc::Cost;
use super::rig::{HAPROXY_LOG, HTTP, JUMP, NGINX, PGBOUNCER, SSH, TLS};
use super::rig::{Rig, WEIR, WEIR_MASKS, WEIR_SYNC};
use super::{Result, disk, idle, shell, sink, storm, web};
use std::time::Duration;
use weir_load::http::Version;
use weir_load::ssh::Way;

/// A number that a workload gives.
pub struct Metric {
    pub name: &'static str,
    /// Heading of its column.
    pub heading: &'static str,
    pub higher_is_better: bool,
}

const fn less(name: &'static str, heading: &'static str) -> Metric {
    Metric { name, heading, higher_is_better: false }
}

const fn more(name: &'static str, heading: &'static str) -> Metric {
    Metric { name, heading, higher_is_better: true }
}

/// Every metric, in the order of the columns. `added_us_per_txn` is derived: the machine's busy
/// time minus that of the direct arm in the same round, `added_mean_us` likewise of one client.
pub const METRICS: [Metric; 24] = [
    less("cpu_us_per_txn", "CPU us/txn"),
    less("kernel_us_per_txn", "in the kernel"),
    less("busiest_us_per_txn", "busiest thread"),
    less("machine_us_per_txn", "machine us/txn"),
    less("added_us_per_txn", "added us/txn"),
    less("switches_per_txn", "switches/txn"),
    more("tps", "txn/s"),
    less("mean_us", "mean us"),
    less("added_mean_us", "added mean us"),
    less("p50_us", "p50 us"),
    less("p99_us", "p99 us"),
    less("cpu_s_per_gb", "CPU s/GB"),
    more("mb_per_s", "MB/s"),
    less("cpu_ms_per_login", "CPU ms/login"),
    more("logins_per_s", "logins/s"),
    less("cpu_ms_per_command", "CPU ms/command"),
    more("commands_per_s", "commands/s"),
    less("syscalls_per_txn", "syscalls/txn"),
    less("kib_per_connection", "KiB/conn"),
    less("errors", "errors"),
    less("kib_before", "KiB before"),
    less("kib_after", "KiB after"),
    less("fdatasync_us", "fdatasync us"),
    less("fdatasync_paused_us", "after a pause"),
];

/// What is done to an arm.
pub enum Kind {
    Pgbench(Load),
    Web(web::Load),
    Shell(shell::Load),
    Bulk(Bulk),
    CopyIn(&'static str),
    Logins,
    Syscalls(Load),
    Idle,
    Storm,
}

/// A large answer.
#[derive(Clone, Copy)]
pub struct Bulk {
    pub text: &'static str,
    /// How many rows must come; else as many as the table has.
    pub rows: Option<u64>,
}

/// The arms that a workload is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Arms {
    /// Neither weir with `sync` durability nor with masks.
    Usual,
    /// With `sync` durability, too.
    Synced,
    /// With masks, too.
    Masked,
    /// weir only, in `write` mode and in `sync` mode.
    Weir,
    /// The usual ones, with TLS on both legs.
    Tls,
    /// Those of HTTP.
    Web,
    /// With `sync` durability, too.
    WebSynced,
    /// Those of SSH.
    Shell,
}

/// A workload.
pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    /// The metric that is plotted and compared.
    pub primary: &'static str,
    /// Measured in the first round only.
    pub once: bool,
    pub arms: Arms,
}

const fn open(mode: &'static str) -> Kind {
    Kind::Pgbench(Load { mode, clients: 16, open: true, at: None, text: None })
}

/// What most databases do: a few statements a second, prepared.
const fn quiet(rate: u32) -> Kind {
    Kind::Pgbench(Load { mode: "prepared", clients: 16, open: true, at: Some(rate), text: None })
}

const fn closed(mode: &'static str, clients: u32) -> Kind {
    Kind::Pgbench(Load { mode, clients, open: false, at: None, text: None })
}

const fn bulk(text: &'static str, rows: Option<u64>) -> Kind {
    Kind::Bulk(Bulk { text, rows })
}

const fn workload(
    name: &'static str,
    about: &'static str,
    primary: &'static str,
    kind: Kind,
) -> Workload {
    Workload { name, about, kind, primary, once: false, arms: Arms::Usual }
}

const fn masked(workload: Workload) -> Workload {
    Workload { arms: Arms::Masked, ..workload }
}

const fn over_tls(
    name: &'static str,
    about: &'static str,
    primary: &'static str,
    kind: Kind,
) -> Workload {
    Workload { name, about, kind, primary, once: false, arms: Arms::Tls }
}

const fn over_http(
    name: &'static str,
    about: &'static str,
    primary: &'static str,
    load: web::Load,
) -> Workload {
    Workload { name, about, kind: Kind::Web(load), primary, once: false, arms: Arms::Web }
}

const fn over_ssh(
    name: &'static str,
    about: &'static str,
    primary: &'static str,
    load: shell::Load,
) -> Workload {
    Workload { name, about, kind: Kind::Shell(load), primary, once: false, arms: Arms::Shell }
}

/// A GET of 400 bytes at the offered rate, 16 connections.
const ONE: web::Load =
    web::Load { version: Version::One, connections: 16, depth: 1, open: true, sent: 0, server: 0 };
/// The same on HTTP/2, ten streams at a time; the server's side is HTTP/1.1.
const TWO: web::Load = web::Load { version: Version::Two, depth: 10, ..ONE };

/// Every workload, in the order of the report.
pub const WORKLOADS: [Workload; 39] = [
    workload(
        "fixed-simple",
        "offered rate, 16 clients, simple protocol",
        "cpu_us_per_txn",
        open("simple"),
    ),
    workload(
        "fixed-extended",
        "offered rate, 16 clients, extended protocol",
        "cpu_us_per_txn",
        open("extended"),
    ),
    masked(workload(
        "fixed-prepared",
        "offered rate, 16 clients, prepared statements",
        "cpu_us_per_txn",
        open("prepared"),
    )),
    workload(
        "quiet-20",
        "20 transactions a second, 16 clients, prepared statements",
        "cpu_us_per_txn",
        quiet(20),
    ),
    workload(
        "quiet-200",
        "200 transactions a second, 16 clients, prepared statements",
        "cpu_us_per_txn",
        quiet(200),
    ),
    workload(
        "quiet-500",
        "500 transactions a second, 16 clients, prepared statements",
        "cpu_us_per_txn",
        quiet(500),
    ),
    workload(
        "closed-simple",
        "as fast as it goes, 32 clients, simple protocol",
        "tps",
        closed("simple", 32),
    ),
    workload(
        "closed-prepared",
        "as fast as it goes, 32 clients, prepared statements",
        "tps",
        closed("prepared", 32),
    ),
    Workload {
        arms: Arms::Synced,
        ..workload("lone", "one client, prepared statements", "mean_us", closed("prepared", 1))
    },
    Workload {
        arms: Arms::Weir,
        ..workload(
            "sync-64",
            "as fast as it goes, 64 clients, every record on the disk first or not",
            "tps",
            closed("prepared", 64),
        )
    },
    workload(
        "answers",
        "one client, answers of 200 KB, kept whole in the record",
        "cpu_us_per_txn",
        Kind::Pgbench(Load {
            mode: "simple",
            clients: 1,
            open: false,
            at: None,
            text: Some("SELECT * FROM bulk LIMIT 200;\n"),
        }),
    ),
    masked(workload(
        "copy-out",
        "COPY of 1 KB rows to a sink",
        "cpu_s_per_gb",
        bulk("COPY bulk TO STDOUT", None),
    )),
    workload(
        "copy-in",
        "COPY of rows of 100 bytes, a message each, into nothing",
        "cpu_s_per_gb",
        Kind::CopyIn("COPY sunk FROM STDIN WHERE false"),
    ),
    masked(workload(
        "select-wide",
        "SELECT of 1 KB rows, 17 columns, to a sink",
        "cpu_s_per_gb",
        bulk("SELECT * FROM bulk", None),
    )),
    workload(
        "select-200b",
        "SELECT of rows of 200 bytes to a sink",
        "cpu_s_per_gb",
        bulk("SELECT repeat('x', 200) FROM bulk", None),
    ),
    workload(
        "select-64k",
        "SELECT of rows of 64 KiB to a sink",
        "cpu_s_per_gb",
        bulk("SELECT repeat('x', 65536) FROM generate_series(1, 2000)", Some(2000)),
    ),
    workload("connect", "log in and leave, 4 at a time", "cpu_ms_per_login", Kind::Logins),
    over_tls(
        "tls-prepared",
        "over TLS: offered rate, 16 clients, prepared statements",
        "cpu_us_per_txn",
        open("prepared"),
    ),
    over_tls(
        "tls-closed",
        "over TLS: as fast as it goes, 32 clients, prepared statements",
        "tps",
        closed("prepared", 32),
    ),
    over_tls(
        "tls-copy-out",
        "over TLS: COPY of 1 KB rows to a sink",
        "cpu_s_per_gb",
        bulk("COPY bulk TO STDOUT", None),
    ),
    over_tls(
        "tls-connect",
        "over TLS: log in and leave, 4 at a time, no session is resumed",
        "cpu_ms_per_login",
        Kind::Logins,
    ),
    over_http("http1-fixed", "HTTP/1.1: offered rate, 16 connections", "cpu_us_per_txn", ONE),
    over_http(
        "http2-fixed",
        "HTTP/2: offered rate, 16 connections of 10 streams",
        "cpu_us_per_txn",
        TWO,
    ),
    over_http(
        "http1-post",
        "HTTP/1.1: offered rate, POST of 1 KiB, answers of 4 KiB",
        "cpu_us_per_txn",
        web::Load { sent: 1024, server: 1, ..ONE },
    ),
    over_http(
        "http2-post",
        "HTTP/2: offered rate, POST of 1 KiB, answers of 4 KiB",
        "cpu_us_per_txn",
        web::Load { sent: 1024, server: 1, ..TWO },
    ),
    Workload {
        arms: Arms::WebSynced,
        ..over_http(
            "http1-closed",
            "HTTP/1.1: as fast as it goes, 64 connections",
            "tps",
            web::Load { connections: 64, open: false, ..ONE },
        )
    },
    over_http(
        "http2-closed",
        "HTTP/2: as fast as it goes, 16 connections of 10 streams",
        "tps",
        web::Load { open: false, ..TWO },
    ),
    over_http(
        "http1-lone",
        "HTTP/1.1: one connection, as fast as it goes",
        "mean_us",
        web::Load { connections: 1, open: false, ..ONE },
    ),
    over_http(
        "http2-lone",
        "HTTP/2: one stream, as fast as it goes",
        "mean_us",
        web::Load { connections: 1, depth: 1, open: false, ..TWO },
    ),
    over_http(
        "http1-bulk",
        "HTTP/1.1: answers of 1 MiB, one connection",
        "cpu_s_per_gb",
        web::Load { connections: 1, open: false, server: 2, ..ONE },
    ),
    over_http(
        "http2-bulk",
        "HTTP/2: answers of 1 MiB, one stream",
        "cpu_s_per_gb",
        web::Load { connections: 1, depth: 1, open: false, server: 2, ..TWO },
    ),
    over_ssh(
        "ssh-exec",
        "SSH: `true` again and again on one connection",
        "cpu_ms_per_command",
        shell::Load::Commands(1),
    ),
    over_ssh(
        "ssh-connect",
        "SSH: `true` again and again, a connection each",
        "cpu_ms_per_login",
        shell::Load::Connections(1),
    ),
    over_ssh(
        "ssh-out",
        "SSH: bytes of one command to a sink",
        "cpu_s_per_gb",
        shell::Load::Bulk(Way::Out),
    ),
    over_ssh("ssh-in", "SSH: bytes into one command", "cpu_s_per_gb", shell::Load::Bulk(Way::In)),
    Workload {
        once: true,
        ..workload(
            "storm",
            "connections that log in, ask once and leave, 64 at a time",
            "cpu_ms_per_login",
            Kind::Storm,
        )
    },
    Workload {
        once: true,
        ..workload(
            "syscalls",
            "system calls at the offered rate, prepared statements",
            "syscalls_per_txn",
            Kind::Syscalls(Load {
                mode: "prepared",
                clients: 16,
                open: true,
                at: None,
                text: None,
            }),
        )
    },
    Workload {
        once: true,
        ..workload(
            "idle",
            "resident memory of an idle connection",
            "kib_per_connection",
            Kind::Idle,
        )
    },
    Workload {
        once: true,
        ..over_tls(
            "tls-idle",
            "over TLS: resident memory of an idle connection",
            "kib_per_connection",
            Kind::Idle,
        )
    },
];

/// What a measurement gives: values by metric, and the window's cost for the noise test.
pub type Measured = Option<(BTreeMap<&'static str, f64>, Cost)>;

impl Workload {
    /// Whether the arm of this name is measured.
    pub fn is_for(&self, arm: &str) -> bool {
        if let Some(base) = arm.strip_suffix(HTTP) {
            return match self.arms {
                Arms::Web => !matches!(base, PGBOUNCER | JUMP | WEIR_MASKS | WEIR_SYNC),
                Arms::WebSynced => !matches!(base, PGBOUNCER | JUMP | WEIR_MASKS),
                _ => false,
            };
        }
        if let Some(base) = arm.strip_suffix(SSH) {
            let others = [PGBOUNCER, NGINX, HAPROXY_LOG, WEIR_MASKS, WEIR_SYNC];
            return self.arms == Arms::Shell && !others.contains(&base);
        }
        let (base, tls) = arm.strip_suffix(TLS).map_or((arm, false), |base| (base, true));
        if matches!(base, NGINX | HAPROXY_LOG | JUMP) {
            return false;
        }
        match self.arms {
            Arms::Usual => !tls && base != WEIR_SYNC && base != WEIR_MASKS,
            Arms::Synced => !tls && base != WEIR_MASKS,
            Arms::Masked => !tls && base != WEIR_SYNC,
            Arms::Weir => !tls && (base == WEIR || base == WEIR_SYNC),
            Arms::Tls => tls && base != WEIR_SYNC && base != WEIR_MASKS,
            Arms::Web | Arms::WebSynced | Arms::Shell => false,
        }
    }

    /// Measures one arm once. `None` where the arm has no such number.
    pub fn measure(&self, rig: &mut Rig, arm: usize, flags: &Flags) -> Result<Measured> {
        let one = |name: &'static str, found: Option<(f64, Cost)>| {
            found.map(|(value, cost)| (BTreeMap::from([(name, value)]), cost))
        };
        let is_proxy = rig.arms[arm].pid().is_some();
        match self.kind {
            Kind::Pgbench(load) => {
                // Just before, so that the disk is as it is then.
                let is_sync = rig.arms[arm].name == WEIR_SYNC;
                let disk = is_sync.then(|| disk_values(rig)).transpose()?;
                let rate = load.at.unwrap_or(flags.rate);
                let window = pgbench::run(rig, &rig.arms[arm], load, rate, flags.seconds)?;
                let mut values = transaction_values(&window, load, is_proxy);
                values.extend(disk.into_iter().flatten());
                Ok(Some((values, window.cost)))
            }
            Kind::Web(load) => {
                let window = web::run(rig, &rig.arms[arm], load, flags.rate, flags.seconds)?;
                let values = web_values(&window, load, is_proxy);
                Ok(Some((values, window.cost)))
            }
            Kind::Shell(load) => {
                let (seen, cost) = shell::run(rig, &rig.arms[arm], load, flags.seconds)?;
                Ok(Some((shell_values(&seen, load, &cost, is_proxy), cost)))
            }
            Kind::Bulk(bulk) => {
                let (bytes, cost) = sink::bulk(rig, &rig.arms[arm], bulk, flags.seconds)?;
                Ok(Some((bulk_values(bytes, &cost, is_proxy), cost)))
            }
            Kind::CopyIn(text) => {
                let (bytes, cost) = sink::copy_in(rig, &rig.arms[arm], text, flags.seconds)?;
                Ok(Some((bulk_values(bytes, &cost, is_proxy), cost)))
            }
            Kind::Logins => {
                let (count, cost) = sink::logins(rig, &rig.arms[arm], flags.seconds)?;
                let mut values = BTreeMap::from([("logins_per_s", count as f64 / cost.seconds)]);
                if is_proxy {
                    values.insert("cpu_ms_per_login", cost.cpu_us / 1e3 / count as f64);
                }
                Ok(Some((values, cost)))
            }
            Kind::Syscalls(load) => {
                let found = pgbench::syscalls(rig, &rig.arms[arm], load, flags.rate)?;
                Ok(one(self.primary, found))
            }
            Kind::Idle => {
                let connections = if flags.quick { 200 } else { 1000 };
                Ok(one(self.primary, idle::memory(rig, arm, connections)?))
            }
            Kind::Storm => {
                let storm = storm::run(rig, arm, flags.storm)?;
                if let Some(why) = &storm.first_error {
                    eprintln!("the first of {} errors: {why}", storm.errors);
                }
                Ok(Some((storm_values(&storm), storm.cost)))
            }
        }
    }
}

/// What the disk takes by itself, beside what `sync` adds.
fn disk_values(rig: &Rig) -> Result<[(&'static str, f64); 2]> {
    let at_once = disk::fdatasync_us(rig.folder(), Duration::ZERO)?;
    Ok([
        ("fdatasync_us", at_once),
        ("fdatasync_paused_us", disk::fdatasync_us(rig.folder(), disk::PAUSE)?),
    ])
}

fn transaction_values(
    window: &pgbench::Window,
    load: Load,
    is_proxy: bool,
) -> BTreeMap<&'static str, f64> {
    let mut values = cost_values(window.transactions, &window.cost, is_proxy);
    values.insert("mean_us", window.latency.mean());
    // Percentiles of a closed loop leave out what they claim to show: the waiting it never did.
    if load.open || load.clients == 1 {
        values.insert("p50_us", window.latency.value_at_quantile(0.5) as f64);
        values.insert("p99_us", window.latency.value_at_quantile(0.99) as f64);
    }
    values
}

fn web_values(
    window: &web::Window,
    load: web::Load,
    is_proxy: bool,
) -> BTreeMap<&'static str, f64> {
    let answer = web::ANSWERS[load.server];
    if answer >= 1 << 20 {
        return bulk_values(window.requests * answer, &window.cost, is_proxy);
    }
    let latency = window.outcome.total().latency;
    let mut values = cost_values(window.requests, &window.cost, is_proxy);
    values.insert("mean_us", latency.mean());
    if load.open || load.connections * load.depth == 1 {
        values.insert("p50_us", latency.value_at_quantile(0.5) as f64);
        values.insert("p99_us", latency.value_at_quantile(0.99) as f64);
    }
    values
}

fn shell_values(
    seen: &shell::Seen,
    load: shell::Load,
    cost: &Cost,
    is_proxy: bool,
) -> BTreeMap<&'static str, f64> {
    let commands = match seen {
        shell::Seen::Bytes(bytes) => return bulk_values(*bytes, cost, is_proxy),
        shell::Seen::Commands(commands) => commands,
    };
    let (rate, cpu) = match load {
        shell::Load::Connections(_) => ("logins_per_s", "cpu_ms_per_login"),
        shell::Load::Commands(_) | shell::Load::Bulk(_) => ("commands_per_s", "cpu_ms_per_command"),
    };
    let (latency, count) = (&commands.latency, commands.latency.len() as f64);
    let mut values = BTreeMap::from([
        (rate, count / commands.seconds),
        ("mean_us", latency.mean()),
        ("p50_us", latency.value_at_quantile(0.5) as f64),
        ("p99_us", latency.value_at_quantile(0.99) as f64),
    ]);
    if is_proxy {
        values.insert(cpu, cost.cpu_us / 1e3 / count);
    }
    values
}

fn cost_values(transactions: u64, cost: &Cost, is_proxy: bool) -> BTreeMap<&'static str, f64> {
    let count = transactions as f64;
    let mut values = BTreeMap::from([
        ("machine_us_per_txn", cost.busy_us / count),
        ("tps", count / cost.seconds),
    ]);
    if is_proxy {
        values.insert("cpu_us_per_txn", cost.cpu_us / count);
        values.insert("kernel_us_per_txn", cost.kernel_us / count);
        values.insert("busiest_us_per_txn", cost.busiest_us / count);
        values.insert("switches_per_txn", cost.switches / count);
    }
    values
}

fn bulk_values(bytes: u64, cost: &Cost, is_proxy: bool) -> BTreeMap<&'static str, f64> {
    let mut values = BTreeMap::from([("mb_per_s", bytes as f64 / 1e6 / cost.seconds)]);
    if is_proxy {
        values.insert("cpu_s_per_gb", cost.cpu_us / 1e6 / (bytes as f64 / 1e9));
    }
    values
}

fn storm_values(storm: &storm::Storm) -> BTreeMap<&'static str, f64> {
    let count = (storm.visits - storm.errors) as f64;
    let mut values = BTreeMap::from([
        ("errors", storm.errors as f64),
        ("logins_per_s", count / storm.cost.seconds),
    ]);
    if let (Some(before), Some(after)) = (storm.kib_before, storm.kib_after) {
        values.insert("cpu_ms_per_login", storm.cost.cpu_us / 1e3 / storm.visits as f64);
        values.extend([("kib_before", before), ("kib_after", after)]);
    }
    values
}
