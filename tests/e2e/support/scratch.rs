//! Scratch folders that stay behind when their test fails, free ports, and commands that must work.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A folder of its own for one test.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        super::watchdog::start();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("weir-e2e-{}-{count}-{name}", std::process::id());
        let path = std::env::temp_dir().join(folder);
        std::fs::create_dir_all(&path).expect("a scratch folder");
        Scratch { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).expect("a file in the scratch folder");
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for inspection: {}", self.path.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A file system of a few megabytes; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    scratch: Scratch,
}

impl SmallDisk {
    /// `None`, with the reason printed, where mounting is not permitted.
    pub fn mount(size: &str) -> Option<SmallDisk> {
        let scratch = Scratch::new("small-disk");
        let options = format!("size={size},mode=0755");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(scratch.path());
        let result = output(&mut command);
        if !result.status.success() {
            let why = String::from_utf8_lossy(&result.stderr).into_owned();
            eprintln!("SKIPPED, no small file system can be mounted here: {}", why.trim());
            return None;
        }
        Some(SmallDisk { scratch })
    }

    pub fn path(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = output(Command::new("umount").arg("-l").arg(self.scratch.path()));
    }
}

/// A port that is free and is handed to no other test of this process. It lies below the range
/// the kernel chooses from (`ip_local_port_range`), so no outgoing connection takes it either:
/// whoever needs a port where nobody listens may rely on it.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Test programs that run beside this one begin elsewhere.
    let first = std::process::id().wrapping_mul(997);
    let span = PORTS.end - PORTS.start;
    (0..span)
        .map(|_| PORTS.start + first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)) % span)
        .map(|port| u16::try_from(port).expect("a port of the range"))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

/// Runs a command to its end and returns what it printed; anything but success fails the test.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    stdout
}

/// Runs a command to its end, whatever that is.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Asks again and again until the answer is yes; `what` names it in the failure.
pub fn wait_until(what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A random lower-case word, for values that must be found nowhere else.
pub fn canary(prefix: &str) -> String {
    let mut bytes = [0u8; 8];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .expect("random bytes");
    bytes.iter().fold(prefix.to_owned(), |word, byte| format!("{word}{byte:02x}"))
}
