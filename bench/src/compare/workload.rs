//! The workloads and the metrics, as data.

use std::collections::BTreeMap;

use super::flags::Flags;
use super::pgbench::{self, Load};
use super::proc::Cost;
use super::rig::{Rig, TLS, WEIR, WEIR_MASKS, WEIR_SYNC};
use super::{Result, disk, idle, sink, storm};
use std::time::Duration;

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
pub const METRICS: [Metric; 22] = [
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

/// Every workload, in the order of the report.
pub const WORKLOADS: [Workload; 25] = [
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
        let (base, tls) = arm.strip_suffix(TLS).map_or((arm, false), |base| (base, true));
        match self.arms {
            Arms::Usual => !tls && base != WEIR_SYNC && base != WEIR_MASKS,
            Arms::Synced => !tls && base != WEIR_MASKS,
            Arms::Masked => !tls && base != WEIR_SYNC,
            Arms::Weir => !tls && (base == WEIR || base == WEIR_SYNC),
            Arms::Tls => tls && base != WEIR_SYNC && base != WEIR_MASKS,
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
    let (count, cost) = (window.transactions as f64, &window.cost);
    let mut values = BTreeMap::from([
        ("machine_us_per_txn", cost.busy_us / count),
        ("tps", count / cost.seconds),
        ("mean_us", window.latency.mean()),
    ]);
    if is_proxy {
        values.insert("cpu_us_per_txn", cost.cpu_us / count);
        values.insert("kernel_us_per_txn", cost.kernel_us / count);
        values.insert("busiest_us_per_txn", cost.busiest_us / count);
        values.insert("switches_per_txn", cost.switches / count);
    }
    // Percentiles of a closed loop leave out what they claim to show: the waiting it never did.
    if load.open || load.clients == 1 {
        values.insert("p50_us", window.latency.value_at_quantile(0.5) as f64);
        values.insert("p99_us", window.latency.value_at_quantile(0.99) as f64);
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
