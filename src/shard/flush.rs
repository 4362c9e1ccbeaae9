//! When the journal goes to the disk: often enough, and for many sessions at once.
//!
//! In: how many sessions wait, what flushes took. Out: whether one begins now, or when to ask
//! again. Never: a flush put off for longer than a flush takes.
//!
//! A flush costs the same for one session and for a hundred. While one is under way others gather
//! by themselves; when it ends, those it released come back one by one within a moment. Beginning
//! at once would take the first of them alone and let the others wait for the next one, so a flush
//! waits for half of those that the last ones released, and never longer than a flush takes
//! (PostgreSQL has the same as `commit_delay` and `commit_siblings`).

use crate::limits::{GATHER_US_MAX, SYNC_INTERVAL_US};

/// What is known of the flushes so far.
#[derive(Debug, Default)]
pub struct Flushes {
    started_us: u64,
    takes_us: u64,
    released: usize,
    waiting_since_us: Option<u64>,
}

impl Flushes {
    /// Whether one should begin, with this many sessions waiting for it.
    pub fn is_due(&mut self, waiting: usize, now_us: u64) -> bool {
        if waiting == 0 {
            return now_us >= self.started_us + SYNC_INTERVAL_US;
        }
        let since_us = *self.waiting_since_us.get_or_insert(now_us);
        waiting * 2 >= self.released || now_us >= since_us + self.patience_us()
    }

    /// When to ask again if nothing happens.
    pub fn next_us(&self) -> u64 {
        let gathered = self.waiting_since_us.map(|since_us| since_us + self.patience_us());
        gathered.unwrap_or(self.started_us + SYNC_INTERVAL_US)
    }

    /// One begins.
    pub fn begin(&mut self, now_us: u64) {
        self.started_us = now_us;
        self.waiting_since_us = None;
    }

    /// It ended, and this many sessions go on.
    pub fn end(&mut self, released: usize, now_us: u64) {
        let took_us = now_us.saturating_sub(self.started_us);
        self.takes_us = (self.takes_us * 7 + took_us) / 8;
        self.released = released.max(self.released - self.released.div_ceil(8));
    }

    fn patience_us(&self) -> u64 {
        self.takes_us.min(GATHER_US_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After some flushes of 100 us that released `released` sessions each.
    fn after(released: usize) -> Flushes {
        let mut flushes = Flushes::default();
        for round in 0..64 {
            flushes.begin(round * 1_000);
            flushes.end(released, round * 1_000 + 100);
        }
        flushes
    }

    #[test]
    fn one_session_does_not_wait_for_others() {
        let mut flushes = after(1);
        assert!(flushes.is_due(1, 100_000));
    }

    #[test]
    fn many_sessions_gather_for_a_moment() {
        let mut flushes = after(40);
        assert!(!flushes.is_due(1, 100_000));
        assert!(!flushes.is_due(19, 100_010));
        assert!(flushes.is_due(20, 100_020), "half of them are there");
        let mut slow = after(40);
        assert!(!slow.is_due(1, 100_000));
        assert!((100_080..=100_100).contains(&slow.next_us()), "{}", slow.next_us());
        assert!(slow.is_due(1, slow.next_us()), "not longer than a flush takes");
    }

    #[test]
    fn fewer_sessions_are_noticed() {
        let mut flushes = after(64);
        for round in 0..30 {
            flushes.begin(100_000 + round);
            flushes.end(1, 100_000 + round);
        }
        assert!(flushes.is_due(1, 200_000));
    }

    #[test]
    fn without_sessions_that_wait_the_disk_lags_by_the_interval() {
        let mut flushes = Flushes::default();
        flushes.begin(1_000);
        flushes.end(0, 1_100);
        assert!(!flushes.is_due(0, 1_000 + SYNC_INTERVAL_US - 1));
        assert_eq!(flushes.next_us(), 1_000 + SYNC_INTERVAL_US);
        assert!(flushes.is_due(0, 1_000 + SYNC_INTERVAL_US));
    }
}
