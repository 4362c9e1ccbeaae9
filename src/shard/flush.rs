//! When the journal goes to the disk: as seldom as the configuration allows, at once for sessions
//! that wait for it, and for many of them together.
//!
//! In: where the journal ends and how much the disk has, how many sessions wait, what flushes took.
//! Out: whether one begins now, or when to ask again.
//! Never: an entry that nobody waits for put off beyond `flush_us`; a flush, or a time to wake up
//! for one, when nothing was written.
//!
//! ```text
//!            entry                flush begins               flush ends
//!   Clean ----------> since t -------------------> under way -----------> Clean
//!                       |  due at t + flush_us, less what a flush takes
//!                       +- due at once after `FLUSH_BYTES`
//! ```
//!
//! A flush costs the same for one session and for a hundred. While one is under way others gather
//! by themselves; when it ends, those it released come back one by one within a moment. Beginning
//! at once would take the first of them alone and let the others wait for the next one, so a flush
//! waits for half of those that the last ones released, and never longer than a flush takes
//! (PostgreSQL has the same as `commit_delay` and `commit_siblings`).

use super::journal::ShardJournal;
use crate::limits::{FLUSH_BYTES, GATHER_US_MAX};

/// What is known of the flushes so far.
#[derive(Debug)]
pub struct Flushes {
    /// The longest that an entry may not be on the disk, by the configuration.
    flush_us: u64,
    started_us: u64,
    takes_us: u64,
    /// The longest that one took lately.
    slowest_us: u64,
    released: usize,
    waiting_since_us: Option<u64>,
    /// The end of what the flushes so far were asked to bring to the disk.
    asked: u64,
    /// Bytes beyond it.
    unasked: u64,
    /// Since when there are some.
    unasked_since_us: Option<u64>,
    /// Since when the oldest entry waits that the flush under way is to bring to the disk.
    under_way_since_us: Option<u64>,
}

impl Flushes {
    /// None so far. An entry may wait for the disk for `flush_us`.
    pub fn new(flush_us: u64) -> Flushes {
        Flushes {
            flush_us,
            started_us: 0,
            takes_us: 0,
            slowest_us: 0,
            released: 0,
            waiting_since_us: None,
            asked: 0,
            unasked: 0,
            unasked_since_us: None,
            under_way_since_us: None,
        }
    }

    /// Looks at the journal, with this many sessions waiting for the disk: the flush that begins
    /// now, if one does. Not while another one is under way.
    pub fn next_job<J: ShardJournal>(
        &mut self,
        journal: &mut J,
        waiting: usize,
        now_us: u64,
    ) -> Option<J::Job> {
        let (written, durable) = (journal.written().0, journal.durable().0);
        self.look(written, durable, now_us);
        // What was closed goes first, so that the open segment has the disk when it is due.
        if written <= durable || !(journal.has_closed() || self.is_due(waiting, now_us)) {
            return None;
        }
        let job = journal.sync_job();
        self.begin(job.as_ref().map(|job| J::job_end(job).0), now_us);
        job
    }

    /// Notes where the journal ends, and what of it the disk has.
    pub fn look(&mut self, written: u64, durable: u64, now_us: u64) {
        self.asked = self.asked.max(durable);
        self.unasked = written.saturating_sub(self.asked);
        if self.unasked == 0 {
            self.unasked_since_us = None;
            self.waiting_since_us = None;
        } else {
            self.unasked_since_us.get_or_insert(now_us);
        }
    }

    /// Whether one should begin, with this many sessions waiting for it.
    fn is_due(&mut self, waiting: usize, now_us: u64) -> bool {
        if waiting == 0 {
            return self.unasked >= FLUSH_BYTES || self.aged_us().is_none_or(|at| now_us >= at);
        }
        let since_us = *self.waiting_since_us.get_or_insert(now_us);
        waiting * 2 >= self.released || now_us >= since_us + self.patience_us()
    }

    /// When to ask again if nothing happens and something is not on the disk.
    pub fn next_us(&self) -> Option<u64> {
        let gathered = self.waiting_since_us.map(|since_us| since_us + self.patience_us());
        [gathered, self.aged_us()].into_iter().flatten().min()
    }

    /// When a flush has to begin to end in time.
    fn aged_us(&self) -> Option<u64> {
        // It may have to wait for one that is under way. A disk that takes longer than the interval
        // is kept busy half of the time, not always.
        let takes_us = (self.slowest_us * 2).min(self.flush_us / 2);
        self.unasked_since_us.map(|since_us| since_us + self.flush_us - takes_us)
    }

    /// One begins that brings what lies before `end` to the disk; `None`: the journal cannot be
    /// flushed now.
    fn begin(&mut self, end: Option<u64>, now_us: u64) {
        self.started_us = now_us;
        self.waiting_since_us = None;
        let Some(end) = end else {
            self.unasked_since_us = Some(now_us);
            return;
        };
        self.under_way_since_us = self.unasked_since_us;
        // What lies in a later segment is at most as old as what goes first.
        if end >= self.asked + self.unasked {
            self.unasked_since_us = None;
        }
        self.unasked = (self.asked + self.unasked).saturating_sub(end);
        self.asked = self.asked.max(end);
    }

    /// It ended, and this many sessions go on.
    pub fn end(&mut self, released: usize, now_us: u64) {
        let took_us = now_us.saturating_sub(self.started_us);
        self.takes_us = (self.takes_us * 7 + took_us) / 8;
        self.slowest_us = took_us.max(self.slowest_us - self.slowest_us.div_ceil(16));
        self.released = released.max(self.released - self.released.div_ceil(8));
        self.under_way_since_us = None;
    }

    /// Since when the oldest entry waits that the disk may not have.
    pub fn oldest_us(&self) -> Option<u64> {
        self.under_way_since_us.or(self.unasked_since_us)
    }

    fn patience_us(&self) -> u64 {
        self.takes_us.min(GATHER_US_MAX)
    }
}

#[cfg(test)]
#[path = "flush_tests.rs"]
mod tests;
