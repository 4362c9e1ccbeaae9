//! What a shard counts, readable from other threads.
//!
//! In: events of one shard. Out: totals. Never: a locked instruction; only the shard writes.

use std::sync::OnceLock;

pub use crate::metrics::Counter;

/// Labels of faults and words of refusals are fewer.
const REASONS_MAX: usize = 128;
const OTHER: &str = "other";

/// Totals by a reason of a fixed set, in the order in which they were met.
#[derive(Debug)]
pub struct Reasons([(OnceLock<&'static str>, Counter); REASONS_MAX]);

impl Default for Reasons {
    fn default() -> Reasons {
        Reasons(std::array::from_fn(|_| Default::default()))
    }
}

impl Reasons {
    /// Counts one, on the shard's thread.
    pub fn add(&self, reason: &'static str) {
        let last = REASONS_MAX - 1;
        for (at, (known, count)) in self.0.iter().enumerate() {
            let known = *known.get_or_init(|| if at == last { OTHER } else { reason });
            if known == reason || at == last {
                return count.add(1);
            }
        }
    }

    /// Reads, on any thread.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map_while(|(known, count)| Some((*known.get()?, count.get())))
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
    /// Of these, clients for whom there was no room among those that have not logged in yet.
    pub shut_out: Counter,
    /// Clients whose TLS could not begin: no handshake, a broken one, a certificate of nobody.
    pub tls_failed: Counter,
    /// CancelRequests sent to targets for sessions that are not here.
    pub cancels_abroad: Counter,
    /// CancelRequests for such sessions that were one too many.
    pub cancels_dropped: Counter,
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
    /// Bytes of the journal that the disk may not have yet.
    pub journal_lag: Counter,
    /// Since when the oldest of them waits, monotonic microseconds; 0 when the disk has all.
    pub unflushed_since: Counter,
    /// Times that a peer was not read because its journal had no room for what it says.
    pub reads_put_off: Counter,
    /// Connections that are not read for that now.
    pub put_off_now: Counter,
    /// fdatasync calls completed.
    pub syncs: Counter,
    /// Rounds of the loop.
    pub turns: Counter,
    /// Times the shard slept in the kernel.
    pub waits: Counter,
    /// Clients whose connections weir ended or turned away.
    pub closed: Reasons,
    /// Entries, and with them commands, that the journal refused.
    pub entries_refused: Counter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_apart_and_have_a_bound() {
        let reasons = Reasons::default();
        ["tls", "drain", "tls"].into_iter().for_each(|reason| reasons.add(reason));
        assert_eq!(reasons.read().collect::<Vec<_>>(), [("tls", 2), ("drain", 1)]);
        for number in 0..1_000 {
            reasons.add(Box::leak(format!("r{number}").into_boxed_str()));
        }
        let read: Vec<_> = reasons.read().collect();
        assert_eq!((read.len(), read[REASONS_MAX - 1]), (REASONS_MAX, (OTHER, 875)));
        assert_eq!(read.iter().map(|(_, count)| count).sum::<u64>(), 1_003);
    }
}
