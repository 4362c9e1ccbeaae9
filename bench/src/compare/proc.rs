//! What the kernel knows about CPU time: of a process tree, of the machine, of everybody else.
//!
//! In: process ids. Out: `Cost` of a window of time. Never: samples of its own; these are counters.
//!
//! `/proc/PID/task/*/schedstat` counts nanoseconds and is what is used; `/proc/PID/stat` counts
//! ticks of 10 ms and is the fallback for threads and children that ended inside the window.
//! Receive work of loopback TCP is charged to the sender, so the machine's busy time is read too.

use std::collections::HashMap;
use std::fs;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::Result;

/// `USER_HZ` is 100 on every Linux this runs on.
const TICK_NS: u64 = 10_000_000;

/// The counters at one moment.
pub struct Moment {
    at: Instant,
    pub wall_us: u64,
    usage: Usage,
    machine: Machine,
    foreign_ns: u64,
}

#[derive(Default)]
struct Usage {
    cpu_ns: u64,
    kernel_ns: u64,
    /// By thread id.
    threads_ns: HashMap<u32, u64>,
    voluntary: u64,
}

#[derive(Clone, Copy, Default)]
struct Machine {
    total: u64,
    idle: u64,
    steal: u64,
}

/// What a window of time cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub seconds: f64,
    /// Of the watched process tree.
    pub cpu_us: f64,
    /// What of that was spent in the kernel, by ticks of the scheduler: a sample.
    pub kernel_us: f64,
    /// Of its busiest thread: the one that carries the traffic.
    pub busiest_us: f64,
    /// Voluntary context switches of the watched process tree.
    pub switches: f64,
    /// Of the whole machine, steal excluded.
    pub busy_us: f64,
    pub steal_percent: f64,
    pub foreign_percent: f64,
}

impl Usage {
    fn busiest_since(&self, before: &Usage) -> u64 {
        let earlier = |tid: &u32| before.threads_ns.get(tid).copied().unwrap_or(0);
        let spent = self.threads_ns.iter().map(|(tid, ns)| ns.saturating_sub(earlier(tid)));
        spent.max().unwrap_or(0)
    }
}

impl Moment {
    /// Reads all counters; `watched` is the root of the process tree of interest.
    pub fn read(watched: Option<u32>) -> Result<Moment> {
        let processes = processes();
        let usage = watched.map_or_else(Usage::default, |root| usage(&processes, root));
        let at = Instant::now();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|e| e.to_string())?;
        let machine = machine()?;
        let foreign_ns = foreign(&processes);
        Ok(Moment { at, wall_us: wall.as_micros() as u64, usage, machine, foreign_ns })
    }

    /// From this moment to `end`.
    pub fn cost_until(&self, end: &Moment) -> Cost {
        let seconds = (end.at - self.at).as_secs_f64();
        let total = (end.machine.total - self.machine.total) as f64;
        let idle = end.machine.idle.saturating_sub(self.machine.idle) as f64;
        let steal = (end.machine.steal - self.machine.steal) as f64;
        let foreign_ns = end.foreign_ns.saturating_sub(self.foreign_ns) as f64;
        Cost {
            seconds,
            busiest_us: end.usage.busiest_since(&self.usage) as f64 / 1e3,
            cpu_us: end.usage.cpu_ns.saturating_sub(self.usage.cpu_ns) as f64 / 1e3,
            kernel_us: end.usage.kernel_ns.saturating_sub(self.usage.kernel_ns) as f64 / 1e3,
            switches: end.usage.voluntary.saturating_sub(self.usage.voluntary) as f64,
            busy_us: (total - idle - steal).max(0.0) * TICK_NS as f64 / 1e3,
            steal_percent: if total > 0.0 { 100.0 * steal / total } else { 0.0 },
            foreign_percent: foreign_ns / 1e7 / seconds,
        }
    }
}

/// Resident memory of a process tree, KiB.
pub fn resident_kib(root: u32) -> u64 {
    let field = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status_field(&status, "VmRSS:")
    };
    tree(&processes(), root).into_iter().map(field).sum()
}

struct Process {
    parent: u32,
    /// utime + stime.
    own_ticks: u64,
    /// stime + cstime.
    kernel_ticks: u64,
    /// cutime + cstime: children that were waited for.
    children_ticks: u64,
}

fn processes() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, process(pid)?))).collect()
}

fn process(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; the fields after it start with the state.
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Process {
        parent: number(1)? as u32,
        own_ticks: number(11)? + number(12)?,
        kernel_ticks: number(12)? + number(14)?,
        children_ticks: number(13)? + number(14)?,
    })
}

fn tree(processes: &HashMap<u32, Process>, root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(processes.iter().filter(|(_, p)| p.parent == parent).map(|(&pid, _)| pid));
        next += 1;
    }
    found
}

fn usage(processes: &HashMap<u32, Process>, root: u32) -> Usage {
    let mut sum = Usage::default();
    for pid in tree(processes, root) {
        let mut exact_ns = 0;
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let schedstat = read("schedstat");
            let thread_ns =
                schedstat.split_whitespace().next().and_then(|t| t.parse().ok()).unwrap_or(0);
            exact_ns += thread_ns;
            let tid = task.file_name().to_str().and_then(|name| name.parse().ok());
            sum.threads_ns.extend(tid.map(|tid: u32| (tid, thread_ns)));
            sum.voluntary += status_field(&read("status"), "voluntary_ctxt_switches:");
        }
        let process = processes.get(&pid);
        let (own, children) = process.map_or((0, 0), |p| (p.own_ticks, p.children_ticks));
        sum.cpu_ns += exact_ns.max(own * TICK_NS) + children * TICK_NS;
        sum.kernel_ns += process.map_or(0, |p| p.kernel_ticks) * TICK_NS;
    }
    sum
}

fn status_field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// CPU of all processes that this one did not start. A process that ends is counted on in the
/// children's time of its parent.
fn foreign(processes: &HashMap<u32, Process>) -> u64 {
    let ours: std::collections::HashSet<u32> =
        tree(processes, std::process::id()).into_iter().collect();
    let others = processes.iter().filter(|(pid, _)| !ours.contains(pid));
    others.map(|(_, p)| (p.own_ticks + p.children_ticks) * TICK_NS).sum()
}

fn machine() -> Result<Machine> {
    let stat = fs::read_to_string("/proc/stat").map_err(|e| format!("/proc/stat: {e}"))?;
    let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or("");
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|t| t.parse().ok()).collect();
    let tick = |index: usize| ticks.get(index).copied().unwrap_or(0);
    // user nice system idle iowait irq softirq steal; guest time is inside user.
    Ok(Machine { total: (0..8).map(tick).sum(), idle: tick(3) + tick(4), steal: tick(7) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_child_is_seen_and_is_not_foreign() {
        let mut child =
            std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let before = Moment::read(Some(child.id())).unwrap();
        // On a busy machine it may take its time to get any.
        let mut cost = Cost::default();
        while cost.cpu_us < 30_000.0 && cost.seconds < 30.0 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            cost = before.cost_until(&Moment::read(Some(child.id())).unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(cost.cpu_us > 30_000.0, "{cost:?}");
        assert!(cost.cpu_us < cost.seconds * 1.2e6, "{cost:?}");
        assert!(cost.busy_us > 0.0, "{cost:?}");
        assert!((cost.busiest_us - cost.cpu_us).abs() < 20_000.0, "one thread: {cost:?}");
    }

    #[test]
    fn resident_memory_is_read() {
        assert!(resident_kib(std::process::id()) > 500);
    }
}
