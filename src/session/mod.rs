//! One session: the stages composed, without a socket or a clock.
//!
//! A machine is pure: bytes, time and answers in; outputs out. `shard::drive` moves the bytes.

mod capture;
mod core;
mod meter;
pub mod postgres;
mod room;
mod snapshot;
mod vote;

use std::rc::Rc;

use crate::clock::Now;
use crate::decide::Classifier;
use crate::decide::approval::AskSummary;
use crate::fault::{self, Fault};
use crate::forward::dial::Dial;
use crate::identify::scram::SaltedCache;
use crate::metrics::Meters;
use crate::record::{Journal, SessionId};
use crate::wire::Side;

pub use core::{Accepted, TlsFacts, new_id};
pub use room::Room;
pub use snapshot::{Snapshot, SnapshotSource};
pub use vote::{SessionSummary, Vote, VoteReply};

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

/// What the machine wants done besides moving the bytes of its two outboxes.
#[derive(Debug)]
pub enum Output {
    /// After the outbox of this side is written, speak TLS with it (server role towards the
    /// client, client role towards the target). Bytes received from then on are records.
    StartTls(Side),
    /// Connect to a target for a client that has proven who it is; `handle_dialed` answers.
    Dial(Box<Dial>),
    /// The server that was reached is of no use: once it has what is queued for it, try the next
    /// one; `handle_dialed` answers.
    DialNext(fault::Target),
    /// The server that was reached is the one: no other will be tried.
    LoggedIn,
    /// A command waits for approval: tell the control thread.
    AskOpened(AskSummary),
    /// It no longer waits; the final event (`approved`, `denied`, `expired`, `canceled`).
    AskClosed(SessionId, &'static str),
    /// The catalog of this target lacks a relation or may be stale; `handle_snapshot` follows.
    RefreshCatalog(usize),
    /// A token is signed by a key of this issuer that is not known; `handle_snapshot` follows.
    RefreshKeys(String),
    /// A client sent a CancelRequest with this key (process id and secret as on the wire).
    Cancel(Vec<u8>),
    /// The target gave this session this cancel key; remember it for `Output::Cancel`.
    CancelKey(Vec<u8>),
    /// Send this CancelRequest key to the session's server on a connection of its own.
    CancelAtTarget(Box<Dial>, Vec<u8>),
    /// Close both connections after the outboxes are written.
    Close(Option<Fault>),
}
