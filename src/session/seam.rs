//! The seam between the shard and the protocols: what goes into a session, what comes out of it.
//!
//! In: `Event`s. Out: bytes in outboxes, `Output`s. Never: a socket, a clock, a wait.
//!
//! Contract: `handle` an event, then `poll_output` until `None`, then the next event. A session
//! that asks for a leg (`Output::Lease`) is answered by one `Event::Leg` of the same number, unless
//! it closes before.
//!
//! ```text
//!            Lease          Leg(Ok)           Settled         Release(Keep)
//!   no leg ---------> dialled ------> trying ---------> held ---------------> the shard's pool
//!                        |   ^          | Next
//!                        |   '----------'            Release(Close)
//!                        '--> Leg(Err): no leg    held ----------> no leg
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::settings::Durability;
use crate::decide::approval::{AskSummary, Window};
use crate::fault::{self, Fault};
use crate::forward::Outbox;
use crate::forward::dial::{Dial, Endpoint};
use crate::metrics::TargetMeter;
use crate::record::SessionId;
use crate::wire::http::h2;
use crate::wire::{End, LegId};

use super::{SessionSummary, Stage, TlsFacts, Vote, VoteReply};

/// What happens to a session.
#[derive(Debug)]
pub enum Event<'a> {
    /// Bytes of a peer, opened if that end speaks TLS. All are taken.
    Bytes(End, &'a [u8]),
    /// A peer sends no more.
    Eof(End),
    /// The handshake that `Output::StartTls` asked for is done.
    Tls(End, TlsFacts),
    /// A connection is unusable: reset, or TLS that cannot be read.
    Broken(End, Fault),
    /// The answer to `Output::Lease` and `Output::Next`.
    Leg(LegId, Result<Leased, fault::Target>),
    /// `next_timeout` has passed.
    Timeout,
    /// One of the calls before panicked: the session ends, recorded. Only outputs are polled after
    /// this.
    Panic,
    /// The stage's snapshot is a new one.
    Snapshot,
    /// One approver's word on a held command; the session writes what became of it.
    Vote(SessionId, &'a Vote, &'a mut VoteReply),
    /// Somebody who has this session's name (`Output::Named`) asks it to stop what it does.
    Signal,
    /// An administrator ends the session of this id: one of `Driven::summaries`.
    Kill(SessionId),
    /// weir shuts down: the session ends when it is idle, or at once.
    Drain {
        /// In any case, now.
        at_once: bool,
    },
}

/// A connection to a target.
#[derive(Debug)]
pub struct Leased {
    /// The server that was reached.
    pub endpoint: Endpoint,
    /// Weir's own address on a connection that was made for this.
    pub own: Option<IpAddr>,
    /// The connection was used before and given back: what was agreed on it stands, TLS too, and
    /// this.
    pub reused: Option<Learned>,
}

/// What the ends of a connection have learned of each other: it goes where the connection goes.
#[derive(Debug)]
pub enum Learned {
    /// Nothing that outlives an answer.
    Nothing,
    /// Numbers of streams, windows, tables of fields.
    Http2(Box<h2::Connection>),
}

