//! How long the disk of the data directory will do.
//!
//! In: how much is free, now and then. Out: minutes until nothing is, as it goes now.
//! Never: a forecast from a disk that is not filling.

use std::collections::VecDeque;

/// Not more often than this is a look kept.
const EVERY_US: u64 = 15_000_000;
/// The rate is that of so long: segments are made and freed again, and the lake grows in steps.
const WINDOW_US: u64 = 900_000_000;
/// Before so long there is no rate.
const LEAST_US: u64 = 60_000_000;

/// What was free at the looks of the last minutes.
#[derive(Debug, Default)]
pub struct Trend {
    looks: VecDeque<(u64, u64)>,
}

/// What is known of the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that weir may still take.
    pub free_bytes: u64,
    /// Minutes until there are none, if it is filling.
    pub minutes_left: Option<u64>,
}

impl Trend {
    /// Takes a look.
    pub fn look(&mut self, now_us: u64, free_bytes: u64) -> Disk {
        while self.looks.front().is_some_and(|(at_us, _)| at_us + WINDOW_US < now_us) {
            self.looks.pop_front();
        }
        let minutes_left = self.looks.front().and_then(|(at_us, before)| {
            let passed_us = now_us.saturating_sub(*at_us);
            let taken = before.saturating_sub(free_bytes);
            let is_known = passed_us >= LEAST_US && taken > 0;
            let left_us = u128::from(free_bytes) * u128::from(passed_us);
            is_known.then(|| u64::try_from(left_us / u128::from(taken) / 60_000_000).ok())?
        });
        if self.looks.back().is_none_or(|(at_us, _)| at_us + EVERY_US <= now_us) {
            self.looks.push_back((now_us, free_bytes));
        }
        Disk { free_bytes, minutes_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_the_last_minutes() {
        const GB: u64 = 1_000_000_000;
        let mut trend = Trend::default();
        let mut look = |seconds: u64, free: u64| trend.look(seconds * 1_000_000, free).minutes_left;
        assert_eq!(look(0, 100 * GB), None);
        assert_eq!(look(30, 99 * GB), None, "too early to tell");
        assert_eq!(look(120, 98 * GB), Some(98), "a gigabyte a minute");
        assert_eq!(look(180, 100 * GB), None, "it is not filling");
        assert_eq!(look(1_000, 0), Some(0));
        for minute in 0..30 {
            look(1_300 + minute * 60, (50 - minute) * GB);
        }
        assert_eq!(look(1_300 + 30 * 60, 20 * GB), Some(20), "what is long past does not count");
    }

    #[test]
    fn looks_have_a_bound() {
        let mut trend = Trend::default();
        for at_us in (0..10_000_000_000).step_by(1_000_000) {
            trend.look(at_us, 1);
        }
        assert!(trend.looks.len() as u64 <= WINDOW_US / EVERY_US + 1, "{}", trend.looks.len());
    }
}
