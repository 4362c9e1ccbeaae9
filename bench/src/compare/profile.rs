//! Where the time of a proxy goes, by what it does: `perf record` beside the measurements.
//!
//! In: the process of an arm while a workload runs. Out: shares of its samples by part, and the
//! recordings, for flame graphs. Never: a number of the comparison; sampling costs what it shows.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Result;

/// What a proxy does, in the order of the table.
const PARTS: [&str; 10] = [
    "sending, in the kernel",
    "of that, waking the peer",
    "receiving, in the kernel",
    "sleeping and being woken",
    "page faults",
    "other of the kernel",
    "its own code",
    "libraries",
    "sealing to Parquet",
    "the journal's disk and segments",
];
const SENDING: usize = 0;
const WAKING: usize = 1;
const RECEIVING: usize = 2;
const SLEEPING: usize = 3;
const FAULTS: usize = 4;
const KERNEL: usize = 5;
const OWN: usize = 6;
const LIBRARIES: usize = 7;
const SEALING: usize = 8;
const DISK: usize = 9;

/// Kernel functions of Linux 6 that say what a stack is about.
const SENDS: [&str; 4] = ["tcp_sendmsg", "__sys_sendto", "io_send", "splice_to_socket"];
const WAKES: [&str; 3] = ["sock_def_readable", "ep_poll_callback", "try_to_wake_up"];
const RECEIVES: [&str; 4] = ["tcp_recvmsg", "__sys_recvfrom", "sock_recvmsg", "tcp_splice_read"];
const SLEEPS: [&str; 4] = ["schedule", "do_epoll_wait", "io_cqring_wait", "schedule_timeout"];

type Counts = [u64; PARTS.len()];

/// Samples by workload and arm, of all rounds.
#[derive(Default)]
pub struct Profiles {
    /// Workloads in the order they ran, each with its arms.
    workloads: Vec<(&'static str, BTreeMap<String, Counts>)>,
}

impl Profiles {
    pub fn add(&mut self, workload: &'static str, arm: &str, counts: &Counts) {
        let at = self.workloads.iter().position(|(name, _)| *name == workload);
        let at = at.unwrap_or_else(|| {
            self.workloads.push((workload, BTreeMap::new()));
            self.workloads.len() - 1
        });
        let sums = self.workloads[at].1.entry(arm.to_owned()).or_default();
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }

