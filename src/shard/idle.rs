//! Connections to targets that sessions gave back, until another session of this shard wants one.
//!
//! In: connections with their terms. Out: one of the same terms that still stands.
//! Never: one that its target closed, or on which it said something that nobody asked for; more
//! than `limits` allow.

use std::collections::{HashMap, VecDeque};

use crate::accept::socket;
use crate::forward::dial::Endpoint;
use crate::limits::{IDLE_LEG_US, IDLE_LEGS_MAX};
use crate::session::Reuse;

use super::leg::Leg;

/// A connection that waits.
#[derive(Debug)]
struct Waiting {
    leg: Leg,
    endpoint: Endpoint,
    since_us: u64,
}

/// The idle connections of one shard.
#[derive(Debug, Default)]
pub struct Idle {
    by_terms: HashMap<Reuse, VecDeque<Waiting>>,
}

impl Idle {
    /// Keeps a connection; the oldest of its terms makes room.
    pub fn give(&mut self, terms: Reuse, leg: Leg, endpoint: Endpoint, now_us: u64) {
        let waiting = self.by_terms.entry(terms).or_default();
        if waiting.len() >= IDLE_LEGS_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { leg, endpoint, since_us: now_us });
    }

    /// The one that was given back last and still stands.
    pub fn take(&mut self, terms: &Reuse, now_us: u64) -> Option<(Leg, Endpoint)> {
        let waiting = self.by_terms.get_mut(terms)?;
        while let Some(last) = waiting.pop_back() {
            let fresh = last.since_us + IDLE_LEG_US > now_us;
            if fresh && last.leg.stream().is_some_and(socket::is_quiet) {
                return Some((last.leg, last.endpoint));
            }
        }
        None
    }

    /// Closes those that have waited too long.
    pub fn sweep(&mut self, now_us: u64) {
        for waiting in self.by_terms.values_mut() {
            while waiting.front().is_some_and(|first| first.since_us + IDLE_LEG_US <= now_us) {
                waiting.pop_front();
            }
        }
        self.by_terms.retain(|_, waiting| !waiting.is_empty());
    }

    /// When the next one has waited too long.
    pub fn next_us(&self) -> Option<u64> {
        let oldest = self.by_terms.values().filter_map(VecDeque::front);
        oldest.map(|first| first.since_us + IDLE_LEG_US).min()
    }

    /// Closes all: what they were agreed on is no longer configured.
    pub fn clear(&mut self) {
        self.by_terms.clear();
    }
}
