//! What a shard counts, readable from other threads.
//!
//! In: events of one shard. Out: totals. Never: a locked instruction; only the shard writes.

pub use crate::metrics::Counter;

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
    /// fdatasync calls completed.
    pub syncs: Counter,
    /// Rounds of the loop.
    pub turns: Counter,
    /// Times the shard slept in the kernel.
    pub waits: Counter,
}
