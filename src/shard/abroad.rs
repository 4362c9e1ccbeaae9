//! CancelRequests for sessions that are not here: another weir in front of the same targets may
//! have them.
//!
//! In: a key that no shard of this process knows. Out: the request, to every server of every
//! target. Never: more connections in a second than `limits` allow, since nobody has proven who
//! they are.
//!
//! Clients have the target's own key (`session::login::target`), so the server itself finds the
//! session, without anything shared between the gateways. A server that does not know the key
//! ignores the request, as it does one that is forged.

use crate::forward::dial::Dial;
use crate::limits::CANCELS_ABROAD_MAX;
use crate::wire::Protocol;

use super::core::Core;
use super::errand::CancelCall;
use super::journal::ShardJournal;
use super::mail::Canceller;

const SECOND_US: u64 = 1_000_000;

/// Requests of the current second.
#[derive(Debug, Default)]
pub struct Abroad {
    since_us: u64,
    sent: usize,
}

impl Abroad {
    /// Whether this many more may leave now.
    fn takes(&mut self, count: usize, now_us: u64) -> bool {
        if now_us >= self.since_us + SECOND_US {
            *self = Abroad { since_us: now_us, sent: 0 };
        }
        let fits = self.sent + count <= CANCELS_ABROAD_MAX;
        if fits {
            self.sent += count;
        }
        fits
    }
}

impl<J: ShardJournal> Core<J> {
    /// Hands a CancelRequest to all servers of all targets.
    pub(super) fn cancel_abroad(&mut self, key: &[u8], client: Option<Canceller>) {
        let now_us = self.now.mono_us;
        let snapshot = &self.tools.snapshot;
        let targets = snapshot.settings.targets.iter().zip(&snapshot.addresses).enumerate();
        let mut servers = Vec::new();
        for (index, (target, endpoints)) in targets {
            if target.protocol != Protocol::Postgres {
                continue;
            }
            for endpoint in endpoints {
                let tls = (target.tls, target.negotiation);
                // Several targets are often databases of one server.
                let known = servers
                    .iter()
                    .any(|(_, known_tls, known)| (known, known_tls) == (endpoint, &tls));
                if !known {
                    servers.push((index, tls, endpoint.clone()));
                }
            }
        }
        if !self.abroad.takes(servers.len(), now_us) {
            self.counters.cancels_dropped.add(1);
            return;
        }
        for (target, tls, endpoint) in servers {
            let dial = Box::new(Dial::new(target, vec![endpoint], None, now_us));
            let call = CancelCall::new(dial, tls, key.to_vec(), now_us);
            self.insert_cancel(call, client.iter().cloned().collect());
            self.counters.cancels_abroad.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let mut abroad = Abroad::default();
        assert!(abroad.takes(CANCELS_ABROAD_MAX - 1, SECOND_US));
        assert!(!abroad.takes(2, SECOND_US + 1));
        assert!(abroad.takes(1, 2 * SECOND_US - 1));
        assert!(!abroad.takes(1, 2 * SECOND_US - 1));
        assert!(abroad.takes(2, 2 * SECOND_US));
        assert!(!abroad.takes(CANCELS_ABROAD_MAX + 1, 9 * SECOND_US), "too many servers");
    }
}