/// What a session asks of its shard, besides moving the bytes of its outboxes.
#[derive(Debug)]
pub enum Output {
    /// After the outbox of this end is written, speak TLS with it (server role towards the client,
    /// client role towards a target). Bytes received from then on are records.
    StartTls(End),
    /// A connection to a target for a client that has proven who it is.
    Lease(Lease),
    /// The server that was reached is of no use: once it has what is queued for it, try the next
    /// one; `Event::Leg` answers.
    Next(LegId, fault::Target),
    /// The server that was reached is the one: no other will be tried.
    Settled(LegId),
    /// The session is done with a connection. Its outbox is not asked for any more.
    Release(LegId, After),
    /// A command waits for approval: tell the control thread.
    AskOpened(Box<AskSummary>),
    /// It no longer waits; the final event (`approved`, `denied`, `expired`, `canceled`, ...).
    AskClosed(SessionId, &'static str),
    /// People opened a window: tell the control thread.
    Window(Box<Window>),
    /// Something that the control thread read may be stale; `Event::Snapshot` follows.
    Refresh(Refresh),
    /// A name by which others may ask this session to stop (PostgreSQL: the cancel key).
    Named(Vec<u8>),
    /// The client asks the session of this name to stop what it does, and leaves.
    Signal(Vec<u8>),
    /// Carry this to the session's server on a connection of its own (PostgreSQL: a cancel key).
    Errand(Box<Dial>, Vec<u8>),
    /// Close all connections after the outboxes are written.
    Close(Option<Fault>),
}

/// A connection that a session asks for.
#[derive(Debug)]
pub struct Lease {
    /// The number it has in the session.
    pub leg: LegId,
    /// The target, and the addresses in the order in which they are tried.
    pub dial: Box<Dial>,
    /// Which connections that were given back would do; `None` asks for a fresh one.
    pub reuse: Option<Reuse>,
    /// One that has waited for longer, in microseconds, will not do: its peer may just be closing
    /// it, and what is sent may not be sent twice.
    pub waited_us_max: u64,
}

/// What two connections must have in common to stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reuse {
    /// Index in the settings' targets.
    pub target: usize,
    /// What weir proved itself with, and what else was agreed on the connection, in the words of
    /// the protocol.
    pub terms: Arc<str>,
}

/// What becomes of a connection that a session is done with.
#[derive(Debug)]
pub enum After {
    /// It may serve another session of the same terms.
    Keep(Kept),
    /// It is closed.
    Close,
}

/// A connection that may serve another session.
#[derive(Debug)]
pub struct Kept {
    /// What that session must have in common with this one.
    pub terms: Reuse,
    /// So many microseconds at most: what the peer keeps it for, if it says so.
    pub idle_us: u64,
    /// What goes with it.
    pub learned: Learned,
}

/// What is to be read anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// The catalog of this target lacks a relation or may be stale.
    Catalog(usize),
    /// A token is signed by a key of this issuer that is not known.
    Keys(String),
}

/// What the shard drives.
pub trait Driven {
    /// Bytes for a peer; `None` for a leg that the session has not, or has released.
    fn outbox(&mut self, end: End) -> Option<&mut Outbox>;
    /// The same, to be looked at.
    fn pending(&self, end: End) -> Option<&Outbox>;
    /// Something happened.
    fn handle(&mut self, event: Event<'_>, stage: &mut Stage<'_>);
    /// The next output, until there is none.
    fn poll_output(&mut self) -> Option<Output>;
    /// When `Event::Timeout` is due, monotonic microseconds.
    fn next_timeout(&self) -> Option<u64>;
    /// Whether this end should be read now.
    fn wants(&self, end: End) -> bool;
    /// Whether what the client sends is divided among several legs, so that a full one alone must
    /// not keep the client from being read: `wants` says when it is.
    fn divides(&self) -> bool {
        false
    }
    /// Whether the session has room again that its client waits for, since bytes have left: it is
    /// asked for outputs once more.
    fn owes_room(&self) -> bool {
        false
    }
    /// Whether what this end says next has to be recorded for a command that runs already: without
    /// room for it the end is not read. What else it may say can be refused.
    fn records(&self, _end: End) -> bool {
        false
    }
    /// When a record counts as written.
    fn durability(&self) -> Durability;
    /// Nothing more will be read; the outboxes may still hold bytes.
    fn is_closed(&self) -> bool;
    /// What is measured of its target; nothing for what has none.
    fn meter(&self) -> Option<&TargetMeter>;
    /// What people see of it; nothing for what is no session.
    fn summary(&self, stage: &Stage<'_>) -> Option<SessionSummary>;
    /// The same, where one connection is several sessions.
    fn summaries(&self, stage: &Stage<'_>) -> Vec<SessionSummary> {
        self.summary(stage).into_iter().collect()
    }
}
