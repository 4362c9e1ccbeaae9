//! Bytes to a peer, and only with a permit and a receipt.
//!
//! `Outbox` is pure: it keeps the order and knows which bytes wait for which record. `dial` is the
//! shell that connects to a target.

use std::collections::VecDeque;

use crate::decide::Permit;
use crate::record::{Lsn, Receipt};

/// Bytes for one peer. A prefix of them may leave: all before the first barrier whose record is
/// not safe yet.
///
/// Invariant: barriers are sorted by position, and `sent <= bytes.len()`.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    /// `(position, lsn)`: bytes from `position` on wait until `lsn` is safe.
    barriers: VecDeque<(usize, Lsn)>,
}

impl Outbox {
    /// Queues bytes that follow from a permitted, recorded action.
    pub fn forward(&mut self, _permit: Permit, receipt: Receipt, bytes: &[u8]) {
        let lsn = receipt.lsn();
        if self.barriers.back().is_none_or(|&(_, last)| last < lsn) {
            self.barriers.push_back((self.bytes.len(), lsn));
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Queues bytes that weir itself says to a peer: login messages, notices, refusals.
    /// They carry nothing of the other peer, so they need neither permit nor receipt; they keep
    /// their place behind what waits before them.
    pub fn say(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes that may leave when everything up to `safe` is recorded.
    pub fn sendable(&mut self, safe: Lsn) -> &[u8] {
        while self.barriers.front().is_some_and(|&(_, lsn)| lsn <= safe) {
            self.barriers.pop_front();
        }
        let end = self.barriers.front().map_or(self.bytes.len(), |&(position, _)| position);
        self.bytes.get(self.sent..end).unwrap_or(&[])
    }

    /// The first `count` sendable bytes have left.
    pub fn consume(&mut self, count: usize) {
        self.sent += count;
        assert!(self.sent <= self.bytes.len(), "consumed more than was queued");
        if self.sent == self.bytes.len() {
            assert!(self.barriers.is_empty(), "sent past a barrier");
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Takes the buffer away when it is empty, so that an idle session holds none.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        (self.is_empty() && self.bytes.capacity() > 0).then(|| std::mem::take(&mut self.bytes))
    }

    /// Gives a buffer back from the shard's pool.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        assert!(self.bytes.is_empty() && buffer.is_empty(), "a buffer replaced queued bytes");
        self.bytes = buffer;
    }

    /// Bytes not sent yet.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The record that the first waiting byte needs, if any waits for one.
    pub fn awaited(&self) -> Option<Lsn> {
        self.barriers.front().map(|&(_, lsn)| lsn)
    }
}
