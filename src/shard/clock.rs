//! The clock of the process: the only place of the data plane that reads it.
//!
//! In: nothing. Out: `session::Now`.
//! Never: a monotonic time that differs between threads; a step of the wall clock that a shard does
//! not follow.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Now;

static START: OnceLock<Instant> = OnceLock::new();

/// How long a shard takes the wall clock to run as the monotonic one does: both are steered alike,
/// so they part only when somebody sets the former.
const WALL_KEPT_US: u64 = 100_000;

/// The clock of a shard, which reads one of the kernel's two clocks a turn.
#[derive(Debug, Default)]
pub struct Clock {
    /// Monotonic microseconds when both were read; `None` before the first time.
    both_read_us: Option<u64>,
    /// UTC when the monotonic clock was at zero.
    zero_wall_us: i64,
}

impl Clock {
    /// The time.
    pub fn now(&mut self) -> Now {
        let mono_us = mono_us();
        if self.both_read_us.is_none_or(|read_us| mono_us >= read_us + WALL_KEPT_US) {
            let both = now();
            self.both_read_us = Some(both.mono_us);
            self.zero_wall_us = both.wall_us - both.mono_us as i64;
        }
        Now { wall_us: self.zero_wall_us + mono_us as i64, mono_us }
    }
}

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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_step_of_the_wall_clock_is_followed() {
        let mut clock = Clock::default();
        let (before, read, after) = (now(), clock.now(), now());
        assert!(before.mono_us <= read.mono_us && read.mono_us <= after.mono_us);
        assert!((read.wall_us - before.wall_us).abs() < 1_000_000);
        // As if it had been set by an hour.
        clock.zero_wall_us -= 3_600_000_000;
        std::thread::sleep(Duration::from_micros(WALL_KEPT_US));
        assert!((clock.now().wall_us - now().wall_us).abs() < 1_000_000);
    }
}
