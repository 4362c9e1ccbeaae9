//! One session: the stages composed, without a socket or a clock.
//!
//! A machine is pure: bytes, time and answers in; outputs out. `shard::drive` moves the bytes.

mod capture;
pub mod desk;
pub mod http;
mod meter;
pub mod postgres;
pub mod room;
mod seam;
mod snapshot;
pub mod ssh;
mod vote;

use std::rc::Rc;

use crate::clock::Now;
use crate::config::settings::Durability;
use crate::decide::Classifier;
use crate::forward::Outbox;
use crate::identify::scram::SaltedCache;
use crate::metrics::{Meters, TargetMeter};
use crate::record::Journal;
use crate::wire::{End, Protocol};

pub use desk::{Accepted, Desk, Pass, Shown, TlsFacts, new_id};
pub use room::Room;
pub use seam::{After, Driven, Event, Kept, Learned, Lease, Leased, Output, Refresh, Reuse};
pub use snapshot::{Changes, Snapshot, SnapshotSource};
pub use vote::{ApprovalStep, Next, SessionSummary, Vote, VoteReply};

/// What a call into the machine may use. Owned by the shard, lent for one call.
pub struct Stage<'a> {
    /// The current snapshot.
    pub snapshot: &'a Rc<Snapshot>,
    /// The shard's classifier cache.
    pub classifier: &'a mut Classifier,
    /// The shard's cache of passwords already derived for targets.
    pub salted: &'a mut SaltedCache,
    /// The shard's journal.
    pub journal: &'a mut dyn Journal,
    /// Random bytes for nonces and ids: fills the slice.
    pub random: &'a mut dyn FnMut(&mut [u8]),
    /// What the shard's sessions may hold of large messages.
    pub room: &'a Room,
    /// What the shard measures of each target.
    pub meters: &'a Meters,
    /// The time of this turn.
    pub now: Now,
}

/// A session of any protocol. Most are PostgreSQL's, and a driver is on the heap as a whole.
#[expect(clippy::large_enum_variant, reason = "no second allocation on the hot path")]
pub enum Session {
    /// PostgreSQL's frontend/backend protocol.
    Postgres(postgres::Machine),
    /// SSH.
    Ssh(Box<ssh::Machine>),
    /// HTTP.
    Http(Box<http::Session>),
    /// What a test of the shard says.
    #[cfg(test)]
    Scripted(Box<dyn Driven>),
}

/// Makes a session that does what a test of the shard says.
#[cfg(test)]
pub type Script = fn(Accepted, &mut Stage<'_>) -> Box<dyn Driven>;

/// What `Session::accept` makes in tests of the shard, which are about sockets and no protocol.
#[cfg(test)]
pub static SCRIPT: std::sync::OnceLock<Script> = std::sync::OnceLock::new();

impl Session {
    /// A client connected.
    pub fn accept(accepted: Accepted, stage: &mut Stage<'_>) -> Session {
        #[cfg(test)]
        if let Some(script) = SCRIPT.get() {
            return Session::Scripted(script(accepted, stage));
        }
        match accepted.protocol {
            Protocol::Postgres => Session::Postgres(postgres::Machine::accept(accepted, stage)),
            Protocol::Http => Session::Http(Box::new(http::Session::accept(accepted, stage))),
            Protocol::Ssh => Session::Ssh(Box::new(ssh::Machine::accept(accepted, stage))),
            Protocol::Kubernetes => {
                unreachable!("the configuration has no listener of {}", accepted.protocol.name())
            }
        }
    }

    /// What a client is told at once that is turned away for want of room; one of PostgreSQL is
    /// heard first (`TurnedAway`).
    pub fn turned_away(protocol: Protocol, detail: &str) -> Vec<u8> {
        match protocol {
            Protocol::Postgres => Vec::new(),
            Protocol::Http => http::turned_away(detail),
            Protocol::Ssh => ssh::voice::turned_away(),
            Protocol::Kubernetes => Vec::new(),
        }
    }
}

/// Calls the same method of whichever session it is.
macro_rules! each {
    ($session:expr, $inner:ident => $call:expr) => {
        match $session {
            Session::Postgres($inner) => $call,
            Session::Ssh($inner) => $call,
            Session::Http($inner) => $call,
            #[cfg(test)]
            Session::Scripted($inner) => $call,
        }
    };
}

impl Driven for Session {
    fn outbox(&mut self, end: End) -> Option<&mut Outbox> {
        each!(self, inner => inner.outbox(end))
    }

    fn pending(&self, end: End) -> Option<&Outbox> {
        each!(self, inner => inner.pending(end))
    }

    fn handle(&mut self, event: Event<'_>, stage: &mut Stage<'_>) {
        each!(self, inner => inner.handle(event, stage));
    }

    fn poll_output(&mut self) -> Option<Output> {
        each!(self, inner => inner.poll_output())
    }

    fn next_timeout(&self) -> Option<u64> {
        each!(self, inner => inner.next_timeout())
    }

    fn wants(&self, end: End) -> bool {
        each!(self, inner => inner.wants(end))
    }

    fn divides(&self) -> bool {
        each!(self, inner => inner.divides())
    }

    fn owes_room(&self) -> bool {
        each!(self, inner => inner.owes_room())
    }

    fn records(&self, end: End) -> bool {
        each!(self, inner => inner.records(end))
    }

    fn durability(&self) -> Durability {
        each!(self, inner => inner.durability())
    }

    fn is_closed(&self) -> bool {
        each!(self, inner => inner.is_closed())
    }

    fn meter(&self) -> Option<&TargetMeter> {
        each!(self, inner => inner.meter())
    }

    fn summary(&self, stage: &Stage<'_>) -> Option<SessionSummary> {
        each!(self, inner => inner.summary(stage))
    }

    fn summaries(&self, stage: &Stage<'_>) -> Vec<SessionSummary> {
        each!(self, inner => inner.summaries(stage))
    }
}
