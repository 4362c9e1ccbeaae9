//! The clock of the process: the only place of the data plane that reads it.
//!
//! In: nothing. Out: `session::Now`.
//! Never: a monotonic time that differs between threads.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::session::Now;

static START: OnceLock<Instant> = OnceLock::new();

/// The time: UTC, and monotonic since the first call in this process. The control thread reads it
/// too, for deadlines that it sends to shards.
pub fn now() -> Now {
    let wall_us = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    Now { wall_us, mono_us: mono_us() }
}

/// Monotonic microseconds alone.
pub fn mono_us() -> u64 {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
}

/// Monotonic nanoseconds, for what is shorter than a turn.
pub fn mono_ns() -> u64 {
    let elapsed = START.get_or_init(Instant::now).elapsed();
    u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
}