    /// A table for each workload, in percent of the samples of its arm.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (workload, arms) in &self.workloads {
            let _ = write!(text, "\nwhere the time of {workload} goes, percent\n| part |");
            for (arm, counts) in arms {
                let _ = write!(text, " {arm} ({} samples) |", total(counts));
            }
            let _ = write!(text, "\n|---|{}", "---|".repeat(arms.len()));
            for (part, name) in PARTS.iter().enumerate() {
                if arms.values().all(|counts| counts[part] == 0) {
                    continue;
                }
                let _ = write!(text, "\n| {name} |");
                for counts in arms.values() {
                    let share = counts[part] as f64 * 100.0 / total(counts).max(1) as f64;
                    let _ = write!(text, " {share:.1} |");
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Waking is a part of sending.
fn total(counts: &Counts) -> u64 {
    counts.iter().sum::<u64>() - counts[WAKING]
}

/// A recording that is under way.
pub struct Recording {
    perf: Child,
    path: PathBuf,
}

impl Recording {
    /// Samples all threads of a process from now on, into `folder/<name>.perf`.
    ///
    /// # Errors
    /// When `perf` is not there.
    pub fn start(folder: &Path, name: &str, pid: u32) -> Result<Recording> {
        fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let path = folder.join(format!("{name}.perf"));
        let perf = Command::new("perf")
            .args(["record", "-q", "-g", "-F", "999", "-p", &pid.to_string(), "-o"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("--profile needs perf (apt-get install linux-perf): {e}"))?;
        Ok(Recording { perf, path })
    }

    /// Ends it, and counts its samples.
    ///
    /// # Errors
    /// When perf recorded nothing that it can read: it may not be allowed to.
    pub fn finish(mut self) -> Result<Counts> {
        let _ = Command::new("kill").args(["-INT", &self.perf.id().to_string()]).status();
        let _ = self.perf.wait();
        let mut script = Command::new("perf")
            .args(["script", "--no-inline", "-F", "comm,ip,sym,dso", "-i"])
            .arg(&self.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("perf script: {e}"))?;
        let output = script.stdout.take().ok_or("perf script has no output")?;
        let counts = count(BufReader::new(output));
        let _ = script.wait();
        if total(&counts) == 0 {
            let path = self.path.display();
            return Err(format!("no samples in {path}; is kernel.perf_event_paranoid below 2?"));
        }
        Ok(counts)
    }
}

/// Reads what `perf script` prints: the thread's name, a line for each function from the innermost
/// outwards, an empty line.
fn count(lines: impl BufRead) -> Counts {
    let mut counts = Counts::default();
    let (mut thread, mut stack) = (None::<String>, vec![]);
    for line in lines.lines().map_while(std::result::Result::ok).chain([String::new()]) {
        if line.is_empty() {
            if let Some(thread) = thread.take() {
                take(&mut counts, &thread, &stack);
            }
            stack.clear();
        } else if thread.is_none() {
            thread = Some(line.trim().to_owned());
        } else if let Some((symbol, object)) = function(&line) {
            stack.push((symbol.to_owned(), object.to_owned()));
        }
    }
    counts
}

/// The function and the object file of `  ffff81c02f41 tcp_sendmsg ([kernel.kallsyms])`.
fn function(line: &str) -> Option<(&str, &str)> {
    let (_, named) = line.trim().split_once(' ')?;
    let (symbol, object) = named.rsplit_once(" (")?;
    Some((symbol, object.trim_end_matches(')')))
}

fn take(counts: &mut Counts, thread: &str, stack: &[(String, String)]) {
    let part = part(thread, stack);
    counts[part] += 1;
    if part == SENDING && has(stack, &WAKES) {
        counts[WAKING] += 1;
    }
}

fn part(thread: &str, stack: &[(String, String)]) -> usize {
    if thread.starts_with("weir-sealer") {
        return SEALING;
    }
    if thread.starts_with("weir-segments") || thread.starts_with("iou-wrk") {
        return DISK;
    }
    let object = stack.first().map_or("", |(_, object)| object.as_str());
    if !object.starts_with("[kernel") {
        let file = object.rsplit('/').next().unwrap_or_default();
        let foreign = ["lib", "ld-", "["].iter().any(|start| file.starts_with(start));
        return if foreign { LIBRARIES } else { OWN };
    }
    let kinds: [(&[&str], usize); 4] = [
        (&["asm_exc_page_fault"], FAULTS),
        (&SENDS, SENDING),
        (&RECEIVES, RECEIVING),
        (&SLEEPS, SLEEPING),
    ];
    kinds.iter().find(|(names, _)| has(stack, names)).map_or(KERNEL, |(_, part)| *part)
}

fn has(stack: &[(String, String)], names: &[&str]) -> bool {
    stack.iter().any(|(symbol, _)| names.contains(&symbol.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "\
weir-shard-0-1
\tffffffff81c02f41 _raw_spin_unlock_irqrestore ([kernel.kallsyms])
\tffffffff81c02f42 try_to_wake_up ([kernel.kallsyms])
\tffffffff81c02f43 tcp_sendmsg ([kernel.kallsyms])
\t    55d1c02f4300 <weir::Core<M, J> as Run>::turn (/usr/bin/weir)

weir-shard-0-1
\tffffffff81c02f41 copy_from_user ([kernel.kallsyms])
\tffffffff81c02f43 tcp_sendmsg ([kernel.kallsyms])

weir-shard-0-1
\t    55d1c02f4300 weir::wire::next (/usr/bin/weir)

weir-shard-0-1
\t    7f01c02f4300 __memcpy (/usr/lib/libc.so.6)

weir-shard-0-1
\tffffffff81c02f41 finish_task_switch ([kernel.kallsyms])
\tffffffff81c02f42 schedule ([kernel.kallsyms])

weir-sealer
\t    55d1c02f4300 intern (/usr/bin/weir)

iou-wrk-7
\tffffffff81c02f41 ext4_sync_file ([kernel.kallsyms])
";

    #[test]
    fn a_stack_says_what_it_is_about() {
        let counts = count(SCRIPT.as_bytes());
        let mut expect = Counts::default();
        for part in [SENDING, SENDING, WAKING, OWN, LIBRARIES, SLEEPING, SEALING, DISK] {
            expect[part] += 1;
        }
        assert_eq!(counts, expect);
        assert_eq!(total(&counts), 7, "one for each stack");
    }

    #[test]
    fn rounds_add_up() {
        let mut profiles = Profiles::default();
        for _ in 0..2 {
            profiles.add("lone", "weir", &count(SCRIPT.as_bytes()));
        }
        let text = profiles.text();
        assert!(text.contains("| weir (14 samples) |"), "{text}");
        assert!(text.contains("| sending, in the kernel | 28.6 |"), "{text}");
        assert!(!text.contains("receiving"), "{text}");
    }
}
