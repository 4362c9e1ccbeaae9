//! The workloads and the metrics, as data.

use std::collections::BTreeMap;

use super::flags::Flags;
use super::pgbench::{self, Load};
use super::proc::Cost;
use super::rig::Rig;
use super::{Result, idle, sink};

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
/// time minus that of the direct arm in the same round.
pub const METRICS: [Metric; 14] = [
    less("cpu_us_per_txn", "CPU us/txn"),
    less("machine_us_per_txn", "machine us/txn"),
    less("added_us_per_txn", "added us/txn"),
    less("switches_per_txn", "switches/txn"),
    more("tps", "txn/s"),
    less("mean_us", "mean us"),
    less("p50_us", "p50 us"),
    less("p99_us", "p99 us"),
    less("cpu_s_per_gb", "CPU s/GB"),
    more("mb_per_s", "MB/s"),
    less("cpu_ms_per_login", "CPU ms/login"),
    more("logins_per_s", "logins/s"),
    less("syscalls_per_txn", "syscalls/txn"),
    less("kib_per_connection", "KiB/conn"),
];

/// What is done to an arm.
pub enum Kind {
    Pgbench(Load),
    Bulk(&'static str),
    Logins,
    Syscalls(Load),
    Idle,
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
}

const fn open(mode: &'static str) -> Kind {
    Kind::Pgbench(Load { mode, clients: 16, open: true })
}

const fn closed(mode: &'static str, clients: u32) -> Kind {
    Kind::Pgbench(Load { mode, clients, open: false })
}

const fn workload(
    name: &'static str,
    about: &'static str,
    primary: &'static str,
    kind: Kind,
) -> Workload {
    Workload { name, about, kind, primary, once: false }
}

/// Every workload, in the order of the report.
pub const WORKLOADS: [Workload; 11] = [
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
    workload(
        "fixed-prepared",
        "offered rate, 16 clients, prepared statements",
        "cpu_us_per_txn",
        open("prepared"),
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
    workload("lone", "one client, prepared statements", "mean_us", closed("prepared", 1)),
    workload(
        "copy-out",
        "COPY of 1 KB rows to a sink",
        "cpu_s_per_gb",
        Kind::Bulk("COPY bulk TO STDOUT"),
    ),
    workload(
        "select-wide",
        "SELECT of 1 KB rows, 17 columns, to a sink",
        "cpu_s_per_gb",
        Kind::Bulk("SELECT * FROM bulk"),
    ),
    workload("connect", "log in and leave, 4 at a time", "cpu_ms_per_login", Kind::Logins),
    Workload {
        name: "syscalls",
        about: "system calls at the offered rate, prepared statements",
        kind: Kind::Syscalls(Load { mode: "prepared", clients: 16, open: true }),
        primary: "syscalls_per_txn",
        once: true,
    },
    Workload {
        name: "idle",
        about: "resident memory of an idle connection",
        kind: Kind::Idle,
        primary: "kib_per_connection",
        once: true,
    },
];

/// What a measurement gives: values by metric, and the window's cost for the noise test.
pub type Measured = Option<(BTreeMap<&'static str, f64>, Cost)>;

impl Workload {
    /// Measures one arm once. `None` where the arm has no such number.
    pub fn measure(&self, rig: &mut Rig, arm: usize, flags: &Flags) -> Result<Measured> {
        let one = |name: &'static str, found: Option<(f64, Cost)>| {
            found.map(|(value, cost)| (BTreeMap::from([(name, value)]), cost))
        };
        let is_proxy = rig.arms[arm].pid().is_some();
        match self.kind {
            Kind::Pgbench(load) => {
                let window = pgbench::run(rig, &rig.arms[arm], load, flags.rate, flags.seconds)?;
                Ok(Some((transaction_values(&window, load, is_proxy), window.cost)))
            }
            Kind::Bulk(text) => {
                let (bytes, cost) = sink::bulk(rig, &rig.arms[arm], text, flags.seconds)?;
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
        }
    }
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
