//! weir and its rivals in front of one PostgreSQL, one server of HTTP or one sshd, measured in
//! turns.
//!
//! In: flags. Out: medians with their spread, ratios, JSON, plots. Never: one arm measured at
//! another time than the others; the machine drifts, so every round visits every arm.
//!
//! What is measured, and why so: CPU of the proxy's process per transaction at a fixed offered
//! rate is the number that a small shared machine can give honestly. Throughput there mostly
//! measures the scheduler. Latency is taken from the open loop only.

mod disk;
mod flags;
mod idle;
mod pgbench;
mod plot;
mod proc;
mod profile;
mod report;
mod rig;
mod shell;
mod sink;
mod storm;
mod web;
mod workload;

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use flags::Flags;
use rig::Rig;
use workload::WORKLOADS;

type Result<T> = std::result::Result<T, String>;

/// What one arm gave in one round of one workload.
#[derive(Clone, Debug)]
struct Sample {
    workload: &'static str,
    arm: String,
    round: usize,
    /// By metric; see `workload::METRICS`.
    values: BTreeMap<&'static str, f64>,
    /// Share of the machine's time that its host took away, percent.
    steal_percent: f64,
    /// CPU that processes which are not ours used, percent of one core.
    foreign_percent: f64,
    /// Kept in the summary?
    kept: bool,
}

/// Runs the comparison.
pub fn run(arguments: &[String]) -> Result<()> {
    let Some(flags) = Flags::parse(arguments)? else {
        println!("{}", flags::USAGE);
        return Ok(());
    };
    let mut rig = Rig::start(&flags)?;
    settle(&rig)?;
    let chosen: Vec<_> = WORKLOADS.iter().filter(|w| flags.wants(w.name)).collect();
    let mut samples = vec![];
    let mut failed = vec![];
    let mut profiles = profile::Profiles::default();
    for round in 0..flags.rounds {
        for workload in chosen.iter().filter(|w| round == 0 || !w.once) {
            for arm in 0..rig.arms.len() {
                let name = rig.arms[arm].name.clone();
                if !workload.is_for(&name) {
                    continue;
                }
                progress(&flags, round, workload.name, &name);
                let recording = record(&flags, workload, &rig.arms[arm])?;
                let measured = workload.measure(&mut rig, arm, &flags);
                if let Some(recording) = recording {
                    profiles.add(workload.name, &name, &recording.finish()?);
                }
                match measured {
                    Ok(Some(measured)) => {
                        if let Some(errors) = measured.0.get("errors").filter(|count| **count > 0.0)
                        {
                            failed
                                .push(format!("{} through {name}: {errors} errors", workload.name));
                        }
                        samples.push(sample(&flags, (round, workload.name, name), measured));
                    }
                    Ok(None) => {}
                    Err(why) => failed.push(format!("{} through {name}: {why}", workload.name)),
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
    let names: Vec<String> = rig.arms.iter().map(|arm| arm.name.clone()).collect();
    let versions = rig.versions();
    drop(rig);
    if std::io::stderr().is_terminal() {
        eprintln!();
    }
    let report = report::Report::new(&flags, names, versions, samples);
    print!("{}{}", report.text(), profiles.text());
    if let Some(path) = &flags.json {
        write(path, &report.json())?;
    }
    if let Some(folder) = &flags.plots {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for (name, svg) in report.plots() {
            write(&folder.join(name), &svg)?;
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Begins to sample an arm, if asked to. What is measured once starts its process anew.
fn record(
    flags: &Flags,
    workload: &workload::Workload,
    arm: &rig::Arm,
) -> Result<Option<profile::Recording>> {
    let (Some(folder), Some(pid), false) = (&flags.profile, arm.pid(), workload.once) else {
        return Ok(None);
    };
    profile::Recording::start(folder, &format!("{}-{}", workload.name, arm.name), pid).map(Some)
}

fn sample(
    flags: &Flags,
    (round, workload, arm): (usize, &'static str, String),
    (values, cost): (BTreeMap<&'static str, f64>, proc::Cost),
) -> Sample {
    let (steal_percent, foreign_percent) = (cost.steal_percent, cost.foreign_percent);
    let kept = steal_percent <= flags.steal_max && foreign_percent <= flags.foreign_max;
    Sample { workload, arm, round, values, steal_percent, foreign_percent, kept }
}

/// Fills caches and lets the disk come to rest; what it gives is thrown away.
fn settle(rig: &Rig) -> Result<()> {
    let load = pgbench::Load { mode: "simple", clients: 4, open: false, at: None, text: None };
    for arm in rig.arms.iter().filter(|arm| arm.is_postgres()) {
        pgbench::run(rig, arm, load, 0, 0.5)?;
    }
    Ok(())
}

fn progress(flags: &Flags, round: usize, workload: &str, arm: &str) {
    let ends = if std::io::stderr().is_terminal() { ("\r\x1b[K", "") } else { ("", "\n") };
    eprint!("{}round {}/{}: {workload}, {arm}{}", ends.0, round + 1, flags.rounds, ends.1);
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
