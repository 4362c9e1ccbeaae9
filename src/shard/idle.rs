//! Connections to targets that sessions gave back, until another session of this shard wants one.
//!
//! In: connections with their terms. Out: one of the same terms that still stands.
//! Never: one that its target closed, or on which it said something that nobody asked for; one of
//! settings that are replaced; more than `limits` allow.

use std::collections::{HashMap, VecDeque};

use crate::accept::socket;
use crate::forward::dial::Endpoint;
use crate::limits::{IDLE_LEG_US, IDLE_LEGS_MAX};
use crate::session::{Kept, Learned, Leased, Reuse};

use super::leg::Leg;

/// A connection that waits.
#[derive(Debug)]
struct Waiting {
    leg: Leg,
    endpoint: Endpoint,
    learned: Learned,
    since_us: u64,
    until_us: u64,
}

/// The idle connections of one shard.
#[derive(Debug, Default)]
pub struct Idle {
    by_terms: HashMap<Reuse, VecDeque<Waiting>>,
    /// No later than when the first has waited too long.
    due_us: Option<u64>,
    age: u64,
}

impl Idle {
    /// How often settings were replaced: a connection that was asked for before that fits none of
    /// those who come now.
    pub fn age(&self) -> u64 {
        self.age
    }

    /// Keeps a connection; the oldest of its terms makes room.
    pub fn give(&mut self, kept: Kept, leg: Leg, endpoint: Endpoint, now_us: u64) {
        let Kept { terms, idle_us, learned } = kept;
        let until_us = now_us + idle_us.min(IDLE_LEG_US);
        let waiting = self.by_terms.entry(terms).or_default();
        if waiting.len() >= IDLE_LEGS_MAX {
            waiting.pop_front();
        }
        waiting.push_back(Waiting { leg, endpoint, learned, since_us: now_us, until_us });
        self.due_us = Some(self.due_us.map_or(until_us, |due_us| due_us.min(until_us)));
    }

    /// The one that was given back last, no longer ago than `waited_us_max`, and still stands.
    pub fn take(
        &mut self,
        terms: &Reuse,
        now_us: u64,
        waited_us_max: u64,
    ) -> Option<(Leg, Leased)> {
        let waiting = self.by_terms.get_mut(terms)?;
        while let Some(last) = waiting.back() {
            if last.since_us.saturating_add(waited_us_max) < now_us {
                // The others have waited longer still; they do for somebody else.
                return None;
            }
            let last = waiting.pop_back()?;
            if last.until_us > now_us && last.leg.stream().is_some_and(socket::is_quiet) {
                let Waiting { leg, endpoint, learned, .. } = last;
                return Some((leg, Leased { endpoint, own: None, reused: Some(learned) }));
            }
        }
        None
    }

    /// Closes those that have waited too long.
    pub fn sweep(&mut self, now_us: u64) {
        if self.due_us.is_none_or(|due_us| due_us > now_us) {
            return;
        }
        for waiting in self.by_terms.values_mut() {
            waiting.retain(|one| one.until_us > now_us);
        }
        self.by_terms.retain(|_, waiting| !waiting.is_empty());
        self.due_us = self.by_terms.values().flatten().map(|one| one.until_us).min();
    }

    /// When the next one has waited too long.
    pub fn next_us(&self) -> Option<u64> {
        self.due_us
    }

    /// Closes all: what they were agreed on is no longer configured.
    pub fn clear(&mut self) {
        self.by_terms.clear();
        self.due_us = None;
        self.age += 1;
    }
}
