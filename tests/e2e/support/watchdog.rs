//! Ends what hangs: a test that waits for ever would take the output of all others along.

use std::path::Path;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

/// No test takes as long, on whatever machine.
const LIMIT: Duration = Duration::from_secs(600);
const LIMIT_LONG: Duration = Duration::from_secs(7200);
/// Until then the test has to have failed of the end of its children.
const GRACE: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_secs(5);
/// `USER_HZ`, the unit of `starttime`, is 100 on every Linux (proc_pid_stat(5), sysconf(3)).
const TICKS_A_SECOND: u64 = 100;

/// Begins to watch the tests of this process.
pub fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let long = std::env::var_os("WEIR_TEST_LONG").is_some();
        let limit = if long { LIMIT_LONG } else { LIMIT };
        let watch = move || watch(limit);
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(watch).expect("a thread");
    });
}

fn watch(limit: Duration) {
    loop {
        std::thread::sleep(TICK);
        let tasks = std::fs::read_dir("/proc/self/task").expect("the threads of this process");
        for task in tasks.flatten() {
            // It may be over by now.
            let Some((name, age)) = read(&task.path()) else { continue };
            if age > limit + GRACE {
                eprintln!("watchdog: {name} did not end with its children");
                std::process::abort();
            } else if age > limit {
                end_children(&name, age, &task.path());
            }
        }
    }
}

/// The name of a thread that runs a test, which begins as the test's, and how long it has run.
fn read(task: &Path) -> Option<(String, Duration)> {
    let name = std::fs::read_to_string(task.join("comm")).ok()?;
    if !name.contains("::") {
        return None;
    }
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    let started: u64 = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let now: u64 = uptime.split('.').next()?.parse().ok()?;
    let age = now.saturating_sub(started / TICKS_A_SECOND);
    Some((name.trim_end().to_owned(), Duration::from_secs(age)))
}

fn end_children(test: &str, age: Duration, task: &Path) {
    let children = std::fs::read_to_string(task.join("children")).unwrap_or_default();
    for child in children.split_whitespace() {
        let line = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
        let line = line.replace('\0', " ");
        // What all tests share was started by the first that needed it.
        if line.is_empty() || line.contains(" keeper ") || line.contains(" reaper ") {
            continue;
        }
        eprintln!("watchdog: {test} has run for {} s, ending {child}: {line}", age.as_secs());
        let _ = Command::new("kill").args(["-KILL", child]).status();
    }
}
