//! What a shard counts, readable from other threads.
//!
//! In: events of one shard. Out: totals. Never: a locked instruction; only the shard writes.

use std::sync::atomic::{AtomicU64, Ordering};

/// One total. Written by its shard alone.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds, on the shard's thread.
    pub fn add(&self, count: u64) {
        self.set(self.get() + count);
    }

    /// Replaces, on the shard's thread.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Reads, on any thread.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All totals of a shard.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections of any kind that live now.
    pub connections: Counter,
    /// Clients accepted.
    pub accepted: Counter,
    /// Of these, clients given to a shard that has fewer.
    pub given: Counter,
    /// Clients turned away, with or without a word.
    pub refused: Counter,
    /// Accepts that failed, usually for want of descriptors.
    pub accept_errors: Counter,
    /// Sessions ended by a panic.
    pub panics: Counter,
    /// Messages to the control thread that were dropped.
    pub reports_lost: Counter,
    /// Bytes received from clients and targets.
    pub bytes_received: Counter,
    /// Bytes sent to clients and targets.
    pub bytes_sent: Counter,
    /// fdatasync calls completed.
    pub syncs: Counter,
    /// Rounds of the loop.
    pub turns: Counter,
    /// Times the shard slept in the kernel.
    pub waits: Counter,
    /// Times it went to sleep in the executor.
    pub parks: Counter,
}
