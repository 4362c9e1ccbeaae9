//! One run of pgbench against one arm, cut to a window that holds no logins.
//!
//! In: an endpoint, a load. Out: transactions, latencies and CPU of the window.
//! Never: the start of the run. A login costs a thousand times what a transaction costs.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::Result;
use super::proc::{Cost, Moment};
use super::rig::{Arm, Rig};

/// Time for all clients to log in before the window opens; the next one if that was too short.
const WARM_UPS: [Duration; 3] =
    [Duration::from_millis(1500), Duration::from_secs(5), Duration::from_secs(15)];

/// After its time pgbench waits for the last answers, so long at most.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What pgbench does.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// `simple`, `extended`, `prepared`.
    pub mode: &'static str,
    pub clients: u32,
    /// Offered at `Flags::rate` (Poisson), or as fast as it goes.
    pub open: bool,
    /// A rate of its own instead of `Flags::rate`.
    pub at: Option<u32>,
    /// What is asked; without it one row by its key, as `pgbench -S` does.
    pub text: Option<&'static str>,
}

/// What the window held.
pub struct Window {
    pub transactions: u64,
    /// Microseconds; from the scheduled start when the loop is open.
    pub latency: Histogram<u64>,
    pub cost: Cost,
}

/// Runs pgbench for the warm-up, the window, and a little more.
pub fn run(rig: &Rig, arm: &Arm, load: Load, rate: u32, seconds: f64) -> Result<Window> {
    for warm_up in WARM_UPS {
        if let Some(window) = run_once((rig, arm), load, rate, (warm_up, seconds))? {
            return Ok(window);
        }
    }
    Err("pgbench's clients were not logged in when the window opened".to_owned())
}

/// `None` when the window opened before all clients were logged in.
fn run_once(
    (rig, arm): (&Rig, &Arm),
    load: Load,
    rate: u32,
    (warm_up, seconds): (Duration, f64),
) -> Result<Option<Window>> {
    let folder = rig.scratch("pgbench")?;
    let whole = (warm_up.as_secs_f64() + seconds + 0.5).ceil();
    let mut command = rig.client_command("pgbench", arm);
    command.args(["-n", "-j", "1", "-M", load.mode]);
    if let Some(text) = load.text {
        let script = rig.scratch("script")?.join("text.sql");
        std::fs::write(&script, text).map_err(|e| format!("{}: {e}", script.display()))?;
        command.arg("-f").arg(script);
    } else {
        command.arg("-S");
    }
    command.args(["-c", &load.clients.to_string(), "-T", &whole.to_string(), "--log"]);
    command.arg(format!("--log-prefix={}/log", folder.display()));
    if load.open {
        command.args(["-R", &rate.to_string()]);
    }
    let child = command.arg(rig.database()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|e| format!("pgbench: {e}"))?;
    std::thread::sleep(warm_up);
    let start = Moment::read(arm.pid())?;
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let end = Moment::read(arm.pid())?;
    let output = finish(child)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !text.contains("number of failed transactions: 0 ") {
        return Err(format!("pgbench through {} failed:\n{text}{errors}", arm.name));
    }
    let latency = read_logs(&folder, start.wall_us, end.wall_us)?;
    std::fs::remove_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let cost = start.cost_until(&end);
    Ok(latency.map(|latency| Window { transactions: latency.len(), latency, cost }))
}

/// An arm that has stopped answering fails its measurement, not all that come after it.
fn finish(mut child: Child) -> Result<Output> {
    let until = Instant::now() + SILENCE_MAX;
    while matches!(child.try_wait(), Ok(None)) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let hangs = matches!(child.try_wait(), Ok(None));
    if hangs {
        // It may end by itself just now.
        let _ = child.kill();
    }
    let output = child.wait_with_output().map_err(|e| format!("pgbench: {e}"))?;
    if hangs { Err("pgbench got no answer any more".to_owned()) } else { Ok(output) }
}

/// The latencies of what ended inside the window; `None` if nothing ended before it.
fn read_logs(folder: &Path, from_us: u64, to_us: u64) -> Result<Option<Histogram<u64>>> {
    let mut latency = Histogram::new(3).map_err(|e| e.to_string())?;
    let mut first_us = u64::MAX;
    for entry in std::fs::read_dir(folder).map_err(|e| e.to_string())?.flatten() {
        let text = std::fs::read_to_string(entry.path()).map_err(|e| e.to_string())?;
        for line in text.lines() {
            let (end_us, latency_us) = log_line(line).ok_or_else(|| format!("log: {line}"))?;
            first_us = first_us.min(end_us);
            if (from_us..to_us).contains(&end_us) {
                latency.record(latency_us.max(1)).map_err(|e| e.to_string())?;
            }
        }
    }
    Ok((first_us <= from_us).then_some(latency))
}

/// `client transaction latency script epoch_s epoch_us [lag]`: when it ended, how long it took.
fn log_line(line: &str) -> Option<(u64, u64)> {
    let fields: Vec<u64> =
        line.split_whitespace().map(|f| f.parse().ok()).collect::<Option<_>>()?;
    Some((fields.get(4)? * 1_000_000 + fields.get(5)?, *fields.get(2)?))
}

/// System calls of the arm's process per transaction, counted by `perf stat`. `None` where perf
/// or its tracepoint is not to be had.
pub fn syscalls(rig: &Rig, arm: &Arm, load: Load, rate: u32) -> Result<Option<(f64, Cost)>> {
    let Some(pid) = arm.pid() else { return Ok(None) };
    let counting = std::thread::spawn(move || {
        std::thread::sleep(WARM_UPS[0]);
        Command::new("perf")
            .args(["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", &pid.to_string()])
            .args(["--", "sleep", "2"])
            .output()
    });
    let window = run(rig, arm, load, rate, 2.0)?;
    let Ok(Ok(output)) = counting.join() else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| {
        line.contains("raw_syscalls").then(|| line.split(',').next()?.parse::<f64>().ok())?
    });
    Ok(count.map(|count| (count / window.transactions as f64, window.cost)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_with_and_without_lag() {
        assert_eq!(log_line("0 199 2241 0 1175850568 995598"), Some((1_175_850_568_995_598, 2241)));
        assert_eq!(log_line("3 1 70 0 2 5 12"), Some((2_000_005, 70)));
        assert_eq!(log_line("0 1 skipped 0 2 5"), None);
        assert_eq!(log_line(""), None);
    }
}
