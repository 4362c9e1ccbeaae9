//! What tests of hostile peers share, whichever protocol they speak: a session beside the harm, a
//! target that says what a test wants, and bytes by the megabyte.

use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{Weir, short_or_long};

/// What one hostile peer may cost weir in memory of its own: the buffers of a session and its
/// queue of outstanding replies, with room for what the allocator keeps.
const GROWTH_KIB_MAX: u64 = 48 * 1024;
/// What sealing takes while it works: the row group that it encodes, and a batch of rows.
const SEALING_KIB_MAX: u64 = 96 * 1024;
/// Records that wait are sealed within this time.
const SEALED: Duration = Duration::from_secs(60);
/// A session beside a hostile one answers within this time, on a machine that others use too.
const ANSWERED: Duration = Duration::from_secs(5);

/// A session that was there before the harm, and looks at it.
pub struct Bystander<'w> {
    weir: &'w Weir,
    before_kib: u64,
    ask: Box<dyn FnMut(&str) + 'w>,
}

impl<'w> Bystander<'w> {
    /// `ask` has the session do something and fails where the answer is not what it should be; it
    /// is handed what is at work meanwhile.
    pub fn new(weir: &'w Weir, mut ask: impl FnMut(&str) + 'w) -> Bystander<'w> {
        ask("before");
        Bystander { weir, before_kib: weir.anonymous_kib(), ask: Box::new(ask) }
    }

    /// Nothing is held up, and memory has its bound.
    pub fn look(&mut self, what: &str) {
        let begun = Instant::now();
        (self.ask)(what);
        assert!(begun.elapsed() < ANSWERED, "{what}: answered after {:?}", begun.elapsed());
        let mut grown = self.grown_kib();
        while grown >= GROWTH_KIB_MAX && begun.elapsed() < SEALED {
            assert!(grown < GROWTH_KIB_MAX + SEALING_KIB_MAX, "{what}: grew by {grown} KiB");
            thread::sleep(Duration::from_millis(100));
            grown = self.grown_kib();
        }
        assert!(grown < GROWTH_KIB_MAX, "{what}: grew by {grown} KiB, and keeps it");
    }

    /// What weir takes more than before.
    pub fn grown_kib(&self) -> u64 {
        self.weir.anonymous_kib().saturating_sub(self.before_kib)
    }
}

/// Sends as much as is taken of `bytes` again and again within `limit`, and reads nothing.
pub fn pour(stream: &TcpStream, bytes: &[u8], times: usize, limit: Duration) -> usize {
    let begun = Instant::now();
    stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let mut sent = 0;
    for _ in 0..times {
        let mut rest = bytes;
        while !rest.is_empty() {
            if begun.elapsed() > limit {
                return sent;
            }
            match (&mut &*stream).write(rest) {
                Ok(0) => return sent,
                Ok(count) => rest = &rest[count..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => return sent,
            }
        }
        sent += 1;
    }
    sent
}

/// Writes until weir does not take it any more, or for two seconds.
pub fn pour_for_ever(stream: &TcpStream, next: impl Fn(usize) -> Vec<u8>) {
    let limit = Duration::from_secs(short_or_long(2, 20).into());
    let begun = Instant::now();
    for round in 0.. {
        let piece: Vec<u8> = (0..200).flat_map(|n| next(round * 200 + n)).collect();
        if begun.elapsed() > limit || pour(stream, &piece, 1, limit) == 0 {
            return;
        }
    }
}

/// What a target does with a connection.
type Scenario = Arc<dyn Fn(TcpStream) + Send + Sync>;

/// A target that says what a test wants. Its threads end with their connections.
#[derive(Debug)]
pub struct Fake {
    pub port: u16,
    over: Arc<AtomicBool>,
    heard: Arc<AtomicUsize>,
}

impl Fake {
    pub fn start(scenario: impl Fn(TcpStream) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let over = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(AtomicUsize::new(0));
        let (scenario, done): (Scenario, _) = (Arc::new(scenario), Arc::clone(&over));
        let count = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let scenario = Arc::clone(&scenario);
                thread::spawn(move || scenario(stream));
            }
        });
        Fake { port, over, heard }
    }

    /// How many connections were made.
    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::Relaxed)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
